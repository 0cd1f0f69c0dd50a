package kudari.io;

import static org.junit.jupiter.api.Assertions.assertEquals;

import org.junit.jupiter.api.Test;

/** What a stranger's file says is shown, and does nothing. */
class SayTest {

    @Test
    void aForeignTextIsShownAndCannotSteerATerminal() {
        assertEquals("'params/W1'", Say.quoted("params/W1"));
        assertEquals("'層 é 🙂'", Say.quoted("層 é 🙂"));
        assertEquals("'\\u001b[2J\\u0007'", Say.quoted("\33[2J\7"));
        assertEquals("'a\\u000ab\\u000d\\u0009\\u0085\\u009b31m'", Say.quoted("a\nb\r\t\u0085\u009b31m"));
        assertEquals("'\\u202egnp.exe\\u2066\\u200b'", Say.quoted("\u202egnp.exe\u2066\u200b"));
        assertEquals("'\\ud800 \\udfff'", Say.quoted("\ud800 \udfff"));
        assertEquals("'\\udb40\\udc41'", Say.quoted("\udb40\udc41"), "a tag, which is not seen");
        assertEquals("'\\\\u001b'", Say.quoted("\\u001b"), "told from an escape of ours");
        assertEquals("'it\\'s'", Say.quoted("it's"));
    }

    @Test
    void aLongTextIsCutBetweenCharacters() {
        assertEquals("'" + "🙂".repeat(120) + "'… (2000000 characters)", Say.quoted("🙂".repeat(1_000_000)));
        assertEquals("'" + "x".repeat(120) + "'", Say.quoted("x".repeat(120)));
    }
}
