package kudari;

import java.util.ArrayList;
import java.util.List;

/**
 * An orthogonalisation in float64, and how far from it one in float32 may lie at the most.
 *
 * <p>The bound is worked out from the products themselves. A product of float32 matrices, however it orders its sums of k terms, is off by at most γ(k)·|A||B|,
 * element by element, with γ(k) = k·u/(1 − k·u) and u = 2⁻²⁴ (N. J. Higham, "Accuracy and Stability of Numerical Algorithms", 2nd ed., section 3.5). That
 * bound is taken of every product, at the matrices that it multiplies. What an error in X is grown to by the iterations that follow is known exactly, to
 * first order: they take an odd function f of the singular values, whose derivative at X grows no matrix by more, in the Frobenius norm, than the largest of
 * |f(σ) − f(τ)|/|σ − τ| and (f(σ) + f(τ))/(σ + τ) over all pairs of singular values, and f(σ)/σ (V. Noferini, "A formula for the Fréchet derivative of a
 * generalized matrix function", SIAM J. Matrix Anal. Appl. 38, 2017). The same holds of a polynomial of the Gram matrix, over pairs of its eigenvalues. The sum of all of that is doubled, for what is of second order.
 */
final class Orthogonal {

    private static final double U = 0x1p-24;

    /** The result, of as many rows and columns as the matrix. */
    final double[][] result;

    /** How far off the result of float32 is at most, in the Frobenius norm. */
    final double bound;

    private final double[][] by;
    private final int iterations;

    /** Singular values of X before each iteration, and after the last. */
    private final List<double[]> sigma = new ArrayList<>();

    /** Orthogonalises a matrix; in the Gram form or not is the same in float64, and not the same bound. */
    Orthogonal(double[][] u, NewtonSchulz how, double scale) {
        iterations = how.coefficients().length;
        by = new double[iterations][3];
        for (int n = 0; n < iterations; n++) {
            for (int i = 0; i < 3; i++) by[n][i] = how.coefficients()[n][i];
        }
        boolean tall = u.length > u[0].length;
        double[][] start = tall ? transposed(u) : u;
        double factor = 1 / Math.max(how.margin() * norm(start), how.eps());
        double[][] x = times(factor, start);
        sigma.add(singularValues(x));
        for (int n = 0; n < iterations; n++) {
            double[] next = sigma.get(n).clone();
            for (int i = 0; i < next.length; i++) next[i] *= h(next[i] * next[i], n, n + 1)[0];
            sigma.add(next);
        }
        List<double[][]> xs = new ArrayList<>();
        xs.add(x);
        for (int n = 0; n < iterations; n++) xs.add(product(polynomial(gram(xs.get(n)), n), xs.get(n)));
        double error = U * norm(x) * growth(0);
        boolean inGramForm = how.gram() && x[0].length > 2 * x.length;
        if (inGramForm) {
            error += segment(xs, 0, Math.min(2, iterations));
            if (iterations > 2) error += segment(xs, 2, iterations);
        } else {
            for (int n = 0; n < iterations; n++) error += iteration(xs.get(n), n) * growth(n + 1);
        }
        double[][] end = xs.get(iterations);
        bound = 2 * scale * (error + U * norm(end));
        result = times(scale, tall ? transposed(end) : end);
    }

    /** What one iteration in the standard form is off by. */
    private double iteration(double[][] x, int n) {
        double[][] square = gram(x), ofSquare = times(gamma(x[0].length), product(abs(x), transposed(abs(x))));
        double[][] ofPolynomial = ofPolynomial(square, ofSquare, n);
        return norm(sum(
                product(ofPolynomial, abs(x)), times(gamma(x.length), product(abs(polynomial(square, n)), abs(x)))));
    }

    /** What a·I + b·A + c·A² is off by, element by element, if A is off by so much. */
    private double[][] ofPolynomial(double[][] square, double[][] ofSquare, int n) {
        double a = Math.abs(by[n][0]), b = Math.abs(by[n][1]), c = Math.abs(by[n][2]);
        double[][] of = abs(square), line = sum(times(b, of), times(a, identity(of.length)));
        double[][] carried = sum(times(b, ofSquare), times(c, sum(product(ofSquare, of), product(of, ofSquare))));
        // b·A and its sum with a, and then the product, its factor, and the sum of both.
        return sum(carried, sum(times(2 * U, line), times(gamma(of.length + 3), sum(line, times(c, product(of, of))))));
    }

