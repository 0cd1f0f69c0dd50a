package kudari;

import static kudari.OptimizerTest.refused;
import static kudari.RulesTest.assertSameBits;
import static kudari.RulesTest.floats;
import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import kudari.rule.Adam;
import kudari.rule.Momentum;
import kudari.rule.Sgd;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** When a schedule is asked, what of, and what happens when it has no answer. */
class ScheduleTest {

    private Engine engine;
    private Tensor p, good, bad;

    @BeforeEach
    void open() {
        engine = Engines.open();
        p = engine.zeros(1);
        good = engine.tensor(floats(1));
        bad = engine.tensor(floats(Double.NaN));
    }

    @AfterEach
    void close() {
        engine.close();
    }

    /** A table of rates, which ends. */
    private static Schedule table(double... rates) {
        return t -> Sgd.of(rates[(int) t - 1]);
    }

    @Test
    void aTableOfRatesServesAsManyStepsAsItHasRates() {
        Optimizer sgd = engine.optimizer(table(1, 2, 4, 8, 16)).guard(Guard.clipNorm(10));
        sgd.update(p, bad);
        sgd.update(p, bad);
        for (int t = 0; t < 5; t++) sgd.update(p, good);
        assertEquals(5, sgd.steps());
        assertSameBits(floats(-31), p.get());
        for (int n = 0; n < 2; n++) {
            refused(IllegalStateException.class, () -> sgd.update(p, good), "step 6", "5");
            assertEquals(new Counts(5, 2, List.of(5L)), sgd.counts());
            assertSameBits(floats(-31), p.get());
        }
        assertEquals(Optional.of(Sgd.of(16)), sgd.rule(Optimizer.SINGLE, p));
        Optimizer resumed = engine.optimizer(table(1, 2, 4, 8, 16)).guard(Guard.clipNorm(10));
        resumed.resume(sgd.counts(), Map.of(Optimizer.SINGLE, sgd.state(Optimizer.SINGLE)));
        assertEquals(Optional.of(Sgd.of(16)), resumed.rule(Optimizer.SINGLE, p));
        refused(IllegalStateException.class, () -> resumed.update(p, good), "step 6");
        sgd.schedule(t -> Sgd.of(32));
        sgd.update(p, good);
        assertSameBits(floats(-63), p.get());
    }

    @Test
    void aScheduleThatGivesNothingOrARefusedRateNamesTheStep() {
        Optimizer none = engine.optimizer(t -> t < 3 ? Sgd.of(1) : null),
                negative = engine.optimizer(t -> Sgd.of(3 - t));
        for (int t = 1; t <= 2; t++) {
            none.update(p, good);
            negative.update(p, good);
        }
        refused(IllegalStateException.class, () -> none.update(p, good), "null for step 3");
        negative.update(p, good);
        refused(IllegalStateException.class, () -> negative.update(p, good), "step 4", "lr", "-1.0");
        refused(IllegalStateException.class, () -> engine.optimizer(t -> null), "null for step 1");
        assertEquals(2, none.steps());
        assertEquals(3, negative.steps());
    }

    @Test
    void aScheduleThatChangesWhatTheStateMeansIsRefusedAndAnotherMayTakeItsPlace() {
        Optimizer momentum = engine.optimizer(t -> t < 2 ? Momentum.of(1) : Momentum.pytorch(1));
        momentum.update(p, good);
        refused(IllegalStateException.class, () -> momentum.update(p, good), "step 2", "[v]", "Momentum");
        momentum.schedule(t -> Adam.of());
        refused(IllegalStateException.class, () -> momentum.update(p, good), "step 2", "Adam");
        assertSameBits(floats(-1), p.get());
        momentum.schedule(t -> Momentum.of(0.5).momentum(0.5));
        momentum.update(p, good);
        assertSameBits(floats(-2), p.get());
        assertEquals(2, momentum.steps());
    }

    /** Whole rates, so that what follows is exact; more than the ring holds, some left out, and another schedule half-way. */
    @Test
    void everyStepHasItsOwnRateOnceRoundTheRingAndMore() {
        Optimizer sgd = engine.optimizer(t -> Sgd.of(t)).guard(Guard.skipNonFinite());
        float expected = 0;
        int t = 0;
        for (int n = 1; n <= 1000; n++) {
            boolean skips = n % 7 == 3;
            if (n == 500) sgd.schedule(step -> Sgd.of(2 * step));
            sgd.update(p, skips ? bad : good);
            if (!skips) expected -= n < 500 ? ++t : 2 * ++t; // below 2^24
        }
        assertSameBits(floats(expected), p.get());
        assertEquals(t, sgd.steps());
    }

    /** A schedule that answers with another rate each time it is asked is asked at the same updates, for the same steps, by every engine. */
    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void anImpureScheduleIsReadAlikeByEveryEngine(boolean skips) {
        List<Long> here = new ArrayList<>(), there = new ArrayList<>();
        try (Engine cpu = Engine.cpu(1)) {
            float[] a = impure(cpu, skips, there), b = impure(engine, skips, here);
            assertSameBits(a, b);
            assertEquals(there, here);
        }
    }

