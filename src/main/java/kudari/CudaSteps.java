package kudari;

import static jcuda.driver.JCudaDriver.cuMemcpyHtoDAsync;
import static kudari.CudaException.must;

import jcuda.Pointer;
import jcuda.driver.CUdeviceptr;
import kudari.rule.Rule;

/** Steps on a CUDA device: the host counts them and sends each one's scalars; one launch over the chunk table does the rest. */
class CudaSteps extends Steps {

    /** Threads per block, as the kernels' launch bounds say. */
    static final int THREADS = 256;

    /** Blocks that a multiprocessor holds at a time: 2,048 threads. */
    static final int BLOCKS = 8;

    /** The bytes of a step's scalars, and of step.cuh's Step: the scalars, the coefficient of the gradient, and whether to go. */
    static final int SCALARS = Rule.SCALARS * Float.BYTES, STEP = SCALARS + 8;

    final CudaEngine engine;

    /** In device memory: the Step, and what a subclass adds to it. */
    final CUdeviceptr block;

    final long address;

    private final Scalars scalars;
    private final float[] k = new float[Rule.SCALARS];
    private final Pointer hostScalars = Pointer.to(k);
    private final CudaKernel kernel;
    private CudaTable chunks;
    private long done;

    /** Steps of a rule's kind, with a block of so many bytes that begins with these numbers. */
    CudaSteps(CudaEngine engine, Rule rule, Scalars scalars, int bytes, float... step) {
        this.engine = engine;
        this.scalars = scalars;
        kernel = engine.kernel(rule);
        chunks = new CudaTable(engine, new long[0], 0);
        block = engine.allocateBytes(bytes, "the scalars of a step");
        address = CudaEngine.address(block);
        try {
            must(
                    cuMemcpyHtoDAsync(block, Pointer.to(step), (long) step.length * Float.BYTES, engine.stream),
                    "cuMemcpyHtoDAsync of a step");
        } catch (CudaException e) {
            engine.discard(block);
            throw e;
        }
    }

    /** Steps whose gradients are taken as they are: the coefficient is 1, and every step goes. */
    static CudaSteps plain(CudaEngine engine, Rule rule, Scalars scalars) {
        return new CudaSteps(engine, rule, scalars, STEP, 0, 0, 0, 0, 0, 0, 0, 0, 1, Float.intBitsToFloat(1));
    }

    @Override
    void bind(Tensor[] params, Tensor[] grads, Tensor[][] state) {
        chunks.free();
        chunks = new CudaTable(engine, new long[0], 0);
        chunks = CudaTable.chunks(engine, params, grads, state);
    }

    @Override
    void next() {
        send(done + 1, block);
        launch();
        done++;
    }

    /** Sends the scalars of a step to the device. */
    final void send(long t, CUdeviceptr to) {
        scalars.at(t, k);
        // From the heap: the driver takes such a copy's bytes before it returns, so the array may change at once.
        must(cuMemcpyHtoDAsync(to, hostScalars, SCALARS, engine.stream), "cuMemcpyHtoDAsync of the scalars");
    }

    final void launch() {
        kernel.set(0, chunks.address).set(1, (long) chunks.rows).set(2, address);
        kernel.start(engine.blocks(chunks.rows), THREADS);
    }

    @Override
    long done() {
        return done;
    }

    @Override
    void resume(long done) {
        this.done = done;
    }

    @Override
    long skipped() {
        return 0;
    }

    @Override
    double norm() {
        return 0;
    }

    @Override
    void free() {
        chunks.free();
        engine.discard(block);
    }
}
