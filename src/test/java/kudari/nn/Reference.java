package kudari.nn;

import java.util.Arrays;
import kudari.Dtype;

/**
 * The network again, in float64 and plain loops, with a bound on how far a float32 network may be from it.
 *
 * <p>Every number carries an error bound beside its value. They follow the standard model of rounding (N. J. Higham, "Accuracy and Stability
 * of Numerical Algorithms", 2002, section 3.1): with unit roundoff u = 2⁻²⁴ a sum of k products, in any order and with or without fused
 * multiply-add, is within γₖ = k·u / (1 − k·u) times the sum of the absolute products. What comes in with an error passes it on by the
 * triangle inequality. So the bound holds for every BLAS.
 *
 * <p>Where a network rounds to 16 bits, this does, of the value in double. Rounding is monotonic: what is within the bound of the value before is, rounded, between
 * the roundings of the two ends. Most often these are one number, and no error is left; where a tie lies between them, it is the distance of two.
 */
final class Reference {

    private static final double U = Math.scalb(1.0, -24);

    /** A matrix: values, and how far a float32 computation of each may be from it. */
    record Matrix(double[][] value, double[][] error) {

        static Matrix zeros(int rows, int columns) {
            return new Matrix(new double[rows][columns], new double[rows][columns]);
        }

        /** Floats as they are, without error. */
        static Matrix exact(float[] values, int rows, int columns) {
            Matrix m = zeros(rows, columns);
            for (int i = 0; i < rows * columns; i++) m.value[i / columns][i % columns] = values[i];
            return m;
        }

        int rows() {
            return value.length;
        }

        int columns() {
            return value[0].length;
        }

        Matrix transposed() {
            Matrix t = zeros(columns(), rows());
            for (int i = 0; i < rows(); i++) {
                for (int j = 0; j < columns(); j++) {
                    t.value[j][i] = value[i][j];
                    t.error[j][i] = error[i][j];
                }
            }
            return t;
        }

        /** this · b, plus a row of c in every row. */
        Matrix times(Matrix b, Matrix c) {
            Matrix product = zeros(rows(), b.columns());
            int terms = columns() + 1;
            double gamma = terms * U / (1 - terms * U);
            for (int i = 0; i < rows(); i++) {
                for (int j = 0; j < b.columns(); j++) {
                    double sum = c.value[0][j], passedOn = c.error[0][j], size = Math.abs(sum) + passedOn;
                    for (int k = 0; k < columns(); k++) {
                        double x = Math.abs(value[i][k]), y = Math.abs(b.value[k][j]);
                        double dx = error[i][k], dy = b.error[k][j];
                        sum += value[i][k] * b.value[k][j];
                        passedOn += x * dy + dx * y + dx * dy;
                        size += (x + dx) * (y + dy);
                    }
                    product.value[i][j] = sum;
                    product.error[i][j] = passedOn + gamma * size;
                }
            }
            return product;
        }

        Matrix times(Matrix b) {
            return times(b, zeros(1, b.columns()));
        }

        /** Each number rounded to a type. */
        Matrix rounded(Dtype dtype) {
            if (dtype == Dtype.F32) return this;
            Matrix r = zeros(rows(), columns());
            for (int i = 0; i < rows(); i++) {
                for (int j = 0; j < columns(); j++) {
                    double x = nearest(dtype, value[i][j]), e = error[i][j];
                    double below = nearest(dtype, value[i][j] - e), above = nearest(dtype, value[i][j] + e);
                    r.value[i][j] = x;
                    r.error[i][j] = Math.max(x - below, above - x);
                }
            }
            return r;
        }
    }

    /** The number of a 16-bit type nearest to x, ties to even, if x is not beyond the largest: a multiple of 2^(e − p + 1), where 2^e is at most |x|, of p bits. */
    static double nearest(Dtype dtype, double x) {
        int bits = dtype == Dtype.BF16 ? 8 : 11, least = dtype == Dtype.BF16 ? -126 : -14;
        double ulp = Math.scalb(1.0, Math.max(Math.getExponent(x), least) - bits + 1);
        return Math.rint(x / ulp) * ulp;
    }

    private final Dtype dtype;

    /** What the gradient of the loss is multiplied by. */
    double scale = 1;

    final Matrix[] weights, biases;
    final Matrix[] dWeights, dBiases;
    double loss, lossError;

