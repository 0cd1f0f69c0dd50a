package kudari;

import static kudari.OptimizerTest.refused;
import static kudari.RulesTest.assertSameBits;
import static kudari.RulesTest.assertSameState;
import static kudari.RulesTest.floats;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import java.util.logging.Handler;
import java.util.logging.LogRecord;
import java.util.logging.Logger;
import java.util.logging.SimpleFormatter;
import kudari.rule.Adam;
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

/** Which parameters a group takes, and that groups share a step, a norm and nothing else. */
class GroupTest {

    private static final long SEED = 31;

    private Engine engine;

    @BeforeEach
    void open() {
        engine = Engines.open();
    }

    @AfterEach
    void close() {
        engine.close();
    }

    @ParameterizedTest
    @CsvSource({
        "'', '', true",
        "'', a, false",
        "*, '', true",
        "*, head.weight, true",
        "**, a, true",
        "head.*, head., true",
        "head.*, head, false",
        "head.*, xhead.w, false",
        "*.bias, layer.1.bias, true",
        "*.bias, bias, false",
        "*.bias, layer.bias.scale, false",
        "a*b*c, abc, true",
        "a*b*c, a.b.b.c, true",
        "a*b*c, acb, false",
        "*aab, aaab, true",
        "a?c, abc, false",
        "a.c, abc, false",
        "Head.*, head.w, false",
        "head, Head, false",
        "[a], a, false"
    })
    void aStarStandsForAnyCharactersAndEveryOtherForItself(String pattern, String name, boolean takes) {
        assertEquals(takes, Group.of(pattern, Sgd.of()).takesName(name));
    }

    /** With one more star at each turn: what goes back into every star takes longer than the universe has lasted. */
    @Test
    void aPatternOfManyStarsEnds() {
        String pattern = "*a".repeat(2000) + "*b", name = "a".repeat(100_000);
        assertTrue(!Group.of(pattern, Sgd.of()).takesName(name));
        assertTrue(Group.of(pattern, Sgd.of()).takesName(name + "b"));
    }

    @Test
    void theFirstGroupThatFitsTakesAParameter() {
        Group[] groups = {
            Group.of("head.*", Sgd.of(1)),
            Group.vectors("*", Sgd.of(2)),
            Group.matrices("conv*", Sgd.of(4)),
            Group.rest(Sgd.of(8))
        };
        Map<String, Tensor> p = new LinkedHashMap<>(), g = new LinkedHashMap<>();
        p.put("head.bias", engine.zeros(1));
        p.put("conv", engine.zeros(1, 1, 1, 1));
        p.put("conv.bias", engine.zeros(1));
        p.put("scale", engine.zeros());
        p.put("W", engine.zeros(1, 1));
        p.forEach((name, tensor) -> g.put(name, engine.full(1, tensor.shape())));
        Optimizer sgd = engine.optimizer(groups);
        assertEquals(Optional.of(Sgd.of(4)), sgd.rule("conv", p.get("conv")), "before the first step");
        sgd.update(p, g);
        assertEquals(Map.of("head.bias", -1f, "conv", -4f, "conv.bias", -2f, "scale", -2f, "W", -8f), firsts(p));
        assertEquals(Optional.of(Sgd.of(2)), sgd.rule("scale", p.get("scale")));
        assertEquals(List.of(groups), sgd.groups());
    }

    private static Map<String, Float> firsts(Map<String, Tensor> params) {
        Map<String, Float> firsts = new HashMap<>();
        params.forEach((name, tensor) -> firsts.put(name, tensor.get()[0]));
        return firsts;
    }

    /** A gradient of 3 and, of what is frozen, NaN: the norm is 3. */
    @Test
    void theFrozenStayNeedNoGradientAndAreNotInTheNorm() {
        Tensor w = engine.zeros(1), e = engine.tensor(floats(7));
        Tensor dw = engine.tensor(floats(3)), nan = engine.tensor(floats(Double.NaN));
        Optimizer sgd =
                engine.optimizer(Group.frozen("embed"), Group.rest(Sgd.of(1))).guard(Guard.clipNorm(10));
        sgd.update(Map.of("embed", e, "w", w), Map.of("w", dw));
        sgd.update(Map.of("embed", e, "w", w), Map.of("w", dw, "embed", nan));
        assertEquals(3, sgd.norm());
        assertEquals(new Counts(2, 0, List.of(2L)), sgd.counts());
        assertSameBits(floats(7), e.get());
        assertSameBits(floats(-6), w.get());
        assertEquals(Optional.empty(), sgd.rule("embed", e));
        assertEquals(List.of(), sgd.stateArrays("embed", e));
        assertTrue(!sgd.knows("embed") && sgd.knows("w"));
        refused(IllegalArgumentException.class, () -> sgd.schedule("embed", t -> Sgd.of(1)), "'embed'");
        refused(IllegalArgumentException.class, () -> engine.optimizer(Group.frozen("*")), "at least one with a rule");
    }

