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
public final class RunWriter implements Closeable {

    /** The name of the table. */
    public static final String TABLE = "train.csv";

    private static final String HEADER = "step,loss,accuracy,lr,samples_per_second";

    private final CsvFile csv;
    private final EventFile events;

    private RunWriter(CsvFile csv, EventFile events) {
        this.csv = csv;
        this.events = events;
    }

    /** Whether a folder holds a table written by some training run, this one or another. */
    public static boolean isRun(Path folder) {
        return CsvFile.isTable(folder.resolve(TABLE), HEADER);
    }

    /** Whether a folder is that of a run. */
    public static boolean isOf(Path folder, String run) throws IOException {
        return Files.isDirectory(folder) && EventFile.isOf(folder, run);
    }

    /** Whether a folder holds event files, of whichever run. */
    public static boolean hasEvents(Path folder) throws IOException {
        return Files.isDirectory(folder) && EventFile.areIn(folder);
    }

    /**
     * Makes the folder if need be and keeps other runs out of it until {@link #close}.
     *
     * @param run the name of the run, twelve hexadecimal digits: what the folder holds of the same run is gone on with
     * @param from the number of steps done before; the lines of the same run stay up to there, and new ones go behind them
     * @param overwrite whether what the folder holds of another run is removed
     * @throws IOException if the folder cannot be made or written, holds another run's table that is not to be overwritten, or another run is
     *     writing to it
     */
    public static RunWriter open(Path folder, String run, long from, boolean overwrite) throws IOException {
        try {
            Files.createDirectories(folder);
        } catch (IOException e) {
            throw Say.failure("cannot make the folder " + folder, e);
        }
        Path table = folder.resolve(TABLE);
        return isOf(folder, run)
                ? open(folder, CsvFile.resume(table, HEADER, upTo(from)), run, from, overwrite)
                : open(folder, CsvFile.begin(table, HEADER, overwrite), run, from, overwrite);
    }

    /**
     * Goes on with the table of a folder, which the caller knows to be the run's, whatever event files are there.
     *
     * @throws IOException if the folder cannot be written, holds another table, or another run is writing to it
     */
    public static RunWriter resume(Path folder, String run, long from) throws IOException {
        return open(folder, CsvFile.resume(folder.resolve(TABLE), HEADER, upTo(from)), run, from, false);
    }

    private static RunWriter open(Path folder, CsvFile csv, String run, long from, boolean overwrite)
            throws IOException {
        try {
            if (overwrite) EventFile.removeOthers(folder, run);
            return new RunWriter(csv, EventFile.create(folder, run, from));
        } catch (IOException e) {
            csv.close();
            throw e;
        }
    }

    private static Predicate<String> upTo(long last) {
        return line -> line.matches("\\d{1,18},.*") && step(line) <= last;
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
