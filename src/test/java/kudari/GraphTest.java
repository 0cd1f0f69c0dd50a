package kudari;

import static kudari.OptimizerTest.refused;
import static kudari.RulesTest.assertSameBits;
import static kudari.RulesTest.floats;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import kudari.nn.Init;
import kudari.nn.Network;
import kudari.nn.Samples;
import kudari.rule.Adam;
import kudari.rule.AdamW;
import kudari.rule.Momentum;
import kudari.rule.Rule;
import kudari.rule.Sgd;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Recorded work, on every engine: a launch is the body, to the last bit. */
class GraphTest {

    private static final long SEED = 1106;

    private Engine engine;

    @BeforeEach
    void open() {
        engine = Engines.open();
    }

    @AfterEach
    void close() {
        engine.close();
    }

    /** One tensor that is pulled to a target; a target that is not a number makes a step that is left out. */
    static final class Descent {

        final Tensor p, g, target;
        final Optimizer optimizer;
        final Random random = new Random(SEED);
        final List<Long> skips = new ArrayList<>();

        Descent(Engine engine, Optimizer optimizer) {
            p = engine.tensor(floats(3, -2, 1, 0.5f, -0.25f));
            g = engine.zeros(5);
            target = engine.zeros(5);
            this.optimizer = optimizer.onSkip(skips::add);
        }

        void aim(int step) {
            float[] to = new float[5];
            for (int i = 0; i < to.length; i++) to[i] = (float) random.nextGaussian();
            if (step % 97 == 13) to[2] = Float.NaN;
            target.set(to);
        }

        /** g ← p − target, and a step. */
        void step() {
            g.set(p);
            g.add(target, -1);
            optimizer.update(p, g);
        }
    }

    private static Schedule rates() {
        return LearningRate.cosine(0.05, 0.001, 4_000).warmUp(100).of(AdamW.of());
    }

    /** On the GPU in software a third of them, unless before a release: the ring of scalars is gone round ten times all the same. */
    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void tenThousandLaunchesAreTenThousandSteps(boolean guarded) {
        boolean all = !Engines.onSoftware()
                || System.getProperty("kudari.laws", "pairs").equals("all");
        int launches = all ? 10_000 : 3_000;
        Guard guard = guarded ? Guard.clipNorm(1.5) : Guard.NONE;
        Descent plain = new Descent(engine, engine.optimizer(rates()).guard(guard)),
                captured = new Descent(engine, engine.optimizer(rates()).guard(guard));
        captured.aim(0);
        captured.step();
        plain.aim(0);
        plain.step();
        try (Graph graph = engine.capture(captured::step)) {
            for (int n = 1; n < launches; n++) {
                // Without a guard one number that is not finite would be all there is to see.
                int step = guarded ? n : 0;
                captured.aim(step);
                graph.launch();
                plain.aim(step);
                plain.step();
            }
        }
        assertSameBits(plain.p.get(), captured.p.get());
        assertEquals(plain.optimizer.counts(), captured.optimizer.counts());
        // Steps 13, 110, 207 and so on.
        assertEquals(guarded ? (launches - 14) / 97 + 1 : 0, captured.optimizer.skipped());
        assertEquals(plain.skips, captured.skips);
        for (String array : List.of("m", "v"))
            assertSameBits(
                    plain.optimizer.state(Optimizer.SINGLE).get(array).get(),
                    captured.optimizer.state(Optimizer.SINGLE).get(array).get());
    }

    /** Many updates of one optimizer, with those of another between them, in one launch; under a guard all are left out at first, as the ring fills. */
    @ParameterizedTest
    @CsvSource({"1,false", "3,false", "3,true", "64,false", "65,true", "120,true", "192,false", "192,true"})
    void aGraphHoldsManyUpdates(int updates, boolean guarded) {
        Guard guard = guarded ? Guard.clipNorm(1.5) : Guard.NONE;
        Descent[] plain = new Descent[2], captured = new Descent[2];
        for (Descent[] both : List.of(plain, captured)) {
            both[0] = new Descent(engine, engine.optimizer(rates()).guard(guard));
            both[1] = new Descent(engine, engine.optimizer(Momentum.of(0.01)));
        }
        Runnable body = () -> {
            for (int n = 0; n < updates; n++) for (Descent descent : captured) descent.step();
        };
        body.run();
        for (int n = 0; n < updates; n++) for (Descent descent : plain) descent.step();
        try (Graph graph = engine.capture(body)) {
            for (int launch = 0; launch < 5; launch++) {
                for (Descent descent : captured) descent.aim(launch < 4 && guarded ? 13 : 0);
                graph.launch();
                for (Descent descent : plain) descent.aim(launch < 4 && guarded ? 13 : 0);
                for (int n = 0; n < updates; n++) for (Descent descent : plain) descent.step();
            }
        }
        for (int d = 0; d < 2; d++) {
            assertSameBits(plain[d].p.get(), captured[d].p.get());
            assertEquals(plain[d].optimizer.counts(), captured[d].optimizer.counts());
        }
    }

