package kudari.rule;

import static kudari.rule.Arithmetic.MEAN;
import static kudari.rule.Arithmetic.descend;
import static kudari.rule.Arithmetic.flush;
import static kudari.rule.Arithmetic.gradient;
import static kudari.rule.Arithmetic.power;
import static kudari.rule.Arithmetic.rate;

import java.util.List;
import java.util.Objects;

/**
 * Muon: the mean of the gradients of a matrix, made orthogonal, so that a step goes equally far in all directions. For the matrices of hidden layers, and
 * convolutions as [out, rest]; embeddings, the last layer and vectors are left to {@link AdamW}, in a group beside it.
 *
 * <pre>
 *   m ← μ·m + (1 − μ)·g
 *   nesterov:  u = (1 − μ)/cₜ·g + μ/cₜ₊₁·m
 *   else:      u = m/cₜ
 *   p ← p − lr·s·O(u)
 *   biasCorrection:  cₜ = 1 − μᵗ
 *   else:            cₜ = 1</pre>
 *
 * <p>O(u), by {@link #coefficients} and so many {@link #iterations} as {@link MatrixRule} has them, has the singular vectors of u, and singular values near
 * 1: from 0.7 to 1.2 by Jordan's coefficients, whose iterations do not converge, and still nearer to 1 by those of Polar Express. s is by {@link Scaling}.
 *
 * <dl>
 *   <dt>Source
 *   <dd>K. Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024, kellerjordan.github.io/posts/muon. The scaling to AdamW's
 *       size: J. Liu et al., "Muon is Scalable for LLM Training", 2025, arXiv:2502.16982. Other coefficients: N. Amsel et al., "The Polar Express",
 *       2025, arXiv:2505.16932.
 *   <dt>Deviations
 *   <dd>m is a mean, as in PyTorch's code and optax, and not the sum of Jordan's and Keras's, of which it is 1 − μ times: the division by the norm takes
 *       that out again, so it matters only where the norm is as small as ε. The norm is not added to ε, but at least ε, as in PyTorch. Products are in
 *       float32 unless {@link #precision} says otherwise; PyTorch's are in bfloat16, so that its elements differ by some 2·10⁻³ after a step.
 *   <dt>State
 *   <dd>{@code m}, 4 bytes per parameter; a step moves 36, and what the products move.
 *   <dt>Neighbours
 *   <dd>{@link SignSgd} makes every element as large as every other, where this does so with the singular values; of a matrix with a single row it is the
 *       gradient's direction.
 * </dl>
 *
 * @param lr learning rate, a finite number from 0 up, in units of parameter
 * @param momentum μ, the fraction of the mean kept per step, in [0, 1)
 * @param nesterov whether the gradient is mixed into the mean once more, as if it came again
 * @param biasCorrection whether both terms of u are corrected for having started at zero
 * @param coefficients those of the iterations
 * @param iterations how many, from 1 to 20
 * @param eps ε, what u is divided by at the least, positive, in units of gradient
 * @param gram whether iterations are taken in the Gram form where one side is more than twice the other: fewer products, and the same up to rounding
 * @param precision in what precision a device multiplies
 * @param scaling what s is
 * @param l2 coupled weight decay, 0 or positive, see {@link Rule}
 * @param decay decoupled weight decay, 0 or positive, see {@link Rule}
 */
