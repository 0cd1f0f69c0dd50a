package kudari.cli;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.Callable;
import java.util.stream.Stream;
import kudari.CpuEngine;
import kudari.data.Dataset;
import kudari.io.Say;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;

/** What the commands that train have in common. */
abstract class TrainingCommand implements Callable<Integer> {

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

    @Option(
            names = "--overwrite",
            description =
                    "replaces the run that --out holds, and the file of --save; what is not a run's is never replaced")
    boolean overwrite;

    /** The samples to train on and those held out. */
    record Sets(Dataset train, Dataset test) {}

    /** Reads the samples, or draws them, which takes a while. */
    @SuppressWarnings("try") // the bar is only there to be seen
    final Sets read(DataOption data) throws IOException {
        say(data.work());
        try (Progress progress = new Progress(data.toString(), -1, 0)) {
            return new Sets(data.train(seed), data.test(seed));
        }
    }

    /**
     * Makes a folder to write to, or refuses one that holds what this command may not replace.
     *
     * @param holdsRun whether what the folder holds is a run of this command
     * @param instead what else can be done about a run, to follow "choose another folder with --out, "
     */
    final void claim(Path folder, boolean holdsRun, String instead) throws IOException {
        if (Files.isDirectory(folder)) {
            boolean empty;
            try (Stream<Path> content = Files.list(folder)) {
                empty = content.findAny().isEmpty();
            } catch (IOException e) {
                throw Say.failure("--out " + folder + ": the folder cannot be read", e);
            }
            if (!empty && !holdsRun)
                throw new IOException("--out " + folder + ": the folder holds files that are not from a run of kudari "
                        + spec.name() + "; choose a new or empty one with --out");
            if (!empty && !overwrite)
                throw new IOException(
                        "--out " + folder + ": the folder holds a run already; choose another with --out, " + instead
                                + "replace it with --overwrite");
            if (!Files.isWritable(folder)) throw new IOException("--out " + folder + ": the folder cannot be written");
        }
        makeFolder("--out " + folder, folder);
    }

    /** Makes a folder if need be, now and not when the first epoch has been trained. */
    static void makeFolder(String option, Path folder) throws IOException {
        try {
            Files.createDirectories(folder);
        } catch (IOException e) {
            throw Say.failure(option + ": the folder " + folder + " cannot be made", e);
        }
    }

    /** Refuses a number below 1. */
    final void atLeastOne(String option, long value) {
        if (value < 1) throw refusal(option + ": expected at least 1, got " + value);
    }

    final void checkThreads() {
        atLeastOne("--threads", threads);
        if (threads > CpuEngine.MOST_THREADS)
            throw refusal("--threads: expected at most " + CpuEngine.MOST_THREADS + ", got " + threads);
    }

    /** The command line was wrong, and how. */
    final ParameterException refusal(String sentence) {
        return new ParameterException(spec.commandLine(), sentence);
    }

    /** A word of a command line, as a shell reads it. */
    static String word(Object argument) {
        String text = argument.toString();
        return text.matches("[\\w./:=,-]+") ? text : "'" + text.replace("'", "'\\''") + "'";
    }

    /** Tells the user what is going on. */
    final void say(String line) {
        spec.commandLine().getErr().println("kudari: " + Main.printable(line));
    }
}
