package kudari;

import static kudari.CollectiveTest.joined;
import static kudari.CollectiveTest.run;
import static kudari.OptimizerTest.refused;
import static kudari.RulesTest.assertSameBits;
import static kudari.RulesTest.floats;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.math.BigDecimal;
import java.math.MathContext;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.TreeMap;
import java.util.stream.Stream;
import kudari.rule.Adam;
import kudari.rule.AdamW;
import kudari.rule.Lamb;
import kudari.rule.Lars;
import kudari.rule.Momentum;
import kudari.rule.ScheduleFreeSgd;
import kudari.rule.Sgd;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** An optimizer over several ranks, which are threads, beside one of all parameters that is given the sum of the ranks' gradients. */
@Timeout(120)
class ShardedOptimizerTest {

    /** Of one, of some, of none and of many pieces; in another order than by size or by name. */
    private static final Map<String, long[]> SHAPES = new TreeMap<>(Map.of(
            "b.bias", new long[] {5},
            "a.weight", new long[] {70, 100},
            "c.empty", new long[] {0, 3},
            "c.weight", new long[] {4096},
            "d.weight", new long[] {9000, 1},
            "f.weight", new long[] {41, 100},
            "frozen", new long[] {17},
            "e.scalar", new long[] {}));

    private static final int STEPS = 5;

    private static Group[] groups() {
        return new Group[] {
            Group.frozen("frozen"),
            Group.of("b.*", Momentum.of(0.1)),
            Group.of("f.*", Lars.of(0.1)), // whose sums are taken with those of the guard
            Group.matrices("*", Lamb.of(0.01)),
            Group.rest(AdamW.of(0.02).decay(0.1))
                    .state(StateFormat.BLOCKWISE_8BIT) // of c.weight, which is large enough
        };
    }

    private static float[] random(long seed, long[] shape) {
        Random random = new Random(seed);
        float[] values = new float[(int) Tensor.size(shape)];
        for (int i = 0; i < values.length; i++) values[i] = (float) random.nextGaussian();
        return values;
    }

    private static Map<String, Tensor> params(Engine engine) {
        Map<String, Tensor> params = new TreeMap<>();
        SHAPES.forEach((name, shape) -> params.put(name, engine.tensor(random(name.hashCode(), shape), shape)));
        return params;
    }

    /** What a rank has at a step; at the fourth, rank 0's has an element that is not finite, of a parameter that may be another's. */
    private static float[] gradient(String name, int rank, int step, boolean breaks) {
        float[] gradient = random(name.hashCode() + 31L * rank + 1009L * step, SHAPES.get(name));
        if (breaks && step == 3 && rank == 0 && name.equals("d.weight")) gradient[8999] = Float.POSITIVE_INFINITY;
        return gradient;
    }

    private static Map<String, Tensor> gradients(Engine engine) {
        Map<String, Tensor> grads = new TreeMap<>();
        SHAPES.forEach((name, shape) -> {
            if (!name.equals("frozen")) grads.put(name, engine.zeros(shape));
        });
        return grads;
    }

    static Stream<Guard> guards() {
        return Stream.of(
                Guard.NONE,
                Guard.NONE.scale(0.25),
                Guard.clipValue(0.5),
                Guard.clipNorm(3).scale(0.5),
                Guard.clipNorm(1e6), // larger than any
                Guard.clipTensorNorm(2),
                Guard.skipNonFinite().maximizes(true));
    }

    @ParameterizedTest
    @MethodSource("guards")
    void ranksStepToTheBitsOfOneOptimizer(Guard guard) {
        for (int size = 1; size <= 4; size++) {
            int ranks = size;
            Counts[] counts = new Counts[1];
            double[] norm = new double[1];
            float[] expected = alone(Engine.cpu(1), ranks, guard, counts, norm);
            assertSameBits(expected, alone(Engines.open(), ranks, guard, counts, norm));
            for (float[] params : run(ranks, (engine, collective) -> {
                Map<String, Tensor> p = params(engine), g = gradients(engine);
                try (ShardedOptimizer sharded = new ShardedOptimizer(engine, collective, groups()).guard(guard)) {
                    for (int step = 0; step < STEPS; step++) {
                        for (String name : g.keySet())
                            g.get(name).set(gradient(name, collective.rank(), step, guard.skips()));
                        sharded.update(p, g);
                    }
                    assertEquals(counts[0], sharded.counts());
                    if (guard.reduces()) assertEquals(norm[0], sharded.own().norm());
                }
                return joined(List.copyOf(p.values()));
            })) assertSameBits(expected, params);
        }
    }

