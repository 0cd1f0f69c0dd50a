package kudari.rule;

import static kudari.rule.Arithmetic.MEAN;
import static kudari.rule.Arithmetic.SQUARE;
import static kudari.rule.Arithmetic.cubeRoot;
import static kudari.rule.Arithmetic.descend;
import static kudari.rule.Arithmetic.flush;
import static kudari.rule.Arithmetic.gradient;
import static kudari.rule.Arithmetic.rate;

import java.util.List;

/**
 * MADGRAD: dual averaging. The parameter follows a point that lies, from its start, as far as all gradients together say, divided by the cube root of the sum
 * of their squares.
 *
 * <pre>
 *   v ← v + λ·g²,  s ← s + λ·g        with λ = (lr + ε)·√t
 *   z = p₀ − s / (∛v + ε)
 *   p ← μ·p + (1 − μ)·z</pre>
 *
 * <dl>
 *   <dt>Source
 *   <dd>A. Defazio and S. Jelassi, "Adaptivity without Compromise: A Momentumized, Adaptive, Dual Averaged Gradient Method for Stochastic
 *       Optimization", Journal of Machine Learning Research 23 (2022), arXiv:2101.11075, algorithm 1.
 *   <dt>Deviations
 *   <dd>the paper has λ = lr·√t; its authors' code and optax add ε to lr. Not the start p₀ is kept but {@code d}, how far the rule has taken p from it, so that
 *       decay, and whoever sets p, takes the start along. At lr = 0 nothing moves, while in libraries p still goes towards z.
 *   <dt>State
 *   <dd>{@code v}, {@code s} and {@code d}, 12 bytes per parameter; a step moves 36. The cube root is made of six square roots and three divisions: no device
 *       notices, but Java does not vectorise them, and a step on a CPU takes a hundred times Adam's while both fit the cache.
 *   <dt>Neighbours
 *   <dd>{@link AdaGrad} takes the square root, and no step back.
 * </dl>
 *
 * @param lr learning rate, a finite number from 0 up, in units of parameter³ per gradient
 * @param momentum μ, the fraction of the way to z that a step leaves, in [0, 1)
 * @param eps ε, positive
 * @param l2 coupled weight decay, 0 or positive, see {@link Rule}
 * @param decay decoupled weight decay, 0 or positive, see {@link Rule}
 */
public record Madgrad(double lr, double momentum, double eps, double l2, double decay) implements Rule {

    /** Checks that the hyperparameters are in range. */
    public Madgrad {
        Check.common(lr, l2, decay);
        Check.fraction("momentum", momentum);
        Check.nonNegative("eps", eps, 1);
        Check.someEpsilon("eps", eps);
    }

    /** Its authors' defaults: lr 0.01, μ 0.9, ε 1e-6. */
    public static Madgrad of() {
        return of(0.01);
    }

    /** Its authors', as in optax: μ = 0.9, ε = 1e-6. */
    @Preset(peer = Peer.OPTAX)
    public static Madgrad of(double lr) {
        return new Madgrad(lr, 0.9, 1e-6, 0, 0);
    }

    @Override
    public Madgrad lr(double lr) {
        return new Madgrad(lr, momentum, eps, l2, decay);
    }

    /** This rule with another μ. */
    public Madgrad momentum(double momentum) {
        return new Madgrad(lr, momentum, eps, l2, decay);
    }

    /** This rule with another ε. */
    public Madgrad eps(double eps) {
        return new Madgrad(lr, momentum, eps, l2, decay);
    }

    @Override
    public Madgrad l2(double l2) {
        return new Madgrad(lr, momentum, eps, l2, decay);
    }

    @Override
    public Madgrad decay(double decay) {
        return new Madgrad(lr, momentum, eps, l2, decay);
    }

    @Override
    public List<String> state() {
        return List.of("v", "s", "d");
    }

    @Override
    public void at(long t, float[] k) {
        k[0] = (float) l2;
        k[1] = (float) (lr * decay);
        k[2] = (float) ((lr + eps) * Math.sqrt(t));
        k[3] = (float) (lr == 0 ? 0 : 1 - momentum);
        k[4] = (float) eps;
    }

    @Override
    public void apply(float[] k, float scale, float trust, int from, int to, float[] p, float[] g, float[][] s) {
        float l2 = k[0], decay = k[1], lambda = k[2], rest = k[3], eps = k[4];
        float[] v = s[0], sum = s[1], d = s[2];
        for (int i = from; i < to; i++) {
            float gi = gradient(g[i], p[i], scale, l2), weighted = lambda * gi;
            v[i] = flush(v[i] + weighted * gi, SQUARE);
            sum[i] = flush(sum[i] + weighted, MEAN);
        }
        for (int i = from; i < to; i++) {
            float u = rate(rest, d[i] + sum[i] / (cubeRoot(v[i]) + eps));
            d[i] = flush(d[i] - u, MEAN);
            p[i] = descend(p[i], u, decay, trust);
        }
    }
}
