package kudari;

import java.util.Arrays;

/**
 * Sums of squares and products in double, in an order of additions that depends on nothing but the tensors: the order of {@code kernels/reduce.cu},
 * so that they are the same to the last bit on every engine.
 *
 * <p>Products of floats are exact in double, and their sum cannot overflow: that of squares is finite exactly if every element is.
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
        return piece(g, g, from, to, lanes);
    }

    /** Σ x·y over a piece. */
    static double piece(float[] x, float[] y, int from, int to, double[] lanes) {
        if (to - from <= TINY) return tiny(x, y, from, to);
        if (to - from <= LANES) return small(x, y, from, to, lanes);
        Arrays.fill(lanes, 0, LANES, 0);
        for (int start = from; start < to; start += LANES) {
            int count = Math.min(LANES, to - start);
            for (int lane = 0; lane < count; lane++) {
                double a = x[start + lane], b = y[start + lane];
                lanes[lane] += a * b;
            }
        }
        for (int j = 0; j < THREADS; j++) {
            lanes[j] = (lanes[4 * j] + lanes[4 * j + 1]) + (lanes[4 * j + 2] + lanes[4 * j + 3]);
        }
        return tree(lanes, THREADS);
    }

    /** Of a piece with at most one element for each lane: the same sums, without what is 0. */
    private static double small(float[] x, float[] y, int from, int to, double[] lanes) {
        int leaves = (to - from + 3) / 4;
        for (int j = 0; j < leaves; j++) lanes[j] = leaf(x, y, from + 4 * j, to);
        return tree(lanes, leaves);
    }

    /** Of a piece with at most four leaves: the same sums, without a tree to store them in. */
    private static double tiny(float[] x, float[] y, int from, int to) {
        double a = leaf(x, y, from, to);
        if (to - from <= 4) return a;
        double b = leaf(x, y, from + 4, to);
        if (to - from <= 8) return a + b;
        return (a + leaf(x, y, from + 8, to)) + (b + leaf(x, y, from + 12, to));
    }

    /** The products of up to four elements; none adds 0. */
    private static double leaf(float[] x, float[] y, int from, int to) {
        int count = to - from;
        if (count >= 4) {
            double a = product(x, y, from), b = product(x, y, from + 1);
            double c = product(x, y, from + 2), d = product(x, y, from + 3);
            return (a + b) + (c + d);
        }
        double a = count > 0 ? product(x, y, from) : 0, b = count > 1 ? product(x, y, from + 1) : 0;
        double c = count > 2 ? product(x, y, from + 2) : 0, d = count > 3 ? product(x, y, from + 3) : 0;
        return (a + b) + (c + d);
    }

    /** As a lane has it that began at 0: of −0 it is 0. */
    private static double product(float[] x, float[] y, int i) {
        return 0 + (double) x[i] * y[i];
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
    static double tree(double[] lanes, int leaves) {
        if (leaves == 0) return 0;
        for (int half = Integer.highestOneBit(leaves - 1); half > 0; half /= 2) {
            for (int j = 0; j + half < Math.min(leaves, 2 * half); j++) lanes[j] += lanes[j + half];
        }
        return lanes[0];
    }
}
