package kudari.rule;

import java.util.List;

/**
 * Momentum, the heavy ball: a velocity collects the gradients and decays; the parameter follows the velocity.
 *
 * <pre>
 *   v ← μ·v + a·g
 *   p ← p + b·v</pre>
 *
 * <p>Where the learning rate stands is a matter of values. {@link #of(double) Inside the velocity} (a = −lr, b = 1) it stands in the book
 * and Keras; {@link #outside(double) outside} (a = 1, b = −lr) in PyTorch and optax. The two agree as long as the learning rate is
 * constant. When it changes, the inside form keeps moving at the speed gathered under the old rate, the outside form changes speed at once.
 *
 * <dl>
 *   <dt>Source
 *   <dd>B. T. Polyak, "Some methods of speeding up the convergence of iteration methods", USSR Computational Mathematics and Mathematical
 *       Physics 4 (1964), equation 9; in this notation «ゼロから作る Deep Learning», section 6.1.4.
 *   <dt>Deviations
 *   <dd>none. {@code v} is the velocity and starts at 0; it is not the previous weights.
 *   <dt>State
 *   <dd>{@code v}, 4 bytes per parameter; a step moves 20.
 *   <dt>Neighbours
 *   <dd>with μ = 0 it is {@link Sgd}; {@link Nesterov} looks one step of the velocity ahead.
 * </dl>
 *
 * @param mu μ, the fraction of the velocity kept per step, in [0, 1)
 * @param a factor of the gradient on its way into the velocity, finite
 * @param b factor of the velocity on its way into the parameter, finite; a·b must not be positive, or the step would ascend
 */
public record Momentum(double mu, double a, double b) implements Rule {

    /** Checks that the hyperparameters are in range. */
    public Momentum {
        Check.decay("mu", mu);
        Check.factor("a", a);
        Check.factor("b", b);
        Check.factor("a·b", a * b);
        Check.require(a * b <= 0, "a·b", "a number that is not positive, lest the step ascend", a * b);
    }

    /** The book's Momentum at its defaults: lr 0.01, μ 0.9. */
    public static Momentum of() {
        return of(0.01);
    }

    /** The book's Momentum, the learning rate inside the velocity, with μ = 0.9. */
    public static Momentum of(double lr) {
        return of(lr, 0.9);
    }

    /** The book's Momentum: the learning rate inside the velocity. */
    public static Momentum of(double lr, double mu) {
        Check.learningRate(lr);
        return new Momentum(mu, -lr, 1);
    }

    /** PyTorch's and optax's momentum, the learning rate outside the velocity, with μ = 0.9. */
    public static Momentum outside(double lr) {
        return outside(lr, 0.9);
    }

    /** PyTorch's and optax's momentum: the learning rate outside the velocity. */
    public static Momentum outside(double lr, double mu) {
        Check.learningRate(lr);
        return new Momentum(mu, 1, -lr);
    }

    /** The learning rate, wherever it stands: −a·b. */
    @Override
    public double lr() {
        return -a * b;
    }

    @Override
    public List<String> state() {
        return List.of("v");
    }

    @Override
    public void at(long t, float[] k) {
        k[0] = (float) mu;
        k[1] = (float) a;
        k[2] = (float) b;
    }

    @Override
    public void apply(float[] k, int from, int to, float[] p, float[] g, float[][] s) {
        float mu = k[0], a = k[1], b = k[2];
        float[] v = s[0];
        for (int i = from; i < to; i++) {
            v[i] = mu * v[i] + a * g[i];
            p[i] += b * v[i];
        }
    }
}
