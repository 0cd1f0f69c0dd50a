package kudari.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.function.LongSupplier;
import kudari.Dtype;
import kudari.Engine;
import kudari.Optimizer;
import kudari.data.Dataset;
import kudari.data.Digits;
import kudari.report.Comparison.BatchingRun;
import kudari.report.Comparison.DataPoint;
import kudari.report.Comparison.Training;
import kudari.report.Report;
import kudari.rule.Adam;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** That each experiment shows what it says it shows. */
class ExperimentsTest {

    private static final long SEED = 1;

    @TempDir
    private Path folder;

    /** Held out are the training images themselves under labels that are all wrong: whoever judges on the training set would see it. */
    @Test
    void accuracyIsThatOfTheHeldOutSamples() throws IOException {
        Dataset train = Digits.train(300, SEED);
        byte[] pixels = new byte[300 * train.features()], wrong = new byte[300];
        float[] x = new float[train.features()];
        for (int i = 0; i < 300; i++) {
            train.gather(new int[] {i}, 1, x, new int[1]);
            for (int j = 0; j < x.length; j++) pixels[i * x.length + j] = (byte) Math.round(255 * x[j]);
            wrong[i] = (byte) ((train.label(i) + 1) % 10);
        }
        Dataset test = new Dataset(28, 28, 10, pixels, wrong);
        try (Engine engine = Engine.cpu(1);
                Report report = Report.open(folder, false);
                Progress progress = new Progress("", 1, 0);
                Interruption interruption = new Interruption()) {
            Experiments.Data data = Experiments.Data.of(engine, train, test, SEED);
            int[] hidden = {50};
            Training training = Experiments.train(
                    "Adam",
                    engine.optimizer(Adam.of()),
                    data,
                    Dtype.F32,
                    hidden,
                    50,
                    300,
                    report,
                    progress,
                    System::nanoTime,
                    interruption);
            assertTrue(training.finalLoss() < 0.2, "learned: " + training.finalLoss());
            assertTrue(training.finalAccuracy() < 0.1, "and is wrong: " + training.finalAccuracy());
            assertEquals(300, training.losses().size());
            List<DataPoint> points = training.accuracies();
            assertEquals(300, points.get(points.size() - 1).at());
        }
    }

    /** By a clock that goes on only in updates: slowly in the first ones, as if Java were warming up, and in whatever came after the run. */
    @Test
    void theTimesAreThoseOfTheTrainingsOwnSteps() throws IOException {
        Dataset digits = Digits.train(60, SEED);
        try (Engine engine = Engine.cpu(1);
                Report report = Report.open(folder, false);
                Progress progress = new Progress("", 1, 0);
                Interruption interruption = new Interruption()) {
            Experiments.Data data = Experiments.Data.of(engine, digits, digits, SEED);
            Optimizer adam = engine.optimizer(Adam.of());
            LongSupplier clock = () -> {
                long done = adam.steps(), first = Math.min(done, 50), after = Math.max(0, done - 200);
                return 1_000_000 * first + 7_000 * (done - first - after) + 99_000_000 * after;
            };
            int[] hidden = {5};
            Training training = Experiments.train(
                    "Adam", adam, data, Dtype.F32, hidden, 10, 200, report, progress, clock, interruption);
            assertEquals(200, adam.steps(), "steps are the training's and nothing else");
            assertEquals(7, training.microsPerUpdate());
            assertEquals(7, training.microsPerStep());
            assertEquals(50 * 1e-3 + 150 * 7e-6, training.seconds(), 1e-12);
        }
    }

    @Test
    void theMedianIsTheMiddle() {
        assertEquals(3, Experiments.median(List.of(100.0, 1.0, 3.0)));
        assertEquals(2.5, Experiments.median(List.of(4.0, 1.0, 100.0, 1.0)));
        assertEquals(Double.NaN, Experiments.median(List.of()));
    }

    @Test
    void theThreeWaysDescendFromOnePlaceAndSeeAsManySamples() {
        try (Engine engine = Engine.cpu(1)) {
            Dataset digits = Digits.train(400, SEED);
            Experiments.Data data = Experiments.Data.of(engine, digits, digits, SEED);
            List<BatchingRun> ways;
            try (Interruption interruption = new Interruption()) {
                ways = Experiments.batchingRuns(data, 6000, interruption);
            }
            assertEquals(
                    List.of("full batch", "single samples", "mini-batches"),
                    ways.stream().map(BatchingRun::name).toList());
            int[] batches = {200, 1, 32}; // 6,000 samples are 30 times the 200 that all three descend on
            for (int n = 0; n < 3; n++) {
                int batch = batches[n];
                List<DataPoint> points = ways.get(n).losses();
                assertEquals(new DataPoint(0, ways.get(0).losses().get(0).value()), points.get(0));
                assertTrue(
                        points.stream().allMatch(point -> point.at() % batch == 0 && point.at() <= 6000),
                        ways.get(n).name());
                assertTrue(
                        points.get(points.size() - 1).value() < points.get(0).value(),
                        ways.get(n).name() + " descends");
            }
            assertEquals(batches[1], ways.get(1).losses().get(1).at());
            assertEquals(batches[0], ways.get(0).losses().get(1).at());
            assertEquals(batches[2], ways.get(2).losses().get(1).at());
        }
    }
}
