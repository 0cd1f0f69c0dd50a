package kudari;

import static kudari.RulesTest.assertSameBits;
import static kudari.RulesTest.floats;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.FloatBuffer;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.TreeMap;
import java.util.function.BiFunction;
import java.util.function.UnaryOperator;
import java.util.stream.Stream;
import kudari.rule.Adafactor;
import kudari.rule.Adam;
import kudari.rule.Lamb;
import kudari.rule.Lars;
import kudari.rule.NovoGrad;
import kudari.rule.Rule;
import kudari.rule.TensorRule;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** What holds of rules that look at a whole tensor, beside the laws of all rules. */
class TensorRuleTest {

    private static final long SEED = 20261127;

    private static final List<Guard> GUARDS = List.of(
            Guard.NONE,
            Guard.NONE.scale(0.25).maximizes(true),
            Guard.clipNorm(20),
            Guard.clipTensorNorm(2),
            Guard.clipValue(0.5).scale(2),
            Guard.clipValue(0.5).skips(true).maximizes(true));

    static Stream<Rule> rules() {
        Stream<Rule> more = Stream.of(
                Lars.of(0.5).l2(0.01),
                Lars.original(0.5).l2(0.01).eps(0.25).decay(0.01),
                NovoGrad.of(0.05).momentDecay(0.01),
                NovoGrad.apex(0.05).decay(0.01).l2(0.01),
                Lamb.of(0.05).decay(0.01),
                Lamb.keras(0.05).decay(0.01).l2(0.01),
                Lamb.apex(0.05).decay(0));
        return Stream.concat(LawsTest.rules().filter(rule -> rule instanceof TensorRule), more);
    }

    /** Parameters by name, and of each its gradients, one a step. */
    private record Work(Map<String, float[]> params, Map<String, List<float[]>> grads) {

        int steps() {
            return grads.values().iterator().next().size();
        }

        /** With other gradients. */
        Work grads(UnaryOperator<float[]> as) {
            Map<String, List<float[]>> changed = new TreeMap<>();
            grads.forEach((name, all) -> changed.put(name, all.stream().map(as).toList()));
            return new Work(params, changed);
        }
    }

    /** Around the sizes of pieces and of lanes; numbers whose sums depend on the order. */
    private static Work sizes(int... sizes) {
        Random random = new Random(SEED);
        Work work = new Work(new TreeMap<>(), new TreeMap<>());
        for (int size : sizes) {
            String name = String.format("W%06d", size);
            work.params.put(name, random(random, size));
            List<float[]> grads = new ArrayList<>();
            for (int t = 0; t < 3; t++) grads.add(random(random, size));
            work.grads.put(name, grads);
        }
        return work;
    }

    private static float[] random(Random random, int size) {
        float[] values = new float[size];
        for (int i = 0; i < size; i++) values[i] = (float) (random.nextGaussian() * Math.exp(random.nextGaussian()));
        return values;
    }

    /** How a tensor is made of values. */
    private interface Maker extends BiFunction<Engine, float[], Tensor> {}

    private static final Maker PLAIN = Engine::tensor;

    /** What parameters and state are after the steps. */
    private static Map<String, float[]> after(Engine engine, Rule rule, Guard guard, Work work, Maker maker) {
        Map<String, Tensor> p = new HashMap<>(), g = new HashMap<>();
        work.params.forEach((name, values) -> p.put(name, maker.apply(engine, values)));
        work.params.forEach((name, values) -> g.put(name, maker.apply(engine, new float[values.length])));
        Map<String, float[]> after = new TreeMap<>();
        try (Optimizer optimizer = engine.optimizer(rule).guard(guard)) {
            for (int t = 0; t < work.steps(); t++) {
                int step = t;
                work.grads.forEach((name, all) -> g.get(name).set(all.get(step)));
                optimizer.update(p, g);
            }
            p.forEach((name, tensor) -> {
                after.put(name, tensor.get());
                optimizer.state(name).forEach((array, state) -> after.put(name + "'s " + array, state.get()));
            });
        }
        return after;
    }

