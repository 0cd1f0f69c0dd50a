package kudari.nn;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import kudari.Allocations;
import kudari.Dtype;
import kudari.Engine;
import kudari.Engines;
import kudari.Optimizer;
import kudari.Tensor;
import kudari.nn.Reference.Matrix;
import kudari.rule.AdaGrad;
import kudari.rule.Adam;
import kudari.rule.Momentum;
import kudari.rule.Nesterov;
import kudari.rule.RmsProp;
import kudari.rule.Rule;
import kudari.rule.Sgd;
import org.bytedeco.openblas.global.openblas_nolapack;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

class NetworkTest {

    private final Engine engine = Engines.open();

    @AfterEach
    void close() {
        engine.close();
    }

    @ParameterizedTest
    @EnumSource(names = {"F32", "BF16", "F16"})
    void aNetworkOfTwoLayersGivesTheGradientWorkedByHand(Dtype dtype) {
        Network net = new Network(engine, dtype, Init.HE, 0, 2, 2, 2);
        // x·W1 = (3, −3), so h = (3, 0); h·W2 + b2 = (3, 6) + (3, 0) = (6, 6): both classes at 1/2.
        net.params().get("W1").set(1, -1, 1, -1);
        net.params().get("W2").set(1, 2, 2, 5);
        net.params().get("b2").set(3, 0);
        gradient(net, new float[] {1, 2}, new int[] {0});

        assertEquals((float) Math.log(2), net.loss());
        // d = (1/2 − 1, 1/2); dW2 = hᵀ·d; d·W2ᵀ = (1/2, 3/2), of which ReLU lets through (1/2, 0); dW1 = xᵀ·(1/2, 0).
        assertArrayEquals(new float[] {-0.5f, 0.5f}, net.grads().get("b2").get());
        assertArrayEquals(new float[] {-1.5f, 1.5f, 0, 0}, net.grads().get("W2").get());
        assertArrayEquals(new float[] {0.5f, 0}, net.grads().get("b1").get());
        assertArrayEquals(new float[] {0.5f, 0, 1, 0}, net.grads().get("W1").get());
    }

    @Test
    void theGradientIsTheMeanOverTheBatch() {
        Network net = new Network(engine, Init.HE, 0, 1, 2);
        net.params().get("W1").set(0, 0);
        // Both classes at 1/2 for every example: d = (∓1/2, ±1/2) / 4 by label, once for label 0 and three times for
        // label 1.
        Samples samples = new Samples(engine, new float[] {1, 2, 3, 4}, new int[] {0, 1, 1, 1});
        net.gradient(samples, rows(4), 4);
        assertEquals(0.25, net.evaluate(samples).accuracy(), "of equal logits the first counts as the largest");
        assertArrayEquals(new float[] {0.25f, -0.25f}, net.grads().get("b1").get());
        assertArrayEquals(new float[] {1, -1}, net.grads().get("W1").get()); // (−1 + 2 + 3 + 4) / 8
    }

    @ParameterizedTest(name = "seed {0}")
    @ValueSource(longs = {1, 2, 3})
    void theReferenceAgreesWithFiniteDifferencesOfItsOwnLoss(long seed) {
        int[] widths = {5, 7, 6, 4};
        Network net = new Network(engine, Init.HE, seed, widths);
        shakeBiases(net, seed);
        Batch batch = new Batch(seed, 9, widths);
        Reference reference = Reference.of(net, widths);
        reference.gradient(batch.matrix(), batch.labels);
        for (int l = 0; l < widths.length - 1; l++) {
            checkDifferences(reference, batch, reference.weights[l], reference.dWeights[l], seed);
            checkDifferences(reference, batch, reference.biases[l], reference.dBiases[l], seed);
        }
    }

