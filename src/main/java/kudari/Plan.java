package kudari;

/**
 * Which memory a step works on: for every parameter that is not frozen, in order of names, its tensors and its group.
 *
 * @param params the parameters
 * @param grads their gradients
 * @param state their state arrays, in the order of their rule; behind them what {@link Types#more} counts
 * @param groups the number of each one's group
 * @param types of each one
 * @param keys of the random bits of each one, where any are used
 */
record Plan(Tensor[] params, Tensor[] grads, Tensor[][] state, int[] groups, Types[] types, long[] keys) {

    int size() {
        return params.length;
    }

    long elements() {
        long elements = 0;
        for (Tensor param : params) elements += param.size();
        return elements;
    }

    /** Where the float32 value of a parameter is, or the half of it that a remainder goes with: in its master, or in itself. */
    Tensor value(int n, boolean averaged) {
        return types[n].hasMaster() ? kept(n, averaged) : params[n];
    }

    /** What is kept of a parameter behind its rule's own state: its master or its remainder, where there is one. */
    Tensor kept(int n, boolean averaged) {
        return state[n][state[n].length - (averaged ? 2 : 1)];
    }
}