    @Test
    void plainStepsAndLaunchesMayTakeTurnsAndTheScheduleMayChange() {
        Descent plain = new Descent(engine, engine.optimizer(Adam.of(0.1))),
                captured = new Descent(engine, engine.optimizer(Adam.of(0.1)));
        plain.step();
        captured.step();
        try (Graph graph = engine.capture(captured::step)) {
            for (int n = 0; n < 300; n++) {
                plain.aim(0);
                plain.step();
                captured.aim(0);
                if (n % 7 == 3) captured.step();
                else graph.launch();
                if (n % 50 != 20) continue;
                Rule slower = Adam.of(0.1 / (1 + n));
                plain.optimizer.schedule(Schedule.of(slower));
                captured.optimizer.schedule(Schedule.of(slower));
            }
        }
        assertSameBits(plain.p.get(), captured.p.get());
        assertEquals(301, captured.optimizer.steps());
    }

    @Test
    void aScheduleThatEndsFailsAtItsEndAndNothingIsDone() {
        Schedule three = t -> {
            if (t > 3) throw new IllegalStateException("no more");
            return Sgd.of(0.5);
        };
        Descent descent = new Descent(engine, engine.optimizer(three));
        descent.step();
        try (Graph graph = engine.capture(descent::step)) {
            graph.launch();
            graph.launch();
            float[] before = descent.p.get();
            refused(IllegalStateException.class, graph::launch, "no more");
            assertSameBits(before, descent.p.get());
            assertEquals(3, descent.optimizer.steps());
        }
    }

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void groupsGoOnFromTheirOwnCountsInALaunch(boolean guarded) {
        Guard guard = guarded ? Guard.clipNorm(1) : Guard.NONE;
        Map<String, Tensor> p = Map.of("a", engine.tensor(floats(1, 2)), "b", engine.tensor(floats(3))),
                g = Map.of("a", engine.tensor(floats(1, -1)), "b", engine.tensor(floats(2))),
                q = Map.of("a", engine.tensor(floats(1, 2)), "b", engine.tensor(floats(3)));
        Map<String, Tensor> pa = Map.of("a", p.get("a")), ga = Map.of("a", g.get("a")), qa = Map.of("a", q.get("a"));
        Optimizer captured = groups().guard(guard), plain = groups().guard(guard);
        captured.update(p, g);
        captured.update(pa, ga);
        plain.update(q, g);
        plain.update(qa, ga);
        try (Graph both = engine.capture(() -> captured.update(p, g));
                Graph one = engine.capture(() -> captured.update(pa, ga))) {
            for (int n = 0; n < 40; n++) {
                (n % 3 == 0 ? one : both).launch();
                plain.update(n % 3 == 0 ? qa : q, n % 3 == 0 ? ga : g);
            }
        }
        for (String name : p.keySet())
            assertSameBits(q.get(name).get(), p.get(name).get());
        assertEquals(plain.counts(), captured.counts());
        if (!Engines.onCuda()) return;
        refused(
                IllegalStateException.class,
                () -> engine.capture(() -> {
                    captured.update(p, g);
                    captured.update(pa, ga);
                }),
                "same groups");
    }

    private Optimizer groups() {
        return engine.optimizer(Group.of("a", Adam.of(0.1)), Group.of("b", Adam.of(0.2)));
    }

    // ---- networks ----

    static Samples samples(Engine engine) {
        Random random = new Random(SEED);
        float[] x = new float[90 * 6];
        int[] labels = new int[90];
        for (int i = 0; i < 90; i++) {
            labels[i] = i % 3;
            for (int j = 0; j < 6; j++) x[6 * i + j] = (float) (random.nextGaussian() + (j % 3 == labels[i] ? 2 : 0));
        }
        return new Samples(engine, x, labels);
    }

    @Test
    void aNetworkTrainsByLaunches() {
        Samples samples = samples(engine);
        List<List<Double>> losses = List.of(new ArrayList<>(), new ArrayList<>());
        List<Network> nets = new ArrayList<>();
        for (int n = 0; n < 2; n++) {
            Network net = new Network(engine, Init.HE, SEED, 6, 5, 3);
            nets.add(net);
            net.onLoss(losses.get(n)::add);
            Optimizer adam = engine.optimizer(Adam.of(0.01)).guard(Guard.clipNorm(1));
            Runnable step = () -> {
                net.gradient();
                adam.update(net.params(), net.grads());
            };
            Random random = new Random(SEED);
            net.load(samples, rows(random), 16);
            step.run();
            try (Graph graph = engine.capture(step)) {
                for (int t = 0; t < 299; t++) {
                    net.load(samples, rows(random), 16);
                    if (n == 0) step.run();
                    else graph.launch();
                    if (t % 100 == 50) net.evaluate(samples);
                }
                net.load(samples, rows(random), 8);
                if (n > 0 && Engines.onCuda())
                    refused(IllegalStateException.class, graph::launch, "batch of 16", "one of 8");
            }
            net.tellLosses();
            assertEquals(300, losses.get(n).size());
            assertEquals(300, adam.steps());
        }
        assertEquals(losses.get(0), losses.get(1));
        double mean = losses.get(1).subList(200, 300).stream()
                .mapToDouble(loss -> loss)
                .average()
                .orElseThrow();
        assertTrue(mean < losses.get(1).get(0) / 2, "it has learned: " + mean);
        nets.get(0)
                .params()
                .forEach((name, w) ->
                        assertSameBits(w.get(), nets.get(1).params().get(name).get()));
    }

