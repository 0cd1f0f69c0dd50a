package kudari;

import kudari.rule.Rule;

/**
 * Which rule a step follows: a pure function of the step, so that a run that was stopped and resumed follows the same rules.
 *
 * <pre>{@code
 * Schedule warmUp = t -> Adam.of(1e-3 * Math.min(1, t / 500.0));
 * Optimizer adam = engine.optimizer(warmUp);
 * }</pre>
 *
 * <p>Where only the learning rate changes, {@link Rate} has the usual ones.
 */
@FunctionalInterface
public interface Schedule {

    /**
     * The rule of one step. For all steps it must be of one kind (all Adam, say), because the state is that kind's.
     *
     * @param t the step, counted from 1
     */
    Rule rule(long t);
}
