package kudari.cli;

import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.RecordComponent;
import java.util.Collections;
import java.util.Iterator;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import kudari.Group;
import kudari.LearningRate;
import kudari.Optimizer;
import kudari.io.Say;
import kudari.nn.Network;
import kudari.rule.AdaGrad;
import kudari.rule.Adam;
import kudari.rule.AdamW;
import kudari.rule.Lars;
import kudari.rule.MatrixRule;
import kudari.rule.Momentum;
import kudari.rule.Nesterov;
import kudari.rule.Peer;
import kudari.rule.RmsProp;
import kudari.rule.Rule;
import kudari.rule.Sgd;
import picocli.CommandLine.ITypeConverter;
import picocli.CommandLine.TypeConversionException;

/**
 * A rule that the commands know by its name: each one of ours that {@link Rule} permits, and AdamW, which is an Adam; made by {@code of()} and {@code
 * of(lr)}.
 *
 * @param type the class that has these two: the rule's record, or a form of it that has a name of its own
 */
record RuleOption(Class<?> type) {

    /** What AdamW's rate is of Muon's, by the defaults of both. */
    private static final double VECTORS = 0.05;

    /** All of them, in the order in which {@link Rule} names them. */
    static final List<RuleOption> ALL = Stream.concat(Rule.classes().stream(), Stream.of(AdamW.class))
            .map(RuleOption::new)
            .toList();

    /** The learning rates of the book's picture of paths, and of a rule for which Adam's is none. */
    private static final Map<Class<?>, Double> PATH_RATES = Map.of(
            Sgd.class,
            0.95,
            Momentum.class,
            0.1,
            Nesterov.class,
            0.1,
            AdaGrad.class,
            1.5,
            RmsProp.class,
            0.3,
            Adam.class,
            0.3,
            Lars.class, // of which a thousandth goes into a step
            10.0);

    /** The learning rate on the path of a rule that is not in the book's picture: Adam's. */
    private static final double PATH_RATE = 0.3;

    /** Reads a rule's name on the command line, in upper or lower case, and lists the names for help texts. */
    static final class Converter implements ITypeConverter<RuleOption>, Iterable<String> {

        /** So many letters amiss may be a slip. */
        private static final int SLIP = 2;

        @Override
        public RuleOption convert(String value) {
            return ALL.stream()
                    .filter(option -> option.name().equalsIgnoreCase(value))
                    .findFirst()
                    .orElseThrow(() -> new TypeConversionException("expected one of " + String.join(", ", this)
                            + ", got '" + value + "'" + guess(value.toLowerCase(Locale.ROOT))));
        }

        /** The nearest names; one that only goes on where the value ends is as near as one with one letter amiss. */
        private static String guess(String value) {
            Map<Integer, List<String>> names = ALL.stream()
                    .map(RuleOption::name)
                    .collect(Collectors.groupingBy(
                            name -> value.length() > SLIP && name.startsWith(value) ? 1 : distance(name, value)));
            int least = Collections.min(names.keySet());
            return least > SLIP || value.length() <= SLIP
                    ? ""
                    : "; did you mean " + String.join(" or ", names.get(least)) + "?";
        }

        /** How many letters must be put in, taken out or changed to make one word of the other (Levenshtein). */
        private static int distance(String one, String other) {
            int[] row = IntStream.rangeClosed(0, other.length()).toArray();
            for (int i = 1; i <= one.length(); i++) {
                int diagonal = row[0];
                row[0] = i;
                for (int j = 1; j <= other.length(); j++) {
                    int changed = diagonal + (one.charAt(i - 1) == other.charAt(j - 1) ? 0 : 1);
                    diagonal = row[j];
                    row[j] = Math.min(changed, 1 + Math.min(row[j - 1], row[j]));
                }
            }
            return row[other.length()];
        }

        @Override
        public Iterator<String> iterator() {
            return ALL.stream().map(RuleOption::name).iterator();
        }
    }

