package kudari.rule;

import static kudari.rule.Arithmetic.MEAN;
import static kudari.rule.Arithmetic.descend;
import static kudari.rule.Arithmetic.flush;
import static kudari.rule.Arithmetic.gradient;
import static kudari.rule.Arithmetic.rate;

import java.util.List;

/**
 * Momentum, the heavy ball: a velocity collects the gradients and decays; the parameter follows the velocity.
 *
 * <pre>
 *   inside:   v ← μ·v − lr·(1 − d)·g,  p ← p + v          the book, Keras: {@link #of(double)}
 *   outside:  b ← μ·b + (1 − d)·g,     p ← p − lr·b       PyTorch, optax: {@link #pytorch(double)}</pre>
 *
 * <p>The dampening d is 0 unless asked for, and with d = μ the velocity is a mean of gradients and not a sum. As in PyTorch and Apex the first step
 * takes all of the gradient, g and not (1 − d)·g.
 *
 * <p>The two agree as long as the learning rate is constant. When it changes, the form with the rate inside keeps moving at the speed gathered
 * under the old rate, the one with the rate outside changes speed at once. Their states mean different things and have different names.
 *
 * <dl>
 *   <dt>Source
 *   <dd>B. T. Polyak, "Some methods of speeding up the convergence of iteration methods", USSR Computational Mathematics and Mathematical
 *       Physics 4 (1964), equation 9; in this notation «ゼロから作る Deep Learning», section 6.1.4.
 *   <dt>Deviations
 *   <dd>none. {@code v} is the velocity and starts at 0; it is not the previous weights. With μ = 0 PyTorch leaves d out; here it stands.
 *   <dt>State
 *   <dd>{@code v} or {@code b}, 4 bytes per parameter; a step moves 20.
 *   <dt>Neighbours
 *   <dd>with μ = 0 it is {@link Sgd}; {@link Nesterov} looks one step of the velocity ahead.
 * </dl>
 *
 * @param lr learning rate, a finite number from 0 up, in units of parameter per unit of gradient
 * @param momentum μ, the fraction of the velocity kept per step, in [0, 1)
 * @param dampening d, the fraction of the gradient that is left out of the velocity from the second step on, in [0, 1)
 * @param inside whether the learning rate stands inside the velocity
 * @param l2 coupled weight decay, 0 or positive, see {@link Rule}
 * @param decay decoupled weight decay, 0 or positive, see {@link Rule}
 */
public record Momentum(double lr, double momentum, double dampening, boolean inside, double l2, double decay)
        implements Rule {

    /** Checks that the hyperparameters are in range. */
    public Momentum {
        Check.common(lr, l2, decay);
        Check.fraction("momentum", momentum);
        Check.fraction("dampening", dampening);
    }

    /** The book's Momentum at its defaults: lr 0.01, μ 0.9. */
    public static Momentum of() {
        return of(0.01);
    }

    /** The book's, as in Keras: the learning rate inside the velocity, μ = 0.9. */
    @Preset(peer = Peer.BOOK, lr = 0.01)
    @Preset(peer = Peer.KERAS, lr = 0.01)
    public static Momentum of(double lr) {
        return new Momentum(lr, 0.9, 0, true, 0, 0);
    }

    /** PyTorch's and optax's: the learning rate outside, μ = 0.9. */
    @Preset(peer = Peer.PYTORCH, lr = 0.001)
    @Preset(peer = Peer.OPTAX)
    public static Momentum pytorch(double lr) {
        return new Momentum(lr, 0.9, 0, false, 0, 0);
    }

    @Override
    public Momentum lr(double lr) {
        return new Momentum(lr, momentum, dampening, inside, l2, decay);
    }

    /** This rule with another μ. */
    public Momentum momentum(double momentum) {
        return new Momentum(lr, momentum, dampening, inside, l2, decay);
    }

    /** This rule with another d. */
    public Momentum dampening(double dampening) {
        return new Momentum(lr, momentum, dampening, inside, l2, decay);
    }

    @Override
    public Momentum l2(double l2) {
        return new Momentum(lr, momentum, dampening, inside, l2, decay);
    }

    @Override
    public Momentum decay(double decay) {
        return new Momentum(lr, momentum, dampening, inside, l2, decay);
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
        double taken = t == 1 ? 1 : 1 - dampening;
        k[0] = (float) l2;
        k[1] = (float) (lr * decay);
        k[2] = (float) momentum;
        k[3] = (float) (inside ? -lr * taken : taken);
        k[4] = (float) (inside ? -1 : lr);
    }

    @Override
    public void apply(float[] k, float scale, float trust, int from, int to, float[] p, float[] g, float[][] s) {
        float l2 = k[0], decay = k[1], momentum = k[2], in = k[3], out = k[4];
        float[] v = s[0];
        for (int i = from; i < to; i++) {
            float pi = p[i], gi = gradient(g[i], pi, scale, l2);
            v[i] = flush(momentum * v[i] + in * gi, MEAN);
            p[i] = descend(pi, rate(out, v[i]), decay, trust);
        }
    }
}
