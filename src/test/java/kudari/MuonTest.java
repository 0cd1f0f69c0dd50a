package kudari;

import static kudari.OptimizerTest.refused;
import static kudari.RulesTest.assertSameBits;
import static kudari.rule.Arithmetic.MEAN;
import static kudari.rule.Arithmetic.flush;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.TreeMap;
import java.util.stream.Stream;
import kudari.rule.AdamW;
import kudari.rule.MatrixRule;
import kudari.rule.Muon;
import kudari.rule.Muon.Coefficients;
import kudari.rule.Muon.Scaling;
import kudari.rule.Rule;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** Muon, whose steps no engine computes to the bit of another: against other libraries' numbers, float64, and itself. */
class MuonTest {

    private static final long SEED = 20241208;

    /** Half a unit in the last place of 1. */
    private static final double U = 0x1p-24;

    private final Engine engine = Engines.open();

    @AfterEach
    void close() {
        engine.close();
    }

    /** W[i][j] = sin(1 + 4i + j), whose gradient is (1 + 0.1·(4i + j))·W[i][j]; and b, whose gradient is b. */
    private static float[] start() {
        float[] w = new float[12];
        for (int i = 0; i < w.length; i++) w[i] = (float) Math.sin(1 + i);
        return w;
    }

    private static float[] gradient(float[] w) {
        float[] g = new float[w.length];
        for (int i = 0; i < g.length; i++) g[i] = (float) ((1 + 0.1 * i) * w[i]);
        return g;
    }

    /**
     * From runs in float64, PyTorch's formula in numpy and optax 0.2.8 itself: W00, W23 and the norm of W, after 1 and after 10 steps. And from a run of
     * PyTorch 2.13 with its products in bfloat16, two thousandths off.
     */
    static Stream<Arguments> golden() {
        double[] pytorch = {0.842321169, -0.5243792562, 2.480231424, 0.7754222066, -0.4739894715, 2.232767367};
        double[] optax = {0.8443959869, -0.523732052, 2.481768793, 0.7830126894, -0.4770141017, 2.245454597};
        double[] bfloat = {0.8442802303, -0.5238591472, 2.480191285, 0.7710862492, -0.4753509228, 2.233114828};
        return Stream.of(
                Arguments.of(Muon.pytorch(0.02), pytorch, 1e-5),
                Arguments.of(Muon.optax(0.02), optax, 1e-5),
                Arguments.of(Muon.pytorch(0.02), bfloat, 5e-3));
    }

    /** To five digits: no other convention comes nearer than three. What float32 is off by at most, the test of one step derives. */
    @ParameterizedTest
    @MethodSource("golden")
    void itTakesTheStepsOfOtherLibraries(Muon rule, double[] golden, double allowed) {
        Tensor w = engine.tensor(start(), 3, 4), g = engine.zeros(3, 4);
        Optimizer muon = engine.optimizer(rule);
        for (int t = 1; t <= 10; t++) {
            g.set(gradient(w.get()));
            muon.update(w, g);
            if (t > 1 && t < 10) continue;
            float[] then = w.get();
            double sum = 0;
            for (float x : then) sum += (double) x * x;
            double[] actual = {then[0], then[11], Math.sqrt(sum)};
            for (int n = 0; n < 3; n++) assertEquals(golden[n + (t == 1 ? 0 : 3)], actual[n], allowed);
        }
    }

