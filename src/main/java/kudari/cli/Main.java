package kudari.cli;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.io.PrintWriter;
import java.util.List;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.HelpCommand;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.UnmatchedArgumentException;

/** The command line: {@code kudari COMMAND}. */
@Command(
        name = "kudari",
        description = "Gradient-descent optimizers for JVM training loops.",
        mixinStandardHelpOptions = true,
        versionProvider = Main.Version.class,
        exitCodeListHeading = Main.STATUS_HEADING,
        exitCodeList = {Main.DONE, Main.FAILED, Main.WRONG},
        subcommands = {Compare.class, Train.class, Explain.class, Doctor.class, HelpCommand.class})
public final class Main {

    /** For the help of each command. */
    static final String STATUS_HEADING = "%nExit status:%n",
            DONE = "0:done",
            FAILED = "1:it could not be done, or its results could not be written",
            WRONG = "2:the command line was wrong",
            STOPPED = "130:stopped by Ctrl-C; 143 by kill";

    private Main() {}

    /** Runs a command and exits with its status. */
    public static void main(String[] args) {
        // What the library logs, as a line of ours.
        System.getProperties().putIfAbsent("java.util.logging.SimpleFormatter.format", "kudari: %5$s%n");
        // UTF-8 whatever the locale says, or a bare container prints ?s for µs.
        int status = run(new PrintWriter(System.out, true, UTF_8), new PrintWriter(System.err, true, UTF_8), args);
        if (status == Interruption.STATUS) Interruption.awaitEnd();
        System.exit(status);
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
            int status = args.length == 0 ? line.execute("--help") : line.execute(args);
            if (!out.checkError() || status != 0) return status;
            err.println("kudari: cannot write to standard output");
            return CommandLine.ExitCode.SOFTWARE;
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
        List<String> meant = e instanceof UnmatchedArgumentException u ? u.getSuggestions() : List.of();
        String guess = meant.isEmpty() ? "" : "; did you mean " + String.join(" or ", meant) + "?";
        command.getErr()
                .println("kudari: " + sentence(e) + guess + (guess.isEmpty() ? ";" : "") + " see " + name + " --help");
        return CommandLine.ExitCode.USAGE;
    }

    /** The message of an exception; an exception without one says at least its name. */
    private static String sentence(Throwable e) {
        String message = e.getMessage();
        return message == null
                ? printable(e.toString())
                : printable(message.lines().findFirst().orElse(message));
    }

    /**
     * A line that does nothing to a terminal but show it: what steers one, or hides or turns text around, is written as its number. A message
     * may hold what somebody else wrote into a file.
     */
    static String printable(String line) {
        StringBuilder shown = new StringBuilder();
        line.codePoints().forEach(c -> {
            boolean steers =
                    switch (Character.getType(c)) {
                        case Character.CONTROL,
                                Character.FORMAT,
                                Character.SURROGATE,
                                Character.LINE_SEPARATOR,
                                Character.PARAGRAPH_SEPARATOR -> true;
                        default -> false;
                    };
            if (steers) shown.append(String.format("\\u%04x", c));
            else shown.appendCodePoint(c);
        });
        return shown.toString();
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
