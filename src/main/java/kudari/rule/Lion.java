package kudari.rule;

import static kudari.rule.Arithmetic.MEAN;
import static kudari.rule.Arithmetic.descend;
import static kudari.rule.Arithmetic.flush;
import static kudari.rule.Arithmetic.gradient;
import static kudari.rule.Arithmetic.sign;

import java.util.List;

/**
 * Lion: each element moves by the learning rate, in the direction of the sign of the gradient and its mean together.
 *
 * <pre>
 *   p ← p − lr·sign(β₁·m + (1 − β₁)·g)
 *   m ← β₂·m + (1 − β₂)·g</pre>
 *
 * <p>The sign of 0 is 0, so what has never had a gradient stays where it is. Since a step is as long as lr, its authors take a third to a tenth of AdamW's
 * learning rate, and 3 to 10 times its decay.
 *
 * <dl>
 *   <dt>Source
 *   <dd>X. Chen et al., "Symbolic Discovery of Optimization Algorithms", NeurIPS 2023, arXiv:2302.06675, algorithm 2.
 *   <dt>Deviations
 *   <dd>none. β is 0.9 and 0.99 in the paper, optax, Keras and bitsandbytes, 0.9 and 0.999 in DeepSpeed.
 *   <dt>State
 *   <dd>{@code m}, 4 bytes per parameter; a step moves 20.
 *   <dt>Neighbours
 *   <dd>{@link SignSgd} has no mean. With β₁ = β₂ it is Signum, the sign of a mean that has this step's gradient in it.
 * </dl>
 *
 * @param lr learning rate, a finite number from 0 up, in units of parameter: the length of a step
 * @param beta1 β₁, the weight of the mean against the gradient in the direction of the step, in [0, 1)
 * @param beta2 β₂, the fraction of the mean kept per step, in [0, 1)
 * @param l2 coupled weight decay, 0 or positive, see {@link Rule}
 * @param decay decoupled weight decay, 0 or positive, see {@link Rule}; the paper's λ
 */
public record Lion(double lr, double beta1, double beta2, double l2, double decay) implements Rule {

    /** Checks that the hyperparameters are in range. */
    public Lion {
        Check.common(lr, l2, decay);
        Check.fraction("beta1", beta1);
        Check.fraction("beta2", beta2);
    }

    /** The paper's Lion at bitsandbytes' defaults: lr 0.0001, β 0.9 and 0.99, no decay. */
    public static Lion of() {
        return of(0.0001);
    }

    /** The paper's Lion, as in Keras and bitsandbytes: β 0.9 and 0.99, no decay. */
    @Preset(peer = Peer.KERAS, lr = 0.001)
    public static Lion of(double lr) {
        return new Lion(lr, 0.9, 0.99, 0, 0);
    }

    /** optax's: β 0.9 and 0.99, decay 0.001. */
    @Preset(peer = Peer.OPTAX)
    public static Lion optax(double lr) {
        return of(lr).decay(0.001);
    }

    @Override
    public Lion lr(double lr) {
        return new Lion(lr, beta1, beta2, l2, decay);
    }

    /** This rule with other weights of its mean. */
    public Lion betas(double beta1, double beta2) {
        return new Lion(lr, beta1, beta2, l2, decay);
    }

    @Override
    public Lion l2(double l2) {
        return new Lion(lr, beta1, beta2, l2, decay);
    }

    @Override
    public Lion decay(double decay) {
        return new Lion(lr, beta1, beta2, l2, decay);
    }

    @Override
    public List<String> state() {
        return List.of("m");
    }

    @Override
    public Compression compression(int array) {
        return Compression.SIGNED;
    }

    @Override
    public void at(long t, float[] k) {
        k[0] = (float) l2;
        k[1] = (float) (lr * decay);
        k[2] = (float) lr;
        k[3] = (float) beta1;
        k[4] = (float) (1 - beta1);
        k[5] = (float) beta2;
        k[6] = (float) (1 - beta2);
    }

    @Override
    public void apply(float[] k, float scale, float trust, int from, int to, float[] p, float[] g, float[][] s) {
        float l2 = k[0], decay = k[1], lr = k[2], beta1 = k[3], rest1 = k[4], beta2 = k[5], rest2 = k[6];
        float[] m = s[0];
        for (int i = from; i < to; i++) {
            float pi = p[i], gi = gradient(g[i], pi, scale, l2);
            float u = lr * sign(beta1 * m[i] + rest1 * gi);
            m[i] = flush(beta2 * m[i] + rest2 * gi, MEAN);
            p[i] = descend(pi, u, decay, trust);
        }
    }
}
