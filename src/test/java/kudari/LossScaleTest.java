package kudari;

import static kudari.CollectiveTest.run;
import static kudari.OptimizerTest.refused;
import static kudari.RulesTest.assertSameBits;
import static kudari.RulesTest.assertSameState;
import static kudari.RulesTest.floats;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.TreeMap;
import java.util.stream.Stream;
import kudari.checkpoint.Checkpoint;
import kudari.checkpoint.Safetensors;
import kudari.rule.Adam;
import kudari.rule.AdamW;
import kudari.rule.Momentum;
import kudari.rule.Muon;
import kudari.rule.Rule;
import kudari.rule.Sgd;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** A loss scale: how it moves, what steps make of it, and where it goes on after a stop; on every engine. */
class LossScaleTest {

    private static final long SEED = 216;

    private Engine engine;

    @BeforeEach
    void open() {
        engine = Engines.open();
    }

    @AfterEach
    void close() {
        engine.close();
    }

    /** One parameter whose gradient is ½, or not finite, of a loss that is multiplied by a scale: Sgd of rate 1 takes ½ off. */
    private final class Half {

        final LossScale scale;
        final Tensor p = engine.zeros(1), g = engine.zeros(1);
        final Optimizer optimizer;

        Half(LossScale scale, Guard guard) {
            this.scale = scale;
            optimizer = engine.optimizer(Sgd.of(1)).guard(guard).lossScale(scale);
        }

        Half(LossScaling scaling) {
            this(engine.lossScale(scaling), Guard.NONE);
        }

        Half step(boolean overflows) {
            g.set(overflows ? Float.POSITIVE_INFINITY : 0.5f * scale.value());
            optimizer.update(p, g);
            return this;
        }

        void expect(float value, long good, long left) {
            assertEquals(new LossScale.State(value, good, left, false), scale.state());
        }
    }

    // ---- how it moves ----

    /**
     * By hand from PyTorch's {@code _amp_update_scale_}, which {@code GradScaler.update} calls. With an overflow: scale ← scale · backoff, tracker ← 0. Without:
     * tracker + 1, and where that is the interval, scale ← scale · growth, tracker ← 0. With growth 2, backoff ½ and an interval of 3, from 4.
     *
     * <p>Each row: whether the step overflows, the scale and the tracker after it, and steps done so far.
     */
    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void theSequenceOfGradScalerByHand(boolean clips) {
        Guard guard = clips ? Guard.clipNorm(1) : Guard.NONE; // a norm of ½ stays as it is
        Half half = new Half(engine.lossScale(LossScaling.dynamic().initial(4).interval(3)), guard);
        Object[][] rows = {
            {false, 4, 1, 1},
            {false, 4, 2, 2},
            {false, 8, 0, 3}, // the third in a row: doubled, counted from 0
            {false, 8, 1, 4},
            {true, 4, 0, 4}, // left out: halved, and the tracker begins at 0
            {false, 4, 1, 5},
            {false, 4, 2, 6},
            {true, 2, 0, 6}, // so near: two good steps count for nothing
            {true, 1, 0, 6}, // and again at once
            {true, 0.5, 0, 6}, // below 1, as PyTorch goes
            {false, 0.5, 1, 7},
            {false, 0.5, 2, 8},
            {false, 1, 0, 9},
            {false, 1, 1, 10},
            {false, 1, 2, 11},
            {false, 2, 0, 12}
        };
        int overflows = 0;
        for (Object[] row : rows) {
            half.step((boolean) row[0]);
            if ((boolean) row[0]) overflows++;
            half.expect(((Number) row[1]).floatValue(), (int) row[2], 1);
            assertSameBits(floats(-0.5 * (int) row[3]), half.p.get());
            assertEquals((int) row[3], half.optimizer.steps());
            assertEquals(overflows, half.optimizer.skipped());
        }
    }

    /** PyTorch's defaults: 2¹⁶ is 2¹⁷ after 2,000 steps and not after 1,999. */
    @Test
    void itDoublesAfterTwoThousandGoodSteps() {
        LossScale scale = engine.lossScale(LossScaling.dynamic());
        assertEquals(65536, scale.value());
        Tensor p = engine.zeros(1), g = engine.zeros(1);
        Optimizer sgd = engine.optimizer(Sgd.of(1)).lossScale(scale);
        sgd.update(p, g);
        assertEquals(new LossScale.State(65536, 1, 1, false), scale.state());
        sgd.resume(new Counts(1998, 0, List.of(1998L)).lossScale(new LossScale.State(65536, 1998, 1, false)), Map.of());
        sgd.update(p, g);
        assertEquals(new LossScale.State(65536, 1999, 1, false), scale.state());
        sgd.update(p, g);
        assertEquals(new LossScale.State(131072, 0, 1, false), scale.state());
    }

