package kudari.rule;

import static kudari.rule.Arithmetic.LARGEST;
import static kudari.rule.Arithmetic.MEAN;
import static kudari.rule.Arithmetic.SQUARE;
import static kudari.rule.Arithmetic.descend;
import static kudari.rule.Arithmetic.flush;
import static kudari.rule.Arithmetic.gradient;
import static kudari.rule.Arithmetic.power;
import static kudari.rule.Arithmetic.rate;

import java.util.List;

/**
 * NovoGrad: {@link Adam} with one second moment for a whole tensor, that of its gradient's norm, so that it needs half the memory.
 *
 * <pre>
 *   n ← √(β₂·n² + (1 − β₂)·‖g‖²)            and ‖g‖ in the first step
 *   normed:   m ← β₁·m + a·(g/(n/√c₂ + ε) + λ·p)
 *   gathers:  m ← β₁·m + a·(g + λ·p)
 *   normed:   p ← p − lr/c₁·m
 *   gathers:  p ← p − lr/c₁·m/(n/√c₂ + ε)
 *   biasCorrection:  cᵢ = 1 − βᵢᵗ
 *   else:            cᵢ = 1
 *   averages:  a = 1 − β₁
 *   else:      a = 1</pre>
 *
 * <p>where ‖g‖ is over a whole tensor, of the gradient with {@link #l2}. The weight decay of the article stands within the moment, λ here; Apex has it
 * beside the step unless told otherwise, {@link #decay} here.
 *
 * <dl>
 *   <dt>Source
 *   <dd>B. Ginsburg et al., "Stochastic Gradient Methods with Layer-wise Adaptive Moments for Training of Deep Networks", 2019, arXiv:1905.11286,
 *       algorithm 1.
 *   <dt>Deviations
 *   <dd>the root n = √ν is kept, as in Apex, and not ν, whose range a float would hold only in half. {@link #of(double)} is the algorithm; {@link
 *       #apex(double)} divides by the norm after the mean was taken.
 *   <dt>State
 *   <dd>{@code m}, or {@code b} of gradients as they come, 4 bytes per parameter, and {@code n}, a number for each tensor; a step moves 28.
 *   <dt>Neighbours
 *   <dd>{@link Adam} has a second moment for each element, {@link Lars} none.
 * </dl>
 *
 * @param lr learning rate, a finite number from 0 up, in units of parameter
 * @param beta1 β₁, the fraction of the first moment kept per step, in [0, 1)
 * @param beta2 β₂, the fraction of the squared norm's mean kept per step, in [0, 1)
 * @param eps ε, added to the norm, positive, in units of gradient
 * @param momentDecay λ, weight decay within the moment, 0 or positive
 * @param normed whether the moment gathers gradients that are divided by their norm already
 * @param averages whether the moment is a mean, or a sum that decays
 * @param biasCorrection whether both moments are corrected for having started at zero
 * @param l2 coupled weight decay, 0 or positive, see {@link Rule}
 * @param decay decoupled weight decay, 0 or positive, see {@link Rule}
 */
