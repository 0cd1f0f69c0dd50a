package kudari;

/**
 * How a {@link LossScale} moves. In float16 small gradients vanish, so the loss is multiplied by a number before its gradient is taken, and gradients are divided by it
 * before a step. The number that is best is the largest with which no gradient overflows, and changes as training goes on.
 *
 * <pre>
 *   overflow:      s ← s · backoff, and counting begins at 0
 *   no overflow:   after every so many steps (interval) in a row s ← s · growth</pre>
 *
 * <p>Each product is one of doubles, rounded to float32 once, and held between floor and ceiling. Powers of two stay powers of two, by which gradients are
 * divided without rounding.
 *
 * <p>{@link #dynamic} moves as PyTorch's {@code torch.amp.GradScaler} does, which has no floor: it may reach 0. DeepSpeed's and Megatron's is
 * {@code dynamic().interval(1_000).hysteresis(2).floor(1)}: with a hysteresis of n the first n − 1 overflows since the scale last grew leave it as it is.
 *
 * <p>Source: P. Micikevicius et al., "Mixed Precision Training", ICLR 2018, arXiv:1710.03740, section 3.2.
 *
 * @param initial the first scale
 * @param growth what the scale is multiplied by when so many steps were good, at least 1
 * @param backoff what it is multiplied by on an overflow, above 0, at most 1
 * @param interval good steps in a row after which it grows, at least 1
 * @param hysteresis overflows since it last grew, from which on one makes it smaller, at least 1
 * @param floor the smallest scale, at least 2<sup>−126</sup>
 * @param ceiling the largest scale, at most 2<sup>126</sup>
 */
public record LossScaling(
        double initial, double growth, double backoff, long interval, long hysteresis, double floor, double ceiling) {

    /** One over a scale is a normal number of float32, too. */
    private static final double LEAST = 0x1p-126, MOST = 0x1p126;

    /** Checks that the numbers are in range. */
    public LossScaling {
        if (!(floor >= LEAST && ceiling <= MOST && floor <= ceiling))
            throw new IllegalArgumentException("floor and ceiling: expected numbers from 2^-126 to 2^126, the floor not"
                    + " above the ceiling, got " + floor + " and " + ceiling);
        if (!(initial >= floor && initial <= ceiling))
            throw new IllegalArgumentException("initial: expected a scale from the floor " + floor + " to the ceiling "
                    + ceiling + ", got " + initial);
        if (!(growth >= 1 && growth <= MOST))
            throw new IllegalArgumentException("growth: expected a number from 1 to 2^126, got " + growth);
        if (!(backoff >= LEAST && backoff <= 1))
            throw new IllegalArgumentException("backoff: expected a number from 2^-126 to 1, got " + backoff);
        if (interval < 1) throw new IllegalArgumentException("interval: expected at least 1 step, got " + interval);
        if (hysteresis < 1)
            throw new IllegalArgumentException("hysteresis: expected at least 1 overflow, got " + hysteresis);
    }

    /** From 2¹⁶, doubled after 2,000 good steps in a row and halved by an overflow. */
    public static LossScaling dynamic() {
        return new LossScaling(0x1p16, 2, 0.5, 2_000, 1, LEAST, MOST);
    }

    /**
     * A scale that does not move; steps in which a gradient overflows are left out all the same.
     *
     * @param scale best a power of two, by which gradients are divided without rounding
     */
    public static LossScaling fixed(double scale) {
        return new LossScaling(scale, 1, 1, 2_000, 1, scale, scale);
    }

    /** This, from another scale on. */
    public LossScaling initial(double initial) {
        return new LossScaling(initial, growth, backoff, interval, hysteresis, floor, ceiling);
    }

    /** This, multiplied by another number when so many steps were good. */
    public LossScaling growth(double growth) {
        return new LossScaling(initial, growth, backoff, interval, hysteresis, floor, ceiling);
    }

    /** This, multiplied by another number on an overflow. */
    public LossScaling backoff(double backoff) {
        return new LossScaling(initial, growth, backoff, interval, hysteresis, floor, ceiling);
    }

    /** This, grown after so many good steps in a row. */
    public LossScaling interval(long interval) {
        return new LossScaling(initial, growth, backoff, interval, hysteresis, floor, ceiling);
    }

    /** This, made smaller only from so many overflows on. */
    public LossScaling hysteresis(long hysteresis) {
        return new LossScaling(initial, growth, backoff, interval, hysteresis, floor, ceiling);
    }

    /** This, never smaller than a scale. */
    public LossScaling floor(double floor) {
        return new LossScaling(initial, growth, backoff, interval, hysteresis, floor, ceiling);
    }

    /** This, never larger than a scale. */
    public LossScaling ceiling(double ceiling) {
        return new LossScaling(initial, growth, backoff, interval, hysteresis, floor, ceiling);
    }
}