    /**
     * By hand from DeepSpeed's {@code DynamicLossScaler.update_scale} and Megatron's {@code DynamicGradScaler.update}, with a hysteresis of 2, a window of 2, and
     * ½ and 2. An overflow takes one of what is left, and only where one is left it halves, and again each time; growth, and nothing else, makes it 2 again.
     *
     * <p>DeepSpeed's window begins at the last overflow, and that of a tolerated one, too: {@code (cur_iter − last_overflow_iter) % scale_window == 0}.
     */
    @Test
    void aHysteresisToleratesOverflowsAsDeepSpeedDoes() {
        Half half = new Half(LossScaling.dynamic().initial(16).interval(2).hysteresis(2));
        half.expect(16, 0, 2);
        half.step(true).expect(16, 0, 1); // tolerated
        half.step(true).expect(8, 0, 1);
        half.step(true).expect(4, 0, 1); // none is left to tolerate
        half.step(false).expect(4, 1, 1);
        half.step(true).expect(2, 0, 1);
        half.step(false).expect(2, 1, 1);
        half.step(false).expect(4, 0, 2); // it grows, and one may overflow again
        half.step(false).expect(4, 1, 2);
        half.step(true).expect(4, 0, 1); // tolerated, but two good steps begin anew
        half.step(false).expect(4, 1, 1);
        half.step(false).expect(8, 0, 2);
        assertEquals(new Counts(6, 5, List.of(6L)).lossScale(half.scale.state()), half.optimizer.counts());
        assertSameBits(floats(-3), half.p.get());
    }

    @Test
    void aFixedScaleStaysAndStepsThatOverflowAreLeftOut() {
        Half half = new Half(LossScaling.fixed(1024).interval(3));
        for (int t = 0; t < 7; t++) half.step(false);
        half.step(true).step(true).step(false);
        assertEquals(1024, half.scale.value());
        assertSameBits(floats(-4), half.p.get());
        assertEquals(2, half.optimizer.skipped());
    }

    @Test
    void itStaysBetweenFloorAndCeiling() {
        Half half =
                new Half(LossScaling.dynamic().initial(2).interval(1).floor(1).ceiling(6));
        half.step(false).expect(4, 0, 1);
        half.step(false).expect(6, 0, 1);
        half.step(false).expect(6, 0, 1);
        half.step(true).expect(3, 0, 1);
        half.step(true).expect(1.5f, 0, 1);
        half.step(true).expect(1, 0, 1);
        half.step(true).expect(1, 0, 1);
        half.step(false).expect(2, 0, 1);
    }

    /** Neither it nor one over it becomes infinite or subnormal: PyTorch's would be 0 or 2¹²⁷ here. */
    @Test
    void withoutAnotherFloorOrCeilingItStaysANormalNumber() {
        Half up = new Half(LossScaling.dynamic().initial(0x1p125).interval(1).growth(0x1p100));
        up.step(false).expect(0x1p126f, 0, 1);
        up.step(false).expect(0x1p126f, 0, 1);
        assertSameBits(floats(-1), up.p.get());
        Half down = new Half(LossScaling.dynamic().initial(0x1p-125).backoff(0x1p-100));
        down.step(true).expect(0x1p-126f, 0, 1);
        down.step(true).expect(0x1p-126f, 0, 1);
        down.step(false).expect(0x1p-126f, 1, 1);
    }

    /** 10 · 1.1 = 11.000000000000000888 as doubles and 11 as float32; 11 · 0.7 = 7.7, of which float32 has 7.6999998. */
    @Test
    void eachProductIsOneOfDoublesAndRoundedOnce() {
        Half half = new Half(
                LossScaling.dynamic().initial(10).interval(1).growth(1.1).backoff(0.7));
        half.step(false).expect(11, 0, 1);
        half.step(true).expect(7.7f, 0, 1);
        // 7.7f is 7.69999980926513671875; times 1.1 that is 8.469999790191650…, of which 8.47 − 2.1e-7 is the nearest
        // float32.
        half.step(false).expect(Float.intBitsToFloat(0x4107851e), 0, 1);
    }

    // ---- what a step makes of it ----

    static Stream<Rule> rules() {
        return Stream.concat(RulesTest.TABLE.stream().map(row -> row.of().apply(0.01)), Stream.of(Muon.of(0.01)))
                .distinct();
    }

