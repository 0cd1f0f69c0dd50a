package kudari;

import java.nio.FloatBuffer;
import java.util.Arrays;
import java.util.Optional;

/** A tensor in a Java buffer: over an array or, where somebody else's memory is wrapped, over a part of one or outside the heap. */
final class CpuTensor extends Tensor {

    /** What all memory outside the heap is a part of. */
    private static final Object OUTSIDE = new Object();

    /** The array whose elements these are, all of them; or null. Only loops over arrays are fast, so others run over copies of a chunk. */
    final float[] array;

    /** From its first element to its last. */
    private final FloatBuffer elements;

    private final CpuEngine engine;
    private final Object memory;
    private final long from;

    /**
     * A tensor.
     *
     * @param elements all that it has; direct and in native order, or over an array
     * @throws UnsupportedOperationException if it is direct, and nothing tells its address
     */
    CpuTensor(CpuEngine engine, FloatBuffer elements, long[] shape) {
        super(engine, shape);
        this.engine = engine;
        this.elements = elements;
        boolean inHeap = elements.hasArray();
        array = inHeap && elements.array().length == elements.capacity() ? elements.array() : null;
        memory = inHeap ? elements.array() : OUTSIDE;
        from = inHeap ? (long) Float.BYTES * elements.arrayOffset() : BufferAddress.of(elements);
    }

    @Override
    AsyncRead newAsyncRead() {
        return new CpuAsyncRead(this);
    }

    @Override
    void free() {
        // The garbage collector's.
    }

    /** Memory in the heap, or somebody else's, is there as long as anybody asks for it. */
    @Override
    Optional<Tensor> again() {
        return Optional.of(new CpuTensor(engine, elements, shape()));
    }

    /** Copies the elements {@code first} to {@code end} out, to the beginning of an array. */
    void read(int first, int end, float[] into) {
        elements.get(first, into, 0, end - first);
    }

    /** Copies the elements {@code first} to {@code end} in, from the beginning of an array. */
    void write(int first, int end, float[] values) {
        elements.put(first, values, 0, end - first);
    }

    /** Copies all elements out, into an array from there on. */
    void read(float[] into, int at) {
        elements.get(0, into, at, elements.capacity());
    }

    /** Copies all elements in, out of an array from there on. */
    void write(float[] values, int at) {
        elements.put(0, values, at, elements.capacity());
    }

    /** Sets the elements {@code first} to {@code end}. */
    void fill(int first, int end, float value) {
        if (elements.hasArray()) {
            int offset = elements.arrayOffset();
            Arrays.fill(elements.array(), offset + first, offset + end, value);
        } else {
            for (int i = first; i < end; i++) elements.put(i, value);
        }
    }

    @Override
    void read(float[] into) {
        read(0, elements.capacity(), into);
    }

    @Override
    void write(float[] values) {
        write(0, elements.capacity(), values);
    }

    @Override
    void fill(float value) {
        fill(0, elements.capacity(), value);
    }

    @Override
    void copy(Tensor other) {
        elements.put(0, ((CpuTensor) other).elements, 0, elements.capacity());
    }

    @Override
    void addTimes(Tensor other, float factor) {
        CpuTensor by = (CpuTensor) other;
        int size = elements.capacity();
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
    boolean isSame(Tensor other) {
        return super.isSame(other) && (array != null || isThere());
    }

    private boolean isThere() {
        try {
            if (elements.capacity() > 0) elements.get(0);
            return true;
        } catch (IllegalStateException e) {
            return false;
        }
    }

    @Override
    Object memory() {
        return memory;
    }

    @Override
    long from() {
        return from;
    }
}