    /**
     * (f(w + h) − f(w − h)) / 2h is off by h²/6 times the third derivative, and by rounding. In one parameter the logits are straight lines;
     * the third derivative of softmax cross-entropy along them is at most 0.1 times the cube of the range of their slopes, which is below 10
     * here. With h = 1e-5 that makes 2e-9, and rounding of a loss to some 1e-14 another 1e-9. A kink of ReLU within h would be a gross
     * error.
     */
    private static void checkDifferences(Reference reference, Batch batch, Matrix param, Matrix gradient, long seed) {
        double h = 1e-5;
        Matrix[] dWeights = reference.dWeights.clone(), dBiases = reference.dBiases.clone();
        for (int i = 0; i < param.rows(); i++) {
            for (int j = 0; j < param.columns(); j++) {
                double w = param.value()[i][j];
                param.value()[i][j] = w + h;
                reference.gradient(batch.matrix(), batch.labels);
                double above = reference.loss;
                param.value()[i][j] = w - h;
                reference.gradient(batch.matrix(), batch.labels);
                double below = reference.loss;
                param.value()[i][j] = w;
                assertEquals((above - below) / (2 * h), gradient.value()[i][j], 5e-9, "seed " + seed);
            }
        }
        System.arraycopy(dWeights, 0, reference.dWeights, 0, dWeights.length);
        System.arraycopy(dBiases, 0, reference.dBiases, 0, dBiases.length);
    }

    @ParameterizedTest(name = "seed {0}")
    @ValueSource(longs = {1, 2, 3, 4})
    void theGradientIsWithinRoundingOfTheReference(long seed) {
        int[] widths = {20, 15, 12, 5};
        Network net = new Network(engine, Init.HE, seed, widths);
        shakeBiases(net, seed);
        Batch batch = new Batch(seed, 11, widths);
        net.gradient(batch.on(engine), batch.rows(), batch.labels.length);
        Reference reference = Reference.of(net, widths);
        reference.gradient(batch.matrix(), batch.labels);

        assertEquals(reference.loss, net.loss(), reference.lossError, "seed " + seed);
        for (int l = 0; l < widths.length - 1; l++) {
            checkBound(reference.dWeights[l], net.grads().get("W" + (l + 1)), seed);
            checkBound(reference.dBiases[l], net.grads().get("b" + (l + 1)), seed);
        }
    }

    private static void checkBound(Matrix expected, Tensor gradient, long seed) {
        float[] actual = gradient.get();
        double largest = 0, loosest = 0;
        for (int i = 0; i < actual.length; i++) {
            double value = expected.value()[i / expected.columns()][i % expected.columns()];
            double bound = expected.error()[i / expected.columns()][i % expected.columns()];
            assertEquals(value, actual[i], bound, "seed " + seed + ", " + gradient + ", element " + i);
            largest = Math.max(largest, Math.abs(value));
            loosest = Math.max(loosest, bound);
        }
        // A bound that lets a real mistake pass proves nothing.
        assertTrue(loosest < 1e-3 * largest, "seed " + seed + ": bound " + loosest + " for gradients up to " + largest);
    }

    @Test
    void largeLogitsDoNotOverflow() {
        Network net = new Network(engine, Init.HE, 0, 1, 2);
        net.params().get("W1").set(0, 0);
        net.params().get("b1").set(1000, 0);
        gradient(net, new float[1], new int[] {0});
        assertEquals(0, net.loss());
        assertArrayEquals(new float[] {0, 0}, net.grads().get("b1").get());
        gradient(net, new float[1], new int[] {1});
        assertEquals(1000, net.loss());
        assertArrayEquals(new float[] {1, -1}, net.grads().get("b1").get());
    }

    @ParameterizedTest
    @ValueSource(floats = {Float.NaN, Float.POSITIVE_INFINITY, Float.NEGATIVE_INFINITY})
    void aNumberThatIsNotFiniteShowsInTheLossAndLeavesNothingBehind(float bad) {
        Network net = new Network(engine, Init.HE, 5, 8, 6, 6, 3);
        Batch batch = new Batch(5, 10, 8, 3);
        net.gradient(batch.on(engine), batch.rows(), batch.labels.length);
        float loss = net.loss();
        float[] gradient = net.grads().get("W1").get();

        Batch poisoned = new Batch(5, 10, 8, 3);
        poisoned.x[3] = bad;
        poisoned.labels[0] = 0; // what a search for the largest finds when nothing is larger than anything
        net.gradient(poisoned.on(engine), poisoned.rows(), poisoned.labels.length);
        assertTrue(Float.isNaN(net.loss()), "loss " + net.loss());
        Score score = net.evaluate(poisoned.head(1).on(engine));
        assertTrue(Double.isNaN(score.loss()));
        assertEquals(0, score.accuracy());

        net.gradient(batch.on(engine), batch.rows(), batch.labels.length);
        assertEquals(loss, net.loss());
        assertArrayEquals(gradient, net.grads().get("W1").get());
    }

