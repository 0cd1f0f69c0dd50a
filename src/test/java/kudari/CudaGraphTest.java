package kudari;

import static kudari.GraphTest.samples;
import static kudari.OptimizerTest.refused;
import static kudari.RulesTest.assertSameBits;
import static kudari.RulesTest.floats;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

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

    @Test
    void somebodyElsesCaptureOfTheStreamIsRefused() {
        Descent descent = new Descent(engine, engine.optimizer(Adam.of(0.1)));
        descent.step();
        float[] before = descent.p.get();
        engine.enter();
        assertEquals(0, JCudaDriver.cuStreamBeginCapture(cuda.stream(), 1));
        refused(
                IllegalStateException.class,
                () -> descent.optimizer.update(descent.p, descent.g),
                "capturing",
                "Engine.capture");
        refused(IllegalStateException.class, () -> descent.p.set(floats(1, 2, 3, 4, 5)), "capturing");
        refused(IllegalStateException.class, () -> descent.p.get(), "capturing");
        assertEquals(0, JCudaDriver.cuStreamEndCapture(cuda.stream(), new CUgraph()));
        engine.leave();
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
        long before = cuda.allocated();
        Graph graph = engine.capture(descent::step), another = engine.capture(descent::step);
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
        Graph again = engine.capture(descent::step);
        descent.optimizer.close();
        refused(IllegalStateException.class, again::launch, "optimizer is closed");
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