    /** What the iterations of the Gram form from one X to the next are off by in the end. */
    private double segment(List<double[][]> xs, int from, int to) {
        double[][] x = xs.get(from), square = gram(x), product = identity(x.length), none = times(0, square);
        double ofX = max(sigma.get(from)), off = 0;
        double[][] ofSquare = times(gamma(x[0].length), product(abs(x), transposed(abs(x))));
        for (int n = from; n < to; n++) {
            double[] r = squares(sigma.get(n));
            // An error of the square goes into all polynomials that follow.
            off += spectral(product, from, n) * growthOfH(r, n, to) * norm(ofSquare) * ofX;
            double[][] polynomial = polynomial(square, n), ofPolynomial = ofPolynomial(square, none, n);
            double rest = largest(from, n + 1, to);
            off += spectral(product, from, n) * norm(ofPolynomial) * rest;
            if (n > from) off += norm(times(gamma(x.length), product(abs(product), abs(polynomial)))) * rest;
            product = product(product, polynomial);
            double[][] once = product(square, polynomial),
                    ofOnce = times(gamma(x.length), product(abs(square), abs(polynomial)));
            double[][] ofBoth =
                    sum(product(abs(polynomial), ofOnce), times(gamma(x.length), product(abs(polynomial), abs(once))));
            ofSquare = sum(ofBoth, sum(product(ofPolynomial, abs(once)), product(abs(once), ofPolynomial)));
            square = product(polynomial, once);
        }
        return (off + norm(times(gamma(x.length), product(abs(product), abs(x))))) * growth(to);
    }

    /** The largest |Q| over the spectrum, of the product of the polynomials of some iterations. */
    private double spectral(double[][] product, int from, int to) {
        double largest = 0;
        for (double s : sigma.get(from)) largest = Math.max(largest, Math.abs(h(s * s, from, to)[0]));
        return largest;
    }

    /** The largest singular value of the X from which a segment goes out, times the product of the polynomials of its iterations from n on. */
    private double largest(int from, int n, int to) {
        double largest = 0;
        for (int i = 0; i < sigma.get(from).length; i++) {
            double s = sigma.get(Math.min(n, iterations))[i];
            largest = Math.max(largest, sigma.get(from)[i] * Math.abs(h(s * s, n, to)[0]));
        }
        return largest;
    }

    /** What an error in X before iteration n is grown by at most up to the end. */
    private double growth(int n) {
        double growth = 0;
        double[] s = sigma.get(n);
        for (double a : s) {
            for (double b : s) {
                double[] ofA = h(a * a, n, iterations), ofB = h(b * b, n, iterations);
                double slope = ofA[0] + 2 * a * a * ofA[1], fa = a * ofA[0], fb = b * ofB[0];
                if (Math.abs(a - b) > 1e-6) slope = (fa - fb) / (a - b);
                growth = Math.max(growth, Math.max(Math.abs(slope), Math.abs(ofA[0])));
                if (a + b > 1e-6) growth = Math.max(growth, Math.abs((fa + fb) / (a + b)));
            }
        }
        return growth;
    }

    /** What an error in the Gram matrix, of these eigenvalues, is grown by in the product of the polynomials of some iterations. */
    private double growthOfH(double[] r, int from, int to) {
        double growth = 0;
        for (double a : r) {
            for (double b : r) {
                double[] ofA = h(a, from, to), ofB = h(b, from, to);
                double slope = Math.abs(a - b) > 1e-6 ? (ofA[0] - ofB[0]) / (a - b) : ofA[1];
                growth = Math.max(growth, Math.abs(slope));
            }
        }
        return growth;
    }

