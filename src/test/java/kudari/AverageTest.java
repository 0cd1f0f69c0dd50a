package kudari;

import static kudari.OptimizerTest.refused;
import static kudari.RulesTest.assertSameBits;
import static kudari.RulesTest.floats;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.function.UnaryOperator;
import java.util.stream.Stream;
import kudari.checkpoint.Checkpoint;
import kudari.rule.AdEMAMix;
import kudari.rule.Adam;
import kudari.rule.AdamW;
import kudari.rule.Sgd;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** What follows the parameters of a group: the moving average and Lookahead. */
class AverageTest {

    private Engine engine;

    @BeforeEach
    void open() {
        engine = Engines.open();
    }

    @AfterEach
    void close() {
        engine.close();
    }

    /** By hand: p is 7, 5 and 7; a goes from 8 a quarter of the way. */
    @Test
    void anAverageGoesAPartOfTheWayAfterEveryStep() {
        Optimizer optimizer = engine.optimizer(Group.rest(Sgd.of(0.5)).average(0.75));
        check(optimizer, "average", floats(2, 4, -4), floats(7, 5, 7), floats(7.75, 7.0625, 7.046875));
    }

    /** By hand: p is 7, then 5 and so 6.5; 8.5, then 4.5 and so 5.5; the slow weights are 8 until then. */
    @Test
    void lookaheadGoesBackAfterEverySecondStep() {
        Optimizer optimizer = engine.optimizer(Group.rest(Sgd.of(0.5)).lookahead(2, 0.5));
        check(optimizer, "lookahead", floats(2, 4, -4, 8), floats(7, 6.5, 8.5, 5.5), floats(8, 6.5, 6.5, 5.5));
    }

    /** All of the way, the most there is: the point is where the parameter is, and Lookahead changes nothing. */
    @Test
    void aPointMayGoAllOfTheWay() {
        check(
                engine.optimizer(Group.rest(Sgd.of(0.5)).average(0)),
                "average",
                floats(2, 4),
                floats(7, 5),
                floats(7, 5));
        Optimizer lookahead = engine.optimizer(Group.rest(Sgd.of(0.5)).lookahead(2, 1));
        check(lookahead, "lookahead", floats(2, 4, 2), floats(7, 5, 4), floats(8, 5, 5));
    }

    private void check(Optimizer optimizer, String array, float[] gradients, float[] ps, float[] as) {
        Tensor p = engine.tensor(floats(8)), g = engine.zeros(1);
        for (int t = 0; t < gradients.length; t++) {
            g.set(gradients[t]);
            optimizer.update(p, g);
            assertEquals(ps[t], p.get()[0], "p after step " + (t + 1));
            assertEquals(
                    as[t], optimizer.state(Optimizer.SINGLE).get(array).get()[0], array + " after step " + (t + 1));
        }
    }

    /** Groups of one rule with an average, with Lookahead and with neither, in one optimizer, as each alone: in chunks, ends and odd sizes. */
    @Test
    void groupsWithAndWithoutAreDoneBesideEachOther() {
        Map<String, UnaryOperator<Group>> groups = new LinkedHashMap<>();
        groups.put("a", group -> group.average(0.9));
        groups.put("b", group -> group.lookahead(3, 0.5));
        groups.put("c", group -> group);
        groups.put("d", group -> group.average(0.5));
        Map<String, Tensor> together = new LinkedHashMap<>(), apart = new LinkedHashMap<>(), g = new LinkedHashMap<>();
        Random random = new Random(7);
        for (String name : groups.keySet()) {
            float[] start = gaussian(random, 20_011);
            together.put(name, engine.tensor(start));
            apart.put(name, engine.tensor(start));
            g.put(name, engine.zeros(start.length));
        }
        Optimizer all = engine.optimizer(groups.keySet().stream()
                .map(name -> groups.get(name).apply(Group.of(name, Adam.of(0.01))))
                .toArray(Group[]::new));
        Map<String, Optimizer> each = new LinkedHashMap<>();
        groups.forEach((name, with) -> each.put(name, engine.optimizer(with.apply(Group.of(name, Adam.of(0.01))))));
        for (int t = 1; t <= 7; t++) {
            for (Tensor grad : g.values()) grad.set(gaussian(random, 20_011));
            all.update(together, g);
            each.forEach((name, alone) -> alone.update(Map.of(name, apart.get(name)), Map.of(name, g.get(name))));
        }
        each.forEach((name, alone) -> {
            assertSameBits(apart.get(name).get(), together.get(name).get());
            RulesTest.assertSameState(alone.state(name), all.state(name));
        });
        // The average alone changes nothing of the training.
        Tensor plain = engine.tensor(new float[20_011]);
        assertEquals(List.of("m", "v", "average"), List.copyOf(all.state("a").keySet()));
        assertEquals(List.of("m", "v", "lookahead"), names(all.stateArrays("b", together.get("b"))));
        assertEquals(List.of("m", "v"), names(all.stateArrays("c", plain)));
    }

