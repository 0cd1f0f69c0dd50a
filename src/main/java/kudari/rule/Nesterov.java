package kudari.rule;

import java.util.List;

/**
 * Nesterov's accelerated gradient: momentum that takes the gradient where the velocity is about to carry the parameter.
 *
 * <pre>
 *   p ← p + c·v + d·g
 *   v ← μ·v + a·g        with c = b·μ², d = a·b·(1 + μ)</pre>
 *
 * <p>As in {@link Momentum}, the learning rate stands {@link #of(double) inside the velocity} (a = −lr, b = 1; the book, Keras) or {@link
 * #outside(double) outside} (a = 1, b = −lr; PyTorch with {@code nesterov=True}). The parameter kept is the one looked ahead to, so that
 * the gradient is always taken at {@code p} itself.
 *
 * <dl>
 *   <dt>Source
 *   <dd>Y. Nesterov, "A method for solving the convex programming problem with convergence rate O(1/k²)", Doklady AN SSSR 269 (1983); in
 *       this form Y. Bengio, N. Boulanger-Lewandowski and R. Pascanu, "Advances in Optimizing Recurrent Networks" (2012),
 *       arXiv:1212.0901, equation 7, and the code of «ゼロから作る Deep Learning», chapter 6.
 *   <dt>Deviations
 *   <dd>μ is constant; Nesterov's own sequence rises towards 1.
 *   <dt>State
 *   <dd>{@code v}, 4 bytes per parameter; a step moves 20.
 *   <dt>Neighbours
 *   <dd>with μ = 0 it is {@link Sgd}; the velocity is that of {@link Momentum}.
 * </dl>
 *
 * @param mu μ, the fraction of the velocity kept per step, in [0, 1)
 * @param a factor of the gradient on its way into the velocity, finite
 * @param b factor of the velocity on its way into the parameter, finite; a·b must not be positive, or the step would ascend
 */
public record Nesterov(double mu, double a, double b) implements Rule {

    /** Checks that the hyperparameters are in range. */
    public Nesterov {
        Check.decay("mu", mu);
        Check.factor("a", a);
        Check.factor("b", b);
        Check.require(a * b <= 0, "a·b", "a number that is not positive, lest the step ascend", a * b);
        Check.factor("a·b·(1 + mu)", a * b * (1 + mu));
    }

    /** The book's Nesterov at its defaults: lr 0.01, μ 0.9. */
    public static Nesterov of() {
        return of(0.01);
    }

    /** The book's Nesterov, the learning rate inside the velocity, with μ = 0.9. */
    public static Nesterov of(double lr) {
        return of(lr, 0.9);
    }

    /** The book's Nesterov: the learning rate inside the velocity. */
    public static Nesterov of(double lr, double mu) {
        Check.learningRate(lr);
        return new Nesterov(mu, -lr, 1);
    }

    /** PyTorch's {@code SGD(nesterov=True)}, the learning rate outside the velocity, with μ = 0.9. */
    public static Nesterov outside(double lr) {
        return outside(lr, 0.9);
    }

    /** PyTorch's {@code SGD(nesterov=True)}: the learning rate outside the velocity. */
    public static Nesterov outside(double lr, double mu) {
        Check.learningRate(lr);
        return new Nesterov(mu, 1, -lr);
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
        k[2] = (float) (b * mu * mu);
        k[3] = (float) (a * b * (1 + mu));
    }

    @Override
    public void apply(float[] k, int from, int to, float[] p, float[] g, float[][] s) {
        float mu = k[0], a = k[1], c = k[2], d = k[3];
        float[] v = s[0];
        for (int i = from; i < to; i++) {
            p[i] += c * v[i] + d * g[i];
            v[i] = mu * v[i] + a * g[i];
        }
    }
}