    private static float[] alone(Engine engine, int ranks, Guard guard, Counts[] counts, double[] norm) {
        try (engine) {
            Map<String, Tensor> p = params(engine), g = gradients(engine);
            Optimizer optimizer = engine.optimizer(groups()).guard(guard);
            for (int step = 0; step < STEPS; step++) {
                for (String name : g.keySet()) {
                    Tensor sum = g.get(name);
                    sum.set(gradient(name, 0, step, guard.skips()));
                    for (int r = 1; r < ranks; r++)
                        sum.add(engine.tensor(gradient(name, r, step, guard.skips()), SHAPES.get(name)), 1);
                }
                optimizer.update(p, g);
            }
            counts[0] = optimizer.counts();
            assertEquals(guard.skips() ? 1 : 0, optimizer.skipped());
            if (guard.reduces()) norm[0] = optimizer.norm();
            return joined(List.copyOf(p.values()));
        }
    }

    /** The second largest, without which others would lie elsewhere, and the only one of its group; and one that is left out once, while others of its group are not. */
    private static Map<String, Tensor> without(Map<String, Tensor> tensors, int step) {
        Map<String, Tensor> some = new TreeMap<>(tensors);
        if (step < 2) some.keySet().removeAll(List.of("a.weight", "b.bias"));
        if (step == 3) some.remove("c.weight");
        return some;
    }

    /** State stays where it is, and a group counts its steps on every rank, be they those of another rank's parameters. */
    @ParameterizedTest
    @ValueSource(ints = {1, 2, 3, 4})
    void parametersMayComeLaterAndBeLeftOut(int size) {
        float[] expected;
        Counts counts;
        try (Engine engine = Engines.open()) {
            Map<String, Tensor> p = params(engine), g = gradients(engine);
            Optimizer alone = engine.optimizer(lateGroups());
            for (int step = 0; step < STEPS; step++) {
                for (String name : g.keySet()) g.get(name).set(gradient(name, 0, step, false));
                alone.update(without(p, step), without(g, step));
            }
            expected = joined(List.copyOf(p.values()));
            counts = alone.counts();
        }
        for (float[] params : run(size, (engine, collective) -> {
            Map<String, Tensor> p = params(engine), g = gradients(engine);
            ShardedOptimizer sharded = new ShardedOptimizer(engine, collective, lateGroups());
            for (int step = 0; step < STEPS; step++) {
                for (String name : g.keySet()) // the sum is that of rank 0, the others have nothing
                if (collective.rank() == 0) g.get(name).set(gradient(name, 0, step, false));
                    else g.get(name).zero();
                sharded.update(without(p, step), without(g, step));
            }
            assertEquals(counts, sharded.counts());
            assertEquals(counts, sharded.own().counts());
            return joined(List.copyOf(p.values()));
        })) assertSameBits(expected, params);
    }

