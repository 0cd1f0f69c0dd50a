package kudari.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.OutputStream;
import java.io.PrintStream;
import java.io.PrintWriter;
import java.io.StringWriter;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** What all commands do alike. */
class MainTest {

    private final StringWriter out = new StringWriter(), err = new StringWriter();

    private int kudari(String... args) {
        return Main.run(new PrintWriter(out, true), new PrintWriter(err, true), args);
    }

    @ParameterizedTest
    @ValueSource(strings = {"doctor", "doctor --json", "explain adam", "--help", "--version", "train --help"})
    void resultsThatCouldNotBeWrittenAreNoSuccess(String line) {
        // As Main.main has it: a PrintStream swallows what goes wrong, and so does a PrintWriter.
        PrintStream full = new PrintStream(new OutputStream() {
            @Override
            public void write(int b) throws IOException {
                throw new IOException("No space left on device");
            }
        });
        int status = Main.run(new PrintWriter(full, true), new PrintWriter(err, true), line.split(" "));
        assertEquals(1, status);
        assertTrue(err.toString().contains("cannot write to standard output"), err::toString);
    }

    @ParameterizedTest
    @CsvSource({"compar, compare", "tain, train", "docter, doctor", "explian, explain"})
    void aCommandThatIsMisspeltGetsASuggestion(String typed, String meant) {
        assertEquals(2, kudari(typed));
        assertTrue(err.toString().contains("'" + typed + "'; did you mean " + meant), err::toString);
        assertEquals(1, err.toString().lines().count(), err::toString);
    }

    @ParameterizedTest
    @ValueSource(strings = {"train", "compare"})
    void helpListsTheExitStatuses(String command) {
        assertEquals(0, kudari(command, "--help"));
        String help = out.toString().replaceAll("\\s+", " ");
        assertTrue(help.contains("Exit status: 0 done 1 it could not be done"), help);
        assertTrue(help.contains("2 the command line was wrong"), help);
        assertTrue(help.contains("130 stopped by Ctrl-C"), help);
        assertEquals(command.equals("train"), help.contains("3 the run diverged"), help);
    }

    @Test
    void whatSteersATerminalIsShownAndNotDone() {
        assertEquals("\\u001b]0;title\\u0007 µ 損失", Main.printable("\u001b]0;title\u0007 µ 損失"));
        assertEquals("a\\u009b1mb\\u202ec\\u2028\\ud800", Main.printable("a\u009b1mb\u202ec\u2028\ud800"));
        assertEquals(1, kudari("train", "--resume", "no\u001b[2Jsuch"));
        assertTrue(err.toString().contains("no\\u001b[2Jsuch"), err::toString);
    }
}