    private static void same(Map<String, float[]> expected, Map<String, float[]> actual, String what) {
        assertEquals(expected.keySet(), actual.keySet());
        expected.forEach((name, values) -> {
            try {
                assertSameBits(values, actual.get(name));
            } catch (AssertionError e) {
                throw new AssertionError(what + ": " + name + ": " + e.getMessage(), e);
            }
        });
    }

    private static Map<String, float[]> plain(Rule rule, Guard guard, Work work) {
        Plain plain = new Plain(guard, Average.NONE);
        plain.groups.add(t -> rule);
        plain.counts.add(0L);
        Map<String, Integer> groups = new HashMap<>();
        work.params.forEach((name, values) -> {
            plain.params.put(name, values.clone());
            groups.put(name, 0);
        });
        for (int t = 0; t < work.steps(); t++) {
            Map<String, float[]> grads = new TreeMap<>();
            for (String name : work.grads.keySet())
                grads.put(name, work.grads.get(name).get(t));
            plain.update(grads, groups);
        }
        Map<String, float[]> after = new TreeMap<>(plain.params);
        plain.states.forEach((name, state) -> {
            for (int a = 0; a < state.length; a++)
                after.put(name + "'s " + rule.state().get(a), state[a]);
        });
        return after;
    }

    /** And Plain's, where no norm over several tensors has an order of its own. */
    @ParameterizedTest
    @MethodSource("rules")
    void sumsOfEverySizeAreTheSameOnEveryEngine(Rule rule) {
        Work work = sizes(0, 1, 2, 5, 31, 1023, 1024, 1025, 4095, 4096, 4097, 9000, 17_001);
        try (Engine engine = Engines.open();
                Engine cpu = Engine.cpu(1)) {
            for (Guard guard : GUARDS) {
                Map<String, float[]> expected = after(cpu, rule, guard, work, PLAIN);
                if (guard.clip() != Guard.Clip.NORM && guard.clip() != Guard.Clip.TENSOR_NORM)
                    same(plain(rule, guard, work), expected, guard.toString());
                same(expected, after(engine, rule, guard, work, PLAIN), guard.toString());
            }
        }
    }

    /** 34 pieces of at most 4,096 elements, for 32 lanes: two lanes add up two; the sums are over the gradients, and over what LAMB has gathered. */
    @Test
    void aTensorOfMorePiecesThanLanesIsSummedUpWhole() {
        Work work = sizes(5, 33 * 4096 + 5);
        try (Engine engine = Engines.open()) {
            for (Rule rule : List.of(Lars.of(0.5), NovoGrad.of(0.05), Lamb.of(0.05)))
                same(plain(rule, Guard.NONE, work), after(engine, rule, Guard.NONE, work, PLAIN), rule.toString());
        }
    }

    private static final float[] VALUES = {
        0,
        -0.0f,
        Float.POSITIVE_INFINITY,
        Float.NaN,
        Float.MIN_VALUE,
        -1e-40f,
        Float.MIN_NORMAL,
        -1e-30f,
        1e19f,
        2e38f,
        -Float.MAX_VALUE
    };

    /** Each of them in a parameter and each in its gradient: alone, and one among others. */
    @ParameterizedTest
    @MethodSource("rules")
    void specialValuesInATensorOfTheirOwnAreTheSameOnEveryEngine(Rule rule) {
        Random random = new Random(SEED);
        Work work = new Work(new TreeMap<>(), new TreeMap<>());
        for (float x : VALUES) {
            for (float y : VALUES) {
                for (int size : new int[] {1, 6}) {
                    float[] p = random(random, size), g = random(random, size);
                    p[size - 1] = x;
                    g[size - 1] = y;
                    String name = "W" + work.params.size();
                    work.params.put(name, p);
                    work.grads.put(name, List.of(g, random(random, size)));
                }
            }
        }
        try (Engine engine = Engines.open();
                Engine cpu = Engine.cpu(1)) {
            for (Guard guard : List.of(Guard.NONE, Guard.NONE.scale(4), Guard.clipValue(0.5))) {
                Map<String, float[]> expected = plain(rule, guard, work);
                same(expected, after(cpu, rule, guard, work, PLAIN), guard.toString());
                same(expected, after(engine, rule, guard, work, PLAIN), guard.toString());
            }
        }
    }

