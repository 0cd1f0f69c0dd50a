package kudari;

import static kudari.GraphTest.samples;
import static kudari.OptimizerTest.refused;
import static kudari.RulesTest.assertSameBits;
import static kudari.RulesTest.floats;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import jcuda.driver.CUgraph;
import jcuda.driver.JCudaDriver;
import kudari.GraphTest.Descent;
import kudari.nn.Init;
import kudari.nn.Network;
import kudari.nn.Samples;
import kudari.rule.Adam;
import kudari.rule.Sgd;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** CUDA graphs: what is recorded, what is refused, and what becomes of memory meanwhile. */
class CudaGraphTest {

    private static final long SEED = 1107;

    private CudaEngine cuda;
    private Engine engine;

    @BeforeEach
    void open() {
        engine = cuda = (CudaEngine) Engines.open();
    }

    @AfterEach
    void close() {
        engine.close();
    }

    @Test
    void whatCannotBeRecordedIsRefusedAndTheEngineGoesOn() {
        Descent descent = new Descent(engine, engine.optimizer(Adam.of(0.1))),
                fresh = new Descent(engine, engine.optimizer(Sgd.of(1)));
        AsyncRead read = descent.p.asyncRead();
        descent.step();
        read.start();
        Network net = new Network(engine, Init.HE, SEED, 6, 5, 3);
        Samples samples = samples(engine);
        refusedInCapture(
                () -> engine.zeros(3),
                "capture",
                "the allocation of shape [3] cannot be recorded",
                "run the body once");
        refusedInCapture(() -> descent.p.get(), "a read");
        refusedInCapture(() -> read.start(), "a read");
        refusedInCapture(() -> read.get(), "a wait");
        refusedInCapture(() -> descent.p.set(floats(1, 2, 3, 4, 5)), "array");
        refusedInCapture(() -> descent.optimizer.resume(1, Map.of()), "resuming");
        refusedInCapture(() -> descent.optimizer.close(), "closing");
        refusedInCapture(fresh::step, "cannot be recorded");
        refusedInCapture(() -> cuda.kernel("new.cu", "extern \"C\" __global__ void f() {}", "f"), "new.cu");
        refusedInCapture(() -> engine.capture(() -> {}), "capture within a capture");
        refusedInCapture(() -> net.gradient(samples, new int[] {1}, 1), "batch");
        net.evaluate(samples);
        refusedInCapture(() -> net.evaluate(samples), "evaluation");
        refusedInCapture(
                () -> {
                    throw new IllegalArgumentException("the body's own");
                },
                "the body's own");
        refusedInCapture(
                () -> descent.optimizer.update(descent.p, engine.tensor(floats(1, 2, 3, 4, 5))), "cannot be recorded");
        try (Graph graph = engine.capture(descent::step)) {
            refusedInCapture(graph::launch, "launch of a graph");
            graph.launch();
        }
        assertEquals(2, descent.optimizer.steps());
        descent.step();
        fresh.step();
        net.gradient(samples, new int[] {1}, 1);
        assertEquals(3, descent.optimizer.steps());
    }

    /** Without them a launch would be another thing than the body. */
    @Test
    void aFailureThatTheBodyCatchesFailsTheCaptureAllTheSame() {
        Descent descent = new Descent(engine, engine.optimizer(Adam.of(0.1))),
                fresh = new Descent(engine, engine.optimizer(Sgd.of(1)));
        descent.step();
        for (Runnable failing : List.<Runnable>of(
                () -> fresh.step(),
                () -> descent.p.set(floats(1, 2, 3, 4, 5)),
                () -> descent.p.get(),
                () -> engine.zeros(3)))
            refusedInCapture(
                    () -> {
                        descent.step();
                        assertThrows(RuntimeException.class, failing::run);
                    },
                    "capture: expected a body that lets every failure out, got one that caught this: capture: ",
                    "cannot be recorded");
        try (Graph graph = engine.capture(descent::step)) {
            graph.launch();
        }
        assertEquals(2, descent.optimizer.steps());
    }

