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

    /** Elements of a piece so small that its tree has two levels. */
    private static final int TINY = 16;

    /** The leaves of the tree over a piece, and of that over all partials. */
    static final int THREADS = 256;

    /** The leaves of the tree over the partials of one tensor. */
    static final int TENSOR_LANES = 32;

    private Reduce() {}

    /** Σ g² over a piece. */
    static double piece(float[] g, int from, int to, double[] lanes) {
        if (to - from <= TINY) return tiny(g, from, to);
        if (to - from <= LANES) return small(g, from, to, lanes);
        Arrays.fill(lanes, 0, LANES, 0);
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
        return tree(lanes, THREADS);
    }

    /** Of a piece with at most one element for each lane: the same sums, without what is 0. */
    private static double small(float[] g, int from, int to, double[] lanes) {
        int leaves = (to - from + 3) / 4;
        for (int j = 0; j < leaves; j++) lanes[j] = leaf(g, from + 4 * j, to);
        return tree(lanes, leaves);
    }

    /** Of a piece with at most four leaves: the same sums, without a tree to store them in. */
    private static double tiny(float[] g, int from, int to) {
        double a = leaf(g, from, to);
        if (to - from <= 4) return a;
        double b = leaf(g, from + 4, to);
        if (to - from <= 8) return a + b;
        return (a + leaf(g, from + 8, to)) + (b + leaf(g, from + 12, to));
    }

    /** The squares of up to four elements; none adds 0. */
    private static double leaf(float[] g, int from, int to) {
        int count = to - from;
        if (count >= 4) {
            double a = g[from], b = g[from + 1], c = g[from + 2], d = g[from + 3];
            return (a * a + b * b) + (c * c + d * d);
        }
        double a = count > 0 ? g[from] : 0, b = count > 1 ? g[from + 1] : 0;
        double c = count > 2 ? g[from + 2] : 0, d = count > 3 ? g[from + 3] : 0;
        return (a * a + b * b) + (c * c + d * d);
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
        if (to - from == 1) return partials[from];
        int leaves = Math.min(width, to - from);
        Arrays.fill(lanes, 0, leaves, 0);
        for (int start = from; start < to; start += width) {
            int count = Math.min(width, to - start);
            for (int lane = 0; lane < count; lane++) lanes[lane] += partials[start + lane];
        }
        return tree(lanes, leaves);
    }

    /** By halves of a power of two; those beyond the leaves have nothing to add. */
    private static double tree(double[] lanes, int leaves) {
        if (leaves == 0) return 0;
        for (int half = Integer.highestOneBit(leaves - 1); half > 0; half /= 2) {
            for (int j = 0; j + half < Math.min(leaves, 2 * half); j++) lanes[j] += lanes[j + half];
        }
        return lanes[0];
    }
}
