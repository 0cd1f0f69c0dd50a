package kudari.rule;

import static kudari.rule.Check.sqrt;

import java.util.List;

/**
 * AdaGrad: each element's step is divided by the root of the sum of all its squared gradients so far.
 *
 * <pre>
 *   h ← h + g²
 *   p ← p − lr·g / (√(h + ε_root) + ε)</pre>
 *
 * <p>Where ε stands is a matter of values: outside the root (ε_root = 0) in the book and PyTorch, inside (ε = 0) in Keras and optax. So is
 * the start: h is 0 in the book and PyTorch, 0.1 in Keras and optax. {@code new AdaGrad(lr, 0.1, 0, 1e-7)} is therefore Keras's.
 *
 * <dl>
 *   <dt>Source
 *   <dd>J. Duchi, E. Hazan and Y. Singer, "Adaptive Subgradient Methods for Online Learning and Stochastic Optimization", Journal of
 *       Machine Learning Research 12 (2011), figure 1, the diagonal form.
 *   <dt>Deviations
 *   <dd>the paper's δ is ε outside the root; ε_root and the start h₀ are later libraries'.
 *   <dt>State
 *   <dd>{@code h}, 4 bytes per parameter; a step moves 20.
 *   <dt>Neighbours
 *   <dd>{@link RmsProp} forgets old gradients, so that its steps need not die away.
 * </dl>
 *
 * @param lr learning rate, a finite number from 0 up, in units of parameter
 * @param h0 where {@code h} starts, 0 or positive, in units of gradient squared
 * @param eps ε outside the root, 0 or positive, in units of gradient
 * @param epsRoot ε inside the root, 0 or positive, in units of gradient squared; one of the two must be positive
 */
public record AdaGrad(double lr, double h0, double eps, double epsRoot) implements Rule {

    /** Checks that the hyperparameters are in range. */
    public AdaGrad {
        Check.learningRate(lr);
        Check.nonNegative("h0", h0, 1);
        Check.nonNegative("eps", eps, 1);
        Check.nonNegative("epsRoot", epsRoot, 1);
        Check.someEpsilon("eps + epsRoot", eps, epsRoot);
    }

    /** The book's AdaGrad at its defaults: lr 0.01, ε 1e-7 outside the root, h from 0. */
    public static AdaGrad of() {
        return of(0.01);
    }

    /** The book's AdaGrad: ε = 1e-7 outside the root, h from 0. */
    public static AdaGrad of(double lr) {
        return new AdaGrad(lr, 0, 1e-7, 0);
    }

    @Override
    public List<String> state() {
        return List.of("h");
    }

    @Override
    public float initial() {
        return (float) h0;
    }

    @Override
    public void at(long t, float[] k) {
        k[0] = (float) lr;
        k[1] = (float) eps;
        k[2] = (float) epsRoot;
    }

    @Override
    public void apply(float[] k, int from, int to, float[] p, float[] g, float[][] s) {
        float lr = k[0], eps = k[1], epsRoot = k[2];
        float[] h = s[0];
        for (int i = from; i < to; i++) {
            h[i] += g[i] * g[i];
            p[i] -= lr * g[i] / (sqrt(h[i] + epsRoot) + eps);
        }
    }
}