    /** Of a power of two nothing is rounded: whatever the rule and the guard, steps are those of gradients that nobody has multiplied. */
    @ParameterizedTest
    @MethodSource("rules")
    void stepsAreThoseOfGradientsThatNobodyMultiplied(Rule rule) {
        Random random = new Random(SEED);
        List<Guard> guards = List.of(
                Guard.skipNonFinite(),
                Guard.clipNorm(2).scale(0.3),
                Guard.clipTensorNorm(1),
                Guard.clipValue(0.5).skips(true).maximizes(true));
        // In software one is enough: what a guard makes of a scale is nothing of a rule's.
        for (Guard each : Engines.onSoftware() ? guards.subList(1, 2) : guards) {
            Tensor a = engine.tensor(random(random, 12), 3, 4),
                    b = engine.tensor(a.get(), 3, 4),
                    g = engine.zeros(3, 4),
                    scaled = engine.zeros(3, 4);
            Optimizer plain = engine.optimizer(rule).guard(each),
                    divides = engine.optimizer(rule).guard(each).lossScale(engine.lossScale(LossScaling.fixed(0x1p20)));
            for (int t = 0; t < 3; t++) {
                g.set(random(random, 12));
                scaled.zero();
                scaled.add(g, 0x1p20f);
                plain.update(a, g);
                divides.update(b, scaled);
                assertEquals(plain.norm(), divides.norm());
            }
            assertSameBits(a.get(), b.get());
            assertSameState(plain.state(Optimizer.SINGLE), divides.state(Optimizer.SINGLE));
        }
    }

    private static float[] random(Random random, int size) {
        float[] values = new float[size];
        for (int i = 0; i < size; i++) values[i] = (float) random.nextGaussian();
        return values;
    }

    /** Of 1024 times (3, −4): the norm is 5, held down to 1 that is a fifth; elements are held down to 3½. */
    @ParameterizedTest
    @CsvSource({"norm,-0.6,0.8", "tensor,-0.6,0.8", "value,-3,3.5", "up,3,-4"})
    void clippingIsOfGradientsDividedByTheScale(String clip, double first, double second) {
        Guard guard =
                switch (clip) {
                    case "norm" -> Guard.clipNorm(1);
                    case "tensor" -> Guard.clipTensorNorm(1);
                    case "value" -> Guard.clipValue(3.5);
                    default -> Guard.maximize();
                };
        Tensor p = engine.zeros(2), g = engine.tensor(floats(3072, -4096));
        Optimizer sgd = engine.optimizer(Sgd.of(1)).guard(guard).lossScale(engine.lossScale(LossScaling.fixed(1024)));
        sgd.update(p, g);
        assertEquals(5, sgd.norm());
        assertEquals(first, p.get()[0], 0x1p-23);
        assertEquals(second, p.get()[1], 4 * 0x1p-23);
        assertSameBits(floats(3072, -4096), g.get());
    }

    /** The schedule, the average, the state and the counts are those of a run in which nobody asked for the steps left out. */
    @Test
    void aStepLeftOutMovesNeitherScheduleNorAverageNorCounts() {
        Schedule warmUp = t -> AdamW.of(0.1 * t);
        LossScale scale = engine.lossScale(LossScaling.dynamic().initial(256).interval(3));
        Tensor p = engine.tensor(floats(1, 2)), q = engine.tensor(floats(1, 2));
        Tensor g = engine.tensor(floats(0.5, -0.25)), scaled = engine.zeros(2);
        Optimizer expected = engine.optimizer(Group.rest(warmUp).average(0.5)),
                actual = engine.optimizer(Group.rest(warmUp).average(0.5)).lossScale(scale);
        for (int t = 0; t < 12; t++) {
            boolean overflows = t % 5 == 2 || t == 8;
            float by = scale.value();
            scaled.set(overflows ? Float.NaN : 0.5f * by, -0.25f * by);
            actual.update(q, scaled);
            if (!overflows) expected.update(p, g);
        }
        assertSameBits(p.get(), q.get());
        assertSameState(expected.state(Optimizer.SINGLE), actual.state(Optimizer.SINGLE));
        assertEquals(9, expected.steps());
        assertEquals(new Counts(9, 3, List.of(9L)).lossScale(scale.state()), actual.counts());
    }

    /**
     * Float16 ends at 65504: of a gradient of 1 a scale of 2¹⁶ makes infinity, one of 2¹⁵ does not. So after each four good steps there is one that is left
     * out. In a graph as outside, for the kernel of the loss reads the scale where it is.
     */
    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void gradientsOfFloat16OverflowAndTheScaleFindsItsPlace(boolean captured) {
        LossScale scale = engine.lossScale(LossScaling.dynamic().interval(4));
        Tensor p = engine.zeros(Dtype.F16, 3), g = engine.zeros(Dtype.F16, 3), raw = engine.zeros(3);
        Tensor x = engine.tensor(floats(1, 0.25, -0.5));
        Optimizer sgd = engine.optimizer(Sgd.of(0x1p-6)).lossScale(scale);
        Runnable step = () -> {
            multiply(raw, x, scale);
            g.set(raw);
            sgd.update(p, g);
        };
        step.run();
        List<Float> scales = new ArrayList<>(List.of(scale.value()));
        try (Graph graph = engine.capture(step)) {
            for (int t = 1; t < 13; t++) {
                if (captured) graph.launch();
                else step.run();
                scales.add(scale.value());
            }
        }
        float low = 32768, high = 65536;
        assertEquals(List.of(low, low, low, low, high, low, low, low, low, high, low, low, low), scales);
        assertEquals(10, sgd.steps());
        assertEquals(3, sgd.skipped());
        assertSameBits(floats(-10.0 / 64, -2.5 / 64, 5.0 / 64), p.get());
    }

