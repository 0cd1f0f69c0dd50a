package kudari.report;

import java.io.Closeable;
import java.io.IOException;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import kudari.io.AtomicFile;
import kudari.io.Say;

/**
 * A folder that holds what a comparison found. While it runs, {@code trajectories.csv} and {@code training.csv} grow line by line; at the
 * end come {@code report.html}, {@code summary.json} and, of what was compared, {@code paths.png}, {@code training.png} and {@code precision.png}, each of them whole or not at all.
 *
 * <pre>{@code
 * try (Report report = Report.open(Path.of("comparison"), false)) {
 *     report.trajectory(new Trajectory("Sgd", "lr 0.95", "CPU", points));
 *     report.loss("Sgd", 1, 2.3f, "CPU");
 *     report.write(comparison);
 * }
 * }</pre>
 */
public final class Report implements Closeable {

    private static final Logger LOG = System.getLogger(Report.class.getName());

    private static final String TRAJECTORIES = "rule,step,x,y,f,device", TRAINING = "rule,step,loss,device";

    /** What to do where {@link #checkFonts} fails, with the names that Debian and Ubuntu have for it. */
    public static final String FONTS =
            "install fontconfig, a font such as DejaVu, and the libraries libfreetype6 and libharfbuzz0b";

    private final Path folder;
    private final CsvFile trajectories;
    private final CsvFile training;

    private Report(Path folder, CsvFile trajectories, CsvFile training) {
        this.folder = folder;
        this.trajectories = trajectories;
        this.training = training;
    }

    /** Whether a folder holds tables that a comparison wrote. */
    public static boolean isComparison(Path folder) {
        return CsvFile.isTable(folder.resolve("trajectories.csv"), TRAJECTORIES)
                && CsvFile.isTable(folder.resolve("training.csv"), TRAINING);
    }

    /**
     * Makes the folder if need be, keeps other runs out of it until {@link #close}, and begins both tables.
     *
     * @param overwrite whether those of an earlier comparison are emptied; they are refused else
     * @throws UnsupportedOperationException if the libraries that draw its charts, which are optional dependencies, are not there
     * @throws IOException if the folder cannot be made or written, holds tables that are not to be overwritten, or another run is writing to it
     */
    public static Report open(Path folder, boolean overwrite) throws IOException {
        HtmlReport.checkDependency();
        PngCharts.checkDependency();
        try {
            Files.createDirectories(folder);
        } catch (IOException e) {
            throw Say.failure("cannot make the folder " + folder, e);
        }
        CsvFile trajectories = CsvFile.begin(folder.resolve("trajectories.csv"), TRAJECTORIES, overwrite);
        try {
            CsvFile training = CsvFile.begin(folder.resolve("training.csv"), TRAINING, overwrite);
            return new Report(folder, trajectories, training);
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
     * Writes the page, the summary and the pictures. On a machine that cannot draw text, because it has no fonts, it leaves out the pictures and
     * logs a warning.
     *
     * @throws IOException if a file cannot be written; it and those after it stay as an earlier run left them
     */
    public void write(Comparison comparison) throws IOException {
        replace("summary.json", Json.summary(comparison).getBytes(StandardCharsets.UTF_8)); // small, and so first
        replace("report.html", HtmlReport.of(comparison).getBytes(StandardCharsets.UTF_8));
        try {
            replace("paths.png", PngCharts.paths(comparison));
            replace("training.png", PngCharts.training(comparison));
            replace("precision.png", PngCharts.precision(comparison));
        } catch (PngCharts.NoFonts e) {
            LOG.log(Level.WARNING, "no pictures: " + e.getMessage() + "; " + FONTS);
        }
    }

    /**
     * Whether Java can draw text on this machine, which the pictures need.
     *
     * @throws IOException if it cannot, with the reason
     */
    public static void checkFonts() throws IOException {
        PngCharts.checkFonts();
    }

    /** Replaces a file, whole or not at all; no bytes, no file. */
    private void replace(String name, byte[] bytes) throws IOException {
        Path file = folder.resolve(name);
        if (bytes.length > 0) {
            AtomicFile.write(file, bytes);
            return;
        }
        try {
            Files.deleteIfExists(file);
        } catch (IOException e) {
            throw Say.failure("cannot remove " + file, e);
        }
    }

    /** Lets other runs write to the folder. */
    @Override
    public void close() throws IOException {
        try (trajectories) {
            training.close();
        }
    }
}
