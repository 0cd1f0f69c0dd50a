package kudari;

import java.lang.ref.Cleaner;
import java.nio.Buffer;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.ShortBuffer;
import java.util.Arrays;
import java.util.Objects;
import java.util.Optional;
import kudari.rule.Rule;

/**
 * The CPU engine: tensors are Java arrays, a step is the rule's own loop. It defines what is right; every other engine must equal it bit
 * for bit.
 *
 * <p>This class is the one place where the arrays show: {@link #wrap} makes a tensor of memory that is already there, {@link #array} gives
 * the array of a tensor, so that a training loop can compute its gradients where the optimizer reads them.
 */
public final class CpuEngine extends Engine {

    /** Elements per piece of work: small enough to share out evenly and to stay in a core's cache, large enough to be worth fetching. */
    static final int CHUNK = 16_384;

    /** From so many elements a step uses all threads; below, waking them costs more than they save. */
    static final int PARALLEL_FROM = 1 << 16;

    /** More threads than this are refused. */
    public static final int MOST_THREADS = 1024;

    private final Workers workers;

    /** Ends the workers: when the engine is closed or, at last, when nobody can reach it any more. */
    private final Cleaner.Cleanable ending;

    /** Of each thread, arrays of a chunk each. */
    private final float[][][] tiles;

    CpuEngine(int threads) {
        if (threads < 1 || threads > MOST_THREADS) {
            throw new IllegalArgumentException("threads: expected from 1 to " + MOST_THREADS + ", got " + threads);
        }
        workers = new Workers(threads);
        ending = CLEANER.register(this, workers::close);
        tiles = new float[threads][0][];
    }

    /** The number of threads, the caller's among them. */
    public int threads() {
        return workers.count();
    }

    /**
     * A tensor over an array that stays the caller's: what either changes, the other sees.
     *
     * @param values the elements, in row-major order
     * @param shape the extents, outermost first, whose product is the length of the array; left out, the array is a vector
     * @throws IllegalArgumentException if the shape has more or fewer elements than the array
     */
    public Tensor wrap(float[] values, long... shape) {
        return wrap(FloatBuffer.wrap(values), shape);
    }

    /**
     * A tensor over memory that stays the caller's, outside the heap or a part of an array, as {@code FloatBuffer.wrap(array, from, count)}: what either
     * changes, the other sees. A step changes it in place and computes the same bits as on an array, but takes longer, for it copies a chunk at a time
     * to arrays and back.
     *
     * <p>That memory overlaps with other memory is noticed by array and address, and so not where something is mapped to two addresses. The tensor
     * keeps the buffer, and what the buffer keeps. Memory that is freed by hand or by an arena must stay as long as a tensor there, or an optimizer that
     * has stepped there, is used; and all threads of the engine must be allowed to it.
     *
     * @param elements from position to limit, in row-major order; direct and in native order, or over an array, and not read-only. Its own position and
     *     limit may change afterwards
     * @param shape the extents, outermost first, whose product is the number of elements; left out, they are a vector
     * @throws IllegalArgumentException if the buffer is read-only, of another order or over other elements, or the shape has more or fewer elements
     * @throws UnsupportedOperationException if the buffer is direct, and this Java is older than 22 and without the module jdk.unsupported
     */
    public Tensor wrap(FloatBuffer elements, long... shape) {
        long[] extents = extents(elements, elements.order(), "float", shape);
        return new CpuFloats(this, elements.slice(), extents);
    }

    /**
     * A tensor of a 16-bit type over an array that stays the caller's: what either changes, the other sees.
     *
     * @param elements the bits of each element, in row-major order
     * @param dtype {@code BF16} or {@code F16}
     * @param shape the extents, outermost first, whose product is the length of the array; left out, the array is a vector
     * @throws IllegalArgumentException if the type has not 16 bits, or the shape has more or fewer elements than the array
     */
    public Tensor wrap(short[] elements, Dtype dtype, long... shape) {
        return wrap(ShortBuffer.wrap(elements), dtype, shape);
    }

    /**
     * A tensor of a 16-bit type over memory that stays the caller's, as of {@link #wrap(FloatBuffer, long...)}.
     *
     * @param elements the bits of each element, from position to limit, in row-major order
     * @param dtype {@code BF16} or {@code F16}
     * @param shape the extents, outermost first, whose product is the number of elements; left out, they are a vector
     * @throws IllegalArgumentException if the type has not 16 bits, the buffer is read-only, of another order or over other elements, or the shape has more
     *     or fewer elements
     * @throws UnsupportedOperationException if the buffer is direct, and this Java is older than 22 and without the module jdk.unsupported
     */
    public Tensor wrap(ShortBuffer elements, Dtype dtype, long... shape) {
        if (!dtype.is16())
            throw new IllegalArgumentException("dtype: expected BF16 or F16, which have 16 bits, got " + dtype);
        long[] extents = extents(elements, elements.order(), "short", shape);
        return new CpuShorts(this, dtype, elements.slice(), extents);
    }

