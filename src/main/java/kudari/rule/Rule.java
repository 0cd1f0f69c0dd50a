package kudari.rule;

import java.util.List;
import java.util.stream.Stream;

/**
 * What an optimizer computes: an immutable record of hyperparameters, and the loop that is <em>the definition</em> of one step.
 *
 * <p>A step has two parts. {@link #at} works out, once per step and in double precision, the few numbers that do not depend on the
 * element, and rounds each of them once to float. {@link #apply} is the loop over the elements; every operation in it is one IEEE 754
 * float operation, in the order written, so that every engine computes the same bits.
 *
 * <p>Where libraries disagree on a detail (ε inside or outside the root, the learning rate inside or outside the velocity), the
 * difference is a value among those numbers and never a branch: one loop serves all.
 *
 * <p>What surrounds the update u of a rule is the same for every rule:
 *
 * <pre>
 *   g ← scale·g + l2·p                 before it: coupled decay, an L2 penalty of l2/2·‖p‖² in the loss
 *   p ← p − trust·(u + lr·decay·p)     after it: decoupled weight decay</pre>
 *
 * where scale, which is 1 unless a guard says otherwise, and trust, which is 1 but for a {@link TensorRule}, come from outside the loop. Coupled decay: A. Krogh and J. A. Hertz, "A Simple Weight
 * Decay Can Improve Generalization", NIPS 1991. Decoupled: I. Loshchilov and F. Hutter, "Decoupled Weight Decay Regularization", ICLR 2019,
 * arXiv:1711.05101, as PyTorch scales it, with the learning rate. The Schedule-Free rules alone, which average over their steps, have it in u, as their paper
 * does.
 *
 * <p>State that decays without new gradients stops at a few multiples of 2<sup>−102</sup> (a mean) or 2<sup>−126</sup> (a mean of squares) and
 * never becomes subnormal, for a processor works on subnormal numbers up to a hundred times slower. Gradients below about 3·10<sup>−18</sup>,
 * whose squares are subnormal, still cost that.
 */
public sealed interface Rule
        permits Sgd,
                Momentum,
                Nesterov,
                AdaGrad,
                RmsProp,
                RmsPropMomentum,
                RmsPropCentered,
                Lion,
                SignSgd,
                Rprop,
                Madgrad,
                Ftrl,
                Adam,
                AmsGrad,
                AdaBelief,
                NAdam,
                RAdam,
                Adamax,
                AdaDelta,
                Yogi,
                Adan,
                AdEMAMix,
                Adopt,
                ScheduleFreeSgd,
                ScheduleFreeAdamW,
                TensorRule,
                MatrixRule,
                CustomRule {

    /** The length of the array that {@link #at} fills: 16 floats. A rule uses as many as it needs, but not the last three, which are the engine's. */
    int SCALARS = 16;

    /** The classes of all rules that are here, in the order in which they are permitted: those of the records. */
    static List<Class<?>> classes() {
        return Stream.of(Rule.class, TensorRule.class, FactoredRule.class, MatrixRule.class)
                .flatMap(type -> Stream.of(type.getPermittedSubclasses()))
                .filter(Class::isRecord)
                .toList();
    }

    /**
     * The learning rate, from 0 up. At 0 a finite gradient moves no finite parameter (but −0 may become 0), while the state goes on gathering.
     */
    double lr();

    /** The factor of the parameter in the gradient: coupled weight decay, from 0 up; in units of gradient per parameter. */
    double l2();

    /** Decoupled weight decay, from 0 up: a step takes lr · decay of the parameter away. */
    double decay();

    /** This rule with another learning rate. */
    Rule lr(double lr);

    /** This rule with another coupled decay. */
    Rule l2(double l2);

    /** This rule with another decoupled decay. */
    Rule decay(double decay);

    /**
     * The names of the state arrays, in the order in which {@link #apply} takes them. An array that means something else has another name, and two
     * rules of one class with other names cannot go on from each other's state.
     */
    List<String> state();

    /**
     * The shape of a state array: the parameter's, except for what a {@link TensorRule} keeps of a whole tensor.
     *
     * @param array its number, in the order of {@link #state}
     * @param param the shape of the parameter
     */
    default long[] shape(int array, long[] param) {
        return param;
    }

    /**
     * The shape of the parameter that state of these shapes belongs to.
     *
     * @param state of all arrays, in the order of {@link #state}
     */
    default long[] like(List<long[]> state) {
        return state.get(0);
    }

    /**
     * The value at which every element of a state array starts, rounded to the format in which it is kept: 0 unless the rule says otherwise.
     *
     * @param array its number, in the order of {@link #state}
     */
    default float initial(int array) {
        return 0;
    }

    /** What a state array loses where it is kept in fewer bits than float32, as {@link kudari.StateFormat} asks for. */
    enum Compression {
        /** Too much: it stays in float32. */
        NONE,
        /** Little, in bfloat16 or in 8 bits: it is a mean of gradients. */
        SIGNED,
        /** Little, in 8 bits of which none is for a sign: it is a mean of squares, and never negative. */
        UNSIGNED
    }

    /**
     * Whether a state array may be kept in fewer bits than float32: no, unless the rule says otherwise. Only an array as long as the parameter may, of a rule
     * that looks at no more than an element, and only one whose {@link #evaluation} is 0.
     *
     * @param array its number, in the order of {@link #state}
     */
    default Compression compression(int array) {
        return Compression.NONE;
    }

    /** Whether every engine computes the same bits. A {@link MatrixRule}, whose products have no one order of additions, says no. */
    default boolean isExact() {
        return true;
    }

    /**
     * How the parameter that is to be used lies beside the one that trains: it is p + Σ evaluation(a)·s[a]. 0 for every array, for they are one, unless
     * the rule says otherwise, as those do that take gradients elsewhere than where they have got to.
     *
     * @param array its number, in the order of {@link #state}
     */
    default float evaluation(int array) {
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
     * One step over the elements {@code from} (inclusive) to {@code to} (exclusive), in place. Elements do not depend on each other, but by
     * {@code trust}, so a range may be cut anywhere and its pieces done in any order without changing a bit.
     *
     * @param k the scalars of the step, from {@link #at}
     * @param scale what the gradient is multiplied by, as where it is clipped
     * @param trust what the update and the decay are multiplied by; or what a {@link TensorRule} makes of it
     * @param p the parameter, read and written
     * @param g its gradient, as long as {@code p}, read
     * @param s the state arrays, in the order of {@link #state}, read and written; all but a {@link TensorRule}'s numbers as long as {@code p}
     */
    void apply(float[] k, float scale, float trust, int from, int to, float[] p, float[] g, float[][] s);
}