    @Test
    void somebodyElsesCaptureOfTheStreamIsRefused() {
        Descent descent = new Descent(engine, engine.optimizer(Adam.of(0.1)));
        descent.step();
        float[] before = descent.p.get();
        Network net = new Network(engine, Init.HE, SEED, 6, 5, 3);
        Samples samples = samples(engine);
        net.gradient(samples, new int[] {1}, 1);
        float loss = net.loss();
        CudaKernel kernel = cuda.kernel("mine.cu", "extern \"C\" __global__ void f() {}", "f");
        CUgraph theirs = new CUgraph();
        engine.enter();
        assertEquals(0, JCudaDriver.cuStreamBeginCapture(cuda.stream(), 1));
        int ended;
        try {
            refused(
                    IllegalStateException.class,
                    () -> descent.optimizer.update(descent.p, descent.g),
                    "capturing",
                    "Engine.capture");
            refused(IllegalStateException.class, () -> descent.p.set(floats(1, 2, 3, 4, 5)), "capturing");
            refused(IllegalStateException.class, () -> descent.p.get(), "capturing");
            refused(IllegalStateException.class, () -> net.load(samples, new int[] {2}, 1), "capturing");
            refused(IllegalStateException.class, net::gradient, "capturing");
            refused(IllegalStateException.class, descent.p::close, "capturing");
            refused(IllegalStateException.class, kernel::close, "capturing");
        } finally {
            ended = JCudaDriver.cuStreamEndCapture(cuda.stream(), theirs);
        }
        assertEquals(0, ended, "nothing has disturbed it");
        assertEquals(0, JCudaDriver.cuGraphDestroy(theirs));
        engine.leave();
        assertEquals(loss, net.loss());
        assertSameBits(before, descent.p.get());
        assertEquals(1, descent.optimizer.steps());
        descent.step();
        assertEquals(2, descent.optimizer.steps());
    }

    @Test
    void theNullStreamRefusesACaptureAndWorksOtherwise() {
        try (CudaEngine ofNull = CudaEngine.open(0, 0L)) {
            Tensor p = ofNull.tensor(floats(3)), g = ofNull.tensor(floats(1));
            Optimizer sgd = ofNull.optimizer(Sgd.of(1));
            sgd.update(p, g);
            refused(IllegalStateException.class, () -> ofNull.capture(() -> sgd.update(p, g)), "null stream");
            sgd.update(p, g);
            assertEquals(1, p.get()[0]);
        }
    }

    @Test
    void whatIsClosedMeanwhileIsFreedWithTheLastGraph() {
        Descent descent = new Descent(engine, engine.optimizer(Adam.of(0.1)));
        descent.step();
        Tensor gone = engine.zeros(1000);
        AsyncRead read = descent.p.asyncRead();
        read.start();
        long before = cuda.allocated();
        Graph graph = engine.capture(() -> {
            descent.step();
            read.close(); // which here waits for nothing
        });
        Graph another = engine.capture(descent::step);
        gone.close();
        assertEquals(before, cuda.allocated());
        graph.close();
        assertEquals(before, cuda.allocated());
        another.launch();
        another.close();
        assertEquals(before - 4000, cuda.allocated());
    }

    @Test
    void anOptimizerThatIsResumedOrClosedIsLaunchedNoMore() {
        Descent descent = new Descent(engine, engine.optimizer(Adam.of(0.1)));
        descent.step();
        Graph graph = engine.capture(descent::step);
        descent.optimizer.resume(7, Map.of());
        refused(IllegalStateException.class, graph::launch, "resumed", "capture anew");
        descent.step();
        assertEquals(8, descent.optimizer.steps());
        try (Graph anew = engine.capture(descent::step)) {
            anew.launch();
        }
        assertEquals(9, descent.optimizer.steps());
        Graph again = engine.capture(descent::step);
        descent.optimizer.close();
        refused(IllegalStateException.class, again::launch, "optimizer is closed");
    }

