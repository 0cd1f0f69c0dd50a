package kudari;

import static jcuda.driver.JCudaDriver.cuMemcpyHtoDAsync;
import static kudari.CudaException.must;

import java.nio.LongBuffer;
import jcuda.Pointer;
import jcuda.driver.CUdeviceptr;

/** A table of addresses in device memory: a row for each piece of a set of tensors, with its count of elements and where it begins. */
final class CudaTable {

    private static final int SMALLEST = 1024, LARGEST = 16_384;

    private final CudaEngine engine;
    private final CUdeviceptr block;
    final long address;
    final int rows;

    /** Copies the words of so many rows to the device; no rows take nothing. */
    CudaTable(CudaEngine engine, long[] words, int rows) {
        this.engine = engine;
        this.rows = rows;
        long bytes = words.length * (long) Long.BYTES;
        block = rows == 0 ? new CUdeviceptr() : engine.allocateBytes(bytes, "the chunk table");
        address = CudaEngine.address(block);
        if (rows == 0) return;
        try {
            // In the stream's order, which the null stream's copies do not keep. From the heap: the driver takes such a
            // copy's bytes before it returns.
            must(
                    cuMemcpyHtoDAsync(block, Pointer.to(words), bytes, engine.stream),
                    "cuMemcpyHtoDAsync of the chunk table");
        } catch (CudaException e) {
            engine.discard(block);
            throw e;
        }
    }

    /** The chunks of a step: count, p, g, and the state, which has at least one place, for the kernels of rules without. */
    static CudaTable chunks(CudaEngine engine, Tensor[] params, Tensor[] grads, Tensor[][] state) {
        long[] words = chunks(engine.multiprocessors * (long) CudaSteps.BLOCKS, params, grads, state);
        return new CudaTable(engine, words, words.length / wordsPerChunk(state));
    }

    private static int wordsPerChunk(Tensor[][] state) {
        return 3 + (state.length == 0 ? 1 : Math.max(1, state[0].length));
    }

    /** The same, as words, for a device that runs so many blocks at a time. */
    static long[] chunks(long blocks, Tensor[] params, Tensor[] grads, Tensor[][] state) {
        long elements = 0;
        for (Tensor param : params) elements += param.size();
        long size = size(blocks, elements);
        LongBuffer words = LongBuffer.allocate(Math.toIntExact(pieces(params, size) * wordsPerChunk(state)));
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

    /**
     * How many elements a chunk has, at most: so many that all blocks have as many chunks as each other, and a launch does not wait for one that
     * has one more; a multiple of 4, for 16 bytes at a time.
     */
    static long size(long blocks, long elements) {
        long rounds = Math.max(1, up(elements, blocks * LARGEST));
        return Math.max(SMALLEST, 4 * up(elements, 4 * blocks * rounds));
    }

    private static long up(long x, long by) {
        return (x + by - 1) / by;
    }

    /** The pieces of the norm: count and g; and behind the last of them room for the partial of each, a double. */
    static CudaTable pieces(CudaEngine engine, Tensor[] grads) {
        int rows = Math.toIntExact(pieces(grads, Norm.PIECE));
        LongBuffer words = LongBuffer.allocate(Math.multiplyExact(3, rows));
        for (Tensor grad : grads) {
            for (long from = 0; from < grad.size(); from += Norm.PIECE) {
                words.put(Math.min(Norm.PIECE, grad.size() - from)).put(address(grad) + from * Float.BYTES);
            }
        }
        return new CudaTable(engine, words.array(), rows);
    }

    private static long pieces(Tensor[] tensors, long size) {
        long pieces = 0;
        for (Tensor tensor : tensors) pieces += (tensor.size() + size - 1) / size;
        return pieces;
    }

    private static long address(Tensor tensor) {
        return ((CudaTensor) tensor).address;
    }

    /** Frees the table, after the last launch that reads it has run. */
    void free() {
        if (rows > 0) engine.discard(block);
    }
}
