package kudari.rule;

import static kudari.rule.Arithmetic.MEAN;
import static kudari.rule.Arithmetic.SQUARE;
import static kudari.rule.Arithmetic.descend;
import static kudari.rule.Arithmetic.flush;
import static kudari.rule.Arithmetic.gradient;
import static kudari.rule.Arithmetic.power;
import static kudari.rule.Arithmetic.rate;
import static kudari.rule.Arithmetic.sqrt;

import java.util.List;

/**
 * Adan: {@link Adam} that also follows a mean of the gradient's changes, which is Nesterov's look ahead without a second gradient.
 *
 * <pre>
 *   δ = g − gₜ₋₁, and 0 in the first step
 *   m ← β₁·m + (1 − β₁)·g
 *   d ← β₂·d + (1 − β₂)·δ
 *   n ← β₃·n + (1 − β₃)·(g + w·δ)²
 *   p ← p − α·(m + w·c₁/c₂·d) / (√(n + ε_root·c₃) + ε·√c₃)        with cᵢ = 1 − βᵢᵗ, α = lr·√c₃/c₁</pre>
 *
 * <p>w, the weight of the changes, is the authors' β₂ in these letters ({@link #of(double)}). optax, which has the paper's algorithm in its own letters,
 * has 1 − β₂ there, which is little ({@link #optax(double)}).
 *
 * <dl>
 *   <dt>Source
 *   <dd>X. Xie et al., "Adan: Adaptive Nesterov Momentum Algorithm for Faster Optimizing Deep Models", arXiv:2208.06677, algorithm 1, whose βᵢ are 1
 *       minus these.
 *   <dt>Deviations
 *   <dd>the means are corrected, as in the authors' code. The decay is this library's, not the paper's division by 1 + lr·λ.
 *   <dt>State
 *   <dd>{@code m}, {@code d}, {@code n} and {@code g}, the gradient before, 16 bytes per parameter; a step moves 44.
 *   <dt>Neighbours
 *   <dd>with w = 0 it is {@link Adam} of β₁ and β₃ that carries two arrays for nothing; {@link NAdam} looks ahead by the mean itself.
 * </dl>
 *
 * @param lr learning rate, a finite number from 0 up, in units of parameter
 * @param beta1 β₁, the fraction of the gradient's mean kept per step, in [0, 1)
 * @param beta2 β₂, the fraction of the changes' mean kept per step, in [0, 1)
 * @param beta3 β₃, the fraction of the mean of squares kept per step, in [0, 1)
 * @param ahead w, the weight of the changes, 0 or positive
 * @param eps ε, added to the corrected root, 0 or positive, in units of gradient
 * @param epsRoot ε_root, added to the corrected mean inside the root, 0 or positive, in units of gradient squared; one of the two must be positive
 * @param l2 coupled weight decay, 0 or positive, see {@link Rule}
 * @param decay decoupled weight decay, 0 or positive, see {@link Rule}
 */