    /** b0 and b3 from PyTorch 2.13: AdamW beside Muon, in one optimizer. */
    @Test
    void adamWBesideItTakesTheStepsOfAdamWAlone() {
        Map<String, Tensor> params =
                Map.of("W", engine.tensor(start(), 3, 4), "b", engine.tensor(new float[] {0.5f, -0.5f, 0.25f, -0.25f}));
        Map<String, Tensor> grads = Map.of("W", engine.zeros(3, 4), "b", engine.zeros(4));
        Optimizer both = engine.optimizer(Group.matrices("*", Muon.pytorch(0.02)), Group.rest(AdamW.of(0.02)))
                .guard(Guard.clipNorm(1000));
        for (int t = 1; t <= 10; t++) {
            grads.get("W").set(gradient(params.get("W").get()));
            grads.get("b").set(params.get("b").get());
            both.update(params, grads);
            if (t == 1) {
                assertEquals(4.016242919500864, both.norm(), 1e-6); // of the four libraries' gradients, both tensors
                assertEquals(0.4799000004, params.get("b").get()[0], 1e-6);
                assertEquals(-0.2299500008, params.get("b").get()[3], 1e-6);
            }
        }
        assertEquals(0.3028073412, params.get("b").get()[0], 1e-6);
        assertEquals(-0.05995709897, params.get("b").get()[3], 1e-6);
        assertEquals(0.7754222066, params.get("W").get()[0], 1e-5);
        assertEquals(10, both.steps());
        assertEquals(List.of("m"), List.copyOf(both.state("W").keySet()));
        assertEquals(List.of("m", "v"), List.copyOf(both.state("b").keySet()));
    }

    static Stream<Arguments> forms() {
        Muon muon = Muon.of(0.1);
        return Stream.of(
                Arguments.of(muon, Guard.NONE),
                Arguments.of(muon.nesterov(false).l2(0.5).decay(0.25), Guard.NONE),
                Arguments.of(muon.biasCorrection(true).scaling(Scaling.ORIGINAL_IN_OUT), Guard.clipNorm(2)),
                Arguments.of(muon.gram(false).scaling(Scaling.MATCH_RMS_ADAMW), Guard.clipTensorNorm(0.5)),
                Arguments.of(
                        muon.coefficients(Coefficients.POLAR_EXPRESS),
                        Guard.clipValue(0.25).scale(0.5)),
                Arguments.of(muon.nesterov(false).biasCorrection(true).iterations(3), Guard.maximize()),
                Arguments.of(muon.momentum(0), Guard.skipNonFinite()));
    }

    private static final long[][] SHAPES = {
        {3, 4}, {4, 3}, {4, 3}, {5, 5}, {17, 6}, {6, 17}, {4, 3, 2, 2}, {1, 9}, {7, 1}, {0, 5}
    };

    /**
     * Each step against float64, from the parameter and the mean that the engine had before it: off by no more than the products are at most, and by
     * roundings of the sums around them. The mean itself is the loop's, bit for bit.
     */
    @ParameterizedTest
    @MethodSource("forms")
    void aStepIsThatOfFloat64WithinWhatItsProductsRound(Muon rule, Guard guard) {
        System.out.println("seed " + SEED);
        Random random = new Random(SEED);
        Map<String, Tensor> params = new TreeMap<>(), grads = new TreeMap<>();
        for (int n = 0; n < SHAPES.length; n++) {
            params.put("W" + n, engine.tensor(normal(random, SHAPES[n]), SHAPES[n]));
            grads.put("W" + n, engine.zeros(SHAPES[n]));
        }
        Optimizer muon = engine.optimizer(rule).guard(guard);
        float[] k = new float[Rule.SCALARS];
        for (int t = 1; t <= 3; t++) {
            Map<String, float[]> p = new TreeMap<>(), m = new TreeMap<>(), g = new TreeMap<>();
            for (String name : params.keySet()) {
                p.put(name, params.get(name).get());
                m.put(
                        name,
                        t == 1
                                ? new float[p.get(name).length]
                                : muon.state(name).get("m").get());
                g.put(name, normal(random, grads.get(name).shape()));
                grads.get(name).set(g.get(name));
            }
            muon.update(params, grads);
            rule.at(t, k);
            double all = 0;
            for (float[] of : g.values()) all += sumOfSquares(of);
            for (String name : params.keySet()) {
                float scale = scale(guard, all, sumOfSquares(g.get(name)));
                float[] seen = g.get(name), u = new float[seen.length];
                if (guard.clip() == Guard.Clip.VALUE) {
                    for (int i = 0; i < seen.length; i++) seen[i] = Math.max(-0.25f, Math.min(scale * seen[i], 0.25f));
                    scale = 1;
                }
                rule.gather(k, scale, 0, seen.length, p.get(name), seen, new float[][] {m.get(name), u});
                assertSameBits(m.get(name), muon.state(name).get("m").get());
                assertNear(rule, p.get(name), u, params.get(name));
            }
        }
        assertEquals(3, muon.steps());
    }

