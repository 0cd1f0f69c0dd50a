package kudari;

import java.lang.System.Logger.Level;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import java.util.function.Consumer;
import kudari.rule.Rule;

/**
 * Where optimizers run: owns memory, makes tensors and optimizers, and applies rules. Closing it frees everything it made.
 *
 * <p>An engine belongs to the thread that opened it. Every call from another thread, and every call after {@link #close}, throws {@link
 * IllegalStateException}.
 *
 * <pre>{@code
 * try (Engine engine = Engine.open()) {
 *     Tensor param = engine.tensor(new float[] {-7, 2}), grad = engine.zeros(2);
 *     Optimizer adam = engine.optimizer(Adam.of(0.3));
 *     for (int step = 0; step < 30; step++) {
 *         float[] p = param.get();
 *         grad.set(p[0] / 10, 2 * p[1]);
 *         adam.update(param, grad);
 *     }
 * }
 * }</pre>
 */
public abstract sealed class Engine implements AutoCloseable permits CpuEngine, CudaEngine {

    private final Thread owner = Thread.currentThread();
    private boolean closed;

    Engine() {}

    /**
     * The best engine of this machine: the first CUDA device if there is one and its kernels can be compiled, else the CPU. It logs which it took, and
     * why, to the {@link System.Logger} of this class; {@link Diagnostics#cuda} says more.
     */
    public static Engine open() {
        return open(Runtime.getRuntime().availableProcessors());
    }

    /** The same, with so many threads if it is the CPU. */
    public static Engine open(int threads) {
        System.Logger log = System.getLogger(Engine.class.getName());
        try {
            Engine engine = cuda(0);
            log.log(Level.INFO, engine.toString());
            return engine;
        } catch (CudaException e) {
            Engine engine = cpu(threads);
            log.log(Level.INFO, engine + ", because " + e.getMessage());
            return engine;
        }
    }

    /** The CPU engine, on as many threads as the machine has processors. */
    public static CpuEngine cpu() {
        return cpu(Runtime.getRuntime().availableProcessors());
    }

    /**
     * The CPU engine on so many threads, the caller's among them. Results do not depend on the number.
     *
     * @throws IllegalArgumentException if there is not at least one
     */
    public static CpuEngine cpu(int threads) {
        return new CpuEngine(threads);
    }

    /**
     * The CUDA engine on one device; never the CPU instead.
     *
     * @param ordinal the device, counted from 0
     * @throws CudaException if there is no driver, no such device, no NVRTC to compile its kernels, or it cannot be used
     */
    public static CudaEngine cuda(int ordinal) {
        return CudaEngine.open(ordinal, Optional.empty());
    }

    /** A vector that holds a copy of these values. */
    public final Tensor tensor(float[] values) {
        return tensor(values, (long) values.length);
    }

    /**
     * A tensor that holds a copy of these values.
     *
     * @param values in row-major order
     * @param shape the extents, outermost first, whose product is the number of values; an empty array for a single number
     */
    public final Tensor tensor(float[] values, long... shape) {
        return filled(zeros(shape), tensor -> tensor.set(values));
    }

    /**
     * A tensor of zeros.
     *
     * @param shape the extents, outermost first; none for a single number
     */
    public final Tensor zeros(long... shape) {
        check();
        return allocate(shape);
    }

    /** A tensor in which every element is the same. */
    final Tensor full(float value, long... shape) {
        return value == 0 ? zeros(shape) : filled(zeros(shape), tensor -> tensor.fill(value));
    }

    /** The tensor, filled; or, if that fails, freed. */
    final <T extends Tensor> T filled(T tensor, Consumer<T> filling) {
        try {
            filling.accept(tensor);
            return tensor;
        } catch (RuntimeException e) {
            discard(List.of(tensor), e);
            throw e;
        }
    }

    /** An optimizer that follows one rule in all parameters. Its state is made as they are first seen, and lives on this engine. */
    public final Optimizer optimizer(Rule rule) {
        return optimizer(Schedule.of(rule));
    }

    /** An optimizer that follows a schedule of rules, all of one kind, in all parameters. */
    public final Optimizer optimizer(Schedule schedule) {
        return optimizer(Group.rest(schedule).orEmpty());
    }

    /**
     * An optimizer of groups: a parameter follows the first that takes it.
     *
     * @throws IllegalArgumentException if none of them has a rule
     * @throws IllegalStateException if a schedule gives no rule for step 1
     */
    public final Optimizer optimizer(Group... groups) {
        check();
        for (Group group : groups) Objects.requireNonNull(group, "group");
        return new Optimizer(this, List.of(groups));
    }

    /** Throws unless the engine is open and this is its thread; turns the thread to the engine's device. */
    final void check() {
        checkOpen();
        enter();
    }

    /** Throws unless the engine is open and this is its thread. */
    final void checkOpen() {
        if (closed) throw new IllegalStateException(this + " is closed");
        checkThread();
    }

    private void checkThread() {
        if (Thread.currentThread() != owner) {
            throw new IllegalStateException(
                    this + " belongs to thread '" + owner.getName() + "', which opened it; this is thread '"
                            + Thread.currentThread().getName() + "'");
        }
    }

    /** Throws if a tensor is not of this engine, or as {@link #check}. */
    final void checkOwn(Tensor tensor) {
        check();
        if (tensor.engine != this)
            throw new IllegalArgumentException(tensor + ": expected a tensor of this engine, " + this);
    }

    abstract Tensor allocate(long[] shape);

    /** Frees a tensor that no caller has seen. */
    abstract void discard(Tensor tensor);

    /** Frees tensors that no caller has seen, all of them even if some fail; the failure that made them useless is the one to report. */
    final void discard(List<Tensor> tensors, Throwable failure) {
        for (Tensor tensor : tensors) {
            try {
                discard(tensor);
            } catch (RuntimeException e) {
                failure.addSuppressed(e);
            }
        }
    }

    /**
     * What does the steps of an optimizer.
     *
     * @param rules of each group that is not frozen, one of its kind
     * @param zeroes whether a step leaves 0 in the gradients
     */
    abstract Driver driver(Rule[] rules, Guard guard, boolean zeroes);

    /** Turns the calling thread to the engine's device. */
    abstract void enter();

    /** Frees what is the engine's own. */
    abstract void free();

    /**
     * Frees everything the engine made. Closing twice does nothing.
     *
     * @throws IllegalStateException if this is not the thread that opened the engine
     */
    @Override
    public final void close() {
        if (closed) return;
        checkThread();
        closed = true;
        free();
    }
}
