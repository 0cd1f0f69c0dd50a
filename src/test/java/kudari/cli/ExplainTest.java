package kudari.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.PrintWriter;
import java.io.StringWriter;
import java.util.List;
import kudari.Explanation;
import kudari.rule.Adam;
import kudari.rule.AdamW;
import kudari.rule.Peer;
import kudari.rule.RmsProp;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** What {@code kudari explain} says, and what it refuses. */
class ExplainTest {

    private final StringWriter out = new StringWriter(), err = new StringWriter();

    private int explain(String args) {
        String line = ("explain " + args).strip();
        return Main.run(new PrintWriter(out, true), new PrintWriter(err, true), line.split(" "));
    }

    @Test
    void aLibrarysRuleIsExplainedAtItsOwnRate() {
        assertEquals(0, explain("rmsprop --like pytorch"), err::toString);
        assertEquals(
                Explanation.of(RmsProp.pytorch(0.01)) + "\n\n" + String.join("\n", wrapped(Peer.PYTORCH)) + "\n",
                out.toString());
        assertTrue(out.toString().startsWith("""
                RmsProp.pytorch(0.01)

                    h ← 0.99·h + 0.01·g²
                    p ← p − 0.01·g / (√h + 1e-8)
                """), out::toString);
        assertEquals("", err.toString());
    }

    private static List<String> wrapped(Peer peer) {
        return kudari.io.Say.wrapped("", peer.conventions(), 80);
    }

    @Test
    void withoutALibraryItIsTheRuleOfItsOwnFactory() {
        assertEquals(0, explain("adam"), err::toString);
        assertEquals(Explanation.of(Adam.of(0.001)) + "\n", out.toString());
    }

    @Test
    void aLibraryWithoutADefaultRateTakesTheRulesOwn() {
        assertEquals(0, explain("AdamW --like OPTAX"), err::toString);
        assertTrue(
                out.toString()
                        .startsWith(
                                Explanation.of(AdamW.class, AdamW.optax(0.001)).toString()),
                out::toString);
    }

    @Test
    void theRateMayBeGiven() {
        assertEquals(0, explain("adam --like book --lr 0.3"), err::toString);
        assertEquals(Explanation.of(Adam.of(0.3)) + "\n", out.toString());
    }

    @Test
    void everyRuleOfEveryLibraryFitsATerminal() {
        for (RuleOption rule : RuleOption.ALL) {
            for (Peer peer : Peer.values()) {
                if (peer.rule(rule.type(), 1).isPresent())
                    assertEquals(0, explain(rule.name() + " --like " + peer.name()), err::toString);
            }
        }
        for (String line : out.toString().lines().toList()) assertTrue(line.length() <= 80, line);
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "''                       |Missing required parameter: 'RULE'",
                "foo                      |expected one of sgd, momentum, ",
                "foo                      |adamw, got 'foo'",
                "adam --like foo          |expected one of pytorch, keras, optax, dl4j, book, got 'foo'",
                "momentum --like dl4j     |--like dl4j: expected a library that has Momentum, one of pytorch, keras, optax, book, got DL4J",
                "sgd --lr -1              |--lr -1.0: lr: expected a finite number from 0 up, got -1.0",
                "sgd --lr x               |'x'",
                "sgd adam                 |Unmatched argument",
            })
    void whatCannotBeExplainedGetsOneLine(String args, String words) {
        assertEquals(2, explain(args));
        assertEquals(1, err.toString().lines().count(), err::toString);
        assertTrue(err.toString().startsWith("kudari: ") && err.toString().contains(words), err::toString);
        assertEquals("", out.toString());
    }
}
