package kudari;

/**
 * A point that follows the parameters of a group and is used in their place: what {@link Group#average(double)} and {@link Group#lookahead} ask for, and
 * {@link Optimizer#evaluating} puts into the parameters.
 *
 * <pre>
 *   EMA:        a ← a + (1 − d)·(p − a)                        after every step
 *   Lookahead:  slow ← slow + α·(p − slow), p ← slow           after every k-th step</pre>
 *
 * <p>It is one array more of each parameter's size, 4 bytes a parameter, among the parameter's state; a step in which it moves takes 8 bytes more, in the
 * same launch. It begins as the parameter is when an update first sees it, and follows what a step leaves in the parameter, decay and all. A step that is
 * left out it does not see. Like state it does not become subnormal: it is rounded to a multiple of 2<sup>−102</sup>. Where Lookahead sets a parameter,
 * the state of its rule goes on as it was, as in the paper.
 *
 * <p>EMA: B. T. Polyak and A. B. Juditsky, "Acceleration of Stochastic Approximation by Averaging", SIAM Journal on Control and Optimization 30
 * (1992), with weights that decay, as in Keras ({@code use_ema}) and PyTorch ({@code swa_utils.get_ema_multi_avg_fn}). Lookahead: M. R. Zhang et al.,
 * "Lookahead Optimizer: k steps forward, 1 step back", NeurIPS 2019, arXiv:1907.08610, algorithm 1.
 *
 * @param name of the array among the state; empty where there is none
 * @param pull the part of the way to the parameter that the point goes, 1 − d or α, at most 1; 0 where there is none
 * @param every after how many steps of the group it goes, at least 1
 * @param back whether the parameter then goes where the point is
 */
public record Average(String name, double pull, long every, boolean back) {

    /** Parameters are used as they are trained. */
    public static final Average NONE = new Average("", 0, 1, false);

    /** Checks that all of it is in range, and that a point has a name and moves, or neither. */
    public Average {
        if (!name.matches("\\w*") || name.isEmpty() != (pull == 0))
            throw new IllegalArgumentException(
                    "name: expected letters, digits and _ where there is a pull, got '" + name + "'");
        if (!(pull == 0 || (float) pull >= Float.MIN_NORMAL && pull <= 1))
            throw new IllegalArgumentException("pull: expected a number from 0 to 1, got " + pull);
        if (every < 1) throw new IllegalArgumentException("every: expected at least 1 step, got " + every);
    }

    static Average ema(double decay) {
        if (!(decay >= 0 && decay < 1))
            throw new IllegalArgumentException("decay: expected a number from 0 up and below 1, got " + decay);
        return new Average("average", 1 - decay, 1, false);
    }

    static Average lookahead(long k, double alpha) {
        if (k < 1) throw new IllegalArgumentException("k: expected at least 1 step, got " + k);
        if (!((float) alpha >= Float.MIN_NORMAL && alpha <= 1))
            throw new IllegalArgumentException("alpha: expected a number above 0, at most 1, got " + alpha);
        return new Average("lookahead", alpha, k, true);
    }

    /** Whether there is one. */
    boolean isKept() {
        return pull > 0;
    }

    /** What goes among the scalars of the group's step t, counted from 1: how far the point goes. */
    float pull(long t) {
        return t % every == 0 ? (float) pull : 0;
    }
}
