package kudari;

import static kudari.OptimizerTest.refused;
import static kudari.RulesTest.assertSameBits;
import static kudari.RulesTest.floats;
import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import kudari.nn.Init;
import kudari.nn.Network;
import kudari.nn.Samples;
import kudari.rule.Adam;
import kudari.rule.Rule;
import kudari.rule.Sgd;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Memory that is given back before the engine is closed, and sets of tensors that change, on every engine. */
class MemoryTest {

    private Engine engine;

    @BeforeEach
    void open() {
        engine = Engines.open();
    }

    @AfterEach
    void close() {
        engine.close();
    }

    @Test
    void aClosedTensorIsRefusedEverywhere() {
        Tensor closed = engine.tensor(floats(1, 2)), open = engine.tensor(floats(3, 4));
        AsyncRead read = closed.asyncRead();
        Optimizer sgd = engine.optimizer(Sgd.of(1));
        sgd.update(closed, open);
        sgd.update(open, closed);
        closed.close();
        closed.close();
        for (Runnable use : new Runnable[] {
            closed::get,
            closed::zero,
            closed::asyncRead,
            () -> closed.set(floats(1, 2)),
            () -> closed.set(open),
            () -> open.set(closed),
            () -> closed.add(open, 1),
            () -> open.add(closed, 1),
            read::start,
            () -> sgd.update(closed, open),
            () -> sgd.update(open, closed),
            () -> sgd.update(Map.of("w", open), Map.of("w", closed))
        }) refused(IllegalStateException.class, use::run, "F32[2]", "is closed");
        assertEquals(2, sgd.steps());
        sgd.update(open, engine.tensor(floats(1, 1)));
        assertEquals(3, sgd.steps());
    }

    @Test
    void whatIsClosedAfterItsEngineIsClosedAlready() {
        Tensor tensor = engine.zeros(3);
        AsyncRead read = tensor.asyncRead();
        Optimizer adam = engine.optimizer(Adam.of());
        adam.update(tensor, engine.zeros(3));
        Graph graph = engine.capture(() -> {});
        engine.close();
        tensor.close();
        read.close();
        adam.close();
        graph.close();
        refused(IllegalStateException.class, tensor::get, "is closed");
    }

    @Test
    void aClosedOptimizerGivesItsStateBackAndLeavesTheParameters() {
        Tensor p = engine.tensor(floats(1)), g = engine.tensor(floats(2));
        Optimizer adam = engine.optimizer(Adam.of(0.5));
        adam.update(p, g);
        float[] before = p.get();
        Tensor m = adam.state(Optimizer.SINGLE).get("m");
        adam.close();
        adam.close();
        refused(IllegalStateException.class, m::get, "is closed");
        refused(IllegalStateException.class, () -> adam.update(p, g), "optimizer is closed");
        refused(IllegalStateException.class, adam::steps, "optimizer is closed");
        refused(IllegalStateException.class, () -> adam.state(Optimizer.SINGLE), "optimizer is closed");
        assertSameBits(before, p.get());
    }

    /** With state and without. */
    @Test
    void aListenerThatClosesTheOptimizerEndsTheUpdate() {
        for (Rule rule : List.of(Adam.of(), Sgd.of(1))) {
            Tensor p = engine.tensor(floats(1)),
                    good = engine.tensor(floats(1)),
                    bad = engine.tensor(floats(Double.NaN));
            Optimizer[] closing = new Optimizer[1];
            closing[0] = engine.optimizer(rule).guard(Guard.skipNonFinite()).onSkip(skipped -> closing[0].close());
            closing[0].update(p, bad);
            refused(
                    IllegalStateException.class,
                    () -> {
                        for (int t = 0; t < 3 * Control.WINDOW; t++) closing[0].update(p, good);
                    },
                    "the optimizer is closed");
        }
    }