    @Test
    void aNameThatNoGroupTakesIsRefusedWithTheGroupsAtHand() {
        Tensor w = engine.zeros(1, 1), b = engine.zeros(1), dw = engine.zeros(1, 1), db = engine.zeros(1);
        Optimizer sgd = engine.optimizer(Group.matrices("*", Sgd.of(1)));
        refused(
                IllegalArgumentException.class,
                () -> sgd.update(Map.of("W", w, "b", b), Map.of("W", dw, "b", db)),
                "'b' of shape [1]",
                "matrices of '*'",
                "Group.rest");
        sgd.update(Map.of("W", w), Map.of("W", dw));
        assertEquals(1, sgd.steps());
    }

    @Test
    void aGroupWhoseParametersAnEarlierOneTakesIsRefusedWithThatOne() {
        Tensor w = engine.zeros(1), dw = engine.tensor(floats(1));
        Optimizer hidden = engine.optimizer(Group.rest(Sgd.of(1)), Group.of("head.*", Sgd.of(2)));
        refused(
                IllegalArgumentException.class,
                () -> hidden.update(Map.of("head.w", w), Map.of("head.w", dw)),
                "'head.*'",
                "'*' before it takes 'head.w'",
                "narrower group goes first");
    }

    @Test
    void aPatternThatTakesNothingIsRefusedAtTheFirstUpdateUnlessItMayBeEmpty() {
        Tensor w = engine.zeros(1), dw = engine.tensor(floats(1)), h = engine.zeros(1);
        Optimizer typo = engine.optimizer(Group.of("haed.*", Sgd.of(1)), Group.rest(Sgd.of(2)));
        refused(
                IllegalArgumentException.class,
                () -> typo.update(Map.of("head.w", w), Map.of("head.w", dw)),
                "'haed.*'",
                "[head.w]",
                "orEmpty()");
        refused(
                IllegalArgumentException.class,
                () -> engine.optimizer(Group.frozen("embed"), Group.rest(Sgd.of(2)))
                        .update(w, dw),
                "'embed'");
        Optimizer later = engine.optimizer(Group.of("head.*", Sgd.of(1)).orEmpty(), Group.rest(Sgd.of(2)));
        later.update(Map.of("w", w), Map.of("w", dw));
        later.update(Map.of("head.w", h), Map.of("head.w", dw));
        assertSameBits(floats(-1), h.get());
        assertSameBits(floats(-2), w.get());
        assertEquals(new Counts(2, 0, List.of(1L, 1L)), later.counts());
    }

    /** Under Adam: its first step is one of lr, whenever it begins, and its rate is the optimizer's. */
    @Test
    void aGroupThatBeginsLaterCorrectsItsBiasFromItsOwnFirstStepAndFollowsTheRateOfTheOptimizers() {
        Schedule rising = t -> Adam.pytorch(t);
        Tensor w = engine.zeros(1), b = engine.zeros(1), g = engine.tensor(floats(1));
        Optimizer adam =
                engine.optimizer(Group.of("w", rising), Group.of("b", rising).orEmpty());
        for (int t = 0; t < 200; t++) adam.update(Map.of("w", w), Map.of("w", g));
        adam.update(Map.of("w", w, "b", b), Map.of("w", g, "b", g));
        assertEquals(-201, b.get()[0], 201 * 8 * 0x1p-23, "one step at the rate of step 201");
        assertEquals(new Counts(201, 0, List.of(201L, 1L)), adam.counts());
        adam.update(Map.of("w", w), Map.of("w", g));
        adam.update(Map.of("w", w, "b", b), Map.of("w", g, "b", g));
        assertEquals(-201 - 203, b.get()[0], 404 * 16 * 0x1p-23, "as in its step 2");
        assertEquals(new Counts(203, 0, List.of(203L, 2L)), adam.counts());
    }

