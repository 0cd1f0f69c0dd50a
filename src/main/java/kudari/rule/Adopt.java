package kudari.rule;

import static kudari.rule.Arithmetic.MEAN;
import static kudari.rule.Arithmetic.SQUARE;
import static kudari.rule.Arithmetic.clamp;
import static kudari.rule.Arithmetic.descend;
import static kudari.rule.Arithmetic.flush;
import static kudari.rule.Arithmetic.gradient;
import static kudari.rule.Arithmetic.larger;
import static kudari.rule.Arithmetic.rate;
import static kudari.rule.Arithmetic.sqrt;

import java.util.List;

/**
 * ADOPT: {@link Adam} that divides each gradient by the root of the mean of squares before it, and takes the mean of the quotients. The two do not depend
 * on each other then, so it converges with any β₂.
 *
 * <pre>
 *   first step:  v ← g²
 *   after it:
 *   clips:       q = clip(g / max(√v, ε), (t − 1)^¼)
 *   else:        q = g / max(√v, ε)
 *   m ← β₁·m + (1 − β₁)·q
 *   p ← p − lr·m
 *   v ← β₂·v + (1 − β₂)·g²</pre>
 *
 * <dl>
 *   <dt>Source
 *   <dd>S. Taniguchi et al., "ADOPT: Modified Adam Can Converge with Any β₂ with the Optimal Rate", NeurIPS 2024, arXiv:2411.02853, algorithm 2; without
 *       clipping, algorithm 1.
 *   <dt>Deviations
 *   <dd>none but that decoupled decay takes its part in the first step, too.
 *   <dt>State
 *   <dd>{@code m} and {@code v}, 8 bytes per parameter; a step moves 28.
 *   <dt>Neighbours
 *   <dd>{@link Adam} divides the mean of the gradients, and by a mean that holds the last of them.
 * </dl>
 *
 * @param lr learning rate, a finite number from 0 up, in units of parameter
 * @param beta1 β₁, the fraction of the quotients' mean kept per step, in [0, 1)
 * @param beta2 β₂, the fraction of the squared gradient's mean kept per step, in [0, 1)
 * @param eps ε, the least divisor, positive, in units of gradient
 * @param clips whether a quotient is clipped
 * @param l2 coupled weight decay, 0 or positive, see {@link Rule}
 * @param decay decoupled weight decay, 0 or positive, see {@link Rule}
 */
public record Adopt(double lr, double beta1, double beta2, double eps, boolean clips, double l2, double decay)
        implements Rule {

    /** Checks that the hyperparameters are in range. */
    public Adopt {
        Check.common(lr, l2, decay);
        Check.fraction("beta1", beta1);
        Check.fraction("beta2", beta2);
        Check.nonNegative("eps", eps, 1);
        Check.require(eps > 0, "eps", "a positive number, to keep the denominator from 0", eps);
    }

    /** ADOPT at its defaults: lr 0.001, β 0.9 and 0.9999, ε 1e-6, with clipping. */
    public static Adopt of() {
        return of(0.001);
    }

    /** The authors' and optax's: β 0.9 and 0.9999, ε = 1e-6, with clipping. */
    @Preset(peer = Peer.OPTAX)
    public static Adopt of(double lr) {
        return new Adopt(lr, 0.9, 0.9999, 1e-6, true, 0, 0);
    }

    @Override
    public Adopt lr(double lr) {
        return new Adopt(lr, beta1, beta2, eps, clips, l2, decay);
    }

    /** This rule with other fractions of its means. */
    public Adopt betas(double beta1, double beta2) {
        return new Adopt(lr, beta1, beta2, eps, clips, l2, decay);
    }

    /** This rule with another least divisor. */
    public Adopt eps(double eps) {
        return new Adopt(lr, beta1, beta2, eps, clips, l2, decay);
    }

    /** This rule with clipping, or without as it was first published. */
    public Adopt clips(boolean clips) {
        return new Adopt(lr, beta1, beta2, eps, clips, l2, decay);
    }

    @Override
    public Adopt l2(double l2) {
        return new Adopt(lr, beta1, beta2, eps, clips, l2, decay);
    }

    @Override
    public Adopt decay(double decay) {
        return new Adopt(lr, beta1, beta2, eps, clips, l2, decay);
    }

    @Override
    public List<String> state() {
        return List.of("m", "v");
    }

    @Override
    public void at(long t, float[] k) {
        k[0] = (float) l2;
        k[1] = (float) (lr * decay);
        k[2] = (float) beta1;
        k[3] = (float) (t == 1 ? 0 : 1 - beta1);
        k[4] = (float) (t == 1 ? 0 : beta2);
        k[5] = (float) (t == 1 ? 1 : 1 - beta2);
        k[6] = (float) lr;
        k[7] = (float) eps;
        k[8] = clips ? (float) Math.sqrt(Math.sqrt(t - 1)) : Float.POSITIVE_INFINITY;
    }

    @Override
    public void apply(float[] k, float scale, float trust, int from, int to, float[] p, float[] g, float[][] s) {
        float l2 = k[0],
                decay = k[1],
                beta1 = k[2],
                rest1 = k[3],
                beta2 = k[4],
                rest2 = k[5],
                lr = k[6],
                eps = k[7],
                limit = k[8];
        float[] m = s[0], v = s[1];
        for (int i = from; i < to; i++) {
            float gi = gradient(g[i], p[i], scale, l2);
            m[i] = flush(beta1 * m[i] + rate(rest1, clamp(gi / larger(sqrt(v[i]), eps), limit)), MEAN);
        }
        for (int i = from; i < to; i++) {
            float pi = p[i], gi = gradient(g[i], pi, scale, l2);
            v[i] = flush(beta2 * v[i] + rest2 * (gi * gi), SQUARE);
            p[i] = descend(pi, rate(lr, m[i]), decay, trust);
        }
    }
}
