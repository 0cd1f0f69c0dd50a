package kudari;

import java.util.Objects;
import kudari.rule.Rule;

/**
 * The learning rate of every step: a pure function of the step, so that a run that was stopped and resumed follows the same rates.
 *
 * <pre>{@code
 * Optimizer adam = engine.optimizer(LearningRate.cosine(1e-3, 0, 10_000).warmUp(500).of(Adam.of()));
 * }</pre>
 *
 * <p>Before step t, t − 1 steps have been done. A rate that takes {@code n} steps from its start to its end is therefore at
 *
 * <pre>  x = min(t − 1, n) / n</pre>
 *
 * <p>of its way: at its start in step 1, at its end in step n + 1, and there for ever after. So no step of a run of n is spent on a rate of 0
 * that a schedule ends in. That is how optax and PyTorch count, whose first step is number 0.
 *
 * <p>Rates are numbers from 0 up that float32 can hold, in the units of {@link Rule#lr}. A rate gives the same bits on every JVM: what is no
 * plain arithmetic is {@link StrictMath}'s.
 */
@FunctionalInterface
public interface LearningRate {

    /**
     * The learning rate of one step.
     *
     * @param t the step, counted from 1
     */
    double at(long t);

    /**
     * One learning rate for all steps; optax's {@code constant_schedule}.
     *
     * @param lr the learning rate
     */
    static LearningRate constant(double lr) {
        checkRate("lr", lr);
        return t -> lr;
    }

    /**
     * Stairs: lr · factor<sup>⌊(t − 1) / every⌋</sup>, without end. PyTorch's {@code StepLR}; optax's {@code exponential_decay} with {@code
     * staircase}.
     *
     * @param lr the learning rate of the first {@code every} steps
     * @param every the number of steps on one stair, at least 1
     * @param factor what a stair is to the one before, above 0, at most 1
     */
    static LearningRate step(double lr, long every, double factor) {
        checkRate("lr", lr);
        checkSteps("every", every, 1);
        check(factor > 0 && factor <= 1, "factor", "a number above 0, at most 1", factor);
        return t -> lr * StrictMath.pow(factor, (t - 1) / every);
    }

    /**
     * Exponential decay: lr · factor<sup>t − 1</sup>, without end. PyTorch's {@code ExponentialLR}, stepped every step and not every epoch;
     * optax's {@code exponential_decay} with one transition step.
     *
     * @param lr the learning rate of the first step
     * @param factor what a step's rate is to that of the step before, above 0, at most 1
     */
    static LearningRate exponential(double lr, double factor) {
        return step(lr, 1, factor);
    }

    /**
     * A straight line: from · (1 − x) + to · x. optax's {@code linear_schedule}; PyTorch's {@code LinearLR}, which takes the two as fractions.
     *
     * @param from the learning rate of the first step
     * @param to the learning rate of step {@code steps} + 1 and all that follow
     * @param steps the number of steps from the one to the other, at least 1
     */
    static LearningRate linear(double from, double to, long steps) {
        checkWay(from, to, steps);
        return t -> between(from, to, way(t, steps));
    }

    /**
     * A power of what is left: to + (from − to) · (1 − x)<sup>power</sup>. optax's {@code polynomial_schedule}; PyTorch's {@code PolynomialLR},
     * which always ends in 0.
     *
     * @param from the learning rate of the first step
     * @param to the learning rate of step {@code steps} + 1 and all that follow
     * @param steps the number of steps from the one to the other, at least 1
     * @param power the exponent, positive and finite; 1 is {@link #linear}
     */
    static LearningRate polynomial(double from, double to, long steps, double power) {
        checkWay(from, to, steps);
        check(power > 0 && power < Double.POSITIVE_INFINITY, "power", "a positive, finite number", power);
        return t -> between(to, from, StrictMath.pow(1 - way(t, steps), power));
    }

    /**
     * Half a wave of the cosine: to + (from − to) · (1 + cos πx) / 2. PyTorch's {@code CosineAnnealingLR}, which swings back after its end,
     * where this stays; optax's {@code cosine_decay_schedule}, which takes the end as a fraction of the start.
     *
     * <p>Source: I. Loshchilov and F. Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", ICLR 2017, equation 5, without restarts.
     *
     * @param from the learning rate of the first step
     * @param to the learning rate of step {@code steps} + 1 and all that follow
     * @param steps the number of steps from the one to the other, at least 1
     */
    static LearningRate cosine(double from, double to, long steps) {
        checkWay(from, to, steps);
        return t -> between(to, from, wave(way(t, steps)));
    }