    private static float scale(Guard guard, double all, double own) {
        double norm = guard.scale() * Math.sqrt(guard.clip() == Guard.Clip.TENSOR_NORM ? own : all);
        return guard.reduces() ? guard.factor(norm, guard.signedScale()) : (float) guard.signedScale();
    }

    private static double sumOfSquares(float[] values) {
        double sum = 0;
        for (float x : values) sum += (double) x * x;
        return sum;
    }

    private static void assertNear(Muon rule, float[] p, float[] u, Tensor param) {
        if (p.length == 0) return;
        int rows = (int) param.shape()[0], columns = p.length / rows;
        double[][] matrix = new double[rows][columns];
        for (int i = 0; i < u.length; i++) matrix[i / columns][i % columns] = u[i];
        double s = rule.scaling() == Scaling.MATCH_RMS_ADAMW
                ? 0.2 * Math.sqrt(Math.max(rows, columns))
                : rule.scaling() == Scaling.ORIGINAL
                        ? Math.sqrt(Math.max(1, (double) rows / columns))
                        : Math.sqrt(Math.max(1, (double) columns / rows));
        Orthogonal expected = new Orthogonal(matrix, NewtonSchulz.of(rule), s);
        float[] actual = param.get();
        double off = 0, rounded = 0;
        for (int i = 0; i < p.length; i++) {
            double step = rule.lr() * expected.result[i / columns][i % columns],
                    decay = rule.lr() * rule.decay() * p[i];
            off += Math.pow(actual[i] - (p[i] - (step + decay)), 2);
            // lr, lr·decay, two products, their sum, the difference.
            rounded += Math.pow(6 * U * (Math.abs(p[i]) + Math.abs(step) + Math.abs(decay)), 2);
        }
        double allowed = rule.lr() * expected.bound + Math.sqrt(rounded);
        assertTrue(Math.sqrt(off) <= allowed, () -> param + " is off by more than " + allowed);
        assertTrue(allowed < 0.1 * rule.lr() * s, () -> "a bound that says little: " + allowed);
    }

    private static float[] normal(Random random, long[] shape) {
        float[] values = new float[(int) Tensor.size(shape)];
        for (int i = 0; i < values.length; i++) values[i] = (float) random.nextGaussian();
        return values;
    }

    @Test
    void aVectorIsRefusedByNameAndNothingHasChanged() {
        Tensor w = engine.tensor(start(), 3, 4), b = engine.tensor(new float[] {1, 2});
        Optimizer muon = engine.optimizer(Muon.of());
        refused(
                IllegalArgumentException.class,
                () -> muon.update(
                        Map.of("W", w, "h.0.bias", b), Map.of("W", engine.zeros(3, 4), "h.0.bias", engine.zeros(2))),
                "params 'h.0.bias' of shape [2]: Muon takes matrices",
                "Group.vectors(\"*\", AdamW.of())");
        assertEquals(0, muon.steps());
        assertFalse(muon.knows("W"));
    }

    /** Other iterations would need another layout, and in a graph other launches; other rates and decays need none. */
    @Test
    void aScheduleMayChangeTheRateAndNotTheIterations() {
        Tensor w = engine.tensor(start(), 3, 4), g = engine.tensor(gradient(start()), 3, 4);
        Muon rule = Muon.of(0.02);
        Optimizer muon = engine.optimizer(t -> t < 3 ? rule.lr(0.02 / t).decay(t) : rule.iterations(4));
        muon.update(w, g);
        muon.update(w, g);
        refused(IllegalStateException.class, () -> muon.update(w, g), "iterations=4", "for step 3", "in another way");
        assertEquals(2, muon.steps());
    }

