package kudari.rule;

import static kudari.rule.Arithmetic.descend;
import static kudari.rule.Arithmetic.gradient;

import java.util.List;

/**
 * Gradient descent: each step goes against the gradient, by the learning rate times its length.
 *
 * <pre>  u = lr·g        p ← p − u</pre>
 *
 * <p>Full-batch, stochastic and mini-batch gradient descent are this one rule; they differ in the samples that make the gradient.
 *
 * <dl>
 *   <dt>Source
 *   <dd>H. Robbins and S. Monro, "A Stochastic Approximation Method", Annals of Mathematical Statistics 22 (1951), equation 8.
 *   <dt>Deviations
 *   <dd>none; the learning rate need not decrease.
 *   <dt>State
 *   <dd>none; a step moves 12 bytes per parameter.
 *   <dt>Neighbours
 *   <dd>{@link Momentum} and {@link Nesterov} add a velocity.
 * </dl>
 *
 * @param lr learning rate, a finite number from 0 up, in units of parameter per unit of gradient
 * @param l2 coupled weight decay, 0 or positive, see {@link Rule}
 * @param decay decoupled weight decay, 0 or positive, see {@link Rule}
 */
public record Sgd(double lr, double l2, double decay) implements Rule {

    /** Checks that the hyperparameters are in range. */
    public Sgd {
        Check.common(lr, l2, decay);
    }

    /** The book's SGD at its default: lr 0.01. */
    public static Sgd of() {
        return of(0.01);
    }

    /** Without decay; every library's. */
    @Preset(peer = Peer.BOOK, lr = 0.01)
    @Preset(peer = Peer.PYTORCH, lr = 0.001)
    @Preset(peer = Peer.KERAS, lr = 0.01)
    @Preset(peer = Peer.OPTAX)
    @Preset(peer = Peer.DL4J, lr = 0.001)
    public static Sgd of(double lr) {
        return new Sgd(lr, 0, 0);
    }

    @Override
    public Sgd lr(double lr) {
        return new Sgd(lr, l2, decay);
    }

    @Override
    public Sgd l2(double l2) {
        return new Sgd(lr, l2, decay);
    }

    @Override
    public Sgd decay(double decay) {
        return new Sgd(lr, l2, decay);
    }

    @Override
    public List<String> state() {
        return List.of();
    }

    @Override
    public void at(long t, float[] k) {
        k[0] = (float) l2;
        k[1] = (float) (lr * decay);
        k[2] = (float) lr;
    }

    @Override
    public void apply(float[] k, float scale, float trust, int from, int to, float[] p, float[] g, float[][] s) {
        float l2 = k[0], decay = k[1], lr = k[2];
        for (int i = from; i < to; i++) {
            p[i] = descend(p[i], lr * gradient(g[i], p[i], scale, l2), decay, trust);
        }
    }
}
