package kudari.rule;

import static kudari.rule.Check.power;
import static kudari.rule.Check.sqrt;

import java.util.List;

/**
 * Adam: a mean of the gradient, divided by the root of a mean of its square, both corrected for having started at zero.
 *
 * <pre>
 *   m ← β₁·m + (1 − β₁)·g
 *   v ← β₂·v + (1 − β₂)·g²
 *   p ← p − α·m / (√(v + ε_root·c₂) + ε̂ + ε·√c₂)        with cᵢ = 1 − βᵢᵗ, α = lr·√c₂/c₁</pre>
 *
 * <p>Where ε stands is a matter of values. The paper's algorithm 1 adds ε to the corrected root √(v/c₂) ({@link #paper(double)}; PyTorch,
 * optax); multiplied through by √c₂, as the end of the paper's section 2 does, that is ε·√c₂ here. The book, Keras and TensorFlow add ε̂ to
 * the uncorrected √v ({@link #of(double)}): in the first steps, while c₂ is small, that weighs more. optax's {@code eps_root} is ε_root.
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
 *   <dd>with β₁ = 0 and without the correction it is {@link RmsProp}.
 * </dl>
 *
 * @param lr learning rate, a finite number from 0 up, in units of parameter
 * @param beta1 β₁, the fraction of the gradient's mean kept per step, in [0, 1)
 * @param beta2 β₂, the fraction of the squared gradient's mean kept per step, in [0, 1)
 * @param epsHat ε̂, added to the uncorrected root, 0 or positive, in units of gradient
 * @param eps ε, added to the corrected root, 0 or positive, in units of gradient
 * @param epsRoot added to the corrected mean inside the root, 0 or positive, in units of gradient squared; one of the three must be positive
 */
public record Adam(double lr, double beta1, double beta2, double epsHat, double eps, double epsRoot) implements Rule {

    /** Checks that the hyperparameters are in range. */
    public Adam {
        Check.learningRate(lr);
        Check.decay("beta1", beta1);
        Check.decay("beta2", beta2);
        Check.nonNegative("epsHat", epsHat, 1);
        Check.nonNegative("eps", eps, Math.sqrt(1 - beta2));
        Check.nonNegative("epsRoot", epsRoot, 1 - beta2);
        Check.someEpsilon("epsHat + eps + epsRoot", epsHat, eps, epsRoot);
    }

    /** The book's Adam at its defaults: lr 0.001, β 0.9 and 0.999, ε̂ 1e-7. */
    public static Adam of() {
        return of(0.001);
    }

    /** The book's Adam: β 0.9 and 0.999, ε̂ = 1e-7 on the uncorrected root. */
    public static Adam of(double lr) {
        return new Adam(lr, 0.9, 0.999, 1e-7, 0, 0);
    }

    /** The paper's Adam, as in PyTorch and optax: β 0.9 and 0.999, ε = 1e-8 on the corrected root. */
    public static Adam paper(double lr) {
        return new Adam(lr, 0.9, 0.999, 0, 1e-8, 0);
    }

    @Override
    public List<String> state() {
        return List.of("m", "v");
    }

    @Override
    public void at(long t, float[] k) {
        double c1 = 1 - power(beta1, t), c2 = 1 - power(beta2, t);
        k[0] = (float) beta1;
        k[1] = (float) (1 - beta1);
        k[2] = (float) beta2;
        k[3] = (float) (1 - beta2);
        k[4] = (float) (lr * Math.sqrt(c2) / c1);
        k[5] = (float) (epsHat + eps * Math.sqrt(c2));
        k[6] = (float) (epsRoot * c2);
    }

    @Override
    public void apply(float[] k, int from, int to, float[] p, float[] g, float[][] s) {
        float beta1 = k[0], rest1 = k[1], beta2 = k[2], rest2 = k[3], alpha = k[4], eps = k[5], epsRoot = k[6];
        float[] m = s[0], v = s[1];
        for (int i = from; i < to; i++) {
            m[i] = beta1 * m[i] + rest1 * g[i];
            v[i] = beta2 * v[i] + rest2 * (g[i] * g[i]);
            p[i] -= alpha * m[i] / (sqrt(v[i] + epsRoot) + eps);
        }
    }
}