    private static float[] impure(Engine engine, boolean skips, List<Long> asked) {
        Tensor p = engine.zeros(1), good = engine.tensor(floats(1)), bad = engine.tensor(floats(Double.NaN));
        Schedule counts = t -> {
            asked.add(t);
            return Sgd.of(asked.size());
        };
        Optimizer sgd = engine.optimizer(counts);
        if (skips) sgd.guard(Guard.skipNonFinite());
        for (int n = 0; n < 700; n++) {
            sgd.update(p, skips && n % 5 < 3 ? bad : good);
            if (n == 300) sgd.schedule(counts);
            if (n % 150 == 149) sgd.steps();
            if (n % 170 == 169) sgd.skipped();
            if (n == 600) sgd.resume(sgd.counts(), Map.of(Optimizer.SINGLE, sgd.state(Optimizer.SINGLE)));
        }
        return p.get();
    }

    @Test
    void theRuleIsThatOfTheLastStepAlsoWhenAnotherScheduleFollows() {
        Optimizer sgd = engine.optimizer(t -> Sgd.of(t));
        for (int t = 0; t < 3; t++) sgd.update(p, good);
        double[] later = {0, 0, 0, 40};
        sgd.schedule(t -> Sgd.of(later[t > 3 ? 3 : -1]));
        assertEquals(Optional.of(Sgd.of(3)), sgd.rule(Optimizer.SINGLE, p));
        sgd.update(p, good);
        assertEquals(Optional.of(Sgd.of(40)), sgd.rule(Optimizer.SINGLE, p));
    }

    /** Whoever changes it twice has had no step by the first of them; and after a resume nobody has had a step by what was before. */
    @Test
    void theRuleIsThatOfTheLastStepHoweverOftenTheScheduleChanges() {
        Optimizer sgd = engine.optimizer(Sgd.of(1));
        sgd.update(p, good);
        sgd.schedule(Schedule.of(Sgd.of(2)));
        sgd.schedule(Schedule.of(Sgd.of(3)));
        assertEquals(Optional.of(Sgd.of(1)), sgd.rule(Optimizer.SINGLE, p));
        sgd.resume(1, Map.of());
        assertEquals(Optional.of(Sgd.of(3)), sgd.rule(Optimizer.SINGLE, p));
        sgd.update(p, good);
        assertEquals(Optional.of(Sgd.of(3)), sgd.rule(Optimizer.SINGLE, p));
    }

    @Test
    void aScheduleThatClosesTheOptimizerItselfIsRefused() {
        Optimizer[] sgd = new Optimizer[1];
        sgd[0] = engine.optimizer(t -> {
            if (t > 1) sgd[0].close();
            return Sgd.of(1);
        });
        sgd[0].update(p, good);
        refused(IllegalStateException.class, () -> sgd[0].update(p, good), "a schedule closes the optimizer");
        assertEquals(1, sgd[0].steps());
    }

    /** It may be asked while others' parameters are bound; a step of its own would go to those. */
    @Test
    void aScheduleThatStepsTheOptimizerItselfIsRefused() {
        Optimizer[] sgd = new Optimizer[1];
        Tensor q = engine.zeros(1);
        sgd[0] = engine.optimizer(t -> {
            if (t == 2) sgd[0].update(Map.of("q", q), Map.of("q", good));
            return Sgd.of(1);
        });
        sgd[0].update(p, good);
        refused(IllegalStateException.class, () -> sgd[0].update(p, good), "step 2", "a schedule calls the optimizer");
        assertSameBits(floats(0), q.get());
        assertSameBits(floats(-1), p.get());
        assertEquals(1, sgd[0].steps());
    }

    /** A map that a schedule changes while the step is under way: that step takes what it was given, the next what it is given. */
    @Test
    void aMapThatChangesDuringAStepIsSeenByTheNext() {
        Map<String, Tensor> params = new HashMap<>(Map.of("p", p)), grads = new HashMap<>(Map.of("p", good));
        Tensor q = engine.zeros(1);
        Optimizer sgd = engine.optimizer(t -> {
            if (t > 1) {
                params.put("q", q);
                grads.put("q", good);
            }
            return Sgd.of(1);
        });
        sgd.update(params, grads); // asks for a window
        assertSameBits(floats(-1), p.get());
        assertSameBits(floats(0), q.get());
        sgd.update(params, grads);
        assertSameBits(floats(-2), p.get());
        assertSameBits(floats(-1), q.get());
    }

    @Test
    void aCountBeyondAllTrainingIsRefused() {
        Optimizer sgd = engine.optimizer(Adam.of());
        refused(
                IllegalArgumentException.class,
                () -> sgd.resume(Long.MAX_VALUE, Map.of()),
                "steps",
                "" + Long.MAX_VALUE);
        refused(IllegalArgumentException.class, () -> new Counts(5, 0, List.of(6L)), "groups", "5", "6");
        List<Long> groups = new ArrayList<>(List.of(5L));
        Counts counts = new Counts(5, 0, groups);
        groups.set(0, 6L); // once it is checked it stays
        assertEquals(List.of(5L), counts.groups());
        refused(IllegalArgumentException.class, () -> new Counts(5, -1, List.of(5L)), "skipped", "-1");
        refused(IllegalArgumentException.class, () -> sgd.resume(new Counts(1, 0, List.of()), Map.of()), "1", "0");
        assertEquals(0, sgd.steps());
        sgd.resume(1L << 53, Map.of());
        sgd.update(p, good);
        assertEquals((1L << 53) + 1, sgd.steps());
        assertEquals(-0.001, p.get()[0] / Math.sqrt(10), 1e-6, "0.1 of g over the root of 0.001 of g squared");
    }
}