    /**
     * One cycle with the defaults of PyTorch, fastai and optax: from max / 25 up to max over the first 0.3 of the steps, then down to
     * max / 250,000.
     *
     * @param max the learning rate at the top
     * @param steps the number of steps from the start to the end, at least 1
     * @see #oneCycle(double, long, double, double, double)
     */
    static LearningRate oneCycle(double max, long steps) {
        return oneCycle(max, steps, 0.3, 25, 1e4);
    }

    /**
     * One cycle: up from max / start to max, and down from there to max / (start · end), each along half a wave of the cosine.
     *
     * <p>Source: L. N. Smith and N. Topin, "Super-Convergence: Very Fast Training of Neural Networks Using Large Learning Rates",
     * arXiv:1708.07120. The paper goes up and down in straight lines of equal length and has a last, short phase far below its start. This is
     * the form that fastai made of it, with two phases and the cosine: optax's {@code cosine_onecycle_schedule}, and PyTorch's {@code
     * OneCycleLR} without {@code three_phase}. Both round the top to a whole step, and PyTorch is at the end in step {@code steps}, one
     * earlier than this. The momentum, which PyTorch cycles the other way, stays as the rule has it.
     *
     * @param max the learning rate at the top
     * @param steps the number of steps from the start to the end, at least 1
     * @param rise the fraction of them before the top, above 0 and below 1; PyTorch's {@code pct_start}, 0.3
     * @param start how many times the rate of the first step goes into max, at least 1; PyTorch's {@code div_factor}, 25
     * @param end how many times the last rate goes into the first, at least 1; PyTorch's {@code final_div_factor}, 10,000
     */
    static LearningRate oneCycle(double max, long steps, double rise, double start, double end) {
        checkRate("max", max);
        checkSteps("steps", steps, 1);
        check(rise > 0 && rise < 1, "rise", "a number above 0 and below 1", rise);
        check(start >= 1 && start <= Float.MAX_VALUE, "start", "a finite number from 1 up", start);
        check(end >= 1 && end <= Float.MAX_VALUE, "end", "a finite number from 1 up", end);
        double first = max / start, last = first / end;
        return t -> {
            double x = way(t, steps);
            return x < rise ? between(max, first, wave(x / rise)) : between(last, max, wave((x - rise) / (1 - rise)));
        };
    }

    /**
     * This rate after a warm-up: in a straight line up to this rate's start, then this rate from its step 1 on.
     *
     * <pre>  t ≤ steps:  at(1) · t / steps      t &gt; steps:  at(t − steps)</pre>
     *
     * <p>The first step has a rate of at(1) / steps and not of 0, for a step at 0 is a step lost; the last of the warm-up has the whole of at(1),
     * and so has the one after it. The warm-up comes on top of this rate's own steps. optax's {@code warmup_cosine_decay_schedule} begins at 0
     * and takes the warm-up out of {@code decay_steps}.
     *
     * @param steps the number of steps of the warm-up; 0 for none
     */
    default LearningRate warmUp(long steps) {
        checkSteps("steps", steps, 0);
        return t -> t <= steps ? at(1) * ((double) t / steps) : at(t - steps);
    }

    /**
     * The schedule of a rule that follows this learning rate instead of its own.
     */
    default Schedule of(Rule rule) {
        Objects.requireNonNull(rule, "rule");
        return t -> rule.lr(at(t));
    }

    /** The fraction of the way that lies behind before step t. */
    private static double way(long t, long steps) {
        return (double) Math.min(t - 1, steps) / steps;
    }

    /** From 1 at x = 0 to 0 at x = 1. */
    private static double wave(double x) {
        return (1 + StrictMath.cos(Math.PI * x)) / 2;
    }

    /** a at x = 0 and b at x = 1, both to the last bit. */
    private static double between(double a, double b, double x) {
        return a * (1 - x) + b * x;
    }

    private static void checkWay(double from, double to, long steps) {
        checkRate("from", from);
        checkRate("to", to);
        checkSteps("steps", steps, 1);
    }

    private static void checkRate(String name, double lr) {
        check(lr >= 0 && (float) lr <= Float.MAX_VALUE, name, "a finite number from 0 up", lr);
    }

    private static void checkSteps(String name, long steps, long least) {
        check(steps >= least, name, "at least " + least, steps);
    }

    private static void check(boolean holds, String name, String expected, Object actual) {
        if (!holds) throw new IllegalArgumentException(name + ": expected " + expected + ", got " + actual);
    }
}