    /** What the kernel of a loss does: reads the scale where it is. */
    private void multiply(Tensor to, Tensor x, LossScale scale) {
        if (engine instanceof CudaEngine cuda) {
            if (kernel == null)
                kernel = cuda.kernel(
                        "times.cu",
                        "extern \"C\" __global__ void times(float* to, const float* x, const float* scale, int n) {"
                                + " if (threadIdx.x < n) to[threadIdx.x] = *scale * x[threadIdx.x]; }",
                        "times");
            kernel.set(0, to).set(1, x).set(2, scale.tensor()).set(3, to.size()).launch(1, 32);
            return;
        }
        to.zero();
        to.add(x, scale.tensor().get()[0]);
    }

    private CudaKernel kernel;

    @Test
    void whatIsWrittenToTheTensorIsTheScale() {
        Half half = new Half(LossScaling.dynamic().interval(2));
        assertEquals(0, half.scale.tensor().shape().length);
        half.scale.tensor().set(8);
        half.step(false).expect(8, 1, 1);
        half.step(false).expect(16, 0, 1);
        assertSameBits(floats(16), half.scale.tensor().get());
        assertSameBits(floats(-1), half.p.get());
    }

    /** Such a factor is too small, and a smaller scale is what helps: from 2⁶⁰ down to 2²⁶, which takes 34 steps. */
    @Test
    void aFactorThatFloatCannotHoldIsAnOverflow() {
        LossScale scale = engine.lossScale(LossScaling.dynamic().initial(0x1p60));
        Tensor p = engine.zeros(1), g = engine.tensor(floats(0x1p126));
        Optimizer sgd =
                engine.optimizer(Sgd.of(1)).guard(Guard.NONE.scale(0x1p-100)).lossScale(scale);
        for (int t = 0; t < 40; t++) sgd.update(p, g);
        assertEquals(0x1p26f, scale.value());
        assertEquals(34, sgd.skipped());
        assertSameBits(floats(-6), p.get());
        // And one that is too large never becomes less; the step is left out, where it would have made infinities.
        LossScale small = engine.lossScale(LossScaling.fixed(0x1p-60));
        Optimizer large =
                engine.optimizer(Sgd.of(1)).guard(Guard.NONE.scale(0x1p68)).lossScale(small);
        g.set(0x1p-127f);
        p.zero();
        large.update(p, g);
        assertEquals(1, large.skipped());
        assertSameBits(floats(0), p.get());
        Optimizer held =
                engine.optimizer(Sgd.of(1)).guard(Guard.NONE.scale(0x1p67)).lossScale(small);
        held.update(p, g);
        assertSameBits(floats(-1), p.get());
    }

    // ---- several optimizers ----

    /** As PyTorch has it where step is called for each and update once: found_inf of any halves, and each leaves out its own step alone. */
    @Test
    void theOptimizerThatWasGivenItLastMovesIt() {
        LossScale scale = engine.lossScale(LossScaling.dynamic().initial(16).interval(2));
        Half a = new Half(scale, Guard.NONE), b = new Half(scale, Guard.NONE);
        a.step(false).expect(16, 0, 1);
        b.step(false).expect(16, 1, 1);
        a.step(true); // left out; b's gradients are those of the scale before
        assertEquals(new LossScale.State(16, 1, 1, true), scale.state());
        b.step(false).expect(8, 0, 1);
        a.step(false).expect(8, 0, 1);
        b.step(true).expect(4, 0, 1);
        a.step(true);
        b.step(true).expect(2, 0, 1); // once for both
        a.step(false);
        b.step(false).expect(2, 1, 1);
        a.step(false).expect(2, 1, 1);
        b.step(false).expect(4, 0, 1);
        assertSameBits(floats(-2), a.p.get());
        assertSameBits(floats(-2), b.p.get());
        assertEquals(2, a.optimizer.skipped());
        assertEquals(2, b.optimizer.skipped());
    }

