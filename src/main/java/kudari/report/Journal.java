package kudari.report;

import java.io.Closeable;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.OptionalDouble;
import java.util.function.Predicate;
import kudari.io.Say;

/**
 * A folder that a training writes to as it goes: {@code train.csv}, a line for each step, and the same curves as an {@link EventFile event
 * file} for TensorBoard.
 */
public final class Journal implements Closeable {

    private final CsvFile csv;
    private final EventFile events;

    private Journal(CsvFile csv, EventFile events) {
        this.csv = csv;
        this.events = events;
    }

    /**
     * Makes the folder if need be and keeps other runs out of it until {@link #close}.
     *
     * @param from the number of steps done before; the lines of an earlier run stay up to there, and go behind it
     * @throws IOException if the folder cannot be made or written, or another run is writing to it
     */
    public static Journal open(Path folder, long from) throws IOException {
        try {
            Files.createDirectories(folder);
        } catch (IOException e) {
            throw Say.failure("cannot make the folder " + folder, e);
        }
        Predicate<String> before = line -> line.matches("\\d{1,18},.*") && step(line) <= from;
        CsvFile csv = new CsvFile(folder.resolve("train.csv"), "step,loss,accuracy,lr,samples_per_second", before);
        try {
            return new Journal(csv, EventFile.create(folder, from));
        } catch (IOException e) {
            csv.close();
            throw e;
        }
    }

    private static long step(String line) {
        return Long.parseLong(line.substring(0, line.indexOf(',')));
    }

    /**
     * Adds a step.
     *
     * @param step counted from 1
     * @param loss the mean over its batch, before the step
     * @param accuracy on the samples held out, after the step, 0 to 1, where it was measured
     * @param lr the learning rate of the step
     * @param samplesPerSecond at which the steps around it went
     */
    public void step(long step, float loss, OptionalDouble accuracy, double lr, double samplesPerSecond)
            throws IOException {
        csv.row(step, loss, accuracy.isPresent() ? accuracy.getAsDouble() : "", lr, Math.round(samplesPerSecond));
        events.scalar("loss", step, loss);
        if (accuracy.isPresent()) events.scalar("accuracy", step, (float) accuracy.getAsDouble());
        events.scalar("lr", step, (float) lr);
        events.scalar("samples_per_second", step, (float) samplesPerSecond);
    }

    /** Lets other runs write to the folder. */
    @Override
    public void close() throws IOException {
        try (csv) {
            events.close();
        }
    }
}