    /** Matrices of one shape that are to be made orthogonal in two ways are not done together. */
    @Test
    void groupsOfOtherIterationsEachTakeTheirOwn() {
        Muon few = Muon.of(0.1).iterations(1), many = Muon.of(0.1).iterations(5);
        Map<String, Tensor> params = new TreeMap<>(), grads = new TreeMap<>();
        for (String name : List.of("a", "b")) {
            params.put(name, engine.tensor(start(), 3, 4));
            grads.put(name, engine.tensor(gradient(start()), 3, 4));
        }
        engine.optimizer(Group.of("a", few), Group.rest(many)).update(params, grads);
        for (String name : List.of("a", "b")) {
            Tensor alone = engine.tensor(start(), 3, 4);
            engine.optimizer(name.equals("a") ? few : many).update(alone, grads.get(name));
            assertArrayEquals(alone.get(), params.get(name).get(), 1e-5f);
        }
        assertTrue(Math.abs(params.get("a").get()[0] - params.get("b").get()[0]) > 1e-3f, "they differ");
    }

    /** What {@code at} fills in may change, and nothing of what is laid out and recorded. */
    @Test
    void aScheduleMayGoOnToWhatDiffersInTheNumbersOfAStepAlone() {
        Muon rule = Muon.of(0.02);
        for (Muon other :
                List.of(rule.lr(1).momentum(0.5).l2(1).decay(1), rule.nesterov(false), rule.biasCorrection(true)))
            assertTrue(rule.mayBecome(other), other::toString);
        for (Muon other : List.of(
                rule.coefficients(Coefficients.POLAR_EXPRESS),
                rule.iterations(6),
                rule.eps(1e-8),
                rule.gram(false),
                rule.precision(MatrixRule.Precision.TF32),
                rule.scaling(Scaling.ORIGINAL_IN_OUT))) assertFalse(rule.mayBecome(other), other::toString);
    }

    /** A network's matrices and vectors, and what trains them. */
    private final class Net {
        final Map<String, Tensor> params = new TreeMap<>(), grads = new TreeMap<>();
        final Optimizer optimizer;
        private final Random random = new Random(SEED);

        Net(Engine engine) {
            for (int n = 0; n < 4; n++) {
                long[] shape = n % 2 == 0 ? new long[] {12, 5} : new long[] {5, 12};
                params.put("h." + n + ".weight", engine.tensor(normal(random, shape), shape));
                params.put("h." + n + ".bias", engine.tensor(normal(random, new long[] {5})));
            }
            params.forEach((name, param) -> grads.put(name, engine.zeros(param.shape())));
            optimizer = engine.optimizer(
                            Group.matrices("h.*.weight", Muon.of(0.02).decay(0.1)), Group.rest(AdamW.of(0.01)))
                    .guard(Guard.clipNorm(1))
                    .zeroGradients();
        }

        void fill() {
            grads.forEach((name, grad) -> grad.set(normal(random, grad.shape())));
        }

        void step() {
            optimizer.update(params, grads);
        }

        Map<String, float[]> values() {
            Map<String, float[]> values = new TreeMap<>();
            params.forEach((name, param) -> {
                values.put(name, param.get());
                optimizer.state(name).forEach((array, tensor) -> values.put(name + "/" + array, tensor.get()));
            });
            return values;
        }
    }

    private static void assertSame(Map<String, float[]> expected, Map<String, float[]> actual) {
        assertEquals(expected.keySet(), actual.keySet());
        expected.forEach((name, values) -> assertSameBits(values, actual.get(name)));
    }

