package kudari;

import static kudari.OptimizerTest.refused;
import static kudari.RulesTest.assertSameBits;
import static kudari.RulesTest.assertSameState;
import static kudari.RulesTest.floats;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.math.BigDecimal;
import java.math.MathContext;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.TreeMap;
import kudari.rule.Adam;
import kudari.rule.Ftrl;
import kudari.rule.Momentum;
import kudari.rule.Rule;
import kudari.rule.Sgd;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** What a guard does to gradients, on every engine: clips, scales, skips; and that its bits are the CPU's. */
class GuardTest {

    private static final long SEED = 2013;

    private Engine engine;

    @BeforeEach
    void open() {
        engine = Engines.open();
    }

    @AfterEach
    void close() {
        engine.close();
    }

    /** A fifth and four fifths, each rounded once. */
    @ParameterizedTest
    @CsvSource({"1,0.2", "4,0.8"})
    void aNormOfFiveIsClippedByHand(double max, float coefficient) {
        Tensor a = engine.zeros(2),
                b = engine.zeros(1),
                da = engine.tensor(floats(3, 0)),
                db = engine.tensor(floats(4));
        Optimizer sgd = engine.optimizer(Sgd.of(1)).guard(Guard.clipNorm(max));
        assertEquals(0, sgd.norm());
        sgd.update(Map.of("a", a, "b", b), Map.of("a", da, "b", db));
        assertEquals(5, sgd.norm(), "√(3² + 4²)");
        assertSameBits(new float[] {-(3 * coefficient), 0}, a.get());
        assertSameBits(new float[] {-(4 * coefficient)}, b.get());
        assertSameBits(floats(3, 0), da.get());
        assertEquals(1, sgd.steps());
        assertEquals(0, sgd.skipped());
    }

    /** As {@link #aNormOfFiveIsClippedByHand}, upwards; each tensor by itself has a norm of 3 and of 4. */
    @ParameterizedTest
    @ValueSource(strings = {"none", "norm", "tensor", "value"})
    void stepsGoUpTheGradientWhereTheyAreToMaximize(String clip) {
        Guard guard =
                switch (clip) {
                    case "none" -> Guard.maximize();
                    case "norm" -> Guard.clipNorm(2.5);
                    case "tensor" -> Guard.clipTensorNorm(1);
                    default -> Guard.clipValue(2);
                };
        float[] expected =
                switch (clip) {
                    case "none" -> floats(3, -4);
                    case "norm" -> floats(1.5, -2);
                    case "tensor" -> floats(1, -1);
                    default -> floats(2, -2);
                };
        Tensor a = engine.zeros(1), b = engine.zeros(1);
        Map<String, Tensor> grads = Map.of("a", engine.tensor(floats(6)), "b", engine.tensor(floats(-8)));
        Optimizer sgd = engine.optimizer(Sgd.of(1)).guard(guard.maximizes(true).scale(0.5));
        sgd.update(Map.of("a", a, "b", b), grads);
        assertEquals(expected[0], a.get()[0], 0x1p-23);
        assertEquals(expected[1], b.get()[0], 0x1p-23);
        assertEquals(0, sgd.skipped());
        if (guard.skips()) assertEquals(5, sgd.norm());
    }

