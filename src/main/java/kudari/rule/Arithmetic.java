package kudari.rule;

/** The functions in the loops of the rules. {@code kernels/step.cuh} has the same ones, so that the loops can read the same in both languages. */
final class Arithmetic {

    /** Where {@link #flush} stops a mean: small against anything trained, and large enough that a rate times what is left is no subnormal. */
    static final float MEAN = 0x1p-78f;

    /** Where it stops a mean or a sum of squares, of which only the root is taken. */
    static final float SQUARE = 0x1p-102f;

    private Arithmetic() {}

    /** The gradient that a rule sees. */
    static float gradient(float g, float p, float scale, float l2) {
        return scale * g + l2 * p;
    }

    /** The parameter after an update u. */
    static float descend(float p, float u, float decay, float trust) {
        return p - trust * (u + decay * p);
    }

    /** Rounds x to a multiple of 2⁻²⁴ of a power of two, unless it is much larger: no subnormal number is left. Two operations, for a loop with a
     * comparison is not vectorised. */
    static float flush(float x, float power) {
        return (x + power) - power;
    }

    /** A learning rate times x, and 0 at a rate of 0 even where x has overflowed. */
    static float rate(float lr, float x) {
        return lr == 0 ? 0 : lr * x;
    }

    /** The larger of two: NaN where either is, and of two zeros the positive. */
    static float larger(float a, float b) {
        return Math.max(a, b);
    }

    /** x, or the nearest of least and most where it lies beyond; NaN stays NaN. Of a least of 0, which −0 lies beyond, {@link #larger} is the function. */
    static float clamp(float x, float least, float most) {
        return Math.max(least, Math.min(x, most));
    }

    /** x, or the nearest of −limit and limit where it lies beyond; NaN stays NaN. */
    static float clamp(float x, float limit) {
        return clamp(x, -limit, limit);
    }

    /** −1, 0 or 1; NaN of NaN, and −0 of −0. Even the smallest subnormal number times 2²⁵⁴ is above 1; a loop with {@code Math.signum} is not vectorised. */
    static float sign(float x) {
        return clamp(x * 0x1p127f * 0x1p127f, 1);
    }

    static float abs(float x) {
        return Math.abs(x);
    }

    /** The correctly rounded float root. */
    static float sqrt(float x) {
        return (float) Math.sqrt(x);
    }

    /**
     * βᵗ by squaring. It uses multiplications alone, so it gives the same bits on every JVM, which {@code Math.pow} need not; and it
     * allocates nothing, which {@code StrictMath.pow} does. Its relative error is at most t·2⁻⁵², and βᵗ·t is never large.
     */
    static double power(double beta, long t) {
        double power = 1;
        for (double square = beta; t > 0; t >>= 1, square *= square) {
            if ((t & 1) == 1) power *= square;
        }
        return power;
    }
}
