package kudari.rule;

import java.util.List;

/**
 * Gradient descent: against the gradient, by a fixed fraction of it.
 *
 * <pre>  p ← p − lr·g</pre>
 *
 * <p>Gradient descent, stochastic gradient descent and mini-batch gradient descent are this one rule; they differ in which samples make
 * the gradient, which is the business of the sampler and not of the rule.
 *
 * <dl>
 *   <dt>Source
 *   <dd>H. Robbins and S. Monro, "A Stochastic Approximation Method", Annals of Mathematical Statistics 22 (1951), equation 8.
 *   <dt>Deviations
 *   <dd>none.
 *   <dt>State
 *   <dd>none; a step moves 12 bytes per parameter.
 * </dl>
 *
 * @param lr learning rate, a finite number from 0 up, in units of parameter per gradient; the book's default is 0.01
 */
public record Sgd(double lr) implements Rule {

    /** Checks that {@code lr} is in range. */
    public Sgd {
        Check.learningRate(lr);
    }

    /** Gradient descent with the book's learning rate of 0.01. */
    public static Sgd of() {
        return of(0.01);
    }

    /** Gradient descent with this learning rate. */
    public static Sgd of(double lr) {
        return new Sgd(lr);
    }

    @Override
    public List<String> state() {
        return List.of();
    }

    @Override
    public void at(long t, float[] k) {
        k[0] = (float) lr;
    }

    @Override
    public void apply(float[] k, int from, int to, float[] p, float[] g, float[][] s) {
        float lr = k[0];
        for (int i = from; i < to; i++) {
            p[i] -= lr * g[i];
        }
    }
}