    /** PyTorch negates the gradient, then adds what weight_decay says; decoupled decay it takes off as ever. */
    @Test
    void penaltiesPullTowardsZeroAlsoWhereStepsGoUp() {
        Tensor p = engine.tensor(floats(8, 8)), g = engine.tensor(floats(4, 0));
        engine.optimizer(Sgd.of(0.5).l2(0.25).decay(0.5))
                .guard(Guard.maximize())
                .update(p, g);
        assertSameBits(floats(8 - 0.5 * (-4 + 2) - 0.25 * 8, 8 - 0.5 * 2 - 0.25 * 8), p.get());
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 3, 4, 1023, 1025, 4095, 4096, 4097, 100_003, 1_100_000})
    void theNormIsTheRootOfTheSumOfSquares(int size) {
        Random random = new Random(SEED);
        float[] g = new float[size];
        for (int i = 0; i < size; i++)
            g[i] = (float) (random.nextGaussian() * Math.pow(10, 30 * random.nextDouble() - 15));
        Optimizer sgd = engine.optimizer(Sgd.of(1)).guard(Guard.clipNorm(1));
        sgd.update(engine.zeros(size), engine.tensor(g));
        BigDecimal sum = BigDecimal.ZERO;
        for (float x : g) sum = sum.add(new BigDecimal(x).pow(2));
        double exact = sum.sqrt(MathContext.DECIMAL128).doubleValue();
        // An element's square goes through at most 4 additions in its lane, 2 + 8 in its piece, and for up to 269
        // pieces 2 + 8 more: 24, each off by
        // at most 2^-53 of a sum of positive numbers; the root halves that, and is off by 2^-53 itself.
        assertEquals(exact, sgd.norm(), exact * 14 * 0x1p-53);
    }

    @Test
    void gradientsWhoseSquaresOverflowFloatAreClippedAndNotSkipped() {
        Tensor p = engine.zeros(2);
        Optimizer sgd = engine.optimizer(Sgd.of(1)).guard(Guard.clipNorm(4));
        sgd.update(p, engine.tensor(floats(3e38, 0)));
        assertEquals((double) 3e38f, sgd.norm());
        assertEquals(0, sgd.skipped());
        assertEquals(-4, p.get()[0], 4 * 0x1p-23, "3e38 times 4/3e38, which is rounded");
    }

    /** As Ftrl's page says: ∞ / ∞ where the square overflows, 2e19² = 4e38. */
    @Test
    void ftrlTakesNoGradientWhoseSquareOverflowsUnlessItIsClipped() {
        for (double start : new double[] {0, 1}) {
            Tensor p = engine.tensor(floats(start)), q = engine.tensor(floats(start)), g = engine.tensor(floats(2e19));
            engine.optimizer(Ftrl.of(0.1)).update(p, g);
            assertTrue(Float.isNaN(p.get()[0]), "p " + p.get()[0]);
            engine.optimizer(Ftrl.of(0.1)).guard(Guard.clipNorm(1)).update(q, g);
            assertTrue(Float.isFinite(q.get()[0]), "p " + q.get()[0]);
            g.set(1.8e19f);
            q.set((float) start);
            engine.optimizer(Ftrl.of(0.1)).update(q, g);
            assertTrue(Float.isFinite(q.get()[0]), "p " + q.get()[0]);
        }
    }

    /** The factor would be subnormal, and clip to something else than the limit: 1e-7 from 3e38 is not to be had in float32. */
    @ParameterizedTest
    @ValueSource(doubles = {1, 1e-7})
    void aNormThatFloatCannotScaleDownSkipsTheStep(double max) {
        for (Guard guard : List.of(Guard.clipNorm(max), Guard.clipTensorNorm(max))) {
            Tensor p = engine.zeros(2), q = engine.zeros(1);
            Optimizer sgd = engine.optimizer(Sgd.of(1)).guard(guard);
            Map<String, Tensor> grads = Map.of("p", engine.tensor(floats(3e38, 0)), "q", engine.tensor(floats(1)));
            sgd.update(Map.of("p", p, "q", q), grads);
            assertEquals(1, sgd.skipped());
            assertEquals(0, sgd.steps());
            assertSameBits(floats(0, 0), p.get());
            assertSameBits(floats(0), q.get());
        }
    }

    /** Wherever among the tensors it stands: more of them than one round of the reduction takes, which are then one another's in a lane. */
    @ParameterizedTest
    @ValueSource(ints = {0, 1, 7, 8, 11, 15, 16, 19})
    void oneNormOfManyThatFloatCannotScaleDownSkipsTheStep(int large) {
        Map<String, Tensor> p = new HashMap<>(), g = new HashMap<>();
        for (int n = 0; n < 20; n++) {
            String name = String.format("W%02d", n);
            p.put(name, engine.zeros(1));
            g.put(name, engine.tensor(floats(n == large ? 3e38 : 1)));
        }
        Optimizer sgd = engine.optimizer(Sgd.of(1)).guard(Guard.clipTensorNorm(1e-7));
        sgd.update(p, g);
        assertEquals(1, sgd.skipped());
        p.forEach((name, param) -> assertSameBits(floats(0), param.get()));
    }

    /** From 2¹²⁶ down to 1 the factor is 2⁻¹²⁶, the least that is not subnormal. That both together are longer is for a limit on both alone. */
    @Test
    void theSmallestFactorThatFloatHoldsIsTaken() {
        Map<String, Tensor> p = Map.of("a", engine.zeros(1), "b", engine.zeros(1));
        Map<String, Tensor> g = Map.of("a", engine.tensor(floats(0x1p126)), "b", engine.tensor(floats(-0x1p126)));
        Optimizer each = engine.optimizer(Sgd.of(1)).guard(Guard.clipTensorNorm(1));
        each.update(p, g);
        assertEquals(0, each.skipped());
        assertSameBits(floats(-1), p.get("a").get());
        assertSameBits(floats(1), p.get("b").get());
        Optimizer both = engine.optimizer(Sgd.of(1)).guard(Guard.clipNorm(1));
        both.update(p, g);
        assertEquals(1, both.skipped());
    }

    @ParameterizedTest
    @MethodSource("kudari.RulesTest#table")
    void aNormWithinTheLimitChangesNoBit(RulesTest.Row row) {
        Rule rule = row.of().apply(0.01);
        Tensor a = engine.tensor(floats(1, -2, 3)),
                b = engine.tensor(floats(1, -2, 3)),
                g = engine.tensor(floats(3, -0.0, 4));
        Optimizer free = engine.optimizer(rule), within = engine.optimizer(rule).guard(Guard.clipNorm(5));
        for (int t = 0; t < 3; t++) {
            free.update(a, g);
            within.update(b, g);
        }
        assertSameBits(a.get(), b.get());
        assertSameState(free.state(Optimizer.SINGLE), within.state(Optimizer.SINGLE));
    }

    @ParameterizedTest
    @ValueSource(floats = {Float.NaN, Float.POSITIVE_INFINITY, Float.NEGATIVE_INFINITY})
    void aGradientThatIsNotFiniteLeavesEverythingAsIfTheStepHadNotBeenAskedFor(float bad) {
        Schedule warmUp = t -> Adam.of(0.1 * t);
        Tensor[] p = {engine.tensor(floats(1, 2)), engine.tensor(floats(3))},
                q = {engine.tensor(floats(1, 2)), engine.tensor(floats(3))};
        Tensor g = engine.tensor(floats(0.5, -0.25)),
                h = engine.tensor(floats(2)),
                damaged = engine.tensor(new float[] {bad});
        Optimizer expected = engine.optimizer(warmUp).guard(Guard.clipNorm(1)),
                actual = engine.optimizer(warmUp).guard(Guard.clipNorm(1));
        for (int t = 1; t <= 5; t++) {
            expected.update(Map.of("a", p[0], "b", p[1]), Map.of("a", g, "b", h));
            actual.update(Map.of("a", q[0], "b", q[1]), Map.of("a", g, "b", damaged));
            actual.update(Map.of("a", q[0], "b", q[1]), Map.of("a", g, "b", h));
            actual.update(Map.of("a", q[0], "b", q[1]), Map.of("a", g, "b", damaged));
            assertEquals(t, actual.steps());
            assertEquals(2 * t, actual.skipped());
            assertTrue(!Double.isFinite(actual.norm()));
        }
        for (int n = 0; n < 2; n++) assertSameBits(p[n].get(), q[n].get());
        for (String name : new String[] {"a", "b"}) assertSameState(expected.state(name), actual.state(name));
    }

    /** Ten sets, for the root hides most of what another order changes. */
    @ParameterizedTest
    @ValueSource(ints = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10})
    void theOrderOfAMapChangesNoBit(int seed) {
        Random random = new Random(seed);
        float[][] g = new float[40][];
        for (int n = 0; n < g.length; n++) {
            g[n] = new float[1 + random.nextInt(n == 7 ? 9000 : 90)];
            for (int i = 0; i < g[n].length; i++) g[n][i] = (float) random.nextGaussian();
        }
        double expected = norm(new TreeMap<>(), g, false);
        assertEquals(expected, norm(new LinkedHashMap<>(), g, false));
        assertEquals(expected, norm(new LinkedHashMap<>(), g, true));
        assertEquals(expected, norm(new HashMap<>(), g, false));
    }

    private double norm(Map<String, Tensor> grads, float[][] g, boolean backwards) {
        for (int n = 0; n < g.length; n++) {
            int m = backwards ? g.length - 1 - n : n;
            grads.put("W" + m, engine.tensor(g[m]));
        }
        Map<String, Tensor> params = new LinkedHashMap<>(); // in the same order
        grads.forEach((name, grad) -> params.put(name, engine.zeros(grad.shape())));
        Optimizer sgd = engine.optimizer(Sgd.of(1)).guard(Guard.clipNorm(1));
        sgd.update(params, grads);
        return sgd.norm();
    }

    @Test
    void theNumberOfThreadsChangesNoBit() {
        int size = 3 * CpuEngine.PARALLEL_FROM + 7;
        float[] g = new float[size];
        Random random = new Random(SEED);
        for (int i = 0; i < size; i++) g[i] = (float) random.nextGaussian();
        float[][] results = new float[4][];
        double[] norms = new double[4];
        int[] threads = {1, 2, 3, 8};
        for (int n = 0; n < threads.length; n++) {
            try (Engine cpu = Engine.cpu(threads[n])) {
                Tensor p = cpu.zeros(size);
                Optimizer adam = cpu.optimizer(Adam.of()).guard(Guard.clipNorm(0.1));
                for (int t = 0; t < 3; t++) adam.update(p, cpu.tensor(g));
                norms[n] = adam.norm();
                results[n] = p.get();
            }
            assertEquals(norms[0], norms[n]);
            assertSameBits(results[0], results[n]);
        }
    }

    @ParameterizedTest
    @MethodSource("kudari.RulesTest#table")
    void clippedStepsEqualTheCpusBits(RulesTest.Row row) {
        Rule rule = row.of().apply(0.01);
        Random random = new Random(SEED);
        int[] sizes = {0, 1, 5, 4096, 9001, 3};
        try (Engine cpu = Engine.cpu(1)) {
            Map<String, Tensor> a = new HashMap<>(), da = new HashMap<>(), b = new HashMap<>(), db = new HashMap<>();
            for (int n = 0; n < sizes.length; n++) {
                a.put("W" + n, cpu.zeros(sizes[n]));
                da.put("W" + n, cpu.zeros(sizes[n]));
                b.put("W" + n, engine.zeros(sizes[n]));
                db.put("W" + n, engine.zeros(sizes[n]));
            }
            Optimizer expected = cpu.optimizer(rule).guard(Guard.clipNorm(50)),
                    actual = engine.optimizer(rule).guard(Guard.clipNorm(50));
            for (int t = 0; t < 12; t++) {
                for (int n = 0; n < sizes.length; n++) {
                    float[] g = new float[sizes[n]];
                    for (int i = 0; i < g.length; i++) g[i] = (float) (random.nextGaussian() * (t % 2 == 0 ? 1 : 1e-3));
                    if (t % 5 == 3 && n == 4) g[9000] = Float.NaN;
                    da.get("W" + n).set(g);
                    db.get("W" + n).set(g);
                }
                expected.update(a, da);
                actual.update(b, db);
                assertEquals(expected.norm(), actual.norm());
            }
            assertEquals(2, expected.skipped());
            assertEquals(2, actual.skipped());
            assertEquals(10, actual.steps());
            for (String name : a.keySet()) {
                assertSameBits(a.get(name).get(), b.get(name).get());
                assertSameState(expected.state(name), actual.state(name));
            }
        }
    }

    /** More steps than the ring of scalars holds, some of them left out at random, under a schedule in which every step is another. */
    @Test
    void aLongRunWithStepsLeftOutFollowsTheCpu() {
        Schedule decay = t -> Momentum.of(1.0 / t).momentum(0.9);
        Random random = new Random(SEED);
        try (Engine cpu = Engine.cpu(1)) {
            Tensor a = cpu.tensor(floats(1, 2, 3)), b = engine.tensor(floats(1, 2, 3));
            Tensor good = cpu.tensor(floats(1, -1, 0.5)), bad = cpu.tensor(floats(1, Double.NaN, 0));
            Tensor good2 = engine.tensor(good.get()), bad2 = engine.tensor(bad.get());
            Optimizer expected = cpu.optimizer(decay).guard(Guard.clipNorm(1)),
                    actual = engine.optimizer(decay).guard(Guard.clipNorm(1));
            for (int t = 0; t < 4000; t++) {
                boolean leaveOut = t < 1100 ? t % 2 == 0 : random.nextInt(10) == 0;
                expected.update(a, leaveOut ? bad : good);
                actual.update(b, leaveOut ? bad2 : good2);
            }
            assertSameBits(a.get(), b.get());
            assertEquals(expected.steps(), actual.steps());
            assertEquals(expected.skipped(), actual.skipped());
            assertEquals(4000, actual.steps() + actual.skipped());
        }
    }

    @Test
    void aRunThatIsResumedGoesOnWithTheSameBits() {
        Tensor p = engine.tensor(floats(1, 2)), q = engine.tensor(floats(1, 2)), g = engine.tensor(floats(3, 4));
        Optimizer whole = engine.optimizer(Adam.of(0.1)).guard(Guard.clipNorm(1)),
                first = engine.optimizer(Adam.of(0.1)).guard(Guard.clipNorm(1));
        for (int t = 0; t < 6; t++) whole.update(p, g);
        for (int t = 0; t < 2; t++) first.update(q, g);
        Optimizer second = engine.optimizer(Adam.of(0.1)).guard(Guard.clipNorm(1));
        second.resume(first.steps(), Map.of(Optimizer.SINGLE, first.state(Optimizer.SINGLE)));
        assertEquals(2, second.steps());
        for (int t = 0; t < 4; t++) second.update(q, g);
        assertEquals(6, second.steps());
        assertSameBits(p.get(), q.get());
    }

    /** As many updates are left out before each step as it takes for what was sent last to come round the ring to its place. */
    @Test
    void aStepThatWaitsForAThousandUpdatesHasItsOwnScalars() {
        Tensor p = engine.zeros(1), good = engine.tensor(floats(1)), bad = engine.tensor(floats(Double.NaN));
        Optimizer sgd = engine.optimizer(t -> Sgd.of(t)).guard(Guard.clipNorm(1));
        float expected = 0;
        for (int t = 1; t <= 3; t++) {
            for (int n = 0; n < 1100; n++) sgd.update(p, bad);
            sgd.update(p, good);
            expected -= t;
            assertEquals(expected, p.get()[0], "after step " + t);
        }
        assertEquals(3, sgd.steps());
        assertEquals(3300, sgd.skipped());
    }

    @Test
    void whoIsResumedForgetsWhatItCountedAndFollowsTheScheduleFromThere() {
        Tensor p = engine.zeros(1), good = engine.tensor(floats(1)), bad = engine.tensor(floats(Double.NaN));
        Optimizer sgd = engine.optimizer(t -> Sgd.of(t)).guard(Guard.clipNorm(1));
        for (int t = 1; t <= 1500; t++) sgd.update(p, good);
        sgd.update(p, bad);
        assertEquals(1, sgd.skipped());
        sgd.resume(3, Map.of(Optimizer.SINGLE, Map.of()));
        assertEquals(3, sgd.steps());
        assertEquals(0, sgd.skipped());
        assertEquals(0, sgd.norm());
        p.set(0);
        for (int n = 0; n < 600; n++) sgd.update(p, bad); // the ring counts from there, too
        float expected = 0;
        for (int t = 4; t <= 1103; t++) {
            sgd.update(p, good);
            expected -= t; // whole numbers below 2^24
        }
        assertEquals(expected, p.get()[0]);
        assertEquals(1103, sgd.steps());
    }

    @Test
    void noParametersAtAllHaveTheNormZero() {
        Optimizer adam = engine.optimizer(Adam.of()).guard(Guard.clipNorm(1));
        adam.update(engine.zeros(0), engine.zeros(0));
        adam.update(Map.of(), Map.of());
        assertEquals(0, adam.norm());
        assertEquals(2, adam.steps());
    }

    @Test
    void aLimitThatIsNoneIsRefusedAndSoIsAskingTooLate() {
        for (double max : new double[] {0, -1, Double.NaN, Double.POSITIVE_INFINITY, 1e39, 1e-50}) {
            refused(
                    IllegalArgumentException.class,
                    () -> engine.optimizer(Sgd.of()).guard(Guard.clipNorm(max)),
                    "max",
                    String.valueOf(max));
        }
        Optimizer sgd = engine.optimizer(Sgd.of());
        refused(IllegalStateException.class, sgd::norm, "clipNorm");
        assertEquals(0, sgd.skipped());
        sgd.update(engine.zeros(1), engine.zeros(1));
        refused(IllegalStateException.class, () -> sgd.guard(Guard.clipNorm(1)), "before the first update");
        refused(IllegalStateException.class, sgd::zeroGradients, "before the first update");
    }

    /** The numbers of a guard are told to a device in float. */
    @Test
    void whatFloatCannotHoldIsRefused() {
        for (double scale : new double[] {0, -1, Double.NaN, Double.POSITIVE_INFINITY, 1e39, 0x1p-127}) {
            refused(IllegalArgumentException.class, () -> Guard.NONE.scale(scale), "scale", String.valueOf(scale));
        }
        for (Guard clips : List.of(Guard.clipNorm(1), Guard.clipTensorNorm(1))) {
            refused(IllegalArgumentException.class, () -> clips.skips(false), "not finite", "false");
        }
        for (double held : new double[] {Float.MIN_NORMAL, Float.MAX_VALUE}) {
            assertEquals(held, Guard.clipNorm(held).scale(held).scale());
        }
        assertEquals(Float.MIN_VALUE, Guard.clipValue(Float.MIN_VALUE).limit());
        Guard all = new Guard(Guard.Clip.VALUE, 2, 0.25, false, true);
        assertEquals(all, Guard.clipValue(2).skips(true).scale(0.25));
        assertEquals(all, Guard.clipValue(2).scale(0.25).skips(true));
    }

    @Test
    void aGuardIsOneValueAndASecondIsRefused() {
        Tensor p = engine.zeros(2);
        Optimizer sgd = engine.optimizer(Sgd.of(1)).guard(Guard.NONE).guard(Guard.clipNorm(1));
        for (Guard second : List.of(Guard.clipValue(1), Guard.clipNorm(1), Guard.NONE)) {
            refused(
                    IllegalStateException.class,
                    () -> sgd.guard(second),
                    "one guard",
                    "clip=NORM",
                    "clipNorm(1).scale");
        }
        sgd.update(p, engine.tensor(floats(3, 4)));
        assertEquals(5, sgd.norm(), "the first is still there");
    }

    @Test
    void aClippedStepAllocatesNothingOnTheHeap() {
        Tensor p = engine.zeros(5000), g = engine.tensor(filled(5000));
        Optimizer adam = engine.optimizer(Adam.of()).guard(Guard.clipNorm(1));
        Runnable steps = () -> {
            for (int t = 0; t < 100; t++) adam.update(p, g);
        };
        assertEquals(0, Allocations.least(steps), "bytes on the heap");
    }

    private static float[] filled(int size) {
        float[] values = new float[size];
        Arrays.fill(values, 1);
        return values;
    }

    // ---- each tensor for itself, each element for itself, and the scale ----

    /** Norms of 5 and 10 are held down to 5; a norm of 4 is left alone. Whole numbers and halves: exact. */
    @Test
    void eachTensorIsClippedByItsOwnNorm() {
        Map<String, Tensor> p = Map.of("a", engine.zeros(2), "b", engine.zeros(2), "c", engine.zeros(1));
        Map<String, Tensor> g = Map.of(
                "a", engine.tensor(floats(3, -4)), "b", engine.tensor(floats(6, 8)), "c", engine.tensor(floats(4)));
        Optimizer sgd = engine.optimizer(Sgd.of(1)).guard(Guard.clipTensorNorm(5));
        sgd.update(p, g);
        assertSameBits(floats(-3, 4), p.get("a").get());
        assertSameBits(floats(-3, -4), p.get("b").get());
        assertSameBits(floats(-4), p.get("c").get());
        assertEquals(Math.sqrt(25 + 100 + 16), sgd.norm(), "of all of them, before clipping");
        g.get("c").set(Float.NaN);
        sgd.update(p, g);
        assertEquals(1, sgd.skipped());
        assertSameBits(floats(-3, 4), p.get("a").get());
    }

    /** More tensors than one round of the reduction takes, and one in a round of its own, each of a norm of its own: 2n, held down to 64. */
    @ParameterizedTest
    @CsvSource({"60,61", "60,69", "0,100"})
    void manyTensorsAreEachClippedByTheirOwnNorm(int from, int to) {
        Map<String, Tensor> p = new HashMap<>(), g = new HashMap<>();
        for (int n = from; n < to; n++) {
            p.put("W" + n, engine.tensor(floats(1, 1, 1, 1)));
            g.put("W" + n, engine.tensor(floats(n, -n, n, -n)));
        }
        engine.optimizer(Sgd.of(1)).guard(Guard.clipTensorNorm(64)).update(p, g);
        for (int n = from; n < to; n++) {
            float by = n <= 32 ? 1 : (float) (64 / (2.0 * n));
            float down = 1 - by * n, up = 1 + by * n;
            assertSameBits(new float[] {down, up, down, up}, p.get("W" + n).get());
        }
    }

    /** More pieces than lanes add up, and more tensors than threads: of ones, whose sums are whole numbers. */
    @ParameterizedTest
    @CsvSource({"150000,1", "3,300"})
    void everyPieceOfEveryTensorIsInItsNorm(int size, int tensors) {
        for (Guard guard : List.of(Guard.clipNorm(0.25), Guard.clipTensorNorm(0.25))) {
            Map<String, Tensor> p = new HashMap<>(), g = new HashMap<>();
            for (int n = 0; n < tensors; n++) {
                p.put("W" + n, engine.zeros(size));
                g.put("W" + n, engine.tensor(filled(size)));
            }
            Optimizer sgd = engine.optimizer(Sgd.of(1)).guard(guard);
            sgd.update(p, g);
            double all = Math.sqrt((double) size * tensors),
                    clipped = guard.clip() == Guard.Clip.NORM ? all : Math.sqrt(size);
            assertEquals(all, sgd.norm());
            float[] expected = new float[size];
            Arrays.fill(expected, -(float) (0.25 / clipped));
            p.forEach((name, param) -> assertSameBits(expected, param.get()));
        }
    }

    /** A quarter of 8, −20 and 2 is 2, −5 and ½; held down to 3 that is 2, −3 and ½. Clipped first it would be ¾, −¾ and ½. */
    @Test
    void elementsAreClippedAfterTheyAreScaled() {
        Tensor p = engine.zeros(6), g = engine.zeros(6);
        g.set(8, -20, 2, Float.POSITIVE_INFINITY, Float.NaN, -0.0f);
        Optimizer sgd = engine.optimizer(Sgd.of(1)).guard(Guard.clipValue(3).scale(0.25));
        sgd.update(p, g);
        assertSameBits(new float[] {-2, 3, -0.5f, -3, Float.NaN, 0}, p.get());
        assertEquals(8, g.get()[0], "the gradient itself stays as it was");
        refused(IllegalStateException.class, sgd::norm, "no norm is taken");
        Optimizer skips = engine.optimizer(Sgd.of(1)).guard(Guard.clipValue(3).skips(true));
        skips.update(engine.zeros(6), g);
        assertEquals(1, skips.skipped());
        p.zero();
        engine.optimizer(Sgd.of(1)).guard(Guard.clipValue(Float.MAX_VALUE)).update(p, g);
        assertSameBits(floats(-Float.MAX_VALUE, Float.NaN), Arrays.copyOfRange(p.get(), 3, 5));
    }

    /** The norm is that of the scaled gradients: ¼ · √(12² + 16²) = 5, so that a largest norm of 5 changes nothing, and one of 2½ halves them. */
    @Test
    void theNormIsThatOfTheScaledGradients() {
        for (double max : new double[] {5, 2.5}) {
            Tensor p = engine.zeros(2);
            Optimizer sgd =
                    engine.optimizer(Sgd.of(1)).guard(Guard.clipNorm(max).scale(0.25));
            sgd.update(p, engine.tensor(floats(12, -16)));
            assertEquals(5, sgd.norm());
            assertSameBits(floats(-3 * max / 5, 4 * max / 5), p.get());
        }
    }

    /** Eight micro-batches added up in one gradient, of which the step takes the mean: the same as a step against their mean. */
    @Test
    void aSumOverMicroBatchesIsScaledToTheirMean() {
        Tensor p = engine.zeros(2), sum = engine.zeros(2), batch = engine.zeros(2);
        Optimizer sgd =
                engine.optimizer(Sgd.of(0.5)).guard(Guard.NONE.scale(1.0 / 8)).zeroGradients();
        for (int step = 0; step < 3; step++) {
            for (int n = 1; n <= 8; n++) {
                batch.set(n, -2 * n);
                sum.add(batch, 1);
            }
            sgd.update(p, sum);
            assertSameBits(floats(0, 0), sum.get());
        }
        assertSameBits(floats(3 * -0.5 * 4.5, 3 * 0.5 * 9), p.get());
    }

    // ---- who hears of steps left out ----

    /** Late, and in the end of all of them; what the listener asks for changes nothing. */
    @Test
    void aListenerHearsOfStepsLeftOutWithinTwoWindows() {
        Tensor p = engine.zeros(1), good = engine.tensor(floats(1)), bad = engine.tensor(floats(Double.NaN));
        List<Long> told = new ArrayList<>();
        Optimizer sgd = engine.optimizer(Sgd.of(1)).guard(Guard.skipNonFinite()).onSkip(told::add);
        for (int t = 0; t < 64; t++) sgd.update(p, t % 2 == 0 ? bad : good);
        for (int t = 0; t < 3 * Control.WINDOW; t++) sgd.update(p, good);
        assertEquals(List.of(32L), told);
        sgd.update(p, bad);
        for (int t = 0; t < 3 * Control.WINDOW; t++) sgd.update(p, good);
        assertEquals(List.of(32L, 33L), told);
    }

    @Test
    void aListenerHearsThoughSomebodyAsksForTheNormAfterEveryUpdate() {
        Tensor p = engine.zeros(1), bad = engine.tensor(floats(Double.NaN));
        List<Long> told = new ArrayList<>();
        Optimizer sgd = engine.optimizer(Sgd.of(1)).guard(Guard.skipNonFinite()).onSkip(told::add);
        for (int t = 1; t <= 3 * Control.WINDOW; t++) {
            sgd.update(p, bad);
            assertEquals(Double.NaN, sgd.norm());
        }
        assertTrue(!told.isEmpty() && told.get(told.size() - 1) > Control.WINDOW, told.toString());
    }

    /** More updates left out than the ring holds, and somebody who looks after each of them. */
    @Test
    void whoLooksAfterEveryUpdateDisturbsNoStep() {
        Tensor p = engine.zeros(1), good = engine.tensor(floats(1)), bad = engine.tensor(floats(Double.NaN));
        Optimizer sgd = engine.optimizer(t -> Sgd.of(t)).guard(Guard.clipNorm(1));
        for (int t = 1; t <= Control.RING + Control.WINDOW; t++) {
            sgd.update(p, bad);
            assertEquals(t, sgd.skipped());
        }
        sgd.update(p, good);
        sgd.update(p, good);
        assertSameBits(floats(-3), p.get());
        assertEquals(2, sgd.steps());
    }

    @Test
    void aResumeSetsEveryCountBeforeTheFirstUpdateAndAfterIt() {
        Tensor p = engine.zeros(1), g = engine.tensor(floats(1));
        Optimizer sgd = engine.optimizer(Sgd.of(1)).guard(Guard.skipNonFinite());
        sgd.resume(new Counts(0, 4, List.of(0L)), Map.of());
        sgd.update(p, g);
        assertEquals(new Counts(1, 4, List.of(1L)), sgd.counts(), "all steps so far were left out");
        sgd.resume(new Counts(10, 2, List.of(7L)), Map.of());
        sgd.update(p, g);
        assertEquals(new Counts(11, 2, List.of(8L)), sgd.counts());
    }

    @Test
    void aListenerHearsTheTotalAfterAResume() {
        Tensor p = engine.zeros(1), bad = engine.tensor(floats(Double.NaN));
        List<Long> told = new ArrayList<>();
        Optimizer sgd = engine.optimizer(Sgd.of(1)).guard(Guard.skipNonFinite()).onSkip(told::add);
        sgd.resume(new Counts(100, 40, List.of(100L)), Map.of());
        assertEquals(40, sgd.skipped());
        Tensor good = engine.tensor(floats(1));
        for (int t = 0; t < 3 * Control.WINDOW; t++) sgd.update(p, good);
        assertEquals(List.of(), told, "the forty are old news");
        sgd.update(p, bad);
        for (int t = 0; t < 3 * Control.WINDOW; t++) sgd.update(p, good);
        assertEquals(List.of(41L), told);
        assertEquals(new Counts(100 + 6 * Control.WINDOW, 41, List.of(100L + 6 * Control.WINDOW)), sgd.counts());
    }

    @Test
    void anUpdateWhoseListenerThrowsHasDoneNothing() {
        Tensor p = engine.zeros(1), good = engine.tensor(floats(1)), bad = engine.tensor(floats(Double.NaN));
        Optimizer sgd = engine.optimizer(Sgd.of(1)).guard(Guard.skipNonFinite()).onSkip(skipped -> {
            throw new UnsupportedOperationException("enough");
        });
        sgd.update(p, bad);
        int done = 0;
        while (done < 4 * Control.WINDOW) {
            try {
                sgd.update(p, good);
            } catch (UnsupportedOperationException e) {
                break;
            }
            done++;
        }
        assertTrue(done < 4 * Control.WINDOW, "nobody was told");
        assertEquals(done, sgd.steps());
        sgd.update(p, good);
        assertSameBits(floats(-done - 1), p.get());
    }

    /** Neither step is lost, and neither goes to the other's parameter. */
    @Test
    void aListenerMayStepAnotherParameterItself() {
        Tensor p = engine.zeros(1), q = engine.zeros(1);
        Tensor good = engine.tensor(floats(1)), bad = engine.tensor(floats(Double.NaN));
        Optimizer[] sgd = new Optimizer[1];
        int[] own = {0};
        sgd[0] = engine.optimizer(Sgd.of(1)).guard(Guard.skipNonFinite()).onSkip(skipped -> {
            own[0]++;
            sgd[0].update(Map.of("q", q), Map.of("q", good));
        });
        sgd[0].update(p, bad);
        for (int t = 0; t < 3 * Control.WINDOW; t++) sgd[0].update(p, good);
        assertEquals(1, own[0]);
        assertSameBits(floats(-1), q.get());
        assertSameBits(floats(-3 * Control.WINDOW), p.get());
    }

    /** In the same launch as the step, and where it is left out; the frozen have none that matter. */
    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void zeroIsLeftInTheGradientsAlsoOfAStepLeftOut(boolean clipsElements) {
        Guard guard = clipsElements ? Guard.clipValue(1).skips(true) : Guard.clipNorm(1);
        Map<String, Tensor> p = new HashMap<>(), g = new HashMap<>();
        for (int size : new int[] {0, 1, 5, 4097, 200_003}) {
            p.put("W" + size, engine.zeros(size));
            g.put("W" + size, engine.tensor(filled(size)));
        }
        Optimizer adam = engine.optimizer(Adam.of()).guard(guard).zeroGradients();
        adam.update(p, g);
        g.forEach((name, grad) -> assertSameBits(new float[(int) grad.size()], grad.get()));
        float[] before = p.get("W4097").get();
        for (String name : g.keySet()) g.get(name).set(filled((int) g.get(name).size()));
        g.get("W1").set(Float.NaN);
        adam.update(p, g);
        assertEquals(1, adam.skipped());
        g.forEach((name, grad) -> assertSameBits(new float[(int) grad.size()], grad.get()));
        assertSameBits(before, p.get("W4097").get());
    }

    @Test
    void aGradientThatIsToBeZeroServesOneParameterOnly() {
        Tensor g = engine.tensor(floats(1));
        Map<String, Tensor> p = Map.of("a", engine.zeros(1), "b", engine.zeros(1));
        refused(
                IllegalArgumentException.class,
                () -> engine.optimizer(Sgd.of(1)).zeroGradients().update(p, Map.of("a", g, "b", g)),
                "grads 'b'",
                "grads 'a'");
    }
}
