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
 * AdEMAMix: {@link Adam} with a second, much slower mean of the gradient beside the first, so that old gradients are still heard.
 *
 * <pre>
 *   m ← β₁·m + (1 − β₁)·g
 *   slow ← β₃ₜ·slow + (1 − β₃ₜ)·g
 *   v ← β₂·v + (1 − β₂)·g²
 *   p ← p − lr·√c₂·(m/c₁ + αₜ·slow) / (√(v + ε_root·c₂) + ε·√c₂)        with cᵢ = 1 − βᵢᵗ
 *   αₜ = α, β₃ₜ = β₃ from step T on, less before</pre>
 *
 * <p>The slow mean is not corrected. Over a warm-up of T steps αₜ grows in proportion to t, and β₃ₜ from β₁ to β₃ so that the mean's half-life grows
 * evenly: 1/ln β₃ₜ = (1 − t/T)/ln β₁ + (t/T)/ln β₃. Without one both are constant, as optax has them.
 *
 * <dl>
 *   <dt>Source
 *   <dd>M. Pagliardini, P. Ablin and D. Grangier, "The AdEMAMix Optimizer: Better, Faster, Older", arXiv:2409.03137, algorithm 1.
 *   <dt>Deviations
 *   <dd>one warm-up for both, which the paper recommends.
 *   <dt>State
 *   <dd>{@code m}, {@code slow} and {@code v}, 12 bytes per parameter; a step moves 36.
 *   <dt>Neighbours
 *   <dd>with α = 0 it is {@link Adam} in the paper's form that carries an array for nothing.
 * </dl>
 *
 * @param lr learning rate, a finite number from 0 up, in units of parameter
 * @param beta1 β₁, the fraction of the gradient's mean kept per step, in [0, 1)
 * @param beta2 β₂, the fraction of the squared gradient's mean kept per step, in [0, 1)
 * @param beta3 β₃, the fraction of the slow mean kept per step, in [0, 1)
 * @param alpha α, the weight of the slow mean, 0 or positive
 * @param warmUp T, the steps over which α and β₃ come in, 0 or more
 * @param eps ε, added to the corrected root, 0 or positive, in units of gradient
 * @param epsRoot ε_root, added to the corrected mean inside the root, 0 or positive, in units of gradient squared; one of the two must be positive
 * @param l2 coupled weight decay, 0 or positive, see {@link Rule}
 * @param decay decoupled weight decay, 0 or positive, see {@link Rule}
 */
public record AdEMAMix(
        double lr,
        double beta1,
        double beta2,
        double beta3,
        double alpha,
        long warmUp,
        double eps,
        double epsRoot,
        double l2,
        double decay)
        implements Rule {

    /** Checks that the hyperparameters are in range. */
    public AdEMAMix {
        Check.common(lr, l2, decay);
        Check.fraction("beta1", beta1);
        Check.fraction("beta2", beta2);
        Check.fraction("beta3", beta3);
        Check.nonNegative("alpha", alpha, 1);
        Check.require(warmUp >= 0, "warmUp", "0 or a number of steps", warmUp);
        Check.nonNegative("eps", eps, Math.sqrt(1 - beta2));
        Check.nonNegative("epsRoot", epsRoot, 1 - beta2);
        Check.someEpsilon("eps + epsRoot", eps, epsRoot);
    }

    /** AdEMAMix at its defaults: lr 0.001, β 0.9, 0.999 and 0.9999, α 5, no warm-up, ε 1e-8. */
    public static AdEMAMix of() {
        return of(0.001);
    }

    /** optax's: β 0.9, 0.999 and 0.9999, α = 5, no warm-up, ε = 1e-8. */
    @Preset(peer = Peer.OPTAX)
    public static AdEMAMix of(double lr) {
        return new AdEMAMix(lr, 0.9, 0.999, 0.9999, 5, 0, 1e-8, 0, 0, 0);
    }

    @Override
    public AdEMAMix lr(double lr) {
        return new AdEMAMix(lr, beta1, beta2, beta3, alpha, warmUp, eps, epsRoot, l2, decay);
    }

    /** This rule with other fractions of its means. */
    public AdEMAMix betas(double beta1, double beta2, double beta3) {
        return new AdEMAMix(lr, beta1, beta2, beta3, alpha, warmUp, eps, epsRoot, l2, decay);
    }

    /** This rule with another weight of the slow mean. */
    public AdEMAMix alpha(double alpha) {
        return new AdEMAMix(lr, beta1, beta2, beta3, alpha, warmUp, eps, epsRoot, l2, decay);
    }

    /** This rule with α and β₃ that come in over so many steps: in the paper over the whole training. */
    public AdEMAMix warmUp(long warmUp) {
        return new AdEMAMix(lr, beta1, beta2, beta3, alpha, warmUp, eps, epsRoot, l2, decay);
    }

    /** This rule with another ε on the root. */
    public AdEMAMix eps(double eps) {
        return new AdEMAMix(lr, beta1, beta2, beta3, alpha, warmUp, eps, epsRoot, l2, decay);
    }

    /** This rule with another ε inside the root. */
    public AdEMAMix epsRoot(double epsRoot) {
        return new AdEMAMix(lr, beta1, beta2, beta3, alpha, warmUp, eps, epsRoot, l2, decay);
    }

    @Override
    public AdEMAMix l2(double l2) {
        return new AdEMAMix(lr, beta1, beta2, beta3, alpha, warmUp, eps, epsRoot, l2, decay);
    }

    @Override
    public AdEMAMix decay(double decay) {
        return new AdEMAMix(lr, beta1, beta2, beta3, alpha, warmUp, eps, epsRoot, l2, decay);
    }

    @Override
    public List<String> state() {
        return List.of("m", "slow", "v");
    }

    @Override
    public void at(long t, float[] k) {
        double c1 = 1 - power(beta1, t), c2 = 1 - power(beta2, t), root = Math.sqrt(c2);
        double in = t < warmUp ? (double) t / warmUp : 1, beta3 = beta3(in);
        k[0] = (float) l2;
        k[1] = (float) (lr * decay);
        k[2] = (float) beta1;
        k[3] = (float) (1 - beta1);
        k[4] = (float) beta2;
        k[5] = (float) (1 - beta2);
        k[6] = (float) beta3;
        k[7] = (float) (1 - beta3);
        k[8] = (float) (lr * root / c1);
        k[9] = (float) (lr * root * alpha * in);
        k[10] = (float) (eps * root);
        k[11] = (float) (epsRoot * c2);
    }

    /** β₃ after such a part of the warm-up. */
    private double beta3(double in) {
        if (in == 1) return beta3;
        double turns = (1 - in) / StrictMath.log(beta1) + in / StrictMath.log(beta3);
        return Math.min(StrictMath.exp(1 / turns), beta3);
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
        float fast = k[8], old = k[9], eps = k[10], epsRoot = k[11];
        float[] m = s[0], slow = s[1], v = s[2];
        for (int i = from; i < to; i++) {
            float gi = gradient(g[i], p[i], scale, l2);
            m[i] = flush(beta1 * m[i] + rest1 * gi, MEAN);
            slow[i] = flush(beta3 * slow[i] + rest3 * gi, MEAN);
            v[i] = flush(beta2 * v[i] + rest2 * (gi * gi), SQUARE);
        }
        for (int i = from; i < to; i++) {
            p[i] = descend(p[i], (fast * m[i] + old * slow[i]) / (sqrt(v[i] + epsRoot) + eps), decay, trust);
        }
    }
}
