package kudari.rule;

import static kudari.rule.Arithmetic.MEAN;
import static kudari.rule.Arithmetic.SQUARE;
import static kudari.rule.Arithmetic.descend;
import static kudari.rule.Arithmetic.flush;
import static kudari.rule.Arithmetic.gradient;
import static kudari.rule.Arithmetic.power;
import static kudari.rule.Arithmetic.sqrt;

import java.util.List;

/**
 * LAMB, layer-wise adaptive moments for batch training: {@link Adam}, of which each tensor's step is as long, in proportion, as the tensor itself. For large
 * batches.
 *
 * <pre>
 *   m ← β₁·m + (1 − β₁)·g
 *   v ← β₂·v + (1 − β₂)·g²
 *   corrected:   u = m/c₁ / (√(v/c₂) + ε)         with cᵢ = 1 − βᵢᵗ
 *   else:        u = m / (√v + ε)                 and lr·√c₂/c₁ for lr below
 *   inside:      p ← p − lr·r·w                   with r = ‖p‖/‖w‖, w = u + λ·p
 *   else:        p ← p − lr·r·u − lr·λ·p          with r = ‖p‖/‖u‖</pre>
 *
 * <p>where ‖·‖ is over a whole tensor; r is held between {@code least} and {@code most}, and is 1 where one of its norms is 0.
 *
 * <dl>
 *   <dt>Source
 *   <dd>Y. You et al., "Large Batch Optimization for Deep Learning: Training BERT in 76 minutes", ICLR 2020, arXiv:1904.00962, algorithm 2, with φ(z) = z.
 *   <dt>Deviations
 *   <dd>none with {@link #of(double)}. Apex clips the global norm of the gradients at 1 before, which is {@code Guard.clipNorm(1)} here. Keras takes the
 *       decay off first and the norm of p after that.
 *   <dt>State
 *   <dd>{@code m} and {@code v}, 8 bytes per parameter; a step moves 40.
 *   <dt>Neighbours
 *   <dd>with r = 1 it is {@link AdamW}; {@link Lars} does for {@link Momentum} what this does for Adam.
 * </dl>
 *
 * @param lr learning rate, a finite number from 0 up: a step is lr of the parameter's norm
 * @param beta1 β₁, the fraction of the gradient's mean kept per step, in [0, 1)
 * @param beta2 β₂, the fraction of the squared gradient's mean kept per step, in [0, 1)
 * @param eps ε, added to the root, positive, in units of gradient
 * @param least the smallest ratio of the norms, from 0 up
 * @param most the largest, from {@code least} up; infinite for any
 * @param corrected whether the norm of the update is taken after the means were corrected for having started at zero, or the correction comes after it
 * @param inside whether the decay is part of the update whose norm is taken
 * @param everywhere whether the ratio of the norms is taken where there is no decay of either kind, too
 * @param l2 coupled weight decay, 0 or positive, see {@link Rule}
 * @param decay λ, decoupled weight decay, 0 or positive, see {@link Rule}
 */
