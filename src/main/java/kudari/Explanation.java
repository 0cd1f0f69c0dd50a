package kudari;

import static java.lang.reflect.Modifier.isStatic;

import java.lang.reflect.Method;
import java.lang.reflect.RecordComponent;
import java.math.BigDecimal;
import java.math.MathContext;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Locale;
import java.util.Objects;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import kudari.io.Say;
import kudari.rule.Peer;
import kudari.rule.Rule;

/**
 * What a rule computes, with its numbers in the formula, and what other libraries do in its place: which of their numbers are others, and how far
 * apart the first steps are. For those who bring a training run from another library, or cannot say which of two conventions a run followed.
 *
 * <pre>{@code
 * System.out.println(Explanation.of(RmsProp.pytorch(0.01)));
 * }</pre>
 *
 * <p>How far apart is measured, on an example: both walk down f(x, y) = x²/20 + y² from (−7, 2), with one learning rate for 50 steps and a tenth of it
 * after that, for some conventions differ only where the rate changes; and once more down f / 10⁶, for some differ only where gradients are faint. The
 * distance between them is told as a part of the distance that the rule itself is from the start by then.
 *
 * @param type the class whose factories make such rules: the rule's record, or {@link kudari.rule.AdamW}
 * @param rule what is explained
 * @param formula its lines, from the documentation of the rule, with its numbers; empty for a rule that is not ours
 * @param way how far it is from the start after 1, 10 and 100 steps down f, and after 10 down f / 10⁶
 * @param peers what each library that has the rule does in its place
 */
public record Explanation(Class<?> type, Rule rule, List<String> formula, List<Double> way, List<Difference> peers) {

    /** Where a distance is taken: after so many steps, down so many times f. */
    private record Stage(int steps, float scale) {
        @Override
        public String toString() {
            return steps + (scale == 1 ? "" : " faint");
        }
    }

    private static final List<Stage> STAGES =
            List.of(new Stage(1, 1), new Stage(10, 1), new Stage(100, 1), new Stage(10, 1e-6f));

    private static final float[] START = {-7, 2};

    /** After this step the learning rate is a tenth. */
    private static final int FALLS = 50;

    /** Half a unit in the last place of a number from 4 to 8, twice, for each of two walks, in a step. */
    private static final double ROUNDING = 4 * 0x1p-22;

    /** Of a terminal, in columns. */
    public static final int WIDTH = 80;

    /**
     * What a library does in the place of a rule.
     *
     * @param peer the library
     * @param rule its rule at the same learning rate
     * @param call as a program here writes it, {@code RmsProp.keras(0.01)}
     * @param others the numbers that are not those of the rule explained, as in {@code rho 0.9, not 0.99}
     * @param lr its default learning rate, if it has one
     * @param apart the distance after as many steps as {@link #way} as a part of that; 0 where it is the same to the last bit
     */
    public record Difference(
            Peer peer, Rule rule, String call, List<String> others, OptionalDouble lr, List<Double> apart) {}

    /** Explains a rule by the factories of its own class. */
    public static Explanation of(Rule rule) {
        return of(Objects.requireNonNull(rule, "rule").getClass(), rule);
    }

    /**
     * Explains a rule.
     *
     * @param type the class with the factories that it is held against: its own, or {@link kudari.rule.AdamW}
     */
    public static Explanation of(Class<?> type, Rule rule) {
        Objects.requireNonNull(rule, "rule");
        List<Difference> peers = new ArrayList<>();
        try (Engine engine = Engine.cpu(1)) {
            List<float[]> walk = walk(engine, rule);
            List<Double> way = apart(walk, Collections.nCopies(walk.size(), START));
            for (Peer peer : Peer.values()) {
                peer.rule(type, rule.lr()).ifPresent(theirs -> {
                    checkKind(type, rule, theirs);
                    List<Double> apart = apart(walk, walk(engine, theirs));
                    peers.add(new Difference(
                            peer,
                            theirs,
                            call(type, peer, rule.lr()),
                            others(rule, theirs),
                            peer.lr(type),
                            IntStream.range(0, way.size())
                                    .mapToObj(n -> apart.get(n) == 0 ? 0 : apart.get(n) / way.get(n))
                                    .toList()));
                });
            }
            return new Explanation(type, rule, RulePage.of(rule.getClass()).formula(rule), way, List.copyOf(peers));
        }
    }