    /** By hand: m = 0.1 and v = 0.001 as after one step, but corrected as after three; with ε = 0 for all that float sees. */
    @Test
    void aParameterThatJoinsAGroupSharesItsCount() {
        Tensor w = engine.zeros(1), late = engine.zeros(1), g = engine.tensor(floats(1));
        Optimizer adam = engine.optimizer(
                Group.frozen("none").orEmpty(), Group.rest(Adam.pytorch(1).eps(1e-30)));
        for (int t = 0; t < 2; t++) adam.update(Map.of("w", w), Map.of("w", g));
        List<String> logged = new ArrayList<>();
        Handler handler = new Handler() {
            @Override
            public void publish(LogRecord record) {
                logged.add(new SimpleFormatter().formatMessage(record));
            }

            @Override
            public void flush() {}

            @Override
            public void close() {}
        };
        Logger log = Logger.getLogger(Optimizer.class.getName());
        log.addHandler(handler);
        try {
            for (int t = 0; t < 2; t++) {
                adam.update(Map.of("w", w, "late", late), Map.of("w", g, "late", g));
                if (t > 0) continue;
                double m = 0.1 / (1 - Math.pow(0.9, 3)), v = 0.001 / (1 - Math.pow(0.999, 3));
                assertEquals(-m / Math.sqrt(v), late.get()[0], 16 * 0x1p-24);
            }
        } finally {
            log.removeHandler(handler);
        }
        assertEquals(List.of("[late] join group '*' after its 2 steps, and share its bias correction"), logged);
        assertEquals(new Counts(4, 0, List.of(4L)), adam.counts());
    }

    @ParameterizedTest
    @MethodSource("kudari.RulesTest#table")
    void groupsOfEqualSettingsAreOneGroup(RulesTest.Row row) {
        Rule rule = row.of().apply(0.01).l2(0.01).decay(0.1);
        int[] sizes = {1, 5, 4097, 3, 8};
        Map<String, Tensor> a = new HashMap<>(), b = new HashMap<>(), g = new HashMap<>();
        for (int n = 0; n < sizes.length; n++) {
            a.put("W" + n, engine.full(1, sizes[n]));
            b.put("W" + n, engine.full(1, sizes[n]));
            g.put("W" + n, engine.zeros(sizes[n]));
        }
        Optimizer one = engine.optimizer(rule).guard(Guard.clipNorm(3)),
                three =
                        engine.optimizer(Group.of("W1", rule), Group.of("W3", t -> rule.lr(0.01)), Group.rest(rule))
                                .guard(Guard.clipNorm(3));
        Random random = new Random(SEED);
        for (int t = 0; t < 5; t++) {
            for (Tensor grad : g.values()) {
                float[] values = new float[(int) grad.size()];
                for (int i = 0; i < values.length; i++) values[i] = (float) random.nextGaussian();
                if (t == 2) values[0] = Float.POSITIVE_INFINITY;
                grad.set(values);
            }
            one.update(a, g);
            three.update(b, g);
            assertEquals(one.norm(), three.norm());
        }
        assertEquals(new Counts(4, 1, List.of(4L, 4L, 4L)), three.counts());
        for (String name : a.keySet()) {
            assertSameBits(a.get(name).get(), b.get(name).get());
            assertSameState(one.state(name), three.state(name));
        }
    }

    /** Two kinds of rule in one optimizer: one norm, and a step that is left out is left out by both. */
    @Test
    void groupsOfTwoKindsOfRuleShareOneNormAndOneStep() {
        Tensor a = engine.zeros(1), b = engine.zeros(1), da = engine.tensor(floats(3)), db = engine.tensor(floats(4));
        Optimizer two = engine.optimizer(Group.of("a", Momentum.of(1).momentum(0.5)), Group.rest(Sgd.of(1)))
                .guard(Guard.clipNorm(2.5));
        Map<String, Tensor> p = Map.of("a", a, "b", b), g = Map.of("a", da, "b", db);
        two.update(p, g);
        assertEquals(5, two.norm());
        assertSameBits(floats(-1.5), a.get());
        assertSameBits(floats(-2), b.get());
        db.set(Float.NaN);
        two.update(p, g);
        assertSameBits(floats(-1.5), a.get());
        db.set(4);
        two.update(p, g);
        assertSameBits(floats(-1.5 - 0.75 - 1.5), a.get());
        assertSameBits(floats(-4), b.get());
        assertEquals(new Counts(2, 1, List.of(2L, 2L)), two.counts());
    }

