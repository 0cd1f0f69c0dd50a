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
 * Adam: a mean of the gradient, divided by the root of a mean of its square, both corrected for having started at zero. With {@link #decay} it
 * is {@link AdamW}.
 *
 * <pre>
 *   m ← β₁·m + (1 − β₁)·g
 *   v ← β₂·v + (1 − β₂)·g²
 *   p ← p − α·m / (√(v + ε_root·c₂) + ε̂ + ε·√c₂)        with α = lr·√c₂/c₁
 *   biasCorrection:  cᵢ = 1 − βᵢᵗ
 *   else:            cᵢ = 1</pre>
 *
 * <p>Where ε stands is a matter of values. The paper's algorithm 1 adds ε to the corrected root √(v/c₂) ({@link #pytorch(double)}; optax);
 * multiplied through by √c₂, as the end of the paper's section 2 does, that is ε·√c₂ here. The book, Keras and TensorFlow add ε̂ to the
 * uncorrected √v ({@link #of(double)}): in the first steps, while c₂ is small, that weighs more. optax's {@code eps_root} is ε_root.
 *
 * <p>Without the correction, an option of Apex and MXNet, cᵢ = 1: the means are small at first, v more so than m, and the first steps up to
 * (1 − β₁)/√(1 − β₂), about three times, as long. {@link #article(double)} is that with ε_root alone.
 *
 * <dl>
 *   <dt>Source
 *   <dd>D. P. Kingma and J. Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015, arXiv:1412.6980, algorithm 1.
 *   <dt>Deviations
 *   <dd>the order of the multiplications, by the paper's own remark. βᵗ is computed in double for each t, so a step depends on t alone and
 *       not on the steps before it.
 *   <dt>State
 *   <dd>{@code m} and {@code v}, 8 bytes per parameter; a step moves 28.
 *   <dt>Neighbours
 *   <dd>with β₁ = 0 and without the correction it is {@link RmsProp}; {@link AdamW} adds decay beside the step, {@link AmsGrad} divides by the
 *       largest v so far.
 * </dl>
 *
 * @param lr learning rate, a finite number from 0 up, in units of parameter
 * @param beta1 β₁, the fraction of the gradient's mean kept per step, in [0, 1)
 * @param beta2 β₂, the fraction of the squared gradient's mean kept per step, in [0, 1)
 * @param eps ε, added to the corrected root, 0 or positive, in units of gradient
 * @param epsHat ε̂, added to the uncorrected root, 0 or positive, in units of gradient
 * @param epsRoot ε_root, added to the corrected mean inside the root, 0 or positive, in units of gradient squared; one of the three must be positive
 * @param biasCorrection whether both means are corrected for having started at zero
 * @param l2 coupled weight decay, 0 or positive, see {@link Rule}
 * @param decay decoupled weight decay, 0 or positive, see {@link Rule}
 */
public record Adam(
        double lr,
        double beta1,
        double beta2,
        double eps,
        double epsHat,
        double epsRoot,
        boolean biasCorrection,
        double l2,
        double decay)
        implements Rule {

    /** Checks that the hyperparameters are in range. */
    public Adam {
        Check.common(lr, l2, decay);
        Check.fraction("beta1", beta1);
        Check.fraction("beta2", beta2);
        Check.nonNegative("eps", eps, Math.sqrt(1 - beta2));
        Check.nonNegative("epsHat", epsHat, 1);
        Check.nonNegative("epsRoot", epsRoot, 1 - beta2);
        Check.someEpsilon("eps + epsHat + epsRoot", eps, epsHat, epsRoot);
    }

    /** The book's Adam at its defaults: lr 0.001, β 0.9 and 0.999, ε̂ 1e-7. */
    public static Adam of() {
        return of(0.001);
    }

    /** The book's Adam, as in Keras: β 0.9 and 0.999, ε̂ = 1e-7 on the uncorrected root. */
    @Preset(peer = Peer.BOOK, lr = 0.001)
    @Preset(peer = Peer.KERAS, lr = 0.001)
    public static Adam of(double lr) {
        return new Adam(lr, 0.9, 0.999, 0, 1e-7, 0, true, 0, 0);
    }

    /** The paper's Adam, as in PyTorch and optax: β 0.9 and 0.999, ε = 1e-8 on the corrected root. */
    @Preset(peer = Peer.PYTORCH, lr = 0.001)
    @Preset(peer = Peer.OPTAX)
    public static Adam pytorch(double lr) {
        return new Adam(lr, 0.9, 0.999, 1e-8, 0, 0, true, 0, 0);
    }

    /** Adam as many articles print it: p ← p − lr·m/√(v + ε), with β 0.9 and 0.999, ε = 1e-7 inside the root, and neither mean corrected. */
    public static Adam article(double lr) {
        return new Adam(lr, 0.9, 0.999, 0, 0, 1e-7, false, 0, 0);
    }

    /** Deeplearning4j's: β 0.9 and 0.999, ε̂ = 1e-8 on the uncorrected root. */
    @Preset(peer = Peer.DL4J, lr = 0.001)
    public static Adam dl4j(double lr) {
        return of(lr).epsHat(1e-8);
    }

    @Override
    public Adam lr(double lr) {
        return new Adam(lr, beta1, beta2, eps, epsHat, epsRoot, biasCorrection, l2, decay);
    }

    /** This rule with other fractions of its means. */
    public Adam betas(double beta1, double beta2) {
        return new Adam(lr, beta1, beta2, eps, epsHat, epsRoot, biasCorrection, l2, decay);
    }

    /** This rule with ε on the corrected root, in the place of any ε̂. */
    public Adam eps(double eps) {
        return new Adam(lr, beta1, beta2, eps, 0, epsRoot, biasCorrection, l2, decay);
    }

    /** This rule with ε̂ on the uncorrected root, in the place of any ε. */
    public Adam epsHat(double epsHat) {
        return new Adam(lr, beta1, beta2, 0, epsHat, epsRoot, biasCorrection, l2, decay);
    }

    /** This rule with another ε inside the root. */
    public Adam epsRoot(double epsRoot) {
        return new Adam(lr, beta1, beta2, eps, epsHat, epsRoot, biasCorrection, l2, decay);
    }

    /** This rule with its means corrected for having started at zero, or as they are. */
    public Adam biasCorrection(boolean biasCorrection) {
        return new Adam(lr, beta1, beta2, eps, epsHat, epsRoot, biasCorrection, l2, decay);
    }

    @Override
    public Adam l2(double l2) {
        return new Adam(lr, beta1, beta2, eps, epsHat, epsRoot, biasCorrection, l2, decay);
    }

    @Override
    public Adam decay(double decay) {
        return new Adam(lr, beta1, beta2, eps, epsHat, epsRoot, biasCorrection, l2, decay);
    }

    @Override
    public List<String> state() {
        return List.of("m", "v");
    }

    @Override
    public Compression compression(int array) {
        return array == 0 ? Compression.SIGNED : Compression.UNSIGNED;
    }

    @Override
    public void at(long t, float[] k) {
        double c1 = biasCorrection ? 1 - power(beta1, t) : 1, c2 = biasCorrection ? 1 - power(beta2, t) : 1;
        k[0] = (float) l2;
        k[1] = (float) (lr * decay);
        k[2] = (float) beta1;
        k[3] = (float) (1 - beta1);
        k[4] = (float) beta2;
        k[5] = (float) (1 - beta2);
        k[6] = (float) (lr * Math.sqrt(c2) / c1);
        k[7] = (float) (epsHat + eps * Math.sqrt(c2));
        k[8] = (float) (epsRoot * c2);
    }

    @Override
    public void apply(float[] k, float scale, float trust, int from, int to, float[] p, float[] g, float[][] s) {
        float l2 = k[0], decay = k[1], beta1 = k[2], rest1 = k[3], beta2 = k[4], rest2 = k[5], alpha = k[6];
        float eps = k[7], epsRoot = k[8];
        float[] m = s[0], v = s[1];
        for (int i = from; i < to; i++) {
            float pi = p[i], gi = gradient(g[i], pi, scale, l2);
            m[i] = flush(beta1 * m[i] + rest1 * gi, MEAN);
            v[i] = flush(beta2 * v[i] + rest2 * (gi * gi), SQUARE);
            p[i] = descend(pi, alpha * m[i] / (sqrt(v[i] + epsRoot) + eps), decay, trust);
        }
    }
}
