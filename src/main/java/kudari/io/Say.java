package kudari.io;

import java.io.IOException;
import java.nio.file.AccessDeniedException;
import java.nio.file.AtomicMoveNotSupportedException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.FileSystemException;
import java.nio.file.NoSuchFileException;
import java.nio.file.NotDirectoryException;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;

/** Words for messages: why a file could not be read or written, text from a file that cannot be trusted, numbers. */
public final class Say {

    /** Code points of a foreign text that are shown; a name in a file may have millions. */
    private static final int SHOWN = 120;

    private static final Set<Character.UnicodeBlock> JAPANESE = Set.of(
            Character.UnicodeBlock.HIRAGANA,
            Character.UnicodeBlock.KATAKANA,
            Character.UnicodeBlock.CJK_SYMBOLS_AND_PUNCTUATION);

    private Say() {}

    /**
     * What was being done and why it failed, as one sentence.
     *
     * @param what such as {@code cannot write model.safetensors}
     */
    public static IOException failure(String what, IOException e) {
        return new IOException(what + ": " + reason(e), e);
    }

    /** Why an operation on a file failed. The message of an exception of {@code java.nio.file} is often only the name of the file. */
    public static String reason(IOException e) {
        if (e instanceof NoSuchFileException) return "no such file or folder";
        if (e instanceof AccessDeniedException) return "permission denied";
        if (e instanceof FileAlreadyExistsException) return "there is a file of that name";
        if (e instanceof NotDirectoryException) return "not a folder";
        if (e instanceof AtomicMoveNotSupportedException) return "the file system cannot replace a file in one step";
        if (e instanceof FileSystemException f && f.getReason() != null) return f.getReason();
        return e.getMessage() == null ? e.getClass().getSimpleName() : e.getMessage();
    }

    /**
     * A text from a file, in quotes, so that it can do nothing to a terminal or a log: control characters, characters that change the
     * direction of writing, line ends and halves of surrogate pairs are written as escapes, and a long text is cut.
     */
    public static String quoted(String text) {
        StringBuilder out = new StringBuilder("'");
        int at = 0;
        for (int n = 0; at < text.length() && n < SHOWN; n++) {
            int c = text.codePointAt(at);
            at += Character.charCount(c);
            if (c == '\\' || c == '\'') out.append('\\').append((char) c);
            else if (isPlain(c)) out.appendCodePoint(c);
            else for (char unit : Character.toChars(c)) out.append(String.format("\\u%04x", (int) unit));
        }
        out.append('\'');
        if (at < text.length()) out.append("… (").append(text.length()).append(" characters)");
        return out.toString();
    }

    /** A number as people write it: 1e-7, not 1.0E-7. */
    public static String number(double x) {
        return plain(String.valueOf(x));
    }

    /** As {@link #number(double)}, with no more digits than a float has. */
    public static String number(float x) {
        return plain(String.valueOf(x));
    }

    private static String plain(String number) {
        return number.replaceFirst("\\.0(?=E|$)", "").replace('E', 'e').replace("Infinity", "∞");
    }

    /**
     * A text in lines of so many columns of a terminal, as far as words allow: the first after a heading, the others as far in.
     */
    public static List<String> wrapped(String heading, String text, int width) {
        List<String> lines = new ArrayList<>();
        StringBuilder line = new StringBuilder(heading);
        boolean begun = false;
        for (String word : text.split(" ")) {
            if (begun && columns(line) + columns(word) + 1 > width) {
                lines.add(line.toString());
                line = new StringBuilder(" ".repeat(columns(heading)));
                begun = false;
            }
            line.append(begun ? " " : "").append(word);
            begun = true;
        }
        lines.add(line.toString());
        return lines;
    }

    /** How many columns of a terminal a text takes: two for a Japanese character, none for a mark above another. */
    private static int columns(CharSequence text) {
        return text.codePoints()
                .map(c -> Character.getType(c) == Character.NON_SPACING_MARK
                        ? 0
                        : Character.isIdeographic(c) || JAPANESE.contains(Character.UnicodeBlock.of(c)) ? 2 : 1)
                .sum();
    }

    private static boolean isPlain(int c) {
        return switch (Character.getType(c)) {
            case Character.CONTROL,
                    Character.FORMAT,
                    Character.LINE_SEPARATOR,
                    Character.PARAGRAPH_SEPARATOR,
                    Character.SURROGATE,
                    Character.PRIVATE_USE,
                    Character.UNASSIGNED -> false;
            default -> true;
        };
    }
}
