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
 * NAdam: {@link Adam} whose mean of the gradient looks one step ahead, as Nesterov's velocity does, with a momentum that grows over the steps.
 *
 * <pre>
 *   m ← β₁·m + (1 − β₁)·g
 *   v ← β₂·v + (1 − β₂)·g²
 *   μₜ = β₁·(1 − ½·0.96^(t·ψ)),  Πₜ = μ₁·…·μₜ,  c₂ = 1 − β₂ᵗ
 *   p ← p − lr·√c₂·((1 − μₜ)/(1 − Πₜ)·g + μₜ₊₁/(1 − Πₜ₊₁)·m) / (√v + ε·√c₂)</pre>
 *
 * <p>ψ is a matter of values: 0.004 in PyTorch and MXNet ({@link #of(double)}), 1 in Keras and TensorFlow ({@link #keras(double)}), and infinite in optax
 * ({@link #optax(double)}), whose momentum is β₁ from the first step on.
 *
 * <dl>
 *   <dt>Source
 *   <dd>T. Dozat, "Incorporating Nesterov Momentum into Adam", ICLR workshop 2016, algorithm 2 and its schedule of the momentum.
 *   <dt>Deviations
 *   <dd>the paper multiplies v by β₂ once more, which no library does. Πₜ is no running product but a function of t: of the series of each
 *       factor's logarithm the sum over the steps is geometric.
 *   <dt>State
 *   <dd>{@code m} and {@code v}, 8 bytes per parameter; a step moves 28.
 *   <dt>Neighbours
 *   <dd>{@link Adam} uses m alone; {@link Nesterov} does the same for {@link Momentum}.
 * </dl>
 *
 * @param lr learning rate, a finite number from 0 up, in units of parameter
 * @param beta1 β₁, the fraction of the gradient's mean kept per step, in [0, 1)
 * @param beta2 β₂, the fraction of the squared gradient's mean kept per step, in [0, 1)
 * @param psi ψ, how fast the momentum grows from β₁/2 to β₁, 0 or positive; infinite for β₁ always
 * @param eps ε, added to the corrected root, positive, in units of gradient
 * @param l2 coupled weight decay, 0 or positive, see {@link Rule}
 * @param decay decoupled weight decay, 0 or positive, see {@link Rule}
 */
public record NAdam(double lr, double beta1, double beta2, double psi, double eps, double l2, double decay)
        implements Rule {

    /** ln 0.96. */
    private static final double SLOPE = StrictMath.log(0.96);

    /** Below e to this power a product is lost beside 1. */
    private static final double NOTHING = -45;

    /** Terms of the series ln(1 − x/2) = −Σ xⁿ/(n·2ⁿ), of which the next is below the last bit of the first. */
    private static final int TERMS = 53;

    /** Checks that the hyperparameters are in range. */
    public NAdam {
        Check.common(lr, l2, decay);
        Check.fraction("beta1", beta1);
        Check.fraction("beta2", beta2);
        Check.require(psi >= 0, "psi", "0 or a positive number, or infinity for a constant momentum", psi);
        Check.nonNegative("eps", eps, Math.sqrt(1 - beta2));
        Check.require(eps > 0, "eps", "a positive number, to keep the denominator from 0", eps);
    }

    /** PyTorch's NAdam at its defaults: lr 0.002, β 0.9 and 0.999, ψ 0.004, ε 1e-8. */
    public static NAdam of() {
        return of(0.002);
    }

    /** PyTorch's: β 0.9 and 0.999, ψ = 0.004, ε = 1e-8. */
    @Preset(peer = Peer.PYTORCH, lr = 0.002)
    public static NAdam of(double lr) {
        return new NAdam(lr, 0.9, 0.999, 0.004, 1e-8, 0, 0);
    }

    /** Keras's: β 0.9 and 0.999, ψ = 1, ε = 1e-7. */
    @Preset(peer = Peer.KERAS, lr = 0.001)
    public static NAdam keras(double lr) {
        return of(lr).psi(1).eps(1e-7);
    }

    /** optax's: β 0.9 and 0.999, the momentum constant, ε = 1e-8. */
    @Preset(peer = Peer.OPTAX)
    public static NAdam optax(double lr) {
        return of(lr).psi(Double.POSITIVE_INFINITY);
    }

    @Override
    public NAdam lr(double lr) {
        return new NAdam(lr, beta1, beta2, psi, eps, l2, decay);
    }

    /** This rule with other fractions of its means. */
    public NAdam betas(double beta1, double beta2) {
        return new NAdam(lr, beta1, beta2, psi, eps, l2, decay);
    }

    /** This rule with another growth of its momentum. */
    public NAdam psi(double psi) {
        return new NAdam(lr, beta1, beta2, psi, eps, l2, decay);
    }

    /** This rule with another ε on the root. */
    public NAdam eps(double eps) {
        return new NAdam(lr, beta1, beta2, psi, eps, l2, decay);
    }

    @Override
    public NAdam l2(double l2) {
        return new NAdam(lr, beta1, beta2, psi, eps, l2, decay);
    }

    @Override
    public NAdam decay(double decay) {
        return new NAdam(lr, beta1, beta2, psi, eps, l2, decay);
    }

    @Override
    public List<String> state() {
        return List.of("m", "v");
    }

    @Override
    public void at(long t, float[] k) {
        double product = product(t), next = product * momentum(t + 1), root = Math.sqrt(1 - power(beta2, t));
        k[0] = (float) l2;
        k[1] = (float) (lr * decay);
        k[2] = (float) beta1;
        k[3] = (float) (1 - beta1);
        k[4] = (float) beta2;
        k[5] = (float) (1 - beta2);
        k[6] = (float) (lr * root * (1 - momentum(t)) / (1 - product));
        k[7] = (float) (lr * root * momentum(t + 1) / (1 - next));
        k[8] = (float) (eps * root);
    }

    private double momentum(long t) {
        return beta1 * (1 - StrictMath.exp(t * psi * SLOPE) / 2);
    }

    /** Πₜ, by ln Πₜ = t·ln β₁ − Σₙ Σᵢ qⁱⁿ/(n·2ⁿ) with q = 0.96^ψ; the sum over i from 1 to t is qⁿ·(1 − qᵗⁿ)/(1 − qⁿ), or t where q is 1. */
    private double product(long t) {
        double sum = t * StrictMath.log(beta1), slope = psi * SLOPE, half = 0.5;
        for (int n = 1; n <= TERMS && sum > NOTHING; n++, half /= 2) {
            double steps = slope == 0 ? t : StrictMath.expm1(n * t * slope) / StrictMath.expm1(n * slope);
            sum -= half / n * StrictMath.exp(n * slope) * steps;
        }
        return StrictMath.exp(sum);
    }

    @Override
    public void apply(float[] k, float scale, float trust, int from, int to, float[] p, float[] g, float[][] s) {
        float l2 = k[0], decay = k[1], beta1 = k[2], rest1 = k[3], beta2 = k[4], rest2 = k[5], now = k[6];
        float carried = k[7], eps = k[8];
        float[] m = s[0], v = s[1];
        for (int i = from; i < to; i++) {
            float gi = gradient(g[i], p[i], scale, l2);
            m[i] = flush(beta1 * m[i] + rest1 * gi, MEAN);
        }
        for (int i = from; i < to; i++) {
            float pi = p[i], gi = gradient(g[i], pi, scale, l2);
            v[i] = flush(beta2 * v[i] + rest2 * (gi * gi), SQUARE);
            p[i] = descend(pi, (now * gi + carried * m[i]) / (sqrt(v[i]) + eps), decay, trust);
        }
    }
}
