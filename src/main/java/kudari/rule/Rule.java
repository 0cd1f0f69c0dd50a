package kudari.rule;

import java.util.List;

/**
 * What an optimizer computes: an immutable record of hyperparameters, and the loop that is <em>the definition</em> of one step.
 *
 * <p>A step has two parts. {@link #at} works out, once per step and in double precision, the few numbers that do not depend on the
 * element, and rounds each of them once to float. {@link #apply} is the loop over the elements; every operation in it is one IEEE 754
 * float operation, in the order written, so that every engine computes the same bits.
 *
 * <p>Where libraries disagree on a detail (ε inside or outside the root, the learning rate inside or outside the velocity), the
 * difference is a value among those numbers and never a branch: one loop serves all.
 */
public sealed interface Rule permits Sgd, Momentum, Nesterov, AdaGrad, RmsProp, Adam {

    /** The length of the array that {@link #at} fills: 8 floats, of which a rule uses as many as it needs. */
    int SCALARS = 8;

    /**
     * The learning rate, from 0 up. At 0 a finite gradient moves no parameter (but −0 may become 0), while the state goes on gathering.
     */
    double lr();

    /** The names of the state arrays, in the order in which {@link #apply} takes them; each is as long as its parameter. */
    List<String> state();

    /** The value at which every element of the state starts: 0 unless the rule says otherwise. */
    default float initial() {
        return 0;
    }

    /**
     * Works out the scalars of one step.
     *
     * @param t the step, counted from 1
     * @param k receives the scalars, in the order in which {@link #apply} reads them; at least {@link #SCALARS} long
     */
    void at(long t, float[] k);

    /**
     * One step over the elements {@code from} (inclusive) to {@code to} (exclusive), in place. Elements do not depend on each other, so
     * a range may be cut anywhere and its pieces done in any order without changing a bit.
     *
     * @param k the scalars of the step, from {@link #at}
     * @param p the parameter, read and written
     * @param g its gradient, as long as {@code p}, read
     * @param s the state arrays, in the order of {@link #state}, each as long as {@code p}, read and written
     */
    void apply(float[] k, int from, int to, float[] p, float[] g, float[][] s);
}