    private static int[] rows(Random random) {
        return random.ints(16, 0, 90).toArray();
    }

    // ---- what else is recorded, and what is not ----

    @Test
    void whatGoesWithALaunchIsDoneBesideIt() {
        Tensor x = engine.zeros(1), one = engine.tensor(floats(1));
        List<String> said = new ArrayList<>();
        boolean[] refuses = {false};
        Runnable before = () -> {
            said.add("before " + x.get()[0]);
            if (refuses[0]) throw new IllegalArgumentException("not now");
        };
        Runnable after = () -> said.add("after " + x.get()[0]);
        Runnable body = () -> {
            if (engine.isCapturing()) engine.onLaunch(before, after);
            else before.run();
            x.add(one, 1);
            if (!engine.isCapturing()) after.run();
        };
        body.run();
        Graph graph = engine.capture(body);
        try (graph) {
            assertEquals(List.of("before 0.0", "after 1.0"), said);
            graph.launch();
            refuses[0] = true;
            refused(IllegalArgumentException.class, graph::launch, "not now");
            refuses[0] = false;
            graph.launch();
        }
        refused(IllegalStateException.class, graph::launch, "closed");
        assertEquals(
                List.of("before 0.0", "after 1.0", "before 1.0", "after 2.0", "before 2.0", "before 2.0", "after 3.0"),
                said);
        assertEquals(3, x.get()[0]);
    }

    /** In the order of the body, before the launch and after it. */
    @Test
    void whatGoesWithALaunchIsDoneInTheOrderOfTheBody() {
        List<String> said = new ArrayList<>();
        Runnable body = () -> {
            for (String who : List.of("a", "b")) {
                if (engine.isCapturing())
                    engine.onLaunch(() -> said.add("before " + who), () -> said.add("after " + who));
            }
        };
        engine.capture(body).launch();
        assertEquals(Engines.onCuda() ? List.of("before a", "before b", "after a", "after b") : List.of(), said);
    }

    @Test
    void aCaptureDoesNothing() {
        Descent descent = new Descent(engine, engine.optimizer(Adam.of(0.1)));
        descent.step();
        float[] before = descent.p.get();
        engine.capture(descent::step).close();
        assertSameBits(before, descent.p.get());
        assertEquals(1, descent.optimizer.steps());
        descent.step();
        assertEquals(2, descent.optimizer.steps());
    }

    /** A capture and a launch turn to the tensors of the graph; the plain step that follows is again of its own. */
    @Test
    void aPlainStepAfterACaptureOrALaunchIsOfItsOwnTensors() {
        Tensor p = engine.zeros(1), q = engine.zeros(1);
        Map<String, Tensor> own = Map.of("p", p), others = Map.of("q", q);
        Map<String, Tensor> g = Map.of("p", engine.tensor(floats(1))), h = Map.of("q", engine.tensor(floats(1)));
        Optimizer sgd = engine.optimizer(Sgd.of(1));
        sgd.update(others, h);
        sgd.update(own, g);
        try (Graph graph = engine.capture(() -> sgd.update(others, h))) {
            sgd.update(own, g);
            assertSameBits(floats(-2, -1), floats(p.get()[0], q.get()[0]));
            graph.launch();
            sgd.update(own, g);
            assertSameBits(floats(-3, -2), floats(p.get()[0], q.get()[0]));
        }
    }

    @Test
    void aClosedGraphIsNotLaunchedAndClosesTwice() {
        Descent descent = new Descent(engine, engine.optimizer(Adam.of(0.1)));
        descent.step();
        Graph graph = engine.capture(descent::step);
        graph.close();
        graph.close();
        refused(IllegalStateException.class, graph::launch, "closed");
        assertEquals(1, descent.optimizer.steps());
    }

    // ---- memory ----

    @Test
    void aGraphKeepsTheMemoryItWasRecordedWith() {
        Map<String, Tensor> p = new LinkedHashMap<>(), g = new LinkedHashMap<>(), other = new LinkedHashMap<>();
        p.put("w", engine.tensor(floats(8, 8)));
        g.put("w", engine.tensor(floats(1, 2)));
        other.put("w", engine.tensor(floats(100, 100)));
        Optimizer sgd = engine.optimizer(Sgd.of(1));
        sgd.update(p, g);
        try (Graph graph = engine.capture(() -> sgd.update(p, Map.copyOf(g)))) {
            sgd.update(p, other); // laid out anew: the graph's table stays as it was
            assertSameBits(floats(-93, -94), p.get("w").get());
            graph.launch();
            assertSameBits(floats(-94, -96), p.get("w").get());
            sgd.update(p, g);
            assertSameBits(floats(-95, -98), p.get("w").get());
            graph.launch();
            assertSameBits(floats(-96, -100), p.get("w").get());
        }
        assertEquals(5, sgd.steps());
    }
}
