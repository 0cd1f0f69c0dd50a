package kudari;

import java.util.Arrays;
import java.util.Objects;
import java.util.Optional;
import kudari.rule.Rule;

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
    static final int PARALLEL_FROM = 1 << 16;

    /** More threads than this are refused. */
    public static final int MOST_THREADS = 1024;

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
        checkOpen();
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
        checkOwn(tensor);
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
    Driver driver(Rule[] rules, Guard guard, boolean zeroes) {
        return new CpuDriver(this, rules, guard, zeroes);
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
        workers.close();
    }

    /** The engine and its threads, as in {@code CPU (2 threads)}. */
    @Override
    public String toString() {
        return threads() == 1 ? "CPU (1 thread)" : "CPU (" + threads() + " threads)";
    }
}
