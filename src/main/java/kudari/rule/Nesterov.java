package kudari.rule;

import static kudari.rule.Arithmetic.MEAN;
import static kudari.rule.Arithmetic.descend;
import static kudari.rule.Arithmetic.flush;
import static kudari.rule.Arithmetic.gradient;
import static kudari.rule.Arithmetic.rate;

import java.util.List;

/**
 * Nesterov's accelerated gradient: momentum that takes the gradient where the velocity is about to carry the parameter.
 *
 * <pre>
 *   inside:   v ← μ·v − lr·g,  p ← p + μ·v − lr·g       the book, Keras: {@link #of(double)}
 *   outside:  b ← μ·b + g,     p ← p − lr·(μ·b + g)     PyTorch with nesterov=True: {@link #pytorch(double)}</pre>
 *
 * <p>The two agree as long as the learning rate is constant. When it changes, the form with the rate inside keeps moving at the speed gathered
 * under the old rate, the one with the rate outside changes speed at once. Their states mean different things and have different names.
 *
 * <dl>
 *   <dt>Source
 *   <dd>Y. Nesterov, "A method for solving the convex programming problem with convergence rate O(1/k²)", Doklady AN SSSR 269 (1983); in
 *       this form Y. Bengio, N. Boulanger-Lewandowski and R. Pascanu, "Advances in Optimizing Recurrent Networks" (2012),
 *       arXiv:1212.0901, equation 7, and the code of «ゼロから作る Deep Learning», chapter 6, which writes μ²·v − (1 + μ)·lr·g with the old v.
 *   <dt>Deviations
 *   <dd>μ is constant; Nesterov's own sequence rises towards 1. The parameter kept is the one looked ahead to, so that the gradient is always
 *       taken at {@code p} itself.
 *   <dt>State
 *   <dd>{@code v} or {@code b}, 4 bytes per parameter; a step moves 20.
 *   <dt>Neighbours
 *   <dd>with μ = 0 it is {@link Sgd}; the velocity is that of {@link Momentum}.
 * </dl>
 *
 * @param lr learning rate, a finite number from 0 up, in units of parameter per unit of gradient
 * @param momentum μ, the fraction of the velocity kept per step, in [0, 1)
 * @param inside whether the learning rate stands inside the velocity
 * @param l2 coupled weight decay, 0 or positive, see {@link Rule}
 * @param decay decoupled weight decay, 0 or positive, see {@link Rule}
 */
public record Nesterov(double lr, double momentum, boolean inside, double l2, double decay) implements Rule {

    /** Checks that the hyperparameters are in range. */
    public Nesterov {
        Check.common(lr, l2, decay);
        Check.fraction("momentum", momentum);
    }

    /** The book's Nesterov at its defaults: lr 0.01, μ 0.9. */
    public static Nesterov of() {
        return of(0.01);
    }

    /** The book's, as in Keras: the learning rate inside the velocity, μ = 0.9. */
    @Preset(peer = Peer.BOOK, lr = 0.01)
    @Preset(peer = Peer.KERAS, lr = 0.01)
    @Preset(peer = Peer.DL4J, lr = 0.1)
    public static Nesterov of(double lr) {
        return new Nesterov(lr, 0.9, true, 0, 0);
    }

    /** PyTorch's and optax's: the learning rate outside, μ = 0.9. */
    @Preset(peer = Peer.PYTORCH, lr = 0.001)
    @Preset(peer = Peer.OPTAX)
    public static Nesterov pytorch(double lr) {
        return new Nesterov(lr, 0.9, false, 0, 0);
    }

    @Override
    public Nesterov lr(double lr) {
        return new Nesterov(lr, momentum, inside, l2, decay);
    }

    /** This rule with another μ. */
    public Nesterov momentum(double momentum) {
        return new Nesterov(lr, momentum, inside, l2, decay);
    }

    @Override
    public Nesterov l2(double l2) {
        return new Nesterov(lr, momentum, inside, l2, decay);
    }

    @Override
    public Nesterov decay(double decay) {
        return new Nesterov(lr, momentum, inside, l2, decay);
    }

    @Override
    public List<String> state() {
        return inside ? List.of("v") : List.of("b");
    }

    @Override
    public Compression compression(int array) {
        return Compression.SIGNED;
    }

    @Override
    public void at(long t, float[] k) {
        k[0] = (float) l2;
        k[1] = (float) (lr * decay);
        k[2] = (float) momentum;
        k[3] = (float) (inside ? -lr : 1);
        k[4] = (float) (inside ? -1 : lr);
    }

    @Override
    public void apply(float[] k, float scale, float trust, int from, int to, float[] p, float[] g, float[][] s) {
        float l2 = k[0], decay = k[1], momentum = k[2], in = k[3], out = k[4];
        float[] v = s[0];
        for (int i = from; i < to; i++) {
            float pi = p[i], gi = gradient(g[i], pi, scale, l2);
            v[i] = flush(momentum * v[i] + in * gi, MEAN);
            p[i] = descend(pi, rate(out, momentum * v[i] + in * gi), decay, trust);
        }
    }
}
