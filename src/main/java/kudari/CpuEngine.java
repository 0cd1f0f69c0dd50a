package kudari;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import kudari.rule.Rule;
import kudari.rule.Sgd;

/**
 * The CPU engine: tensors are Java arrays, a step is the rule's own loop. It defines what is right; every other engine must equal it bit
 * for bit.
 *
 * <p>This class is the one place where the arrays show: {@link #wrap} makes a tensor of an array that is already there, {@link #array} gives
 * the array of a tensor, so that a training loop can compute its gradients where the optimizer reads them.
 */
public final class CpuEngine extends Engine {

    /** The most elements one tensor can have here: what one Java array holds. */
    static final int MAX_ELEMENTS = Integer.MAX_VALUE - 8;

    /** Elements per piece of work: small enough to share out evenly and to stay in a core's cache, large enough to be worth fetching. */
    static final int CHUNK = 16_384;

    /** From so many elements a step uses all threads; below, waking them costs more than they save. */
    static final int PARALLEL_FROM = 1 << 17;

    private final Workers workers;

    CpuEngine(int threads) {
        if (threads < 1) throw new IllegalArgumentException("threads: expected at least 1, got " + threads);
        workers = new Workers(threads);
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
     */
    public Tensor wrap(float[] values, long... shape) {
        check();
        long[] extents = shape.length == 0 ? new long[] {values.length} : shape;
        if (Tensor.size(extents) != values.length) {
            throw new IllegalArgumentException("shape " + Arrays.toString(extents) + ": expected "
                    + Tensor.size(extents) + " values, got " + values.length);
        }
        return new CpuTensor(this, values, extents);
    }

    /**
     * The array in which a tensor of this engine lives, not a copy.
     *
     * @throws IllegalArgumentException if the tensor is another engine's
     */
    public float[] array(Tensor tensor) {
        check();
        if (tensor.engine != this)
            throw new IllegalArgumentException(tensor + ": expected a tensor of this engine, " + this);
        return ((CpuTensor) tensor).values;
    }

    @Override
    Tensor allocate(long[] shape) {
        long size = Tensor.size(shape);
        if (size > MAX_ELEMENTS) {
            throw new IllegalArgumentException("shape " + Arrays.toString(shape) + ": " + size
                    + " elements, but a tensor on the CPU has at most " + MAX_ELEMENTS);
        }
        try {
            return new CpuTensor(this, new float[(int) size], shape);
        } catch (OutOfMemoryError e) {
            OutOfMemoryError error = new OutOfMemoryError(
                    "shape " + Arrays.toString(shape) + ": " + 4 * size + " bytes do not fit the Java heap of at most "
                            + Runtime.getRuntime().maxMemory() + "; start java with a larger -Xmx");
            error.initCause(e);
            throw error;
        }
    }

    @Override
    Table table(Tensor[] params, Tensor[] grads, Tensor[][] state) {
        List<Chunk> chunks = new ArrayList<>();
        long elements = 0;
        for (int n = 0; n < params.length; n++) {
            float[] p = array(params[n]), g = array(grads[n]);
            float[][] s = new float[state[n].length][];
            for (int a = 0; a < s.length; a++) s[a] = array(state[n][a]);
            for (long from = 0; from < p.length; from += CHUNK) {
                chunks.add(new Chunk(p, g, s, (int) from, (int) Math.min(from + CHUNK, p.length)));
            }
            elements += p.length;
        }
        return new CpuTable(chunks.toArray(new Chunk[0]), elements);
    }

    @Override
    void apply(Rule rule, float[] scalars, Table table) {
        CpuTable work = (CpuTable) table;
        work.begin(rule, scalars);
        if (work.elements < PARALLEL_FROM) work.run();
        else workers.run(work);
    }

    @Override
    void free() {
        workers.close();
    }

    /** The engine and its threads, as in {@code CPU (2 threads)}. */
    @Override
    public String toString() {
        return threads() == 1 ? "CPU (1 thread)" : "CPU (" + threads() + " threads)";
    }

    /** A piece of one tensor: elements {@code from} to {@code to} of its parameter, gradient and state. */
    private record Chunk(float[] p, float[] g, float[][] s, int from, int to) {}

    /** The chunks of all tensors, and how far the current step has come. Threads take the next chunk until none is left. */
    private static final class CpuTable implements Table, Runnable {

        private final Chunk[] chunks;
        private final long elements;
        private final AtomicInteger next = new AtomicInteger();
        private Rule rule = Sgd.of();
        private float[] scalars = {};

        CpuTable(Chunk[] chunks, long elements) {
            this.chunks = chunks;
            this.elements = elements;
        }

        void begin(Rule rule, float[] scalars) {
            this.rule = rule;
            this.scalars = scalars;
            next.set(0);
        }

        @Override
        public void run() {
            for (int n = next.getAndIncrement(); n < chunks.length; n = next.getAndIncrement()) {
                Chunk chunk = chunks[n];
                rule.apply(scalars, chunk.from, chunk.to, chunk.p, chunk.g, chunk.s);
            }
        }
    }
}
