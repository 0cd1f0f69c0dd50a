package kudari;

import java.nio.FloatBuffer;
import java.util.Arrays;

/**
 * A tensor in Java buffers, one after the other. It is one array, or, where somebody else's memory is wrapped, one buffer over a part of an array or
 * outside the heap; or many arrays, of a tile each.
 */
final class CpuTensor extends Tensor {

    /** What all memory outside the heap is a part of. */
    private static final Object OUTSIDE = new Object();

    /** The array whose elements the tensor has, all of them; or null. Only loops over arrays are fast: others run over a tile at a time. */
    final float[] array;

    private final CpuEngine engine;

    /** The elements, from the first of each to its last. */
    private final FloatBuffer[] parts;

    /** How many elements each part has, but for the last. */
    private final int most;

    private final int size;
    private final Object memory;
    private final long from;

    /**
     * A tensor.
     *
     * @param parts direct and in native order, or over arrays; all as long as the first, but for the last
     * @throws UnsupportedOperationException if a buffer is direct and nothing tells its address
     */
    CpuTensor(CpuEngine engine, long[] shape, FloatBuffer... parts) {
        super(engine, shape);
        this.engine = engine;
        this.parts = parts;
        size = (int) size();
        FloatBuffer first = parts[0];
        most = Math.max(1, first.capacity());
        array = first.hasArray() && first.array().length == size ? first.array() : null;
        memory = first.hasArray() ? first.array() : OUTSIDE;
        from = first.hasArray() ? (long) Float.BYTES * first.arrayOffset() : Address.of(first);
    }

    @Override
    AsyncRead newAsyncRead() {
        return new CpuAsyncRead(this);
    }

    /** Copies elements out: so many, from one of them on, to the beginning of an array. */
    void read(int first, int count, float[] into) {
        for (int done = 0, n; done < count; done += n) {
            int at = (first + done) % most;
            n = Math.min(count - done, most - at);
            parts[(first + done) / most].get(at, into, done, n);
        }
    }

    /** Copies elements in: so many, from one of them on, from the beginning of an array. */
    void write(int first, int count, float[] values) {
        for (int done = 0, n; done < count; done += n) {
            int at = (first + done) % most;
            n = Math.min(count - done, most - at);
            parts[(first + done) / most].put(at, values, done, n);
        }
    }

    /** Sets the elements {@code first} to {@code end}. */
    void fill(int first, int end, float value) {
        for (int i = first, n; i < end; i += n) {
            int at = i % most;
            n = Math.min(end - i, most - at);
            fill(parts[i / most], at, at + n, value);
        }
    }

    private static void fill(FloatBuffer part, int from, int to, float value) {
        if (part.hasArray()) {
            int offset = part.arrayOffset();
            Arrays.fill(part.array(), offset + from, offset + to, value);
        } else {
            for (int i = from; i < to; i++) part.put(i, value);
        }
    }

    /**
     * The elements of one tile, from the beginning of an array on: their own if they begin one, else their copies.
     *
     * @param tile takes the copies
     */
    float[] borrow(int first, int count, float[] tile) {
        FloatBuffer part = parts[first / most];
        if (first % most == 0 && part.hasArray() && part.arrayOffset() == 0) return part.array();
        read(first, count, tile);
        return tile;
    }

    /** Takes what was borrowed, and has been written. */
    void giveBack(int first, int count, float[] borrowed) {
        FloatBuffer part = parts[first / most];
        if (!part.hasArray() || part.array() != borrowed) write(first, count, borrowed);
    }

    @Override
    void read(float[] into) {
        read(0, size, into);
    }

    @Override
    void write(float[] values) {
        write(0, size, values);
    }

    @Override
    void fill(float value) {
        fill(0, size, value);
    }

    @Override
    void copy(Tensor other) {
        CpuTensor from = (CpuTensor) other;
        if (array != null) from.read(array);
        else if (from.array != null) write(from.array);
        else {
            for (int first = 0; first < size; first += CpuEngine.TILE) {
                int count = Math.min(CpuEngine.TILE, size - first);
                from.read(first, count, engine.tile);
                write(first, count, engine.tile);
            }
        }
    }

    @Override
    void addTimes(Tensor other, float factor) {
        CpuTensor by = (CpuTensor) other;
        if (array != null && by.array != null) {
            add(array, by.array, factor, size);
            return;
        }
        for (int first = 0; first < size; first += CpuEngine.TILE) {
            int count = Math.min(CpuEngine.TILE, size - first);
            float[] x = borrow(first, count, engine.tile), y = by.borrow(first, count, engine.otherTile);
            add(x, y, factor, count);
            giveBack(first, count, x);
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