    /** By several threads, and in buffers that are no arrays. */
    @ParameterizedTest
    @MethodSource("rules")
    void threadsAndBuffersDoNotChangeABit(Rule rule) {
        Work work = sizes(3, 4097, 20_000, 70_001);
        Maker buffers = (engine, values) -> {
            FloatBuffer all = FloatBuffer.allocate(values.length + 2).put(1, values);
            return ((CpuEngine) engine).wrap(all.slice(1, values.length));
        };
        try (Engine one = Engine.cpu(1);
                Engine three = Engine.cpu(3)) {
            for (Guard guard :
                    List.of(Guard.NONE, Guard.clipNorm(20), Guard.clipValue(0.5).skips(true))) {
                Map<String, float[]> expected = after(one, rule, guard, work, PLAIN);
                same(expected, after(three, rule, guard, work, PLAIN), guard + ", three threads");
                same(expected, after(one, rule, guard, work, buffers), guard + ", buffers");
                same(expected, after(three, rule, guard, work, buffers), guard + ", three threads and buffers");
            }
        }
    }

    /** The sums see a gradient as the rule does: by powers of two, which do not round, the bits are those of a gradient that comes so. */
    @ParameterizedTest
    @MethodSource("rules")
    void aScaledGradientIsAnotherGradientAndNothingElse(Rule rule) {
        Work work = sizes(1, 7, 5000), scaled = work.grads(g -> changed(g, x -> -0.25f * x));
        try (Engine engine = Engines.open()) {
            same(
                    after(engine, rule, Guard.NONE, scaled, PLAIN),
                    after(engine, rule, Guard.NONE.scale(0.25).maximizes(true), work, PLAIN),
                    "scaled");
        }
    }

    @ParameterizedTest
    @MethodSource("rules")
    void aClippedElementIsAnotherElementAndNothingElse(Rule rule) {
        Work work = sizes(1, 7, 5000), clipped = work.grads(g -> changed(g, x -> Math.max(-0.5f, Math.min(x, 0.5f))));
        try (Engine engine = Engines.open()) {
            Map<String, float[]> expected = after(engine, rule, Guard.NONE, clipped, PLAIN);
            same(expected, after(engine, rule, Guard.clipValue(0.5), work, PLAIN), "clipped");
            same(expected, after(engine, rule, Guard.clipValue(0.5).skips(true), work, PLAIN), "clipped and looked at");
        }
    }

    private interface Change {
        float of(float x);
    }

    private static float[] changed(float[] values, Change change) {
        float[] changed = values.clone();
        for (int i = 0; i < changed.length; i++) changed[i] = change.of(changed[i]);
        return changed;
    }

