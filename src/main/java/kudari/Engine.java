package kudari;

import java.lang.System.Logger.Level;
import java.lang.ref.Cleaner;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import java.util.function.Consumer;
import java.util.function.Supplier;
import kudari.rule.Rule;

/**
 * Where optimizers run: owns memory, makes tensors and optimizers, and applies rules. Closing it frees everything it made that is not closed yet.
 *
 * <p>An engine belongs to the thread that opened it. Every call from another thread, and every call after {@link #close}, throws {@link
 * IllegalStateException}. A thread's current CUDA context is after every call what it was before.
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

    /** Sees to what is left of engines that nobody has closed and nobody can reach any more. */
    static final Cleaner CLEANER = Cleaner.create();

    private final Thread owner = Thread.currentThread();
    private boolean closed;

    /** Calls under way, one within another, as where a listener makes one. */
    private int calls;

    /** How many tensors have been closed: who keeps some looks again when it has changed. */
    private int closings;

    /** Made once, for a step makes nothing. */
    private final Runnable askOthers = () -> checkNotCapturing("this");

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

    /** A vector of float32 that holds a copy of these values. */
    public final Tensor tensor(float[] values) {
        return tensor(values, (long) values.length);
    }

    /**
     * A tensor of float32 that holds a copy of these values.
     *
     * @param values in row-major order
     * @param shape the extents, outermost first, whose product is the number of values; an empty array for a single number
     */
    public final Tensor tensor(float[] values, long... shape) {
        return tensor(values, Dtype.F32, shape);
    }

    /** A vector of a type that holds these values, rounded to it. */
    public final Tensor tensor(float[] values, Dtype dtype) {
        return tensor(values, dtype, (long) values.length);
    }

    /**
     * A tensor of a type that holds these values, rounded to it.
     *
     * @param values in row-major order
     * @param dtype {@code F32}, {@code BF16}, {@code F16} or {@code U8}
     * @param shape the extents, outermost first, whose product is the number of values; an empty array for a single number
     */
    public final Tensor tensor(float[] values, Dtype dtype, long... shape) {
        return call(() -> filled(zeros(dtype, shape), tensor -> tensor.set(values)));
    }

    /**
     * A tensor of zeros, of float32.
     *
     * @param shape the extents, outermost first; none for a single number
     */
    public final Tensor zeros(long... shape) {
        return zeros(Dtype.F32, shape);
    }

    /**
     * A tensor of zeros, of a type.
     *
     * @param dtype {@code F32}, {@code BF16}, {@code F16} or {@code U8}
     * @param shape the extents, outermost first; none for a single number
     * @throws IllegalArgumentException if it is another
     */
    public final Tensor zeros(Dtype dtype, long... shape) {
        dtype.checkOfTensors();
        return call(() -> allocate(dtype, shape));
    }

    /** A tensor of float32 in which every element is the same. */
    final Tensor full(float value, long... shape) {
        return value == 0 ? zeros(shape) : call(() -> filled(zeros(shape), tensor -> tensor.fill(value)));
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
        checkOpen();
        for (Group group : groups) Objects.requireNonNull(group, "group");
        return new Optimizer(this, List.of(groups));
    }

    /**
     * A loss scale that moves on this engine, to be given to optimizers by {@link Optimizer#lossScale}.
     *
     * @param scaling how it moves
     */
    public final LossScale lossScale(LossScaling scaling) {
        Objects.requireNonNull(scaling, "scaling");
        return call(() -> newLossScale(scaling));
    }

    abstract LossScale newLossScale(LossScaling scaling);

    /**
     * Begins a call: throws unless the engine is open and this is its thread, and makes its device's context current until {@link #leave}. Who calls this
     * finds their own context again afterwards.
     */
    final void enter() {
        checkOpen();
        turn(); // also within a call: another engine's may lie between
        calls++;
    }

    /** Ends a call. */
    final void leave() {
        calls--;
        turnBack();
    }

    /** Before a call throws: a graph under capture has a part of its work, or none. Gives back what it is given. */
    final RuntimeException failed(RuntimeException e) {
        recording().ifPresent(graph -> graph.failed(e));
        return e;
    }

    /** What a call gives. */
    final <T> T call(Supplier<T> body) {
        enter();
        try {
            return body.get();
        } catch (RuntimeException e) {
            throw failed(e);
        } finally {
            leave();
        }
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

    /**
     * Runs a body while the context of the engine's device is this thread's current one, as calls of CUDA of your own need it. On the CPU it just runs.
     */
    public final void inContext(Runnable body) {
        enter();
        try {
            body.run();
        } catch (RuntimeException e) {
            throw failed(e);
        } finally {
            leave();
        }
    }

    /**
     * Records work, to be done again and again by {@link Graph#launch}. On a device the body runs once, and what it asks of the device is written down
     * instead of done: a network's gradient, optimizers' updates, tensors' {@code zero}, {@code add} and {@code set(Tensor)}, kernels of your own, calls
     * of cuBLAS. It must have run once before, for what it compiles, allocates and lays out cannot be recorded; nor can a read, a copy of an array or a
     * wait. Nothing of it counts: an optimizer's steps are those of the launches. On the CPU nothing is recorded and nothing refused: the body runs at
     * each launch.
     *
     * @param body what a launch does
     * @return the graph, which is to be closed before the engine or with it
     * @throws IllegalStateException on a device, if the body asks for something that cannot be recorded, which the message names, or catches a failure
     *     of what it asks for, a capture is under way, or the engine works on the null stream; the engine is as it was then
     */
    public abstract Graph capture(Runnable body);

    /**
     * Whether work is being recorded: never on the CPU, whose graphs run their body.
     *
     * @throws IllegalStateException if somebody else is recording it
     */
    public final boolean isCapturing() {
        checkOpen();
        if (recording().isPresent()) return true;
        inContext(askOthers);
        return false;
    }

    /**
     * Has something of the host's done with each launch of the graph that is being captured: a check before it, a count after it.
     *
     * @param before where it throws, nothing is launched
     * @param after where it throws, the launch has been done all the same, and so is what else goes with it
     * @throws IllegalStateException if nothing is being captured
     */
    public final void onLaunch(Runnable before, Runnable after) {
        checkOpen();
        recording()
                .orElseThrow(
                        () -> new IllegalStateException("onLaunch: expected in the body of a capture, got outside"))
                .add(new CudaGraph.Part() {
                    @Override
                    public void before() {
                        before.run();
                    }

                    @Override
                    public void after() {
                        after.run();
                    }
                });
    }

    /** The graph under capture. */
    abstract Optional<CudaGraph> recording();

    /** Throws if the work asked for is being recorded, by us or by somebody else, and this cannot be. */
    abstract void checkNotCapturing(String what);

    /** Throws if a tensor is not of this engine, or is closed, or as {@link #checkOpen}. */
    final void checkOwn(Tensor tensor) {
        checkOpen();
        if (tensor.engine != this)
            throw new IllegalArgumentException(tensor + ": expected a tensor of this engine, " + this);
        tensor.checkOpen();
    }

    /** Changes whenever a tensor is closed. */
    final int closings() {
        return closings;
    }

    /** Closes what is part of this engine, in a call; nothing is left to close once the engine is closed, for that closes everything. */
    final void release(Runnable body) {
        if (closed) return;
        closings++;
        inContext(body);
    }

    abstract Tensor allocate(Dtype dtype, long[] shape);

    /** Frees tensors that are of no use any more, all of them even if some fail; the failure that made them useless is the one to report. */
    final void discard(List<Tensor> tensors, Throwable failure) {
        for (Tensor tensor : tensors) cleanUp(failure, tensor::close);
    }

    /** Cleans up after a failure, which stays the one to report, whatever becomes of this. */
    static void cleanUp(Throwable failure, Runnable body) {
        try {
            body.run();
        } catch (RuntimeException e) {
            failure.addSuppressed(e);
        }
    }

    /**
     * What does the steps of an optimizer.
     *
     * @param rules of each group that is not frozen, one of its kind
     * @param averaged of each whether an average follows its parameters, in an array behind the rule's
     * @param guard which leaves out steps with gradients that are not finite, where there is a loss scale
     * @param zeroes whether a step leaves 0 in the gradients
     */
    abstract Driver driver(
            Rule[] rules, boolean[] averaged, Guard guard, boolean zeroes, Optional<LossScale> lossScale);

    /** Makes the context of the engine's device current in this thread. */
    abstract void turn();

    /** Makes the context current that was before. */
    abstract void turnBack();

    /** Frees what is the engine's own. */
    abstract void free();

    /**
     * Frees everything the engine made. Closing twice does nothing. Once the thread that opened the engine has ended, any thread may close it.
     *
     * @throws IllegalStateException if this is not the thread that opened the engine, and that is alive; or in a call of the engine, as from a listener
     */
    @Override
    public final void close() {
        if (closed) return;
        if (owner.isAlive()) checkThread();
        if (calls > 0)
            throw new IllegalStateException(
                    this + ": closed from within one of its calls, by a listener or a schedule");
        closed = true;
        free();
    }
}
