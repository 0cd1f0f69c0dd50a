package kudari;

/**
 * What happens to gradients before the rule sees them, in this order: they are divided by the loss scale, if there is {@linkplain LossScale one}, multiplied by a scale, negated where what they are
 * of is to grow, clipped, and where one is not finite the step may be left out. The gradients themselves stay as they are.
 *
 * <pre>{@code
 * Optimizer adam = engine.optimizer(AdamW.of(3e-4)).guard(Guard.clipNorm(1).scale(1.0 / microBatches));
 * }</pre>
 *
 * <p>A guard that clips by a norm leaves out every step in which a gradient is not finite, or a norm is more than 2¹²⁶ times the largest allowed:
 * parameters, state and step count stay as they were, and {@link Optimizer#skipped} counts it. On a device that happens there, and nothing waits
 * for it. What must be finite are the gradients as they come, before they are scaled. Sums of squares are taken in double, where they cannot
 * overflow, in an order that depends on names and shapes alone, so that the same bits come out on every engine.
 *
 * <p>Source of the clipping by norm: R. Pascanu, T. Mikolov and Y. Bengio, "On the difficulty of training recurrent neural networks", ICML 2013,
 * algorithm 1. PyTorch divides by the norm + 10⁻⁶ instead.
 *
 * @param clip what is held down to {@code max}
 * @param max the largest norm or element, positive, in units of the scaled gradient; infinite where nothing is clipped
 * @param scale what gradients are multiplied by first, positive
 * @param maximizes whether steps go up the gradient, not down
 * @param skips whether a step with a gradient that is not finite is left out
 */
public record Guard(Clip clip, double max, double scale, boolean maximizes, boolean skips) {

    /** What is held down. */
    public enum Clip {
        /** Nothing. */
        NOTHING,
        /** The norm of all gradients of an update, as one vector. */
        NORM,
        /** The norm of each tensor's gradient for itself. */
        TENSOR_NORM,
        /** The magnitude of each element. */
        VALUE
    }

    /** Takes gradients as they are. */
    public static final Guard NONE = new Guard(Clip.NOTHING, Double.POSITIVE_INFINITY, 1, false, false);

    /** Checks that the numbers are in range. */
    public Guard {
        if (clip == Clip.NOTHING
                ? max != Double.POSITIVE_INFINITY
                : !(max > 0 && (float) max <= Float.MAX_VALUE && (float) max > 0))
            throw new IllegalArgumentException("max: expected a positive number that float32 can hold, got " + max);
        if (!(scale >= Float.MIN_NORMAL && (float) scale <= Float.MAX_VALUE))
            throw new IllegalArgumentException(
                    "scale: expected a positive number that float32 can hold, of at least 2^-126, got " + scale);
        if (!skips && (clip == Clip.NORM || clip == Clip.TENSOR_NORM))
            throw new IllegalArgumentException("skips: clipping by a norm leaves out what is not finite, got false");
    }

    /**
     * Clips by the global norm: where ‖g‖, over all gradients of an update as one vector, exceeds the largest allowed, the step is that of
     * g · max / ‖g‖. PyTorch's {@code clip_grad_norm_}.
     *
     * @param max the largest norm
     */
    public static Guard clipNorm(double max) {
        return new Guard(Clip.NORM, max, 1, false, true);
    }

    /** Clips each tensor's gradient by its own norm. Keras's {@code clipnorm}. */
    public static Guard clipTensorNorm(double max) {
        return new Guard(Clip.TENSOR_NORM, max, 1, false, true);
    }

    /** Clips each element to −max … max; what is infinite becomes ±max, what is not a number stays so. PyTorch's {@code clip_grad_value_}. */
    public static Guard clipValue(double max) {
        return new Guard(Clip.VALUE, max, 1, false, false);
    }

    /** Leaves out every step in which a gradient is not finite. */
    public static Guard skipNonFinite() {
        return NONE.skips(true);
    }

    /**
     * Climbs: every step is that of −g. Norms and what is clipped are the same, and an L2 penalty and decay still pull towards 0. PyTorch's {@code
     * maximize}.
     */
    public static Guard maximize() {
        return NONE.maximizes(true);
    }

    /** This guard, with gradients multiplied by a number first: one over the number of micro-batches that they are the sum of, say. */
    public Guard scale(double scale) {
        return new Guard(clip, max, scale, maximizes, skips);
    }

    /** This guard, with steps that go up the gradient, or down. */
    public Guard maximizes(boolean maximizes) {
        return new Guard(clip, max, scale, maximizes, skips);
    }

    /** This guard, which leaves out steps with gradients that are not finite, or does not. */
    public Guard skips(boolean skips) {
        return new Guard(clip, max, scale, maximizes, skips);
    }

    /** Whether a step must look at all gradients before it can begin. */
    boolean reduces() {
        return skips;
    }

    /** The largest element of a gradient that a rule is given; infinite for any. */
    float limit() {
        return clip == Clip.VALUE ? (float) max : Float.POSITIVE_INFINITY;
    }

    /** The norm beyond which a gradient is scaled down. */
    double maxNorm() {
        return clip == Clip.VALUE ? Double.POSITIVE_INFINITY : max;
    }

    /** What a gradient is multiplied by where no norm is too large: the scale, negative where steps go up. */
    double signedScale() {
        return maximizes ? -scale : scale;
    }

    /**
     * What a gradient of this norm is multiplied by; {@code factor} of {@code kernels/reduce.cu}.
     *
     * @param scale what it is multiplied by where the norm is not too large
     */
    float factor(double norm, double scale) {
        return (float) (norm > maxNorm() ? scale * (maxNorm() / norm) : scale);
    }
}