public record NovoGrad(
        double lr,
        double beta1,
        double beta2,
        double eps,
        double momentDecay,
        boolean normed,
        boolean averages,
        boolean biasCorrection,
        double l2,
        double decay)
        implements TensorRule {

    /** Checks that the hyperparameters are in range. */
    public NovoGrad {
        Check.common(lr, l2, decay);
        Check.fraction("beta1", beta1);
        Check.fraction("beta2", beta2);
        Check.positive("eps", eps);
        Check.nonNegative("momentDecay", momentDecay, 1);
    }

    /** The article's at lr 0.01. */
    public static NovoGrad of() {
        return of(0.01);
    }

    /** The article's algorithm, as in optax: β 0.9 and 0.25, ε = 1e-6, and sums of normed gradients. */
    @Preset(peer = Peer.OPTAX)
    public static NovoGrad of(double lr) {
        return new NovoGrad(lr, 0.9, 0.25, 1e-6, 0, true, false, false, 0, 0);
    }

    /** Apex's: β 0.9 and 0.999, ε = 1e-8, means of gradients that are divided by the norm afterwards, and bias correction. */
    public static NovoGrad apex(double lr) {
        return new NovoGrad(lr, 0.9, 0.999, 1e-8, 0, false, true, true, 0, 0);
    }

    @Override
    public NovoGrad lr(double lr) {
        return new NovoGrad(lr, beta1, beta2, eps, momentDecay, normed, averages, biasCorrection, l2, decay);
    }

    /** This rule with other fractions of its moments. */
    public NovoGrad betas(double beta1, double beta2) {
        return new NovoGrad(lr, beta1, beta2, eps, momentDecay, normed, averages, biasCorrection, l2, decay);
    }

    /** This rule with another ε. */
    public NovoGrad eps(double eps) {
        return new NovoGrad(lr, beta1, beta2, eps, momentDecay, normed, averages, biasCorrection, l2, decay);
    }

    /** This rule with another weight decay within the moment; optax's {@code weight_decay}. */
    public NovoGrad momentDecay(double momentDecay) {
        return new NovoGrad(lr, beta1, beta2, eps, momentDecay, normed, averages, biasCorrection, l2, decay);
    }

    /** This rule with a moment of normed gradients, or of gradients as they come; Apex's {@code reg_inside_moment}. */
    public NovoGrad normed(boolean normed) {
        return new NovoGrad(lr, beta1, beta2, eps, momentDecay, normed, averages, biasCorrection, l2, decay);
    }

    /** This rule with a mean for a moment, or a sum; Apex's {@code grad_averaging}. */
    public NovoGrad averages(boolean averages) {
        return new NovoGrad(lr, beta1, beta2, eps, momentDecay, normed, averages, biasCorrection, l2, decay);
    }

    /** This rule with its moments corrected for having started at zero, or as they are. */
    public NovoGrad biasCorrection(boolean biasCorrection) {
        return new NovoGrad(lr, beta1, beta2, eps, momentDecay, normed, averages, biasCorrection, l2, decay);
    }

    @Override
    public NovoGrad l2(double l2) {
        return new NovoGrad(lr, beta1, beta2, eps, momentDecay, normed, averages, biasCorrection, l2, decay);
    }

    @Override
    public NovoGrad decay(double decay) {
        return new NovoGrad(lr, beta1, beta2, eps, momentDecay, normed, averages, biasCorrection, l2, decay);
    }

    @Override
    public List<String> state() {
        return normed ? List.of("m", "n") : List.of("b", "n");
    }

    @Override
    public int elementwise() {
        return 1;
    }

    @Override
    public void at(long t, float[] k) {
        double c1 = biasCorrection ? 1 - power(beta1, t) : 1, c2 = biasCorrection ? 1 - power(beta2, t) : 1;
        k[0] = (float) l2;
        k[1] = (float) (lr * decay);
        k[2] = (float) beta1;
        k[3] = (float) (averages ? 1 - beta1 : 1);
        k[4] = (float) momentDecay;
        k[5] = (float) (lr / c1);
        k[6] = normed ? 1 : 0;
        k[7] = (float) (t == 1 ? 0 : beta2);
        k[8] = (float) (t == 1 ? 1 : 1 - beta2);
        k[9] = (float) (1 / Math.sqrt(c2));
        k[10] = (float) eps;
    }

    @Override
    public float trust(float[] k, double scale, double xx, double xp, double pp, double count, float[] n) {
        double l2 = k[0], beta2 = k[7], rest2 = k[8], correction = k[9], eps = k[10], before = n[0];
        double square = scale * scale * xx + 2 * scale * l2 * xp + l2 * l2 * pp;
        double norm = Math.sqrt(beta2 * (before * before) + rest2 * (square < 0 ? 0 : square));
        n[0] = flush((float) (norm > LARGEST ? LARGEST : norm), SQUARE);
        double factor = 1 / (n[0] * correction + eps);
        return (float) (factor > LARGEST ? LARGEST : factor);
    }

    @Override
    public void apply(float[] k, float scale, float trust, int from, int to, float[] p, float[] g, float[][] s) {
        float l2 = k[0], decay = k[1], beta1 = k[2], rest1 = k[3], momentDecay = k[4], lr = k[5], normed = k[6];
        float before = normed > 0 ? trust : 1, after = normed > 0 ? 1 : trust;
        float[] m = s[0];
        for (int i = from; i < to; i++) {
            float pi = p[i], gi = gradient(g[i], pi, scale, l2);
            m[i] = flush(beta1 * m[i] + rest1 * (before * gi + momentDecay * pi), MEAN);
            p[i] = descend(pi, rate(lr, after * m[i]), decay, 1);
        }
    }
}