    @ParameterizedTest
    @EnumSource
    void weightsStartWithTheirVarianceAndBiasesAtZero(Init init) {
        int in = 400, out = 500, n = in * out;
        Network net = new Network(engine, init, 11, in, out);
        double sum = 0, squares = 0;
        for (float w : net.params().get("W1").get()) {
            sum += w;
            squares += (double) w * w;
        }
        double variance = (init == Init.HE ? 2.0 : 1.0) / in;
        // Five standard deviations of the mean, √(σ²/n), and of the variance, σ²·√(2/n), of n normal numbers.
        assertEquals(0, sum / n, 5 * Math.sqrt(variance / n), "seed 11");
        assertEquals(variance, squares / n, 5 * variance * Math.sqrt(2.0 / n), "seed 11");
        assertArrayEquals(new float[out], net.params().get("b1").get());
    }

    @Test
    void theSameSeedGivesTheSameBitsOnAnyNumberOfThreads() {
        int[] widths = {784, 100, 10};
        Batch batch = new Batch(6, 128, widths);
        float[][] first = trained(1, batch, widths), second = trained(2, batch, widths);
        for (int n = 0; n < first.length; n++) assertArrayEquals(first[n], second[n], "seed 6");
    }

    private static float[][] trained(int threads, Batch batch, int... widths) {
        try (Engine engine = Engine.cpu(threads)) {
            Network net = new Network(engine, Init.XAVIER, 6, widths);
            Optimizer adam = engine.optimizer(Adam.of());
            Samples samples = batch.on(engine);
            for (int step = 0; step < 20; step++) {
                net.gradient(samples, batch.rows(), batch.labels.length);
                adam.update(net.params(), net.grads());
            }
            return net.params().values().stream().map(Tensor::get).toArray(float[][]::new);
        }
    }

    @Test
    void namesStandInTheOrderOfTheLayersAndCannotBeChanged() {
        Network net = new Network(engine, Init.HE, 0, 4, 3, 2);
        assertEquals(List.of("W1", "b1", "W2", "b2"), List.copyOf(net.params().keySet()));
        assertEquals(List.of("W1", "b1", "W2", "b2"), List.copyOf(net.grads().keySet()));
        assertArrayEquals(new long[] {4, 3}, net.params().get("W1").shape());
        assertArrayEquals(new long[] {2}, net.grads().get("b2").shape());
        assertThrows(UnsupportedOperationException.class, () -> net.params().clear());
        assertThrows(UnsupportedOperationException.class, () -> net.grads().clear());
    }

    @Test
    void twoMoonsAreToldApartEntirely() {
        int n = 100;
        float[] x = new float[2 * n];
        int[] labels = new int[n];
        for (int i = 0; i < n; i++) {
            double angle = Math.PI * (i / 2) / (n / 2 - 1);
            labels[i] = i % 2;
            x[2 * i] = (float) (labels[i] == 0 ? Math.cos(angle) : 1 - Math.cos(angle));
            x[2 * i + 1] = (float) (labels[i] == 0 ? Math.sin(angle) : 0.5 - Math.sin(angle));
        }
        Network net = new Network(engine, Init.HE, 4, 2, 16, 16, 2);
        Optimizer adam = engine.optimizer(Adam.of(0.01));
        Samples moons = new Samples(engine, x, labels);
        for (int step = 0; step < 250; step++) {
            net.gradient(moons, rows(n), n);
            adam.update(net.params(), net.grads());
        }
        assertEquals(1, net.evaluate(moons).accuracy(), "seed 4");
    }