    @Test
    void aThirdMovesItFromItsFirstUpdateOnAndTheSecondWhenThatIsClosed() {
        LossScale scale = engine.lossScale(LossScaling.dynamic().initial(16).interval(2));
        Half a = new Half(scale, Guard.NONE), b = new Half(scale, Guard.NONE);
        a.step(false);
        b.step(false).expect(16, 1, 1);
        Half c = new Half(scale, Guard.NONE);
        b.step(false).expect(16, 1, 1); // waits for the third
        a.step(false).expect(16, 1, 1);
        c.step(false).expect(32, 0, 1);
        a.optimizer.close();
        b.step(false).expect(32, 0, 1);
        c.step(false).expect(32, 1, 1);
        c.optimizer.close();
        c.optimizer.close();
        b.step(true).expect(16, 0, 1);
        new Half(scale, Guard.NONE).optimizer.close(); // and one that never stepped
        b.step(true).expect(8, 0, 1);
        b.optimizer.close();
        Half d = new Half(scale, Guard.NONE);
        d.step(true).expect(4, 0, 1);
    }

    /** Whose updates move it is asked when they run, not when they are recorded. */
    @Test
    void aGraphKnowsWhoMovesItNow() {
        LossScale moving =
                engine.lossScale(LossScaling.dynamic().initial(4).interval(1).ceiling(0x1p20));
        Half a = new Half(moving, Guard.NONE);
        a.g.zero();
        a.optimizer.update(a.p, a.g);
        assertEquals(8, moving.value());
        try (Graph graph = engine.capture(() -> a.optimizer.update(a.p, a.g))) {
            graph.launch();
            assertEquals(16, moving.value());
            Half b = new Half(moving, Guard.NONE);
            graph.launch();
            assertEquals(16, moving.value());
            b.step(false);
            assertEquals(32, moving.value());
            graph.launch();
            assertEquals(32, moving.value());
            b.optimizer.close();
            graph.launch();
            assertEquals(64, moving.value());
            moving.close();
            refused(IllegalStateException.class, graph::launch, "the loss scale is closed");
        }
        assertEquals(5, a.optimizer.steps());
    }

    // ---- what the host hears ----

    /** Late, as of any step left out; a read that waits for nothing brings the scale. */
    @Test
    void aListenerHearsOfOverflowsLate() {
        List<Long> told = new ArrayList<>();
        LossScale scale = engine.lossScale(LossScaling.dynamic());
        Tensor p = engine.zeros(1), g = engine.tensor(floats(Double.NaN));
        Optimizer sgd = engine.optimizer(Sgd.of(1)).lossScale(scale).onSkip(told::add);
        sgd.update(p, g);
        assertEquals(List.of(), told);
        AsyncRead read = scale.tensor().asyncRead();
        read.start();
        g.zero();
        for (int t = 0; t < 3 * Control.WINDOW; t++) sgd.update(p, g);
        assertEquals(List.of(1L), told);
        assertSameBits(floats(32768), read.get());
    }

    @Test
    void aScaledStepAllocatesNothingOnTheHeap() {
        Tensor p = engine.zeros(5000), g = engine.zeros(5000);
        Optimizer adam = engine.optimizer(Adam.of()).lossScale(engine.lossScale(LossScaling.dynamic()));
        Runnable steps = () -> {
            for (int t = 0; t < 100; t++) adam.update(p, g);
        };
        assertEquals(0, Allocations.least(steps), "bytes on the heap");
    }

    // ---- stopping and going on ----

    /** A run of two optimizers and one scale, whose gradients overflow now and then. */
    private final class Pair {

        final LossScale scale =
                engine.lossScale(LossScaling.dynamic().initial(64).interval(3).hysteresis(2));
        final Map<String, Tensor> a = Map.of("a", engine.tensor(floats(1, 2, 3))),
                b = Map.of("b", engine.tensor(floats(-1, 4)));
        final Optimizer
                adam = engine.optimizer(Adam.of(0.1)).guard(Guard.clipNorm(1)).lossScale(scale),
                momentum = engine.optimizer(Momentum.of(0.1)).lossScale(scale);

        /** Half a step: of the first optimizer where n is even. */
        void half(int n) {
            Map<String, Tensor> params = n % 2 == 0 ? a : b;
            float by = n % 7 == 4 || n == 11 ? Float.POSITIVE_INFINITY : scale.value();
            Map<String, Tensor> grads = new TreeMap<>();
            params.forEach((name, p) -> {
                float[] g = p.get();
                for (int i = 0; i < g.length; i++) g[i] = g[i] * by;
                grads.put(name, engine.tensor(g));
            });
            (n % 2 == 0 ? adam : momentum).update(params, grads);
        }

        Pair run(int from, int to) {
            for (int n = from; n < to; n++) half(n);
            return this;
        }
    }

