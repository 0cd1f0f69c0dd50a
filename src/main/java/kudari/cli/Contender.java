package kudari.cli;

import java.lang.reflect.RecordComponent;
import java.util.function.DoubleFunction;
import java.util.function.Supplier;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import kudari.rule.AdaGrad;
import kudari.rule.Adam;
import kudari.rule.Momentum;
import kudari.rule.Nesterov;
import kudari.rule.RmsProp;
import kudari.rule.Rule;
import kudari.rule.Sgd;

/** The six rules that the article compares, in its order, with the learning rates of the book's picture of paths. */
enum Contender {
    SGD("SGD", 0.95, Sgd::of, Sgd::of),
    MOMENTUM("Momentum", 0.1, Momentum::of, Momentum::of),
    NESTEROV("Nesterov", 0.1, Nesterov::of, Nesterov::of),
    ADAGRAD("AdaGrad", 1.5, AdaGrad::of, AdaGrad::of),
    RMSPROP("RMSprop", 0.3, RmsProp::of, RmsProp::of),
    ADAM("Adam", 0.3, Adam::of, Adam::of);

    private final String label;
    private final double pathRate;
    private final Supplier<Rule> defaults;
    private final DoubleFunction<Rule> withRate;

    Contender(String label, double pathRate, Supplier<Rule> defaults, DoubleFunction<Rule> withRate) {
        this.label = label;
        this.pathRate = pathRate;
        this.defaults = defaults;
        this.withRate = withRate;
    }

    /** The rule that walks the contours of f. */
    Rule onThePath() {
        return withRate.apply(pathRate);
    }

    /** The rule at its defaults. */
    Rule defaults() {
        return defaults.get();
    }

    /** The rule at its defaults but for the learning rate. */
    Rule withRate(double lr) {
        return withRate.apply(lr);
    }

    /** The hyperparameters that are not 0, as in {@code lr 0.01, rho 0.99, eps 1.0E-7}. */
    static String describe(Rule rule) {
        return Stream.of(rule.getClass().getRecordComponents())
                .filter(component -> value(rule, component) != 0)
                .map(component -> component.getName() + " " + value(rule, component))
                .collect(Collectors.joining(", "));
    }

    private static double value(Rule rule, RecordComponent component) {
        try {
            return (double) component.getAccessor().invoke(rule);
        } catch (ReflectiveOperationException e) {
            throw new IllegalStateException(e); // the accessors of a public record are public
        }
    }

    @Override
    public String toString() {
        return label;
    }
}
