package kudari;

import static kudari.OptimizerTest.refused;
import static kudari.RulesTest.assertSameBits;
import static kudari.RulesTest.floats;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.atomic.AtomicReference;
import kudari.checkpoint.Checkpoint;
import kudari.checkpoint.Safetensors;
import kudari.rule.Adam;
import kudari.rule.CustomRule;
import kudari.rule.Rule;
import kudari.rule.ScheduleFreeSgd;
import kudari.rule.Sgd;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** The time in which parameters hold what is to be used. */
class EvaluationTest {

    private Engine engine;
    private final Map<String, Tensor> p = new HashMap<>(), g = new HashMap<>();
    private Optimizer optimizer;

    /** Three groups and a frozen one; each with a number that has two zeros, and one that is none. */
    @BeforeEach
    void open() {
        engine = Engines.open();
        for (String name : new String[] {"average", "lookahead", "free", "plain", "frozen"}) {
            p.put(name, engine.tensor(floats(8, -0.0, Float.NaN)));
            g.put(name, engine.tensor(floats(2, 0, 0)));
        }
        optimizer = engine.optimizer(
                Group.of("average", Sgd.of(0.5)).average(0.75),
                Group.of("lookahead", Sgd.of(0.5)).lookahead(10, 0.5),
                Group.of("free", ScheduleFreeSgd.of(0.5).beta(0.5)),
                Group.of("plain", Adam.of(0.5)),
                Group.frozen("frozen"));
        for (int t = 0; t < 2; t++) optimizer.update(p, g);
    }

    @AfterEach
    void close() {
        engine.close();
    }

    /**
     * By hand: p is 7, then 6. The average is 7.75, then 7.3125; the slow weights are 8. Schedule-Free has z at 7, then 6, and x at 7, then 6.5, so y is 6.25.
     */
    @Test
    void theParametersAreWhatIsToBeUsedAndThenWhatTheyWere() {
        Map<String, float[]> before = values();
        assertEquals(6, before.get("average")[0]);
        assertEquals(6.25f, before.get("free")[0]);
        Evaluation evaluation = optimizer.evaluating(p);
        assertTrue(optimizer.isEvaluating());
        assertEquals(7.3125f, p.get("average").get()[0]);
        assertEquals(8, p.get("lookahead").get()[0]);
        assertEquals(6.5f, p.get("free").get()[0]);
        for (String name : new String[] {"plain", "frozen"})
            assertSameBits(before.get(name), p.get(name).get());
        evaluation.close();
        assertSame(before);
        assertFalse(optimizer.isEvaluating());
        evaluation.close();
        optimizer.update(p, g);
        assertEquals(5, p.get("average").get()[0]);
    }

    private Map<String, float[]> values() {
        Map<String, float[]> values = new HashMap<>();
        p.forEach((name, tensor) -> values.put(name, tensor.get()));
        return values;
    }

    private void assertSame(Map<String, float[]> expected) {
        expected.forEach((name, values) -> assertSameBits(values, p.get(name).get()));
    }

    /** Also those of a NaN that signals, and of a negative zero. */
    @Test
    void aParameterOf16BitsHoldsItsBitsAgain() {
        try (CpuEngine cpu = Engine.cpu(1)) {
            short[] bits = {0x3f80, 0, 0};
            Map<String, Tensor> param = Map.of("W", cpu.wrap(bits, Dtype.BF16));
            Optimizer sgd = cpu.optimizer(Group.rest(Sgd.of(1)).average(0.5));
            sgd.update(param, Map.of("W", cpu.tensor(floats(1, 1, 1))));
            bits[1] = 0x7f81;
            bits[2] = (short) 0x8000;
            short[] before = bits.clone();
            Evaluation evaluation = sgd.evaluating(param);
            assertEquals(0x3f00, bits[0]);
            evaluation.close();
            assertArrayEquals(before, bits);
        }
    }

