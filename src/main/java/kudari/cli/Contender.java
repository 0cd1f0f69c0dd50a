package kudari.cli;

import java.lang.reflect.RecordComponent;
import java.util.List;
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
    SGD(0.95, Sgd::of, Sgd::of),
    MOMENTUM(0.1, Momentum::of, Momentum::of),
    NESTEROV(0.1, Nesterov::of, Nesterov::of),
    ADAGRAD(1.5, AdaGrad::of, AdaGrad::of),
    RMSPROP(0.3, RmsProp::of, RmsProp::of),
    ADAM(0.3, Adam::of, Adam::of);

    private final double pathRate;
    private final Supplier<Rule> defaults;
    private final DoubleFunction<Rule> withRate;

    Contender(double pathRate, Supplier<Rule> defaults, DoubleFunction<Rule> withRate) {
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

    /** The learning rate, then the hyperparameters that are not 0, as in {@code lr 0.01, rho 0.99, eps 1e-7}. */
    static String describe(Rule rule) {
        // a and b are where the learning rate stands in a velocity, and it is named already.
        List<String> named = List.of("lr", "a", "b");
        String others = Stream.of(rule.getClass().getRecordComponents())
                .filter(component -> !named.contains(component.getName()) && value(rule, component) != 0)
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

    /** The name of the rule's record. */
    @Override
    public String toString() {
        return defaults().getClass().getSimpleName();
    }
}
