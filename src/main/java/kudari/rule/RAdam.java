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
 * RAdam: {@link Adam} that is momentum alone until its mean of squares can be trusted, and then takes steps that grow with that trust.
 *
 * <pre>
 *   m ← β₁·m + (1 − β₁)·g
 *   v ← β₂·v + (1 − β₂)·g²
 *   ρₜ = ρ∞ − 2·t·β₂ᵗ/c₂,  ρ∞ = 2/(1 − β₂) − 1,  cᵢ = 1 − βᵢᵗ
 *   ρₜ &gt; threshold:  p ← p − lr·rₜ·√c₂/c₁·m / (√v + ε̂ + ε·√c₂)
 *   else:           p ← p − lr/c₁·m
 *   rₜ = √((ρₜ − 4)·(ρₜ − 2)·ρ∞ / ((ρ∞ − 4)·(ρ∞ − 2)·ρₜ))</pre>
 *
 * <p>The two are one line with two sets of scalars. With β₂ = 0.999 and a threshold of 5 the first five steps are momentum. Where ε stands is as in
 * {@link Adam}: PyTorch adds it to the uncorrected root ({@link #of(double)}), optax to the corrected one ({@link #optax(double)}).
 *
 * <dl>
 *   <dt>Source
 *   <dd>L. Liu et al., "On the Variance of the Adaptive Learning Rate and Beyond", ICLR 2020, arXiv:1908.03265, algorithm 2.
 *   <dt>Deviations
 *   <dd>the paper has no ε and a threshold of 4; libraries have 5.
 *   <dt>State
 *   <dd>{@code m} and {@code v}, 8 bytes per parameter; a step moves 28.
 *   <dt>Neighbours
 *   <dd>as t grows, rₜ tends to 1 and this to {@link Adam}. A warm-up of the learning rate does much the same.
 * </dl>
 *
 * @param lr learning rate, a finite number from 0 up, in units of parameter
 * @param beta1 β₁, the fraction of the gradient's mean kept per step, in [0, 1)
 * @param beta2 β₂, the fraction of the squared gradient's mean kept per step, in [0, 1)
 * @param threshold which ρₜ must exceed, 4 or more
 * @param eps ε, added to the corrected root, 0 or positive, in units of gradient
 * @param epsHat ε̂, added to the uncorrected root, 0 or positive, in units of gradient; one of the two must be positive
 * @param l2 coupled weight decay, 0 or positive, see {@link Rule}
 * @param decay decoupled weight decay, 0 or positive, see {@link Rule}
 */
public record RAdam(
        double lr, double beta1, double beta2, double threshold, double eps, double epsHat, double l2, double decay)
        implements Rule {

    /** Checks that the hyperparameters are in range. */
    public RAdam {
        Check.common(lr, l2, decay);
        Check.fraction("beta1", beta1);
        Check.fraction("beta2", beta2);
        Check.require(threshold >= 4, "threshold", "4 or more", threshold);
        Check.nonNegative("eps", eps, Math.sqrt(1 - beta2));
        Check.nonNegative("epsHat", epsHat, 1);
        Check.someEpsilon("eps + epsHat", eps, epsHat);
    }

    /** PyTorch's RAdam at its defaults: lr 0.001, β 0.9 and 0.999, threshold 5, ε̂ 1e-8. */
    public static RAdam of() {
        return of(0.001);
    }

    /** PyTorch's: β 0.9 and 0.999, threshold 5, ε̂ = 1e-8 on the uncorrected root. */
    @Preset(peer = Peer.PYTORCH, lr = 0.001)
    public static RAdam of(double lr) {
        return new RAdam(lr, 0.9, 0.999, 5, 0, 1e-8, 0, 0);
    }

    /** optax's: β 0.9 and 0.999, threshold 5, ε = 1e-8 on the corrected root. */
    @Preset(peer = Peer.OPTAX)
    public static RAdam optax(double lr) {
        return of(lr).eps(1e-8);
    }

    @Override
    public RAdam lr(double lr) {
        return new RAdam(lr, beta1, beta2, threshold, eps, epsHat, l2, decay);
    }

    /** This rule with other fractions of its means. */
    public RAdam betas(double beta1, double beta2) {
        return new RAdam(lr, beta1, beta2, threshold, eps, epsHat, l2, decay);
    }

    /** This rule with another threshold of ρₜ. */
    public RAdam threshold(double threshold) {
        return new RAdam(lr, beta1, beta2, threshold, eps, epsHat, l2, decay);
    }

    /** This rule with ε on the corrected root, in the place of any ε̂. */
    public RAdam eps(double eps) {
        return new RAdam(lr, beta1, beta2, threshold, eps, 0, l2, decay);
    }

    /** This rule with ε̂ on the uncorrected root, in the place of any ε. */
    public RAdam epsHat(double epsHat) {
        return new RAdam(lr, beta1, beta2, threshold, 0, epsHat, l2, decay);
    }

    @Override
    public RAdam l2(double l2) {
        return new RAdam(lr, beta1, beta2, threshold, eps, epsHat, l2, decay);
    }

    @Override
    public RAdam decay(double decay) {
        return new RAdam(lr, beta1, beta2, threshold, eps, epsHat, l2, decay);
    }

    @Override
    public List<String> state() {
        return List.of("m", "v");
    }

    @Override
    public void at(long t, float[] k) {
        double power = power(beta2, t), c1 = 1 - power(beta1, t), c2 = 1 - power, root = Math.sqrt(c2);
        double last = 2 / (1 - beta2) - 1, rho = last - 2 * t * power / c2;
        boolean trusted = rho > threshold;
        double r = Math.sqrt((rho - 4) * (rho - 2) * last / ((last - 4) * (last - 2) * rho));
        k[0] = (float) l2;
        k[1] = (float) (lr * decay);
        k[2] = (float) beta1;
        k[3] = (float) (1 - beta1);
        k[4] = (float) beta2;
        k[5] = (float) (1 - beta2);
        k[6] = (float) (trusted ? lr * r * root / c1 : lr / c1);
        k[7] = trusted ? 1 : 0;
        k[8] = (float) (trusted ? epsHat + eps * root : 1);
    }

    @Override
    public void apply(float[] k, float scale, float trust, int from, int to, float[] p, float[] g, float[][] s) {
        float l2 = k[0], decay = k[1], beta1 = k[2], rest1 = k[3], beta2 = k[4], rest2 = k[5], alpha = k[6];
        float adapts = k[7], eps = k[8];
        float[] m = s[0], v = s[1];
        for (int i = from; i < to; i++) {
            float pi = p[i], gi = gradient(g[i], pi, scale, l2);
            m[i] = flush(beta1 * m[i] + rest1 * gi, MEAN);
            v[i] = flush(beta2 * v[i] + rest2 * (gi * gi), SQUARE);
            p[i] = descend(pi, alpha * m[i] / (rate(adapts, sqrt(v[i])) + eps), decay, trust);
        }
    }
}
