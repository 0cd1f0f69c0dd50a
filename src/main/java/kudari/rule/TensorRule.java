package kudari.rule;

/**
 * A rule that looks at a whole tensor: how far a step goes depends on sums over all elements of the parameter, its gradient or its update, and so does
 * every element on every other.
 *
 * <p>A step over one tensor has these parts. What is summed up, in double, is x: the gradient g as a guard leaves it, but not yet scaled; or, where the
 * rule {@linkplain #gathers gathers}, what {@link #gather} leaves in u.
 *
 * <pre>
 *   gather    state ← …,  u ← …                       only where the rule gathers
 *   sums      Σx², Σx·p, Σp²                          by the engine, of the p before the step
 *   trust     a factor, by one operation of IEEE 754 after the other in double, rounded once to float
 *   apply     the loop of {@link Rule}, with that factor</pre>
 *
 * <p>The loop reads {@code trust} where its formula has it, which need not be where {@link Rule} has it. Source of the idea: Y. You, I. Gitman and B.
 * Ginsburg, "Large Batch Training of Convolutional Networks", 2017, arXiv:1708.03888.
 */
public sealed interface TensorRule extends Rule permits Lars, NovoGrad, Lamb, FactoredRule {

    /** How many of the arrays of state have an element for each of the parameter's: the first ones. Each behind them is one number, for the tensor. */
    default int elementwise() {
        return state().size();
    }

    @Override
    default long[] shape(int array, long[] param) {
        return array < elementwise() ? param : new long[] {1};
    }

    /** Whether the update is what is summed up, and not the gradient: then {@link #gather} goes over all elements first. */
    default boolean gathers() {
        return false;
    }

    /**
     * The first of two loops over the elements, for a rule that gathers: state moves on, and what is to be summed up is left in {@code u}.
     *
     * @param u as long as {@code p}, written
     * @see Rule#apply
     */
    default void gather(float[] k, float scale, int from, int to, float[] p, float[] g, float[][] s, float[] u) {
        throw new UnsupportedOperationException(this + " looks at gradients alone");
    }

    /**
     * The factor of one tensor, which {@link #apply} is given.
     *
     * @param k the scalars of the step, from {@link #at}
     * @param scale what x is multiplied by before the rule's lines; 1 where that has been done
     * @param xx Σx²
     * @param xp Σx·p
     * @param pp Σp²
     * @param count of elements
     * @param n the number that the rule keeps of the tensor, read and written; 0 where it keeps none
     */
    float trust(float[] k, double scale, double xx, double xp, double pp, double count, float[] n);
}
