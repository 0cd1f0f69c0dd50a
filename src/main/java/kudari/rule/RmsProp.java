package kudari.rule;

import static kudari.rule.Arithmetic.SQUARE;
import static kudari.rule.Arithmetic.descend;
import static kudari.rule.Arithmetic.flush;
import static kudari.rule.Arithmetic.gradient;
import static kudari.rule.Arithmetic.power;
import static kudari.rule.Arithmetic.sqrt;

import java.util.List;

/**
 * RMSprop: each element's step is divided by the root of an exponential mean of its squared gradients.
 *
 * <pre>
 *   h ← ρ·h + (1 − ρ)·g²
 *   biasCorrection:  p ← p − lr·g / (√(h/(1 − ρᵗ) + ε_root) + ε)
 *   else:            p ← p − lr·g / (√(h + ε_root) + ε)</pre>
 *
 * <p>Where ε stands is a matter of values: outside the root (ε_root = 0) in the book and PyTorch, inside (ε = 0) in Keras and optax. So is
 * the correction that optax offers, which divides h by 1 − ρᵗ for having started at zero, as {@link Adam} does.
 *
 * <dl>
 *   <dt>Source
 *   <dd>T. Tieleman and G. Hinton, "Lecture 6.5, rmsprop: Divide the gradient by a running average of its recent magnitude", COURSERA:
 *       Neural Networks for Machine Learning (2012), slide 29.
 *   <dt>Deviations
 *   <dd>the lecture has ρ = 0.9 and no ε. Without bias correction, with ρ = 0.99 and h from 0, the first step is about ten times lr.
 *   <dt>State
 *   <dd>{@code h}, 4 bytes per parameter; a step moves 20.
 *   <dt>Neighbours
 *   <dd>{@link AdaGrad} sums where this averages; h can fall here. {@link RmsPropMomentum} adds a velocity, {@link RmsPropCentered} that
 *       and a mean of the gradient to subtract, at the price of more state. {@link Adam} steps along a mean of the gradient and corrects both means.
 * </dl>
 *
 * @param lr learning rate, a finite number from 0 up, in units of parameter
 * @param rho ρ, the fraction of the mean kept per step, in [0, 1)
 * @param initialAccumulator where {@code h} starts, 0 or positive, in units of gradient squared
 * @param eps ε, outside the root, 0 or positive, in units of gradient
 * @param epsRoot ε_root, inside the root, 0 or positive, in units of gradient squared; one of the two must be positive, for h may fall to 0
 * @param biasCorrection whether h is divided by 1 − ρᵗ
 * @param l2 coupled weight decay, 0 or positive, see {@link Rule}
 * @param decay decoupled weight decay, 0 or positive, see {@link Rule}
 */
