package kudari.rule;

import static kudari.rule.Arithmetic.MEAN;
import static kudari.rule.Arithmetic.descend;
import static kudari.rule.Arithmetic.flush;
import static kudari.rule.Arithmetic.gradient;

import java.util.List;

/**
 * Schedule-Free SGD: steps at a constant learning rate whose average is used, and the gradient is taken between the two. No schedule needs to know
 * when training ends.
 *
 * <pre>
 *   Δ = lrₜ·(g + λ·p)                                with lrₜ = lr·min(1, t/T), T = warmUp
 *   p ← p − Δ + d − d′                               with d′ = (1 − c)·(d − β·Δ), c = lrₜ²/(lr₁² + … + lrₜ²)
 *   d ← d′</pre>
 *
 * <p>The paper's three points are one and a distance here: p is y, where the gradient is taken; z = p + d, which goes by SGD's steps; and x = p −
 * (1/β − 1)·d, the average of all z so far, <em>which is what is to be used</em>: {@code Optimizer.evaluating} puts it into the parameters for as long as
 * one likes, and {@link #evaluation} says so. With p moved from outside all three move, and a parameter that joins late begins with all three where it
 * is.
 *
 * <p>c is a function of the step alone, so T, the steps of the warm-up, belongs to the rule. Where {@code lr} comes from a schedule, it changes the steps
 * and not their weights in the average, as in libraries while the rate falls; there a rate that rises weighs the later steps more.
 *
 * <dl>
 *   <dt>Source
 *   <dd>A. Defazio et al., "The Road Less Scheduled", NeurIPS 2024, arXiv:2405.15682, equations 3 to 5; the warm-up and the weights are those of
 *       algorithm 1.
 *   <dt>Deviations
 *   <dd>none but the change of variables. Decay is in Δ, as in the paper, and so goes through the average: z − p hears of it, and the parameter loses
 *       lr·decay of itself only as the average comes to know. At lr = 0 nothing moves, while in libraries p still goes towards z.
 *   <dt>State
 *   <dd>{@code d}, 4 bytes per parameter; a step moves 20.
 *   <dt>Neighbours
 *   <dd>{@link Sgd} uses where it stands. {@link ScheduleFreeAdamW} divides the gradient first.
 * </dl>
 *
 * @param lr learning rate, a finite number from 0 up, in units of parameter per gradient
 * @param beta β, where the gradient is taken: at 1 at the average, near 0 where SGD stands; above 0 and below 1
 * @param warmUp steps over which the learning rate grows to lr, 0 or positive; T in the formula
 * @param l2 coupled weight decay, 0 or positive, see {@link Rule}
 * @param decay λ, decoupled weight decay, 0 or positive, in Δ; for SGD the same as {@code l2}
 */
public record ScheduleFreeSgd(double lr, double beta, long warmUp, double l2, double decay) implements Rule {

    /** Checks that the hyperparameters are in range. */
    public ScheduleFreeSgd {
        Check.common(lr, l2, decay);
        Check.between("beta", beta);
        Check.require(warmUp >= 0, "warmUp", "0 or a number of steps", warmUp);
    }

    /** Its authors' defaults: lr 1, β 0.9, no warm-up. */
    public static ScheduleFreeSgd of() {
        return of(1);
    }

    /** Its authors', as in optax: β = 0.9, no warm-up, no decay. */
    @Preset(peer = Peer.OPTAX, lr = 1)
    public static ScheduleFreeSgd of(double lr) {
        return new ScheduleFreeSgd(lr, 0.9, 0, 0, 0);
    }

    @Override
    public ScheduleFreeSgd lr(double lr) {
        return new ScheduleFreeSgd(lr, beta, warmUp, l2, decay);
    }

    /** This rule with another β. */
    public ScheduleFreeSgd beta(double beta) {
        return new ScheduleFreeSgd(lr, beta, warmUp, l2, decay);
    }

    /** This rule with a learning rate that grows over so many steps. */
    public ScheduleFreeSgd warmUp(long steps) {
        return new ScheduleFreeSgd(lr, beta, steps, l2, decay);
    }

    @Override
    public ScheduleFreeSgd l2(double l2) {
        return new ScheduleFreeSgd(lr, beta, warmUp, l2, decay);
    }

    @Override
    public ScheduleFreeSgd decay(double decay) {
        return new ScheduleFreeSgd(lr, beta, warmUp, l2, decay);
    }

    @Override
    public List<String> state() {
        return List.of("d");
    }

    @Override
    public float evaluation(int array) {
        return (float) (1 - 1 / beta);
    }

    @Override
    public void at(long t, float[] k) {
        double rate = lr * warmth(t, warmUp), c = lr == 0 ? 0 : share(t, warmUp);
        k[0] = (float) l2;
        k[1] = (float) (rate * decay);
        k[2] = (float) rate;
        k[3] = (float) (1 - c);
        k[4] = (float) beta;
    }

    /** What a learning rate is multiplied by in a step. */
    static double warmth(long t, long warmUp) {
        return t < warmUp ? (double) t / warmUp : 1;
    }

    /** The weight of a step in the average up to it: its squared rate as a part of the sum, of which Σt² = t·(t + 1)·(2t + 1)/6 is the beginning. */
    static double share(long t, long warmUp) {
        double n = t, warm = warmUp;
        if (t <= warmUp) return 6 * n / ((n + 1) * (2 * n + 1));
        return 1 / (n - warm + (warmUp == 0 ? 0 : (warm + 1) * (2 * warm + 1) / (6 * warm)));
    }

    @Override
    public void apply(float[] k, float scale, float trust, int from, int to, float[] p, float[] g, float[][] s) {
        float l2 = k[0], decay = k[1], lr = k[2], kept = k[3], beta = k[4];
        float[] d = s[0];
        for (int i = from; i < to; i++) {
            float pi = p[i], step = lr * gradient(g[i], pi, scale, l2) + decay * pi, before = d[i];
            d[i] = flush(kept * (before - beta * step), MEAN);
            p[i] = descend(pi, step - before + d[i], 0, trust);
        }
    }
}
