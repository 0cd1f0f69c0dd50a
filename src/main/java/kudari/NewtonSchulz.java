package kudari;

import java.util.Arrays;
import kudari.rule.MatrixRule;

/**
 * How a matrix is made nearly orthogonal, its singular values nearly 1 and its singular vectors what they were: X is the matrix divided by its Frobenius
 * norm, and each iteration takes a polynomial of its singular values, X ← (a·I + b·A + c·A²)·X with A = X·Xᵀ, by products of matrices alone. A matrix with
 * more rows than columns is transposed before and after, for A is then smaller.
 *
 * <p>The Gram form keeps A and the product of the polynomials instead of X, which are [m, m] however long the rows of X [m, n] are; all of them are
 * polynomials of one A, and so commute. A is what loses digits, so X is taken anew once, after the second iteration. It saves products where n is more
 * than twice m.
 *
 * <p>K. Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024, kellerjordan.github.io/posts/muon. The Gram form: Dao AI Lab, "Gram
 * Newton-Schulz", 2026, github.com/Dao-AILab/gram-newton-schulz.
 *
 * @param coefficients a, b and c of each iteration
 * @param margin what the norm is multiplied by before it divides
 * @param eps what it divides by at the least
 * @param gram whether the Gram form is taken where it saves products
 * @param precision in what precision a device multiplies
 */
record NewtonSchulz(float[][] coefficients, double margin, double eps, boolean gram, MatrixRule.Precision precision) {

    /** By products in float32. */
    NewtonSchulz(float[][] coefficients, double margin, double eps, boolean gram) {
        this(coefficients, margin, eps, gram, MatrixRule.Precision.FLOAT32);
    }

    static NewtonSchulz of(MatrixRule rule) {
        return new NewtonSchulz(rule.polynomials(), rule.margin(), rule.eps(), rule.gram(), rule.precision());
    }

    /** After so many iterations the Gram form takes X anew. */
    private static final int RESTART = 2;

    /**
     * Matrices of one shape at work on an engine, all of a batch at once: X [m, n] in two places, and {@link #squares} of [m, m].
     */
    interface Work {

        /** square ← X·Xᵀ. */
        void gram(int x, int square);

        /** to ← a·I + b·square + c·square². */
        void polynomial(int square, float a, float b, float c, int to);

        /** to ← left·right of two squares. */
        void multiply(int left, int right, int to);

        /** X at {@code to} ← square·X. */
        void apply(int square, int x, int to);
    }

    /** What a matrix is multiplied by before the first iteration. */
    double factor(double norm) {
        return 1 / Math.max(margin * norm, eps);
    }

    /**
     * All iterations.
     *
     * @param work where X lies in the first place
     * @return in which place it lies now
     */
    int iterate(Work work, int m, int n) {
        return isInGramForm(m, n) ? inGramForm(work) : inStandardForm(work);
    }

    /** How many squares that takes. */
    int squares(int m, int n) {
        return isInGramForm(m, n) ? 4 : 2;
    }

    private boolean isInGramForm(int m, int n) {
        return gram && n / 2.0 > m;
    }

    private int inStandardForm(Work work) {
        int x = 0, square = 0, polynomial = 1;
        for (float[] by : coefficients) {
            work.gram(x, square);
            work.polynomial(square, by[0], by[1], by[2], polynomial);
            work.apply(polynomial, x, 1 - x);
            x = 1 - x;
        }
        return x;
    }

    private int inGramForm(Work work) {
        int x = 0, square = 0, polynomial = 1, product = 2, spare = 3;
        boolean fresh = true;
        for (int n = 0; n < coefficients.length; n++) {
            float[] by = coefficients[n];
            int latest = fresh ? product : polynomial;
            if (fresh) work.gram(x, square);
            work.polynomial(square, by[0], by[1], by[2], latest);
            if (!fresh) {
                work.multiply(product, polynomial, spare);
                int old = product;
                product = spare;
                spare = old;
            }
            fresh = n + 1 == RESTART || n + 1 == coefficients.length;
            if (fresh) {
                work.apply(product, x, 1 - x);
                x = 1 - x;
            } else {
                work.multiply(square, latest, spare);
                work.multiply(latest, spare, square);
            }
        }
        return x;
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof NewtonSchulz of
                && Arrays.deepEquals(coefficients, of.coefficients)
                && margin == of.margin
                && eps == of.eps
                && gram == of.gram
                && precision == of.precision;
    }

    @Override
    public int hashCode() {
        return Arrays.deepHashCode(coefficients);
    }
}
