package kudari.rule;

import static kudari.rule.Check.sqrt;

import java.util.List;

/**
 * RMSprop: each element's step is divided by the root of an exponential mean of its squared gradients.
 *
 * <pre>
 *   h ← ρ·h + (1 − ρ)·g²
 *   p ← p − lr·g / (√(h + ε_root) + ε)</pre>
 *
 * <p>Where ε stands is a matter of values: outside the root (ε_root = 0) in the book and PyTorch, inside (ε = 0) in Keras and optax; {@code
 * new RmsProp(lr, 0.9, 0, 1e-7)} is Keras's.
 *
 * <dl>
 *   <dt>Source
 *   <dd>T. Tieleman and G. Hinton, "Lecture 6.5, rmsprop: Divide the gradient by a running average of its recent magnitude", COURSERA:
 *       Neural Networks for Machine Learning (2012), slide 29.
 *   <dt>Deviations
 *   <dd>the lecture has ρ = 0.9 and no ε. There is no bias correction: with ρ = 0.99 the first step is about ten times lr.
 *   <dt>State
 *   <dd>{@code h}, 4 bytes per parameter; a step moves 20.
 *   <dt>Neighbours
 *   <dd>{@link AdaGrad} sums where this averages; h can fall here. {@link Adam} adds a mean of the gradient and corrects both means.
 * </dl>
 *
 * @param lr learning rate, a finite number from 0 up, in units of parameter
 * @param rho ρ, the fraction of the mean kept per step, in [0, 1)
 * @param eps ε outside the root, 0 or positive, in units of gradient
 * @param epsRoot ε inside the root, 0 or positive, in units of gradient squared; one of the two must be positive
 */
public record RmsProp(double lr, double rho, double eps, double epsRoot) implements Rule {

    /** Checks that the hyperparameters are in range. */
    public RmsProp {
        Check.learningRate(lr);
        Check.decay("rho", rho);
        Check.nonNegative("eps", eps, 1);
        Check.nonNegative("epsRoot", epsRoot, 1);
        Check.someEpsilon("eps + epsRoot", eps, epsRoot);
    }

    /** The book's RMSprop at its defaults: lr 0.01, ρ 0.99, ε 1e-7 outside the root. */
    public static RmsProp of() {
        return of(0.01);
    }

    /** The book's RMSprop: ρ = 0.99, ε = 1e-7 outside the root. */
    public static RmsProp of(double lr) {
        return new RmsProp(lr, 0.99, 1e-7, 0);
    }

    @Override
    public List<String> state() {
        return List.of("h");
    }

    @Override
    public void at(long t, float[] k) {
        k[0] = (float) lr;
        k[1] = (float) rho;
        k[2] = (float) (1 - rho);
        k[3] = (float) eps;
        k[4] = (float) epsRoot;
    }

    @Override
    public void apply(float[] k, int from, int to, float[] p, float[] g, float[][] s) {
        float lr = k[0], rho = k[1], rest = k[2], eps = k[3], epsRoot = k[4];
        float[] h = s[0];
        for (int i = from; i < to; i++) {
            h[i] = rho * h[i] + rest * (g[i] * g[i]);
            p[i] -= lr * g[i] / (sqrt(h[i] + epsRoot) + eps);
        }
    }
}
