package kudari.rule;

import static kudari.rule.Arithmetic.MEAN;
import static kudari.rule.Arithmetic.SQUARE;
import static kudari.rule.Arithmetic.descend;
import static kudari.rule.Arithmetic.flush;
import static kudari.rule.Arithmetic.gradient;
import static kudari.rule.Arithmetic.power;
import static kudari.rule.Arithmetic.rate;
import static kudari.rule.Arithmetic.sign;
import static kudari.rule.Arithmetic.sqrt;

import java.util.List;

/**
 * Yogi: {@link Adam} whose mean of squares moves towards g² by a fraction of g² and not of the difference, so that it falls no faster than it grows.
 *
 * <pre>
 *   m ← β₁·m + (1 − β₁)·g
 *   v ← v − (1 − β₂)·g²·sign(v − g²)
 *   p ← p − α·m / (√(v + ε_root·c₂) + ε·√c₂)        with cᵢ = 1 − βᵢᵗ, α = lr·√c₂/c₁</pre>
 *
 * <dl>
 *   <dt>Source
 *   <dd>M. Zaheer et al., "Adaptive Methods for Nonconvex Optimization", NeurIPS 2018, algorithm 2.
 *   <dt>Deviations
 *   <dd>the paper corrects neither mean. optax, whose form this is, corrects both, though v grows otherwise than a mean, and starts both at 1e-6. Of two gradients
 *       beyond 1.8·10<sup>19</sup>, whose squares float32 cannot hold, the second makes p NaN, as the formula has it; a {@code Guard} that clips keeps it out.
 *   <dt>State
 *   <dd>{@code m} and {@code v}, 8 bytes per parameter; a step moves 28.
 *   <dt>Neighbours
 *   <dd>{@link Adam}, whose v moves by (1 − β₂)·(g² − v).
 * </dl>
 *
 * @param lr learning rate, a finite number from 0 up, in units of parameter
 * @param beta1 β₁, the fraction of the gradient's mean kept per step, in [0, 1)
 * @param beta2 β₂, of which 1 − β₂ is the fraction of the squared gradient that v moves by, in [0, 1)
 * @param initialAccumulator where {@code m} and {@code v} start, 0 or positive
 * @param eps ε, added to the corrected root, 0 or positive, in units of gradient
 * @param epsRoot ε_root, added to the corrected v inside the root, 0 or positive, in units of gradient squared; one of the two must be positive
 * @param l2 coupled weight decay, 0 or positive, see {@link Rule}
 * @param decay decoupled weight decay, 0 or positive, see {@link Rule}
 */
public record Yogi(
        double lr,
        double beta1,
        double beta2,
        double initialAccumulator,
        double eps,
        double epsRoot,
        double l2,
        double decay)
        implements Rule {

    /** Checks that the hyperparameters are in range. */
    public Yogi {
        Check.common(lr, l2, decay);
        Check.fraction("beta1", beta1);
        Check.fraction("beta2", beta2);
        Check.nonNegative("initialAccumulator", initialAccumulator, 1);
        Check.nonNegative("eps", eps, Math.sqrt(1 - beta2));
        Check.nonNegative("epsRoot", epsRoot, 1 - beta2);
        Check.someEpsilon("eps + epsRoot", eps, epsRoot);
    }

    /** Yogi at the paper's learning rate and optax's other defaults: lr 0.01, β 0.9 and 0.999, ε 1e-3, both means from 1e-6. */
    public static Yogi of() {
        return of(0.01);
    }

    /** optax's: β 0.9 and 0.999, ε = 1e-3, both means from 1e-6. */
    @Preset(peer = Peer.OPTAX)
    public static Yogi of(double lr) {
        return new Yogi(lr, 0.9, 0.999, 1e-6, 1e-3, 0, 0, 0);
    }

    @Override
    public Yogi lr(double lr) {
        return new Yogi(lr, beta1, beta2, initialAccumulator, eps, epsRoot, l2, decay);
    }

    /** This rule with another fraction of its mean and another pace of v. */
    public Yogi betas(double beta1, double beta2) {
        return new Yogi(lr, beta1, beta2, initialAccumulator, eps, epsRoot, l2, decay);
    }

    /** This rule with another start of m and v. */
    public Yogi initialAccumulator(double initialAccumulator) {
        return new Yogi(lr, beta1, beta2, initialAccumulator, eps, epsRoot, l2, decay);
    }

    /** This rule with another ε on the root. */
    public Yogi eps(double eps) {
        return new Yogi(lr, beta1, beta2, initialAccumulator, eps, epsRoot, l2, decay);
    }

    /** This rule with another ε inside the root. */
    public Yogi epsRoot(double epsRoot) {
        return new Yogi(lr, beta1, beta2, initialAccumulator, eps, epsRoot, l2, decay);
    }

    @Override
    public Yogi l2(double l2) {
        return new Yogi(lr, beta1, beta2, initialAccumulator, eps, epsRoot, l2, decay);
    }

    @Override
    public Yogi decay(double decay) {
        return new Yogi(lr, beta1, beta2, initialAccumulator, eps, epsRoot, l2, decay);
    }

    @Override
    public List<String> state() {
        return List.of("m", "v");
    }

    @Override
    public float initial(int array) {
        return (float) initialAccumulator;
    }

    @Override
    public void at(long t, float[] k) {
        double c1 = 1 - power(beta1, t), c2 = 1 - power(beta2, t);
        k[0] = (float) l2;
        k[1] = (float) (lr * decay);
        k[2] = (float) beta1;
        k[3] = (float) (1 - beta1);
        k[4] = (float) (1 - beta2);
        k[5] = (float) (lr * Math.sqrt(c2) / c1);
        k[6] = (float) (eps * Math.sqrt(c2));
        k[7] = (float) (epsRoot * c2);
    }

    @Override
    public void apply(float[] k, float scale, float trust, int from, int to, float[] p, float[] g, float[][] s) {
        float l2 = k[0],
                decay = k[1],
                beta1 = k[2],
                rest1 = k[3],
                rest2 = k[4],
                alpha = k[5],
                eps = k[6],
                epsRoot = k[7];
        float[] m = s[0], v = s[1];
        for (int i = from; i < to; i++) {
            float gi = gradient(g[i], p[i], scale, l2), square = gi * gi;
            m[i] = flush(beta1 * m[i] + rest1 * gi, MEAN);
            v[i] = flush(v[i] - rest2 * square * sign(v[i] - square), SQUARE);
        }
        for (int i = from; i < to; i++) {
            p[i] = descend(p[i], rate(alpha, m[i] / (sqrt(v[i] + epsRoot) + eps)), decay, trust);
        }
    }
}
