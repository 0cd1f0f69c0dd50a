package kudari;

import kudari.rule.Rule;

/**
 * The types of a parameter and its gradient, how its float32 value is kept, and its state: what a step is specialised by.
 *
 * @param kept {@link Master.Kind#NEAREST} for a parameter of float32, which is its own value
 * @param state as of a parameter of its size
 */
record Types(Dtype param, Dtype grad, Master.Kind kept, StateFormat state) {

    static final Types FLOAT32 = new Types(Dtype.F32, Dtype.F32, Master.Kind.NEAREST, StateFormat.FLOAT32);

    /**
     * Of a parameter, its gradient and what its group asks for.
     *
     * @throws IllegalArgumentException if they do not go together
     */
    static Types of(String name, Tensor param, Tensor grad, Master master, StateFormat state) {
        Dtype p = param.dtype(), g = grad.dtype();
        if (!p.isOfParameters())
            throw new IllegalArgumentException("params '" + name + "': expected F32, BF16 or F16, got " + param);
        if (g != p && g != Dtype.F32)
            throw new IllegalArgumentException("grads '" + name + "': expected a tensor of "
                    + (p == Dtype.F32 ? "F32" : p + " or F32") + ", for its parameter is of " + p + ", got " + grad);
        if (p == Dtype.F16 && (master.kind() == Master.Kind.STOCHASTIC || master.kind() == Master.Kind.REMAINDER))
            throw new IllegalArgumentException("params '" + name + "': expected BF16, which alone "
                    + (master.kind() == Master.Kind.REMAINDER ? "has a remainder" : "is rounded stochastically")
                    + ", got " + param + "; give its group the master FLOAT32");
        return new Types(p, g, p == Dtype.F32 ? Master.Kind.NEAREST : master.kind(), state);
    }

    boolean hasMaster() {
        return kept == Master.Kind.FLOAT32;
    }

    boolean hasRemainder() {
        return kept == Master.Kind.REMAINDER;
    }

    /** Whether the parameter is rounded stochastically. */
    boolean isStochastic() {
        return kept == Master.Kind.STOCHASTIC;
    }

    /** Whether anything is. */
    boolean isRandom() {
        return isStochastic() || state == StateFormat.BFLOAT16_STOCHASTIC;
    }

    /** How many of a rule's arrays are in 8 bits. */
    int blockwise(Rule rule) {
        int count = 0;
        for (int n = 0; n < rule.state().size(); n++) if (dtype(rule, n) == Dtype.U8) count++;
        return count;
    }

    /** The type of an array of a rule. */
    Dtype dtype(Rule rule, int array) {
        return state.dtype(rule.compression(array));
    }

    /**
     * How many arrays are behind the rule's own in the state of such a parameter: the largest magnitudes of blocks, a master or a remainder, and an
     * average.
     */
    int more(Rule rule, boolean averaged) {
        return blockwise(rule) + (hasMaster() || hasRemainder() ? 1 : 0) + (averaged ? 1 : 0);
    }
}