    private static void checkKind(Class<?> type, Rule mine, Rule theirs) {
        if (theirs.getClass() != mine.getClass())
            throw new IllegalArgumentException("type: expected the class with the factories of "
                    + mine.getClass().getSimpleName() + ", got " + type.getSimpleName() + ", which makes "
                    + theirs.getClass().getSimpleName());
    }

    /** Where a rule stands at each stage. */
    private static List<float[]> walk(Engine engine, Rule rule) {
        return STAGES.stream().map(stage -> walk(engine, rule, stage)).toList();
    }

    private static float[] walk(Engine engine, Rule rule, Stage stage) {
        LearningRate rate = LearningRate.constant(rule.lr()).then(FALLS, LearningRate.constant(rule.lr() / 10));
        Tensor p = engine.tensor(START, 1, 2), g = engine.zeros(1, 2); // a matrix, as some rules need
        Optimizer optimizer = engine.optimizer(rate.of(rule));
        for (int t = 1; t <= stage.steps; t++) {
            float[] xy = p.get();
            g.set(stage.scale * (xy[0] / 10), stage.scale * (2 * xy[1]));
            optimizer.update(p, g);
        }
        return p.get();
    }

    private static List<Double> apart(List<float[]> mine, List<float[]> theirs) {
        return IntStream.range(0, mine.size())
                .mapToObj(n -> Math.hypot(
                        (double) mine.get(n)[0] - theirs.get(n)[0], (double) mine.get(n)[1] - theirs.get(n)[1]))
                .toList();
    }

    private static List<String> others(Rule mine, Rule theirs) {
        RecordComponent[] components = mine.getClass().getRecordComponents();
        return Stream.of(components == null ? new RecordComponent[0] : components)
                .filter(c -> !RulePage.value(mine, c).equals(RulePage.value(theirs, c)))
                .map(c -> other(c.getName(), RulePage.value(mine, c), RulePage.value(theirs, c)))
                .toList();
    }

    private static String other(String name, Object mine, Object theirs) {
        if (theirs instanceof Boolean is) return is ? name : "not " + name;
        return name + " " + said(theirs) + ", not " + said(mine);
    }

    private static String said(Object value) {
        return value instanceof Double number ? Say.number(number) : String.valueOf(value);
    }

    private static String call(Class<?> type, Peer peer, double lr) {
        String factory = peer.factory(type).map(Method::getName).orElseThrow();
        return type.getSimpleName() + "." + factory + "(" + Say.number(lr) + ")";
    }

    /** The rule as a program writes it: by a factory of {@link #type} where one makes it, or as its record prints. */
    public String call() {
        Stream<String> theirs =
                peers.stream().filter(peer -> peer.rule.equals(rule)).map(Difference::call);
        return Stream.concat(theirs, own().stream()).findFirst().orElse(rule.toString());
    }

    /** The call of {@code of(lr)}, which every rule has, if that makes this one. */
    private Optional<String> own() {
        try {
            Object made = type.getMethod("of", double.class).invoke(null, rule.lr());
            return made.equals(rule)
                    ? Optional.of(type.getSimpleName() + ".of(" + Say.number(rule.lr()) + ")")
                    : Optional.empty();
        } catch (ReflectiveOperationException e) {
            return Optional.empty(); // a rule that is not ours
        }
    }

