package kudari;

import java.util.Objects;

/**
 * How the float32 value of a parameter of 16 bits is kept from one step to the next: what {@link Group#master} asks for. Rules compute in float32 whatever
 * the type, and a step is often smaller than half the distance of two neighbours in 16 bits: rounded to nearest it would be lost, each time.
 *
 * <p>Parameters of float32 need none, and it changes nothing for them: a group may hold both.
 *
 * @param kind which way
 * @param seed of the random bits of {@link Kind#STOCHASTIC}; 0 for others
 * @see <a href="https://arxiv.org/abs/1710.03740">P. Micikevicius et al., "Mixed Precision Training", ICLR 2018</a>
 */
public record Master(Kind kind, long seed) {

    /** The ways. */
    public enum Kind {
        /** A copy in float32, the array {@code master} of the parameter's state, begins as the parameter; the parameter is the copy, rounded. */
        FLOAT32,
        /**
         * The lower half of the float32 value, of which bfloat16 is the upper, 16 bits more in the array {@code remainder} of the parameter's state:
         * together the bits of a {@link #FLOAT32} master in half the memory. The parameter is the value rounded to nearest, ties away from zero; what is
         * kept is what that added or took, as two's complement, in a tensor whose type says {@code BF16} for its 16 bits alone.
         */
        REMAINDER,
        /**
         * No copy: the result of each step is rounded to one of the two bfloat16 around it, so that it is right in the mean. The random bits depend on
         * the seed, the step of the optimizer, the name and the place in the tensor alone, and so are the same on both engines, in other groups and after
         * a resume.
         */
        STOCHASTIC,
        /** No copy: the result of each step is rounded to nearest. It loses updates of less than half the distance of two neighbours. */
        NEAREST
    }

    /** A copy in float32, 4 bytes more of a parameter and 8 that a step moves; without another word, what a group has. */
    public static final Master FLOAT32 = new Master(Kind.FLOAT32, 0);

    /** For bfloat16: the other 16 bits of float32, as Apex and TransformerEngine keep them; 2 bytes more of a parameter and 4 that a step moves. */
    public static final Master REMAINDER = new Master(Kind.REMAINDER, 0);

    /** Rounds to nearest and keeps no more: for parameters that move far, or as what others are measured by. */
    public static final Master NEAREST = new Master(Kind.NEAREST, 0);

    /** The names of what is kept among a parameter's state. */
    static final String MASTER = "master", REST = "remainder";

    /** Checks that there is a kind, and a seed only where it is used. */
    public Master {
        Objects.requireNonNull(kind, "kind");
        if (seed != 0 && kind != Kind.STOCHASTIC)
            throw new IllegalArgumentException("seed: expected 0 where nothing is random, got " + seed);
    }

    /**
     * Rounds bfloat16 stochastically and keeps no more.
     *
     * @param seed of the random bits; like a learning rate it is in no checkpoint, and a run that resumes by another goes on by other random bits
     */
    public static Master stochastic(long seed) {
        return new Master(Kind.STOCHASTIC, seed);
    }

    /** The name of the array that is kept of a parameter of 16 bits; empty if none is. */
    String array() {
        return kind == Kind.FLOAT32 ? MASTER : kind == Kind.REMAINDER ? REST : "";
    }

    /** The type of a state array, by its name. */
    static Dtype type(String array) {
        return array.equals(REST) ? Dtype.BF16 : Dtype.F32;
    }
}
