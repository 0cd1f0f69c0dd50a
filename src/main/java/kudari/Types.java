package kudari;

/**
 * The types of a parameter and its gradient, and how its float32 value is kept: what a step is specialised by.
 *
 * @param kept {@link Master.Kind#NEAREST} for a parameter of float32, which is its own value
 */
record Types(Dtype param, Dtype grad, Master.Kind kept) {

    static final Types FLOAT32 = new Types(Dtype.F32, Dtype.F32, Master.Kind.NEAREST);

    /**
     * Of a parameter, its gradient and the master that its group asks for.
     *
     * @throws IllegalArgumentException if they do not go together
     */
    static Types of(String name, Tensor param, Tensor grad, Master master) {
        Dtype p = param.dtype(), g = grad.dtype();
        if (g != p && g != Dtype.F32)
            throw new IllegalArgumentException("grads '" + name + "': expected a tensor of "
                    + (p == Dtype.F32 ? "F32" : p + " or F32") + ", for its parameter is of " + p + ", got " + grad);
        if (p == Dtype.F16 && (master.kind() == Master.Kind.STOCHASTIC || master.kind() == Master.Kind.REMAINDER))
            throw new IllegalArgumentException("params '" + name + "': expected BF16, which alone "
                    + (master.kind() == Master.Kind.REMAINDER ? "has a remainder" : "is rounded stochastically")
                    + ", got " + param + "; give its group the master FLOAT32");
        return p == Dtype.F32 ? FLOAT32 : new Types(p, g, master.kind());
    }

    boolean hasMaster() {
        return kept == Master.Kind.FLOAT32;
    }

    boolean hasRemainder() {
        return kept == Master.Kind.REMAINDER;
    }

    boolean isStochastic() {
        return kept == Master.Kind.STOCHASTIC;
    }

    /** How many arrays are behind the rule's own in the state of such a parameter: a master or a remainder, and an average. */
    int more(boolean averaged) {
        return (hasMaster() || hasRemainder() ? 1 : 0) + (averaged ? 1 : 0);
    }
}