    static Stream<Rule> rules() {
        return Stream.of(Sgd.of(), Momentum.of(), Nesterov.of(), AdaGrad.of(), RmsProp.of(), Adam.of());
    }

    @ParameterizedTest
    @MethodSource("rules")
    void aHundredUpdatesByAnyRuleLowerTheLoss(Rule rule) {
        int[] widths = {10, 20, 4};
        Network net = new Network(engine, Init.HE, 8, widths);
        Batch batch = new Batch(8, 50, widths);
        Samples samples = batch.on(engine);
        double before = net.evaluate(samples).loss();
        Optimizer optimizer = engine.optimizer(rule);
        for (int step = 0; step < 100; step++) {
            net.gradient(samples, batch.rows(), batch.labels.length);
            optimizer.update(net.params(), net.grads());
        }
        double after = net.evaluate(samples).loss();
        assertTrue(after < before, "seed 8: from " + before + " to " + after);
    }

    @Test
    void anEvaluationCoversEveryExampleAndLeavesTheGradientAlone() {
        int n = 1234;
        Network net = new Network(engine, Init.HE, 0, 1, 2);
        net.params().get("W1").set(1, 0);
        float[] x = new float[n];
        int[] labels = new int[n];
        gradient(net, new float[] {0}, new int[] {1});
        float[] gradient = net.grads().get("W1").get();
        // Logits (x, 0): with x = 1000 and label 0, or −1000 and label 1, the loss is 0; the other way about it is
        // 1000. The last 100 are so.
        for (int i = 0; i < x.length; i++) {
            labels[i] = i < 700 ? 0 : 1;
            x[i] = (labels[i] == 0) == (i < n - 100) ? 1000 : -1000;
        }
        net.evaluate(new Samples(engine, new float[1], new int[1])); // a small one before the large one
        Score score = net.evaluate(new Samples(engine, x, labels));
        int wrong = 100;
        assertEquals(1000.0 * wrong / n, score.loss(), 1e-3);
        assertEquals((double) (n - wrong) / n, score.accuracy(), 1e-12);
        assertEquals((float) Math.log(2), net.loss());
        assertArrayEquals(gradient, net.grads().get("W1").get());
    }

    /** Batches of one sample each, all different; the first window is told as the second ends. */
    @Test
    void aListenerThatThrowsMissesTheRestOfThatWindowAndHearsAllLaterLossesInOrder() {
        int batches = 4 * Losses.WINDOW + 3;
        float[] x = new float[batches];
        for (int i = 0; i < x.length; i++) x[i] = i;
        Samples samples = new Samples(engine, x, new int[batches]);
        Network net = new Network(engine, Init.HE, 0, 1, 2);
        net.params().get("W1").set(0.001f, 0);
        List<Double> all = new ArrayList<>(), heard = new ArrayList<>();
        net.onLoss(all::add);
        for (int i = 0; i < batches; i++) net.gradient(samples, new int[] {i}, 1);
        net.tellLosses();
        assertEquals(batches, all.stream().distinct().count());

        IllegalStateException full = new IllegalStateException("full");
        net.onLoss(loss -> {
            if (heard.size() == 2) {
                heard.add(Double.NaN);
                throw full;
            }
            heard.add(loss);
        });
        for (int i = 0; i < batches; i++) {
            int[] row = {i};
            // The listener came in the middle of a window, 3 batches after its begin.
            if (i != 2 * Losses.WINDOW - 4) net.gradient(samples, row, 1);
            else assertEquals(full, assertThrows(IllegalStateException.class, () -> net.gradient(samples, row, 1)));
        }
        net.tellLosses();
        assertEquals(all.subList(0, 2), heard.subList(0, 2));
        assertEquals(all.subList(Losses.WINDOW - 3, batches), heard.subList(3, heard.size()));
    }

