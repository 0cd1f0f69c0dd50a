package kudari.cli;

import static org.junit.jupiter.api.Assertions.assertDoesNotThrow;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.function.LongSupplier;
import kudari.CudaEngine;
import kudari.Dtype;
import kudari.Engine;
import kudari.Engines;
import kudari.Optimizer;
import kudari.data.Dataset;
import kudari.data.Digits;
import kudari.report.Report;
import kudari.rule.Adam;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** The command {@code compare} on a device, and on the CPU beside it. */
class CudaCompareTest {

    @TempDir
    private Path folder;

    @Test
    void theDeviceWalksTheSamePathsBitForBitAndStartsFromTheSameLoss() throws IOException {
        String device;
        try (Engine engine = Engines.open()) {
            device = Experiments.nameOf(engine);
        }
        StringWriter out = new StringWriter(), err = new StringWriter();
        int status = Main.run(
                new PrintWriter(out, true),
                new PrintWriter(err, true),
                "compare",
                "--quick",
                "--device=cpu," + device,
                "--data=digits:60,20",
                "--batch=8",
                "--steps=5",
                "--rules=sgd,adam",
                "--out=" + folder);
        assertEquals(0, status, err::toString);

        List<String> paths = Files.readAllLines(folder.resolve("trajectories.csv"));
        assertEquals(1 + 2 * 2 * 31, paths.size());
        assertEquals(of(paths, "CPU"), of(paths, device));
        List<String> losses = Files.readAllLines(folder.resolve("training.csv"));
        List<String> here = of(losses, "CPU"), there = of(losses, device);
        assertEquals(2 * 5, here.size());
        assertEquals(2 * 5, there.size());
        for (int n = 0; n < here.size(); n++) {
            // Before any step only the order of summation differs; after a few, what has come of it.
            double tolerance = n % 5 == 0 ? 1e-5 : 1e-3;
            assertEquals(loss(here.get(n)), loss(there.get(n)), tolerance * loss(here.get(n)), there.get(n));
        }
        String summary = Files.readString(folder.resolve("summary.json"));
        assertTrue(
                summary.contains("\"device\": \"CPU\"") && summary.contains("\"device\": \"" + device + "\""), summary);
        assertTrue(out.toString().contains(device), out::toString);
    }

    /** Each precision from the same weights, rounded, on the same batch: before a step, the losses differ by the order of sums alone. */
    @Test
    void theDeviceComparesPrecisionsFromTheSameLoss() throws IOException {
        String device;
        try (Engine engine = Engines.open()) {
            device = Experiments.nameOf(engine);
        }
        List<List<String>> tables = new ArrayList<>();
        for (String each : List.of("cpu", device)) {
            Path out = folder.resolve(each.replace(':', '-'));
            StringWriter err = new StringWriter();
            int status = Main.run(
                    new PrintWriter(new StringWriter()),
                    new PrintWriter(err, true),
                    "compare",
                    "--precision",
                    "--device=" + each,
                    "--data=digits:60,20",
                    "--batch=8",
                    "--steps=2",
                    "--seeds=2",
                    "--out=" + out);
            assertEquals(0, status, err::toString);
            tables.add(Files.readAllLines(out.resolve("training.csv")));
        }
        List<String> here = tables.get(0), there = tables.get(1);
        assertEquals(1 + 5 * 2 * 2, here.size());
        assertEquals(here.size(), there.size());
        for (int n = 1; n < here.size(); n += 2) {
            // A sum that is rounded to bfloat16 the other way is a 256th away, one among many.
            double tolerance = here.get(n).startsWith("fp32") ? 1e-5 : 2e-3;
            assertEquals(loss(here.get(n)), loss(there.get(n)), tolerance * loss(here.get(n)), there.get(n));
        }
    }

    /** Whether an experiment ends, or the process is asked to end in the middle of it. */
    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void anExperimentLeavesNothingOnTheDevice(boolean stops) throws IOException {
        Dataset digits = Digits.train(60, 1);
        try (CudaEngine engine = (CudaEngine) Engines.open();
                Report report = Report.open(folder, false);
                Progress progress = new Progress("", 1, 0);
                Interruption interruption = new Interruption()) {
            engine.cublas(); // whose workspace stays with the engine
            Experiments.Data data = Experiments.Data.of(engine, digits, digits, 1);
            long before = engine.allocated();
            long[] reads = {0};
            LongSupplier clock = () -> {
                if (stops && ++reads[0] == 8) throw new Interruption.Stopped();
                return 0;
            };
            int[] hidden = {5};
            try (Optimizer adam = engine.optimizer(Adam.of())) {
                Executable train = () -> Experiments.train(
                        "Adam", adam, data, Dtype.F32, hidden, 10, 40, report, progress, clock, interruption);
                if (stops) assertThrows(Interruption.Stopped.class, train);
                else assertDoesNotThrow(train);
                assertTrue(adam.steps() > (stops ? 0 : 39), "steps by a graph: " + adam.steps());
            }
            assertEquals(before, engine.allocated());
            Experiments.batchingRuns(data, 120, interruption);
            assertEquals(before, engine.allocated());
        }
    }

    /** The lines of one device, without it. */
    private static List<String> of(List<String> lines, String device) {
        List<String> of = new ArrayList<>();
        for (String line : lines) {
            if (line.endsWith("," + device)) of.add(line.substring(0, line.length() - device.length()));
        }
        return of;
    }

    private static double loss(String line) {
        return Double.parseDouble(line.split(",")[2]);
    }
}
