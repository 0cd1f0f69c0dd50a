package kudari;

import static kudari.RulesTest.assertSameBits;
import static kudari.RulesTest.floats;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;
import static org.junit.jupiter.params.provider.Arguments.arguments;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.function.Supplier;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import kudari.checkpoint.Checkpoint;
import kudari.rule.Adam;
import kudari.rule.CustomRule;
import kudari.rule.Rule;
import kudari.test.AddSign;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** Rules that are not ours, beside ours; and what is wrong with them, refused in a sentence. */
class CustomRuleTest {

    private static final AddSign ADD_SIGN = new AddSign(0.5, 0.5, 0, 0);

    /** m is 0.5, 1.75, 0.625 and 0.3125. The third gradient is against it, which makes no step. */
    @Test
    void stepsWorkedOutByHand() {
        try (Engine engine = Engines.open()) {
            Tensor p = engine.tensor(floats(8)), g = engine.zeros(1);
            Optimizer optimizer = engine.optimizer(ADD_SIGN);
            float[] gradients = floats(1, 3, -0.5, 0),
                    expected = floats(7, 4, 4, 4),
                    m = floats(0.5, 1.75, 0.625, 0.3125);
            for (int t = 0; t < gradients.length; t++) {
                g.set(gradients[t]);
                optimizer.update(p, g);
                assertEquals(expected[t], p.get()[0], "p after step " + (t + 1));
                assertEquals(m[t], optimizer.state(Optimizer.SINGLE).get("m").get()[0], "m after step " + (t + 1));
            }
        }
    }

    @Test
    void itStepsBesideOursInGroupsUnderAGuardInAGraphAndFromACheckpointOnEveryEngine() {
        try (Engine engine = Engines.open();
                Engine cpu = Engine.cpu(1)) {
            Map<String, float[]> expected = train(cpu, false), actual = train(engine, true);
            assertEquals(expected.keySet(), actual.keySet());
            expected.forEach((name, values) -> assertSameBits(values, actual.get(name)));
        }
    }

    private static Map<String, float[]> train(Engine engine, boolean captured) {
        Map<String, Tensor> params = new LinkedHashMap<>(), grads = new LinkedHashMap<>();
        Random random = new Random(7);
        for (String name : List.of("a", "b", "c", "d")) {
            params.put(name, engine.tensor(gaussian(random)));
            grads.put(name, engine.zeros(1500));
        }
        Supplier<Optimizer> make = () -> engine.optimizer(
                        Group.of("a", LearningRate.cosine(0.02, 0, 10).of(ADD_SIGN)),
                        Group.of("b", ADD_SIGN.decay(0.1)).lookahead(3, 0.5),
                        Group.of("c", new Left.Twin(0.01)),
                        Group.rest(Adam.of(0.01)))
                .guard(Guard.clipNorm(30));
        Optimizer optimizer = make.get();
        Graph graph = null;
        for (int t = 1; t <= 10; t++) {
            for (Tensor grad : grads.values()) grad.set(gaussian(random));
            Optimizer now = optimizer;
            if (graph != null) graph.launch();
            else now.update(params, grads);
            if (captured && graph == null) graph = engine.capture(() -> now.update(params, grads));
            if (captured && t == 5) {
                Checkpoint saved = Checkpoint.of(now, params, Map.of());
                optimizer = make.get();
                saved.restore(optimizer, params);
                graph = null;
            }
        }
        Map<String, float[]> values = new LinkedHashMap<>();
        for (String name : params.keySet()) {
            values.put(name, params.get(name).get());
            optimizer.state(name).forEach((array, tensor) -> values.put(name + "." + array, tensor.get()));
        }
        return values;
    }

    private static float[] gaussian(Random random) {
        float[] values = new float[1500];
        for (int i = 0; i < values.length; i++) values[i] = (float) random.nextGaussian();
        return values;
    }

    // ---- classes of one name, and one class in two forms ----

