package kudari;

import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Lowers the learning rate when a loss no longer falls. That is no function of the step, so it is no {@link LearningRate}, but what one is
 * multiplied by: 1 at first, and less each time the loss has stood still for too long.
 *
 * <pre>{@code
 * Plateau plateau = new Plateau(0.1, 10);
 * for (int epoch = 0; epoch < 100; epoch++) {
 *   ...
 *   adam.schedule(rate.times(plateau.after(lossOnHeldOutData)).of(Adam.of()));
 * }
 * }</pre>
 *
 * <p>PyTorch's {@code ReduceLROnPlateau}. A loss is better than the best so far if it is below
 *
 * <pre>  best − relative·|best| − absolute</pre>
 *
 * and every loss that is not, NaN among them, is a bad one; after more than {@code patience} bad ones in a row the scale is multiplied by the
 * factor. What is to rise, an accuracy, is given as its negative. PyTorch's {@code threshold_mode='abs'} is a relative threshold of 0; its {@code
 * min_lr} is the learning rate times {@link #least}; its {@code eps}, below which it leaves a rate as it is, is 0 here. For a loss below 0 its
 * relative threshold has the other sign, and takes a slightly worse loss for a better one.
 *
 * <p>A run that is to go on later with the same rates saves {@link #state} among the facts of its checkpoint, gives it to {@link #resume}, and
 * begins with {@code rate.times(plateau.scale())}.
 */
public final class Plateau {

    /** As {@link #state} writes it. */
    private static final Pattern STATE = Pattern.compile("scale=(\\S+) best=(\\S+) bad=(\\d{1,9}) cooling=(\\d{1,9})");

    private final double factor;
    private final int patience;
    private double relative = 1e-4, absolute = 0, least = 0;
    private int cooldown = 0;

    private double scale = 1, best = Double.POSITIVE_INFINITY;
    private int bad = 0, cooling = 0;

    /**
     * With the other settings at PyTorch's defaults: a relative threshold of 1e-4, no cooldown, no least scale. Its factor and patience are 0.1
     * and 10.
     *
     * @param factor what the scale is multiplied by, above 0 and below 1
     * @param patience how many bad losses in a row are put up with, from 0 up
     */
    public Plateau(double factor, int patience) {
        check(factor > 0 && factor < 1, "factor", "a number above 0 and below 1", factor);
        check(patience >= 0, "patience", "a number from 0 up", patience);
        this.factor = factor;
        this.patience = patience;
    }

    /**
     * What a loss must fall by to be better than the best.
     *
     * @param relative a part of the best loss, from 0 up and below 1
     * @param absolute a finite number from 0 up, in units of loss
     * @return this plateau
     */
    public Plateau threshold(double relative, double absolute) {
        check(relative >= 0 && relative < 1, "relative", "a number from 0 up and below 1", relative);
        check(absolute >= 0 && absolute < Double.POSITIVE_INFINITY, "absolute", "a finite number from 0 up", absolute);
        this.relative = relative;
        this.absolute = absolute;
        return this;
    }

    /**
     * For how many losses after each time the scale was lowered no loss counts as bad.
     *
     * @param losses from 0 up
     * @return this plateau
     */
    public Plateau cooldown(int losses) {
        check(losses >= 0, "losses", "a number from 0 up", losses);
        cooldown = losses;
        return this;
    }

    /**
     * Below which the scale is never lowered.
     *
     * @param scale from 0 to 1
     * @return this plateau
     */
    public Plateau least(double scale) {
        check(scale >= 0 && scale <= 1, "scale", "a number from 0 to 1", scale);
        least = scale;
        return this;
    }

    /**
     * Takes one more loss: of an epoch, say, on held-out data.
     *
     * @return the scale from now on
     */
    public double after(double loss) {
        if (loss < best - (Double.isInfinite(best) ? 0 : relative * Math.abs(best) + absolute)) {
            best = loss;
            bad = 0;
        } else {
            bad++;
        }
        if (cooling > 0) {
            cooling--;
            bad = 0;
        }
        if (bad > patience) {
            scale = Math.max(scale * factor, Math.min(scale, least));
            cooling = cooldown;
            bad = 0;
        }
        return scale;
    }

    /** What learning rates are to be multiplied by: 1 at first. */
    public double scale() {
        return scale;
    }

    /** All that the losses so far have left behind, in a line, for a checkpoint; the settings are not in it. */
    public String state() {
        return "scale=" + scale + " best=" + best + " bad=" + bad + " cooling=" + cooling;
    }

    /**
     * Goes on where another stood.
     *
     * @param state from {@link #state}
     */
    public void resume(String state) {
        Matcher parts = STATE.matcher(state);
        check(parts.matches(), "state", "'scale=… best=… bad=… cooling=…', as state() gives it", "'" + state + "'");
        try {
            double scale = Double.parseDouble(parts.group(1)), best = Double.parseDouble(parts.group(2));
            check(scale >= 0 && scale <= 1, "scale", "a number from 0 to 1", scale);
            this.scale = scale;
            this.best = best;
        } catch (NumberFormatException e) {
            throw new IllegalArgumentException("state: expected numbers, got '" + state + "'", e);
        }
        bad = Integer.parseInt(parts.group(3));
        cooling = Integer.parseInt(parts.group(4));
    }

    private static void check(boolean holds, String name, String expected, Object actual) {
        if (!holds) throw new IllegalArgumentException(name + ": expected " + expected + ", got " + actual);
    }
}
