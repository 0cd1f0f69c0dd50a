package kudari;

import static kudari.CollectiveTest.joined;
import static kudari.CollectiveTest.run;
import static kudari.OptimizerTest.refused;
import static kudari.RulesTest.assertSameBits;
import static kudari.RulesTest.floats;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

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
import kudari.rule.Momentum;
import kudari.rule.ScheduleFreeSgd;
import kudari.rule.Sgd;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
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
            "frozen", new long[] {17},
            "e.scalar", new long[] {}));

    private static final int STEPS = 5;

    private static Group[] groups() {
        return new Group[] {
            Group.frozen("frozen"),
            Group.of("b.*", Momentum.of(0.1)),
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
        Stream<Guard> plain = Stream.of(Guard.NONE, Guard.NONE.scale(0.25), Guard.clipValue(0.5));
        Stream<Guard> reducing = Stream.of(
                Guard.clipNorm(3).scale(0.5),
                Guard.clipTensorNorm(2),
                Guard.skipNonFinite().maximizes(true));
        return Engines.onCuda() ? plain : Stream.concat(plain, reducing);
    }

    @ParameterizedTest
    @MethodSource("guards")
    void ranksStepToTheBitsOfOneOptimizer(Guard guard) {
        for (int size = 1; size <= 4; size++) {
            int ranks = size;
            Counts[] counts = new Counts[1];
            double[] norm = new double[1];
            float[] expected = alone(ranks, guard, counts, norm);
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

    private static float[] alone(int ranks, Guard guard, Counts[] counts, double[] norm) {
        try (Engine engine = Engines.open()) {
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

    @Test
    void normsOverRanksAreRefusedWhereNoEngineTakesThem() {
        if (!Engines.onCuda()) return; // the CPU takes them, see above
        RuntimeException e = assertThrows(
                RuntimeException.class,
                () -> run(2, (engine, collective) -> {
                    Tensor p = engine.zeros(2), g = engine.zeros(2);
                    new ShardedOptimizer(engine, collective, Group.rest(Sgd.of(1)))
                            .guard(Guard.clipNorm(1))
                            .update(Map.of("p", p), Map.of("p", g));
                    return p.get();
                }));
        assertTrue(e.getMessage().contains("a norm over several ranks"), e.getMessage());
    }
}
