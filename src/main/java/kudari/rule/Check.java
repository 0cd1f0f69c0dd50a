package kudari.rule;

/** Checks of hyperparameters, whose messages name the argument, what was expected and what came. */
final class Check {

    private Check() {}

    /** What every rule has: a learning rate, any finite float from 0 up (0 is legal, for a warm-up begins there), and two decays. */
    static void common(double lr, double l2, double decay) {
        require(lr >= 0 && (float) lr <= Float.MAX_VALUE, "lr", "a finite number from 0 up", lr);
        nonNegative("l2", l2, 1);
        require(decay >= 0 && (float) decay <= Float.MAX_VALUE, "decay", "a finite number from 0 up", decay);
        require((float) (lr * decay) <= Float.MAX_VALUE, "lr·decay", "a finite number from 0 up", lr * decay);
    }

    /** What is kept of a mean in each step: in [0, 1), and still below 1 when rounded to float. */
    static void fraction(String name, double x) {
        require(x >= 0 && (float) x < 1, name, "a number from 0 up and below 1, also when rounded to float32", x);
    }

    /** A weight of both of two points, so that either can be had from the other: above 0, with an inverse that float holds, and below 1. */
    static void between(String name, double x) {
        require(
                (float) (1 / x) <= Float.MAX_VALUE && x > 0 && (float) x < 1,
                name,
                "a number above 0 and below 1, also when it and its inverse are rounded to float32",
                x);
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

    /** A number above 0 that float can hold. */
    static void positive(String name, double x) {
        require((float) x > 0 && (float) x <= Float.MAX_VALUE, name, "a positive number that float32 can hold", x);
    }

    /** What keeps the denominator from 0: at least one of the terms must be positive. */
    static void someEpsilon(String names, double... eps) {
        double sum = 0;
        for (double e : eps) sum += e;
        require(sum > 0, names, "at least one of them above 0, to keep the denominator from 0", sum);
    }

    static void require(boolean holds, String name, String expected, double actual) {
        if (!holds) throw new IllegalArgumentException(name + ": expected " + expected + ", got " + actual);
    }
}