    @Test
    void aStepThatIsLeftOutChangesNothingAndLeavesZeros() {
        Net net = new Net(engine);
        net.fill();
        net.grads.get("h.2.bias").set(new float[] {0, 0, Float.NaN, 0, 0});
        Map<String, float[]> before = new TreeMap<>();
        net.params.forEach((name, param) -> before.put(name, param.get()));
        net.step();
        assertEquals(1, net.optimizer.skipped());
        net.params.forEach((name, param) -> assertSameBits(before.get(name), param.get()));
        for (Tensor grad : net.grads.values()) assertSameBits(new float[(int) grad.size()], grad.get());
        assertSameBits(new float[60], net.optimizer.state("h.0.weight").get("m").get());
        net.fill();
        net.step();
        assertEquals(1, net.optimizer.steps());
        assertFalse(Arrays.equals(
                before.get("h.0.weight"), net.params.get("h.0.weight").get()));
    }

    /** Several launches, one of them of a step that is left out. */
    @Test
    void aGraphOfItComputesTheBitsOfPlainSteps() {
        Net plain = new Net(engine), captured = new Net(engine);
        for (Net net : List.of(plain, captured)) {
            net.fill();
            net.step();
        }
        try (Graph graph = engine.capture(captured::step)) {
            for (int t = 2; t <= 6; t++) {
                for (Net net : List.of(plain, captured)) {
                    net.fill();
                    if (t == 4) net.grads.get("h.1.weight").set(filled(60, Float.POSITIVE_INFINITY));
                }
                plain.step();
                graph.launch();
                assertSame(plain.values(), captured.values());
            }
        }
        assertEquals(5, captured.optimizer.steps());
        assertEquals(1, captured.optimizer.skipped());
    }

    private static float[] filled(int size, float value) {
        float[] values = new float[size];
        Arrays.fill(values, value);
        return values;
    }

    /** In elements, chunks and ends; and the parameter takes the steps that it takes without. */
    @Test
    void anAverageFollowsItsMatrices() {
        Random random = new Random(11);
        float[] start = normal(random, new long[] {41, 37});
        Tensor averaged = engine.tensor(start, 41, 37), alone = engine.tensor(start, 41, 37), g = engine.zeros(41, 37);
        Optimizer with = engine.optimizer(Group.rest(Muon.of(0.02)).average(0.75));
        Optimizer without = engine.optimizer(Muon.of(0.02));
        float[] average = start;
        for (int t = 0; t < 5; t++) {
            g.set(normal(random, new long[] {41, 37}));
            with.update(averaged, g);
            without.update(alone, g);
            float[] p = averaged.get();
            assertSameBits(alone.get(), p);
            for (int i = 0; i < p.length; i++) average[i] = flush(average[i] + 0.25f * (p[i] - average[i]), MEAN);
            assertSameBits(average, with.state(Optimizer.SINGLE).get("average").get());
        }
    }

    @Test
    void aResumedRunComputesTheBitsOfOneThatNeverStopped() {
        Net straight = new Net(engine), stopped = new Net(engine);
        Optimizer resumed = engine.optimizer(straight.optimizer.groups().toArray(Group[]::new))
                .guard(Guard.clipNorm(1))
                .zeroGradients();
        for (int t = 1; t <= 6; t++) {
            straight.fill();
            straight.step();
            stopped.fill();
            if (t <= 3) stopped.step();
            if (t == 3) {
                Map<String, Map<String, Tensor>> saved = new TreeMap<>();
                for (String name : stopped.params.keySet()) saved.put(name, stopped.optimizer.state(name));
                resumed.resume(stopped.optimizer.counts(), saved);
            }
            if (t > 3) resumed.update(stopped.params, stopped.grads);
        }
        straight.params.forEach((name, param) ->
                assertSameBits(param.get(), stopped.params.get(name).get()));
        assertEquals(6, resumed.steps());
    }