    @Test
    void stateThatSomebodyClosedIsNoticed() {
        Tensor p = engine.tensor(floats(1)), g = engine.tensor(floats(2));
        Optimizer adam = engine.optimizer(Adam.of(0.5));
        adam.update(p, g);
        adam.state(Optimizer.SINGLE).get("v").close();
        float[] before = p.get();
        refused(IllegalStateException.class, () -> adam.update(p, g), "state of 'param'", "closed");
        assertSameBits(before, p.get());
        assertEquals(1, adam.steps());
        adam.resume(1, Map.of());
        adam.update(p, g);
        assertEquals(2, adam.steps());
    }

    @Test
    void resumingClosesTheStateThatWas() {
        Tensor p = engine.tensor(floats(1)), g = engine.tensor(floats(2));
        Optimizer adam = engine.optimizer(Adam.of(0.5));
        adam.update(p, g);
        Map<String, Tensor> old = adam.state(Optimizer.SINGLE);
        float[] m = old.get("m").get();
        adam.resume(1, Map.of(Optimizer.SINGLE, old));
        refused(IllegalStateException.class, () -> old.get("m").get(), "is closed");
        assertSameBits(m, adam.state(Optimizer.SINGLE).get("m").get());
    }

    /** As somebody's gradients come: wrapped anew in every step, in one place, in two in turns, or each time elsewhere. */
    @ParameterizedTest
    @ValueSource(ints = {1, 2, 3, 100})
    void tensorsMadeAnewAreTheSameStepsWhereverTheyLie(int places) {
        Tensor p = engine.tensor(floats(1, -1, 2)), q = engine.tensor(floats(1, -1, 2));
        Tensor still = engine.zeros(3);
        Tensor[] memory = new Tensor[places];
        for (int n = 0; n < places; n++) memory[n] = engine.zeros(3);
        Optimizer moved = engine.optimizer(Adam.of(0.1)), same = engine.optimizer(Adam.of(0.1));
        Random random = new Random(7);
        for (int t = 0; t < 150; t++) {
            float[] g = floats((float) random.nextGaussian(), 1, (float) random.nextGaussian());
            Tensor again = wrapped(memory[t % places]);
            again.set(g);
            still.set(g);
            moved.update(Map.of("p", p), new HashMap<>(Map.of("p", again)));
            same.update(Map.of("p", q), Map.of("p", still));
        }
        assertSameBits(q.get(), p.get());
        assertEquals(150, moved.steps());
    }

    /** A wrapper is a handle: closing it leaves the memory, and the next over the same memory is known again. */
    @Test
    void wrappersMayBeClosedAfterEveryStep() {
        Tensor p = engine.tensor(floats(1, -1, 2)), g = engine.tensor(floats(1, 1, 1));
        Optimizer sgd = engine.optimizer(Sgd.of(1));
        for (int t = 0; t < 5; t++) {
            Tensor again = wrapped(g);
            Map<String, Tensor> grads = Map.of("p", again);
            sgd.update(Map.of("p", p), grads);
            again.close();
            refused(IllegalStateException.class, () -> sgd.update(Map.of("p", p), grads), "is closed");
            refused(IllegalStateException.class, () -> sgd.update(Map.of("p", p), Map.of("p", again)), "is closed");
        }
        assertSameBits(floats(-4, -6, -3), p.get());
        assertSameBits(floats(1, 1, 1), g.get());
        assertEquals(5, sgd.steps());
    }

    @Test
    void aFrozenParameterMayBeClosedAndAnotherComeInItsPlace() {
        Optimizer sgd = engine.optimizer(Group.frozen("f"), Group.rest(Sgd.of(1)));
        Tensor p = engine.tensor(floats(3)), g = engine.tensor(floats(1)), f = engine.zeros(2);
        sgd.update(Map.of("p", p, "f", f), Map.of("p", g));
        f.close();
        refused(IllegalStateException.class, () -> sgd.update(Map.of("p", p, "f", f), Map.of("p", g)), "is closed");
        sgd.update(Map.of("p", p, "f", engine.zeros(2)), Map.of("p", g));
        assertEquals(1, p.get()[0]);
    }

