package kudari.rule;

import static kudari.rule.Arithmetic.MEAN;
import static kudari.rule.Arithmetic.SQUARE;
import static kudari.rule.Arithmetic.clamp;
import static kudari.rule.Arithmetic.descend;
import static kudari.rule.Arithmetic.flush;
import static kudari.rule.Arithmetic.gradient;
import static kudari.rule.Arithmetic.rate;
import static kudari.rule.Arithmetic.sqrt;

import java.util.List;

/**
 * FTRL-Proximal, "follow the regularized leader": AdaGrad's steps, under penalties of which the first sets parameters to 0 outright.
 *
 * <pre>
 *   n ← n + g²
 *   z ← z + lr·g − (√n − √n_before)·p
 *   p ← −(z − clamp(z, ±lr·λ₁)) / (√n + β + lr·λ₂)</pre>
 *
 * <p>It sets p, and does not change it: after the first step p is what z says, and of its start the fraction 1 − √n_before/√n is left (all of it where n
 * starts at 0). Decoupled decay is therefore taken off the p that a step has set, and is no part of what the next one sets: it shrinks by lr·decay once and not
 * more and more. λ₂ is the decay that belongs to this rule. Who sets p from outside, or averages it, does not change z either.
 *
 * <dl>
 *   <dt>Source
 *   <dd>H. B. McMahan et al., "Ad Click Prediction: a View from the Trenches", KDD 2013, algorithm 1.
 *   <dt>Deviations
 *   <dd>{@code z} is lr times the paper's. While lr is constant that is the same; when it changes the paper's form, and Keras's, multiplies the parameters by
 *       the new rate over the old, and this goes on from where they are. At lr = 0 nothing moves. Keras's l2_regularization_strength is λ₂/2; its power of n
 *       is −1/2 here; its shrinkage goes into z alone, and {@code l2} here into the gradient.
 *       A gradient beyond 1.8·10¹⁹, whose square float32 cannot hold, makes p NaN, as the formula has it; a {@code Guard} that clips keeps it out.
 *   <dt>State
 *   <dd>{@code n} and {@code z}, 8 bytes per parameter; a step moves 28.
 *   <dt>Neighbours
 *   <dd>without penalties, after the first step, it is {@link AdaGrad} with ε = β.
 * </dl>
 *
 * @param lr learning rate, a finite number from 0 up, in units of parameter; the paper's α
 * @param initialAccumulator where {@code n} starts, 0 or positive, in units of gradient squared
 * @param beta β, 0 or positive, in units of gradient; one of the two must be positive
 * @param lasso λ₁, 0 or positive, in units of gradient: the penalty is λ₁·‖p‖₁
 * @param ridge λ₂, 0 or positive, in units of gradient per parameter: the penalty is λ₂/2·‖p‖²
 * @param l2 coupled weight decay, 0 or positive, see {@link Rule}
 * @param decay decoupled weight decay, 0 or positive, see above
 */
public record Ftrl(
        double lr, double initialAccumulator, double beta, double lasso, double ridge, double l2, double decay)
        implements Rule {

    /** Checks that the hyperparameters are in range. */
    public Ftrl {
        Check.common(lr, l2, decay);
        Check.nonNegative("initialAccumulator", initialAccumulator, 1);
        Check.nonNegative("beta", beta, 1);
        Check.nonNegative("lasso", lasso, 1);
        Check.nonNegative("ridge", ridge, 1);
        double start =
                (float) initialAccumulator < Float.MIN_NORMAL ? 0 : initialAccumulator; // a step flushes what is less
        Check.someEpsilon("initialAccumulator + beta", start, beta);
    }

    /** Keras's Ftrl at its defaults: lr 0.001, n from 0.1, β 0, no penalties. */
    public static Ftrl of() {
        return of(0.001);
    }

    /** Keras's: n from 0.1, β = 0, no penalties. */
    @Preset(peer = Peer.KERAS, lr = 0.001)
    public static Ftrl of(double lr) {
        return new Ftrl(lr, 0.1, 0, 0, 0, 0, 0);
    }

    @Override
    public Ftrl lr(double lr) {
        return new Ftrl(lr, initialAccumulator, beta, lasso, ridge, l2, decay);
    }

    /** This rule with another start of n. */
    public Ftrl initialAccumulator(double initialAccumulator) {
        return new Ftrl(lr, initialAccumulator, beta, lasso, ridge, l2, decay);
    }

    /** This rule with another β. */
    public Ftrl beta(double beta) {
        return new Ftrl(lr, initialAccumulator, beta, lasso, ridge, l2, decay);
    }

    /** This rule with another λ₁. */
    public Ftrl lasso(double lasso) {
        return new Ftrl(lr, initialAccumulator, beta, lasso, ridge, l2, decay);
    }

    /** This rule with another λ₂. */
    public Ftrl ridge(double ridge) {
        return new Ftrl(lr, initialAccumulator, beta, lasso, ridge, l2, decay);
    }

    @Override
    public Ftrl l2(double l2) {
        return new Ftrl(lr, initialAccumulator, beta, lasso, ridge, l2, decay);
    }

    @Override
    public Ftrl decay(double decay) {
        return new Ftrl(lr, initialAccumulator, beta, lasso, ridge, l2, decay);
    }

    @Override
    public List<String> state() {
        return List.of("n", "z");
    }

    @Override
    public float initial(int array) {
        return array == 0 ? (float) initialAccumulator : 0;
    }

    @Override
    public void at(long t, float[] k) {
        k[0] = (float) l2;
        k[1] = (float) (lr * decay);
        k[2] = (float) lr;
        k[3] = (float) (lr * lasso);
        k[4] = (float) (beta + lr * ridge);
        k[5] = lr == 0 ? 0 : 1;
    }

    @Override
    public void apply(float[] k, float scale, float trust, int from, int to, float[] p, float[] g, float[][] s) {
        float l2 = k[0], decay = k[1], lr = k[2], lasso = k[3], more = k[4], moves = k[5];
        float[] n = s[0], z = s[1];
        for (int i = from; i < to; i++) {
            float pi = p[i], gi = gradient(g[i], pi, scale, l2), before = sqrt(n[i]);
            n[i] = flush(n[i] + gi * gi, SQUARE);
            z[i] = flush(z[i] + lr * gi - (sqrt(n[i]) - before) * pi, MEAN);
        }
        for (int i = from; i < to; i++) {
            float pi = p[i], u = pi + (z[i] - clamp(z[i], lasso)) / (sqrt(n[i]) + more);
            p[i] = descend(pi, rate(moves, u), decay, trust);
        }
    }
}
