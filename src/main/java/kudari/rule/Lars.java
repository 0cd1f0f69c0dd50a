package kudari.rule;

import static kudari.rule.Arithmetic.LARGEST;
import static kudari.rule.Arithmetic.MEAN;
import static kudari.rule.Arithmetic.descend;
import static kudari.rule.Arithmetic.flush;
import static kudari.rule.Arithmetic.gradient;

import java.util.List;

/**
 * LARS, layer-wise adaptive rate scaling: {@link Momentum}, of which each tensor goes at a rate in proportion to its own norm over that of its gradient. For
 * large batches.
 *
 * <pre>
 *   apart:   r = η·‖p‖/(‖g‖ + l2·‖p‖ + ε)     of the gradient before l2·p is added
 *   joint:   r = η·‖p‖/(‖g‖ + ε)
 *   v ← μ·v + lr·r·g
 *   p ← p − v</pre>
 *
 * <p>where ‖·‖ is over a whole tensor, and r = 1 where ‖p‖ or, before ε, what is under it is 0. The weight decay of LARS is {@link #l2}: it is part of the gradient.
 *
 * <p>Biases and scales of a normalisation are usually left out, in a group of their own: {@code Group.vectors("*", Momentum.of(lr))} before {@code
 * Group.rest(Lars.of(lr))}.
 *
 * <dl>
 *   <dt>Source
 *   <dd>Y. You, I. Gitman and B. Ginsburg, "Large Batch Training of Convolutional Networks", 2017, arXiv:1708.03888, algorithm 1.
 *   <dt>Deviations
 *   <dd>none with {@link #original(double)}. {@link #of(double)} takes one norm, of the gradient with its decay, as optax does.
 *   <dt>State
 *   <dd>{@code v}, 4 bytes per parameter; a step moves 28.
 *   <dt>Neighbours
 *   <dd>with r = 1 it is {@link Momentum}; {@link Lamb} does for {@link Adam} what this does for Momentum.
 * </dl>
 *
 * @param lr learning rate, a finite number from 0 up; with μ = 0 a step is lr·η of the parameter's norm
 * @param momentum μ, the fraction of the velocity kept per step, in [0, 1)
 * @param coefficient η, the trust coefficient, positive
 * @param eps ε, added to the norm under the ratio, 0 or positive, in units of gradient
 * @param apart whether the norms of gradient and decay are taken apart, or that of their sum
 * @param l2 coupled weight decay, 0 or positive, see {@link Rule}
 * @param decay decoupled weight decay, 0 or positive, see {@link Rule}
 */
public record Lars(double lr, double momentum, double coefficient, double eps, boolean apart, double l2, double decay)
        implements TensorRule {

    /** Checks that the hyperparameters are in range. */
    public Lars {
        Check.common(lr, l2, decay);
        Check.fraction("momentum", momentum);
        Check.positive("coefficient", coefficient);
        Check.nonNegative("eps", eps, 1);
    }

    /** optax's at lr 1: a step is a hundredth of the parameter's norm, once the velocity has gathered. */
    public static Lars of() {
        return of(1);
    }

    /** optax's: μ = 0.9, η = 0.001, ε = 0, and the norm of gradient and decay together. */
    @Preset(peer = Peer.OPTAX)
    public static Lars of(double lr) {
        return new Lars(lr, 0.9, 0.001, 0, false, 0, 0);
    }

    /** The article's: norms apart, μ = 0.9, η = 0.001, ε = 0. */
    public static Lars original(double lr) {
        return of(lr).apart(true);
    }

    @Override
    public Lars lr(double lr) {
        return new Lars(lr, momentum, coefficient, eps, apart, l2, decay);
    }

    /** This rule with another fraction of the velocity kept. */
    public Lars momentum(double momentum) {
        return new Lars(lr, momentum, coefficient, eps, apart, l2, decay);
    }

    /** This rule with another trust coefficient. */
    public Lars coefficient(double coefficient) {
        return new Lars(lr, momentum, coefficient, eps, apart, l2, decay);
    }

    /** This rule with another ε. */
    public Lars eps(double eps) {
        return new Lars(lr, momentum, coefficient, eps, apart, l2, decay);
    }

    /** This rule with the norms of gradient and decay taken apart, or that of their sum. */
    public Lars apart(boolean apart) {
        return new Lars(lr, momentum, coefficient, eps, apart, l2, decay);
    }

    @Override
    public Lars l2(double l2) {
        return new Lars(lr, momentum, coefficient, eps, apart, l2, decay);
    }

    @Override
    public Lars decay(double decay) {
        return new Lars(lr, momentum, coefficient, eps, apart, l2, decay);
    }

    @Override
    public List<String> state() {
        return List.of("v");
    }

    @Override
    public void at(long t, float[] k) {
        k[0] = (float) l2;
        k[1] = (float) (lr * decay);
        k[2] = (float) momentum;
        k[3] = (float) lr;
        k[4] = (float) coefficient;
        k[5] = (float) eps;
        k[6] = apart ? 1 : 0;
    }

    @Override
    public float trust(float[] k, double scale, double xx, double xp, double pp, double count, float[] n) {
        double l2 = k[0], coefficient = k[4], eps = k[5], apart = k[6];
        double square = scale * scale * xx + 2 * scale * l2 * xp + l2 * l2 * pp;
        double norm = Math.sqrt(pp), joint = Math.sqrt(square < 0 ? 0 : square);
        double under = apart > 0 ? Math.sqrt(scale * scale * xx) + l2 * norm : joint;
        double ratio = coefficient * norm / (under + eps);
        ratio = norm == 0 || under == 0 ? 1 : ratio;
        return (float) (ratio > LARGEST ? LARGEST : ratio);
    }

    @Override
    public void apply(float[] k, float scale, float trust, int from, int to, float[] p, float[] g, float[][] s) {
        float l2 = k[0], decay = k[1], momentum = k[2], rate = k[3] * trust;
        float[] v = s[0];
        for (int i = from; i < to; i++) {
            float pi = p[i], gi = gradient(g[i], pi, scale, l2);
            v[i] = flush(momentum * v[i] + rate * gi, MEAN);
            p[i] = descend(pi, v[i], decay, 1);
        }
    }
}