    private static float[] gaussian(Random random, int size) {
        float[] values = new float[size];
        for (int i = 0; i < size; i++) values[i] = (float) random.nextGaussian();
        return values;
    }

    @Test
    void aStepThatIsLeftOutIsNone() {
        Optimizer optimizer =
                engine.optimizer(Group.rest(Sgd.of(0.5)).lookahead(2, 0.5)).guard(Guard.skipNonFinite());
        Tensor p = engine.tensor(floats(8)), g = engine.zeros(1);
        for (float gradient : floats(2, Float.NaN, 4)) {
            g.set(gradient);
            optimizer.update(p, g);
        }
        assertEquals(6.5f, p.get()[0], "the second step goes back");
    }

    /** By hand, as above, but of a group that begins in the optimizer's second step: its own second step goes back. */
    @Test
    void aGroupThatBeginsLaterCountsItsOwnSteps() {
        Optimizer optimizer =
                engine.optimizer(Group.of("late", Sgd.of(0.5)).lookahead(2, 0.5).orEmpty(), Group.rest(Sgd.of(0.5)));
        Map<String, Tensor> p = new LinkedHashMap<>(Map.of("p", engine.zeros(1))), g = new LinkedHashMap<>(p);
        g.put("p", engine.zeros(1));
        optimizer.update(p, g);
        p.put("late", engine.tensor(floats(8)));
        g.put("late", engine.tensor(floats(2)));
        optimizer.update(p, g);
        assertEquals(7, p.get("late").get()[0]);
        g.get("late").set(4);
        optimizer.update(p, g);
        assertEquals(6.5f, p.get("late").get()[0]);
    }

    /** A parameter at 0 draws its average after it, and a step on subnormal numbers is slow. */
    @Test
    void anAverageDoesNotBecomeSubnormal() {
        Optimizer optimizer = engine.optimizer(Group.rest(Sgd.of(0)).average(0.5));
        Tensor p = engine.tensor(floats(1)), g = engine.zeros(1);
        optimizer.update(p, g);
        p.set(0);
        for (int t = 0; t < 200; t++) optimizer.update(p, g);
        float a = optimizer.state(Optimizer.SINGLE).get("average").get()[0];
        assertTrue(a == 0 || Math.abs(a) >= Float.MIN_NORMAL, "a is " + a);
        assertTrue(Math.abs(a) < 0x1p-90, "a is " + a);
    }

    /** Outside the heap steps go over copies of a chunk. */
    @Test
    void anAverageFollowsSomebodyElsesMemory() {
        int size = 40_000;
        try (CpuEngine cpu = Engine.cpu(2)) {
            FloatBuffer outside = ByteBuffer.allocateDirect(4 * size)
                    .order(ByteOrder.nativeOrder())
                    .asFloatBuffer();
            Random random = new Random(3);
            float[] start = gaussian(random, size);
            Tensor wrapped = cpu.wrap(outside, size), own = cpu.tensor(start), g = cpu.zeros(size);
            wrapped.set(start);
            List<Optimizer> optimizers = Stream.of(
                            Group.rest(AdamW.of(0.01)).lookahead(2, 0.5),
                            Group.rest(AdamW.of(0.01)).lookahead(2, 0.5))
                    .map(cpu::optimizer)
                    .toList();
            for (int t = 0; t < 5; t++) {
                g.set(gaussian(random, size));
                optimizers.get(0).update(wrapped, g);
                optimizers.get(1).update(own, g);
            }
            assertSameBits(own.get(), wrapped.get());
            RulesTest.assertSameState(
                    optimizers.get(1).state(Optimizer.SINGLE), optimizers.get(0).state(Optimizer.SINGLE));
        }
    }

    /** Beside the rule's arrays; and who has no average, or another, says so. */
    @Test
    void aCheckpointHasIt() {
        Map<String, Tensor> p = Map.of("W", engine.tensor(floats(8, -3))), g = Map.of("W", engine.tensor(floats(1, 2)));
        Group group = Group.rest(Adam.of(0.5)).average(0.75);
        Optimizer optimizer = engine.optimizer(group);
        for (int t = 0; t < 3; t++) optimizer.update(p, g);
        Checkpoint saved = Checkpoint.of(optimizer, p, Map.of());
        assertTrue(saved.tensors().containsKey("state/W/Adam.average"), saved.tensors()::toString);
        optimizer.update(p, g);
        Map<String, Tensor> q = Map.of("W", engine.zeros(2));
        Optimizer resumed = engine.optimizer(group);
        saved.restore(resumed, q);
        resumed.update(q, g);
        assertSameBits(p.get("W").get(), q.get("W").get());
        RulesTest.assertSameState(optimizer.state("W"), resumed.state("W"));

        refused(
                IllegalArgumentException.class,
                () -> saved.restore(engine.optimizer(Adam.of(0.5)), q),
                "the checkpoint does not fit: 'state/W/Adam.average' is not this run's");
        refused(
                IllegalArgumentException.class,
                () -> saved.restore(engine.optimizer(Group.rest(Adam.of(0.5)).lookahead(5, 0.5)), q),
                "the checkpoint does not fit: 'state/W/Adam.lookahead' is missing; 'state/W/Adam.average' is not this run's");
    }

