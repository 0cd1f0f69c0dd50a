package kudari;

import static jcuda.driver.JCudaDriver.cuLaunchKernel;
import static jcuda.driver.JCudaDriver.cuMemcpyHtoDAsync;
import static kudari.CudaException.must;

import java.nio.ByteOrder;
import java.nio.LongBuffer;
import jcuda.Pointer;
import jcuda.driver.CUdeviceptr;
import jcuda.driver.CUstream;
import kudari.rule.Rule;

/**
 * The chunk table of a set of tensors, in device memory, and the arguments of the launch that walks it. One launch serves any number of
 * tensors; nothing of it is made anew for a step.
 */
final class CudaTable implements Engine.Table {

    /** Threads per block, as the kernels' launch bounds say. */
    private static final int BLOCK = 256;

    /** Blocks that a multiprocessor holds at a time: 2,048 threads. */
    private static final int BLOCKS = 8;

    /** The bytes of a step's scalars. */
    private static final int SCALARS = Rule.SCALARS * Float.BYTES;

    private static final int SMALLEST = 1024, LARGEST = 16_384;

    private final CudaEngine engine;
    private final int grid;
    /** The scalars of the step, then the table. */
    private final CUdeviceptr block;

    /** A page that stays where it is, so that a launch takes one pointer: three arguments, then the addresses of the three. */
    private final Pointer page;

    private final Pointer arguments;
    private Pointer hostScalars = new Pointer();
    private float[] lastScalars = {};

    CudaTable(CudaEngine engine, int multiprocessors, Tensor[] params, Tensor[] grads, Tensor[][] state) {
        this.engine = engine;
        long[] words = words(multiprocessors, params, grads, state);
        int count = words.length / wordsPerChunk(state);
        grid = Math.min(count, multiprocessors * BLOCKS);
        block = engine.allocateBytes(SCALARS + words.length * (long) Long.BYTES, "the chunk table");
        CUdeviceptr chunks = block.withByteOffset(SCALARS);
        try {
            if (count > 0) {
                // In the stream's order, which the null stream's copies do not keep; from the heap, as in launch.
                must(
                        cuMemcpyHtoDAsync(chunks, Pointer.to(words), words.length * (long) Long.BYTES, engine.stream()),
                        "cuMemcpyHtoDAsync of the chunk table");
            }
            page = engine.allocatePage(6 * Long.BYTES);
        } catch (CudaException e) {
            engine.discard(block);
            throw e;
        }
        long base = CudaEngine.address(page);
        LongBuffer slots = page.getByteBuffer(0, 6 * Long.BYTES)
                .order(ByteOrder.nativeOrder())
                .asLongBuffer();
        slots.put(CudaEngine.address(chunks)).put(count).put(CudaEngine.address(block));
        slots.put(base).put(base + 8).put(base + 16);
        arguments = page.withByteOffset(3 * Long.BYTES);
    }

    /** Count, p, g, and the state: at least one place, for the kernels of rules without. */
    private static int wordsPerChunk(Tensor[][] state) {
        return 3 + (state.length == 0 ? 1 : Math.max(1, state[0].length));
    }

    /** The table as the kernels read it: for each chunk its count, then where it begins in p, g and the state. */
    static long[] words(int multiprocessors, Tensor[] params, Tensor[] grads, Tensor[][] state) {
        long elements = 0;
        for (Tensor param : params) elements += param.size();
        long even = elements / ((long) multiprocessors * BLOCKS) / 4 * 4; // so that every multiprocessor has work
        long size = Math.max(SMALLEST, Math.min(LARGEST, even));
        long chunks = 0;
        for (Tensor param : params) chunks += (param.size() + size - 1) / size;
        int row = wordsPerChunk(state);
        LongBuffer words = LongBuffer.allocate(Math.toIntExact(chunks * row));
        for (int n = 0; n < params.length; n++) {
            for (long from = 0; from < params[n].size(); from += size) {
                long offset = from * Float.BYTES;
                words.put(Math.min(size, params[n].size() - from));
                words.put(address(params[n]) + offset).put(address(grads[n]) + offset);
                for (Tensor array : state[n]) words.put(address(array) + offset);
                if (state[n].length == 0) words.put(0);
            }
        }
        return words.array();
    }

    private static long address(Tensor tensor) {
        return ((CudaTensor) tensor).address();
    }

    void launch(CudaKernel kernel, float[] values, CUstream stream) {
        if (grid == 0) return;
        if (values != lastScalars) {
            lastScalars = values;
            hostScalars = Pointer.to(values);
        }
        // From an array on the Java heap: the driver takes such a copy's bytes before it returns, so the array may
        // change at once.
        must(cuMemcpyHtoDAsync(block, hostScalars, SCALARS, stream), "cuMemcpyHtoDAsync of the scalars");
        int code = cuLaunchKernel(kernel.function(), grid, 1, 1, BLOCK, 1, 1, 0, stream, arguments, null);
        if (code != 0) must(code, "cuLaunchKernel of " + kernel); // a step that works puts no message together
    }

    /** Frees the table, after its last launch has run. */
    @Override
    public void free() {
        engine.finish();
        engine.freeBytes(block);
        engine.freePage(page);
    }
}
