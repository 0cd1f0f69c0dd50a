package kudari;

import java.util.Objects;
import kudari.rule.Rule;

/**
 * Which rule a step follows: a pure function of the step, so that a run that was stopped and resumed follows the same rules.
 *
 * <pre>{@code
 * Schedule warmUp = t -> Adam.of(1e-3 * Math.min(1, t / 500.0));
 * Optimizer adam = engine.optimizer(warmUp);
 * }</pre>
 *
 * <p>Where only the learning rate changes, {@link LearningRate} has the usual ones.
 *
 * <p>It is asked ahead, for up to 64 steps beyond the one that an update may be, and on a device up to that many more where
 * steps may have been left out: at the same updates on every engine. What it throws for a step, where a table of rates ends, say, is the cause of
 * the {@link IllegalStateException} of the update that would be that step.
 */
@FunctionalInterface
public interface Schedule {

    /**
     * The rule of one step. For all steps it must be of one kind (all Adam, say), because the state is that kind's.
     *
     * @param t the step, counted from 1
     */
    Rule rule(long t);

    /** One rule for all steps. */
    static Schedule of(Rule rule) {
        Objects.requireNonNull(rule, "rule");
        return t -> rule;
    }
}
