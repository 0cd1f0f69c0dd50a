package kudari.rule;

/**
 * The functions in the loops of the rules, for {@code import static}. {@code kernels/step.cuh} has the same ones, so that the loops can read the same in
 * both languages.
 */
public final class Arithmetic {

    /** Where {@link #flush} stops a mean: small against anything trained, and large enough that a rate times what is left is no subnormal. */
    public static final float MEAN = 0x1p-78f;

    /** Where it stops a mean or a sum of squares, of which only the root is taken. */
    public static final float SQUARE = 0x1p-102f;

    /** The largest finite float: where a factor stops, so that 0 times it is 0. */
    public static final float LARGEST = Float.MAX_VALUE;

    private Arithmetic() {}

    /** The gradient that a rule sees. */
    public static float gradient(float g, float p, float scale, float l2) {
        return scale * g + l2 * p;
    }

    /** The parameter after an update u. */
    public static float descend(float p, float u, float decay, float trust) {
        return p - trust * (u + decay * p);
    }

    /** Rounds x to a multiple of 2⁻²⁴ of a power of two, unless it is much larger: no subnormal number is left. Two operations, for a loop with a
     * comparison is not vectorised. */
    public static float flush(float x, float power) {
        return (x + power) - power;
    }

    /** A point that follows p after it has gone a part of the way there; {@code Group.average}. */
    public static float follow(float a, float p, float pull) {
        return flush(a + pull * (p - a), MEAN);
    }

    /** A learning rate times x, and 0 at a rate of 0 even where x has overflowed. */
    public static float rate(float lr, float x) {
        return lr == 0 ? 0 : lr * x;
    }

    /** The larger of two: NaN where either is, and of two zeros the positive. */
    public static float larger(float a, float b) {
        return Math.max(a, b);
    }

    /** x, or the nearest of least and most where it lies beyond; NaN stays NaN. Of a least of 0, which −0 lies beyond, {@link #larger} is the function. */
    public static float clamp(float x, float least, float most) {
        return Math.max(least, Math.min(x, most));
    }

    /** x, or the nearest of −limit and limit where it lies beyond; NaN stays NaN. */
    public static float clamp(float x, float limit) {
        return clamp(x, -limit, limit);
    }

    /** −1, 0 or 1; NaN of NaN, and −0 of −0. Even the smallest subnormal number times 2²⁵⁴ is above 1; a loop with {@code Math.signum} is not vectorised. */
    public static float sign(float x) {
        return clamp(x * 0x1p127f * 0x1p127f, 1);
    }

    /** Without its sign. */
    public static float abs(float x) {
        return Math.abs(x);
    }

    /** The correctly rounded float root. */
    public static float sqrt(float x) {
        return (float) Math.sqrt(x);
    }

    /**
     * The cube root of a number from 2⁻¹²⁶ to 2¹²⁶, and of one beyond that of the nearest; NaN of NaN. Its relative error is below 2⁻²³.
     *
     * <p>x¹ᐟ⁴·x¹ᐟ¹⁶·x¹ᐟ⁶⁴ is off by x¹ᐟ¹⁹², a factor of at most 1.58 and at least 0.63. A step of Halley's leaves at most 1.056, another 1.00011. The
     * last is Newton's, which squares that error, to a quarter of a rounding u = 2⁻²⁴; its quotient c/y² is off by 2u, of which a third goes into the
     * correction, and the difference is rounded: 1.92u.
     */
    public static float cubeRoot(float x) {
        float c = clamp(x, 0x1p-126f, 0x1p126f);
        float a = sqrt(sqrt(c)), b = sqrt(sqrt(a)), y = a * b * sqrt(sqrt(b));
        float cube = y * y * y;
        y = y * ((cube + c + c) / (cube + cube + c));
        cube = y * y * y;
        y = y * ((cube + c + c) / (cube + cube + c));
        return y - (y - c / (y * y)) * 0x1.555556p-2f;
    }

    /**
     * βᵗ by squaring. It uses multiplications alone, so it gives the same bits on every JVM, which {@code Math.pow} need not; and it
     * allocates nothing, which {@code StrictMath.pow} does. Its relative error is at most t·2⁻⁵², and βᵗ·t is never large.
     */
    public static double power(double beta, long t) {
        double power = 1;
        for (double square = beta; t > 0; t >>= 1, square *= square) {
            if ((t & 1) == 1) power *= square;
        }
        return power;
    }
}
