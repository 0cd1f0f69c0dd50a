package kudari.rule;

import static kudari.rule.Arithmetic.MEAN;
import static kudari.rule.Arithmetic.SQUARE;
import static kudari.rule.Arithmetic.descend;
import static kudari.rule.Arithmetic.flush;
import static kudari.rule.Arithmetic.gradient;
import static kudari.rule.Arithmetic.larger;
import static kudari.rule.Arithmetic.rate;
import static kudari.rule.Arithmetic.sqrt;

import java.util.List;

/**
 * Centred RMSprop: each element's step is divided by the standard deviation of its gradients, not by the root of their mean square; with momentum if
 * that is asked for.
 *
 * <pre>
 *   h ← ρ·h + (1 − ρ)·g²,  m ← ρ·m + (1 − ρ)·g,  D = √(max(h − m², 0) + ε_root) + ε
 *   outside:  b ← μ·b + g/D,      p ← p − lr·b       PyTorch: {@link #of(double)}
 *   inside:   v ← μ·v + lr·g/D,   p ← p − v          Keras, TensorFlow, optax: {@link #keras(double)}</pre>
 *
 * <p>Where ε stands is a matter of values, as in {@link RmsProp}. Where gradients stay the same, D falls to ε and steps grow towards lr·g/ε: ε is
 * the gradient's noise below which steps shall not grow, and 0.01 is no large one.
 *
 * <dl>
 *   <dt>Source
 *   <dd>A. Graves, "Generating Sequences With Recurrent Neural Networks", arXiv:1308.0850 (2013), equations 38 to 41; he has ρ = 0.95, μ = 0.9,
 *       lr = 0.0001 and ε = 0.0001 inside the root.
 *   <dt>Deviations
 *   <dd>the variance h − m² is held at 0, below which it may round and PyTorch's root is not a number. optax's bias correction is not offered: with it
 *       the variance of the first step is 0. Gradients beyond 10<sup>19</sup>, whose squares overflow, are not a number here, and no step in {@link RmsProp}.
 *   <dt>State
 *   <dd>{@code h}, {@code m}, and {@code b} or {@code v}, 12 bytes per parameter, also with μ = 0; a step moves 36.
 *   <dt>Neighbours
 *   <dd>{@link RmsPropMomentum} has no mean of the gradient.
 * </dl>
 *
 * @param lr learning rate, a finite number from 0 up, in units of parameter
 * @param rho ρ, the fraction of both means kept per step, in [0, 1)
 * @param momentum μ, the fraction of the velocity kept per step, in [0, 1)
 * @param inside whether the learning rate stands inside the velocity
 * @param initialAccumulator where {@code h} starts, 0 or positive, in units of gradient squared
 * @param eps ε, outside the root, 0 or positive, in units of gradient
 * @param epsRoot ε_root, inside the root, 0 or positive, in units of gradient squared; one of the two must be positive, for the variance may fall to 0
 * @param l2 coupled weight decay, 0 or positive, see {@link Rule}
 * @param decay decoupled weight decay, 0 or positive, see {@link Rule}
 */