    /** What the rules below have in common: p ← p − lr·factor·g, and each array of state counts the steps. */
    interface Plain extends CustomRule {
        float factor();

        @Override
        default double l2() {
            return 0;
        }

        @Override
        default double decay() {
            return 0;
        }

        @Override
        default Rule lr(double lr) {
            return this;
        }

        @Override
        default Rule l2(double l2) {
            return this;
        }

        @Override
        default Rule decay(double decay) {
            return this;
        }

        @Override
        default List<String> state() {
            return List.of("n");
        }

        @Override
        default void at(long t, float[] k) {
            k[0] = (float) lr();
        }

        @Override
        default void apply(float[] k, float scale, float trust, int from, int to, float[] p, float[] g, float[][] s) {
            for (int i = from; i < to; i++) {
                for (float[] array : s) array[i] += 1;
                p[i] -= k[0] * (factor() * g[i] * scale);
            }
        }

        @Override
        default String kernel() {
            return """
                    #include "step.cuh"
                    STEP(%s, %d) {
                      for (int i = 0; i < E; i++) {
                        for (int a = 0; a < %2$d; a++) s[a][i] += 1;
                        p[i] -= k[0] * (%sf * g[i] * scale);
                      }
                    }
                    """.formatted(getClass().getSimpleName().toLowerCase(), state().size(), factor());
        }
    }

    static final class Left {
        record Twin(double lr) implements Plain {
            @Override
            public float factor() {
                return 1;
            }
        }
    }

    static final class Right {
        record Twin(double lr) implements Plain {
            @Override
            public float factor() {
                return 2;
            }
        }
    }

    /** A form of a rule with more arrays than another. */
    record Forms(double lr, int arrays) implements Plain {
        @Override
        public float factor() {
            return arrays;
        }

        @Override
        public List<String> state() {
            return IntStream.range(0, arrays).mapToObj(n -> "n" + n).toList();
        }
    }

    /** One of ours has this name. */
    record Sgd(double lr) implements Plain {
        @Override
        public float factor() {
            return 4;
        }
    }

    @Test
    void rulesOfOneNameAndFormsOfOneClassEachStepByTheirOwnLoop() {
        Rule[] rules = {
            new Left.Twin(0.5),
            new Right.Twin(0.5),
            new Forms(0.5, 0),
            new Forms(0.5, 1),
            new Forms(0.5, 16),
            new Sgd(0.5)
        };
        float[] expected = {7.5f, 7, 8, 7.5f, 0, 6};
        try (Engine engine = Engines.open()) {
            Map<String, Tensor> params = new LinkedHashMap<>(), grads = new LinkedHashMap<>();
            Group[] groups = new Group[rules.length];
            for (int n = 0; n < rules.length; n++) {
                params.put("p" + n, engine.tensor(floats(8, 8, 8)));
                grads.put("p" + n, engine.tensor(floats(1, 1, 1)));
                groups[n] = Group.of("p" + n, rules[n]);
            }
            Optimizer optimizer = engine.optimizer(groups);
            optimizer.update(params, grads);
            for (int n = 0; n < rules.length; n++) {
                float[] filled = new float[3];
                Arrays.fill(filled, expected[n]);
                assertSameBits(filled, params.get("p" + n).get());
                for (Tensor array : optimizer.state("p" + n).values()) assertSameBits(floats(1, 1, 1), array.get());
            }
        }
    }

    @Test
    void aCheckpointTellsTwoClassesOfOneNameApart() {
        try (Engine engine = Engine.cpu(1)) {
            Map<String, Tensor> params = Map.of("w", engine.zeros(2)), grads = Map.of("w", engine.zeros(2));
            Optimizer left = engine.optimizer(new Left.Twin(0.5));
            left.update(params, grads);
            Checkpoint saved = Checkpoint.of(left, params, Map.of());
            assertTrue(
                    saved.tensors().containsKey("state/w/kudari.CustomRuleTest$Left$Twin.n"),
                    saved.tensors()::toString);
            Optimizer right = engine.optimizer(new Right.Twin(0.5));
            assertThrows(IllegalArgumentException.class, () -> saved.restore(right, params));
            saved.restore(engine.optimizer(new Left.Twin(0.25)), params);
        }
    }

