package kudari;

import static kudari.RulesTest.floats;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Map;
import java.util.stream.Stream;
import kudari.Reference.ScheduleFree;
import kudari.rule.Rule;
import kudari.rule.ScheduleFreeAdamW;
import kudari.rule.ScheduleFreeSgd;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** What the Schedule-Free rules have beside a step: a warm-up that weighs the average, decay that goes through it, and two points more. */
class ScheduleFreeTest {

    static Stream<Arguments> forms() {
        return Stream.of(
                Arguments.of(ScheduleFreeSgd.of(0.5).warmUp(10).decay(0.01), (Start)
                        p -> (ScheduleFree) Reference.scheduleFreeSgd(p, 0.5, 0.9, 10, 0.01)),
                Arguments.of(ScheduleFreeSgd.of(0.5).beta(0.25).l2(0.01), (Start)
                        p -> (ScheduleFree) Reference.scheduleFreeSgd(p, 0.5, 0.25, 0, 0.01)),
                Arguments.of(ScheduleFreeAdamW.of(0.3).warmUp(10).decay(0.01), (Start)
                        p -> (ScheduleFree) Reference.scheduleFreeAdamW(p, 0.3, 0.9, 0.999, 1e-8, 10, 0.01)),
                Arguments.of(ScheduleFreeAdamW.of(0.3).warmUp(100).betas(0.95, 0.99), (Start)
                        p -> (ScheduleFree) Reference.scheduleFreeAdamW(p, 0.3, 0.95, 0.99, 1e-8, 100, 0)));
    }

    interface Start {
        ScheduleFree at(double p);
    }

    /** What is trained is the paper's y, and what is used its x; as RulesTest's paths, within what the roundings of a p below 8 may do in 30 steps. */
    @ParameterizedTest(name = "{0}")
    @MethodSource("forms")
    void whatIsTrainedAndWhatIsUsedAreThePapers(Rule rule, Start start) {
        ScheduleFree[] exact = {start.at(-7), start.at(2)};
        try (Engine engine = Engines.open()) {
            Tensor p = engine.tensor(floats(-7, 2)), g = engine.zeros(2);
            Optimizer optimizer = engine.optimizer(rule);
            for (int t = 1; t <= 30; t++) {
                float[] xy = p.get();
                g.set(xy[0] / 10, 2 * xy[1]);
                optimizer.update(p, g);
                exact[0].step(exact[0].p / 10);
                exact[1].step(2 * exact[1].p);
            }
            double[] used;
            try (Evaluation using = optimizer.evaluating(Map.of(Optimizer.SINGLE, p))) {
                assertTrue(optimizer.isEvaluating(), using::toString);
                used = RulesTest.doubles(p.get());
            }
            assertArrayEquals(new double[] {exact[0].p, exact[1].p}, RulesTest.doubles(p.get()), 30 * 0x1p-22);
            assertArrayEquals(new double[] {exact[0].x, exact[1].x}, used, 30 * 0x1p-22);
        }
    }

    /** By hand: rates 1/4, 1/2, 3/4, 1, 1 have the squares 1, 4, 9, 16, 16 sixteenths; c is 1, 4/5, 9/14, 16/30, 16/46. */
    @Test
    void aStepWeighsAsTheSquareOfItsRate() {
        double[] c = {1, 4 / 5.0, 9 / 14.0, 16 / 30.0, 16 / 46.0};
        float[] k = new float[Rule.SCALARS];
        for (int t = 1; t <= c.length; t++) {
            ScheduleFreeSgd.of(1).warmUp(4).at(t, k);
            assertEquals((float) (1 - c[t - 1]), k[3], "1 − c of step " + t);
            ScheduleFreeAdamW.of(1).warmUp(4).at(t, k);
            assertEquals((float) (1 - c[t - 1]), k[6], "1 − c of step " + t);
        }
        ScheduleFreeSgd.of(1).warmUp(1_000).at(100_000, k);
        // The squares of the first thousand make up a third of a thousand, and a half, and a little.
        assertEquals((float) (1 - 1 / (99_000 + 1001 * 2001 / 6000.0)), k[3], "1 − c of a late step");
    }

    /** At a rate of 0 after other rates everything stays where it is, also on the way from p to z. */
    @Test
    void aRateThatFallsToZeroLeavesAllThreePoints() {
        try (Engine engine = Engines.open()) {
            Tensor p = engine.tensor(floats(-7, 2)), g = engine.tensor(floats(1, -3));
            Optimizer optimizer = engine.optimizer(ScheduleFreeAdamW.of(0.3));
            optimizer.update(p, g);
            g.set(5, 5);
            optimizer.update(p, g);
            float[] before = p.get(),
                    apart = optimizer.state(Optimizer.SINGLE).get("d").get();
            assertTrue(apart[0] != 0 && apart[1] != 0, "z is elsewhere");
            optimizer.schedule(Schedule.of(ScheduleFreeAdamW.of(0)));
            optimizer.update(p, g);
            assertArrayEquals(before, p.get());
            assertArrayEquals(apart, optimizer.state(Optimizer.SINGLE).get("d").get());
        }
    }

    /** Not even where the average still lies behind. */
    @Test
    void nothingMovesAtARateOfZero() {
        for (Rule rule : new Rule[] {ScheduleFreeSgd.of(0.5), ScheduleFreeAdamW.of(0.5)}) {
            try (Engine engine = Engines.open()) {
                Tensor p = engine.tensor(new float[] {8}), g = engine.tensor(new float[] {1});
                Optimizer optimizer = engine.optimizer(LearningRate.constant(0.5)
                        .then(3, LearningRate.constant(0))
                        .of(rule));
                for (int t = 1; t <= 3; t++) optimizer.update(p, g);
                float before = p.get()[0],
                        d = optimizer.state(Optimizer.SINGLE).get("d").get()[0];
                optimizer.update(p, g);
                assertEquals(before, p.get()[0]);
                assertEquals(d, optimizer.state(Optimizer.SINGLE).get("d").get()[0]);
            }
        }
    }
}
