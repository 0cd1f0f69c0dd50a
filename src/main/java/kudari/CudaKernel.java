package kudari;

import static jcuda.driver.JCudaDriver.cuLaunchKernel;
import static jcuda.driver.JCudaDriver.cuModuleGetFunction;
import static kudari.CudaException.must;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import jcuda.Pointer;
import jcuda.driver.CUfunction;
import jcuda.driver.CUmodule;
import jcuda.driver.CUstream;
import kudari.CudaException.Call;

/**
 * A kernel of a CUDA engine, and its arguments. Made by {@link CudaEngine#kernel}; it belongs to the engine's thread and goes with the engine, or
 * before it.
 *
 * <p>Arguments stay set from launch to launch, and neither setting one nor launching allocates anything.
 *
 * <pre>{@code
 * CudaKernel scale = engine.kernel("scale.cu", """
 *     extern "C" __global__ void scale(float* x, float by, long long n) {
 *       long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
 *       if (i < n) x[i] *= by;
 *     }
 *     """, "scale");
 * scale.set(0, tensor).set(1, 0.5f).set(2, tensor.size()).launch((tensor.size() + 255) / 256, 256);
 * }</pre>
 */
public final class CudaKernel implements AutoCloseable {

    private static final int MOST_ARGUMENTS = 16;
    private static final long SLOT = Long.BYTES;

    private final CudaEngine engine;
    private final String name;
    private final CUfunction function = new CUfunction();

    /**
     * A page that stays where it is, so that a launch passes one pointer: a slot for each argument, then the addresses of the slots. The
     * driver has taken the arguments when it returns from a launch.
     */
    private final Pointer page;

    private final ByteBuffer slots;

    /** The size of the launch under way; and the launch, which so allocates nothing. */
    private int blocks, threads;

    private final Call launch;
    private boolean closed;

    CudaKernel(CudaEngine engine, String file, String source, String function) {
        this.engine = engine;
        this.name = file + ": " + function;
        CUmodule module = engine.module(file, source);
        must(() -> cuModuleGetFunction(this.function, module, function), "cuModuleGetFunction of " + this);
        page = engine.allocatePage(2 * MOST_ARGUMENTS * SLOT);
        slots = page.getByteBuffer(0, 2 * MOST_ARGUMENTS * SLOT).order(ByteOrder.nativeOrder());
        long base = JCudaAddress.of(page);
        for (int n = 0; n < MOST_ARGUMENTS; n++) slots.putLong(slot(MOST_ARGUMENTS + n), base + n * SLOT);
        Pointer addresses = page.withByteOffset(MOST_ARGUMENTS * SLOT);
        CUstream stream = engine.stream;
        launch = () -> cuLaunchKernel(this.function, blocks, 1, 1, threads, 1, 1, 0, stream, addresses, null);
    }

    /** Gives back the memory of its arguments. Closing twice does nothing. */
    @Override
    public void close() {
        if (closed) return;
        engine.release(() -> engine.freePage(page));
        closed = true;
    }

    private static int slot(int n) {
        return (int) (n * SLOT);
    }

    /**
     * Sets an argument to the address of a tensor's first element, which has the bits that its {@link Tensor#dtype} says.
     *
     * @param n which argument, from 0 to 15
     * @throws IllegalArgumentException if the tensor is another engine's
     */
    public CudaKernel set(int n, Tensor tensor) {
        engine.checkOwn(tensor);
        return set(n, ((CudaTensor) tensor).address);
    }

    /** Sets an integer argument of any width; or an address. Arguments are numbered from 0 to 15. */
    public CudaKernel set(int n, long value) {
        slots.putLong(slot(argument(n)), value);
        return this;
    }

    /** Sets a {@code float} argument. Arguments are numbered from 0 to 15. */
    public CudaKernel set(int n, float value) {
        slots.putFloat(slot(argument(n)), value);
        return this;
    }

    /** Sets a {@code double} argument. Arguments are numbered from 0 to 15. */
    public CudaKernel set(int n, double value) {
        slots.putDouble(slot(argument(n)), value);
        return this;
    }

    private int argument(int n) {
        checkOpen();
        if (n < 0 || n >= MOST_ARGUMENTS) {
            throw new IllegalArgumentException(
                    this + ": expected an argument from 0 to " + (MOST_ARGUMENTS - 1) + ", got " + n);
        }
        return n;
    }

    /**
     * Launches the kernel on the engine's stream, and returns at once.
     *
     * @param blocks how many, from 0, which launches nothing, to 2³¹ − 1
     * @param threads of each block
     * @throws CudaException if the driver refuses the launch
     */
    public void launch(long blocks, int threads) {
        checkOpen();
        engine.enter();
        try {
            start(blocks, threads);
        } catch (RuntimeException e) {
            throw engine.failed(e);
        } finally {
            engine.leave();
        }
    }

    private void checkOpen() {
        engine.checkOpen();
        if (closed) throw new IllegalStateException("kernel " + this + " is closed");
    }

    /** The same, for those who have checked. */
    void start(long blocks, int threads) {
        if (blocks == 0) return;
        this.blocks = (int) blocks;
        this.threads = threads;
        int code = blocks > Integer.MAX_VALUE ? 1 : CudaException.code(launch);
        // A launch that works puts no message together.
        if (code != 0) must(code, "cuLaunchKernel of " + this + " with " + blocks + " blocks of " + threads);
    }

    /** The file and the function, as in {@code kernels/adam.cu: adam}. */
    @Override
    public String toString() {
        return name;
    }
}
