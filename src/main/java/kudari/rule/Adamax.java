package kudari.rule;

import static kudari.rule.Arithmetic.MEAN;
import static kudari.rule.Arithmetic.SQUARE;
import static kudari.rule.Arithmetic.abs;
import static kudari.rule.Arithmetic.descend;
import static kudari.rule.Arithmetic.flush;
import static kudari.rule.Arithmetic.gradient;
import static kudari.rule.Arithmetic.larger;
import static kudari.rule.Arithmetic.power;

import java.util.List;

/**
 * Adamax: {@link Adam} with the largest gradient of late, slowly forgotten, in the place of the root of a mean of squares.
 *
 * <pre>
 *   m ← β₁·m + (1 − β₁)·g
 *   u ← max(β₂·u, |g| + ε_max)
 *   p ← p − lr/c₁·m / (u + ε)        with c₁ = 1 − β₁ᵗ</pre>
 *
 * <p>Where ε stands is a matter of values: inside the maximum in PyTorch and optax ({@link #of(double)}), outside in Keras ({@link #keras(double)}).
 *
 * <dl>
 *   <dt>Source
 *   <dd>D. P. Kingma and J. Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015, arXiv:1412.6980, algorithm 2.
 *   <dt>Deviations
 *   <dd>the paper has no ε, and 0/0 where no gradient has come yet.
 *   <dt>State
 *   <dd>{@code m} and {@code u}, 8 bytes per parameter; a step moves 28.
 *   <dt>Neighbours
 *   <dd>{@link Adam}, of which this is the form with an infinite norm in the place of the second.
 * </dl>
 *
 * @param lr learning rate, a finite number from 0 up, in units of parameter
 * @param beta1 β₁, the fraction of the gradient's mean kept per step, in [0, 1)
 * @param beta2 β₂, the fraction of the largest gradient kept per step, in [0, 1)
 * @param eps ε, added to the maximum, 0 or positive, in units of gradient
 * @param epsMax ε_max, added to |g| inside the maximum, 0 or positive, in units of gradient; one of the two must be positive
 * @param l2 coupled weight decay, 0 or positive, see {@link Rule}
 * @param decay decoupled weight decay, 0 or positive, see {@link Rule}
 */
public record Adamax(double lr, double beta1, double beta2, double eps, double epsMax, double l2, double decay)
        implements Rule {

    /** Checks that the hyperparameters are in range. */
    public Adamax {
        Check.common(lr, l2, decay);
        Check.fraction("beta1", beta1);
        Check.fraction("beta2", beta2);
        Check.nonNegative("eps", eps, 1);
        Check.nonNegative("epsMax", epsMax, 1);
        double kept = (float) epsMax < Float.MIN_NORMAL ? 0 : epsMax; // a step flushes what is less
        Check.someEpsilon("eps + epsMax", eps, kept);
    }

    /** PyTorch's Adamax at its defaults: lr 0.002, β 0.9 and 0.999, ε_max 1e-8. */
    public static Adamax of() {
        return of(0.002);
    }

    /** PyTorch's and optax's: β 0.9 and 0.999, ε = 1e-8 inside the maximum. */
    @Preset(peer = Peer.PYTORCH, lr = 0.002)
    @Preset(peer = Peer.OPTAX)
    public static Adamax of(double lr) {
        return new Adamax(lr, 0.9, 0.999, 0, 1e-8, 0, 0);
    }

    /** Keras's: β 0.9 and 0.999, ε = 1e-7 outside the maximum. */
    @Preset(peer = Peer.KERAS, lr = 0.001)
    public static Adamax keras(double lr) {
        return new Adamax(lr, 0.9, 0.999, 1e-7, 0, 0, 0);
    }

    /** Deeplearning4j's: β 0.9 and 0.999, 1e-32 for ε, which it adds to the maximum and not to |g|. */
    @Preset(peer = Peer.DL4J, lr = 0.001)
    public static Adamax dl4j(double lr) {
        return of(lr).epsMax(1e-32);
    }

    @Override
    public Adamax lr(double lr) {
        return new Adamax(lr, beta1, beta2, eps, epsMax, l2, decay);
    }

    /** This rule with other fractions of its mean and its maximum. */
    public Adamax betas(double beta1, double beta2) {
        return new Adamax(lr, beta1, beta2, eps, epsMax, l2, decay);
    }

    /** This rule with another ε outside the maximum. */
    public Adamax eps(double eps) {
        return new Adamax(lr, beta1, beta2, eps, epsMax, l2, decay);
    }

    /** This rule with another ε inside the maximum. */
    public Adamax epsMax(double epsMax) {
        return new Adamax(lr, beta1, beta2, eps, epsMax, l2, decay);
    }

    @Override
    public Adamax l2(double l2) {
        return new Adamax(lr, beta1, beta2, eps, epsMax, l2, decay);
    }

    @Override
    public Adamax decay(double decay) {
        return new Adamax(lr, beta1, beta2, eps, epsMax, l2, decay);
    }

    @Override
    public List<String> state() {
        return List.of("m", "u");
    }

    @Override
    public void at(long t, float[] k) {
        k[0] = (float) l2;
        k[1] = (float) (lr * decay);
        k[2] = (float) beta1;
        k[3] = (float) (1 - beta1);
        k[4] = (float) beta2;
        k[5] = (float) (lr / (1 - power(beta1, t)));
        k[6] = (float) eps;
        k[7] = (float) epsMax;
    }

    @Override
    public void apply(float[] k, float scale, float trust, int from, int to, float[] p, float[] g, float[][] s) {
        float l2 = k[0],
                decay = k[1],
                beta1 = k[2],
                rest1 = k[3],
                beta2 = k[4],
                alpha = k[5],
                eps = k[6],
                epsMax = k[7];
        float[] m = s[0], u = s[1];
        for (int i = from; i < to; i++) {
            float pi = p[i], gi = gradient(g[i], pi, scale, l2);
            m[i] = flush(beta1 * m[i] + rest1 * gi, MEAN);
            u[i] = flush(larger(beta2 * u[i], abs(gi) + epsMax), SQUARE);
            p[i] = descend(pi, alpha * m[i] / (u[i] + eps), decay, trust);
        }
    }
}