    /**
     * With h = 5/16 of the distance of two neighbours above 1, by hand: z goes to 1 + 2h, the parameter is 1 + 1.75h, above the middle, and what is to be
     * used 1 + 1.5h, below it.
     */
    @ParameterizedTest
    @CsvSource({"BF16, FLOAT32, 0x5p-11", "BF16, REMAINDER, 0x5p-11", "F16, FLOAT32, 0x5p-14"})
    void whatIsToBeUsedIsRoundedOnce(Dtype dtype, Master.Kind kind, float h) {
        for (Rule rule : List.of(ScheduleFreeSgd.of(1).beta(0.5), new Halves(1, 0, 0))) {
            Map<String, Tensor> param = Map.of("W", engine.tensor(floats(1, -1), dtype)),
                    grad = Map.of("W", engine.tensor(floats(-h, h)));
            Optimizer free = engine.optimizer(Group.rest(rule).master(new Master(kind, 0)));
            for (int t = 0; t < 2; t++) free.update(param, grad);
            float[] trains = param.get("W").get();
            assertEquals(1 + h * 16 / 5, trains[0]);
            Evaluation evaluation = free.evaluating(param);
            assertSameBits(floats(1, -1), param.get("W").get());
            evaluation.close();
            assertSameBits(trains, param.get("W").get());
        }
    }

    /** It goes to 1.75 of two gradients of 1, and is used where two arrays of an eighth each say. */
    record Halves(double lr, double l2, double decay) implements CustomRule {
        @Override
        public Halves lr(double lr) {
            return new Halves(lr, l2, decay);
        }

        @Override
        public Halves l2(double l2) {
            return new Halves(lr, l2, decay);
        }

        @Override
        public Halves decay(double decay) {
            return new Halves(lr, l2, decay);
        }

        @Override
        public List<String> state() {
            return List.of("a", "b");
        }

        @Override
        public float evaluation(int array) {
            return 1;
        }

        @Override
        public void at(long t, float[] k) {}

        @Override
        public void apply(float[] k, float scale, float trust, int from, int to, float[] p, float[] g, float[][] s) {
            float[] a = s[0], b = s[1];
            for (int i = from; i < to; i++) {
                p[i] = p[i] - 0.875f * g[i];
                a[i] = 0.125f * g[i];
                b[i] = a[i];
            }
        }

        @Override
        public String kernel() {
            return """
                    #include "step.cuh"
                    STEP(halves, 2) {
                      float* a = s[0]; float* b = s[1];
                      for (int i = 0; i < E; i++) {
                        p[i] = p[i] - 0.875f * g[i];
                        a[i] = 0.125f * g[i];
                        b[i] = a[i];
                      }
                    }
                    """;
        }
    }

    /** Whatever somebody writes there meanwhile. */
    @Test
    void whatIsWrittenIntoThemMeanwhileIsForgotten() {
        Map<String, float[]> before = values();
        Evaluation evaluation = optimizer.evaluating(p);
        for (String name : new String[] {"average", "lookahead", "free"})
            p.get(name).set(1, 2, 3);
        evaluation.close();
        assertSame(before);
    }

    /** Who wants some alone has those; a parameter that no update has seen is used as it is. */
    @Test
    void someOfThemDo() {
        Tensor other = engine.tensor(floats(1));
        Evaluation evaluation = optimizer.evaluating(Map.of("average", p.get("average"), "free", p.get("free")));
        assertEquals(6, p.get("lookahead").get()[0]);
        evaluation.close();
        Optimizer fresh = engine.optimizer(Group.rest(Sgd.of(1)).average(0.5));
        fresh.evaluating(Map.of("x", other)).close();
        assertEquals(1, other.get()[0]);
    }

    @Test
    void nothingTrainsMeanwhile() {
        Map<String, float[]> before = values();
        Checkpoint saved = Checkpoint.of(optimizer, p, Map.of());
        Graph step = engine.capture(() -> optimizer.update(p, g));
        Evaluation evaluation = optimizer.evaluating(p);
        String open = "expected parameters that hold what trains, got an open evaluation";
        Executable[] calls = {
            () -> optimizer.update(p, g),
            () -> optimizer.update(p.get("plain"), g.get("plain")),
            step::launch,
            () -> engine.capture(() -> optimizer.update(p, g)).launch(),
            () -> optimizer.evaluating(p),
            () -> optimizer.resume(optimizer.counts(), Map.of()),
            () -> Checkpoint.of(optimizer, p, Map.of()),
            () -> saved.restore(optimizer, p)
        };
        for (Executable call : calls) refused(IllegalStateException.class, call, open, "close it first");
        assertEquals(2, optimizer.steps());
        evaluation.close();
        assertSame(before);
        step.launch();
        assertEquals(3, optimizer.steps());
        assertEquals(5, p.get("average").get()[0]);
    }

