package kudari;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.atomic.AtomicIntegerArray;
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

    /** Elements per piece of work: small enough to share out evenly and to stay in a core's cache, large enough to be worth fetching. */
    static final int CHUNK = 16_384;

    /** From so many elements a step uses all threads; below, waking them costs more than they save. */
    static final int PARALLEL_FROM = 1 << 17;

    private static final int MOST_THREADS = 1024;

    private final Workers workers;

    CpuEngine(int threads) {
        if (threads < 1 || threads > MOST_THREADS) {
            throw new IllegalArgumentException("threads: expected from 1 to " + MOST_THREADS + ", got " + threads);
        }
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
        if (size > Tensor.LARGEST_ARRAY) {
            throw new IllegalArgumentException("shape " + Arrays.toString(shape) + ": " + size
                    + " elements, but a tensor on the CPU has at most " + Tensor.LARGEST_ARRAY);
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
    void discard(Tensor tensor) {
        // The garbage collector's.
    }

    @Override
    void prepare(Class<? extends Rule> kind) {
        // The rule's own loop is the kernel.
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
        return new CpuTable(chunks.toArray(new Chunk[0]), shares(elements));
    }

    /** How many threads share a step over so many elements. */
    int shares(long elements) {
        return elements < PARALLEL_FROM ? 1 : threads();
    }

    @Override
    void apply(Rule rule, float[] scalars, Table table) {
        CpuTable work = (CpuTable) table;
        work.begin(rule, scalars);
        if (work.shares == 1) work.run(0);
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

    /**
     * The chunks of all tensors, in one share per thread, and how far each share has come in the current step. A thread begins with its own
     * share, the same in every step, for what it wrote last may still be in its cache; then it helps the others with theirs.
     */
    private static final class CpuTable implements Table, Workers.Job {

        /** The counters of two shares are so many ints apart, lest two threads write the same line of cache. */
        private static final int APART = 32;

        private final Chunk[] chunks;
        private final int shares;
        private final AtomicIntegerArray next;
        private Rule rule = Sgd.of();
        private float[] scalars = {};

        CpuTable(Chunk[] chunks, int shares) {
            this.chunks = chunks;
            this.shares = shares;
            this.next = new AtomicIntegerArray(shares * APART);
        }

        void begin(Rule rule, float[] scalars) {
            this.rule = rule;
            this.scalars = scalars;
            for (int share = 0; share < shares; share++) next.set(share * APART, start(share));
        }

        @Override
        public void free() {
            // The garbage collector's.
        }

        private int start(int share) {
            return (int) ((long) chunks.length * share / shares);
        }

        @Override
        public void run(int thread) {
            for (int n = 0; n < shares; n++) {
                int share = (thread + n) % shares, end = start(share + 1);
                for (int c = next.getAndIncrement(share * APART); c < end; c = next.getAndIncrement(share * APART)) {
                    Chunk chunk = chunks[c];
                    rule.apply(scalars, chunk.from, chunk.to, chunk.p, chunk.g, chunk.s);
                }
            }
        }
    }
}
