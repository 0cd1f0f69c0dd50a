package kudari;

import java.util.Arrays;

/**
 * Sums of squares of gradients in double, in an order of additions that depends on nothing but the tensors: the order of {@code kernels/reduce.cu},
 * so that they are the same to the last bit on every engine.
 *
 * <p>Squares of floats are exact in double, and their sum cannot overflow: it is finite exactly if every gradient is.
 */
final class Reduce {

    /** Elements of a piece, whose sum is one partial. A tensor begins with a new piece. */
    static final int PIECE = 4096;

    /** Sums that grow side by side within a piece: four for each of {@link #THREADS} threads. */
    static final int LANES = 1024;

    /** The leaves of the tree over a piece, and of that over all partials. */
    static final int THREADS = 256;

    /** The leaves of the tree over the partials of one tensor. */
    static final int TENSOR_LANES = 32;

    private Reduce() {}

    /** Σ g² over a piece. Lanes that have nothing are left out, for adding their 0 changes nothing. */
    static double piece(float[] g, int from, int to, double[] lanes) {
        int used = Math.min(LANES, to - from);
        Arrays.fill(lanes, 0, (used + 3) / 4 * 4, 0);
        for (int start = from; start < to; start += LANES) {
            int count = Math.min(LANES, to - start);
            for (int lane = 0; lane < count; lane++) {
                double x = g[start + lane];
                lanes[lane] += x * x;
            }
        }
        int leaves = (used + 3) / 4;
        for (int j = 0; j < leaves; j++) {
            lanes[j] = (lanes[4 * j] + lanes[4 * j + 1]) + (lanes[4 * j + 2] + lanes[4 * j + 3]);
        }
        return tree(lanes, leaves, THREADS);
    }

    /** The sum of all partials. */
    static double all(double[] partials, double[] lanes) {
        return sum(partials, 0, partials.length, lanes, THREADS);
    }

    /** The sum of the partials of one tensor. */
    static double tensor(double[] partials, int from, int to, double[] lanes) {
        return sum(partials, from, to, lanes, TENSOR_LANES);
    }

    private static double sum(double[] partials, int from, int to, double[] lanes, int width) {
        int leaves = Math.min(width, to - from);
        Arrays.fill(lanes, 0, leaves, 0);
        for (int n = from; n < to; n++) lanes[(n - from) % width] += partials[n];
        return tree(lanes, leaves, width);
    }

    private static double tree(double[] lanes, int leaves, int width) {
        if (leaves == 0) return 0;
        for (int half = width / 2; half > 0; half /= 2) {
            for (int j = 0; j + half < Math.min(leaves, 2 * half); j++) lanes[j] += lanes[j + half];
        }
        return lanes[0];
    }
}
