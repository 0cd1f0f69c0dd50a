package kudari;

import java.nio.Buffer;

/** A tensor in a Java buffer: over an array or, where somebody else's memory is wrapped, over a part of one or outside the heap. */
abstract sealed class CpuTensor extends Tensor permits CpuFloats, CpuShorts, CpuBytes {

    /** What all memory outside the heap is a part of. */
    private static final Object OUTSIDE = new Object();

    /** The array whose elements these are, all of them; or null. Only loops over arrays are fast, so others run over copies of a chunk. */
    final float[] array;

    final CpuEngine engine;
    private final int size;
    private final Object memory;
    private final long from;

    /**
     * A tensor.
     *
     * @param elements all that it has; direct and in native order, or over an array
     * @throws UnsupportedOperationException if it is direct, and nothing tells its address
     */
    CpuTensor(CpuEngine engine, Dtype dtype, Buffer elements, long[] shape) {
        super(engine, dtype, shape);
        this.engine = engine;
        size = elements.capacity();
        memory = elements.hasArray() ? elements.array() : OUTSIDE;
        array = memory instanceof float[] all && all.length == size ? all : null;
        from = elements.hasArray() ? dtype.bytes(elements.arrayOffset()) : BufferAddress.of(elements);
    }

    @Override
    final AsyncRead newAsyncRead() {
        return new CpuAsyncRead(this);
    }

    @Override
    final void free() {
        // The garbage collector's.
    }

    /** Copies the elements {@code first} to {@code end} out, to the beginning of an array. */
    abstract void read(int first, int end, float[] into);

    /** Copies the elements {@code first} to {@code end} in, from the beginning of an array. */
    abstract void write(int first, int end, float[] values);

    /** Sets the elements {@code first} to {@code end}. */
    abstract void fill(int first, int end, float value);

    /** Copies the elements of another tensor of the same type. */
    abstract void copySame(CpuTensor other);

    /** Looks at an element: of memory that has been freed, that throws. */
    abstract void touch();

    @Override
    final void read(float[] into) {
        read(0, size, into);
    }

    @Override
    final void write(float[] values) {
        write(0, size, values);
    }

    @Override
    final void fill(float value) {
        fill(0, size, value);
    }

    @Override
    final void copy(Tensor other) {
        CpuTensor from = (CpuTensor) other;
        if (from.dtype() == dtype()) {
            copySame(from);
            return;
        }
        float[] tile = engine.tile(0, 1)[0];
        for (int first = 0, end; first < size; first = end) {
            end = first + Math.min(CpuEngine.CHUNK, size - first);
            from.read(first, end, tile);
            write(first, end, tile);
        }
    }

    @Override
    final void addTimes(Tensor other, float factor) {
        CpuTensor by = (CpuTensor) other;
        if (array != null && by.array != null) {
            add(array, by.array, factor, size);
            return;
        }
        float[][] tile = engine.tile(0, 2);
        for (int first = 0, end; first < size; first = end) {
            end = first + Math.min(CpuEngine.CHUNK, size - first);
            read(first, end, tile[0]);
            by.read(first, end, tile[1]);
            add(tile[0], tile[1], factor, end - first);
            write(first, end, tile[0]);
        }
    }

    private static void add(float[] x, float[] y, float factor, int count) {
        for (int i = 0; i < count; i++) x[i] += factor * y[i];
    }

    /** An arena may have freed this memory, and another have come to the address: that is the same elements, but only through its own buffer. */
    @Override
    final boolean isSame(Tensor other) {
        return super.isSame(other) && (array != null || isThere());
    }

    private boolean isThere() {
        try {
            if (size > 0) touch();
            return true;
        } catch (IllegalStateException e) {
            return false;
        }
    }

    @Override
    final Object memory() {
        return memory;
    }

    @Override
    final long from() {
        return from;
    }
}
