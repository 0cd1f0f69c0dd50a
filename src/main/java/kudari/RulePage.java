package kudari;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.lang.reflect.RecordComponent;
import java.math.BigDecimal;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import kudari.io.Say;
import kudari.rule.Rule;

/**
 * What the documentation of a rule says: its formula has one home, the page of its record, and is read from there. The sources of the rules lie in
 * the jar, under {@code kudari/pages}.
 */
final class RulePage {

    /** The documentation of the class, without its stars. */
    private static final Pattern PAGE = Pattern.compile(
            "/\\*\\*((?:(?!\\*/).)*)\\*/(?:\\s*@[^\n]*)*\\s*public (?:final )?(?:record|class) ", Pattern.DOTALL);

    private final String text;

    private RulePage(String text) {
        this.text = text;
    }

    /**
     * The page of a class.
     *
     * @return an empty one where the jar has none, as of a rule that is not ours
     */
    static RulePage of(Class<?> type) {
        if (!type.getPackageName().equals(Rule.class.getPackageName())) return new RulePage("");
        try (InputStream source = RulePage.class.getResourceAsStream("pages/" + type.getSimpleName() + ".java")) {
            if (source == null) return new RulePage("");
            Matcher page = PAGE.matcher(new String(source.readAllBytes(), StandardCharsets.UTF_8));
            return new RulePage(page.find() ? page.group(1).replaceAll("(?m)^ *\\* ?", "") : "");
        } catch (IOException e) {
            throw new UncheckedIOException(e); // from our own jar
        }
    }

    /**
     * A part of its list, such as {@code Source}, in a line.
     *
     * @return empty where it has no such part
     */
    String part(String title) {
        return found("<dt>" + title + "\\s*<dd>(.*?)(?=<dt>|</dl>)")
                .or(() -> found("<p>" + title + ": (.*?)(?=\n\\s*\n|\n@|$)"))
                .map(part -> plain(part).strip().replaceAll("\\s+", " "))
                .orElse("");
    }

    /**
     * The formula of a rule, with its numbers in the places of their symbols: a symbol is the first word in the documentation of a component,
     * where a comma follows, as in {@code @param rho ρ, the fraction}, or else the component's name. What is multiplied by 0 is left out. A line
     * that begins with a component's name and a colon stands where that is true; one with another name, before or after it, where it is not. A rule
     * that has a symbol for its decoupled decay says itself where that goes.
     */
    List<String> formula(Rule rule) {
        List<String> lines =
                found("<pre>(.*?)</pre>").stream().flatMap(String::lines).toList();
        if (lines.isEmpty()) return List.of();
        Map<String, Boolean> switches = components(rule)
                .filter(component -> component.getType() == boolean.class)
                .collect(Collectors.toMap(RecordComponent::getName, component -> (boolean) value(rule, component)));
        Stream<String> own = IntStream.range(0, lines.size())
                .mapToObj(n -> chosen(lines, n, switches))
                .map(line -> simple(numbered(plain(line), rule)))
                .filter(line -> !line.isEmpty());
        // What Rule's own page says of every rule.
        Stream<String> before = rule.l2() == 0 ? Stream.of() : Stream.of("g ← g + " + Say.number(rule.l2()) + "·p");
        // Unless its formula names the decay itself.
        Stream<String> after = rule.decay() == 0 || !symbol("decay").equals("decay")
                ? Stream.of()
                : Stream.of("p ← p − " + Say.number(rule.lr()) + "·" + Say.number(rule.decay())
                        + "·p        in the same step, with the p from before it");
        return Stream.of(before, own, after).flatMap(part -> part).toList();
    }