    /** The rule that walks the contours of f: at its defaults but for the learning rate. */
    Rule onThePath() {
        return withRate(PATH_RATES.getOrDefault(type, PATH_RATE));
    }

    /**
     * The groups of a network's parameters that are trained by a rule: all of them, or, where it takes matrices alone, those, and the biases by AdamW.
     *
     * @param rates of the rule
     */
    static Group[] groups(LearningRate rates, Rule rule) {
        if (!(rule instanceof MatrixRule)) return new Group[] {Group.rest(rates.of(rule))};
        return new Group[] {
            Group.matrices("*", rates.of(rule)), Group.rest(rates.times(VECTORS).of(AdamW.of()))
        };
    }

    /** Where its learning rate comes from. */
    String rateOnThePath() {
        return PATH_RATES.containsKey(type) ? "the book's picture" : "Adam's in the book's picture";
    }

    /** Where the learning rate of its defaults comes from: the book, if they are its, or else a library whose they are. */
    String rateOfDefaults() {
        return Stream.concat(Stream.of(Peer.BOOK), Stream.of(Peer.values()))
                .filter(peer -> peer.rule(type).equals(Optional.of(defaults())))
                .findFirst()
                .map(peer -> "the default of " + peer)
                .orElse("each rule's own default");
    }

    /** The rule at its defaults. */
    Rule defaults() {
        return make(new Class<?>[0]);
    }

    /**
     * The rule at its defaults but for the learning rate.
     *
     * @throws IllegalArgumentException if the rule refuses it, or it is so small that it would be 0 on every step
     */
    Rule withRate(double lr) {
        if (lr > 0 && (float) lr == 0)
            throw new IllegalArgumentException("lr: expected 0 or a number that float32 can hold, got " + lr);
        return make(new Class<?>[] {double.class}, lr);
    }

    private Rule make(Class<?>[] parameters, Object... arguments) {
        try {
            return (Rule) type.getMethod("of", parameters).invoke(null, arguments);
        } catch (InvocationTargetException e) {
            if (e.getCause() instanceof RuntimeException refusal) throw refusal;
            throw new IllegalStateException(e);
        } catch (ReflectiveOperationException e) {
            throw new IllegalStateException(type.getSimpleName() + ": a rule has of() and of(double lr)", e);
        }
    }

    /** What a network is trained by; where its biases follow another rule than its weights, by that, too. */
    static String describe(Optimizer optimizer, Network network) {
        Rule weights = rule(optimizer, network, "W1"), biases = rule(optimizer, network, "b1");
        boolean same = weights.getClass() == biases.getClass();
        return describe(weights) + (same ? "" : "; vectors by AdamW, lr " + Say.number(biases.lr()));
    }

    private static Rule rule(Optimizer optimizer, Network network, String name) {
        return optimizer.rule(name, network.params().get(name)).orElseThrow();
    }

    /** The learning rate, then the hyperparameters that are not 0 or off, as in {@code lr 0.01, rho 0.99, eps 1e-7}. */
    static String describe(Rule rule) {
        String others = Stream.of(rule.getClass().getRecordComponents())
                .filter(component -> !component.getName().equals("lr"))
                .map(component -> describe(component.getName(), value(rule, component)))
                .collect(Collectors.joining());
        return "lr " + Say.number(rule.lr()) + others;
    }

    private static String describe(String name, Object value) {
        if (value instanceof Number number)
            return number.doubleValue() == 0 ? "" : ", " + name + " " + Say.number(number.doubleValue());
        if (value instanceof Boolean on) return on ? ", " + name : "";
        return ", " + name + " " + value;
    }

    private static Object value(Rule rule, RecordComponent component) {
        try {
            return component.getAccessor().invoke(rule);
        } catch (ReflectiveOperationException e) {
            throw new IllegalStateException(e); // the accessors of a public record are public
        }
    }

    /** As it is written on the command line. */
    String name() {
        return toString().toLowerCase(Locale.ROOT);
    }

    /** As the report names it. */
    @Override
    public String toString() {
        return type.getSimpleName();
    }
}
