package kudari;

import static kudari.OptimizerTest.refused;
import static kudari.RulesTest.assertSameBits;
import static kudari.RulesTest.assertSameState;
import static kudari.RulesTest.floats;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertDoesNotThrow;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import kudari.rule.Adam;
import kudari.rule.Rule;
import kudari.rule.Sgd;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** What is the CPU engine's own: arrays, threads and the Java heap. */
class CpuEngineTest {

    private static final long SEED = 7;

    @Test
    void tensorsHoldACopyAndKnowTheirShape() {
        float[] values = floats(1, 2, 3, 4, 5, 6);
        try (Engine engine = Engine.cpu()) {
            Tensor tensor = engine.tensor(values, 2, 3);
            values[0] = 9;
            assertSameBits(floats(1, 2, 3, 4, 5, 6), tensor.get());
            tensor.set(6, 5, 4, 3, 2, 1);
            assertSameBits(floats(6, 5, 4, 3, 2, 1), tensor.get());
            assertArrayEquals(new long[] {2, 3}, tensor.shape());
            assertEquals(6, tensor.size());
            assertArrayEquals(new long[] {6}, engine.tensor(values).shape(), "without a shape, a vector");
            assertEquals(1, engine.zeros().size(), "the empty shape is one number");
            Tensor scalar = engine.tensor(floats(7), new long[0]);
            assertArrayEquals(new long[0], scalar.shape());
            assertSameBits(floats(7), scalar.get());
            assertSameBits(floats(0, 0), engine.zeros(2).get());
        }
    }

    @Test
    void badShapesAndCountsAreRefused() {
        try (CpuEngine engine = Engine.cpu()) {
            refused(IllegalArgumentException.class, () -> engine.tensor(floats(1, 2, 3), 2, 2), "[2, 2]", "4", "3");
            refused(IllegalArgumentException.class, () -> engine.wrap(floats(1, 2, 3), 2, 2), "[2, 2]", "4", "3");
            refused(IllegalArgumentException.class, () -> engine.tensor(floats(1, 2), new long[0]), "[]", "1", "2");
            refused(IllegalArgumentException.class, () -> engine.zeros(2, -1), "[2, -1]");
            refused(IllegalArgumentException.class, () -> engine.zeros(1L << 40, 1L << 40), "2^63");
            refused(IllegalArgumentException.class, () -> engine.zeros(3_000_000_000L), "3000000000", "2147483639");
            refused(IllegalArgumentException.class, () -> engine.zeros(2).set(1), "2 values", "1");
            refused(IllegalArgumentException.class, () -> Engine.cpu(0), "threads", "0");
        }
    }

    @Test
    void aHeapThatIsTooSmallIsNamedWithWhatToDo() {
        try (Engine engine = Engine.cpu()) {
            long most = Tensor.LARGEST_ARRAY;
            assumeTrue(Runtime.getRuntime().maxMemory() < 4 * most, "a heap too large for this to be a burden");
            String message = assertThrows(OutOfMemoryError.class, () -> engine.zeros(most))
                    .getMessage();
            assertTrue(message.contains("-Xmx") && message.contains("[2147483639]"), message);
        }
    }

    @Test
    void cudaIsRefusedInOneSentenceAndNeverReplaced() {
        assumeTrue(!Engines.onCuda(), "a machine with a CUDA device");
        refused(CudaException.class, () -> Engine.cuda(0), "cuda:0", "no CUDA driver", "Engine.cpu()");
    }

    @Test
    void openTakesTheCpuWhereThereIsNoOtherEngine() {
        assumeTrue(!Engines.onCuda(), "a machine with a CUDA device");
        try (Engine engine = Engine.open()) {
            assertTrue(engine instanceof CpuEngine);
        }
    }

    @Test
    void aWrappedArrayIsChangedInPlace() {
        try (CpuEngine engine = Engine.cpu()) {
            float[] p = floats(8, 8), g = floats(1, 2);
            Tensor param = engine.wrap(p);
            assertSame(p, engine.array(param));
            engine.optimizer(Sgd.of(0.5)).update(param, engine.wrap(g));
            assertSameBits(floats(7.5, 7), p);
        }
    }

    @ParameterizedTest
    @MethodSource("kudari.RulesTest#table")
    void theNumberOfThreadsChangesNoBit(RulesTest.Row row) {
        int size = 3 * CpuEngine.PARALLEL_FROM + 7;
        Map<String, Tensor> expected = new HashMap<>();
        try (Engine one = Engine.cpu(1)) {
            float[] parameter = fiveSteps(one, row.of().apply(0.01), size, expected);
            for (int threads : new int[] {2, 3, 8}) {
                Map<String, Tensor> state = new HashMap<>();
                try (Engine many = Engine.cpu(threads)) {
                    assertSameBits(parameter, fiveSteps(many, row.of().apply(0.01), size, state));
                    assertSameState(expected, state);
                }
            }
        }
    }

