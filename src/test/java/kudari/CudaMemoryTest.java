package kudari;

import static kudari.OptimizerTest.refused;
import static kudari.RulesTest.assertSameBits;
import static kudari.RulesTest.floats;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;

import java.util.List;
import java.util.Map;
import jcuda.Pointer;
import jcuda.driver.CUcontext;
import jcuda.driver.CUdevice;
import jcuda.driver.CUdeviceptr;
import jcuda.driver.CUstream;
import jcuda.driver.JCudaDriver;
import jcuda.jcublas.JCublas2;
import kudari.nn.Init;
import kudari.nn.Network;
import kudari.nn.Samples;
import kudari.rule.Adam;
import kudari.rule.Sgd;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** Somebody else's memory, context, stream and settings on a device. */
class CudaMemoryTest {

    private CudaEngine cuda;

    @BeforeEach
    void open() {
        cuda = (CudaEngine) Engines.open();
    }

    @AfterEach
    void close() {
        cuda.close();
    }

    private static void ok(int code) {
        assertEquals(0, code);
    }

    private static CUcontext current() {
        CUcontext current = new CUcontext();
        ok(JCudaDriver.cuCtxGetCurrent(current));
        return current;
    }

    @Test
    void theCallersContextIsAsItWasAfterEveryCall() {
        assertEquals(new CUcontext(), current(), "none: opening an engine leaves none");
        CUcontext mine = new CUcontext();
        ok(JCudaDriver.cuCtxCreate(mine, 0, new CUdevice()));
        try (CudaEngine engine = Engine.cuda(0)) {
            Tensor p = engine.tensor(floats(1, 2)), g = engine.tensor(floats(3, 4));
            Optimizer adam = engine.optimizer(Adam.of()).guard(Guard.clipNorm(1));
            AsyncRead read = p.asyncRead();
            Network net = new Network(engine, Init.HE, 1, 4, 3, 2);
            Samples samples = new Samples(engine, new float[8], new int[] {0, 1});
            List<Runnable> calls = List.of(
                    () -> engine.zeros(3).close(),
                    () -> p.set(floats(1, 2)),
                    () -> p.set(g),
                    p::zero,
                    () -> p.add(g, 1),
                    p::get,
                    read::start,
                    read::get,
                    () -> adam.update(p, g),
                    adam::steps,
                    adam::counts,
                    adam::norm,
                    () -> adam.schedule(Schedule.of(Adam.of(0.1))),
                    () -> adam.resume(3, Map.of()),
                    () -> net.gradient(samples, new int[] {0, 1}, 2),
                    () -> net.evaluate(samples),
                    net::loss,
                    () -> engine.kernel("a.cu", "extern \"C\" __global__ void f() {}", "f")
                            .launch(1, 1),
                    () -> engine.inContext(() -> assertNotEquals(mine, current())),
                    () -> refused(IllegalArgumentException.class, () -> engine.wrap(0, 3), "null pointer"),
                    adam::close,
                    net::close,
                    engine::close);
            for (Runnable call : calls) {
                call.run();
                assertEquals(mine, current(), call.toString());
            }
        }
        CUdeviceptr memory = new CUdeviceptr();
        ok(JCudaDriver.cuMemAlloc(memory, 4));
        ok(JCudaDriver.cuMemFree(memory));
        ok(JCudaDriver.cuCtxDestroy(mine));
    }

    @Test
    void memoryThatIsNotTheEnginesDevicesIsRefused() {
        CUdeviceptr gone = new CUdeviceptr(), foreign = new CUdeviceptr();
        cuda.inContext(() -> {
            ok(JCudaDriver.cuMemAlloc(gone, 64));
            ok(JCudaDriver.cuMemFree(gone));
        });
        CUcontext another = new CUcontext();
        ok(JCudaDriver.cuCtxCreate(another, 0, new CUdevice()));
        ok(JCudaDriver.cuMemAlloc(foreign, 64));
        refused(IllegalArgumentException.class, () -> cuda.wrap(new CUdeviceptr(), 3), "null pointer");
        refused(IllegalArgumentException.class, () -> cuda.wrap(0L, 3), "null pointer");
        refused(IllegalArgumentException.class, () -> cuda.wrap(0x1234L, 3), "0x1234", "does not know");
        refused(IllegalArgumentException.class, () -> cuda.wrap(gone, 3), "does not know");
        refused(IllegalArgumentException.class, () -> cuda.wrap(foreign, 3), "another context");
        assertEquals(0, cuda.wrap(0L, 0).get().length, "nothing, and no memory for it");
        ok(JCudaDriver.cuMemFree(foreign));
        ok(JCudaDriver.cuCtxDestroy(another));
    }