    /** Of kinds that are launched first and last: whichever has nothing to do, the step is counted, and the next finds its own scalars. */
    @ParameterizedTest
    @ValueSource(strings = {"a", "b"})
    void aStepCountsWhicheverGroupsTakePart(String alone) {
        Map<String, Tensor> p = Map.of("a", engine.tensor(floats(1, 2)), "b", engine.tensor(floats(3))),
                q = Map.of("a", engine.tensor(floats(1, 2)), "b", engine.tensor(floats(3))),
                g = Map.of("a", engine.tensor(floats(1, -1)), "b", engine.tensor(floats(2)));
        Schedule adam = t -> Adam.of(0.1 / t), momentum = t -> Momentum.of(0.1 / t);
        Optimizer
                groups =
                        engine.optimizer(
                                Group.of("a", adam).orEmpty(),
                                Group.of("b", momentum).orEmpty()),
                single = engine.optimizer(alone.equals("a") ? adam : momentum);
        Map<String, Tensor> one = Map.of(alone, p.get(alone)), grad = Map.of(alone, g.get(alone));
        for (int t = 0; t < 5; t++) {
            groups.update(one, grad);
            single.update(Map.of(alone, q.get(alone)), grad);
        }
        assertSameBits(q.get(alone).get(), p.get(alone).get());
        assertEquals(5, groups.steps());
    }

    @Test
    void theScheduleOfAGroupThatTakesNoPartIsNotAsked() {
        Map<String, Tensor> p = Map.of("a", engine.zeros(1), "b", engine.zeros(1)),
                g = Map.of("a", engine.tensor(floats(1)), "b", engine.tensor(floats(1)));
        Optimizer groups = engine.optimizer(Group.of("a", Sgd.of(1)), Group.of("b", t -> {
            if (t > 1) throw new IllegalStateException("no more");
            return Sgd.of(1);
        }));
        groups.update(p, g);
        refused(IllegalStateException.class, () -> groups.update(p, g), "no more");
        groups.update(Map.of("a", p.get("a")), Map.of("a", g.get("a")));
        assertSameBits(floats(-2, -1), floats(p.get("a").get()[0], p.get("b").get()[0]));
    }

    @Test
    void eachGroupHasItsScheduleWhichMayChangeForItself() {
        Tensor a = engine.zeros(1), b = engine.zeros(1), g = engine.tensor(floats(1));
        Optimizer sgd = engine.optimizer(Group.of("a", t -> Sgd.of(t)), Group.of("b*", Sgd.of(10)));
        Map<String, Tensor> p = Map.of("a", a, "b", b), grads = Map.of("a", g, "b", g);
        for (int t = 0; t < 3; t++) sgd.update(p, grads);
        sgd.schedule("b*", t -> Sgd.of(t));
        sgd.update(p, grads);
        assertSameBits(floats(-10), a.get());
        assertSameBits(floats(-34), b.get());
        refused(IllegalStateException.class, () -> sgd.schedule(t -> Sgd.of(1)), "'a'", "'b*'");
        refused(IllegalArgumentException.class, () -> sgd.schedule("b", t -> Sgd.of(1)), "'b'", "'b*'");
    }

    /** State without arrays has no shape that would say which of two groups of one pattern it belongs to. */
    @Test
    void whoIsResumedFollowsTheGroupThatTakesItsShape() {
        Tensor w = engine.zeros(1, 1), b = engine.zeros(1);
        Map<String, Tensor> p = Map.of("W", w, "b", b), g = Map.of("W", engine.full(1, 1, 1), "b", engine.full(1, 1));
        Group[] groups = {Group.vectors("*", Sgd.of(1)), Group.matrices("*", Sgd.of(2))};
        Optimizer first = engine.optimizer(groups), second = engine.optimizer(groups);
        first.update(p, g);
        second.resume(first.counts(), Map.of("W", first.state("W"), "b", first.state("b")));
        second.update(p, g);
        assertSameBits(floats(-4), w.get());
        assertSameBits(floats(-2), b.get());
        assertEquals(new Counts(2, 0, List.of(2L, 2L)), second.counts());
    }

    @Test
    void eachWordForAGroupKeepsTheOthers() {
        Group group = Group.matrices("*", Adam.of());
        Group expected = new Group(
                "*",
                Group.Extents.MATRIX,
                group.schedule(),
                true,
                Average.ema(0.5),
                Master.NEAREST,
                StateFormat.BFLOAT16);
        assertEquals(
                expected, group.orEmpty().average(0.5).master(Master.NEAREST).state(StateFormat.BFLOAT16));
        assertEquals(
                expected,
                group.state(StateFormat.BFLOAT16)
                        .master(Master.NEAREST)
                        .average(0.5)
                        .orEmpty());
    }

    @Test
    void whatReadsLikeAnOptimizerSaysItsGroupsItsRulesAndItsEngine() {
        assertEquals(
                "optimizer of ['head.*', vectors of '*', 'embed', matrices of 'W'] by [Adam, Sgd, Sgd] on " + engine,
                engine.optimizer(
                                Group.of("head.*", Adam.of()),
                                Group.vectors("*", Sgd.of()),
                                Group.frozen("embed"),
                                Group.matrices("W", Sgd.of()))
                        .toString());
    }
}