public record RmsPropCentered(
        double lr,
        double rho,
        double momentum,
        boolean inside,
        double initialAccumulator,
        double eps,
        double epsRoot,
        double l2,
        double decay)
        implements Rule {

    /** Checks that the hyperparameters are in range. */
    public RmsPropCentered {
        Check.common(lr, l2, decay);
        Check.fraction("rho", rho);
        Check.fraction("momentum", momentum);
        Check.nonNegative("initialAccumulator", initialAccumulator, 1);
        Check.nonNegative("eps", eps, 1);
        Check.nonNegative("epsRoot", epsRoot, 1);
        Check.someEpsilon("eps + epsRoot", eps, epsRoot);
    }

    /** PyTorch's at its learning rate: lr 0.01, ρ 0.99, no momentum, ε 1e-8 outside the root. */
    public static RmsPropCentered of() {
        return of(0.01);
    }

    /** PyTorch's: the learning rate outside, ρ = 0.99, no momentum, ε = 1e-8 outside the root. */
    @Preset(peer = Peer.PYTORCH, lr = 0.01)
    public static RmsPropCentered of(double lr) {
        return new RmsPropCentered(lr, 0.99, 0, false, 0, 1e-8, 0, 0, 0);
    }

    /** Keras's: the learning rate inside, ρ = 0.9, no momentum, ε = 1e-7 inside the root. */
    @Preset(peer = Peer.KERAS, lr = 0.001)
    public static RmsPropCentered keras(double lr) {
        return new RmsPropCentered(lr, 0.9, 0, true, 0, 0, 1e-7, 0, 0);
    }

    /** optax's: the learning rate inside, ρ = 0.9, no momentum, ε = 1e-8 inside the root. */
    @Preset(peer = Peer.OPTAX)
    public static RmsPropCentered optax(double lr) {
        return keras(lr).epsRoot(1e-8);
    }

    @Override
    public RmsPropCentered lr(double lr) {
        return new RmsPropCentered(lr, rho, momentum, inside, initialAccumulator, eps, epsRoot, l2, decay);
    }

    /** This rule with another ρ. */
    public RmsPropCentered rho(double rho) {
        return new RmsPropCentered(lr, rho, momentum, inside, initialAccumulator, eps, epsRoot, l2, decay);
    }

    /** This rule with another μ. */
    public RmsPropCentered momentum(double momentum) {
        return new RmsPropCentered(lr, rho, momentum, inside, initialAccumulator, eps, epsRoot, l2, decay);
    }

    /** This rule with another start of h. */
    public RmsPropCentered initialAccumulator(double initialAccumulator) {
        return new RmsPropCentered(lr, rho, momentum, inside, initialAccumulator, eps, epsRoot, l2, decay);
    }

    /** This rule with another ε outside the root. */
    public RmsPropCentered eps(double eps) {
        return new RmsPropCentered(lr, rho, momentum, inside, initialAccumulator, eps, epsRoot, l2, decay);
    }

    /** This rule with another ε inside the root. */
    public RmsPropCentered epsRoot(double epsRoot) {
        return new RmsPropCentered(lr, rho, momentum, inside, initialAccumulator, eps, epsRoot, l2, decay);
    }

    @Override
    public RmsPropCentered l2(double l2) {
        return new RmsPropCentered(lr, rho, momentum, inside, initialAccumulator, eps, epsRoot, l2, decay);
    }

    @Override
    public RmsPropCentered decay(double decay) {
        return new RmsPropCentered(lr, rho, momentum, inside, initialAccumulator, eps, epsRoot, l2, decay);
    }

    @Override
    public List<String> state() {
        return List.of("h", "m", inside ? "v" : "b");
    }

    @Override
    public float initial(int array) {
        return array == 0 ? (float) initialAccumulator : 0;
    }

    @Override
    public void at(long t, float[] k) {
        k[0] = (float) l2;
        k[1] = (float) (lr * decay);
        k[2] = (float) rho;
        k[3] = (float) (1 - rho);
        k[4] = (float) momentum;
        k[5] = (float) (inside ? lr : 1);
        k[6] = (float) (inside ? 1 : lr);
        k[7] = (float) eps;
        k[8] = (float) epsRoot;
    }

    @Override
    public void apply(float[] k, float scale, float trust, int from, int to, float[] p, float[] g, float[][] s) {
        float l2 = k[0], decay = k[1], rho = k[2], rest = k[3], momentum = k[4], in = k[5], out = k[6];
        float eps = k[7], epsRoot = k[8];
        float[] h = s[0], m = s[1], b = s[2];
        for (int i = from; i < to; i++) {
            float gi = gradient(g[i], p[i], scale, l2);
            h[i] = flush(rho * h[i] + rest * (gi * gi), SQUARE);
            m[i] = flush(rho * m[i] + rest * gi, MEAN);
        }
        for (int i = from; i < to; i++) {
            float pi = p[i], gi = gradient(g[i], pi, scale, l2);
            float root = sqrt(larger(h[i] - m[i] * m[i], 0) + epsRoot) + eps;
            b[i] = flush(momentum * b[i] + rate(in, gi / root), MEAN);
            p[i] = descend(pi, rate(out, b[i]), decay, trust);
        }
    }
}