    @Test
    void whatIsNamedLikeARuleOfOursIsNotExplainedAsThat() {
        assertEquals(List.of(), Explanation.of(new Sgd(0.5)).formula());
        assertFalse(Explanation.of(kudari.rule.Sgd.of(0.5)).formula().isEmpty());
    }

    // ---- what is refused ----

    /** A rule with one thing wrong. */
    record Wrong(double lr, double l2, List<String> names, int scalar, boolean loops, String text) implements Plain {

        static final Wrong RIGHT = new Wrong(0.5, 0, List.of("n"), 0, true, "");

        Wrong named(String... names) {
            return new Wrong(lr, l2, Arrays.asList(names), scalar, loops, text);
        }

        Wrong filling(int scalar) {
            return new Wrong(lr, l2, names, scalar, loops, text);
        }

        Wrong saying(String text) {
            return new Wrong(lr, l2, names, scalar, loops, text);
        }

        @Override
        public float factor() {
            return 1;
        }

        @Override
        public List<String> state() {
            return names;
        }

        @Override
        public void at(long t, float[] k) {
            k[scalar] = 0.5f;
        }

        @Override
        public void apply(float[] k, float scale, float trust, int from, int to, float[] p, float[] g, float[][] s) {
            if (!loops) throw new UnsupportedOperationException("not yet");
            Plain.super.apply(k, scale, trust, from, to, p, g, s);
        }

        @Override
        public String kernel() {
            return text == null || !text.isEmpty() ? text : Plain.super.kernel();
        }
    }

    /** Which only rules of ours have. */
    record Shaped(double lr) implements Plain {
        @Override
        public float factor() {
            return 1;
        }

        @Override
        public List<String> state() {
            return List.of("n");
        }

        @Override
        public long[] shape(int array, long[] param) {
            return new long[] {1};
        }
    }

    /** Codes of 8 bits are no numbers to add up. */
    record Packed(double lr, float evaluation, Compression how) implements Plain {
        @Override
        public float factor() {
            return 1;
        }

        @Override
        public float evaluation(int array) {
            return evaluation;
        }

        @Override
        public Compression compression(int array) {
            return how;
        }
    }

    static Stream<Arguments> wrongFromTheStart() {
        Wrong right = Wrong.RIGHT;
        String[] many = IntStream.range(0, 17).mapToObj(n -> "s" + n).toArray(String[]::new);
        return Stream.of(
                arguments(
                        new Wrong(-1, 0, List.of(), 0, true, ""),
                        "Wrong: lr: expected a finite number from 0 up, got -1.0"),
                arguments(
                        new Wrong(1, Double.NaN, List.of(), 0, true, ""),
                        "Wrong: l2: expected a finite number from 0 up, got NaN"),
                arguments(
                        new Wrong(1, 0, null, 0, true, ""),
                        "Wrong: state(): expected the names of the arrays, got null"),
                arguments(right.named("m", "m"), "Wrong: state(): expected a name for each array, got [m, m]"),
                arguments(
                        right.named("m", null),
                        "Wrong: state(): expected names of letters, digits and _, got [m, null]"),
                arguments(right.named("a/b"), "Wrong: state(): expected names of letters, digits and _, got [a/b]"),
                arguments(
                        new Shaped(1),
                        "Shaped: shape(0, …): expected the parameter's shape, which all state of a rule of one's own has, got [1] for [3, 2]"),
                arguments(
                        new Packed(1, 0.5f, Rule.Compression.SIGNED),
                        "Packed: compression(0): expected NONE, for evaluation(0) is 0.5, and what is used of an array is its float32, got SIGNED"),
                arguments(
                        new Packed(1, 0, null), "Packed: compression(0): expected NONE, SIGNED or UNSIGNED, got null"),
                arguments(right.named(many), "Wrong: state(): expected at most 16 arrays, got 17"));
    }