public record RmsProp(
        double lr,
        double rho,
        double initialAccumulator,
        double eps,
        double epsRoot,
        boolean biasCorrection,
        double l2,
        double decay)
        implements Rule {

    /** Checks that the hyperparameters are in range. */
    public RmsProp {
        Check.common(lr, l2, decay);
        Check.fraction("rho", rho);
        Check.nonNegative("initialAccumulator", initialAccumulator, 1);
        Check.nonNegative("eps", eps, biasCorrection ? Math.sqrt(1 - rho) : 1);
        Check.nonNegative("epsRoot", epsRoot, biasCorrection ? 1 - rho : 1);
        Check.someEpsilon("eps + epsRoot", eps, epsRoot);
    }

    /** The book's RMSprop at its defaults: lr 0.01, ρ 0.99, ε 1e-7 outside the root. */
    public static RmsProp of() {
        return of(0.01);
    }

    /** The book's RMSprop: ρ = 0.99, ε = 1e-7 outside the root. */
    @Preset(peer = Peer.BOOK, lr = 0.01)
    public static RmsProp of(double lr) {
        return new RmsProp(lr, 0.99, 0, 1e-7, 0, false, 0, 0);
    }

    /** PyTorch's: ρ = 0.99, ε = 1e-8 outside the root. */
    @Preset(peer = Peer.PYTORCH, lr = 0.01)
    public static RmsProp pytorch(double lr) {
        return of(lr).eps(1e-8);
    }

    /** Keras's: ρ = 0.9, ε = 1e-7 inside the root. */
    @Preset(peer = Peer.KERAS, lr = 0.001)
    public static RmsProp keras(double lr) {
        return new RmsProp(lr, 0.9, 0, 0, 1e-7, false, 0, 0);
    }

    /** optax's: ρ = 0.9, ε = 1e-8 inside the root. */
    @Preset(peer = Peer.OPTAX)
    public static RmsProp optax(double lr) {
        return keras(lr).epsRoot(1e-8);
    }

    /** Deeplearning4j's: ρ = 0.95, ε = 1e-8 outside the root, h from 1e-8. */
    @Preset(peer = Peer.DL4J, lr = 0.1)
    public static RmsProp dl4j(double lr) {
        return of(lr).rho(0.95).eps(1e-8).initialAccumulator(1e-8);
    }

    @Override
    public RmsProp lr(double lr) {
        return new RmsProp(lr, rho, initialAccumulator, eps, epsRoot, biasCorrection, l2, decay);
    }

    /** This rule with another ρ. */
    public RmsProp rho(double rho) {
        return new RmsProp(lr, rho, initialAccumulator, eps, epsRoot, biasCorrection, l2, decay);
    }

    /** This rule with another start of h. */
    public RmsProp initialAccumulator(double initialAccumulator) {
        return new RmsProp(lr, rho, initialAccumulator, eps, epsRoot, biasCorrection, l2, decay);
    }

    /** This rule with another ε outside the root. */
    public RmsProp eps(double eps) {
        return new RmsProp(lr, rho, initialAccumulator, eps, epsRoot, biasCorrection, l2, decay);
    }

    /** This rule with another ε inside the root. */
    public RmsProp epsRoot(double epsRoot) {
        return new RmsProp(lr, rho, initialAccumulator, eps, epsRoot, biasCorrection, l2, decay);
    }

    /** This rule with h corrected for having started at zero, or not. */
    public RmsProp biasCorrection(boolean biasCorrection) {
        return new RmsProp(lr, rho, initialAccumulator, eps, epsRoot, biasCorrection, l2, decay);
    }

    @Override
    public RmsProp l2(double l2) {
        return new RmsProp(lr, rho, initialAccumulator, eps, epsRoot, biasCorrection, l2, decay);
    }

    @Override
    public RmsProp decay(double decay) {
        return new RmsProp(lr, rho, initialAccumulator, eps, epsRoot, biasCorrection, l2, decay);
    }

    @Override
    public List<String> state() {
        return List.of("h");
    }

    @Override
    public float initial(int array) {
        return (float) initialAccumulator;
    }

    @Override
    public void at(long t, float[] k) {
        double c = biasCorrection ? 1 - power(rho, t) : 1;
        k[0] = (float) l2;
        k[1] = (float) (lr * decay);
        k[2] = (float) (lr * Math.sqrt(c));
        k[3] = (float) rho;
        k[4] = (float) (1 - rho);
        k[5] = (float) (eps * Math.sqrt(c));
        k[6] = (float) (epsRoot * c);
    }

    @Override
    public void apply(float[] k, float scale, float trust, int from, int to, float[] p, float[] g, float[][] s) {
        float l2 = k[0], decay = k[1], lr = k[2], rho = k[3], rest = k[4], eps = k[5], epsRoot = k[6];
        float[] h = s[0];
        for (int i = from; i < to; i++) {
            float pi = p[i], gi = gradient(g[i], pi, scale, l2);
            h[i] = flush(rho * h[i] + rest * (gi * gi), SQUARE);
            p[i] = descend(pi, lr * gi / (sqrt(h[i] + epsRoot) + eps), decay, trust);
        }
    }
}
