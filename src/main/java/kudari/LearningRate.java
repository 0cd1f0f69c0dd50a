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
 * <p>Rates are put together: {@link #warmUp} goes before one, {@link #then} goes on with another, {@link #every} slows one down, as where it is
 * meant by the epoch, and {@link #times} gives a group of parameters its share. With those, what other libraries have names for is
 *
 * <table>
 *   <caption>Schedules of other libraries</caption>
 *   <tr><th>theirs<th>here
 *   <tr><td>any of PyTorch's, stepped once an epoch of n steps<td>{@code rate.every(n)}
 *   <tr><td>{@code SequentialLR}, optax's {@code join_schedules}<td>{@code first.then(100, second).then(300, third)}
 *   <tr><td>{@code MultiStepLR}<td>{@link #multiStep}
 *   <tr><td>{@code ConstantLR}, optax's {@code piecewise_constant_schedule}<td>{@code constant(0.1).then(100, constant(0.02))}
 *   <tr><td>Keras's {@code PiecewiseConstantDecay([100], [0.1, 0.02])}, whose boundary belongs to the value before it<td>{@code
 *       constant(0.1).then(101, constant(0.02))}
 *   <tr><td>Keras's and optax's {@code ExponentialDecay} by 0.9 in n steps<td>{@code exponential(lr, Math.pow(0.9, 1.0 / n))}; with {@code
 *       staircase} {@code step(lr, n, 0.9)}
 *   <tr><td>Keras's {@code InverseTimeDecay(lr, n, rate)}<td>{@code inverseTime(lr, rate / n)}; with {@code staircase} {@code inverseTime(lr,
 *       rate).every(n)}
 *   <tr><td>warm-up, stable, decay<td>{@code constant(lr).then(8_000, linear(lr, 0, 2_000)).warmUp(500)}
 *   <tr><td>optax's {@code warmup_cosine_decay_schedule(0, max, w, n, end)}<td>{@code linear(0, max, w).then(w, cosine(max, end, n - w))}
 *   <tr><td>{@code CosineAnnealingWarmRestarts}, Keras's {@code CosineDecayRestarts}<td>{@link #cosineRestarts}
 *   <tr><td>{@code CyclicLR}<td>{@link #cyclic(double, double, long, long, LearningRate)}
 *   <tr><td>{@code LambdaLR}<td>{@code t -> lr * factor(t)}: this is a functional interface
 *   <tr><td>{@code ReduceLROnPlateau}, which is no function of the step<td>{@link Plateau}
 * </table>
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
        return exponential(lr, factor).every(every);
    }

    /**
     * Stairs of any length: lr times the factor once for every milestone that is behind. PyTorch's {@code MultiStepLR}.
     *
     * @param lr the learning rate up to the first milestone
     * @param factor what a stair is to the one before, above 0, at most 1
     * @param milestones the last step of each stair but the last, in rising order, each at least 1
     */
    static LearningRate multiStep(double lr, double factor, long... milestones) {
        checkFactor(factor);
        LearningRate rate = constant(lr);
        for (int n = 0; n < milestones.length; n++) {
            checkSteps("milestones", milestones[n], n == 0 ? 1 : milestones[n - 1] + 1);
            rate = rate.then(milestones[n], constant(lr * StrictMath.pow(factor, n + 1)));
        }
        return rate;
    }

    /**
     * Exponential decay: lr · factor<sup>t − 1</sup>, without end. PyTorch's {@code ExponentialLR}, stepped every step and not every epoch;
     * optax's {@code exponential_decay} with one transition step.
     *
     * @param lr the learning rate of the first step
     * @param factor what a step's rate is to that of the step before, above 0, at most 1
     */
    static LearningRate exponential(double lr, double factor) {
        checkRate("lr", lr);
        checkFactor(factor);
        return t -> lr * StrictMath.pow(factor, t - 1);
    }

    /**
     * Inverse time: lr / (1 + decay · (t − 1)), without end. {@code lr_decay} of PyTorch's {@code Adagrad}; Keras's {@code InverseTimeDecay} with
     * one decay step.
     *
     * @param lr the learning rate of the first step
     * @param decay how much of it the denominator gains in a step, a finite number from 0 up
     */
    static LearningRate inverseTime(double lr, double decay) {
        checkRate("lr", lr);
        check(decay >= 0 && decay < Double.POSITIVE_INFINITY, "decay", "a finite number from 0 up", decay);
        return t -> lr / (1 + decay * (t - 1));
    }

    /**
     * Inverse square root: up in a straight line to max in step {@code warmUp}, then down with the root of the step, without end.
     *
     * <pre>  max · min(t / warmUp, √(warmUp / t))</pre>
     *
     * <p>Source: A. Vaswani et al., "Attention Is All You Need", NIPS 2017, equation 3, whose max is (d · warmUp)<sup>−½</sup> for a model of width
     * d; named after N. Shazeer ("Noam").
     *
     * @param max the learning rate at the top
     * @param warmUp the step that has it, at least 1, for none before it: lr / √t
     */
    static LearningRate inverseSquareRoot(double max, long warmUp) {
        checkRate("max", max);
        checkSteps("warmUp", warmUp, 1);
        return t -> max * (t < warmUp ? (double) t / warmUp : Math.sqrt((double) warmUp / t));
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
     * The half wave of {@link #cosine} again and again, each time {@code factor} times as long as before. PyTorch's {@code
     * CosineAnnealingWarmRestarts}; Keras's {@code CosineDecayRestarts} without {@code m_mul}.
     *
     * <p>Source: I. Loshchilov and F. Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", ICLR 2017, equation 5.
     *
     * @param from the learning rate of the first step of each wave
     * @param to the learning rate that each wave falls towards, and which the next one begins instead of
     * @param steps the number of steps of the first wave, at least 1; the paper's T₀
     * @param factor how many times as long as a wave the next one is, at least 1; the paper's T_mult
     */
    static LearningRate cosineRestarts(double from, double to, long steps, long factor) {
        checkWay(from, to, steps);
        checkSteps("factor", factor, 1);
        return t -> {
            long done = t - 1, length = steps;
            if (factor == 1) done %= length;
            while (done >= length) {
                done -= length;
                length = length > Long.MAX_VALUE / factor ? Long.MAX_VALUE : length * factor;
            }
            return between(to, from, wave((double) done / length));
        };
    }

    /**
     * Up and down in straight lines, again and again. PyTorch's {@code CyclicLR} as {@code triangular}.
     *
     * @see #cyclic(double, double, long, long, LearningRate)
     */
    static LearningRate cyclic(double base, double max, long up, long down) {
        return cyclic(base, max, up, down, constant(1));
    }

    /**
     * Up and down in straight lines, again and again, the way up from the base multiplied by a factor of each step. PyTorch's {@code CyclicLR}: {@code
     * exponential(1, 0.5).every(up + down)}, half as high in every cycle, is its {@code triangular2}, {@code exponential(1, gamma)} its {@code
     * exp_range}.
     *
     * <p>Source: L. N. Smith, "Cyclical Learning Rates for Training Neural Networks", WACV 2017, arXiv:1506.01186.
     *
     * @param base the learning rate of the first step of each cycle
     * @param max the learning rate at the top of a cycle whose factor is 1
     * @param up the number of steps from base to max, at least 1
     * @param down the number of steps back, at least 1
     * @param height the factor of each step, from 0 to 1
     */
    static LearningRate cyclic(double base, double max, long up, long down, LearningRate height) {
        checkRate("base", base);
        checkRate("max", max);
        checkSteps("up", up, 1);
        checkSteps("down", down, 1);
        Objects.requireNonNull(height, "height");
        long cycle = Math.addExact(up, down);
        return t -> {
            long done = (t - 1) % cycle;
            double x = done < up ? (double) done / up : (double) (cycle - done) / down;
            return between(base, max, x * height.at(t));
        };
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
     * This rate for so many steps, and after them another, from its own step 1 on. In a longer chain the numbers are all counted from the start:
     * {@code a.then(100, b).then(300, c)} has 100 steps of a, 200 of b, and the rest of c.
     *
     * @param steps how many steps of this rate, from 0 up
     * @param next the rate of all that follow
     */
    default LearningRate then(long steps, LearningRate next) {
        checkSteps("steps", steps, 0);
        Objects.requireNonNull(next, "next");
        return t -> t <= steps ? at(t) : next.at(t - steps);
    }

    /**
     * This rate slowed down to stairs: that of its step 1 for the first {@code every} steps, that of its step 2 for as many again.
     *
     * @param every the number of steps on one stair, at least 1: those of an epoch, where this rate is meant by the epoch
     */
    default LearningRate every(long every) {
        checkSteps("every", every, 1);
        return t -> at(1 + (t - 1) / every);
    }

    /**
     * This rate times a number, as for a group of parameters that moves slower than the others:
     *
     * <pre>{@code
     * LearningRate rate = LearningRate.cosine(3e-4, 0, 10_000);
     * engine.optimizer(Group.of("embed.*", rate.times(0.1).of(AdamW.of())), Group.rest(rate.of(AdamW.of())));
     * }</pre>
     *
     * @param factor a finite number from 0 up
     */
    default LearningRate times(double factor) {
        checkRate("factor", factor);
        return t -> factor * at(t);
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

    private static void checkFactor(double factor) {
        check(factor > 0 && factor <= 1, "factor", "a number above 0, at most 1", factor);
    }

    private static void checkSteps(String name, long steps, long least) {
        check(steps >= least, name, "at least " + least, steps);
    }

    private static void check(boolean holds, String name, String expected, Object actual) {
        if (!holds) throw new IllegalArgumentException(name + ": expected " + expected + ", got " + actual);
    }
}