    private static Group[] lateGroups() {
        return new Group[] {
            Group.frozen("frozen"),
            Group.of("b.*", Momentum.of(0.1)).orEmpty(),
            Group.rest(AdamW.of(0.02).decay(0.1)).state(StateFormat.BFLOAT16_STOCHASTIC)
        };
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 2, 3, 4})
    void aRankKeepsItsShareOfTheStateAndNoMore(int size) {
        Map<String, long[]> layers = new TreeMap<>();
        for (int n = 0; n < 12; n++) layers.put("layer" + n, new long[] {1000 + n});
        float[][] kept = run(size, (engine, collective) -> {
            Map<String, Tensor> p = new TreeMap<>(), g = new TreeMap<>();
            layers.forEach((name, shape) -> {
                p.put(name, engine.zeros(shape));
                g.put(name, engine.zeros(shape));
            });
            ShardedOptimizer sharded = new ShardedOptimizer(engine, collective, Group.rest(Adam.of(0.1)));
            sharded.update(p, g);
            long elements = 0;
            for (String name : layers.keySet()) {
                if (!sharded.own().knows(name)) continue;
                for (Tensor state : sharded.own().state(name).values()) elements += state.size();
            }
            return new float[] {elements};
        });
        long all = 2 * layers.values().stream().mapToLong(shape -> shape[0]).sum(), sum = 0;
        for (float[] elements : kept) {
            sum += (long) elements[0];
            // An equal share, and at most one parameter's state beside it.
            assertTrue(elements[0] <= all / size + 2 * 1011, elements[0] + " of " + all);
        }
        assertEquals(all, sum);
    }

    @Test
    void theLargestGoesFirstToTheRankThatHasLeast() {
        run(2, (engine, collective) -> {
            Map<String, Tensor> p = Map.of(
                    "a",
                    engine.zeros(2),
                    "b",
                    engine.zeros(5),
                    "c",
                    engine.zeros(4),
                    "d",
                    engine.zeros(2),
                    "x",
                    engine.zeros(9));
            ShardedOptimizer sharded =
                    new ShardedOptimizer(engine, collective, Group.frozen("x"), Group.rest(Sgd.of(1)));
            // b to 0, c to 1, a to 1 (4 before 5), d to 0 (5 before 6).
            assertEquals(new TreeMap<>(Map.of("b", 0, "c", 1, "a", 1, "d", 0)), sharded.owners(p));
            assertEquals(
                    collective.rank() == 0 ? List.of("b", "d") : List.of("a", "c"),
                    new ArrayList<>(sharded.shard(p).keySet()));
            return new float[0];
        });
    }

    /** By hand: Sgd at rate 1 takes the sum of 1 and 2 off. */
    @Test
    void moreRanksThanParametersAreNoMatter() {
        for (float[] result : run(4, (engine, collective) -> {
            Tensor p = engine.tensor(floats(10, 20)), g = engine.tensor(floats(1, collective.rank()));
            ShardedOptimizer sharded = new ShardedOptimizer(engine, collective, Group.rest(Sgd.of(1)));
            sharded.update(Map.of("p", p), Map.of("p", g));
            assertEquals(1, sharded.counts().steps());
            return p.get();
        })) assertSameBits(floats(6, 14), result);
    }

    /** Under Schedule-Free the average is used, and every rank has only its own. */
    @Test
    void allRanksHaveWhatIsToBeUsedAndThenWhatTrains() {
        float[] used, trained;
        try (Engine engine = Engines.open()) {
            Map<String, Tensor> p = params(engine), g = gradients(engine);
            p.keySet().retainAll(g.keySet());
            for (String name : g.keySet()) g.get(name).set(gradient(name, 0, 0, false));
            Optimizer alone = engine.optimizer(ScheduleFreeSgd.of(0.1));
            for (int step = 0; step < 3; step++) alone.update(p, g);
            trained = joined(List.copyOf(p.values()));
            Evaluation using = alone.evaluating(p);
            used = joined(List.copyOf(p.values()));
            using.close();
        }
        assertTrue(!Arrays.equals(used, trained));
        run(3, (engine, collective) -> {
            Map<String, Tensor> p = params(engine), g = gradients(engine);
            p.keySet().retainAll(g.keySet());
            ShardedOptimizer sharded = new ShardedOptimizer(engine, collective, Group.rest(ScheduleFreeSgd.of(0.1)));
            for (int step = 0; step < 3; step++) {
                for (String name : g.keySet()) // the sum is that of rank 0, the others have nothing
                if (collective.rank() == 0) g.get(name).set(gradient(name, 0, 0, false));
                    else g.get(name).zero();
                sharded.update(p, g);
            }
            sharded.evaluating(p, () -> assertSameBits(used, joined(List.copyOf(p.values()))));
            assertSameBits(trained, joined(List.copyOf(p.values())));
            return used;
        });
    }

    /** By hand: Sgd at rate 1 takes both ranks' gradients off, of whatever tensors it is given this time. */
    @Test
    void otherTensorsOfTheSameNamesAreThoseThatCount() {
        run(2, (engine, collective) -> {
            ShardedOptimizer sharded = new ShardedOptimizer(engine, collective, Group.rest(Sgd.of(1)));
            Tensor v = engine.tensor(floats(10, 20)),
                    w = engine.tensor(floats(30)),
                    other = engine.tensor(floats(40, 50));
            Map<String, Tensor> ones = Map.of("v", engine.tensor(floats(1, 1)), "w", engine.tensor(floats(1)));
            sharded.update(Map.of("v", v, "w", w), ones);
            Map<String, Tensor> grads = Map.of("v", engine.tensor(floats(3, 4)), "w", engine.tensor(floats(5)));
            sharded.update(Map.of("v", v, "w", w), grads);
            assertSameBits(floats(10 - 2 - 6, 20 - 2 - 8), v.get());
            assertSameBits(floats(30 - 2 - 10), w.get());
            // Of v rank 0's gradient is the sum by now, of w that of rank 1.
            sharded.update(Map.of("v", other, "w", w), grads);
            assertSameBits(floats(40 - 6 - 3, 50 - 8 - 4), other.get());
            assertSameBits(floats(2, 10), v.get());
            assertSameBits(floats(18 - 5 - 10), w.get());
            return new float[0];
        });
    }

    /** A factor that would be subnormal, of rank 0's parameter alone: the step is left out on both. */
    @Test
    void whatOneRankCannotClipIsLeftOutOnAll() {
        if (Engines.onCuda()) return; // which takes no norms over ranks
        for (float[] result : run(2, (engine, collective) -> {
            Tensor a = engine.tensor(floats(1, 2)), b = engine.tensor(floats(3));
            ShardedOptimizer sharded =
                    new ShardedOptimizer(engine, collective, Group.rest(Sgd.of(1))).guard(Guard.clipTensorNorm(1e-30));
            float first = collective.rank() == 0 ? 1e10f : 0, second = collective.rank() == 0 ? 1e-31f : 0;
            assertEquals(Map.of("a", 0, "b", 1), sharded.owners(Map.of("a", a, "b", b)));
            sharded.update(
                    Map.of("a", a, "b", b),
                    Map.of("a", engine.tensor(floats(first, 0)), "b", engine.tensor(floats(second))));
            assertEquals(1, sharded.own().skipped());
            return joined(List.of(a, b));
        })) assertSameBits(floats(1, 2, 3), result);
    }

    @Test
    void aGradientThatIsMissingIsNamed() {
        try (Engine engine = Engines.open()) {
            ShardedOptimizer sharded = new ShardedOptimizer(engine, Collective.local(), Group.rest(Sgd.of(1)));
            Map<String, Tensor> params = Map.of("w", engine.zeros(3));
            refused(IllegalArgumentException.class, () -> sharded.update(params, Map.of()), "grads 'w'", "none");
            refused(
                    IllegalArgumentException.class,
                    () -> sharded.update(params, Map.of("w", engine.zeros(2))),
                    "grads 'w': expected a tensor of 3 elements");
        }
    }

    // ---- a guard over ranks ----

    /** By hand: one rank has 3 = 1 + 2 and the other 4 = 5 − 1, so the norm is 5; Sgd at rate 1 takes off the gradient times the limit over 5. */
    @ParameterizedTest
    @CsvSource({"4,0.8", "5,1"})
    void aNormOfFiveOverRanksIsClippedByHand(double max, float factor) {
        for (float[] result : run(2, (engine, collective) -> {
            boolean first = collective.rank() == 0;
            Map<String, Tensor> p = Map.of("a", engine.zeros(2), "b", engine.zeros(1));
            Map<String, Tensor> g =
                    Map.of("a", engine.tensor(floats(first ? 1 : 2, 0)), "b", engine.tensor(floats(first ? 5 : -1)));
            try (ShardedOptimizer sharded =
                    new ShardedOptimizer(engine, collective, Group.rest(Sgd.of(1))).guard(Guard.clipNorm(max))) {
                assertEquals(Map.of("a", 0, "b", 1), sharded.owners(p));
                sharded.update(p, g);
                assertEquals(5, sharded.own().norm(), "√(3² + 4²)");
                assertEquals(1, sharded.own().steps());
            }
            return joined(List.of(p.get("a"), p.get("b")));
        })) assertSameBits(new float[] {-(3 * factor), 0, -(4 * factor)}, result);
    }

    /** Of as many pieces as lie on several ranks, whose sums are added up in rounds. */
    @Test
    void theNormIsTheRootOfTheSumOfSquaresOfAllRanks() {
        int[] sizes = {1_000_000, 400_000, 300_000, 4097, 1};
        float[][] sums = new float[sizes.length][];
        BigDecimal squares = BigDecimal.ZERO;
        for (int n = 0; n < sizes.length; n++) {
            sums[n] = random(n, new long[] {sizes[n]});
            for (float x : sums[n]) squares = squares.add(new BigDecimal(x).pow(2));
        }
        double exact = squares.sqrt(MathContext.DECIMAL128).doubleValue(), max = 0.5;
        double[] norms = new double[3];
        float[][] results = run(3, (engine, collective) -> {
            Map<String, Tensor> p = new TreeMap<>(), g = new TreeMap<>();
            for (int n = 0; n < sizes.length; n++) {
                p.put("W" + n, engine.zeros(sizes[n]));
                // Each is one rank's, whose it need not be.
                g.put("W" + n, n % 3 == collective.rank() ? engine.tensor(sums[n]) : engine.zeros(sizes[n]));
            }
            ShardedOptimizer sharded =
                    new ShardedOptimizer(engine, collective, Group.rest(Sgd.of(1))).guard(Guard.clipNorm(max));
            sharded.update(p, g);
            norms[collective.rank()] = sharded.own().norm();
            return p.get("W2").get();
        });
        // As in GuardTest: at most 4 + 2 + 8 additions in a piece, and for up to 512 pieces 2 + 8 more.
        assertEquals(exact, norms[0], exact * 14 * 0x1p-53);
        for (double norm : norms) assertEquals(norms[0], norm);
        for (float[] result : results) {
            for (int i = 0; i < result.length; i++) {
                double expected = -sums[2][i] * (max / exact);
                assertEquals(
                        expected, result[i], Math.abs(expected) * 0x1p-22); // the factor and the product are rounded
            }
        }
    }

    /** Of many sums, for in most of them another order shows in no bit of the root. */
    @ParameterizedTest
    @ValueSource(ints = {2, 3})
    void theNormIsAddedUpInTheOrderOfTheNames(int size) {
        double[] expected;
        try (Engine engine = Engine.cpu(1)) {
            expected = norms(engine, Collective.local());
        }
        run(size, (engine, collective) -> {
            assertArrayEquals(expected, norms(engine, collective));
            return new float[0];
        });
    }

    /** Of 30 steps over tensors of which every next name is another rank's. */
    private static double[] norms(Engine engine, Collective collective) {
        Map<String, Tensor> p = new TreeMap<>(), g = new TreeMap<>();
        for (int n = 10; n < 50; n++) {
            p.put("W" + n, engine.zeros(3));
            g.put("W" + n, engine.zeros(3));
        }
        double[] norms = new double[30];
        ShardedOptimizer sharded =
                new ShardedOptimizer(engine, collective, Group.rest(Sgd.of(1))).guard(Guard.skipNonFinite());
        for (int step = 0; step < norms.length; step++) {
            Random random = new Random(step);
            for (Tensor grad : g.values()) {
                float[] values = new float[3];
                for (int i = 0; i < 3; i++) values[i] = collective.rank() > 0 ? 0 : (float) random.nextGaussian();
                grad.set(values);
            }
            sharded.update(p, g);
            norms[step] = sharded.own().norm();
        }
        return norms;
    }

    /** From 3e38 down to 1e-7 the factor is no float; only the rank that has this parameter finds that. */
    @ParameterizedTest
    @ValueSource(ints = {2, 3, 4})
    void aFactorThatFloatCannotHoldOnOneRankSkipsTheStepOnAll(int size) {
        for (int large = 0; large < 3; large++) {
            String name = "W" + large;
            for (float[] result : run(size, (engine, collective) -> {
                Map<String, Tensor> p = new TreeMap<>(), g = new TreeMap<>();
                for (int n = 0; n < 3; n++) {
                    p.put("W" + n, engine.zeros(1));
                    g.put("W" + n, engine.zeros(1));
                }
                try (ShardedOptimizer sharded = new ShardedOptimizer(engine, collective, Group.rest(Sgd.of(1)))
                        .guard(Guard.clipTensorNorm(1e-7))) {
                    for (float value : new float[] {1, 3e38f, 1}) {
                        g.forEach((each, grad) -> grad.set(
                                collective.rank() > 0 ? 0 : each.equals(name) ? value : 1)); // the sum is rank 0's
                        sharded.update(p, g);
                    }
                    assertEquals(new Counts(2, 1, List.of(2L)), sharded.counts());
                }
                return joined(List.copyOf(p.values()));
            })) assertSameBits(floats(-2e-7f, -2e-7f, -2e-7f), result);
        }
    }

    /** Gradients and parameters of 16 bits, of which each sum is taken in float32 and rounded once. */
    @ParameterizedTest
    @EnumSource(names = {"BF16", "F16"})
    void gradientsOf16BitsStepToTheBitsOfOneOptimizer(Dtype dtype) {
        for (Guard guard : List.of(Guard.clipNorm(0.5), Guard.clipTensorNorm(0.5))) {
            float[] expected;
            try (Engine engine = Engine.cpu(1)) {
                expected = in16Bits(engine, Collective.local(), dtype, guard, 3);
            }
            for (float[] params : run(3, (engine, collective) -> in16Bits(engine, collective, dtype, guard, 3)))
                assertSameBits(expected, params);
        }
    }

    /** Alone, with the sum of so many ranks' gradients. At one step that of a rank overflows. */
    private static float[] in16Bits(Engine engine, Collective collective, Dtype dtype, Guard guard, int ranks) {
        Map<String, Tensor> p = new TreeMap<>(), g = new TreeMap<>();
        SHAPES.forEach((name, shape) -> {
            p.put(name, engine.tensor(random(name.hashCode(), shape), dtype, shape));
            g.put(name, engine.zeros(dtype, shape));
        });
        LossScale scale = engine.lossScale(LossScaling.dynamic().initial(4).interval(2));
        try (ShardedOptimizer sharded = new ShardedOptimizer(
                        engine, collective, Group.matrices("*", Lamb.of(0.01)), Group.rest(AdamW.of(0.02)))
                .guard(guard)
                .lossScale(scale)) {
            for (int step = 0; step < STEPS; step++) {
                for (String name : SHAPES.keySet()) {
                    float[] sum = new float[(int) Tensor.size(SHAPES.get(name))];
                    for (int r = 0; r < ranks; r++) {
                        if (collective.size() > 1 && r != collective.rank()) continue;
                        float[] own = gradient(name, r, step, true);
                        for (int i = 0; i < sum.length; i++) sum[i] += rounded(dtype, own[i]);
                    }
                    g.get(name).set(sum);
                }
                sharded.update(p, g);
            }
            assertEquals(new Counts(4, 1, List.of(4L, 4L)).lossScale(scale.state()), sharded.counts());
        }
        return joined(List.copyOf(p.values()));
    }

    private static float rounded(Dtype dtype, float x) {
        short bits = Conversion.round(dtype, x);
        return dtype == Dtype.BF16 ? Conversion.ofBfloat16(bits) : Conversion.ofFloat16(bits);
    }

    /** By hand: the gradient of 3 and 4 is held down to a norm of 1 by the one rank of four that has a parameter. */
    @Test
    void ranksWithoutParametersKnowTheNorm() {
        for (Guard guard : List.of(Guard.clipNorm(1), Guard.clipTensorNorm(1))) {
            for (float[] result : run(4, (engine, collective) -> {
                boolean first = collective.rank() == 0;
                Tensor p = engine.zeros(2), g = engine.tensor(first ? floats(3, 4) : floats(0, 0));
                ShardedOptimizer sharded = new ShardedOptimizer(engine, collective, Group.rest(Sgd.of(1))).guard(guard);
                sharded.update(Map.of("p", p), Map.of("p", g));
                assertEquals(5, sharded.own().norm());
                g.set(Float.NaN, 0);
                sharded.update(Map.of("p", p), Map.of("p", g));
                assertEquals(new Counts(1, 1, List.of(1L)), sharded.counts());
                return p.get();
            })) assertSameBits(new float[] {-(3 * 0.2f), -(4 * 0.2f)}, result);
        }
    }

    /** More pieces from one update to the next, and then fewer; and all memory comes back. */
    @Test
    void theTensorsOfAnUpdateMayBeOthersThanThoseOfTheLast() {
        run(2, (engine, collective) -> {
            Map<String, Tensor> p = params(engine), g = gradients(engine);
            p.keySet().retainAll(g.keySet());
            int[] counts = {1, 2, 5, 7, 2, 7, 1};
            long before = 0;
            for (int round = 0; round < 3; round++) {
                ShardedOptimizer sharded =
                        new ShardedOptimizer(engine, collective, Group.rest(Sgd.of(1))).guard(Guard.skipNonFinite());
                for (int count : counts) {
                    Map<String, Tensor> some = new TreeMap<>(p), grads = new TreeMap<>(g);
                    List<String> names = List.copyOf(p.keySet()).subList(0, count);
                    some.keySet().retainAll(names);
                    grads.keySet().retainAll(names);
                    for (Tensor grad : grads.values()) {
                        float[] quarters = new float[(int) grad.size()];
                        Arrays.fill(quarters, 0.25f);
                        grad.set(quarters);
                    }
                    sharded.update(some, grads);
                    long elements =
                            some.values().stream().mapToLong(Tensor::size).sum();
                    assertEquals(
                            Math.sqrt(elements * 0.25), sharded.own().norm(), "of halves, of which sums are exact");
                }
                sharded.close();
                if (!(engine instanceof CudaEngine cuda)) break;
                if (round == 0) before = cuda.allocated();
                assertEquals(before, cuda.allocated());
            }
            return new float[0];
        });
    }

    /** A job may have a GPU on some of its machines alone. */
    @Test
    void ranksOnDifferentEnginesStepToTheSameBits() {
        if (!Engines.onCuda()) return; // there is one kind of engine
        for (Guard guard : List.of(Guard.clipNorm(3), Guard.clipTensorNorm(2))) {
            float[] expected = alone(Engine.cpu(1), 2, guard, new Counts[1], new double[1]);
            for (float[] params : run(2, (device, collective) -> {
                try (Engine cpu = Engine.cpu(1)) {
                    Engine engine = collective.rank() == 0 ? cpu : device;
                    Map<String, Tensor> p = params(engine), g = gradients(engine);
                    ShardedOptimizer sharded = new ShardedOptimizer(engine, collective, groups()).guard(guard);
                    for (int step = 0; step < STEPS; step++) {
                        for (String name : g.keySet())
                            g.get(name).set(gradient(name, collective.rank(), step, guard.skips()));
                        sharded.update(p, g);
                    }
                    return joined(List.copyOf(p.values()));
                }
            })) assertSameBits(expected, params);
        }
    }

    /** A collective in which the other rank does not answer. */
    private static final class Lost extends HostCollective {

        Lost() {
            super(0, 2);
        }

        @Override
        protected void send(int to, ByteBuffer message) {
            // It is lost on its way.
        }

        @Override
        protected ByteBuffer receive(int from) {
            throw new IllegalStateException("rank " + from + " is lost");
        }

        @Override
        public void close() {
            // It holds nothing.
        }
    }

    @Test
    void whereARankIsLostTheOthersDoNotStep() {
        try (Engine engine = Engines.open();
                Collective lost = new Lost()) {
            Tensor p = engine.tensor(floats(1, 2)), g = engine.tensor(floats(3, 4));
            LossScale scale = engine.lossScale(LossScaling.dynamic().initial(8));
            ShardedOptimizer sharded = new ShardedOptimizer(engine, lost, Group.rest(Sgd.of(1)))
                    .guard(Guard.clipNorm(1))
                    .lossScale(scale);
            for (int n = 0; n < 2; n++)
                refused(
                        IllegalStateException.class,
                        () -> sharded.own().update(Map.of("p", p), Map.of("p", g)),
                        "rank 1 is lost");
            assertSameBits(floats(1, 2), p.get());
            assertEquals(new LossScale.State(8, 0, 1, false), scale.state());
            assertEquals(0, sharded.own().steps());
            sharded.close();
        }
    }

    /** On the CPU nothing is recorded, and the body runs at each launch. */
    @Test
    void whatWaitsForOtherRanksCannotBeRecorded() {
        run(2, (engine, collective) -> {
            Map<String, Tensor> p = Map.of("p", engine.zeros(2), "q", engine.zeros(2));
            Map<String, Tensor> g = Map.of("p", engine.zeros(2), "q", engine.zeros(2));
            ShardedOptimizer sharded =
                    new ShardedOptimizer(engine, collective, Group.rest(Sgd.of(1))).guard(Guard.clipNorm(1));
            sharded.update(p, g);
            if (engine instanceof CpuEngine) return new float[0];
            String mine = collective.rank() == 0 ? "p" : "q";
            refused(
                    IllegalStateException.class,
                    () -> engine.capture(
                            () -> sharded.own().update(Map.of(mine, p.get(mine)), Map.of(mine, g.get(mine)))),
                    "capture: a step that waits for the gradients of other ranks cannot be recorded");
            sharded.update(p, g);
            assertEquals(2, sharded.own().steps());
            return new float[0];
        });
    }
}
