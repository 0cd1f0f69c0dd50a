package kudari.test;

import java.util.List;
import java.util.stream.Stream;

/** A rule's loop as text, so that Java's can be held against CUDA's: what each language writes in its own way is written in one. */
public final class LoopText {

    private LoopText() {}

    /**
     * The statements in the braces after a head, from the scalars on; without comments.
     *
     * @param head the text that comes before the opening brace, such as {@code void apply(}
     * @throws IllegalArgumentException if there is no such head, or no brace closes
     */
    public static List<String> statements(String text, String head) {
        String code = text.replaceAll("//[^\n]*|(?s:/\\*.*?\\*/)", " ");
        int at = code.indexOf(head), from = at < 0 ? 0 : code.indexOf('{', at) + 1, to = from;
        if (from == 0) throw new IllegalArgumentException("expected '" + head + "' and a brace, got none in:\n" + text);
        for (int open = 1; open > 0; to++) {
            if (to == code.length())
                throw new IllegalArgumentException("expected a closing brace for '" + head + "' in:\n" + text);
            open += code.charAt(to) == '{' ? 1 : code.charAt(to) == '}' ? -1 : 0;
        }
        String body = code.substring(from, to - 1)
                .strip()
                .replaceAll("\\bfinal |\\b(Arithmetic|Math)\\.", "")
                .replaceAll("\\s*([^\\w\\s])\\s*", "$1")
                .replaceAll("\\s+", " ")
                .replaceAll("for\\(int (\\w+)=(from;\\1<to|0;\\1<E);(\\1\\+\\+|\\+\\+\\1)\\)", "each $1")
                .replace("float[]", "float*")
                .replaceAll(",\\*(?=\\w+=s\\[)", ",");
        return Stream.of(body.split("(?<=[;{}])")).toList();
    }
}
