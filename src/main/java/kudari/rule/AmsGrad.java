package kudari.rule;

import static kudari.rule.Arithmetic.MEAN;
import static kudari.rule.Arithmetic.SQUARE;
import static kudari.rule.Arithmetic.descend;
import static kudari.rule.Arithmetic.flush;
import static kudari.rule.Arithmetic.gradient;
import static kudari.rule.Arithmetic.larger;
import static kudari.rule.Arithmetic.power;
import static kudari.rule.Arithmetic.sqrt;

import java.util.List;

/**
 * AMSGrad: {@link Adam} that divides by the root of the largest mean of squares so far, so that an element's steps do not grow again.
 *
 * <pre>
 *   m ← β₁·m + (1 − β₁)·g
 *   v ← β₂·v + (1 − β₂)·g²
 *   uncorrected:  v̄ ← max(v̄, v)       p ← p − α·m / (√(v̄ + ε_root·c₂) + ε̂ + ε·√c₂)     Keras: {@link #of(double)}; PyTorch
 *   corrected:    v̄ ← max(v̄, v/c₂)    p ← p − α·m / (√(v̄ + ε_root) + ε̂/√c₂ + ε)         optax: {@link #optax(double)}
 *   with cᵢ = 1 − βᵢᵗ, and α = lr·√c₂/c₁ or, corrected, lr/c₁</pre>
 *
 * <p>The maximum is that of the mean itself or of the corrected mean; the two mean different things and
 * have different names in the state. Where ε stands is as in {@link Adam}.
 *
 * <dl>
 *   <dt>Source
 *   <dd>S. J. Reddi, S. Kale and S. Kumar, "On the Convergence of Adam and Beyond", ICLR 2018, arXiv:1904.09237, algorithm 2.
 *   <dt>Deviations
 *   <dd>the paper corrects neither mean and has no ε.
 *   <dt>State
 *   <dd>{@code m}, {@code v}, and {@code vMax} or {@code vHatMax}, 12 bytes per parameter; a step moves 36.
 *   <dt>Neighbours
 *   <dd>where v never falls, the uncorrected form is {@link Adam}.
 * </dl>
 *
 * @param lr learning rate, a finite number from 0 up, in units of parameter
 * @param beta1 β₁, the fraction of the gradient's mean kept per step, in [0, 1)
 * @param beta2 β₂, the fraction of the squared gradient's mean kept per step, in [0, 1)
 * @param eps ε, added to the corrected root, 0 or positive, in units of gradient
 * @param epsHat ε̂, added to the uncorrected root, 0 or positive, in units of gradient
 * @param epsRoot ε_root, added to the corrected mean inside the root, 0 or positive, in units of gradient squared; one of the three must be positive
 * @param corrected whether the maximum is that of the corrected mean
 * @param l2 coupled weight decay, 0 or positive, see {@link Rule}
 * @param decay decoupled weight decay, 0 or positive, see {@link Rule}
 */
