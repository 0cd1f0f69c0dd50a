package kudari;

import kudari.rule.Rule;

/**
 * In how many bits the state of a group's parameters is kept: what {@link Group#state} asks for. Rules compute in float32 whatever the format, and what they
 * made is used before it is rounded. A rule {@linkplain Rule#compression says} which of its arrays take it; the others stay in float32.
 */
public enum StateFormat {
    /** 4 bytes an element; without another word, what a group has. */
    FLOAT32,
    /**
     * 2 bytes an element, rounded to nearest: of means of gradients. A mean of squares stays in float32, for with a β₂ of 0.999 a step moves it by less than
     * half the distance of two bfloat16, and it would stand still.
     */
    BFLOAT16,
    /**
     * 2 bytes an element, rounded to one of the two bfloat16 around it, so that it is right in the mean: of means of gradients and of squares. The random bits
     * are of the seed of the group's {@link Master}, of 0 where it has none, and as independent of engines, groups and resumes as {@link
     * Master#stochastic} says.
     */
    BFLOAT16_STOCHASTIC,
    /**
     * A byte an element, and 4 for each block of 256: the largest magnitude of the block, and of each element the number of one of 256 values, which is
     * multiplied by that. A parameter of fewer than 4,096 elements stays in float32. The array {@code m} is of {@link Dtype#U8} then, and behind the rule's
     * arrays there is one {@code m_absmax}.
     *
     * <p>The values are those of bitsandbytes' dynamic map, in ascending order; of two equally near ones the smaller is taken. A block of which an element
     * is infinite or NaN is NaN from then on.
     *
     * @see <a href="https://arxiv.org/abs/2110.02861">T. Dettmers et al., "8-bit Optimizers via Block-wise Quantization", ICLR 2022</a>
     */
    BLOCKWISE_8BIT;

    /** From so many elements on a parameter's state is blockwise. */
    static final int BLOCKWISE_FROM = 4096;

    /** The format of a parameter of so many elements, in a group that asks for this one. */
    StateFormat of(long elements) {
        return this == BLOCKWISE_8BIT && elements < BLOCKWISE_FROM ? FLOAT32 : this;
    }

    /** The type of a state array of a rule. */
    Dtype dtype(Rule.Compression compression) {
        if (this == FLOAT32 || compression == Rule.Compression.NONE) return Dtype.F32;
        if (this == BLOCKWISE_8BIT) return Dtype.U8;
        return this == BFLOAT16 && compression == Rule.Compression.UNSIGNED ? Dtype.F32 : Dtype.BF16;
    }

    /** Whether a rule's state can be kept in it: in {@link #FLOAT32} always, else where the rule says of an array that it takes fewer bits. */
    public boolean fits(Rule rule) {
        for (int n = 0; n < rule.state().size(); n++) if (dtype(rule.compression(n)) != Dtype.F32) return true;
        return this == FLOAT32;
    }
}
