package kudari;

import kudari.rule.Rule;

/**
 * What one of a parameter's state arrays is like.
 *
 * @param name by which {@link Optimizer#state(String)} has it
 * @param dtype its type
 * @param shape its extents
 */
public record StateArray(String name, Dtype dtype, long[] shape) {

    /** Behind the name of an array, that of the largest magnitudes of its blocks. */
    static final String ABSMAX = "_absmax";

    /** Copies the shape. */
    public StateArray {
        shape = shape.clone();
    }

    /** Whether it is a rule's: one that the rule names, or the largest magnitudes of one. The others are its group's. */
    public boolean isOf(Rule rule) {
        return rule.state().contains(name) || rule.state().stream().anyMatch(own -> name.equals(own + ABSMAX));
    }

    @Override
    public long[] shape() {
        return shape.clone();
    }
}