    /** For people: some lines of at most 80 columns, as far as words allow. */
    @Override
    public String toString() {
        List<String> lines = new ArrayList<>(Say.wrapped("", call(), WIDTH));
        lines.add("");
        formula.forEach(line -> lines.addAll(inside(line)));
        if (!formula.isEmpty()) lines.add("");
        RulePage page = RulePage.of(rule.getClass());
        lines.addAll(Say.wrapped("State:  ", state(), WIDTH));
        if (!changes().isEmpty()) lines.addAll(Say.wrapped("Change: ", changes(), WIDTH));
        String nearby = page.part("Neighbours");
        if (!nearby.isEmpty()) lines.addAll(Say.wrapped("Nearby: ", nearby, WIDTH));
        String source = Optional.of(RulePage.of(type).part("Source"))
                .filter(own -> !own.isEmpty())
                .orElse(page.part("Source"));
        if (!source.isEmpty()) lines.addAll(Say.wrapped("Source: ", source, WIDTH));
        lines.add("");
        lines.addAll(Say.wrapped(
                "",
                "What others do in its place, down x²/20 + y² from (−7, 2) with the same learning rate, a tenth of it from step "
                        + (FALLS + 1) + " on: how far from this rule they are, in % of its distance from the start."
                        + " Faint: gradients a million times smaller. Rounding: no more than the rounding of float32 explains.",
                WIDTH));
        lines.add("");
        lines.add(row("steps", STAGES.stream().map(Stage::toString)));
        lines.add(row("distance from the start", way.stream().map(Explanation::brief)));
        for (Difference peer : peers) lines.addAll(told(peer));
        String without = Stream.of(Peer.values())
                .filter(peer -> peers.stream().noneMatch(has -> has.peer == peer))
                .map(Peer::toString)
                .collect(Collectors.joining(", "));
        if (!without.isEmpty()) lines.add("  Without it, or with another formula: " + without + ".");
        return String.join("\n", lines);
    }

    /** A line of the formula; what is too long is cut at its wide gap first. */
    private static List<String> inside(String line) {
        if (4 + line.length() <= WIDTH) return List.of("    " + line);
        return Stream.of(line.split("\\s{3,}"))
                .flatMap(part -> Say.wrapped("    ", part, WIDTH).stream())
                .toList();
    }

    private String state() {
        if (rule.state().isEmpty()) return "none.";
        return IntStream.range(0, rule.state().size())
                        .mapToObj(n -> rule.state().get(n) + ", from " + Say.number(rule.initial(n)))
                        .collect(Collectors.joining("; "))
                + ".";
    }

    /** The methods that give the rule with another value. */
    private String changes() {
        return Stream.of(rule.getClass().getMethods())
                .filter(method -> method.getReturnType() == rule.getClass() && !isStatic(method.getModifiers()))
                .map(method -> "." + method.getName() + "(…)")
                .filter(call -> !call.equals(".lr(…)"))
                .sorted()
                .collect(Collectors.joining(", "));
    }

    private List<String> told(Difference peer) {
        String start = String.format("%-9s ", peer.peer);
        List<String> lines = new ArrayList<>();
        if (peer.rule.equals(rule)) {
            lines.add("  " + start + peer.call + ": the same rule");
        } else {
            lines.add(row(
                    start + peer.call,
                    IntStream.range(0, STAGES.size())
                            .mapToObj(n -> percent(peer.apart.get(n), way.get(n), STAGES.get(n).steps))));
        }
        Stream<String> rate = peer.lr.isEmpty()
                ? Stream.of("lr without a default")
                : peer.lr.getAsDouble() == rule.lr()
                        ? Stream.of()
                        : Stream.of("lr " + Say.number(peer.lr.getAsDouble()) + " by default");
        String others = Stream.concat(peer.others.stream(), rate).collect(Collectors.joining("; "));
        if (!others.isEmpty()) lines.addAll(Say.wrapped(" ".repeat(2 + start.length()), others, WIDTH));
        return lines;
    }

    /** As much as the numbers of a row leave, and the numbers. */
    private static String row(String what, Stream<String> numbers) {
        String told = numbers.map(number -> String.format("%9s", number)).collect(Collectors.joining());
        String start = "  " + what;
        int room = WIDTH - told.length() - start.length();
        return room >= 0 ? start + " ".repeat(room) + told : start + "\n" + " ".repeat(WIDTH - told.length()) + told;
    }

    private static String percent(double apart, double way, int steps) {
        if (apart == 0) return "0";
        if (!(apart < 1e4)) return "far";
        if (apart * way <= steps * ROUNDING) return "rounding";
        return apart < 1e-4 ? "< 0.01 %" : brief(100 * apart) + " %";
    }

    /** Two digits, or all before the point where those are few: at most 8 characters, in a column of 9. */
    private static String brief(double x) {
        if (!Double.isFinite(x)) return String.valueOf(x);
        if (x >= 1e6) return String.format(Locale.ROOT, "%.1e", x);
        if (x >= 10) return String.format(Locale.ROOT, "%.0f", x);
        return Say.number(new BigDecimal(x).round(new MathContext(2)).doubleValue());
    }
}
