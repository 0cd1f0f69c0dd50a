package kudari.rule;

/** What the rules share: checks of hyperparameters, whose messages name the argument, what was expected and what came; and two functions. */
final class Check {

    private Check() {}

    /** A learning rate: any finite float from 0 up. 0 is legal, for a warm-up begins there. */
    static void learningRate(double lr) {
        require(lr >= 0 && (float) lr <= Float.MAX_VALUE, "lr", "a finite number from 0 up", lr);
    }

    /** A decay rate: in [0, 1), and still below 1 when rounded to float. */
    static void decay(String name, double x) {
        require(x >= 0 && (float) x < 1, name, "a number from 0 up to, but in float32 not reaching, 1", x);
    }

    /** A factor of either sign. */
    static void factor(String name, double x) {
        require(Math.abs((float) x) <= Float.MAX_VALUE, name, "a finite number", x);
    }

    /** A number from 0 up that, unless it is 0, does not vanish when it is multiplied by {@code scale} and rounded to float. */
    static void nonNegative(String name, double x, double scale) {
        require(
                x == 0 || x > 0 && (float) (x * scale) > 0 && (float) x <= Float.MAX_VALUE,
                name,
                "0 or a positive number that float32 can hold"
                        + (scale == 1 ? "" : " after multiplication by " + scale),
                x);
    }

    /** What keeps the denominator from 0: at least one of the terms must be positive. */
    static void someEpsilon(String names, double... eps) {
        double sum = 0;
        for (double e : eps) sum += e;
        require(sum > 0, names, "at least one of them above 0, lest 0 be divided by 0", sum);
    }

    static void require(boolean holds, String name, String expected, double actual) {
        if (!holds) throw new IllegalArgumentException(name + ": expected " + expected + ", got " + actual);
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

    /** The correctly rounded float root. The kernels call a function of this name, so the loops can read the same. */
    static float sqrt(float x) {
        return (float) Math.sqrt(x);
    }
}