    /** Stopped also where the first has overflowed and the second has not stepped yet: at 5 and 19. */
    @ParameterizedTest
    @ValueSource(ints = {1, 5, 8, 12, 15, 19, 30})
    void aRunThatIsResumedHasTheBitsOfOneThatNeverStopped(int stop, @TempDir Path folder) throws IOException {
        Pair whole = new Pair().run(0, 40), first = new Pair().run(0, stop);
        Path[] files = {folder.resolve("a"), folder.resolve("b")};
        Checkpoint.of(first.adam, first.a, Map.of()).write(files[0]);
        Checkpoint.of(first.momentum, first.b, Map.of()).write(files[1]);
        Pair resumed = new Pair();
        Checkpoint.read(files[0]).restore(resumed.adam, resumed.a);
        Checkpoint.read(files[1]).restore(resumed.momentum, resumed.b);
        assertEquals(first.scale.state(), resumed.scale.state());
        assertEquals(stop == 5 || stop == 19, first.scale.state().overflowed());
        resumed.run(stop, 40);
        assertEquals(whole.scale.state(), resumed.scale.state());
        assertEquals(whole.adam.counts(), resumed.adam.counts());
        assertEquals(whole.momentum.counts(), resumed.momentum.counts());
        assertTrue(whole.adam.skipped() > 0 && whole.momentum.skipped() > 0);
        assertSameBits(whole.a.get("a").get(), resumed.a.get("a").get());
        assertSameBits(whole.b.get("b").get(), resumed.b.get("b").get());
        assertSameState(whole.adam.state("a"), resumed.adam.state("a"));
    }

    @Test
    void aFileSaysWhereTheScaleStandsAndOneWithoutIsReadAsEver(@TempDir Path folder) throws IOException {
        Path file = folder.resolve("x");
        Half half = new Half(LossScaling.dynamic().initial(3 * 0x1p-20).hysteresis(3))
                .step(false)
                .step(true);
        Map<String, Tensor> params = Map.of(Optimizer.SINGLE, half.p);
        Checkpoint.of(half.optimizer, params, Map.of()).write(file);
        assertEquals("2.861023E-6 0 2 false", Safetensors.read(file).metadata().get("lossScale"));
        assertEquals(
                new LossScale.State(3 * 0x1p-20f, 0, 2, false),
                Checkpoint.read(file).counts().lossScale().orElseThrow());
        Half other = new Half(LossScaling.dynamic());
        assertEquals(List.of(), Checkpoint.read(file).restoreWhatFits(other.optimizer, params));
        assertEquals(half.scale.state(), other.scale.state());
        Optimizer without = engine.optimizer(Sgd.of(1));
        String changed = assertRefused(() -> Checkpoint.read(file).restore(without, params));
        assertTrue(changed.contains("the loss scale: expected an optimizer that has one"), changed);
        assertEquals(1, Checkpoint.read(file).restoreWhatFits(without, params).size());
        assertEquals(new Counts(1, 1, List.of(1L)), without.counts());

        without.update(half.p, half.g);
        Checkpoint.of(without, params, Map.of()).write(file);
        assertNull(Safetensors.read(file).metadata().get("lossScale"), "as files were before there were any");
        String missing = assertRefused(() -> Checkpoint.read(file).restore(half.optimizer, params));
        assertTrue(missing.contains("the loss scale is missing"), missing);
        LossScale.State before = half.scale.state();
        assertEquals(
                1, Checkpoint.read(file).restoreWhatFits(half.optimizer, params).size());
        assertEquals(before, half.scale.state());
        Checkpoint.read(file).restore(without, params);
        refused(
                IllegalArgumentException.class,
                () -> Checkpoint.of(without, params, Map.of("lossScale", "1")),
                "the checkpoint itself uses this name");
    }

    private static String assertRefused(Executable call) {
        return assertThrows(IllegalArgumentException.class, call).getMessage();
    }

    @Test
    void aResumeIsOfTheSameKindOrIsRefusedAndNothingHasChanged() {
        Half half = new Half(LossScaling.dynamic().initial(8)).step(false);
        Optimizer without = engine.optimizer(Sgd.of(1));
        refused(
                IllegalArgumentException.class,
                () -> half.optimizer.resume(new Counts(5, 0, List.of(5L)), Map.of()),
                "lossScale: expected",
                "that had none");
        refused(
                IllegalArgumentException.class,
                () -> without.resume(half.optimizer.counts(), Map.of()),
                "lossScale: expected none",
                "State[scale=8.0");
        assertEquals(1, half.optimizer.steps());
        assertEquals(0, without.steps());
        half.optimizer.resume(5, Map.of());
        half.expect(8, 1, 1);
        assertEquals(5, half.optimizer.steps());
        LossScale.State state = new LossScale.State(0x1p10f, 7, 1, true);
        half.optimizer.resume(new Counts(2, 0, List.of(2L)).lossScale(state), Map.of());
        assertEquals(state, half.scale.state());
        half.step(false).expect(512, 0, 1);
        Half fixed = new Half(LossScaling.fixed(4));
        fixed.optimizer.resume(new Counts(2, 0, List.of(2L)).lossScale(state), Map.of());
        assertEquals(4, fixed.scale.value(), "what it was made with");
    }