    /** What throws in one window takes nothing from the next, which begins before the first has been told. */
    @Test
    void aListenerThatThrowsAtTheEndHearsOfTheLastWindowAfterwards() {
        Network net = new Network(engine, Init.HE, 0, 1, 2);
        Samples samples = new Samples(engine, new float[] {1}, new int[1]);
        List<Double> heard = new ArrayList<>();
        IllegalStateException full = new IllegalStateException("full");
        net.onLoss(loss -> {
            heard.add(loss);
            if (heard.size() == 1) throw full;
        });
        for (int i = 0; i < Losses.WINDOW + 3; i++) net.gradient(samples, new int[1], 1);
        assertEquals(full, assertThrows(IllegalStateException.class, net::tellLosses));
        net.tellLosses();
        assertEquals(1 + 3, heard.size());
    }

    @Test
    void beforeTheFirstBatchTheLossIsZeroAndAfterTheEndNothingIs() {
        int[] widths = {1, 2};
        Network net = new Network(engine, Init.HE, 0, widths);
        Samples samples = new Samples(engine, new float[] {1}, new int[1]);
        widths[1] = 1; // the caller's array
        assertEquals(0, net.loss());
        net.gradient(samples, new int[1], 1);
        net.close();
        net.close();
        for (Runnable use :
                List.<Runnable>of(net::gradient, () -> net.load(samples, new int[1], 1), () -> net.evaluate(samples)))
            assertEquals(
                    "the network is closed",
                    assertThrows(IllegalStateException.class, use::run).getMessage());
    }

    /** The last bits of its products depend on how many it takes. */
    @Test
    void openBlasTakesOneThread() {
        openblas_nolapack.blas_set_num_threads(2);
        try (Engine cpu = Engine.cpu(2)) {
            new Network(cpu, Init.HE, 0, 1, 2);
            assertEquals(1, openblas_nolapack.blas_get_num_threads());
        } finally {
            openblas_nolapack.blas_set_num_threads(1);
        }
    }

    @Test
    void aListenerHearsOfTheBatchesOfItsTime() {
        Network net = new Network(engine, Init.HE, 0, 1, 2);
        Samples samples = new Samples(engine, new float[] {1}, new int[1]);
        List<Double> first = new ArrayList<>(), second = new ArrayList<>();
        net.onLoss(first::add);
        for (int i = 0; i < 3; i++) net.gradient(samples, new int[1], 1);
        net.onLoss(second::add);
        for (int i = 0; i < 2; i++) net.gradient(samples, new int[1], 1);
        net.tellLosses();
        assertEquals(3, first.size());
        assertEquals(2, second.size());
    }

    @Test
    void aBatchMayBeSmallerOrLargerThanTheOneBefore() {
        int[] widths = {6, 5, 3};
        Batch batch = new Batch(9, 40, widths);
        Network used = new Network(engine, Init.HE, 9, widths), fresh = new Network(engine, Init.HE, 9, widths);
        Samples samples = batch.on(engine);
        used.gradient(samples, batch.rows(), 20);
        used.gradient(samples, batch.rows(), 40);
        used.gradient(samples, batch.rows(), 7);
        fresh.gradient(samples, batch.rows(), 7);
        assertEquals(fresh.loss(), used.loss());
        fresh.grads()
                .forEach((name, g) ->
                        assertArrayEquals(g.get(), used.grads().get(name).get(), name));
    }

