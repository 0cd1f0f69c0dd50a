package kudari;

/**
 * A number as float arithmetic computes it, with a bound on how far it can be from the exact one: Higham's running error analysis
 * ("Accuracy and Stability of Numerical Algorithms", section 3.3). Every operation passes on the errors of its operands and adds its own
 * rounding, at most u = 2⁻²⁴ of the result and, where the result is subnormal, 2⁻¹⁵⁰.
 *
 * @param value the exact value, up to the rounding of double, which is nine digits below
 * @param error the bound of the absolute error
 */
record Rounded(double value, double error) {

    private static final double U = 0x1p-24;
    private static final double TINY = 0x1p-150;

    /** A float, exact as it is. */
    static Rounded exact(double value) {
        return new Rounded(value, 0);
    }

    /** A double rounded once to float, as the scalars of a step are. */
    static Rounded once(double value) {
        return rounded(value, 0);
    }

    private static Rounded rounded(double value, double inherited) {
        if (value == 0 && inherited == 0) return exact(0);
        return new Rounded(value, inherited + U * (Math.abs(value) + inherited) + TINY);
    }

    Rounded plus(Rounded o) {
        return rounded(value + o.value, error + o.error);
    }

    Rounded minus(Rounded o) {
        return rounded(value - o.value, error + o.error);
    }

    Rounded times(Rounded o) {
        return rounded(value * o.value, Math.abs(value) * o.error + Math.abs(o.value) * error + error * o.error);
    }

    Rounded over(Rounded o) {
        double quotient = value / o.value;
        return rounded(quotient, (error + Math.abs(quotient) * o.error) / (Math.abs(o.value) - o.error));
    }

    Rounded abs() {
        return new Rounded(Math.abs(value), error);
    }

    Rounded larger(Rounded o) {
        return new Rounded(Math.max(value, o.value), Math.max(error, o.error));
    }

    /** −limit to limit, where limit itself may be off by as much. */
    Rounded clamp(double limit, double off) {
        return new Rounded(Math.max(-limit, Math.min(value, limit)), Math.max(error, off));
    }

    Rounded clamp(Rounded least, Rounded most) {
        return new Rounded(
                Math.max(least.value, Math.min(value, most.value)), Math.max(error, Math.max(least.error, most.error)));
    }

    /** Certain only where the error is smaller than the value. */
    Rounded sign() {
        return new Rounded(Math.signum(value), Math.abs(value) > error || error == 0 ? 0 : 2);
    }

    /** {@code Arithmetic.cubeRoot}, off by at most 2⁻²³; of what is not exact the root of the least that it can be is the farthest. */
    Rounded cubeRoot() {
        double root = Math.cbrt(value), spread = root - Math.cbrt(Math.max(0, value - error));
        return new Rounded(root, spread + 2 * U * (root + spread));
    }

    /** |√a − √b| = |a − b| / (√a + √b). */
    Rounded sqrt() {
        double root = Math.sqrt(value);
        double spread = error == 0 ? 0 : error / (root + Math.sqrt(Math.max(0, value - error)));
        return rounded(root, spread);
    }
}