    /** The extents of what is wrapped, which has been checked. */
    private long[] extents(Buffer elements, ByteOrder order, String type, long[] shape) {
        checkOpen();
        if (elements.isReadOnly())
            throw new IllegalArgumentException("elements: expected a buffer that can be written, got a read-only one");
        if (order != ByteOrder.nativeOrder())
            throw new IllegalArgumentException("elements: expected the order of this machine, "
                    + ByteOrder.nativeOrder() + ", got " + order
                    + "; say order(ByteOrder.nativeOrder()) before making a view of bytes");
        if (!elements.isDirect() && !elements.hasArray())
            throw new IllegalArgumentException("elements: expected a direct buffer or one over a " + type
                    + "[], got one over a byte[] or other elements");
        long[] extents = shape.length == 0 ? new long[] {elements.remaining()} : shape;
        if (Tensor.size(extents) != elements.remaining()) {
            throw new IllegalArgumentException("shape " + Arrays.toString(extents) + ": expected "
                    + Tensor.size(extents) + " values, got " + elements.remaining());
        }
        return extents;
    }

    /**
     * The array in which a tensor of float32 of this engine lives, not a copy.
     *
     * @throws IllegalArgumentException if the tensor is another engine's, of another type, or lives in a buffer that is not all of one array
     */
    public float[] array(Tensor tensor) {
        checkOwn(tensor);
        if (tensor.dtype() != Dtype.F32)
            throw new IllegalArgumentException(
                    tensor + ": expected a tensor of F32, which is a float[]; use get and set");
        float[] array = ((CpuTensor) tensor).array;
        if (array == null)
            throw new IllegalArgumentException(
                    tensor + ": expected a tensor that is an array, got one that wraps a buffer; use get and set");
        return array;
    }

    /**
     * OpenBLAS, with one thread for the whole process from the first call on; as {@link CudaEngine#cublas} on a device.
     *
     * @throws UnsupportedOperationException if org.bytedeco:openblas is not on the class path, or not with its natives for this machine
     */
    public OpenBlas openBlas() {
        checkOpen();
        return new OpenBlas();
    }

    /** Products of matrices, by OpenBLAS where it is there. */
    Products products() {
        try {
            return openBlas();
        } catch (UnsupportedOperationException e) {
            System.getLogger(CpuEngine.class.getName())
                    .log(System.Logger.Level.WARNING, "matrices are multiplied by plain loops, for " + e.getMessage());
            return Products.loops();
        }
    }

    @Override
    Tensor allocate(Dtype dtype, long[] shape) {
        long size = Tensor.size(shape);
        if (size > Tensor.LARGEST_ARRAY) {
            throw new IllegalArgumentException("shape " + Arrays.toString(shape) + ": " + size
                    + " elements, but a tensor on the CPU has at most " + Tensor.LARGEST_ARRAY);
        }
        try {
            if (dtype == Dtype.U8) return new CpuBytes(this, ByteBuffer.allocate((int) size), shape);
            return dtype == Dtype.F32
                    ? new CpuFloats(this, FloatBuffer.allocate((int) size), shape)
                    : new CpuShorts(this, dtype, ShortBuffer.allocate((int) size), shape);
        } catch (OutOfMemoryError e) {
            OutOfMemoryError error = new OutOfMemoryError("shape " + Arrays.toString(shape) + ": " + dtype.bytes(size)
                    + " bytes do not fit the Java heap of at most "
                    + Runtime.getRuntime().maxMemory() + "; start java with a larger -Xmx");
            error.initCause(e);
            throw error;
        }
    }

    /** A thread's own arrays of a chunk each, at least so many: for copies of what lies in no array. Allocates those that nobody has asked for before. */
    float[][] tile(int thread, int arrays) {
        float[][] tile = tiles[thread];
        if (tile.length < arrays) {
            int had = tile.length;
            tile = tiles[thread] = Arrays.copyOf(tile, arrays);
            for (int n = had; n < arrays; n++) tile[n] = new float[CHUNK];
        }
        return tile;
    }

    @Override
    Driver driver(Rule[] rules, boolean[] averaged, Guard guard, boolean zeroes, Optional<LossScale> lossScale) {
        return new CpuDriver(this, rules, averaged, guard, zeroes, lossScale.map(CpuLossScale.class::cast));
    }

    @Override
    LossScale newLossScale(LossScaling scaling) {
        return new CpuLossScale(this, scaling);
    }

    /** How many threads share a step over so many elements. */
    int shares(long elements) {
        return elements < PARALLEL_FROM ? 1 : threads();
    }

    /** Runs a job on all threads. */
    void run(Workers.Job job) {
        workers.run(job);
    }

    @Override
    public Graph capture(Runnable body) {
        checkOpen();
        return new CpuGraph(this, Objects.requireNonNull(body, "body"));
    }

    @Override
    Optional<CudaGraph> recording() {
        return Optional.empty();
    }

    @Override
    void checkNotCapturing(String what) {
        // Nothing is ever recorded.
    }

    @Override
    void turn() {
        // The CPU is where we are.
    }

    @Override
    void turnBack() {
        // And where we stay.
    }

    @Override
    void free() {
        ending.clean();
    }

    /** The engine and its threads, as in {@code CPU (2 threads)}. */
    @Override
    public String toString() {
        return threads() == 1 ? "CPU (1 thread)" : "CPU (" + threads() + " threads)";
    }
}