public record Adan(
        double lr,
        double beta1,
        double beta2,
        double beta3,
        double ahead,
        double eps,
        double epsRoot,
        double l2,
        double decay)
        implements Rule {

    /** Checks that the hyperparameters are in range. */
    public Adan {
        Check.common(lr, l2, decay);
        Check.fraction("beta1", beta1);
        Check.fraction("beta2", beta2);
        Check.fraction("beta3", beta3);
        Check.nonNegative("ahead", ahead, 1);
        Check.nonNegative("eps", eps, Math.sqrt(1 - beta3));
        Check.nonNegative("epsRoot", epsRoot, 1 - beta3);
        Check.someEpsilon("eps + epsRoot", eps, epsRoot);
    }

    /** Adan at its defaults: lr 0.001, β 0.98, 0.92 and 0.99, w 0.92, ε 1e-8. */
    public static Adan of() {
        return of(0.001);
    }

    /** The authors': β 0.98, 0.92 and 0.99, w = 0.92, ε = 1e-8. */
    public static Adan of(double lr) {
        return new Adan(lr, 0.98, 0.92, 0.99, 0.92, 1e-8, 0, 0, 0);
    }

    /** optax's: β 0.98, 0.92 and 0.99, w = 0.08, ε = ε_root = 1e-8. */
    @Preset(peer = Peer.OPTAX)
    public static Adan optax(double lr) {
        return of(lr).ahead(0.08).epsRoot(1e-8);
    }

    @Override
    public Adan lr(double lr) {
        return new Adan(lr, beta1, beta2, beta3, ahead, eps, epsRoot, l2, decay);
    }

    /** This rule with other fractions of its means; w stays. */
    public Adan betas(double beta1, double beta2, double beta3) {
        return new Adan(lr, beta1, beta2, beta3, ahead, eps, epsRoot, l2, decay);
    }

    /** This rule with another weight of the changes. */
    public Adan ahead(double ahead) {
        return new Adan(lr, beta1, beta2, beta3, ahead, eps, epsRoot, l2, decay);
    }

    /** This rule with another ε on the root. */
    public Adan eps(double eps) {
        return new Adan(lr, beta1, beta2, beta3, ahead, eps, epsRoot, l2, decay);
    }

    /** This rule with another ε inside the root. */
    public Adan epsRoot(double epsRoot) {
        return new Adan(lr, beta1, beta2, beta3, ahead, eps, epsRoot, l2, decay);
    }

    @Override
    public Adan l2(double l2) {
        return new Adan(lr, beta1, beta2, beta3, ahead, eps, epsRoot, l2, decay);
    }

    @Override
    public Adan decay(double decay) {
        return new Adan(lr, beta1, beta2, beta3, ahead, eps, epsRoot, l2, decay);
    }

    @Override
    public List<String> state() {
        return List.of("m", "d", "n", "g");
    }

    @Override
    public void at(long t, float[] k) {
        double c1 = 1 - power(beta1, t), c2 = 1 - power(beta2, t), c3 = 1 - power(beta3, t);
        k[0] = (float) l2;
        k[1] = (float) (lr * decay);
        k[2] = (float) beta1;
        k[3] = (float) (1 - beta1);
        k[4] = (float) beta2;
        k[5] = (float) (t == 1 ? 0 : 1 - beta2);
        k[6] = (float) beta3;
        k[7] = (float) (1 - beta3);
        k[8] = (float) (t == 1 ? 0 : ahead);
        k[9] = (float) (ahead * c1 / c2);
        k[10] = (float) (lr * Math.sqrt(c3) / c1);
        k[11] = (float) (eps * Math.sqrt(c3));
        k[12] = (float) (epsRoot * c3);
    }

    @Override
    public void apply(float[] k, float scale, float trust, int from, int to, float[] p, float[] g, float[][] s) {
        float l2 = k[0],
                decay = k[1],
                beta1 = k[2],
                rest1 = k[3],
                beta2 = k[4],
                rest2 = k[5],
                beta3 = k[6],
                rest3 = k[7];
        float ahead = k[8], mix = k[9], alpha = k[10], eps = k[11], epsRoot = k[12];
        float[] m = s[0], d = s[1], n = s[2], before = s[3];
        for (int i = from; i < to; i++) {
            float gi = gradient(g[i], p[i], scale, l2), change = gi - before[i], next = gi + ahead * change;
            d[i] = flush(beta2 * d[i] + rest2 * change, MEAN);
            n[i] = flush(beta3 * n[i] + rest3 * (next * next), SQUARE);
            before[i] = gi;
        }
        for (int i = from; i < to; i++) {
            m[i] = flush(beta1 * m[i] + rest1 * before[i], MEAN);
            float u = (m[i] + mix * d[i]) / (sqrt(n[i] + epsRoot) + eps);
            p[i] = descend(p[i], rate(alpha, u), decay, trust);
        }
    }
}