    /** Nor does who shares the update: another rule, a frozen parameter, tensors of the same kind. */
    @ParameterizedTest
    @MethodSource("rules")
    void aTensorIsToldOfItselfAlone(Rule rule) {
        Work work = sizes(1, 7, 5000);
        Rule other = rule instanceof Lamb ? Lars.of(0.1) : Lamb.of(0.1);
        try (Engine engine = Engines.open()) {
            for (Guard guard : List.of(Guard.NONE, Guard.skipNonFinite())) {
                Map<String, float[]> alone = after(engine, rule, guard, work, PLAIN);
                Map<String, Tensor> p = new HashMap<>(), g = new HashMap<>();
                for (String prefix : List.of("a", "m", "z")) {
                    work.params.forEach((name, values) -> p.put(prefix + name, engine.tensor(values)));
                    work.params.forEach((name, values) -> g.put(prefix + name, engine.zeros(values.length)));
                }
                Optimizer optimizer = engine.optimizer(
                                Group.of("aW000001", NovoGrad.of(0.1)),
                                Group.of("a*", Adam.of()),
                                Group.frozen("zW000007"),
                                Group.of("z*", other),
                                Group.rest(rule))
                        .guard(guard);
                for (int t = 0; t < work.steps(); t++) {
                    int step = t;
                    for (String prefix : List.of("a", "m", "z"))
                        work.grads.forEach((name, all) -> g.get(prefix + name).set(all.get(step)));
                    optimizer.update(p, g);
                }
                Map<String, float[]> shared = new TreeMap<>();
                for (String name : work.params.keySet()) {
                    shared.put(name, p.get("m" + name).get());
                    optimizer
                            .state("m" + name)
                            .forEach((array, tensor) -> shared.put(name + "'s " + array, tensor.get()));
                }
                same(alone, shared, guard.toString());
            }
        }
    }

    @ParameterizedTest
    @MethodSource("rules")
    void aStepThatIsLeftOutChangesNothing(Rule rule) {
        try (Engine engine = Engines.open()) {
            Tensor p = engine.tensor(floats(1, 2, 3)), g = engine.tensor(floats(3, -4, 12));
            Optimizer optimizer =
                    engine.optimizer(rule).guard(Guard.skipNonFinite()).zeroGradients();
            optimizer.update(p, g);
            Map<String, float[]> before = new TreeMap<>();
            before.put("p", p.get());
            optimizer.state(Optimizer.SINGLE).forEach((name, tensor) -> before.put(name, tensor.get()));
            g.set(1, Float.NaN, 2);
            optimizer.update(p, g);
            assertEquals(1, optimizer.skipped());
            assertSameBits(new float[3], g.get());
            Map<String, float[]> after = new TreeMap<>();
            after.put("p", p.get());
            optimizer.state(Optimizer.SINGLE).forEach((name, tensor) -> after.put(name, tensor.get()));
            same(before, after, "left out");
            g.set(1, 1, 2);
            optimizer.update(p, g);
            assertEquals(2, optimizer.steps());
            assertTrue(p.get()[0] != before.get("p")[0]);
        }
    }

    // ---- state of its own shape ----

    @Test
    void aNumberThatIsKeptOfATensorIsATensorOfOneElementAndIsTheNorm() {
        try (Engine engine = Engines.open()) {
            Tensor p = engine.tensor(new float[] {1, 2, 3, 4, 5, 6}, 2, 3),
                    g = engine.tensor(floats(2, 0, -3, 6, 0, 0), 2, 3);
            Optimizer optimizer = engine.optimizer(NovoGrad.of(0.1).betas(0.9, 0.75));
            optimizer.update(p, g);
            Map<String, Tensor> state = optimizer.state(Optimizer.SINGLE);
            assertEquals(List.of("m", "n"), List.copyOf(state.keySet()));
            assertEquals(
                    List.of(2L, 3L),
                    List.of(state.get("m").shape()[0], state.get("m").shape()[1]));
            assertEquals(1, state.get("n").shape().length);
            assertEquals(1, state.get("n").size());
            assertEquals(7, state.get("n").get()[0], "√(4 + 9 + 36)");
            g.set(0, 5, 0, 0, 0, 0);
            optimizer.update(p, g);
            assertEquals(
                    (float) Math.sqrt(0.75 * 49 + 0.25 * 25), state.get("n").get()[0]);
        }
    }

