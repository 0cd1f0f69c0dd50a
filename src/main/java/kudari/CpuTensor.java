package kudari;

import java.nio.FloatBuffer;
import java.util.Arrays;

/** A tensor in a Java buffer: over an array, or where somebody else's memory is wrapped, over a part of one or outside the heap. */
final class CpuTensor extends Tensor {

    /** What all memory outside the heap is a part of. */
    private static final Object OUTSIDE = new Object();

    /** The array whose elements the tensor has, all of them; or null. Only loops over arrays are fast: without one they run over copies of pieces. */
    final float[] array;

    /** The elements, from the buffer's first to its last. */
    private final FloatBuffer elements;

    private final CpuEngine engine;
    private final Object memory;
    private final long from;

    /**
     * A tensor.
     *
     * @param elements from position to limit; direct and in native order, or over an array
     * @throws UnsupportedOperationException if the buffer is direct and nothing tells its address
     */
    CpuTensor(CpuEngine engine, FloatBuffer elements, long[] shape) {
        super(engine, shape);
        this.engine = engine;
        this.elements = elements.slice();
        boolean inHeap = elements.hasArray();
        array = inHeap && elements.array().length == this.elements.capacity() ? elements.array() : null;
        memory = inHeap ? elements.array() : OUTSIDE;
        from = inHeap ? (long) Float.BYTES * this.elements.arrayOffset() : Address.of(this.elements);
    }

    @Override
    AsyncRead newAsyncRead() {
        return new CpuAsyncRead(this);
    }

    /** Copies elements out: so many, from one of them on, to the beginning of an array. */
    void read(int first, int count, float[] into) {
        elements.get(first, into, 0, count);
    }

    /** Copies elements in: so many, from one of them on, from the beginning of an array. */
    void write(int first, int count, float[] values) {
        elements.put(first, values, 0, count);
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
        read(0, into.length, into);
    }

    @Override
    void write(float[] values) {
        write(0, values.length, values);
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
        if (array != null && by.array != null) {
            add(array, by.array, factor, array.length);
            return;
        }
        float[] x = engine.tile, y = engine.otherTile;
        for (int first = 0; first < elements.capacity(); first += CpuEngine.TILE) {
            int count = Math.min(CpuEngine.TILE, elements.capacity() - first);
            read(first, count, x);
            by.read(first, count, y);
            add(x, y, factor, count);
            write(first, count, x);
        }
    }

    private static void add(float[] x, float[] y, float factor, int count) {
        for (int i = 0; i < count; i++) x[i] += factor * y[i];
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
