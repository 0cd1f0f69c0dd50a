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
 * AdaBelief: {@link Adam} that divides by how far gradients are from their mean, and not by how large they are: it takes long steps where they agree.
 *
 * <pre>
 *   m ← β₁·m + (1 − β₁)·g
 *   s ← β₂·s + (1 − β₂)·(g − m)² + ε_root
 *   p ← p − α·m / (√s + ε·√c₂)        with cᵢ = 1 − βᵢᵗ, α = lr·√c₂/c₁</pre>
 *
 * <p>ε_root is added to the mean itself, in each step, so that it gathers there: up to ε_root/(1 − β₂).
 *
 * <dl>
 *   <dt>Source
 *   <dd>J. Zhuang et al., "AdaBelief Optimizer: Adapting Stepsizes by the Belief in Observed Gradients", NeurIPS 2020, arXiv:2010.07468, algorithm 2.
 *   <dt>Deviations
 *   <dd>the paper has one ε for both places; the order of the multiplications, as in {@link Adam}. The authors' rectification is {@link RAdam}'s.
 *   <dt>State
 *   <dd>{@code m} and {@code s}, 8 bytes per parameter; a step moves 28.
 *   <dt>Neighbours
 *   <dd>{@link Adam} has g² in the place of (g − m)².
 * </dl>
 *
 * @param lr learning rate, a finite number from 0 up, in units of parameter
 * @param beta1 β₁, the fraction of the gradient's mean kept per step, in [0, 1)
 * @param beta2 β₂, the fraction of the mean of (g − m)² kept per step, in [0, 1)
 * @param eps ε, added to the corrected root, 0 or positive, in units of gradient
 * @param epsRoot ε_root, added to the mean in each step, 0 or positive, in units of gradient squared; one of the two must be positive
 * @param l2 coupled weight decay, 0 or positive, see {@link Rule}
 * @param decay decoupled weight decay, 0 or positive, see {@link Rule}
 */
public record AdaBelief(double lr, double beta1, double beta2, double eps, double epsRoot, double l2, double decay)
        implements Rule {

    /** Checks that the hyperparameters are in range. */
    public AdaBelief {
        Check.common(lr, l2, decay);
        Check.fraction("beta1", beta1);
        Check.fraction("beta2", beta2);
        Check.nonNegative("eps", eps, Math.sqrt(1 - beta2));
        Check.nonNegative("epsRoot", epsRoot, 1);
        double kept = (float) epsRoot < Float.MIN_NORMAL ? 0 : epsRoot; // a step flushes what is less
        Check.someEpsilon("eps + epsRoot", eps, kept);
    }

    /** AdaBelief at its defaults: lr 0.001, β 0.9 and 0.999, ε and ε_root 1e-16. */
    public static AdaBelief of() {
        return of(0.001);
    }

    /** The authors' and optax's: β 0.9 and 0.999, ε = ε_root = 1e-16. */
    @Preset(peer = Peer.OPTAX)
    public static AdaBelief of(double lr) {
        return new AdaBelief(lr, 0.9, 0.999, 1e-16, 1e-16, 0, 0);
    }

    /** Deeplearning4j's: β 0.9 and 0.999, ε = ε_root = 1e-14. It has ε on the uncorrected root, where ε_root leaves nothing of it in float32. */
    @Preset(peer = Peer.DL4J, lr = 0.001)
    public static AdaBelief dl4j(double lr) {
        return of(lr).eps(1e-14).epsRoot(1e-14);
    }

    @Override
    public AdaBelief lr(double lr) {
        return new AdaBelief(lr, beta1, beta2, eps, epsRoot, l2, decay);
    }

    /** This rule with other fractions of its means. */
    public AdaBelief betas(double beta1, double beta2) {
        return new AdaBelief(lr, beta1, beta2, eps, epsRoot, l2, decay);
    }

    /** This rule with another ε on the root. */
    public AdaBelief eps(double eps) {
        return new AdaBelief(lr, beta1, beta2, eps, epsRoot, l2, decay);
    }

    /** This rule with another ε in the mean. */
    public AdaBelief epsRoot(double epsRoot) {
        return new AdaBelief(lr, beta1, beta2, eps, epsRoot, l2, decay);
    }

    @Override
    public AdaBelief l2(double l2) {
        return new AdaBelief(lr, beta1, beta2, eps, epsRoot, l2, decay);
    }

    @Override
    public AdaBelief decay(double decay) {
        return new AdaBelief(lr, beta1, beta2, eps, epsRoot, l2, decay);
    }

    @Override
    public List<String> state() {
        return List.of("m", "s");
    }

    @Override
    public void at(long t, float[] k) {
        double c1 = 1 - power(beta1, t), c2 = 1 - power(beta2, t);
        k[0] = (float) l2;
        k[1] = (float) (lr * decay);
        k[2] = (float) beta1;
        k[3] = (float) (1 - beta1);
        k[4] = (float) beta2;
        k[5] = (float) (1 - beta2);
        k[6] = (float) (lr * Math.sqrt(c2) / c1);
        k[7] = (float) (eps * Math.sqrt(c2));
        k[8] = (float) epsRoot;
    }

    @Override
    public void apply(float[] k, float scale, float trust, int from, int to, float[] p, float[] g, float[][] s) {
        float l2 = k[0], decay = k[1], beta1 = k[2], rest1 = k[3], beta2 = k[4], rest2 = k[5], alpha = k[6];
        float eps = k[7], epsRoot = k[8];
        float[] m = s[0], spread = s[1];
        for (int i = from; i < to; i++) {
            float pi = p[i], gi = gradient(g[i], pi, scale, l2);
            m[i] = flush(beta1 * m[i] + rest1 * gi, MEAN);
            float off = gi - m[i];
            spread[i] = flush(beta2 * spread[i] + rest2 * (off * off) + epsRoot, SQUARE);
            p[i] = descend(pi, alpha * m[i] / (sqrt(spread[i]) + eps), decay, trust);
        }
    }
}
