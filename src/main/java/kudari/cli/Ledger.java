package kudari.cli;

import java.io.IOException;
import java.util.ArrayDeque;
import java.util.Locale;
import java.util.OptionalDouble;
import java.util.Queue;
import kudari.LearningRate;
import kudari.report.Journal;

/** What a training writes down: losses come in late and many at a time, and each goes to its own step. */
final class Ledger {

    private final Journal journal;
    private final LearningRate rates;
    private final int batch;
    private final Queue<Float> told = new ArrayDeque<>();

    /** The steps written, and those of them that did not change the network. */
    private long written, skipped;

    private long clock = System.nanoTime(), clockStep;
    private double samplesPerSecond, loss;
    private OptionalDouble accuracy = OptionalDouble.empty();

    /**
     * A ledger that goes on behind so many steps.
     *
     * @param batch samples in a step
     */
    Ledger(Journal journal, LearningRate rates, int batch, long written) {
        this.journal = journal;
        this.rates = rates;
        this.batch = batch;
        this.written = written;
        this.clockStep = written;
    }

    /** Takes the loss of the next step. */
    void tell(double loss) {
        told.add((float) loss);
    }

    boolean isEmpty() {
        return told.isEmpty();
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

    /**
     * Writes all that has been told.
     *
     * @param accuracy after the last of these steps, where it was measured
     * @param skipped the steps left out so far: the schedule waits for them. Where one of these steps is among them, those before it are given
     *     the rate of one step earlier.
     */
    void write(OptionalDouble accuracy, long skipped) throws IOException {
        this.skipped = skipped;
        if (accuracy.isPresent()) this.accuracy = accuracy;
        double sum = 0;
        int count = told.size();
        while (!told.isEmpty()) {
            float one = told.remove();
            sum += one;
            written++;
            double lr = rates.at(Math.max(1, written - skipped));
            journal.step(written, one, told.isEmpty() ? accuracy : OptionalDouble.empty(), lr, samplesPerSecond);
        }
        loss = sum / count;
    }

    /** The mean of the losses last written, the accuracy last measured, the speed. */
    @Override
    public String toString() {
        String measured = accuracy.isPresent()
                ? String.format(Locale.ROOT, "accuracy %.2f %%, ", 100 * accuracy.getAsDouble())
                : "";
        String lost = skipped == 0 ? "" : String.format(Locale.ROOT, ", %,d steps skipped", skipped);
        return String.format(Locale.ROOT, "loss %.4f, %s%,.0f samples/s%s", loss, measured, samplesPerSecond, lost);
    }
}