    private static float[] fiveSteps(Engine engine, Rule rule, int size, Map<String, Tensor> state) {
        Random random = new Random(SEED);
        float[] values = new float[size];
        for (int i = 0; i < size; i++) values[i] = random.nextFloat() - 0.5f;
        Tensor p = engine.tensor(values), g = engine.tensor(values);
        Optimizer optimizer = engine.optimizer(rule);
        for (int t = 0; t < 5; t++) optimizer.update(p, g);
        state.putAll(optimizer.state(Optimizer.SINGLE));
        return p.get();
    }

    @ParameterizedTest
    @MethodSource("kudari.RulesTest#table")
    void aStepAllocatesNothing(RulesTest.Row row) {
        try (Engine engine = Engine.cpu(2)) {
            Map<String, Tensor> params = new HashMap<>(), grads = new HashMap<>();
            for (int n = 0; n < 20; n++) {
                params.put("W" + n, engine.zeros(CpuEngine.PARALLEL_FROM / 10));
                grads.put("W" + n, engine.zeros(CpuEngine.PARALLEL_FROM / 10));
            }
            Map<String, Tensor> fixedParams = Map.copyOf(params), fixedGrads = Map.copyOf(grads);
            Optimizer optimizer = engine.optimizer(row.of().apply(0.01));
            Tensor p = engine.zeros(100), g = engine.zeros(100);
            Optimizer single = engine.optimizer(row.of().apply(0.01));
            Runnable steps = () -> {
                for (int t = 0; t < 100; t++) optimizer.update(params, grads);
                for (int t = 0; t < 100; t++) optimizer.update(fixedParams, fixedGrads);
                for (int t = 0; t < 100; t++) single.update(p, g);
            };
            assertEquals(0, Allocations.least(steps), "bytes allocated by 300 steps");
        }
    }

    @Test
    void aFailureOnTheCallersThreadIsTheCallers() {
        try (Workers workers = new Workers(3)) {
            assertThrows(
                    ArithmeticException.class,
                    () -> workers.run(thread -> {
                        throw new ArithmeticException("planted");
                    }));
            workers.run(thread -> {}); // and the next job is not blamed for it
        }
    }

    @Test
    void aFailureOnAHelpersThreadIsReportedToTheCaller() {
        try (Workers workers = new Workers(2)) {
            CountDownLatch came = new CountDownLatch(1);
            Workers.Job failing = thread -> {
                if (thread != 0) {
                    came.countDown();
                    throw new ArithmeticException("planted");
                }
                assertTrue(assertDoesNotThrow(() -> came.await(20, TimeUnit.SECONDS)), "a helper comes");
            };
            Throwable reported = assertThrows(IllegalStateException.class, () -> workers.run(failing));
            assertEquals("planted", reported.getCause().getMessage());
            workers.run(thread -> {});
        }
    }

    @Test
    void aThousandSmallJobsAreEachDoneWhole() {
        try (Engine engine = Engine.cpu(4)) {
            int size = CpuEngine.PARALLEL_FROM;
            Tensor p = engine.zeros(size), g = engine.full(-1, size);
            Optimizer count = engine.optimizer(Sgd.of(1));
            for (int t = 0; t < 1000; t++) count.update(p, g);
            for (float value : p.get()) assertEquals(1000, value);
        }
    }

    @Test
    void allThreadsShareALargeStepAndOneDoesASmallOne() {
        try (CpuEngine engine = Engine.cpu(3)) {
            assertEquals(1, engine.shares(CpuEngine.PARALLEL_FROM - 1));
            assertEquals(3, engine.shares(CpuEngine.PARALLEL_FROM));
        }
    }

    @Test
    void adamsScalarsAreRoundedOnceFromDouble() {
        float[] k = new float[Rule.SCALARS];
        Adam.of(0.001).at(1, k);
        assertEquals((float) 0.001, k[5], "1 − 0.999 in double; in float it would be off by 1.3e-5 of itself");
        Adam.of(0.001).at(Long.MAX_VALUE, k);
        assertEquals((float) 0.001, k[6], "both corrections have died away");
    }

    /** An engine that nobody closed ends its threads once nobody can reach it, whatever they did last. */
    @Test
    void theThreadsOfAnEngineThatWasDroppedEnd() throws InterruptedException {
        Set<Thread> before = Set.copyOf(Thread.getAllStackTraces().keySet());
        drop();
        List<Thread> helpers = Thread.getAllStackTraces().keySet().stream()
                .filter(thread -> thread.getName().startsWith("kudari-cpu-") && !before.contains(thread))
                .toList();
        assertEquals(2, helpers.size());
        long deadline = System.nanoTime() + 60_000_000_000L;
        while (helpers.stream().anyMatch(Thread::isAlive) && System.nanoTime() < deadline) {
            System.gc();
            Thread.sleep(10);
        }
        for (Thread helper : helpers) assertFalse(helper.isAlive(), helper.getName());
    }

    private static void drop() {
        CpuEngine dropped = Engine.cpu(3);
        int size = CpuEngine.PARALLEL_FROM;
        dropped.optimizer(Sgd.of(1)).update(dropped.zeros(size), dropped.zeros(size));
    }
}
