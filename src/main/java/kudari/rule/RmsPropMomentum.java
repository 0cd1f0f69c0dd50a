package kudari.rule;

import static kudari.rule.Arithmetic.MEAN;
import static kudari.rule.Arithmetic.SQUARE;
import static kudari.rule.Arithmetic.descend;
import static kudari.rule.Arithmetic.flush;
import static kudari.rule.Arithmetic.gradient;
import static kudari.rule.Arithmetic.power;
import static kudari.rule.Arithmetic.rate;
import static kudari.rule.Arithmetic.sqrt;

import java.util.List;

/**
 * RMSprop with momentum: a velocity collects the steps of {@link RmsProp} and decays; the parameter follows the velocity.
 *
 * <pre>
 *   h ← ρ·h + (1 − ρ)·g²
 *   biasCorrection:  D = √(h/(1 − ρᵗ) + ε_root) + ε
 *   else:            D = √(h + ε_root) + ε
 *   outside:  b ← μ·b + g/D,      p ← p − lr·b       PyTorch: {@link #of(double)}
 *   inside:   v ← μ·v + lr·g/D,   p ← p − v          Keras, TensorFlow, optax: {@link #keras(double)}</pre>
 *
 * <p>Where ε stands, and whether h is corrected for having started at zero, are values, as in {@link RmsProp}. The two places of the learning rate agree
 * as long as it is constant, as in {@link Momentum}.
 *
 * <dl>
 *   <dt>Source
 *   <dd>A. Graves, "Generating Sequences With Recurrent Neural Networks", arXiv:1308.0850 (2013), equations 38 to 41, without its mean of the
 *       gradient.
 *   <dt>Deviations
 *   <dd>none from the libraries. The velocity points the other way than {@link Momentum}'s.
 *   <dt>State
 *   <dd>{@code h}, and {@code b} or {@code v}, 8 bytes per parameter; a step moves 28.
 *   <dt>Neighbours
 *   <dd>with μ = 0 it is {@link RmsProp}; {@link RmsPropCentered} has the mean of the gradient, too; {@link Adam} divides the mean of the gradients and
 *       does not add up what is divided.
 * </dl>
 *
 * @param lr learning rate, a finite number from 0 up, in units of parameter
 * @param rho ρ, the fraction of the mean kept per step, in [0, 1)
 * @param momentum μ, the fraction of the velocity kept per step, in [0, 1)
 * @param inside whether the learning rate stands inside the velocity
 * @param initialAccumulator where {@code h} starts, 0 or positive, in units of gradient squared
 * @param eps ε, outside the root, 0 or positive, in units of gradient
 * @param epsRoot ε_root, inside the root, 0 or positive, in units of gradient squared; one of the two must be positive, for h may fall to 0
 * @param biasCorrection whether h is divided by 1 − ρᵗ
 * @param l2 coupled weight decay, 0 or positive, see {@link Rule}
 * @param decay decoupled weight decay, 0 or positive, see {@link Rule}
 */
