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
 * Schedule-Free AdamW: {@link ScheduleFreeSgd} over the gradient divided by the root of a mean of its square, where {@link Adam} has a mean of the
 * gradient.
 *
 * <pre>
 *   v ← β₂·v + (1 − β₂)·g²
 *   Δ = lrₜ·(g/(√(v/c₂) + ε) + λ·p)                  with c₂ = 1 − β₂ᵗ, lrₜ = lr·min(1, t/T), T = warmUp
 *   p ← p − Δ + d − d′                               with d′ = (1 − c)·(d − β₁·Δ), c = lrₜ²/(lr₁² + … + lrₜ²)
 *   d ← d′</pre>
 *
 * <p>p is where the gradient is taken, and x = p − (1/β₁ − 1)·d, an average, <em>is what is to be used</em>: {@code Optimizer.evaluating} puts it into the
 * parameters. {@link ScheduleFreeSgd} tells of that, of T and of a learning rate from a schedule.
 *
 * <dl>
 *   <dt>Source
 *   <dd>A. Defazio et al., "The Road Less Scheduled", NeurIPS 2024, arXiv:2405.15682, algorithm 1.
 *   <dt>Deviations
 *   <dd>those of {@link ScheduleFreeSgd}. As in optax and the paper v is corrected; the authors' code before its version 1.3 has √c₂ in the learning rate
 *       instead, ε on the uncorrected root, and c₂ among the weights. optax's warm-up begins at a rate of 0, one step earlier.
 *   <dt>State
 *   <dd>{@code v} and {@code d}, 8 bytes per parameter; a step moves 28.
 *   <dt>Neighbours
 *   <dd>{@link AdamW} has a mean of the gradient, needs a schedule, and uses where it stands.
 * </dl>
 *
 * @param lr learning rate, a finite number from 0 up, in units of parameter
 * @param beta1 β₁, where the gradient is taken: at 1 at the average, near 0 at the newest point; above 0 and below 1
 * @param beta2 β₂, the fraction of the squared gradient's mean kept per step, in [0, 1)
 * @param eps ε, added to the corrected root, positive, in units of gradient
 * @param warmUp steps over which the learning rate grows to lr, 0 or positive; T in the formula
 * @param l2 coupled weight decay, 0 or positive, see {@link Rule}
 * @param decay λ, decoupled weight decay, 0 or positive, in Δ
 */
public record ScheduleFreeAdamW(double lr, double beta1, double beta2, double eps, long warmUp, double l2, double decay)
        implements Rule {

    /** Checks that the hyperparameters are in range. */
    public ScheduleFreeAdamW {
        Check.common(lr, l2, decay);
        Check.between("beta1", beta1);
        Check.fraction("beta2", beta2);
        Check.nonNegative("eps", eps, Math.sqrt(1 - beta2));
        Check.someEpsilon("eps", eps);
        Check.require(warmUp >= 0, "warmUp", "0 or a number of steps", warmUp);
    }

    /** Its authors' defaults: lr 0.0025, β 0.9 and 0.999, ε 1e-8, no warm-up, no decay. */
    public static ScheduleFreeAdamW of() {
        return of(0.0025);
    }

    /** Its authors', as in optax: β 0.9 and 0.999, ε 1e-8, no warm-up, no decay. */
    @Preset(peer = Peer.OPTAX, lr = 0.0025)
    public static ScheduleFreeAdamW of(double lr) {
        return new ScheduleFreeAdamW(lr, 0.9, 0.999, 1e-8, 0, 0, 0);
    }

    @Override
    public ScheduleFreeAdamW lr(double lr) {
        return new ScheduleFreeAdamW(lr, beta1, beta2, eps, warmUp, l2, decay);
    }

    /** This rule with another β₁ and β₂. */
    public ScheduleFreeAdamW betas(double beta1, double beta2) {
        return new ScheduleFreeAdamW(lr, beta1, beta2, eps, warmUp, l2, decay);
    }

    /** This rule with another ε on the root. */
    public ScheduleFreeAdamW eps(double eps) {
        return new ScheduleFreeAdamW(lr, beta1, beta2, eps, warmUp, l2, decay);
    }

    /** This rule with a learning rate that grows over so many steps. */
    public ScheduleFreeAdamW warmUp(long steps) {
        return new ScheduleFreeAdamW(lr, beta1, beta2, eps, steps, l2, decay);
    }

    @Override
    public ScheduleFreeAdamW l2(double l2) {
        return new ScheduleFreeAdamW(lr, beta1, beta2, eps, warmUp, l2, decay);
    }

    @Override
    public ScheduleFreeAdamW decay(double decay) {
        return new ScheduleFreeAdamW(lr, beta1, beta2, eps, warmUp, l2, decay);
    }

    @Override
    public List<String> state() {
        return List.of("v", "d");
    }

    @Override
    public float evaluation(int array) {
        return array == 1 ? (float) (1 - 1 / beta1) : 0;
    }

    @Override
    public void at(long t, float[] k) {
        double rate = lr * ScheduleFreeSgd.warmth(t, warmUp), c = lr == 0 ? 0 : ScheduleFreeSgd.share(t, warmUp);
        double root = Math.sqrt(1 - power(beta2, t));
        k[0] = (float) l2;
        k[1] = (float) (rate * decay);
        k[2] = (float) beta2;
        k[3] = (float) (1 - beta2);
        k[4] = (float) (rate * root);
        k[5] = (float) (eps * root);
        k[6] = (float) (1 - c);
        k[7] = (float) beta1;
    }

    @Override
    public void apply(float[] k, float scale, float trust, int from, int to, float[] p, float[] g, float[][] s) {
        float l2 = k[0], decay = k[1], beta2 = k[2], rest2 = k[3], alpha = k[4], eps = k[5];
        float kept = k[6], beta1 = k[7];
        float[] v = s[0], d = s[1];
        for (int i = from; i < to; i++) {
            float gi = gradient(g[i], p[i], scale, l2);
            v[i] = flush(beta2 * v[i] + rest2 * (gi * gi), SQUARE);
        }
        for (int i = from; i < to; i++) {
            float pi = p[i], gi = gradient(g[i], pi, scale, l2);
            float step = alpha * gi / (sqrt(v[i]) + eps) + decay * pi, before = d[i];
            d[i] = flush(kept * (before - beta1 * step), MEAN);
            p[i] = descend(pi, step - before + d[i], 0, trust);
        }
    }
}
