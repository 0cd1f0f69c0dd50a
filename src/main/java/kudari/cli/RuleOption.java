package kudari.cli;

import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.RecordComponent;
import java.util.Iterator;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import kudari.rule.AdaGrad;
import kudari.rule.Adam;
import kudari.rule.Momentum;
import kudari.rule.Nesterov;
import kudari.rule.RmsProp;
import kudari.rule.Rule;
import kudari.rule.Sgd;
import picocli.CommandLine.ITypeConverter;
import picocli.CommandLine.TypeConversionException;

/**
 * A rule that the commands know by its name: each one that {@link Rule} permits, made by its {@code of()} and {@code of(lr)}.
 *
 * @param type the rule's record
 */
record RuleOption(Class<?> type) {

    /** All of them, in the order in which {@link Rule} names them, which begins with the article's. */
    static final List<RuleOption> ALL =
            Stream.of(Rule.class.getPermittedSubclasses()).map(RuleOption::new).toList();

    /** The learning rates of the book's picture of paths. */
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
            0.3);

    /** The six of the article, which are those in the book's picture. */
    static final List<RuleOption> ARTICLE =
            ALL.stream().filter(option -> PATH_RATES.containsKey(option.type)).toList();

    /** The learning rate on the path of a rule that is not in the book's picture: Adam's. */
    private static final double PATH_RATE = 0.3;

    /** Reads a rule's name on the command line, in upper or lower case, and lists the names for help texts. */
    static final class Converter implements ITypeConverter<RuleOption>, Iterable<String> {

        @Override
        public RuleOption convert(String value) {
            return ALL.stream()
                    .filter(option -> option.name().equalsIgnoreCase(value))
                    .findFirst()
                    .orElseThrow(() -> new TypeConversionException(
                            "expected one of " + String.join(", ", this) + ", got '" + value + "'"));
        }

        @Override
        public Iterator<String> iterator() {
            return ALL.stream().map(RuleOption::name).iterator();
        }
    }

    /** The rule that walks the contours of f. */
    Rule onThePath() {
        return withRate(PATH_RATES.getOrDefault(type, PATH_RATE));
    }

    /** The rule at its defaults. */
    Rule defaults() {
        return make(new Class<?>[0]);
    }

    /** The rule at its defaults but for the learning rate. */
    Rule withRate(double lr) {
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

    /** The learning rate, then the hyperparameters that are not 0, as in {@code lr 0.01, rho 0.99, eps 1e-7}. */
    static String describe(Rule rule) {
        String others = Stream.of(rule.getClass().getRecordComponents())
                .filter(component -> component.getType() == double.class
                        && !component.getName().equals("lr")
                        && value(rule, component) != 0)
                .map(component -> ", " + component.getName() + " " + brief(value(rule, component)))
                .collect(Collectors.joining());
        return "lr " + brief(rule.lr()) + others;
    }

    /** A number as people write it: 1e-7, not 1.0E-7. */
    private static String brief(double x) {
        return String.valueOf(x).replaceFirst("\\.0(?=E|$)", "").replace('E', 'e');
    }

    private static double value(Rule rule, RecordComponent component) {
        try {
            return (double) component.getAccessor().invoke(rule);
        } catch (ReflectiveOperationException e) {
            throw new IllegalStateException(e); // the accessors of a public record are public
        }
    }

    /** As it is written on the command line. */
    String name() {
        return toString().toLowerCase(Locale.ROOT);
    }

    /** The name of the rule's record. */
    @Override
    public String toString() {
        return type.getSimpleName();
    }
}
