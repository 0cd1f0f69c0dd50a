package kudari.nn;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.TreeMap;
import kudari.CudaException;
import kudari.Dtype;
import kudari.Engine;
import kudari.Engines;
import kudari.Guard;
import kudari.Optimizer;
import kudari.Tensor;
import kudari.data.Sampler;
import kudari.nn.Reference.Matrix;
import kudari.rule.Adam;
import kudari.rule.Momentum;
import kudari.softcuda.Control;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

/** A network that trains on a device without leaving it. */
class CudaNetworkTest {

    private static final long SEED = 42;
    private static final int STEPS = 200, BATCH = 16;
    private static final int[] WIDTHS = {12, 10, 8, 4};

    private final Engine engine = Engines.open();

    @AfterEach
    void close() {
        engine.close();
    }

    /** Clouds of points around a centre for each class, near enough to touch. */
    private static Samples clouds(Engine engine) {
        Random random = new Random(SEED);
        int n = 300, inputs = WIDTHS[0], classes = WIDTHS[WIDTHS.length - 1];
        float[] centres = new float[classes * inputs], x = new float[n * inputs];
        int[] labels = new int[n];
        for (int i = 0; i < centres.length; i++) centres[i] = (float) random.nextGaussian();
        for (int i = 0; i < n; i++) {
            labels[i] = i % classes;
            for (int j = 0; j < inputs; j++) {
                x[i * inputs + j] = centres[labels[i] * inputs + j] + (float) random.nextGaussian();
            }
        }
        return new Samples(engine, x, labels);
    }

    /** What is done to the gradient of a step before it is used. */
    private interface Meddling {
        void with(int step, Network net, Samples samples, int[] rows);
    }

    private static List<Double> train(Engine engine, Dtype dtype, Meddling meddling) {
        Network net = new Network(engine, dtype, Init.HE, SEED, WIDTHS);
        Samples samples = clouds(engine);
        Optimizer momentum = engine.optimizer(Momentum.of(0.02));
        Sampler batches = Sampler.epochs(samples.size(), BATCH, SEED);
        List<Double> losses = new ArrayList<>();
        net.onLoss(losses::add);
        for (int step = 0; step < STEPS; step++) {
            int[] rows = batches.next();
            net.gradient(samples, rows, BATCH);
            meddling.with(step, net, samples, rows);
            momentum.update(net.params(), net.grads());
        }
        net.tellLosses();
        return losses;
    }

    /**
     * A device adds up products in another order than the CPU, so a gradient differs, by at most the bound that {@link Reference} carries for
     * every order. How far a run may stray by it is seen by making it so: in eight runs on the CPU every element of every gradient is moved by
     * its whole bound, up or down by chance. The farthest that one of them has strayed by a step, and the rounding of the loss itself, are the
     * tolerance at that step. Of 16 bits another order shows where a sum lies at a tie, which it may take to the next number: so bounds are rarer and larger.
     */
    @ParameterizedTest
    @CsvSource({"F32, 1e-3", "BF16, 5e-2", "F16, 5e-2"})
    void twoHundredStepsFollowTheCpusWithinWhatAnotherOrderOfSummationMayDo(Dtype dtype, double loosest) {
        try (Engine cpu = Engine.cpu(1)) {
            List<Map<String, Matrix>> bounds = new ArrayList<>();
            double[] lossErrors = new double[STEPS];
            List<Double> expected = train(cpu, dtype, (step, net, samples, rows) -> {
                Reference reference = Reference.of(net, WIDTHS);
                float[] x = new float[BATCH * WIDTHS[0]];
                int[] labels = new int[BATCH];
                float[] all = samples.x.get(), classOf = samples.labels.get();
                for (int i = 0; i < BATCH; i++) {
                    System.arraycopy(all, rows[i] * WIDTHS[0], x, i * WIDTHS[0], WIDTHS[0]);
                    labels[i] = (int) classOf[rows[i]];
                }
                reference.gradient(Matrix.exact(x, BATCH, WIDTHS[0]), labels);
                Map<String, Matrix> ofStep = new TreeMap<>();
                for (int l = 0; l < WIDTHS.length - 1; l++) {
                    ofStep.put("W" + (l + 1), reference.dWeights[l]);
                    ofStep.put("b" + (l + 1), reference.dBiases[l]);
                }
                bounds.add(ofStep);
                lossErrors[step] = reference.lossError;
            });
            double[] strayed = new double[STEPS];
            for (int run = 0; run < 8; run++) {
                Random random = new Random(SEED + run);
                List<Double> moved = train(
                        cpu, dtype, (step, net, samples, rows) -> net.grads().forEach((name, grad) -> {
                            Matrix bound = bounds.get(step).get(name);
                            float[] g = grad.get();
                            for (int i = 0; i < g.length; i++) {
                                double by = bound.error()[i / bound.columns()][i % bound.columns()];
                                g[i] += (float) (random.nextBoolean() ? by : -by);
                            }
                            grad.set(g);
                        }));
                double farthest = 0;
                for (int step = 0; step < STEPS; step++) {
                    farthest = Math.max(farthest, Math.abs(moved.get(step) - expected.get(step)));
                    strayed[step] = Math.max(strayed[step], farthest);
                }
            }
            List<Double> actual = train(engine, dtype, (step, net, samples, rows) -> {});
            double first = mean(expected.subList(0, 20)), last = mean(expected.subList(STEPS - 20, STEPS));
            assertTrue(last < first / 2, "it learns: from " + first + " to " + last);
            for (int step = 0; step < STEPS; step++) {
                double tolerance = strayed[step] + 2 * lossErrors[step];
                assertTrue(tolerance < loosest * first, "a tolerance that lets a mistake pass: " + tolerance);
                assertEquals(expected.get(step), actual.get(step), tolerance, "seed " + SEED + ", step " + step);
            }
        }
    }