    @Test
    void whatIsWrongIsRefusedAndNothingHasChanged() {
        Map<String, float[]> before = values();
        Map<String, Tensor> wrong = new HashMap<>(p);
        wrong.put("average", engine.zeros(4));
        refused(IllegalArgumentException.class, () -> optimizer.evaluating(wrong), "'average'", "[3]", "[4]");
        wrong.put("average", engine.zeros(Dtype.BF16, 3)); // which would have a master
        refused(
                IllegalArgumentException.class,
                () -> optimizer.evaluating(wrong),
                "'average'",
                "expected state [master, average], got [average]");
        wrong.put("average", p.get("average"));
        wrong.put("unheard", engine.zeros(1));
        refused(IllegalArgumentException.class, () -> optimizer.evaluating(wrong), "'unheard'", "no group takes it");
        try (Engine other = Engine.cpu(1)) {
            wrong.remove("unheard");
            wrong.put("plain", other.zeros(3));
            refused(IllegalArgumentException.class, () -> optimizer.evaluating(wrong), "'plain'", "another engine");
        }
        wrong.put("plain", p.get("plain"));
        wrong.put(null, engine.zeros(1));
        refused(IllegalArgumentException.class, () -> optimizer.evaluating(wrong), "a name is null");
        assertFalse(optimizer.isEvaluating());
        assertSame(before);
        optimizer.update(p, g);
    }

    @Test
    void noneIsOpenedOrClosedInACapture() {
        if (!(engine instanceof CudaEngine)) return; // the CPU records nothing
        refused(IllegalStateException.class, () -> engine.capture(() -> optimizer.evaluating(p)), "an evaluation");
        Evaluation evaluation = optimizer.evaluating(p);
        refused(IllegalStateException.class, () -> engine.capture(evaluation::close), "the end of an evaluation");
        evaluation.close();
        assertEquals(6, p.get("average").get()[0]);
    }

    @Test
    void theOptimizerMayGoFirst() {
        Map<String, float[]> before = values();
        Evaluation evaluation = optimizer.evaluating(p);
        optimizer.close();
        assertEquals(7.3125f, p.get("average").get()[0]);
        evaluation.close();
        assertSame(before);
    }

    @Test
    void theEngineMayGoFirst() {
        Evaluation evaluation = optimizer.evaluating(p);
        engine.close();
        evaluation.close();
        evaluation.close();
    }

    @Test
    void aParameterMayGoFirst() {
        Map<String, float[]> before = values();
        Evaluation evaluation = optimizer.evaluating(p);
        p.remove("average").close();
        evaluation.close();
        before.remove("average");
        assertSame(before);
    }

    @Test
    void anotherThreadDoesNotCloseIt() throws InterruptedException {
        Evaluation evaluation = optimizer.evaluating(p);
        AtomicReference<Throwable> thrown = new AtomicReference<>();
        Thread other = new Thread(
                () -> thrown.set(assertThrows(IllegalStateException.class, evaluation::close)), "another thread");
        other.start();
        other.join();
        assertTrue(thrown.get().getMessage().contains("this is thread 'another thread'"), thrown.get()::getMessage);
        assertTrue(optimizer.isEvaluating());
        evaluation.close();
        assertEquals(6, p.get("average").get()[0]);
    }

    /** As the README has it: what other programs read is what is to be used. */
    @Test
    void whatIsToBeUsedIsSaved(@TempDir Path folder) throws IOException {
        Map<String, Safetensors.Values> weights = new TreeMap<>();
        try (Evaluation using = optimizer.evaluating(p)) {
            assertTrue(optimizer.isEvaluating(), using::toString);
            p.forEach((name, param) -> weights.put(name, new Safetensors.Values(param.shape(), param.get())));
        }
        Path file = folder.resolve("used.safetensors");
        Safetensors.of(Map.of(), weights).write(file);
        assertEquals(7.3125f, Safetensors.read(file).tensors().get("average").floats()[0]);
        assertEquals(6, p.get("average").get()[0]);
    }
}