    /** A line without the name before it, and without a link after it to whose it is; empty where a switch says so. */
    private static String chosen(List<String> lines, int n, Map<String, Boolean> switches) {
        String line = lines.get(n), label = label(line);
        if (label.isEmpty()) return line.strip();
        Optional<Boolean> stands = switches.containsKey(label)
                ? Optional.of(switches.get(label))
                : IntStream.of(n - 1, n + 1)
                        .filter(other -> other >= 0 && other < lines.size())
                        .mapToObj(other -> label(lines.get(other)))
                        .filter(switches::containsKey)
                        .findFirst()
                        .map(other -> !switches.get(other));
        if (stands.isEmpty()) return line.strip();
        return stands.get()
                ? line.substring(line.indexOf(':') + 1).strip().replaceFirst("\\s{3,}[^{←]*\\{@link[^}]*}[^{}]*$", "")
                : "";
    }

    private static String label(String line) {
        Matcher label = Pattern.compile("^\\s*(\\w+):").matcher(line);
        return label.find() ? label.group(1) : "";
    }

    private String numbered(String line, Rule rule) {
        for (RecordComponent component : components(rule).toList()) {
            if (component.getType() != double.class && component.getType() != long.class) continue;
            String word = "[\\p{L}\\p{M}\\p{N}_]";
            line = line.replaceAll(
                    "(?<!" + word + ")" + Pattern.quote(symbol(component.getName())) + "(?!" + word + ")",
                    Say.number(((Number) value(rule, component)).doubleValue()));
        }
        return line;
    }

    private String symbol(String component) {
        return found("@param " + component + " (\\S+),").orElse(component);
    }

    /** A formula with numbers, without what they make superfluous. */
    private static String simple(String line) {
        String number = "\\d+(?:\\.\\d+)?(?:e-?\\d+)?";
        line = Pattern.compile("\\((" + number + ") ([−+]) (" + number + ")\\)")
                .matcher(line)
                .replaceAll(sum -> {
                    BigDecimal a = new BigDecimal(sum.group(1)), b = new BigDecimal(sum.group(3));
                    return Say.number((sum.group(2).equals("+") ? a.add(b) : a.subtract(b)).doubleValue());
                });
        String zero = "0(?:[·/](?:[^\\s()]+|\\([^()]*\\)))*";
        line = line.replaceAll("(?<![\\w.])" + number + "·0(?![\\d.])", "0")
                .replaceAll("([,:])\\s{2,}", "$1  ")
                .replaceAll(" [+−] " + zero + "(?=[\\s),]|$)", "")
                .replaceAll("(?<=[(←=]\\s?)" + zero + " \\+ ", "");
        return line.replaceAll("/\\(1\\)", "")
                .replaceAll("(?<![\\d.·])1·|·1(?=[·\\s),]|$)", "")
                .replaceAll("\\^\\((\\p{L})\\)", "^$1")
                .replaceAll("√\\((\\p{L}[\\p{M}\\p{N}]*)\\)", "√$1")
                .replaceAll("/ \\((√?\\p{L}[\\p{M}\\p{N}]*|√\\([^()]*\\))\\)", "/ $1");
    }

    private static Stream<RecordComponent> components(Rule rule) {
        RecordComponent[] components = rule.getClass().getRecordComponents();
        return components == null ? Stream.empty() : Stream.of(components);
    }

    /** The value of a hyperparameter. */
    static Object value(Rule rule, RecordComponent component) {
        try {
            return component.getAccessor().invoke(rule);
        } catch (ReflectiveOperationException e) {
            throw new IllegalStateException(component + ": expected an accessor of a public record", e);
        }
    }

    private Optional<String> found(String pattern) {
        Matcher found = Pattern.compile(pattern, Pattern.DOTALL).matcher(text);
        return found.find() ? Optional.of(found.group(1)) : Optional.empty();
    }

    /** Without the marks of HTML and Javadoc. */
    private static String plain(String text) {
        return text.replaceAll("\\{@\\w+ #?([^}]*)}", "$1")
                .replaceAll("</?\\w+[^>]*>", "")
                .replace("&lt;", "<")
                .replace("&gt;", ">")
                .replace("&amp;", "&");
    }
}