    private static double mean(List<Double> values) {
        return values.stream().mapToDouble(x -> x).average().orElseThrow();
    }

    @ParameterizedTest
    @EnumSource(names = {"F32", "F16"})
    void aRunGivesTheSameBitsAgain(Dtype dtype) {
        List<Double> once = train(engine, dtype, (step, net, samples, rows) -> {});
        assertEquals(once, train(engine, dtype, (step, net, samples, rows) -> {}));
    }

    /** The GPU in software does nothing before somebody waits: that nothing has run after many steps shows that nobody has. */
    @Test
    void aStepWaitsForNothingAndHearsOfItsLossesAWindowLate() {
        assumeTrue(Control.isThere(), "kudari.device is not soft");
        Control control = new Control();
        Network net = new Network(engine, Init.HE, SEED, WIDTHS);
        Samples samples = clouds(engine);
        Optimizer adam = engine.optimizer(Adam.of()).guard(Guard.clipNorm(1));
        Sampler batches = Sampler.random(samples.size(), BATCH, SEED);
        List<Double> losses = new ArrayList<>();
        net.onLoss(losses::add);
        Runnable step = () -> {
            net.gradient(samples, batches.next(), BATCH);
            adam.update(net.params(), net.grads());
        };
        step.run();
        net.tellLosses();
        control.ask("reset");
        int steps = Losses.WINDOW - 2;
        for (int n = 0; n < steps; n++) step.run();
        Map<String, Long> calls = control.calls();
        calls.remove("cuStreamIsCapturing"); // no work of the device
        assertEquals(
                Map.of(
                        "cuMemcpyHtoDAsync",
                        steps + 1L, // the numbers of each batch; the scalars of 64 steps
                        "cuLaunchKernel",
                        (1L + 3 + 1 + 3 + 2 + 2) * steps, // 3 layers, 2 of them with ReLU; norms, step
                        "cublasGemmEx",
                        (3L + 3 + 2) * steps,
                        "cuMemcpyDtoHAsync",
                        1L, // a look at what was skipped, which nobody waits for
                        "cuEventRecord",
                        2L, // of the scalars, and of the look
                        "cuEventSynchronize",
                        1L), // of the scalars sent two windows before
                calls);
        assertEquals(0, control.launches(), "kernels that have run");
        assertEquals(1, losses.size());

        for (int n = 0; n < 2 * Losses.WINDOW; n++) step.run();
        calls = control.calls();
        assertEquals(null, calls.get("cuStreamSynchronize"));
        assertEquals(
                5L + 4 + 1,
                calls.get("cuEventSynchronize"),
                "of scalars and looks of a window of 64 before, of losses of one of 128 before");
        assertEquals(Losses.WINDOW, losses.size());
        net.tellLosses();
        assertEquals(1 + steps + 2 * Losses.WINDOW, losses.size());
    }

