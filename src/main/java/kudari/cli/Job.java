package kudari.cli;

import java.util.concurrent.Callable;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;

/** What the commands that train have in common. */
abstract class Job implements Callable<Integer> {

    @Spec
    CommandSpec spec;

    @Option(
            names = "--batch",
            paramLabel = "N",
            description = "samples in a batch (default: ${DEFAULT-VALUE})",
            defaultValue = "128")
    int batch;

    @Option(
            names = "--seed",
            paramLabel = "N",
            description = "of the data, the weights and the batches (default: ${DEFAULT-VALUE})",
            defaultValue = "1")
    long seed;

    @Option(names = "--threads", paramLabel = "N", description = "threads on the CPU (default: all processors)")
    int threads = Runtime.getRuntime().availableProcessors();

    /** Refuses a number below 1. */
    final void atLeastOne(String option, long value) {
        if (value < 1) throw refusal(option + ": expected at least 1, got " + value);
    }

    /** The command line was wrong, and how. */
    final ParameterException refusal(String sentence) {
        return new ParameterException(spec.commandLine(), sentence);
    }

    /** Tells the user what is going on. */
    final void say(String line) {
        spec.commandLine().getErr().println("kudari: " + line);
    }
}