    /** Gradients in other tensors each time are laid out anew, and memory that is closed comes back. */
    @Test
    void otherTensorsOfTheSameShapesTakeNoMoreMemory() {
        Tensor w = engine.tensor(start(), 3, 4);
        Optimizer muon = engine.optimizer(Muon.of());
        long before = allocated(), once = 0;
        for (int n = 0; n < 20; n++) {
            Tensor g = engine.tensor(gradient(start()), 3, 4);
            muon.update(w, g);
            g.close();
            if (n == 0) once = allocated();
            assertEquals(once, allocated());
        }
        muon.close();
        long cublas = engine instanceof CudaEngine ? 32 << 20 : 0; // which stays the engine's
        assertEquals(before + cublas, allocated());
    }

    private long allocated() {
        return engine instanceof CudaEngine cuda ? cuda.allocated() : 0;
    }

    @Test
    void aStepAllocatesNothingOnTheHeap() {
        Net net = new Net(engine);
        net.step();
        assertEquals(0, Allocations.least(net::step));
    }

    /** On as many threads as one likes, where each makes a part of the matrices orthogonal. */
    @Test
    void threadsAndBuffersChangeNoBitOnTheCpu() {
        Map<String, float[]> expected = Map.of();
        for (int threads : new int[] {1, 2, 5}) {
            try (CpuEngine cpu = Engine.cpu(threads)) {
                Map<String, Tensor> params = new TreeMap<>(), grads = new TreeMap<>();
                Random random = new Random(SEED);
                for (int n = 0; n < 3; n++) {
                    float[] values = normal(random, new long[] {150, 200});
                    ByteBuffer bytes =
                            ByteBuffer.allocateDirect(4 * values.length).order(ByteOrder.nativeOrder());
                    Tensor param = threads == 5 ? cpu.wrap(bytes.asFloatBuffer(), 150, 200) : cpu.zeros(150, 200);
                    param.set(values);
                    params.put("W" + n, param);
                    grads.put("W" + n, cpu.tensor(normal(random, new long[] {150, 200}), 150, 200));
                }
                Optimizer muon = cpu.optimizer(Muon.of());
                for (int t = 0; t < 2; t++) muon.update(params, grads);
                Map<String, float[]> values = new TreeMap<>();
                params.forEach((name, param) -> values.put(name, param.get()));
                if (threads > 1) assertSame(expected, values);
                expected = values;
            }
        }
    }

    /** The table of the article's code, and what it does behind the end of it; arXiv:2505.16932. */
    @Test
    void polarExpressHasThePublishedCoefficients() {
        float[][] by =
                Muon.of().coefficients(Coefficients.POLAR_EXPRESS).iterations(9).polynomials();
        double[][] published = {
            {8.28721201814563, -23.595886519098837, 17.300387312530933},
            {4.107059111542203, -2.9478499167379106, 0.5448431082926601},
            {3.9486908534822946, -2.908902115962949, 0.5518191394370137},
            {3.3184196573706015, -2.488488024314874, 0.51004894012372},
            {2.300652019954817, -1.6689039845747493, 0.4188073119525673},
            {1.891301407787398, -1.2679958271945868, 0.37680408948524835},
            {1.8750014808534479, -1.2500016453999487, 0.3750001645474248},
            {1.875, -1.25, 0.375},
            {1.875, -1.25, 0.375}
        };
        assertEquals(published.length, by.length);
        for (int n = 0; n < by.length; n++) {
            double safe = n < 7 ? 1.01 : 1;
            for (int i = 0; i < 3; i++)
                assertEquals((float) (published[n][i] / Math.pow(safe, 2 * i + 1)), by[n][i], Math.ulp(by[n][i]));
        }
        assertEquals(1.01, Muon.of().coefficients(Coefficients.POLAR_EXPRESS).margin());
    }

    @Test
    void itSaysThatItsBitsAreNotEveryEngines() {
        assertFalse(Muon.of().isExact());
        assertTrue(AdamW.of().isExact());
    }
}
