package kudari.cli;

import java.io.IOException;
import java.util.ArrayDeque;
import java.util.Locale;
import java.util.OptionalDouble;
import java.util.Queue;
import kudari.LearningRate;
import kudari.report.RunWriter;

/** What a training writes down: losses come in late and many at a time, and each goes to its own step. */
final class MetricsLog {

    private final RunWriter writer;
    private final LearningRate rates;
    private final int batch;
    private final Queue<Float> told = new ArrayDeque<>();

    /** The steps written; those counted, and those of them that were skipped and did not change the network. */
    private long written, counted, skipped;

    /** The last step whose loss was finite, and the last count that found a step that was not skipped. */
    private long finite, moved;

    private long clock = System.nanoTime(), clockStep;
    private double samplesPerSecond, loss;
    private OptionalDouble accuracy = OptionalDouble.empty();

    /**
     * A log that continues after {@code written} steps.
     *
     * @param batch samples in a step
     * @param skipped how many of the steps before were skipped
     */
    MetricsLog(RunWriter writer, LearningRate rates, int batch, long written, long skipped) {
        this.writer = writer;
        this.rates = rates;
        this.batch = batch;
        this.written = written;
        this.counted = written;
        this.finite = written;
        this.moved = written;
        this.skipped = skipped;
        this.clockStep = written;
    }

    /** Takes the loss of the next step. */
    void tell(double loss) {
        told.add((float) loss);
    }

    boolean isEmpty() {
        return told.isEmpty();
    }

    /** Takes how many of the steps up to this one were skipped, over all of the run. */
    void count(long step, long skipped) {
        if (skipped - this.skipped < step - counted) moved = step;
        this.skipped = skipped;
        counted = step;
    }

    long skipped() {
        return skipped;
    }

    /** Time counts from here, for the steps after this one. */
    void startClock(long step) {
        clock = System.nanoTime();
        clockStep = step;
    }

    /** Time counts up to here: what is not a step, such as judging and saving, comes after. */
    void stopClock(long step) {
        samplesPerSecond = (step - clockStep) * batch / ((System.nanoTime() - clock) / 1e9);
    }

    /** Takes the speed from who has measured it, in samples per second. */
    void pace(double samplesPerSecond) {
        this.samplesPerSecond = samplesPerSecond;
    }

    /**
     * Writes all that has been told. The schedule waits for the steps that are skipped: where one of these is among them, those before it are
     * given the rate of one step earlier.
     *
     * @param accuracy after the last of these steps, where it was measured
     */
    void write(OptionalDouble accuracy) throws IOException {
        if (accuracy.isPresent()) this.accuracy = accuracy;
        double sum = 0;
        int count = told.size();
        while (!told.isEmpty()) {
            float one = told.remove();
            sum += one;
            written++;
            if (Float.isFinite(one)) finite = written;
            double lr = rates.at(Math.max(1, written - skipped));
            writer.step(written, one, told.isEmpty() ? accuracy : OptionalDouble.empty(), lr, samplesPerSecond);
        }
        loss = sum / count;
    }

    /** So many steps, up to the last, had no finite loss, or were skipped without exception: the run may have diverged. */
    long lost() {
        return Math.max(written - finite, counted - moved);
    }

    /** What was the matter with those steps, as in {@code the loss has not been finite since step 12}. */
    String complaint() {
        return written - finite >= counted - moved
                ? "the loss has not been finite since step " + (finite + 1)
                : "the norm of the gradients has not been finite, and every step was skipped, since step "
                        + (moved + 1);
    }

    /** The mean of the losses last written, the accuracy last measured, the steps skipped, the speed. */
    @Override
    public String toString() {
        String measured = accuracy.isPresent()
                ? String.format(Locale.ROOT, "accuracy %.2f %%, ", 100 * accuracy.getAsDouble())
                : "";
        String lost = skipped == 0 ? "" : String.format(Locale.ROOT, "%,d skipped, ", skipped);
        return String.format(Locale.ROOT, "loss %.4f, %s%s%,.0f samples/s", loss, measured, lost, samplesPerSecond);
    }
}