public record Lamb(
        double lr,
        double beta1,
        double beta2,
        double eps,
        double least,
        double most,
        boolean corrected,
        boolean inside,
        boolean everywhere,
        double l2,
        double decay)
        implements TensorRule {

    /** Checks that the hyperparameters are in range. */
    public Lamb {
        Check.common(lr, l2, decay);
        Check.fraction("beta1", beta1);
        Check.fraction("beta2", beta2);
        Check.nonNegative("eps", eps, Math.sqrt(1 - beta2));
        Check.someEpsilon("eps", eps);
        Check.nonNegative("least", least, 1);
        Check.require(
                most >= least && (float) most > 0,
                "most",
                "a number that float32 can tell from 0, from least, " + least + ", up",
                most);
    }

    /** The article's at lr 0.001. */
    public static Lamb of() {
        return of(0.001);
    }

    /** The article's, as in optax: β 0.9 and 0.999, ε = 1e-6. */
    @Preset(peer = Peer.OPTAX)
    public static Lamb of(double lr) {
        return new Lamb(lr, 0.9, 0.999, 1e-6, 0, Double.POSITIVE_INFINITY, true, true, true, 0, 0);
    }

    /** Keras's: ε = 1e-7, and a decay that the ratio of the norms knows nothing of. */
    @Preset(peer = Peer.KERAS, lr = 0.001)
    public static Lamb keras(double lr) {
        return of(lr).eps(1e-7).inside(false);
    }

    /** Apex's: decay 0.01, and no ratio of norms where that is set to 0, which Apex's {@code use_nvlamb} changes. */
    public static Lamb apex(double lr) {
        return of(lr).everywhere(false).decay(0.01);
    }

    /** DeepSpeed's: ε = 1e-8, a ratio from 0.01 to 10, and the correction for having started at zero after that. */
    public static Lamb deepSpeed(double lr) {
        return of(lr).eps(1e-8).clamp(0.01, 10).corrected(false);
    }

    @Override
    public Lamb lr(double lr) {
        return new Lamb(lr, beta1, beta2, eps, least, most, corrected, inside, everywhere, l2, decay);
    }

    /** This rule with other fractions of its means. */
    public Lamb betas(double beta1, double beta2) {
        return new Lamb(lr, beta1, beta2, eps, least, most, corrected, inside, everywhere, l2, decay);
    }

    /** This rule with another ε. */
    public Lamb eps(double eps) {
        return new Lamb(lr, beta1, beta2, eps, least, most, corrected, inside, everywhere, l2, decay);
    }

    /** This rule with the ratio of the norms held between two numbers. */
    public Lamb clamp(double least, double most) {
        return new Lamb(lr, beta1, beta2, eps, least, most, corrected, inside, everywhere, l2, decay);
    }

    /** This rule with the norm taken of the corrected update, or of the update as it is. */
    public Lamb corrected(boolean corrected) {
        return new Lamb(lr, beta1, beta2, eps, least, most, corrected, inside, everywhere, l2, decay);
    }

    /** This rule with the decay within the ratio of the norms, or beside it. */
    public Lamb inside(boolean inside) {
        return new Lamb(lr, beta1, beta2, eps, least, most, corrected, inside, everywhere, l2, decay);
    }

    /** This rule with a ratio of the norms everywhere, or only under decay. */
    public Lamb everywhere(boolean everywhere) {
        return new Lamb(lr, beta1, beta2, eps, least, most, corrected, inside, everywhere, l2, decay);
    }

    @Override
    public Lamb l2(double l2) {
        return new Lamb(lr, beta1, beta2, eps, least, most, corrected, inside, everywhere, l2, decay);
    }

    @Override
    public Lamb decay(double decay) {
        return new Lamb(lr, beta1, beta2, eps, least, most, corrected, inside, everywhere, l2, decay);
    }

    @Override
    public List<String> state() {
        return List.of("m", "v");
    }

    @Override
    public boolean gathers() {
        return true;
    }

    @Override
    public void at(long t, float[] k) {
        double c1 = 1 - power(beta1, t), root = Math.sqrt(1 - power(beta2, t));
        double rate = corrected ? lr : lr * root / c1;
        boolean ratio = everywhere || decay > 0 || l2 > 0;
        k[0] = (float) l2;
        k[1] = (float) (rate * decay);
        k[2] = (float) beta1;
        k[3] = (float) (1 - beta1);
        k[4] = (float) beta2;
        k[5] = (float) (1 - beta2);
        k[6] = (float) (corrected ? root / c1 : 1);
        k[7] = (float) (corrected ? eps * root : eps);
        k[8] = (float) (inside ? decay : 0);
        k[9] = (float) rate;
        k[10] = inside ? 1 : 0;
        k[11] = (float) (ratio ? least : 1);
        k[12] = (float) (ratio ? Math.min(most, Float.MAX_VALUE) : 1);
    }

    @Override
    public void gather(float[] k, float scale, int from, int to, float[] p, float[] g, float[][] s, float[] u) {
        float l2 = k[0], beta1 = k[2], rest1 = k[3], beta2 = k[4], rest2 = k[5], correction = k[6], eps = k[7];
        float decay = k[8];
        float[] m = s[0], v = s[1];
        for (int i = from; i < to; i++) {
            float pi = p[i], gi = gradient(g[i], pi, scale, l2);
            m[i] = flush(beta1 * m[i] + rest1 * gi, MEAN);
            v[i] = flush(beta2 * v[i] + rest2 * (gi * gi), SQUARE);
            u[i] = correction * m[i] / (sqrt(v[i]) + eps) + decay * pi;
        }
    }

    @Override
    public float trust(float[] k, double scale, double xx, double xp, double pp, double count, float[] n) {
        double least = k[11], most = k[12], norm = Math.sqrt(pp), under = Math.sqrt(xx), ratio = norm / under;
        double held = ratio > most ? most : ratio < least ? least : ratio;
        return (float) (norm == 0 || under == 0 ? 1 : held);
    }

    @Override
    public void apply(float[] k, float scale, float trust, int from, int to, float[] p, float[] g, float[][] s) {
        float decay = k[1], correction = k[6], eps = k[7], lr = k[9], inside = k[10];
        float within = inside > 0 ? trust : 1, without = inside > 0 ? 1 : trust;
        float[] m = s[0], v = s[1];
        for (int i = from; i < to; i++) {
            float u = correction * m[i] / (sqrt(v[i]) + eps);
            p[i] = descend(p[i], without * (lr * u), decay, within);
        }
    }
}