    @Test
    void badInputIsNamedAndChangesNothing() {
        Network net = new Network(engine, Init.HE, 0, 3, 2);
        gradient(net, new float[] {1, 2, 3}, new int[] {1});
        float[] before = net.grads().get("W1").get();
        Samples two = new Samples(engine, new float[6], new int[] {0, 1});
        assertMessage("count: expected from 1 to the number of rows, 2, got 0", () -> net.gradient(two, new int[2], 0));
        assertMessage("count: expected from 1 to the number of rows, 2, got 3", () -> net.gradient(two, new int[2], 3));
        assertMessage("rows[1]: expected from 0 to 1, got 2", () -> net.gradient(two, new int[] {0, 2}, 2));
        assertMessage("rows[0]: expected from 0 to 1, got -1", () -> net.gradient(two, new int[] {-1, 0}, 2));
        Samples narrow = new Samples(engine, new float[4], new int[2]);
        Samples third = new Samples(engine, new float[6], new int[] {0, 2});
        for (Samples wrong : List.of(narrow, third)) {
            String expected = "samples: expected 3 inputs and at most 2 classes, got " + wrong;
            assertMessage(expected, () -> net.gradient(wrong, new int[1], 1));
            assertMessage(expected, () -> net.evaluate(wrong));
        }
        try (Engine other = Engine.cpu(1)) {
            Samples elsewhere = new Samples(other, new float[3], new int[1]);
            assertMessage(
                    "samples: expected some of this network's engine, " + engine + ", got some of " + other,
                    () -> net.evaluate(elsewhere));
        }
        assertMessage("labels: expected at least one, got none", () -> new Samples(engine, new float[0], new int[0]));
        assertMessage(
                "x: expected a multiple of the number of labels, 2, got 3",
                () -> new Samples(engine, new float[3], new int[2]));
        assertMessage(
                "labels[1]: expected from 0 to 16777215, got -1",
                () -> new Samples(engine, new float[2], new int[] {0, -1}));
        assertMessage(
                "widths: expected at least inputs and classes, got [3]", () -> new Network(engine, Init.HE, 0, 3));
        assertMessage(
                "widths: expected positive numbers, got [3, 0, 2]", () -> new Network(engine, Init.HE, 0, 3, 0, 2));
        assertMessage(
                "widths: expected at most 2147483639 weights in a layer, got 2 · 1073741824",
                () -> new Network(engine, Init.HE, 0, 2, 1 << 30, 2));
        assertArrayEquals(before, net.grads().get("W1").get());
    }

    private static void assertMessage(String expected, Runnable call) {
        assertEquals(
                expected,
                assertThrows(IllegalArgumentException.class, call::run).getMessage());
    }

    @Test
    void aStepAllocatesNothing() {
        int[] widths = {50, 20, 20, 10};
        Network net = new Network(engine, Init.HE, 10, widths);
        Batch batch = new Batch(10, 128, widths);
        Samples samples = batch.on(engine);
        int[] rows = batch.rows();
        for (int step = 0; step < 200; step++) net.gradient(samples, rows, 128);
        Runnable steps = () -> {
            for (int step = 0; step < 20; step++) net.gradient(samples, rows, 128 - step);
        };
        assertEquals(0, Allocations.least(steps), "bytes in 20 steps");
    }

    private void gradient(Network net, float[] x, int[] labels) {
        net.gradient(new Samples(engine, x, labels), rows(labels.length), labels.length);
    }

    private static int[] rows(int count) {
        return IntStream.range(0, count).toArray();
    }

    /** Biases away from 0, where a mistake in them would not show. */
    private static void shakeBiases(Network net, long seed) {
        Random random = new Random(seed + 100);
        net.params().forEach((name, param) -> {
            if (!name.startsWith("b")) return;
            float[] values = new float[(int) param.size()];
            for (int i = 0; i < values.length; i++) values[i] = (float) (0.5 * random.nextGaussian());
            param.set(values);
        });
    }

    /** Normal inputs and any labels. */
    private static final class Batch {

        final float[] x;
        final int[] labels;
        private final int inputs;

        Batch(long seed, int count, int... widths) {
            Random random = new Random(seed);
            inputs = widths[0];
            x = new float[count * inputs];
            labels = new int[count];
            for (int i = 0; i < x.length; i++) x[i] = (float) random.nextGaussian();
            for (int i = 0; i < count; i++) labels[i] = random.nextInt(widths[widths.length - 1]);
        }

        private Batch(float[] x, int[] labels, int inputs) {
            this.x = x;
            this.labels = labels;
            this.inputs = inputs;
        }

        /** The first so many. */
        Batch head(int count) {
            return new Batch(Arrays.copyOf(x, count * inputs), Arrays.copyOf(labels, count), inputs);
        }

        Samples on(Engine engine) {
            return new Samples(engine, x.clone(), labels);
        }

        int[] rows() {
            return NetworkTest.rows(labels.length);
        }

        Matrix matrix() {
            return Matrix.exact(x, labels.length, inputs);
        }
    }
}