    /** In whatever order the state comes, and where the group is found by the extents of the parameter. */
    @Test
    void stateWithANumberGoesOn() {
        try (Engine engine = Engines.open()) {
            Optimizer optimizer = engine.optimizer(Group.matrices("*", NovoGrad.of(0.1)), Group.rest(Adam.of()));
            Map<String, Tensor> saved = new TreeMap<>(Comparator.reverseOrder()); // n before m
            saved.put("m", engine.tensor(new float[] {1, 2}, 1, 2));
            saved.put("n", engine.tensor(floats(3)));
            optimizer.resume(5, Map.of("w", saved));
            assertSameBits(floats(3), optimizer.state("w").get("n").get());
            saved.put("n", engine.tensor(new float[] {1, 2}, 1, 2));
            String message = assertThrows(IllegalArgumentException.class, () -> optimizer.resume(5, Map.of("w", saved)))
                    .getMessage();
            assertEquals("state of 'w', n: expected shape [1], got [1, 2]", message);
            assertSameBits(floats(3), optimizer.state("w").get("n").get());
        }
    }

    // ---- what the factor is ----

    /** Where there is nothing to divide by, or nothing to be in proportion to, a step is that without a ratio. */
    @Test
    void aNormOfZeroMakesTheRatioOne() {
        try (Engine engine = Engines.open()) {
            Tensor p = engine.zeros(2), g = engine.tensor(floats(3, -4));
            engine.optimizer(Lars.of(0.5)).update(p, g);
            assertSameBits(floats(-1.5, 2), p.get());
            p.set(0, 0);
            // Adam's first step is by the sign, and ε is nothing to 3 and 4.
            engine.optimizer(Lamb.of(0.5)).update(p, g);
            assertEquals(-0.5, p.get()[0], 1e-6);
            assertEquals(0.5, p.get()[1], 1e-6);
            // An update that its decay cancels may leave a rounding in the step, which the largest ratio would blow up.
            assertEquals(1, Lamb.of().trust(at(Lamb.of()), 1, 0, 0, 25, 2, new float[1]));
            Lars more =
                    Lars.of().eps(0.5); // which makes the denominator another, and the gradient is none all the same
            assertEquals(1, more.trust(at(more), 1, 0, 0, 25, 2, new float[1]));
            p.set(3, 4);
            g.set(0, 0);
            for (Rule rule : List.of(Lars.of(0.5), Lamb.of(0.5), NovoGrad.of(0.5))) {
                engine.optimizer(rule).update(p, g);
                assertSameBits(floats(3, 4), p.get());
            }
        }
    }

    /** ‖p‖ is 5 and ‖g‖ 10; one after the other of each rule's conventions. */
    @Test
    void theConventionsOfLarsAreWorkedOutByHand() {
        assertStep(Lars.of(2).coefficient(0.25), 3 - 2 * 0.125 * 6, 4 - 2 * 0.125 * 8); // 0.25·5/10
        assertStep(Lars.of(2).coefficient(0.25).eps(10), 3 - 2 * 0.0625 * 6, 4 - 2 * 0.0625 * 8);
        // g + 2·p is (12, 16), and its norm 20.
        assertStep(Lars.of(2).coefficient(0.25).l2(2), 3 - 2 * 0.0625 * 12, 4 - 2 * 0.0625 * 16);
        // The norms apart are 10 and 2·5, and where g and p point against each other the norm of the sum is 0 and
        // theirs is not.
        assertStep(Lars.original(2).coefficient(0.25).l2(2), 3 - 2 * 0.0625 * 12, 4 - 2 * 0.0625 * 16);
        assertStep(Lars.original(2).coefficient(0.25).l2(-0.0), 3 - 2 * 0.125 * 6, 4 - 2 * 0.125 * 8);
        try (Engine engine = Engines.open()) {
            Tensor p = engine.tensor(floats(3, -4)), g = engine.tensor(floats(8, 6)); // at a right angle
            engine.optimizer(Lars.original(2).coefficient(0.25).l2(2)).update(p, g);
            // g + 2·p is (14, −2); joint its norm would be √200, apart it is 20.
            assertSameBits(floats(3 - 2 * 0.0625 * 14, -4 + 2 * 0.0625 * 2), p.get());
        }
    }