    /**
     * One gradient of one rank overflows, so that only the rank whose parameter it is of sees it, and no rank steps; all scales move alike, and parameters are
     * those of one optimizer. The fourth rank has no parameter.
     */
    @ParameterizedTest
    @ValueSource(ints = {1, 2, 3, 4})
    void ranksAgreeOnTheScale(int size) {
        int[] sizes = {5, 4097, 70};
        LossScaling scaling = LossScaling.dynamic().initial(64).interval(2);
        float[][] ranks = run(size, (own, collective) -> {
            Map<String, Tensor> p = new TreeMap<>(), g = new TreeMap<>();
            for (int n = 0; n < sizes.length; n++) {
                p.put("W" + n, own.zeros(sizes[n]));
                g.put("W" + n, own.zeros(sizes[n]));
            }
            LossScale scale = own.lossScale(scaling);
            float[] scales = new float[8];
            try (ShardedOptimizer sharded = new ShardedOptimizer(own, collective, Group.rest(Sgd.of(1)))
                    .guard(Guard.NONE.scale(1.0 / size))
                    .lossScale(scale)) {
                for (int t = 0; t < scales.length; t++) {
                    float by = scale.value();
                    for (Tensor grad : g.values()) {
                        float[] values = new float[(int) grad.size()];
                        Arrays.fill(values, 0.5f * by);
                        grad.set(values);
                    }
                    if ((t == 3 || t == 4) && collective.rank() == size - 1) {
                        float[] overflown = new float[sizes[t - 3]];
                        overflown[overflown.length - 1] = Float.NEGATIVE_INFINITY;
                        g.get("W" + (t - 3)).set(overflown);
                    }
                    sharded.update(p, g);
                    scales[t] = scale.value();
                }
                assertEquals(new Counts(6, 2, List.of(6L)).lossScale(scale.state()), sharded.counts());
            }
            for (Tensor param : p.values()) for (float x : param.get()) assertEquals(-3, x);
            return scales;
        });
        // 64, 64 → 128, then one good; halved twice; two good double, and one more.
        for (float[] rank : ranks) assertSameBits(floats(64, 128, 128, 64, 32, 32, 64, 64), rank);
    }

    /** Each clips in its own way, over all ranks; what one of them leaves out, the scale that both have hears of on all ranks. */
    @ParameterizedTest
    @ValueSource(ints = {2, 3})
    void optimizersOfDifferentGuardsShareAScaleOverRanks(int size) {
        float[] expected = twoOptimizers(engine, Collective.local(), size);
        float[][] ranks = run(size, (own, collective) -> twoOptimizers(own, collective, size));
        for (float[] rank : ranks) assertSameBits(expected, rank);
    }

    /** What the scale was after each step, and all parameters at last; alone, with the sum of so many ranks' gradients. */
    private static float[] twoOptimizers(Engine own, Collective collective, int ranks) {
        int[] sizes = {5, 4097, 70, 300};
        Map<String, Tensor> p = new TreeMap<>(), g = new TreeMap<>();
        for (int n = 0; n < sizes.length; n++) {
            p.put("W" + n, own.zeros(sizes[n]));
            g.put("W" + n, own.zeros(sizes[n]));
        }
        LossScale scale = own.lossScale(LossScaling.dynamic().initial(8).interval(2));
        float[] results = new float[8];
        try (ShardedOptimizer norm = new ShardedOptimizer(own, collective, Group.rest(Adam.of(0.1)))
                        .guard(Guard.clipNorm(3))
                        .lossScale(scale);
                ShardedOptimizer value = new ShardedOptimizer(own, collective, Group.rest(Momentum.of(0.1)))
                        .guard(Guard.clipValue(0.25))
                        .lossScale(scale)) {
            for (int t = 0; t < results.length; t++) {
                float by = scale.value();
                for (int n = 0; n < sizes.length; n++) {
                    float[] sum = new float[sizes[n]];
                    for (int r = 0; r < ranks; r++) {
                        if (collective.size() > 1 && r != collective.rank()) continue;
                        Random random = new Random(SEED + 100 * t + 10 * n + r);
                        for (int i = 0; i < sum.length; i++) sum[i] += by * (float) random.nextGaussian();
                        // Of the first optimizer, and then of the second.
                        if (t == 2 && n == 1 && r == 1 || t == 5 && n == 2 && r == 0) sum[3] = Float.NaN;
                    }
                    g.get("W" + n).set(sum);
                }
                norm.update(names(p, "W0", "W1"), names(g, "W0", "W1"));
                value.update(names(p, "W2", "W3"), names(g, "W2", "W3"));
                results[t] = scale.value();
            }
            assertEquals(new Counts(7, 1, List.of(7L)).lossScale(scale.state()), norm.counts());
            assertEquals(new Counts(7, 1, List.of(7L)).lossScale(scale.state()), value.counts());
        }
        assertSameBits(floats(8, 16, 8, 8, 16, 8, 8, 16), results);
        return CollectiveTest.joined(List.copyOf(p.values()));
    }

