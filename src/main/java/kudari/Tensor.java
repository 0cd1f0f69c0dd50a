package kudari;

import java.util.Arrays;
import java.util.Optional;

/**
 * Contiguous numbers, row-major, in the memory of one engine, of float32, bfloat16 or float16, or bytes of an optimizer's state. Made by {@link Engine#tensor} and {@link Engine#zeros};
 * lives until it or its engine is closed.
 *
 * <p>Java sees floats. What comes out of 16 bits is exact; what goes in is rounded as {@link Dtype} says, once, whatever was computed before in float32.
 * Both engines round to the same bits.
 *
 * <p>Every call throws {@link IllegalStateException} if the tensor or its engine is closed, or this is not the thread that opened the engine.
 */
public abstract sealed class Tensor implements AutoCloseable permits CpuTensor, CudaTensor {

    /** The most elements that every JVM lets one Java array have. */
    static final int LARGEST_ARRAY = Integer.MAX_VALUE - 8;

    final Engine engine;
    private final Dtype dtype;
    private final long[] shape;
    private final long size;
    private boolean closed;

    Tensor(Engine engine, Dtype dtype, long[] shape) {
        this.engine = engine;
        this.dtype = dtype;
        this.shape = shape.clone();
        this.size = size(shape);
    }

    /** The number of elements of a shape: the product of its extents, 1 for the empty shape. */
    static long size(long[] shape) {
        long size = 1;
        try {
            for (long extent : shape) {
                if (extent < 0)
                    throw new IllegalArgumentException("shape " + Arrays.toString(shape) + ": an extent is negative");
                size = Math.multiplyExact(size, extent);
            }
        } catch (ArithmeticException e) {
            throw new IllegalArgumentException("shape " + Arrays.toString(shape) + ": more than 2^63 - 1 elements", e);
        }
        return size;
    }

    /** The type of the elements: {@code F32}, {@code BF16}, {@code F16} or {@code U8}. */
    public final Dtype dtype() {
        return dtype;
    }

    /** The extents, outermost first; empty for a single number. */
    public final long[] shape() {
        return shape.clone();
    }

    /** The number of elements: the product of the extents. */
    public final long size() {
        return size;
    }

    /** The bytes that the elements take. */
    final long bytes() {
        return dtype.bytes(size);
    }

    /**
     * Copies the elements out, after everything asked of the engine before has been done.
     *
     * @return a new array of {@link #size} elements
     */
    public final float[] get() {
        checkOpen();
        if (size > LARGEST_ARRAY) {
            throw new IllegalStateException(
                    this + ": too large for one Java array of at most " + LARGEST_ARRAY + " elements");
        }
        float[] values = new float[(int) size];
        engine.inContext(() -> read(values));
        return values;
    }

    /**
     * A way to read this tensor again and again without holding up the engine.
     *
     * @throws IllegalStateException if the tensor has 2³¹ bytes or more
     */
    public final AsyncRead asyncRead() {
        checkOpen();
        return engine.call(this::newAsyncRead);
    }

    /**
     * Copies elements in, in the order of the engine's work. The array may change as soon as this returns.
     *
     * @param values as many as the tensor has, in row-major order
     * @throws IllegalArgumentException if there are more or fewer
     */
    public final void set(float... values) {
        checkOpen();
        if (values.length != size)
            throw new IllegalArgumentException(this + ": expected " + size + " values, got " + values.length);
        engine.enter();
        try {
            write(values);
        } catch (RuntimeException e) {
            throw engine.failed(e);
        } finally {
            engine.leave();
        }
    }

    /**
     * Copies the elements of another tensor in, in the order of the engine's work; rounded, where they are of another type that has more bits.
     *
     * @param other of the same engine and as many elements; its shape and type may differ
     * @throws IllegalArgumentException if it is another engine's, has more or fewer elements, overlaps in part, or one of the two is of bytes
     */
    public final void set(Tensor other) {
        checkLike(other);
        engine.enter();
        try {
            copy(other);
        } catch (RuntimeException e) {
            throw engine.failed(e);
        } finally {
            engine.leave();
        }
    }

    /**
     * Sets every element to 0, in the order of the engine's work.
     */
    public final void zero() {
        checkOpen();
        engine.enter();
        try {
            fill(0);
        } catch (RuntimeException e) {
            throw engine.failed(e);
        } finally {
            engine.leave();
        }
    }

    /**
     * Adds a multiple of another tensor, in the order of the engine's work: {@code this ← this + factor · other}, a product and a sum, each rounded
     * to float32, and the sum then to this tensor's type. The two may be one tensor.
     *
     * @param other of the same engine and as many elements; its shape and type may differ
     * @param factor what its elements are multiplied by
     * @throws IllegalArgumentException if it is another engine's, has more or fewer elements, overlaps in part, or is of bytes
     */
    public final void add(Tensor other, float factor) {
        checkLike(other);
        if (dtype == Dtype.U8)
            throw new IllegalArgumentException(this + ": expected F32, BF16 or F16, to which is added, got U8");
        engine.enter();
        try {
            addTimes(other, factor);
        } catch (RuntimeException e) {
            throw engine.failed(e);
        } finally {
            engine.leave();
        }
    }

    /**
     * Gives the memory back, unless it is somebody else's, once the work asked for so far is done; waits for that. Closing twice does nothing, and an
     * optimizer refuses an update with a closed tensor.
     */
    @Override
    public final void close() {
        if (closed) return;
        engine.release(this::free);
        closed = true;
    }

    final boolean isClosed() {
        return closed;
    }

    final void checkOpen() {
        engine.checkOpen();
        if (closed) throw new IllegalStateException(this + " is closed");
    }

    /** Whether another tensor is the same elements, of the same type, under the same shape. */
    boolean isSame(Tensor other) {
        return other == this
                || other != null
                        && other.engine == engine
                        && other.memory() == memory()
                        && other.from() == from()
                        && other.dtype == dtype
                        && Arrays.equals(other.shape, shape)
                        && !other.closed;
    }

    private void checkLike(Tensor other) {
        checkOpen();
        engine.checkOwn(other);
        if (other.size != size)
            throw new IllegalArgumentException(this + ": expected a tensor of " + size + " elements, got " + other);
        if (dtype != other.dtype && (dtype == Dtype.U8 || other.dtype == Dtype.U8))
            throw new IllegalArgumentException(this
                    + ": expected a tensor of the same type, for bytes are no numbers to be rounded, got " + other);
        boolean same = from() == other.from() && dtype == other.dtype;
        if (memory() == other.memory()
                && !same
                && from() < other.from() + other.bytes()
                && other.from() < from() + bytes())
            throw new IllegalArgumentException(
                    this + ": expected other memory or the same, got " + other + ", which overlaps it in part");
    }

    abstract AsyncRead newAsyncRead();

    /** Gives back the memory that is the engine's. */
    abstract void free();

    /** Another tensor of the same memory and shape; none if the memory goes with this one. */
    abstract Optional<Tensor> again();

    /** Whether it is closed, and its memory no more. */
    final boolean isGone() {
        return closed && again().isEmpty();
    }

    abstract void read(float[] into);

    abstract void write(float[] values);

    abstract void fill(float value);

    abstract void copy(Tensor other);

    abstract void addTimes(Tensor other, float factor);

    /** The memory that the elements are in: one object, the same for all tensors in it. */
    abstract Object memory();

    /** Where in that memory they begin, in bytes. */
    abstract long from();

    /** The type, the shape and the engine, as in {@code F32[784, 100] on CPU (2 threads)}. */
    @Override
    public final String toString() {
        return dtype + Arrays.toString(shape) + " on " + engine;
    }
}
