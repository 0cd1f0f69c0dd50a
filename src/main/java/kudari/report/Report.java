package kudari.report;

import java.io.Closeable;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.AccessDeniedException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.List;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * A folder that holds what a comparison found. While it runs, {@code trajectories.csv} and {@code training.csv} grow line by line; at the
 * end come {@code report.html}, {@code summary.json}, {@code paths.png} and {@code training.png}, each of them whole or not at all.
 *
 * <pre>{@code
 * try (Report report = Report.open(Path.of("comparison"))) {
 *     report.trajectory(new Trajectory("Sgd", "lr 0.95", "CPU", points));
 *     report.loss("Sgd", 1, 2.3f, "CPU");
 *     report.write(comparison);
 * }
 * }</pre>
 */
public final class Report implements Closeable {

    /** What to do where {@link #checkFonts} fails, with the names that Debian and Ubuntu have for it. */
    public static final String FONTS =
            "install fontconfig, a font such as DejaVu, and the libraries libfreetype6 and libharfbuzz0b";

    private static final Logger LOG = LoggerFactory.getLogger(Report.class);

    private final Path folder;
    private final CsvFile trajectories;
    private final CsvFile training;

    private Report(Path folder, CsvFile trajectories, CsvFile training) {
        this.folder = folder;
        this.trajectories = trajectories;
        this.training = training;
    }

    /**
     * Makes the folder if need be, keeps other runs out of it until {@link #close}, and begins both tables anew.
     *
     * @throws IOException if the folder cannot be made or written, or another run is writing to it
     */
    public static Report open(Path folder) throws IOException {
        try {
            Files.createDirectories(folder);
        } catch (IOException e) {
            throw failure("cannot make the folder " + folder, e);
        }
        CsvFile trajectories = new CsvFile(folder.resolve("trajectories.csv"), "rule,step,x,y,f,device");
        try {
            return new Report(
                    folder, trajectories, new CsvFile(folder.resolve("training.csv"), "rule,step,loss,device"));
        } catch (IOException e) {
            trajectories.close();
            throw e;
        }
    }

    /** Adds a path to {@code trajectories.csv}, from step 0. */
    public void trajectory(Comparison.Trajectory trajectory) throws IOException {
        List<Comparison.Point> points = trajectory.points();
        for (int step = 0; step < points.size(); step++) {
            Comparison.Point point = points.get(step);
            trajectories.row(trajectory.rule(), step, point.x(), point.y(), point.f(), trajectory.device());
        }
    }

    /** Adds the loss of one step to {@code training.csv}. */
    public void loss(String rule, int step, float loss, String device) throws IOException {
        training.row(rule, step, loss, device);
    }

    /**
     * Writes the page, the summary and the pictures. On a machine that cannot draw text, for want of fonts, it leaves out the pictures and
     * logs a warning.
     *
     * @throws IOException if a file cannot be written; it and those after it stay as an earlier run left them
     */
    public void write(Comparison comparison) throws IOException {
        replace("summary.json", Json.summary(comparison).getBytes(StandardCharsets.UTF_8)); // small, and so first
        replace("report.html", Page.of(comparison).getBytes(StandardCharsets.UTF_8));
        try {
            replace("paths.png", Pictures.paths(comparison.trajectories()));
            replace("training.png", Pictures.training(comparison.trainings(), comparison.devices()));
        } catch (Pictures.NoFonts e) {
            LOG.warn("no pictures: {}; {}", e.getMessage(), FONTS);
        }
    }

    /**
     * Whether Java can draw text on this machine, which the pictures need.
     *
     * @throws IOException if it cannot, with the reason
     */
    public static void checkFonts() throws IOException {
        Pictures.checkFonts();
    }

    /** Puts the bytes in the place of a file by moving a complete one there; no bytes, no file. */
    private void replace(String name, byte[] bytes) throws IOException {
        Path file = folder.resolve(name), whole = folder.resolve("." + name + ".tmp");
        try {
            if (bytes.length == 0) {
                Files.deleteIfExists(file);
                return;
            }
            try {
                Files.write(whole, bytes);
                Files.move(whole, file, StandardCopyOption.ATOMIC_MOVE);
            } finally {
                Files.deleteIfExists(whole);
            }
        } catch (IOException e) {
            throw failure("cannot write " + file, e);
        }
    }

    /** Lets other runs write to the folder. */
    @Override
    public void close() throws IOException {
        try (trajectories) {
            training.close();
        }
    }

    /** One sentence out of an exception whose message may be no more than the name of a file. */
    static IOException failure(String what, IOException e) {
        String why;
        if (e instanceof AccessDeniedException) why = "permission denied";
        else if (e instanceof NoSuchFileException) why = "no such folder";
        else if (e instanceof FileAlreadyExistsException) why = "there is a file of that name";
        else if (e instanceof FileSystemException f && f.getReason() != null) why = f.getReason();
        else why = String.valueOf(e.getMessage());
        return new IOException(what + ": " + why, e);
    }
}
