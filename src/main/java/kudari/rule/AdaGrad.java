package kudari.rule;

import static kudari.rule.Arithmetic.SQUARE;
import static kudari.rule.Arithmetic.descend;
import static kudari.rule.Arithmetic.flush;
import static kudari.rule.Arithmetic.gradient;
import static kudari.rule.Arithmetic.sqrt;

import java.util.List;

/**
 * AdaGrad: each element's step is divided by the root of the sum of all its squared gradients so far.
 *
 * <pre>
 *   h ← h + g²
 *   p ← p − lrₜ·g / (√(h + ε_root) + ε)        with lrₜ = lr/(1 + lr_decay·(t − 1))</pre>
 *
 * <p>Where ε stands is a matter of values: outside the root (ε_root = 0) in the book and PyTorch, inside (ε = 0) in Keras and optax. So is
 * the start: h is 0 in the book and PyTorch, 0.1 in Keras and optax. PyTorch's lr_decay is 0 unless asked for.
 *
 * <dl>
 *   <dt>Source
 *   <dd>J. Duchi, E. Hazan and Y. Singer, "Adaptive Subgradient Methods for Online Learning and Stochastic Optimization", Journal of
 *       Machine Learning Research 12 (2011), figure 1, the diagonal form.
 *   <dt>Deviations
 *   <dd>the paper's δ is ε outside the root; ε_root and the start are later libraries'.
 *   <dt>State
 *   <dd>{@code h}, 4 bytes per parameter; a step moves 20.
 *   <dt>Neighbours
 *   <dd>{@link RmsProp} forgets old gradients, so that its steps need not die away.
 * </dl>
 *
 * @param lr learning rate, a finite number from 0 up, in units of parameter
 * @param lrDecay lr_decay, what the learning rate is divided by is 1 + (t − 1) times this, 0 or positive; decoupled decay goes by lr as it is
 * @param initialAccumulator where {@code h} starts, 0 or positive, in units of gradient squared
 * @param eps ε, outside the root, 0 or positive, in units of gradient
 * @param epsRoot ε_root, inside the root, 0 or positive, in units of gradient squared; one of the three must be positive
 * @param l2 coupled weight decay, 0 or positive, see {@link Rule}
 * @param decay decoupled weight decay, 0 or positive, see {@link Rule}
 */
public record AdaGrad(
        double lr, double lrDecay, double initialAccumulator, double eps, double epsRoot, double l2, double decay)
        implements Rule {

    /** Checks that the hyperparameters are in range. */
    public AdaGrad {
        Check.common(lr, l2, decay);
        Check.nonNegative("lrDecay", lrDecay, 1);
        Check.nonNegative("initialAccumulator", initialAccumulator, 1);
        Check.nonNegative("eps", eps, 1);
        Check.nonNegative("epsRoot", epsRoot, 1);
        double start =
                (float) initialAccumulator < Float.MIN_NORMAL ? 0 : initialAccumulator; // a step flushes what is less
        Check.someEpsilon("initialAccumulator + eps + epsRoot", start, eps, epsRoot);
    }

    /** The book's AdaGrad at its defaults: lr 0.01, ε 1e-7 outside the root, h from 0. */
    public static AdaGrad of() {
        return of(0.01);
    }

    /** The book's AdaGrad: ε = 1e-7 outside the root, h from 0. */
    @Preset(peer = Peer.BOOK, lr = 0.01)
    public static AdaGrad of(double lr) {
        return new AdaGrad(lr, 0, 0, 1e-7, 0, 0, 0);
    }

    /** PyTorch's: ε = 1e-10 outside the root, h from 0. */
    @Preset(peer = Peer.PYTORCH, lr = 0.01)
    public static AdaGrad pytorch(double lr) {
        return of(lr).eps(1e-10);
    }

    /** Keras's and optax's: ε = 1e-7 inside the root, h from 0.1. */
    @Preset(peer = Peer.KERAS, lr = 0.001)
    @Preset(peer = Peer.OPTAX)
    public static AdaGrad keras(double lr) {
        return new AdaGrad(lr, 0, 0.1, 0, 1e-7, 0, 0);
    }

    /** Deeplearning4j's: ε = 1e-6 outside the root, h from 1e-6. */
    @Preset(peer = Peer.DL4J, lr = 0.1)
    public static AdaGrad dl4j(double lr) {
        return of(lr).eps(1e-6).initialAccumulator(1e-6);
    }

    @Override
    public AdaGrad lr(double lr) {
        return new AdaGrad(lr, lrDecay, initialAccumulator, eps, epsRoot, l2, decay);
    }

    /** This rule with a learning rate that falls by itself. */
    public AdaGrad lrDecay(double lrDecay) {
        return new AdaGrad(lr, lrDecay, initialAccumulator, eps, epsRoot, l2, decay);
    }

    /** This rule with another start of h. */
    public AdaGrad initialAccumulator(double initialAccumulator) {
        return new AdaGrad(lr, lrDecay, initialAccumulator, eps, epsRoot, l2, decay);
    }

    /** This rule with another ε outside the root. */
    public AdaGrad eps(double eps) {
        return new AdaGrad(lr, lrDecay, initialAccumulator, eps, epsRoot, l2, decay);
    }

    /** This rule with another ε inside the root. */
    public AdaGrad epsRoot(double epsRoot) {
        return new AdaGrad(lr, lrDecay, initialAccumulator, eps, epsRoot, l2, decay);
    }

    @Override
    public AdaGrad l2(double l2) {
        return new AdaGrad(lr, lrDecay, initialAccumulator, eps, epsRoot, l2, decay);
    }

    @Override
    public AdaGrad decay(double decay) {
        return new AdaGrad(lr, lrDecay, initialAccumulator, eps, epsRoot, l2, decay);
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
        k[0] = (float) l2;
        k[1] = (float) (lr * decay);
        k[2] = (float) (lr / (1 + (t - 1) * lrDecay));
        k[3] = (float) eps;
        k[4] = (float) epsRoot;
    }

    @Override
    public void apply(float[] k, float scale, float trust, int from, int to, float[] p, float[] g, float[][] s) {
        float l2 = k[0], decay = k[1], lr = k[2], eps = k[3], epsRoot = k[4];
        float[] h = s[0];
        for (int i = from; i < to; i++) {
            float pi = p[i], gi = gradient(g[i], pi, scale, l2);
            h[i] = flush(h[i] + gi * gi, SQUARE);
            p[i] = descend(pi, lr * gi / (sqrt(h[i] + epsRoot) + eps), decay, trust);
        }
    }
}