    @ParameterizedTest
    @ValueSource(strings = {"cublasGemmEx:3:13,cublasGemmEx", "cuLaunchKernel:2:1,kernels/nn.cu"})
    void aStepThatFailsSaysWhatFailed(String failureAndName) {
        assumeTrue(Control.isThere(), "kudari.device is not soft");
        Control control = new Control();
        String failure = failureAndName.split(",")[0], name = failureAndName.split(",")[1];
        Network net = new Network(engine, Init.HE, SEED, WIDTHS);
        Samples samples = clouds(engine);
        net.gradient(samples, new int[] {1, 2}, 2);
        float loss = net.loss();
        control.ask("fail " + failure);
        String message = assertThrows(CudaException.class, () -> net.gradient(samples, new int[] {1, 2}, 2))
                .getMessage();
        assertTrue(message.contains(name), message);
        net.gradient(samples, new int[] {1, 2}, 2);
        assertEquals(loss, net.loss());
    }

    /** Eight buffers: four of values, two of their gradients, the labels, the numbers of the rows; of 16 bits one of sums beside them. */
    @ParameterizedTest
    @CsvSource({"F32, 1", "F32, 2", "F32, 3", "F32, 4", "F32, 5", "F32, 6", "F32, 7", "F32, 8", "BF16, 8", "BF16, 9"})
    void aLargerBatchThatFindsNoRoomMayBeTriedAgain(Dtype dtype, int allocation) {
        assumeTrue(Control.isThere(), "kudari.device is not soft");
        Control control = new Control();
        Network net = new Network(engine, dtype, Init.HE, SEED, WIDTHS),
                fresh = new Network(engine, dtype, Init.HE, SEED, WIDTHS);
        Samples samples = clouds(engine);
        int[] rows = {5, 4, 3, 2, 1};
        net.gradient(samples, rows, 1);
        control.ask("reset");
        control.ask("fail cuMemAlloc:" + allocation + ":2");
        String message = assertThrows(CudaException.class, () -> net.gradient(samples, rows, rows.length))
                .getMessage();
        assertTrue(message.contains("cuMemAlloc"), message);
        net.gradient(samples, rows, rows.length);
        fresh.gradient(samples, rows, rows.length);
        assertEquals(fresh.loss(), net.loss());
        assertArrayEquals(fresh.grads().get("W1").get(), net.grads().get("W1").get());
    }

    @Test
    void elementsBeyondTwoToTheThirtyTwoAreEachAThreads() {
        assumeTrue(Control.isThere(), "kudari.device is not soft");
        new Control().ask("fail cuLaunchKernel:1:1"); // whose message says how many blocks there were to be
        Dense dense = Dense.on(engine, Dtype.F32);
        Tensor y = engine.zeros(1);
        String message = assertThrows(CudaException.class, () -> dense.reluGradient((1L << 32) + 1, y, y))
                .getMessage();
        assertTrue(message.contains("reluGradient with 16777217 blocks"), message);
    }

    @Test
    void networksOnTwoDevicesServeOneThread() {
        assumeTrue(Control.isThere(), "only the GPU in software has surely two devices");
        try (Engine other = Engine.cuda(1)) {
            Network here = new Network(engine, Init.HE, SEED, WIDTHS),
                    there = new Network(other, Init.HE, SEED, WIDTHS);
            Samples samples = clouds(engine), theirs = clouds(other);
            int[] rows = {3, 1, 4, 1, 5};
            here.gradient(samples, rows, 5);
            there.gradient(theirs, rows, 5);
            here.gradient(samples, rows, 5);
            assertEquals(here.loss(), there.loss());
            assertEquals(here.evaluate(samples), there.evaluate(theirs));
            assertThrows(IllegalArgumentException.class, () -> here.gradient(theirs, rows, 5));
        }
    }

