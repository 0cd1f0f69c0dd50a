package kudari;

/**
 * A point that follows the parameters of a group and is used in their place: what {@link Group#average(double)} and {@link Group#lookahead} ask for, and {@link
 * Optimizer#evaluating} puts into the parameters.
 *
 * <pre>
 *   EMA:        a ← a + (1 − d)·(p − a)                        after every step
 *   Lookahead:  slow ← slow + α·(p − slow), p ← slow           after every k-th step</pre>
 *
 * <p>It is one array more of each parameter's size, 4 bytes a parameter, among the parameter's state; a step in which it moves takes 8 bytes more, in the
 * same launch. It
 * begins as the parameter is when an update first sees it, and sees of every step what is then in the parameter, decay and all. Of a step that is left out
 * it sees nothing. Like state it does not become subnormal: it is rounded to a multiple of 2<sup>−102</sup>.
 *
 * <p>EMA: B. T. Polyak and A. B. Juditsky, "Acceleration of Stochastic Approximation by Averaging", SIAM Journal on Control and Optimization 30
 * (1992), with weights that decay, as in Keras ({@code use_ema}) and PyTorch ({@code swa_utils.get_ema_multi_avg_fn}). Lookahead: M. R. Zhang et al.,
 * "Lookahead Optimizer: k steps forward, 1 step back", NeurIPS 2019, arXiv:1907.08610, algorithm 1.
 *
 * @param name of the array among the state; empty where there is none
 * @param pull the part of the way to the parameter that the point goes, 1 − d or α; 0 where there is none
 * @param every after how many steps of the group it goes, at least 1
 * @param back whether the parameter then goes where the point is
 */
public record Average(String name, double pull, long every, boolean back) {

    /** Parameters are used as they are trained. */
    public static final Average NONE = new Average("", 0, 1, false);

    static Average ema(double decay) {
        if (!(decay >= 0 && decay < 1) || (float) (1 - decay) < Float.MIN_NORMAL)
            throw new IllegalArgumentException("decay: expected a number from 0 up and below 1, got " + decay);
        return new Average("average", 1 - decay, 1, false);
    }

    static Average lookahead(long k, double alpha) {
        if (k < 1) throw new IllegalArgumentException("k: expected at least 1 step, got " + k);
        if (!(alpha > 0 && alpha <= 1) || (float) alpha < Float.MIN_NORMAL)
            throw new IllegalArgumentException("alpha: expected a number above 0, at most 1, got " + alpha);
        return new Average("lookahead", alpha, k, true);
    }

    /** Whether there is one. */
    boolean isKept() {
        return this != NONE && pull > 0;
    }

    /** What goes among the scalars of the group's step t, counted from 1: how far the point goes. */
    float pull(long t) {
        return t % every == 0 ? (float) pull : 0;
    }
}