    private Reference(Dtype dtype, Matrix[] weights, Matrix[] biases) {
        this.dtype = dtype;
        this.weights = weights;
        this.biases = biases;
        this.dWeights = new Matrix[weights.length];
        this.dBiases = new Matrix[weights.length];
    }

    /** A reference with the parameters that a network has now. */
    static Reference of(Network net, int... widths) {
        int layers = widths.length - 1;
        Matrix[] weights = new Matrix[layers], biases = new Matrix[layers];
        for (int l = 0; l < layers; l++) {
            weights[l] = Matrix.exact(net.params().get("W" + (l + 1)).get(), widths[l], widths[l + 1]);
            biases[l] = Matrix.exact(net.params().get("b" + (l + 1)).get(), 1, widths[l + 1]);
        }
        return new Reference(net.params().get("W1").dtype(), weights, biases);
    }

    /** Computes the mean loss and its gradient. */
    void gradient(Matrix x, int[] labels) {
        int layers = weights.length, rows = x.rows();
        Matrix[] in = new Matrix[layers];
        Matrix logits = x;
        for (int l = 0; l < layers; l++) {
            in[l] = (l == 0 ? x : relu(logits)).rounded(dtype);
            logits = in[l].times(weights[l], biases[l]);
        }
        Matrix d = softmax(logits.rounded(dtype), labels).rounded(dtype);
        double[][] ones = new double[1][rows];
        Arrays.fill(ones[0], 1);
        for (int l = layers - 1; l >= 0; l--) {
            dWeights[l] = in[l].transposed().times(d);
            dBiases[l] = new Matrix(ones, new double[1][rows]).times(d);
            if (l > 0) d = masked(d.times(weights[l].transposed()).rounded(dtype), in[l]);
        }
    }

    /** ReLU passes errors on at most as they are. A value too near 0 to know its sign would make the mask of the gradient uncertain. */
    private static Matrix relu(Matrix z) {
        Matrix y = Matrix.zeros(z.rows(), z.columns());
        for (int i = 0; i < z.rows(); i++) {
            for (int j = 0; j < z.columns(); j++) {
                if (Math.abs(z.value[i][j]) <= z.error[i][j] && z.error[i][j] > 0 && z.value[i][j] != 0) {
                    throw new IllegalStateException("a unit lies within rounding of 0: take another seed");
                }
                y.value[i][j] = Math.max(z.value[i][j], 0);
                y.error[i][j] = z.value[i][j] > 0 ? z.error[i][j] : 0;
            }
        }
        return y;
    }

    private static Matrix masked(Matrix d, Matrix y) {
        Matrix m = Matrix.zeros(d.rows(), d.columns());
        for (int i = 0; i < d.rows(); i++) {
            for (int j = 0; j < d.columns(); j++) {
                if (y.value[i][j] > 0) {
                    m.value[i][j] = d.value[i][j];
                    m.error[i][j] = d.error[i][j];
                }
            }
        }
        return m;
    }

    /**
     * (softmax − one-hot) / rows, and the loss. If every logit is off by at most e, a probability is off by at most a factor exp(2e); one
     * more e is for the rounding of logit minus largest logit, u times the difference. Then three roundings, of quotients and of the
     * difference, of numbers below 1: 4u is enough. The loss, log-sum-exp minus one logit, is off by at most 2e and its own rounding.
     */
    private Matrix softmax(Matrix logits, int[] labels) {
        int rows = logits.rows(), classes = logits.columns();
        Matrix d = Matrix.zeros(rows, classes);
        loss = lossError = 0;
        for (int i = 0; i < rows; i++) {
            double[] z = logits.value[i];
            double largest = Double.NEGATIVE_INFINITY, smallest = Double.POSITIVE_INFINITY, error = 0, sum = 0;
            for (int j = 0; j < classes; j++) {
                largest = Math.max(largest, z[j]);
                smallest = Math.min(smallest, z[j]);
                error = Math.max(error, logits.error[i][j]);
            }
            for (double value : z) sum += Math.exp(value - largest);
            double logitError = error + U * (largest - smallest + 2 * error);
            for (int j = 0; j < classes; j++) {
                double p = Math.exp(z[j] - largest) / sum;
                d.value[i][j] = scale * (p - (j == labels[i] ? 1 : 0)) / rows;
                d.error[i][j] = scale * (p * Math.expm1(2 * logitError) + 4 * U) / rows;
            }
            loss += (Math.log(sum) + largest - z[labels[i]]) / rows;
            lossError += 2 * logitError / rows;
        }
        lossError += U * (loss + lossError);
        return d;
    }
}
