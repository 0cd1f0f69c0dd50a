package kudari;

import static jcuda.driver.JCudaDriver.cuMemcpyDtoHAsync;
import static jcuda.driver.JCudaDriver.cuMemcpyHtoDAsync;
import static kudari.CudaException.must;

import jcuda.Pointer;
import jcuda.driver.CUdeviceptr;
import kudari.rule.Rule;

/**
 * Steps on a CUDA device that {@code kernels/norm.cu} goes before: it takes the global norm of the gradients, and clips the step or leaves it out.
 *
 * <p>So only the device knows how many steps were done, and the host must not wait to hear. It sends the scalars of the highest step that the next
 * one may be into a ring, from which the kernel takes those of the step that it is. A look at the device's count now and then, when it has long
 * arrived, keeps the ring from overflowing.
 */
final class CudaClippedSteps extends CudaSteps {

    /** Steps from one look to the next; the ring, norm.cu's, holds the scalars of twice as many. */
    static final int WINDOW = 512, RING = 2 * WINDOW;

    /** Where norm.cu's Steps has its count, what it skipped, and the norm; then a counter of blocks; then the ring. */
    private static final int DONE = STEP, ROWS = DONE + 32;

    private final CudaKernel kernel;
    private final double max;
    private final CUdeviceptr count;

    /** Where the ring has each step's scalars: pointers made once, for a step makes nothing. */
    private final CUdeviceptr[] ring = new CUdeviceptr[RING];

    /** A look at how many steps were done. */
    private final CudaLook look;

    private CudaTable pieces;

    /** Steps asked for so far; how many had been when the device was known to have done so many; the highest step sent. */
    private long asked, knownAsked, knownDone, sent;

    /** How many steps had been asked for at the look that is under way. */
    private long looked = -1;

    CudaClippedSteps(CudaEngine engine, Rule rule, Scalars scalars, double max) {
        super(engine, rule, scalars, ROWS + RING * SCALARS, new float[ROWS / Float.BYTES]);
        this.max = max;
        for (int n = 0; n < RING; n++) ring[n] = block.withByteOffset(ROWS + n * (long) SCALARS);
        count = block.withByteOffset(DONE);
        try {
            kernel = engine.kernel("kernels/norm.cu", Nvrtc.Source.of("norm.cu").text(), "globalNorm");
            look = new CudaLook(engine, count, Long.BYTES, "the count of steps");
        } catch (CudaException e) {
            engine.discard(block);
            throw e;
        }
        pieces = new CudaTable(engine, new long[0], 0);
    }

    @Override
    void bind(Tensor[] params, Tensor[] grads, Tensor[][] state) {
        pieces.free();
        pieces = new CudaTable(engine, new long[0], 0);
        CudaTable pieces = CudaTable.pieces(engine, grads);
        try {
            super.bind(params, grads, state);
        } catch (CudaException e) {
            pieces.free();
            throw e;
        }
        this.pieces = pieces;
    }

    @Override
    void next() {
        hear();
        for (long highest = knownDone + asked - knownAsked + 1; sent < highest; sent++) {
            send(sent + 1, ring[(int) ((sent + 1) % RING)]);
        }
        long partials = pieces.address + pieces.rows * 2L * Long.BYTES;
        kernel.set(0, pieces.address).set(1, (long) pieces.rows).set(2, partials);
        kernel.set(3, address).set(4, max).start(Math.max(1, engine.blocks(pieces.rows)), THREADS);
        asked++;
        try {
            launch();
        } catch (CudaException e) {
            takeBack(e);
            throw e;
        }
    }

    /** Hears of the count once in a window, and asks for it again. */
    private void hear() {
        if (asked - Math.max(looked, knownAsked) < WINDOW) return;
        if (looked >= 0) {
            look.await();
            knownAsked = looked;
            knownDone = look.page.getLong(0);
        }
        look.ask();
        looked = asked;
    }

    /** The norm counted a step that was then not launched. */
    private void takeBack(CudaException failure) {
        try {
            long[] counts = counts();
            counts[Double.isFinite(norm(counts)) ? 0 : 1]--;
            countFrom(counts);
        } catch (CudaException e) {
            failure.addSuppressed(e);
        }
    }

    @Override
    long done() {
        return counts()[0];
    }

    @Override
    long skipped() {
        return counts()[1];
    }

    @Override
    double norm() {
        return norm(counts());
    }

    private static double norm(long[] counts) {
        return Double.longBitsToDouble(counts[2]);
    }

    /** What the device has counted after all that was asked for so far: steps done, steps skipped, and the bits of the last norm. */
    private long[] counts() {
        long[] counts = new long[3];
        must(
                cuMemcpyDtoHAsync(Pointer.to(counts), count, 3L * Long.BYTES, engine.stream),
                "cuMemcpyDtoHAsync of the count of steps");
        engine.finish();
        return counts;
    }

    @Override
    void resume(long done) {
        countFrom(done, 0, 0);
    }

    private void countFrom(long... counts) {
        must(
                cuMemcpyHtoDAsync(count, Pointer.to(counts), 3L * Long.BYTES, engine.stream),
                "cuMemcpyHtoDAsync of the count of steps");
        knownAsked = asked;
        knownDone = sent = counts[0];
        looked = -1;
    }
}