public record RmsPropMomentum(
        double lr,
        double rho,
        double momentum,
        boolean inside,
        double initialAccumulator,
        double eps,
        double epsRoot,
        boolean biasCorrection,
        double l2,
        double decay)
        implements Rule {

    /** Checks that the hyperparameters are in range. */
    public RmsPropMomentum {
        Check.common(lr, l2, decay);
        Check.fraction("rho", rho);
        Check.fraction("momentum", momentum);
        Check.nonNegative("initialAccumulator", initialAccumulator, 1);
        Check.nonNegative("eps", eps, biasCorrection ? Math.sqrt(1 - rho) : 1);
        Check.nonNegative("epsRoot", epsRoot, biasCorrection ? 1 - rho : 1);
        Check.someEpsilon("eps + epsRoot", eps, epsRoot);
    }

    /** PyTorch's at its learning rate: lr 0.01, ρ 0.99, μ 0.9, ε 1e-8 outside the root. */
    public static RmsPropMomentum of() {
        return of(0.01);
    }

    /** PyTorch's: the learning rate outside, ρ = 0.99, μ = 0.9, ε = 1e-8 outside the root. */
    @Preset(peer = Peer.PYTORCH, lr = 0.01)
    public static RmsPropMomentum of(double lr) {
        return new RmsPropMomentum(lr, 0.99, 0.9, false, 0, 1e-8, 0, false, 0, 0);
    }

    /** Keras's: the learning rate inside, ρ = 0.9, μ = 0.9, ε = 1e-7 inside the root. */
    @Preset(peer = Peer.KERAS, lr = 0.001)
    public static RmsPropMomentum keras(double lr) {
        return new RmsPropMomentum(lr, 0.9, 0.9, true, 0, 0, 1e-7, false, 0, 0);
    }

    /** optax's: the learning rate inside, ρ = 0.9, μ = 0.9, ε = 1e-8 inside the root. */
    @Preset(peer = Peer.OPTAX)
    public static RmsPropMomentum optax(double lr) {
        return keras(lr).epsRoot(1e-8);
    }

    @Override
    public RmsPropMomentum lr(double lr) {
        return new RmsPropMomentum(
                lr, rho, momentum, inside, initialAccumulator, eps, epsRoot, biasCorrection, l2, decay);
    }

    /** This rule with another ρ. */
    public RmsPropMomentum rho(double rho) {
        return new RmsPropMomentum(
                lr, rho, momentum, inside, initialAccumulator, eps, epsRoot, biasCorrection, l2, decay);
    }

    /** This rule with another μ. */
    public RmsPropMomentum momentum(double momentum) {
        return new RmsPropMomentum(
                lr, rho, momentum, inside, initialAccumulator, eps, epsRoot, biasCorrection, l2, decay);
    }

    /** This rule with another start of h. */
    public RmsPropMomentum initialAccumulator(double initialAccumulator) {
        return new RmsPropMomentum(
                lr, rho, momentum, inside, initialAccumulator, eps, epsRoot, biasCorrection, l2, decay);
    }

    /** This rule with another ε outside the root. */
    public RmsPropMomentum eps(double eps) {
        return new RmsPropMomentum(
                lr, rho, momentum, inside, initialAccumulator, eps, epsRoot, biasCorrection, l2, decay);
    }

    /** This rule with another ε inside the root. */
    public RmsPropMomentum epsRoot(double epsRoot) {
        return new RmsPropMomentum(
                lr, rho, momentum, inside, initialAccumulator, eps, epsRoot, biasCorrection, l2, decay);
    }

    /** This rule with h corrected for having started at zero, or not. */
    public RmsPropMomentum biasCorrection(boolean biasCorrection) {
        return new RmsPropMomentum(
                lr, rho, momentum, inside, initialAccumulator, eps, epsRoot, biasCorrection, l2, decay);
    }

    @Override
    public RmsPropMomentum l2(double l2) {
        return new RmsPropMomentum(
                lr, rho, momentum, inside, initialAccumulator, eps, epsRoot, biasCorrection, l2, decay);
    }

    @Override
    public RmsPropMomentum decay(double decay) {
        return new RmsPropMomentum(
                lr, rho, momentum, inside, initialAccumulator, eps, epsRoot, biasCorrection, l2, decay);
    }

    @Override
    public List<String> state() {
        return List.of("h", inside ? "v" : "b");
    }

    @Override
    public float initial(int array) {
        return array == 0 ? (float) initialAccumulator : 0;
    }

    @Override
    public void at(long t, float[] k) {
        double c = biasCorrection ? 1 - power(rho, t) : 1;
        k[0] = (float) l2;
        k[1] = (float) (lr * decay);
        k[2] = (float) rho;
        k[3] = (float) (1 - rho);
        k[4] = (float) momentum;
        k[5] = (float) ((inside ? lr : 1) * Math.sqrt(c));
        k[6] = (float) (inside ? 1 : lr);
        k[7] = (float) (eps * Math.sqrt(c));
        k[8] = (float) (epsRoot * c);
    }

    @Override
    public void apply(float[] k, float scale, float trust, int from, int to, float[] p, float[] g, float[][] s) {
        float l2 = k[0], decay = k[1], rho = k[2], rest = k[3], momentum = k[4], in = k[5], out = k[6];
        float eps = k[7], epsRoot = k[8];
        float[] h = s[0], b = s[1];
        for (int i = from; i < to; i++) {
            float pi = p[i], gi = gradient(g[i], pi, scale, l2);
            h[i] = flush(rho * h[i] + rest * (gi * gi), SQUARE);
            b[i] = flush(momentum * b[i] + in * gi / (sqrt(h[i] + epsRoot) + eps), MEAN);
            p[i] = descend(pi, rate(out, b[i]), decay, trust);
        }
    }
}