    @ParameterizedTest
    @MethodSource("wrongFromTheStart")
    void aRuleWithWrongNumbersOrNamesIsRefusedWhereAnOptimizerIsAskedFor(Rule rule, String message) {
        try (Engine engine = Engine.cpu(1)) {
            RuntimeException refused = assertThrows(IllegalArgumentException.class, () -> engine.optimizer(rule));
            assertEquals(message, refused.getMessage());
        }
    }

    static Stream<Arguments> wrongInAStep() {
        Wrong right = Wrong.RIGHT;
        return Stream.of(
                arguments(
                        right.filling(15),
                        "Wrong.at(1, k): expected k[15], which is the engine's, left alone, got 0.5"),
                arguments(
                        right.filling(13),
                        "Wrong.at(1, k): expected k[13], which is the engine's, left alone, got 0.5"),
                arguments(
                        right.filling(16),
                        "Wrong.at(1, k), where k[0] to k[12] are its own: Index 16 out of bounds for length 16"));
    }

    @ParameterizedTest
    @MethodSource("wrongInAStep")
    void aRuleWhoseScalarsAreWrongIsRefusedBeforeAnythingHasMoved(Rule rule, String message) {
        try (Engine engine = Engines.open()) {
            Tensor p = engine.tensor(floats(8)), g = engine.tensor(floats(1));
            Optimizer optimizer = engine.optimizer(rule);
            for (int again = 0; again < 2; again++) {
                RuntimeException refused = assertThrows(IllegalStateException.class, () -> optimizer.update(p, g));
                assertEquals(message, refused.getMessage());
            }
            assertEquals(8, p.get()[0]);
            assertEquals(0, optimizer.steps());
        }
    }

    @Test
    void aLoopThatThrowsIsNamedAndTheEngineGoesOn() {
        Rule throwing = new Wrong(0.5, 0, List.of(), 0, false, "");
        try (Engine engine = Engine.cpu(2)) {
            Tensor p = engine.zeros(100_000), g = engine.zeros(100_000);
            Optimizer optimizer = engine.optimizer(throwing);
            RuntimeException failed = assertThrows(IllegalStateException.class, () -> optimizer.update(p, g));
            assertTrue(
                    failed.getMessage().endsWith("Wrong.apply, with the step half done: not yet"), failed.getMessage());
            assertEquals(0, optimizer.steps());
            String told = assertThrows(IllegalStateException.class, () -> optimizer.update(p, g))
                    .getMessage();
            assertTrue(told.endsWith("whose last step failed half done; restore a checkpoint"), told);
            engine.optimizer(ADD_SIGN).update(p, g);
        }
    }

    @Test
    void namesThatChangeAreRefused() {
        List<String> names = new ArrayList<>(List.of("n"));
        try (Engine engine = Engines.open()) {
            Tensor p = engine.zeros(8), g = engine.zeros(8);
            Optimizer optimizer = engine.optimizer(new Wrong(0.5, 0, names, 0, true, ""));
            names.add("later");
            if (!Engines.onCuda()) {
                optimizer.update(p, g);
                assertEquals(
                        List.of("n"),
                        List.copyOf(optimizer.state(Optimizer.SINGLE).keySet()));
                return;
            }
            RuntimeException refused = assertThrows(IllegalStateException.class, () -> optimizer.update(p, g));
            assertTrue(
                    refused.getMessage().endsWith("named 1 arrays of state, and then 2: expected the same each time"),
                    refused.getMessage());
        }
    }