    private Tensor wrapped(Tensor tensor) {
        return engine instanceof CudaEngine cuda
                ? cuda.wrap(cuda.pointer(tensor), tensor.shape())
                : ((CpuEngine) engine).wrap(((CpuEngine) engine).array(tensor), tensor.shape());
    }

    @Test
    void manySetsInTurnsAreEachTheirOwn() {
        Optimizer adam = engine.optimizer(Adam.of(0.5));
        Tensor[] p = new Tensor[12];
        Tensor g = engine.tensor(floats(1));
        for (int n = 0; n < p.length; n++) p[n] = engine.tensor(floats(n));
        for (int turn = 0; turn < 3; turn++)
            for (int n = 0; n < p.length; n++) adam.update(Map.of("p" + n, p[n]), Map.of("p" + n, g));
        assertEquals(36, adam.steps());
        Optimizer alone = engine.optimizer(Adam.of(0.5));
        Tensor q = engine.tensor(floats(5));
        Tensor other = engine.tensor(floats(0));
        for (int turn = 0; turn < 3; turn++)
            for (int n = 0; n < p.length; n++)
                alone.update(Map.of(n == 5 ? "q" : "r", n == 5 ? q : other), Map.of(n == 5 ? "q" : "r", g));
        assertSameBits(q.get(), p[5].get());
    }

    @ParameterizedTest
    @EnumSource(names = {"F32", "BF16"})
    void aNetworkAndItsSamplesGiveTheirMemoryBack(Dtype dtype) {
        long before = allocated();
        for (int n = 0; n < 3; n++) {
            Samples samples = new Samples(engine, new float[40], new int[] {0, 1, 1, 0});
            Network net = new Network(engine, dtype, Init.HE, 1, 10, 5, 2);
            try (Optimizer adam = engine.optimizer(Adam.of())) {
                for (int count = 1; count <= 3; count++) {
                    net.gradient(samples, new int[] {0, 1, 2}, count);
                    adam.update(net.params(), net.grads());
                    net.evaluate(samples);
                }
            }
            net.close();
            net.close();
            samples.close();
            refused(IllegalStateException.class, () -> net.gradient(samples, new int[] {0}, 1), "closed");
            if (n == 0) before += allocated() - before; // cuBLAS's workspace stays with the engine
        }
        assertEquals(before, allocated());
    }

    private long allocated() {
        return engine instanceof CudaEngine cuda ? cuda.allocated() : 0;
    }

    @Test
    void anEngineIsClosedByAnybodyOnceItsThreadHasEnded() throws InterruptedException {
        Engine[] theirs = new Engine[1];
        Thread thread = new Thread(() -> {
            theirs[0] = Engines.open();
            theirs[0].zeros(3);
        });
        thread.start();
        thread.join();
        refused(IllegalStateException.class, () -> theirs[0].zeros(1), "belongs to thread");
        theirs[0].close();
        refused(IllegalStateException.class, () -> theirs[0].zeros(1), "is closed");
    }

    @Test
    void anEngineIsNotClosedByOthersWhileItsThreadLives() throws InterruptedException {
        RuntimeException[] thrown = new RuntimeException[1];
        Thread thread = new Thread(() -> {
            try {
                engine.close();
            } catch (RuntimeException e) {
                thrown[0] = e;
            }
        });
        thread.start();
        thread.join();
        refused(
                IllegalStateException.class,
                () -> {
                    throw thrown[0];
                },
                "belongs to thread");
        engine.zeros(1);
    }

    @Test
    void aScheduleThatClosesTheEngineIsRefused() {
        Optimizer sgd = engine.optimizer(t -> {
            if (t > 1) engine.close();
            return Sgd.of(1);
        });
        Tensor p = engine.tensor(floats(1)), g = engine.tensor(floats(1));
        sgd.update(p, g);
        refused(IllegalStateException.class, () -> sgd.update(p, g), "within one of its calls");
        assertEquals(0, p.get()[0]);
    }
}