    private static void assertStep(Rule rule, double x, double y) {
        try (Engine engine = Engines.open()) {
            Tensor p = engine.tensor(floats(3, 4)), g = engine.tensor(floats(6, 8));
            engine.optimizer(rule).update(p, g);
            assertEquals(x, p.get()[0], 1e-6, rule.toString());
            assertEquals(y, p.get()[1], 1e-6, rule.toString());
        }
    }

    /** The first step of Adam is (1, 1), whose norm is √2, up to ε. */
    @Test
    void theConventionsOfLambAreWorkedOutByHand() {
        Lamb lamb = Lamb.of(0.1).eps(1e-12);
        double ratio = 5 / Math.sqrt(2);
        assertStep(lamb, 3 - 0.1 * ratio, 4 - 0.1 * ratio);
        // With λ = 1 the update is (4, 5).
        double decayed = 5 / Math.sqrt(41);
        assertStep(lamb.decay(1), 3 - 0.1 * decayed * 4, 4 - 0.1 * decayed * 5);
        assertStep(lamb.decay(1).inside(false), 3 - 0.1 * (ratio + 3), 4 - 0.1 * (ratio + 4));
        assertStep(lamb.clamp(0.01, 2), 3 - 0.1 * 2, 4 - 0.1 * 2);
        assertStep(lamb.clamp(4, 10), 3 - 0.1 * 4, 4 - 0.1 * 4);
        assertStep(lamb.everywhere(false), 3 - 0.1, 4 - 0.1);
        assertStep(lamb.everywhere(false).decay(1), 3 - 0.1 * decayed * 4, 4 - 0.1 * decayed * 5);
        // As in Apex, whose two modes of decay have one condition: a penalty leaves the first step (1, 1).
        assertStep(lamb.everywhere(false).l2(1), 3 - 0.1 * ratio, 4 - 0.1 * ratio);
        // Also where it would be below 1: of m/√v, which is (10, 10).
        assertStep(lamb.corrected(false).betas(0.9, 0.9999).everywhere(false), 3 - 0.1, 4 - 0.1);
        // Uncorrected, m/√v is 0.1/√0.001 of the sign: its norm is another, and the product the same, until λ is added
        // or the ratio is held.
        assertStep(
                lamb.corrected(false),
                3 - 0.1 * ratio * Math.sqrt(0.001) / 0.1,
                4 - 0.1 * ratio * Math.sqrt(0.001) / 0.1);
    }

    /** Uncorrected a first step of (6, 8) leaves m = (0.6, 0.8) and √v = √0.001·(6, 8); the correction √c₂/c₁ is √0.001/0.1, of the decay, too. */
    @Test
    void lambAddsEpsilonToTheRootAndCorrectsTheDecayWithTheStep() {
        Lamb lamb = Lamb.of(0.1).eps(1);
        double root = Math.sqrt(0.001), x = 6 / (6 + 1.0), y = 8 / (8 + 1.0), ratio = 5 / Math.hypot(x, y);
        assertStep(lamb, 3 - 0.1 * ratio * x, 4 - 0.1 * ratio * y);
        double u = 0.6 / (6 * root + 1), v = 0.8 / (8 * root + 1), without = 5 / Math.hypot(u, v), rate = root;
        assertStep(lamb.corrected(false), 3 - rate * without * u, 4 - rate * without * v);
        double with = 5 / Math.hypot(u + 3, v + 4);
        assertStep(lamb.corrected(false).decay(1), 3 - rate * with * (u + 3), 4 - rate * with * (v + 4));
        assertStep(
                lamb.corrected(false).decay(1).inside(false),
                3 - rate * (without * u + 3),
                4 - rate * (without * v + 4));
    }

