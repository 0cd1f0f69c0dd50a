package kudari.rule;

import static kudari.rule.Arithmetic.SQUARE;
import static kudari.rule.Arithmetic.descend;
import static kudari.rule.Arithmetic.flush;
import static kudari.rule.Arithmetic.gradient;
import static kudari.rule.Arithmetic.sqrt;

import java.util.List;

/**
 * AdaDelta: each element's step is its gradient times the root mean square of its steps so far, divided by that of its gradients, so that the step has
 * the unit of the parameter.
 *
 * <pre>
 *   h ← ρ·h + (1 − ρ)·g²
 *   Δ = √(d + ε)/√(h + ε)·g
 *   d ← ρ·d + (1 − ρ)·Δ²
 *   p ← p − lr·Δ</pre>
 *
 * <dl>
 *   <dt>Source
 *   <dd>M. D. Zeiler, "ADADELTA: An Adaptive Learning Rate Method", arXiv:1212.5701 (2012), algorithm 1.
 *   <dt>Deviations
 *   <dd>the paper has no learning rate, which is 1 there and in PyTorch ({@link #of(double)}); Keras has 0.001 ({@link #keras(double)}), a thousandth of
 *       the paper's steps.
 *   <dt>State
 *   <dd>{@code h} and {@code d}, 8 bytes per parameter; a step moves 28.
 *   <dt>Neighbours
 *   <dd>{@link RmsProp} has 1 in the place of √(d + ε).
 * </dl>
 *
 * @param lr learning rate, a finite number from 0 up, a factor of the step
 * @param rho ρ, the fraction of both means kept per step, in [0, 1)
 * @param eps ε, inside both roots, positive; in units of gradient squared in the one, of parameter squared in the other
 * @param l2 coupled weight decay, 0 or positive, see {@link Rule}
 * @param decay decoupled weight decay, 0 or positive, see {@link Rule}
 */
public record AdaDelta(double lr, double rho, double eps, double l2, double decay) implements Rule {

    /** Checks that the hyperparameters are in range. */
    public AdaDelta {
        Check.common(lr, l2, decay);
        Check.fraction("rho", rho);
        Check.nonNegative("eps", eps, 1);
        Check.require(eps > 0, "eps", "a positive number, for steps begin with it", eps);
    }

    /** PyTorch's AdaDelta at its defaults: lr 1, ρ 0.9, ε 1e-6. */
    public static AdaDelta of() {
        return of(1);
    }

    /** PyTorch's and optax's: ρ = 0.9, ε = 1e-6. */
    @Preset(peer = Peer.PYTORCH, lr = 1)
    @Preset(peer = Peer.OPTAX)
    public static AdaDelta of(double lr) {
        return new AdaDelta(lr, 0.9, 1e-6, 0, 0);
    }

    /** Keras's: ρ = 0.95, ε = 1e-7. */
    @Preset(peer = Peer.KERAS, lr = 0.001)
    public static AdaDelta keras(double lr) {
        return new AdaDelta(lr, 0.95, 1e-7, 0, 0);
    }

    /** Deeplearning4j's: ρ = 0.95, ε = 1e-6. It has no learning rate, which is one of 1. */
    @Preset(peer = Peer.DL4J, lr = 1)
    public static AdaDelta dl4j(double lr) {
        return of(lr).rho(0.95);
    }

    @Override
    public AdaDelta lr(double lr) {
        return new AdaDelta(lr, rho, eps, l2, decay);
    }

    /** This rule with another ρ. */
    public AdaDelta rho(double rho) {
        return new AdaDelta(lr, rho, eps, l2, decay);
    }

    /** This rule with another ε. */
    public AdaDelta eps(double eps) {
        return new AdaDelta(lr, rho, eps, l2, decay);
    }

    @Override
    public AdaDelta l2(double l2) {
        return new AdaDelta(lr, rho, eps, l2, decay);
    }

    @Override
    public AdaDelta decay(double decay) {
        return new AdaDelta(lr, rho, eps, l2, decay);
    }

    @Override
    public List<String> state() {
        return List.of("h", "d");
    }

    @Override
    public void at(long t, float[] k) {
        k[0] = (float) l2;
        k[1] = (float) (lr * decay);
        k[2] = (float) lr;
        k[3] = (float) rho;
        k[4] = (float) (1 - rho);
        k[5] = (float) eps;
    }

    @Override
    public void apply(float[] k, float scale, float trust, int from, int to, float[] p, float[] g, float[][] s) {
        float l2 = k[0], decay = k[1], lr = k[2], rho = k[3], rest = k[4], eps = k[5];
        float[] h = s[0], d = s[1];
        for (int i = from; i < to; i++) {
            float gi = gradient(g[i], p[i], scale, l2);
            h[i] = flush(rho * h[i] + rest * (gi * gi), SQUARE);
        }
        for (int i = from; i < to; i++) {
            float pi = p[i], gi = gradient(g[i], pi, scale, l2);
            float step = sqrt(d[i] + eps) / sqrt(h[i] + eps) * gi;
            d[i] = flush(rho * d[i] + rest * (step * step), SQUARE);
            p[i] = descend(pi, lr * step, decay, trust);
        }
    }
}