    /** From a run without: all else goes on, and the average begins as the parameter was saved. */
    @Test
    void anAverageMayBeginLater() {
        Map<String, Tensor> p = Map.of("W", engine.tensor(floats(8, -3))), g = Map.of("W", engine.tensor(floats(1, 2)));
        Optimizer without = engine.optimizer(Adam.of(0.5)),
                with = engine.optimizer(Group.rest(Adam.of(0.5)).average(0.75));
        without.update(p, g);
        Checkpoint saved = Checkpoint.of(without, p, Map.of());
        Map<String, Tensor> q = Map.of("W", engine.zeros(2));
        assertEquals(List.of("'state/W/Adam.average' is missing"), saved.restoreWhatFits(with, q));
        for (String array : List.of("m", "v"))
            assertSameBits(
                    without.state("W").get(array).get(),
                    with.state("W").get(array).get());
        assertSameBits(p.get("W").get(), with.state("W").get("average").get());
        assertEquals(1, with.steps());
    }

    /** That of the group's average or Lookahead, and those of a master and a remainder, which wait for a parameter of 16 bits. */
    @ParameterizedTest
    @ValueSource(strings = {"average", "master", "remainder"})
    void aNameThatIsTakenIsRefused(String array) {
        Group group = Group.of("a", new Named(0.1, array)).average(0.9);
        refused(
                IllegalArgumentException.class,
                () -> engine.optimizer(group),
                "group 'a': state(): expected no array '" + array + "', which is the group's, got [" + array + "]");
    }

    record Named(double lr, String array) implements CustomRuleTest.Plain {

        @Override
        public float factor() {
            return 1;
        }

        @Override
        public List<String> state() {
            return List.of(array);
        }
    }

    static Stream<Arguments> wrong() {
        Group group = Group.rest(Sgd.of(0.1));
        return Stream.of(
                wrong(() -> group.average(1), "decay: expected a number from 0 up and below 1, got 1.0"),
                wrong(() -> group.average(-0.1), "decay: expected a number from 0 up and below 1, got -0.1"),
                wrong(() -> group.average(Double.NaN), "decay: expected a number from 0 up and below 1, got NaN"),
                wrong(() -> group.lookahead(0, 0.5), "k: expected at least 1 step, got 0"),
                wrong(() -> group.lookahead(5, 0), "alpha: expected a number above 0, at most 1, got 0.0"),
                wrong(() -> group.lookahead(5, 1.5), "alpha: expected a number above 0, at most 1, got 1.5"),
                wrong(() -> new Average("", 0.5, 1, false), "name: expected letters, digits and _"),
                wrong(() -> new Average("a.b", 0.5, 1, false), "name: expected letters, digits and _"),
                wrong(() -> group.lookahead(5, 0x1p-127), "alpha: expected a number above 0, at most 1"),
                wrong(() -> new Average("a", 0, 1, false), "name: expected letters, digits and _"),
                wrong(() -> new Average("a", 0x1p-127, 1, false), "pull: expected a number from 0 to 1"),
                wrong(() -> new Average("a", 2, 1, false), "pull: expected a number from 0 to 1, got 2.0"),
                wrong(() -> new Average("a", 0.5, 0, false), "every: expected at least 1 step, got 0"),
                wrong(
                        () -> group.average(0.9).lookahead(5, 0.5),
                        "group '*': expected one of average and lookahead, got both"),
                wrong(
                        () -> Group.frozen("a.*").average(0.9),
                        "frozen 'a.*': expected no average, for nothing moves, got one"));
    }

    private static Arguments wrong(Runnable body, String message) {
        return Arguments.of(body, message);
    }

    @ParameterizedTest(name = "{1}")
    @MethodSource("wrong")
    void whatIsWrongIsRefused(Runnable body, String message) {
        refused(RuntimeException.class, body::run, message);
    }

    @Test
    void anAverageOfAnotherValueTakesItsPlace() {
        Group group = Group.rest(AdEMAMix.of(0.1)).average(0.9).average(0.99);
        assertEquals(Average.ema(0.99), group.average());
        assertEquals(group.average(), group.orEmpty().average());
    }

    private static List<String> names(List<StateArray> arrays) {
        return arrays.stream().map(StateArray::name).toList();
    }
}
