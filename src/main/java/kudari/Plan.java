package kudari;

/**
 * Which memory a step works on: for every parameter that is not frozen, in order of names, its tensors and its group.
 *
 * @param params the parameters
 * @param grads their gradients
 * @param state their state arrays, in the order of their rule
 * @param groups the number of each one's group
 */
record Plan(Tensor[] params, Tensor[] grads, Tensor[][] state, int[] groups) {

    int size() {
        return params.length;
    }

    long elements() {
        long elements = 0;
        for (Tensor param : params) elements += param.size();
        return elements;
    }
}
