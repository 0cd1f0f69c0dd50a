package kudari;

import java.util.Arrays;

/**
 * The global norm of a set of gradients, ‖g‖ = √(Σ g²) over all elements of all of them, in an order of additions that depends on nothing but
 * the tensors: the order of {@code kernels/norm.cu}, so that the sum is the same to the last bit on every engine.
 *
 * <p>Squares of floats are exact in double, and their sum cannot overflow: the norm is finite exactly if every gradient is.
 */
final class Norm {

    /** Elements of a piece, whose sum is one partial. A tensor begins with a new piece. */
    static final int PIECE = 4096;

    /** Sums that grow side by side within a piece: four for each of {@link #THREADS} threads. */
    static final int LANES = 1024;

    /** The leaves of the tree. */
    static final int THREADS = 256;

    private Norm() {}

    /** Σ g² over a piece. */
    static double piece(float[] g, int from, int to, double[] lanes) {
        Arrays.fill(lanes, 0);
        for (int start = from; start < to; start += LANES) {
            int count = Math.min(LANES, to - start);
            for (int lane = 0; lane < count; lane++) {
                double x = g[start + lane];
                lanes[lane] += x * x;
            }
        }
        for (int j = 0; j < THREADS; j++) {
            lanes[j] = (lanes[4 * j] + lanes[4 * j + 1]) + (lanes[4 * j + 2] + lanes[4 * j + 3]);
        }
        return tree(lanes);
    }

    /** The norm, from the partials of all pieces. */
    static double of(double[] partials, double[] lanes) {
        Arrays.fill(lanes, 0, THREADS, 0);
        for (int n = 0; n < partials.length; n++) lanes[n % THREADS] += partials[n];
        return Math.sqrt(tree(lanes));
    }

    private static double tree(double[] lanes) {
        for (int half = THREADS / 2; half > 0; half /= 2) {
            for (int j = 0; j < half; j++) lanes[j] += lanes[j + half];
        }
        return lanes[0];
    }

    /** What a gradient of this norm is multiplied by, lest its norm exceed the largest allowed. */
    static float coefficient(double norm, double max) {
        return norm > max ? (float) (max / norm) : 1;
    }
}