    /** For 0 times it is 0 then, where it would not be a number of infinity. */
    @Test
    void aFactorThatFloatDoesNotHoldIsItsLargestNumber() {
        double tiny = 1e-90, huge = 1e90;
        assertEquals(Float.MAX_VALUE, Lars.of().trust(at(Lars.of()), 1, tiny, 0, huge, 1, new float[1]));
        assertEquals(Float.MAX_VALUE, Lamb.of().trust(at(Lamb.of()), 1, tiny, 0, huge, 1, new float[1]));
        NovoGrad faint = NovoGrad.of().eps(1e-42);
        float[] norm = {0};
        assertEquals(Float.MAX_VALUE, faint.trust(at(faint), 1, 0, 0, 1, 1, norm));
        assertEquals(0, norm[0]);
        faint.trust(at(faint), 1, huge, 0, 1, 1, norm);
        assertEquals(Float.MAX_VALUE, norm[0]);
        Adafactor adafactor = Adafactor.of(1);
        float[] k = at(adafactor);
        assertEquals(Float.MAX_VALUE, adafactor.trust(k, 1, 1, 0, huge, 1, new float[1]));
        assertEquals(Float.MAX_VALUE, adafactor.moment(k, 0, huge));
        assertEquals(Float.MAX_VALUE, adafactor.factor(k, 1e-30f, huge));
        assertEquals(Float.MAX_VALUE, adafactor.factor(k, 0, 0));
    }

    /** As where g and l2·p point against each other: Σ(g + p)² = 1 − 2·1.0000001 + 1. */
    @Test
    void aSumOfSquaresThatRoundsBelowZeroIsZero() {
        Lars lars = Lars.of().l2(1);
        assertEquals(1, lars.trust(at(lars), 1, 1, -1.0000001, 1, 1, new float[1]));
        NovoGrad novoGrad = NovoGrad.of().eps(0.5).l2(1);
        float[] norm = {0};
        assertEquals(2, novoGrad.trust(at(novoGrad), 1, 1, -1.0000001, 1, 1, norm));
        assertEquals(0, norm[0]);
    }

    private static float[] at(Rule rule) {
        float[] k = new float[Rule.SCALARS];
        rule.at(1, k);
        return k;
    }

    /** ‖g‖ is 10: a first step by g/10, or by g when ε is so large. */
    @Test
    void theConventionsOfNovoGradAreWorkedOutByHand() {
        NovoGrad novoGrad = NovoGrad.of(0.1).eps(1e-12);
        assertStep(novoGrad, 3 - 0.1 * 0.6, 4 - 0.1 * 0.8);
        assertStep(novoGrad.eps(10), 3 - 0.1 * 0.3, 4 - 0.1 * 0.4);
        assertStep(novoGrad.momentDecay(0.5), 3 - 0.1 * (0.6 + 1.5), 4 - 0.1 * (0.8 + 2));
        assertStep(novoGrad.decay(0.5), 3 - 0.1 * (0.6 + 1.5), 4 - 0.1 * (0.8 + 2));
        assertStep(novoGrad.averages(true), 3 - 0.1 * 0.06, 4 - 0.1 * 0.08);
        // Apex takes the mean 0.1·g, divides it by 1 − 0.9, and the norm by √(1 − 0.999).
        double norm = 10 / Math.sqrt(1 - 0.999);
        assertStep(NovoGrad.apex(0.1), 3 - 0.1 * 6 / norm, 4 - 0.1 * 8 / norm);
    }

    /** ‖g + ½p‖² of g = (1, 0) and p = (3, 4) is 2.5² + 2², of which the sums have 1, 3 and 6.25. */
    @Test
    void theNormOfNovoGradIsOfGradientsWithTheirPenalty() {
        try (Engine engine = Engines.open()) {
            Tensor p = engine.tensor(new float[] {3, 4}), g = engine.tensor(new float[] {1, 0});
            Optimizer optimizer = engine.optimizer(NovoGrad.of(0.01).l2(0.5));
            optimizer.update(p, g);
            assertEquals(
                    (float) Math.sqrt(10.25),
                    optimizer.state(Optimizer.SINGLE).get("n").get()[0]);
        }
    }
}