    @Test
    void memoryIsWrappedByItsAddress() {
        Tensor whole = cuda.tensor(floats(1, 2, 3, 4));
        long address = JCudaAddress.of(cuda.pointer(whole));
        Tensor part = cuda.wrap(address + 4, 2);
        assertSameBits(floats(2, 3), part.get());
        cuda.optimizer(Sgd.of(1)).update(part, cuda.tensor(floats(1, 1)));
        part.close(); // which leaves the memory to its owner
        assertSameBits(floats(1, 1, 2, 4), whole.get());
        refused(IllegalArgumentException.class, () -> cuda.wrap(address + 2, 1), "multiple of 4");
    }

    @Test
    void aStreamIsHandedInByItsAddress() {
        CUstream theirs = new CUstream();
        cuda.inContext(() -> ok(JCudaDriver.cuStreamCreate(theirs, 1)));
        try (CudaEngine engine = CudaEngine.open(0, JCudaAddress.of(theirs))) {
            assertEquals(theirs, engine.stream());
            Tensor p = engine.tensor(floats(3));
            engine.optimizer(Sgd.of(1)).update(p, engine.tensor(floats(1)));
            assertEquals(2, p.get()[0]);
            Optimizer again = engine.optimizer(Sgd.of(1));
            Tensor g = engine.tensor(floats(1));
            again.update(p, g);
            try (Graph graph = engine.capture(() -> again.update(p, g))) {
                graph.launch();
            }
            assertEquals(0, p.get()[0]);
        }
        cuda.inContext(() -> ok(JCudaDriver.cuStreamDestroy(theirs)));
    }

    /** As every sample of JCuda begins. There is no asking how it was. */
    @Test
    void jcudasExceptionsChangeNothing() {
        JCudaDriver.setExceptionsEnabled(true);
        JCublas2.setExceptionsEnabled(true);
        jcuda.nvrtc.JNvrtc.setExceptionsEnabled(true);
        try (CudaEngine engine = Engine.cuda(0)) {
            Tensor p = engine.tensor(floats(3)), g = engine.tensor(floats(1));
            Optimizer sgd = engine.optimizer(Sgd.of(1));
            sgd.update(p, g);
            try (Graph graph = engine.capture(() -> sgd.update(p, g))) {
                graph.launch();
            }
            assertEquals(1, p.get()[0]);
            refused(CudaException.class, () -> Engine.cuda(99), "cuDeviceGet(99)", "there is no device of that number");
            refused(CudaException.class, () -> engine.zeros(1L << 55), "CUDA_ERROR_OUT_OF_MEMORY");
            refused(IllegalArgumentException.class, () -> engine.wrap(0x1234L, 1), "does not know");
            refused(CudaException.class, () -> engine.kernel("bad.cu", "no C++", "f"), "bad.cu", "error");
            refused(
                    CudaException.class,
                    () -> engine.kernel("good.cu", "extern \"C\" __global__ void f() {}", "g"),
                    "CUDA_ERROR_NOT_FOUND");
            new Network(engine, Init.HE, 1, 4, 3, 2)
                    .gradient(new Samples(engine, new float[8], new int[] {0, 1}), new int[] {0, 1}, 2);
        } finally {
            JCudaDriver.setExceptionsEnabled(false);
            JCublas2.setExceptionsEnabled(false);
            jcuda.nvrtc.JNvrtc.setExceptionsEnabled(false);
        }
    }

    @Test
    void callsOfOnesOwnFindTheContext() {
        CUdeviceptr memory = new CUdeviceptr();
        cuda.inContext(() -> CudaException.must(JCudaDriver.cuMemAlloc(memory, 8), "cuMemAlloc"));
        Tensor p = cuda.wrap(memory, 2);
        p.set(floats(1, 2));
        float[] seen = new float[2];
        cuda.inContext(() -> {
            ok(JCudaDriver.cuMemcpyDtoHAsync(Pointer.to(seen), memory, 8, cuda.stream()));
            ok(JCudaDriver.cuStreamSynchronize(cuda.stream()));
            ok(JCudaDriver.cuMemFree(memory));
        });
        assertSameBits(floats(1, 2), seen);
    }
}