public record Muon(
        double lr,
        double momentum,
        boolean nesterov,
        boolean biasCorrection,
        Coefficients coefficients,
        int iterations,
        double eps,
        boolean gram,
        Precision precision,
        Scaling scaling,
        double l2,
        double decay)
        implements MatrixRule {

    /** a, b and c of the iterations. */
    public enum Coefficients {
        /** 3.4445, −4.7750 and 2.0315 in each: chosen for the steepest slope at 0, so that small singular values grow fastest. */
        JORDAN(1, new double[][] {{3.4445, -4.7750, 2.0315}}),

        /**
         * Others in each, every one the best for the singular values that those before it leave: table and safety factor of the article's code (Amsel et
         * al., arXiv:2505.16932, github.com/NoahAmsel/PolarExpress), for singular values from 10⁻³ of the norm up.
         */
        POLAR_EXPRESS(1.01, new double[][] {
            safe(8.28721201814563, -23.595886519098837, 17.300387312530933),
            safe(4.107059111542203, -2.9478499167379106, 0.5448431082926601),
            safe(3.9486908534822946, -2.908902115962949, 0.5518191394370137),
            safe(3.3184196573706015, -2.488488024314874, 0.51004894012372),
            safe(2.300652019954817, -1.6689039845747493, 0.4188073119525673),
            safe(1.891301407787398, -1.2679958271945868, 0.37680408948524835),
            safe(1.8750014808534479, -1.2500016453999487, 0.3750001645474248),
            {1.875, -1.25, 0.375}
        });

        private final double margin;
        private final double[][] table;

        Coefficients(double margin, double[][] table) {
            this.margin = margin;
            this.table = table;
        }

        /** For singular values that rounding has put a hundredth above what they should be at most. */
        private static double[] safe(double a, double b, double c) {
            return new double[] {a / 1.01, b / Math.pow(1.01, 3), c / Math.pow(1.01, 5)};
        }

        /** Those of the first so many iterations; behind the last that are told they stay the same. */
        private float[][] of(int iterations) {
            float[][] of = new float[iterations][3];
            for (int n = 0; n < iterations; n++) {
                double[] row = table[Math.min(n, table.length - 1)];
                for (int i = 0; i < row.length; i++) of[n][i] = (float) row[i];
            }
            return of;
        }
    }

    /** What the orthogonal matrix is multiplied by, by its rows and columns. */
    public enum Scaling {
        /** √max(1, rows/columns), of matrices [out, in] as PyTorch's: Jordan's. */
        ORIGINAL {
            @Override
            double of(double rows, double columns) {
                return Math.sqrt(Math.max(1, rows / columns));
            }
        },

        /** √max(1, columns/rows): the same of matrices [in, out], as those of optax, Keras and {@code kudari.nn}. */
        ORIGINAL_IN_OUT {
            @Override
            double of(double rows, double columns) {
                return ORIGINAL.of(columns, rows);
            }
        },

        /** 0.2·√max(rows, columns): an element of the update is as large as one of AdamW's usually is, so that a learning rate of AdamW's will do. */
        MATCH_RMS_ADAMW {
            @Override
            double of(double rows, double columns) {
                return 0.2 * Math.sqrt(Math.max(rows, columns));
            }
        };

        abstract double of(double rows, double columns);
    }

    /** So many iterations are taken at most. */
    private static final int MOST_ITERATIONS = 20;

    /** Checks that the hyperparameters are in range. */
    public Muon {
        Check.common(lr, l2, decay);
        Check.fraction("momentum", momentum);
        Objects.requireNonNull(coefficients, "coefficients");
        Check.require(
                iterations >= 1 && iterations <= MOST_ITERATIONS,
                "iterations",
                "a number from 1 to " + MOST_ITERATIONS,
                iterations);
        Check.positive("eps", eps);
        Objects.requireNonNull(precision, "precision");
        Objects.requireNonNull(scaling, "scaling");
    }

    /** Jordan's at lr 0.02. */
    public static Muon of() {
        return of(0.02);
    }

    /** Jordan's: μ 0.95 with Nesterov's, 5 iterations, and for matrices [out, in]. */
    public static Muon of(double lr) {
        return new Muon(
                lr, 0.95, true, false, Coefficients.JORDAN, 5, 1e-7, true, Precision.FLOAT32, Scaling.ORIGINAL, 0, 0);
    }

    /** PyTorch's: Jordan's with a decay of 0.1. */
    @Preset(peer = Peer.PYTORCH, lr = 0.001)
    public static Muon pytorch(double lr) {
        return of(lr).decay(0.1);
    }

    /** Keras's: a decay of 0.004, and scaled to AdamW's size. */
    @Preset(peer = Peer.KERAS, lr = 0.001)
    public static Muon keras(double lr) {
        return of(lr).scaling(Scaling.MATCH_RMS_ADAMW).decay(0.004);
    }

    /** optax's: with bias correction, ε = 1e-8, and for matrices [in, out]. */
    @Preset(peer = Peer.OPTAX)
    public static Muon optax(double lr) {
        return of(lr).biasCorrection(true).eps(1e-8).scaling(Scaling.ORIGINAL_IN_OUT);
    }

    @Override
    public Muon lr(double lr) {
        return new Muon(
                lr,
                momentum,
                nesterov,
                biasCorrection,
                coefficients,
                iterations,
                eps,
                gram,
                precision,
                scaling,
                l2,
                decay);
    }

    /** This rule with another μ. */
    public Muon momentum(double momentum) {
        return new Muon(
                lr,
                momentum,
                nesterov,
                biasCorrection,
                coefficients,
                iterations,
                eps,
                gram,
                precision,
                scaling,
                l2,
                decay);
    }

    /** This rule with the gradient mixed into the mean once more, or not. */
    public Muon nesterov(boolean nesterov) {
        return new Muon(
                lr,
                momentum,
                nesterov,
                biasCorrection,
                coefficients,
                iterations,
                eps,
                gram,
                precision,
                scaling,
                l2,
                decay);
    }

    /** This rule with both terms of u corrected for having started at zero, or as they are. */
    public Muon biasCorrection(boolean biasCorrection) {
        return new Muon(
                lr,
                momentum,
                nesterov,
                biasCorrection,
                coefficients,
                iterations,
                eps,
                gram,
                precision,
                scaling,
                l2,
                decay);
    }

    /** This rule with other coefficients of its iterations. */
    public Muon coefficients(Coefficients coefficients) {
        return new Muon(
                lr,
                momentum,
                nesterov,
                biasCorrection,
                coefficients,
                iterations,
                eps,
                gram,
                precision,
                scaling,
                l2,
                decay);
    }

    /** This rule with another number of iterations. */
    public Muon iterations(int iterations) {
        return new Muon(
                lr,
                momentum,
                nesterov,
                biasCorrection,
                coefficients,
                iterations,
                eps,
                gram,
                precision,
                scaling,
                l2,
                decay);
    }

    /** This rule with another ε. */
    public Muon eps(double eps) {
        return new Muon(
                lr,
                momentum,
                nesterov,
                biasCorrection,
                coefficients,
                iterations,
                eps,
                gram,
                precision,
                scaling,
                l2,
                decay);
    }

    /** This rule with iterations in the Gram form, or never. */
    public Muon gram(boolean gram) {
        return new Muon(
                lr,
                momentum,
                nesterov,
                biasCorrection,
                coefficients,
                iterations,
                eps,
                gram,
                precision,
                scaling,
                l2,
                decay);
    }

    /** This rule with a device's products in another precision; those of the CPU are always float32. */
    public Muon precision(Precision precision) {
        return new Muon(
                lr,
                momentum,
                nesterov,
                biasCorrection,
                coefficients,
                iterations,
                eps,
                gram,
                precision,
                scaling,
                l2,
                decay);
    }

    /** This rule with another s. */
    public Muon scaling(Scaling scaling) {
        return new Muon(
                lr,
                momentum,
                nesterov,
                biasCorrection,
                coefficients,
                iterations,
                eps,
                gram,
                precision,
                scaling,
                l2,
                decay);
    }

    @Override
    public Muon l2(double l2) {
        return new Muon(
                lr,
                momentum,
                nesterov,
                biasCorrection,
                coefficients,
                iterations,
                eps,
                gram,
                precision,
                scaling,
                l2,
                decay);
    }

    @Override
    public Muon decay(double decay) {
        return new Muon(
                lr,
                momentum,
                nesterov,
                biasCorrection,
                coefficients,
                iterations,
                eps,
                gram,
                precision,
                scaling,
                l2,
                decay);
    }

    @Override
    public List<String> state() {
        return List.of("m");
    }

    @Override
    public float[][] polynomials() {
        return coefficients.of(iterations);
    }

    @Override
    public double margin() {
        return coefficients.margin;
    }

    @Override
    public double scale(long rows, long columns) {
        return scaling.of(rows, columns);
    }

    @Override
    public boolean mayBecome(MatrixRule other) {
        return other instanceof Muon muon
                && coefficients == muon.coefficients
                && iterations == muon.iterations
                && eps == muon.eps
                && gram == muon.gram
                && precision == muon.precision
                && scaling == muon.scaling;
    }

    @Override
    public void at(long t, float[] k) {
        double now = biasCorrection ? 1 - power(momentum, t) : 1,
                next = biasCorrection ? 1 - power(momentum, t + 1) : 1;
        k[0] = (float) l2;
        k[1] = (float) (lr * decay);
        k[2] = (float) momentum;
        k[3] = (float) (1 - momentum);
        k[4] = (float) (nesterov ? (1 - momentum) / now : 0);
        k[5] = (float) (nesterov ? momentum / next : 1 / now);
        k[6] = (float) lr;
    }

    @Override
    public void gather(float[] k, float scale, int from, int to, float[] p, float[] g, float[][] s) {
        float l2 = k[0], momentum = k[2], rest = k[3], ofGradient = k[4], ofMean = k[5];
        float[] m = s[0], u = s[1];
        for (int i = from; i < to; i++) {
            float gi = gradient(g[i], p[i], scale, l2);
            m[i] = flush(momentum * m[i] + rest * gi, MEAN);
            u[i] = ofGradient * gi + ofMean * m[i];
        }
    }

    @Override
    public void apply(float[] k, float scale, float trust, int from, int to, float[] p, float[] g, float[][] s) {
        float decay = k[1], lr = k[6];
        float[] u = s[1];
        for (int i = from; i < to; i++) {
            p[i] = descend(p[i], rate(lr, u[i]), decay, trust);
        }
    }
}