    @Test
    void aClosedNetworkIsLaunchedNoMore() {
        Network net = new Network(engine, Init.HE, SEED, 6, 5, 3);
        net.gradient(samples(engine), new int[] {1}, 1);
        Graph graph = engine.capture(net::gradient);
        net.close();
        refused(IllegalStateException.class, graph::launch, "the network is closed");
        refused(IllegalStateException.class, net::gradient, "the network is closed");
    }

    /** Its kernels read where the samples and the batch lay when it was captured. */
    @Test
    void aLaunchTakesBatchesOfTheSamplesAndTheSizeOfItsCaptureOnly() {
        Network net = new Network(engine, Init.HE, SEED, 6, 5, 3);
        Samples samples = samples(engine), others = samples(engine);
        int[] rows = new int[4];
        net.load(samples, rows, 2);
        Graph graph = engine.capture(net::gradient);
        net.load(others, rows, 2);
        refused(IllegalStateException.class, graph::launch, "expected a batch of 2 out of");
        net.load(samples, rows, 1);
        refused(IllegalStateException.class, graph::launch, "got one of 1 out of");
        net.load(samples, rows, 2);
        graph.launch();
        net.load(samples, rows, 4);
        net.load(samples, rows, 2);
        refused(IllegalStateException.class, graph::launch, "no larger one loaded since");
    }

    // ---- others' code in a launch ----

    /** The launch is done when the losses are told, and every step of it is counted: the one that would be the next finds its scalars. */
    @Test
    void aListenerOfLossesThatThrowsLeavesTheCountsRight() {
        Network[] nets = {new Network(engine, Init.HE, SEED, 6, 5, 3), new Network(engine, Init.HE, SEED, 6, 4, 3)};
        Optimizer adam = engine.optimizer(Adam.of(0.01)), another = engine.optimizer(Adam.of(0.01));
        List<Double> told = new ArrayList<>();
        nets[0].onLoss(loss -> {
            throw new UnsupportedOperationException("enough");
        });
        nets[1].onLoss(told::add);
        Samples samples = samples(engine);
        for (Network net : nets) net.load(samples, new int[] {1, 2}, 2);
        Runnable step = () -> {
            for (Network net : nets) net.gradient();
            adam.update(nets[0].params(), nets[0].grads());
            another.update(nets[1].params(), nets[1].grads());
        };
        step.run();
        int thrown = 0;
        try (Graph graph = engine.capture(step)) {
            for (int n = 1; n < 300; n++) {
                try {
                    graph.launch();
                } catch (UnsupportedOperationException e) {
                    thrown++;
                }
            }
        }
        nets[1].tellLosses();
        assertEquals(1, thrown, "windows told while the launches ran");
        assertEquals(300, told.size());
        assertEquals(300, adam.steps());
        assertEquals(new Counts(300, 0, List.of(300L)), adam.counts(), "none found no scalars");
        assertEquals(new Counts(300, 0, List.of(300L)), another.counts());
    }

    /** Its step is the last whose scalars the device has, so that of the launch needs more. */
    @Test
    void aListenerMayStepAnotherOptimizerOfTheGraph() {
        Tensor p = engine.zeros(1), good = engine.tensor(floats(1)), q = engine.zeros(1), h = engine.zeros(1);
        Optimizer sgd = engine.optimizer(Sgd.of(1));
        int[] own = {0};
        Optimizer guarded = engine.optimizer(Sgd.of(1))
                .guard(Guard.skipNonFinite())
                .onSkip(skipped -> {
                    own[0]++;
                    sgd.update(p, good);
                });
        h.set(Float.NaN);
        guarded.update(q, h); // the skip is heard of two windows later
        h.zero();
        int before = Control.WINDOW - 1;
        for (int n = 0; n < before; n++) sgd.update(p, good);
        try (Graph graph = engine.capture(() -> {
            sgd.update(p, good);
            guarded.update(q, h);
        })) {
            for (int n = 0; n < 3 * Control.WINDOW; n++) graph.launch();
        }
        assertEquals(1, own[0]);
        int steps = before + 3 * Control.WINDOW + 1;
        assertEquals(new Counts(steps, 0, List.of((long) steps)), sgd.counts());
        assertSameBits(floats(-steps), p.get());
    }

