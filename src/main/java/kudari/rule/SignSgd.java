package kudari.rule;

import static kudari.rule.Arithmetic.descend;
import static kudari.rule.Arithmetic.gradient;
import static kudari.rule.Arithmetic.sign;

import java.util.List;

/**
 * signSGD: each element moves by the learning rate, against the sign of its gradient.
 *
 * <pre>  p ← p − lr·sign(g)</pre>
 *
 * <p>The sign of 0 is 0.
 *
 * <dl>
 *   <dt>Source
 *   <dd>J. Bernstein, Y.-X. Wang, K. Azizzadenesheli and A. Anandkumar, "signSGD: Compressed Optimisation for Non-Convex Problems", ICML 2018,
 *       arXiv:1802.04434, algorithm 1.
 *   <dt>Deviations
 *   <dd>none.
 *   <dt>State
 *   <dd>none; a step moves 12 bytes per parameter.
 *   <dt>Neighbours
 *   <dd>{@link Lion} takes the sign of a mean, and with β₁ = β₂ is the paper's Signum, algorithm 2; {@link Rprop} learns the length of each element's step.
 * </dl>
 *
 * @param lr learning rate, a finite number from 0 up, in units of parameter: the length of a step
 * @param l2 coupled weight decay, 0 or positive, see {@link Rule}
 * @param decay decoupled weight decay, 0 or positive, see {@link Rule}
 */
public record SignSgd(double lr, double l2, double decay) implements Rule {

    /** Checks that the hyperparameters are in range. */
    public SignSgd {
        Check.common(lr, l2, decay);
    }

    /** With lr 0.0001, as {@link Lion}'s; no library has a default. */
    public static SignSgd of() {
        return of(0.0001);
    }

    /** Without decay; the paper's, and optax's. */
    @Preset(peer = Peer.OPTAX)
    public static SignSgd of(double lr) {
        return new SignSgd(lr, 0, 0);
    }

    @Override
    public SignSgd lr(double lr) {
        return new SignSgd(lr, l2, decay);
    }

    @Override
    public SignSgd l2(double l2) {
        return new SignSgd(lr, l2, decay);
    }

    @Override
    public SignSgd decay(double decay) {
        return new SignSgd(lr, l2, decay);
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
            float pi = p[i], gi = gradient(g[i], pi, scale, l2);
            p[i] = descend(pi, lr * sign(gi), decay, trust);
        }
    }
}
