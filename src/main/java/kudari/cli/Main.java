package kudari.cli;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.io.PrintWriter;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.HelpCommand;
import picocli.CommandLine.ParameterException;

/** The command line: {@code kudari COMMAND}. Exit status 0: done; 1: could not be done; 2: the command line was wrong; 130: stopped by Ctrl-C. */
@Command(
        name = "kudari",
        description = "Gradient-descent optimizers for JVM training loops.",
        mixinStandardHelpOptions = true,
        versionProvider = Main.Version.class,
        subcommands = {Compare.class, Train.class, Doctor.class, HelpCommand.class})
public final class Main {

    private Main() {}

    /** Runs a command and exits with its status. */
    public static void main(String[] args) {
        // What the library logs, as a line of ours.
        System.getProperties().putIfAbsent("java.util.logging.SimpleFormatter.format", "kudari: %5$s%n");
        // UTF-8 whatever the locale says, or a bare container prints ?s for µs.
        System.exit(run(new PrintWriter(System.out, true, UTF_8), new PrintWriter(System.err, true, UTF_8), args));
    }

    static int run(PrintWriter out, PrintWriter err, String... args) {
        CommandLine line = new CommandLine(new Main())
                .setOut(out)
                .setErr(err)
                .setCaseInsensitiveEnumValuesAllowed(true)
                .setParameterExceptionHandler((e, given) -> refuse(e))
                .setExecutionExceptionHandler((e, command, parsed) -> {
                    command.getErr().println("kudari: " + sentence(e));
                    return CommandLine.ExitCode.SOFTWARE;
                });
        try {
            return args.length == 0 ? line.execute("--help") : line.execute(args);
        } catch (OutOfMemoryError e) {
            err.println("kudari: out of memory (" + e.getMessage()
                    + "): ask for less, or give Java more with KUDARI_JAVA_OPTS=-Xmx8g");
            return CommandLine.ExitCode.SOFTWARE;
        }
    }

    /** One line on what was wrong with the command line. */
    private static int refuse(ParameterException e) {
        CommandLine command = e.getCommandLine();
        String name = command.getCommandSpec().qualifiedName();
        command.getErr().println("kudari: " + sentence(e) + "; see " + name + " --help");
        return CommandLine.ExitCode.USAGE;
    }

    /** The message of an exception; an exception without one says at least its name. */
    private static String sentence(Throwable e) {
        String message = e.getMessage();
        return message == null ? e.toString() : message.lines().findFirst().orElse(message);
    }

    /** The version that the build wrote into the jar, as in {@code kudari 0.1.0}. */
    static String version() {
        String version = Main.class.getPackage().getImplementationVersion();
        return "kudari " + (version == null ? "(not from a jar)" : version);
    }

    /** The same, for {@code --version}. */
    static final class Version implements CommandLine.IVersionProvider {
        @Override
        public String[] getVersion() {
            return new String[] {version()};
        }
    }
}