    /** Of 16 bits, where one order of a sum rounds down and another up, an activation is another by one part in 128 or 1,024, one of hundreds in each sum. */
    @ParameterizedTest
    @CsvSource({"F32, 1e-4", "BF16, 2e-2", "F16, 2e-3"})
    void rowsWiderThanABlockAndMoreClassesThanAWarpAreTheCpusWithinRounding(Dtype dtype, double off) {
        int[] widths = {300, 64, 40};
        try (Engine cpu = Engine.cpu(1)) {
            Random random = new Random(SEED);
            int n = 301;
            float[] x = new float[n * widths[0]];
            int[] labels = new int[n];
            for (int i = 0; i < x.length; i++) x[i] = (float) random.nextGaussian();
            for (int i = 0; i < n; i++) labels[i] = random.nextInt(widths[2]);
            int[] rows = random.ints(n, 0, n).toArray();
            Network here = new Network(engine, dtype, Init.HE, SEED, widths),
                    there = new Network(cpu, dtype, Init.HE, SEED, widths);
            here.gradient(new Samples(engine, x.clone(), labels), rows, n);
            there.gradient(new Samples(cpu, x.clone(), labels), rows, n);
            assertEquals(there.loss(), here.loss(), off / 10);
            for (String name : here.grads().keySet()) {
                float[] expected = there.grads().get(name).get(),
                        actual = here.grads().get(name).get();
                double largest = 0;
                for (float g : expected) largest = Math.max(largest, Math.abs(g));
                for (int i = 0; i < expected.length; i++) assertEquals(expected[i], actual[i], off * largest, name);
            }
        }
    }

    /** Line for line the same, but for exp and log, which differ in the last bits of a double at most: rounded to float, none of these is another. */
    @ParameterizedTest
    @EnumSource(names = {"F32", "BF16", "F16"})
    void theGradientOfTheLogitsIsTheCpusAndOutcomesGoRound(Dtype dtype) {
        int rows = 300, classes = 40, places = 3;
        Random random = new Random(SEED);
        float[] z = new float[rows * classes], labels = new float[rows];
        for (int row = 0; row < rows; row++) labels[row] = random.nextInt(classes);
        try (Engine cpu = Engine.cpu(1)) {
            Tensor outcomes = engine.zeros(places, 2), at = engine.zeros(1);
            Tensor expectedOutcomes = cpu.zeros(places, 2), expectedAt = cpu.zeros(1);
            for (int batch = 1; batch <= 2 * places; batch++) {
                for (int i = 0; i < z.length; i++) z[i] = (float) (4 * random.nextGaussian());
                Tensor expected = cpu.tensor(z, dtype), actual = engine.tensor(z, dtype);
                crossEntropy(cpu, dtype, rows, classes, expected, labels, expectedOutcomes, expectedAt);
                crossEntropy(engine, dtype, rows, classes, actual, labels, outcomes, at);
                assertArrayEquals(expected.get(), actual.get());
                assertEquals(batch % places, at.get()[0]);
                assertEquals(at.get()[0], expectedAt.get()[0]);
                float[] loss = expectedOutcomes.get(), found = outcomes.get();
                for (int n = 0; n < 2 * places; n++) assertEquals(loss[n], found[n], 1e-6 * loss[n], "number " + n);
            }
        }
    }

    private static void crossEntropy(
            Engine on, Dtype dtype, int rows, int classes, Tensor z, float[] labels, Tensor outcomes, Tensor at) {
        Tensor scale = on.tensor(new float[] {1024});
        Dense.on(on, dtype).crossEntropy(rows, classes, z, on.tensor(labels), scale, outcomes, at);
    }

    @Test
    void aReadingShowsWhatWasThereWhenItWasAskedFor() {
        Tensor tensor = engine.tensor(new float[] {1, 2});
        var read = tensor.asyncRead();
        assertThrows(IllegalStateException.class, read::get);
        read.start();
        tensor.set(3, 4);
        float[] values = {5, 6};
        tensor.set(values);
        Arrays.fill(values, 7); // the tensor has a copy, however late it is written
        assertArrayEquals(new float[] {1, 2}, read.get());
        assertArrayEquals(new float[] {1, 2}, read.get());
        read.start();
        assertArrayEquals(new float[] {5, 6}, read.get());
        for (float[] few : new float[][] {{}, {7}}) {
            var readOfFew = engine.tensor(few).asyncRead();
            readOfFew.start();
            assertArrayEquals(few, readOfFew.get());
        }
    }
}