public record AmsGrad(
        double lr,
        double beta1,
        double beta2,
        double eps,
        double epsHat,
        double epsRoot,
        boolean corrected,
        double l2,
        double decay)
        implements Rule {

    /** Checks that the hyperparameters are in range. */
    public AmsGrad {
        Check.common(lr, l2, decay);
        Check.fraction("beta1", beta1);
        Check.fraction("beta2", beta2);
        Check.nonNegative("eps", eps, Math.sqrt(1 - beta2));
        Check.nonNegative("epsHat", epsHat, 1);
        Check.nonNegative("epsRoot", epsRoot, 1 - beta2);
        Check.someEpsilon("eps + epsHat + epsRoot", eps, epsHat, epsRoot);
    }

    /** AMSGrad at its defaults: lr 0.001, β 0.9 and 0.999, ε̂ 1e-7. */
    public static AmsGrad of() {
        return of(0.001);
    }

    /** Keras's, which is the book's Adam and a maximum: β 0.9 and 0.999, ε̂ = 1e-7 on the uncorrected root. */
    @Preset(peer = Peer.KERAS, lr = 0.001)
    public static AmsGrad of(double lr) {
        return new AmsGrad(lr, 0.9, 0.999, 0, 1e-7, 0, false, 0, 0);
    }

    /** PyTorch's: β 0.9 and 0.999, the maximum of the uncorrected mean, ε = 1e-8 on the corrected root. */
    @Preset(peer = Peer.PYTORCH, lr = 0.001)
    public static AmsGrad pytorch(double lr) {
        return of(lr).eps(1e-8);
    }

    /** optax's: β 0.9 and 0.999, the maximum of the corrected mean, ε = 1e-8 on its root. */
    @Preset(peer = Peer.OPTAX)
    public static AmsGrad optax(double lr) {
        return pytorch(lr).corrected(true);
    }

    /** Deeplearning4j's: β 0.9 and 0.999, the maximum of the uncorrected mean, ε̂ = 1e-8 on its root. */
    @Preset(peer = Peer.DL4J, lr = 0.001)
    public static AmsGrad dl4j(double lr) {
        return of(lr).epsHat(1e-8);
    }

    @Override
    public AmsGrad lr(double lr) {
        return new AmsGrad(lr, beta1, beta2, eps, epsHat, epsRoot, corrected, l2, decay);
    }

    /** This rule with other fractions of its means. */
    public AmsGrad betas(double beta1, double beta2) {
        return new AmsGrad(lr, beta1, beta2, eps, epsHat, epsRoot, corrected, l2, decay);
    }

    /** This rule with ε on the corrected root, in the place of any ε̂. */
    public AmsGrad eps(double eps) {
        return new AmsGrad(lr, beta1, beta2, eps, 0, epsRoot, corrected, l2, decay);
    }

    /** This rule with ε̂ on the uncorrected root, in the place of any ε. */
    public AmsGrad epsHat(double epsHat) {
        return new AmsGrad(lr, beta1, beta2, 0, epsHat, epsRoot, corrected, l2, decay);
    }

    /** This rule with another ε inside the root. */
    public AmsGrad epsRoot(double epsRoot) {
        return new AmsGrad(lr, beta1, beta2, eps, epsHat, epsRoot, corrected, l2, decay);
    }

    /** This rule with the maximum of the corrected or of the uncorrected mean. */
    public AmsGrad corrected(boolean corrected) {
        return new AmsGrad(lr, beta1, beta2, eps, epsHat, epsRoot, corrected, l2, decay);
    }

    @Override
    public AmsGrad l2(double l2) {
        return new AmsGrad(lr, beta1, beta2, eps, epsHat, epsRoot, corrected, l2, decay);
    }

    @Override
    public AmsGrad decay(double decay) {
        return new AmsGrad(lr, beta1, beta2, eps, epsHat, epsRoot, corrected, l2, decay);
    }

    @Override
    public List<String> state() {
        return List.of("m", "v", corrected ? "vHatMax" : "vMax");
    }

    @Override
    public void at(long t, float[] k) {
        double c1 = 1 - power(beta1, t), c2 = 1 - power(beta2, t), root = Math.sqrt(c2);
        k[0] = (float) l2;
        k[1] = (float) (lr * decay);
        k[2] = (float) beta1;
        k[3] = (float) (1 - beta1);
        k[4] = (float) beta2;
        k[5] = (float) (1 - beta2);
        k[6] = (float) (corrected ? lr / c1 : lr * root / c1);
        k[7] = (float) (corrected ? epsHat / root + eps : epsHat + eps * root);
        k[8] = (float) (corrected ? epsRoot : epsRoot * c2);
        k[9] = (float) (corrected ? 1 / c2 : 1);
    }

    @Override
    public void apply(float[] k, float scale, float trust, int from, int to, float[] p, float[] g, float[][] s) {
        float l2 = k[0], decay = k[1], beta1 = k[2], rest1 = k[3], beta2 = k[4], rest2 = k[5], alpha = k[6];
        float eps = k[7], epsRoot = k[8], correction = k[9];
        float[] m = s[0], v = s[1], most = s[2];
        for (int i = from; i < to; i++) {
            float gi = gradient(g[i], p[i], scale, l2);
            m[i] = flush(beta1 * m[i] + rest1 * gi, MEAN);
            v[i] = flush(beta2 * v[i] + rest2 * (gi * gi), SQUARE);
            most[i] = larger(most[i], correction * v[i]);
        }
        for (int i = from; i < to; i++) {
            p[i] = descend(p[i], alpha * m[i] / (sqrt(most[i] + epsRoot) + eps), decay, trust);
        }
    }
}