    @Test
    void aListenerThatClosesTheGraphOrItsOptimizerEndsTheLaunch() {
        for (boolean closesGraph : new boolean[] {true, false}) {
            Tensor p = engine.zeros(1), g = engine.tensor(floats(Double.NaN));
            AutoCloseable[] closes = new AutoCloseable[1];
            Optimizer sgd =
                    engine.optimizer(Sgd.of(1)).guard(Guard.skipNonFinite()).onSkip(skipped -> close(closes[0]));
            sgd.update(p, g);
            Graph graph = engine.capture(() -> sgd.update(p, g));
            closes[0] = closesGraph ? graph : sgd;
            String closed = closesGraph ? "the graph is closed" : "the optimizer is closed";
            refused(
                    IllegalStateException.class,
                    () -> {
                        for (int n = 0; n < 3 * Control.WINDOW; n++) graph.launch();
                    },
                    closed);
            graph.close();
            assertSameBits(floats(0), p.get());
        }
    }

    private static void close(AutoCloseable what) {
        try {
            what.close();
        } catch (Exception e) {
            throw new AssertionError(e);
        }
    }

    // ---- memory while a graph lives ----

    @Test
    void anUpdateThatACaptureRefusesKeepsWhatWasLaidOut() {
        Tensor p = engine.zeros(2), g = engine.tensor(floats(1, 2)), other = engine.tensor(floats(3, 4));
        Optimizer sgd = engine.optimizer(Sgd.of(1));
        sgd.update(p, g);
        long before = cuda.allocated();
        for (int n = 0; n < 3; n++) {
            refusedInCapture(() -> sgd.update(p, other), "layout", "cannot be recorded");
            sgd.update(p, g);
        }
        assertEquals(before, cuda.allocated());
        assertSameBits(floats(-4, -8), p.get());
    }

    /** The ring has 256 steps, of which a window of 64 is sent ahead. */
    @Test
    void moreUpdatesThanTheRingHoldsAreRefused() {
        Descent descent = new Descent(engine, engine.optimizer(Sgd.of(1)));
        descent.step();
        refusedInCapture(
                () -> {
                    for (int n = 0; n < 193; n++) descent.step();
                },
                "expected at most 192 updates of one optimizer");
        descent.step();
        assertEquals(2, descent.optimizer.steps());
    }

    /** The graph keeps the table that it reads; those of plain steps meanwhile take turns in one other. */
    @Test
    void newAddressesWhileAGraphLivesAreOneMoreTable() {
        Tensor p = engine.zeros(2), g = engine.tensor(floats(1, 2)), other = engine.tensor(floats(10, 20));
        Optimizer sgd = engine.optimizer(Sgd.of(1));
        sgd.update(p, g);
        try (Graph graph = engine.capture(() -> sgd.update(p, g))) {
            sgd.update(p, other);
            long before = cuda.allocated();
            for (int n = 0; n < 10; n++) {
                sgd.update(p, n % 2 == 0 ? g : other);
                graph.launch();
            }
            assertEquals(before, cuda.allocated());
        }
        assertSameBits(floats(-76, -152), p.get());
    }

    @Test
    void kernelsOfOnesOwnAreRecordedWithTheArgumentsTheyHad() {
        Tensor x = engine.tensor(floats(1, 2, 3));
        CudaKernel scale = cuda.kernel(
                "scale.cu",
                "extern \"C\" __global__ void scale(float* x, float by, int n) { if (threadIdx.x < n) x[threadIdx.x] *= by; }",
                "scale");
        scale.set(0, x).set(1, 2f).set(2, 3);
        try (Graph graph = engine.capture(() -> scale.launch(1, 32))) {
            scale.set(1, 100f);
            graph.launch();
            graph.launch();
        }
        assertSameBits(floats(4, 8, 12), x.get());
    }

    private void refusedInCapture(Runnable body, String... words) {
        RuntimeException e = assertThrows(RuntimeException.class, () -> engine.capture(body));
        for (String word : words) assertTrue(e.getMessage().contains(word), word + " in: " + e.getMessage());
    }
}