    static Stream<Arguments> wrongKernels() {
        Wrong right = Wrong.RIGHT;
        String text = right.kernel();
        return Stream.of(
                arguments(
                        right.saying(text.replace("k[0] *", "nonsense *")),
                        List.of(
                                "kudari.CustomRuleTest$Wrong.cu(5)",
                                "\"nonsense\" is undefined",
                                "   5      p[i] -= nonsense")),
                arguments(
                        right.saying(text.replace("STEP(wrong, 1)", "STEP(wrong, 2)")),
                        List.of("STEP has another number of arrays than state() of the rule")),
                arguments(
                        right.saying(text.replace("STEP(wrong, 1)", "STEP(other, 1)")),
                        List.of(
                                "cuModuleGetFunction of kudari.CustomRuleTest$Wrong.cu: wrong",
                                "STEP(name of its class")),
                arguments(
                        right.saying(text.replace("#include \"step.cuh\"", "")),
                        List.of("kudari.CustomRuleTest$Wrong.kernel(): expected a text that includes \"step.cuh\"")),
                arguments(
                        right.saying(null), List.of("kudari.CustomRuleTest$Wrong.kernel(): expected a text, got null")),
                arguments(
                        new NoKernel(0.5),
                        List.of("kudari.CustomRuleTest$NoKernel: expected its kernel as the resource nokernel.cu")));
    }

    /** It says nothing of a kernel. */
    record NoKernel(double lr) implements CustomRule {
        @Override
        public double l2() {
            return 0;
        }

        @Override
        public double decay() {
            return 0;
        }

        @Override
        public Rule lr(double lr) {
            return new NoKernel(lr);
        }

        @Override
        public Rule l2(double l2) {
            return this;
        }

        @Override
        public Rule decay(double decay) {
            return this;
        }

        @Override
        public List<String> state() {
            return List.of();
        }

        @Override
        public void at(long t, float[] k) {
            k[0] = (float) lr;
        }

        @Override
        public void apply(float[] k, float scale, float trust, int from, int to, float[] p, float[] g, float[][] s) {
            for (int i = from; i < to; i++) p[i] -= k[0] * g[i];
        }
    }

    @ParameterizedTest
    @MethodSource("wrongKernels")
    void aKernelThatIsWrongIsRefusedAtTheFirstUpdateAndNothingHasChanged(Rule rule, List<String> said) {
        assumeTrue(Engines.onCuda(), "kudari.device names no CUDA device");
        try (Engine engine = Engines.open()) {
            Tensor p = engine.tensor(floats(8)), g = engine.tensor(floats(1));
            Optimizer optimizer = engine.optimizer(rule);
            for (int again = 0; again < 2; again++) {
                String message = assertThrows(RuntimeException.class, () -> optimizer.update(p, g))
                        .getMessage();
                for (String part : said) assertTrue(message.contains(part), message);
            }
            assertEquals(8, p.get()[0]);
            assertFalse(optimizer.knows(Optimizer.SINGLE));
            assertEquals(0, optimizer.steps());
            engine.optimizer(Wrong.RIGHT).update(p, g);
            assertEquals(7.5f, p.get()[0]);
        }
    }

    /** As where a text is put together of several, each of which includes it. */
    @Test
    void aKernelMayIncludeTheHeaderMoreThanOnce() {
        try (Engine engine = Engines.open()) {
            Tensor p = engine.tensor(floats(8)), g = engine.tensor(floats(1));
            String text = Wrong.RIGHT.kernel();
            engine.optimizer(Wrong.RIGHT.saying(text.replace("STEP(", "#include \"step.cuh\"\nSTEP(")))
                    .update(p, g);
            assertEquals(7.5f, p.get()[0]);
        }
    }

    @Test
    void onTheCpuNobodyAsksForAKernel() {
        try (Engine engine = Engine.cpu(1)) {
            Tensor p = engine.tensor(floats(8)), g = engine.tensor(floats(1));
            engine.optimizer(new NoKernel(0.5)).update(p, g);
            assertEquals(7.5f, p.get()[0]);
            engine.optimizer(Wrong.RIGHT.saying(null)).update(p, g);
            assertEquals(7, p.get()[0]);
        }
    }
}