    /** Π (a + b·r + c·r²) over some iterations, where r is an eigenvalue of A before the first, and its derivative by r. */
    private double[] h(double r, int from, int to) {
        double product = 1, ofProduct = 0, ofR = 1;
        for (int n = from; n < to; n++) {
            double q = by[n][0] + by[n][1] * r + by[n][2] * r * r, ofQ = (by[n][1] + 2 * by[n][2] * r) * ofR;
            ofProduct = ofProduct * q + product * ofQ;
            product *= q;
            ofR = ofR * q * q + 2 * r * q * ofQ;
            r *= q * q;
        }
        return new double[] {product, ofProduct};
    }

    private double[][] polynomial(double[][] square, int n) {
        double[][] line = sum(times(by[n][1], square), times(by[n][0], identity(square.length)));
        return sum(line, times(by[n][2], product(square, square)));
    }

    private static double gamma(int terms) {
        return terms * U / (1 - terms * U);
    }

    /** By Jacobi's rotations of rows until all are orthogonal to each other; their norms then are the singular values. */
    static double[] singularValues(double[][] matrix) {
        double[][] x = times(1, matrix);
        for (int sweep = 0; sweep < 60; sweep++) {
            for (int p = 0; p < x.length; p++) {
                for (int q = p + 1; q < x.length; q++) {
                    double pp = dot(x[p], x[p]), qq = dot(x[q], x[q]), pq = dot(x[p], x[q]);
                    if (Math.abs(pq) <= 1e-15 * Math.sqrt(pp * qq)) continue;
                    double angle = Math.atan2(2 * pq, pp - qq) / 2, cos = Math.cos(angle), sin = Math.sin(angle);
                    for (int i = 0; i < x[p].length; i++) {
                        double a = x[p][i], b = x[q][i];
                        x[p][i] = cos * a + sin * b;
                        x[q][i] = cos * b - sin * a;
                    }
                }
            }
        }
        double[] sigma = new double[x.length];
        for (int i = 0; i < sigma.length; i++) sigma[i] = Math.sqrt(dot(x[i], x[i]));
        return sigma;
    }

    private static double dot(double[] a, double[] b) {
        double sum = 0;
        for (int i = 0; i < a.length; i++) sum += a[i] * b[i];
        return sum;
    }

    private static double max(double[] values) {
        double max = 0;
        for (double value : values) max = Math.max(max, value);
        return max;
    }

    private static double[] squares(double[] values) {
        double[] squares = values.clone();
        for (int i = 0; i < squares.length; i++) squares[i] *= squares[i];
        return squares;
    }

    static double norm(double[][] x) {
        double sum = 0;
        for (double[] row : x) sum += dot(row, row);
        return Math.sqrt(sum);
    }

    static double[][] transposed(double[][] x) {
        double[][] to = new double[x[0].length][x.length];
        for (int i = 0; i < to.length; i++) for (int j = 0; j < x.length; j++) to[i][j] = x[j][i];
        return to;
    }

    static double[][] product(double[][] a, double[][] b) {
        double[][] to = new double[a.length][b[0].length];
        for (int i = 0; i < a.length; i++) {
            for (int l = 0; l < b.length; l++) for (int j = 0; j < to[i].length; j++) to[i][j] += a[i][l] * b[l][j];
        }
        return to;
    }

    private static double[][] gram(double[][] x) {
        return product(x, transposed(x));
    }

    static double[][] sum(double[][] a, double[][] b) {
        double[][] to = times(1, a);
        for (int i = 0; i < a.length; i++) for (int j = 0; j < a[i].length; j++) to[i][j] += b[i][j];
        return to;
    }

    static double[][] times(double by, double[][] x) {
        double[][] to = new double[x.length][x[0].length];
        for (int i = 0; i < x.length; i++) for (int j = 0; j < x[i].length; j++) to[i][j] = by * x[i][j];
        return to;
    }

    private static double[][] abs(double[][] x) {
        double[][] to = times(1, x);
        for (double[] row : to) for (int j = 0; j < row.length; j++) row[j] = Math.abs(row[j]);
        return to;
    }

    private static double[][] identity(int size) {
        double[][] to = new double[size][size];
        for (int i = 0; i < size; i++) to[i][i] = 1;
        return to;
    }
}