    private static Map<String, Tensor> names(Map<String, Tensor> all, String... names) {
        Map<String, Tensor> some = new TreeMap<>(all);
        some.keySet().retainAll(List.of(names));
        return some;
    }

    // ---- what is refused ----

    @Test
    void aLossScaleIsGivenOnceBeforeTheFirstUpdateAndIsOfTheEngine() {
        LossScale scale = engine.lossScale(LossScaling.dynamic());
        Half half = new Half(scale, Guard.NONE);
        refused(IllegalStateException.class, () -> half.optimizer.lossScale(scale), "lossScale", "one", "second");
        half.step(false);
        Optimizer late = engine.optimizer(Sgd.of(1));
        late.update(engine.zeros(1), engine.zeros(1));
        refused(
                IllegalStateException.class,
                () -> late.lossScale(scale),
                "lossScale: expected before the first update");
        try (Engine other = Engine.cpu(1);
                LossScale theirs = other.lossScale(LossScaling.dynamic())) {
            refused(
                    IllegalArgumentException.class,
                    () -> engine.optimizer(Sgd.of(1)).lossScale(theirs),
                    "lossScale: expected one of this optimizer's engine",
                    "another engine");
        }
        half.step(true).expect(32768, 0, 1); // nobody who was refused has become the one that moves it
        scale.close();
        scale.close();
        refused(IllegalStateException.class, () -> engine.optimizer(Sgd.of(1)).lossScale(scale), "closed");
        for (Executable call : List.<Executable>of(
                scale::value,
                scale::state,
                scale::tensor,
                half.optimizer::counts,
                () -> half.optimizer.update(half.p, half.g)))
            refused(IllegalStateException.class, call, "the loss scale is closed", "close it after the optimizers");
        assertSameBits(floats(-0.5), half.p.get());
        half.optimizer.close();
    }

    @Test
    void itsMemoryComesBackInWhateverOrderThingsAreClosed() {
        if (!(engine instanceof CudaEngine cuda)) return;
        Tensor p = engine.zeros(1), g = engine.zeros(1);
        engine.optimizer(Sgd.of(1)).guard(Guard.skipNonFinite()).update(p, g);
        long before = 0;
        for (int n = 0; n < 4; n++) {
            LossScale scale = engine.lossScale(LossScaling.dynamic());
            Optimizer sgd = engine.optimizer(Sgd.of(1)).lossScale(scale);
            sgd.update(p, g);
            Tensor tensor = scale.tensor();
            if (n % 2 == 0) scale.close();
            sgd.close();
            scale.close();
            refused(IllegalStateException.class, tensor::get, "closed");
            if (n == 0) before = cuda.allocated();
            assertEquals(before, cuda.allocated());
        }
    }

    @Test
    void numbersOutOfRangeAreNamed() {
        LossScaling dynamic = LossScaling.dynamic();
        assertEquals(new LossScaling(65536, 2, 0.5, 2000, 1, 0x1p-126, 0x1p126), dynamic);
        for (double bad : new double[] {0, -1, Double.NaN, 0x1p-127, 0x1p127, Double.POSITIVE_INFINITY}) {
            refused(IllegalArgumentException.class, () -> dynamic.initial(bad), "initial", String.valueOf(bad));
            refused(IllegalArgumentException.class, () -> LossScaling.fixed(bad), "floor", String.valueOf(bad));
        }
        for (double bad : new double[] {0.5, Double.NaN, 0x1p127})
            refused(IllegalArgumentException.class, () -> dynamic.growth(bad), "growth", String.valueOf(bad));
        for (double bad : new double[] {0, 1.5, Double.NaN, -1})
            refused(IllegalArgumentException.class, () -> dynamic.backoff(bad), "backoff", String.valueOf(bad));
        refused(IllegalArgumentException.class, () -> dynamic.interval(0), "interval", "0");
        refused(IllegalArgumentException.class, () -> dynamic.hysteresis(0), "hysteresis", "0");
        refused(IllegalArgumentException.class, () -> dynamic.floor(0x1p17), "initial", "65536", "131072");
        refused(IllegalArgumentException.class, () -> dynamic.ceiling(2), "initial", "2.0");
        refused(IllegalArgumentException.class, () -> LossScaling.fixed(4).ceiling(2), "floor", "4.0", "2.0");
        refused(IllegalArgumentException.class, () -> new LossScale.State(0, 0, 1, false), "scale", "0.0");
        refused(IllegalArgumentException.class, () -> new LossScale.State(1, -1, 1, false), "good", "-1");
        refused(IllegalArgumentException.class, () -> new LossScale.State(1, 0, 0, false), "left", "0");
    }
}
