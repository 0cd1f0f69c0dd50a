package kudari;

import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/**
 * What the loss is multiplied by before its gradient is taken, in an engine's memory, where it moves by itself as a {@link LossScaling} says. Made by
 * {@link Engine#lossScale}.
 *
 * <pre>{@code
 * LossScale scale = engine.lossScale(LossScaling.dynamic());
 * Optimizer adamw = engine.optimizer(AdamW.of(3e-4)).guard(Guard.clipNorm(1)).lossScale(scale);
 * for (...) {
 *     gradient.set(2, scale.tensor()).launch(…);      // a kernel of yours: the gradient of scale · loss, in float16
 *     adamw.update(params, grads);                    // divides by the scale, or leaves the step out, and moves the scale
 * }
 * }</pre>
 *
 * <p>The optimizers to which it is given divide gradients by it, before the guard clips, and leave out every step of theirs in which a gradient is not finite, or the
 * factor of one is no normal number of float32: parameters, state, averages and counts stay as they were. Their last update of an iteration moves the scale: the update of
 * <em>the optimizer that was given it last</em>, whose step counts as an overflow if it, or that of another optimizer since the scale last moved, was left out. So the others
 * are updated before it, and an optimizer that steps at other times has a loss scale of its own. On a device all of that happens in launches that a guard takes anyway, and nothing comes back.
 * {@link Optimizer#onSkip} tells late of steps left out, and an {@link Tensor#asyncRead} of {@link #tensor} of the scale.
 */
public abstract sealed class LossScale implements AutoCloseable permits CpuLossScale, CudaLossScale {

    /**
     * All that another loss scale needs to go on where one stands.
     *
     * @param scale the scale
     * @param good steps since the last overflow or growth
     * @param left overflows from now to the one that makes the scale smaller, that one included
     * @param overflowed whether an optimizer has left a step out since the scale last moved
     */
    public record State(float scale, long good, long left, boolean overflowed) {

        /** Checks that the numbers are in range. */
        public State {
            if (!(scale >= Float.MIN_NORMAL && scale <= Float.MAX_VALUE))
                throw new IllegalArgumentException("scale: expected a positive normal number of float32, got " + scale);
            if (good < 0) throw new IllegalArgumentException("good: expected from 0 steps up, got " + good);
            if (left < 1) throw new IllegalArgumentException("left: expected from 1 overflow up, got " + left);
        }
    }

    final Engine engine;
    final LossScaling scaling;

    /** The optimizers that have it, in the order in which they were given it. */
    private final List<Control> users = new ArrayList<>();

    private boolean closed;

    LossScale(Engine engine, LossScaling scaling) {
        this.engine = engine;
        this.scaling = scaling;
    }

    /** How it moves. */
    public final LossScaling scaling() {
        return scaling;
    }

    /** The scale where it is: a single number of float32, for the kernel of a loss to read. What is written there is the scale from then on. */
    public abstract Tensor tensor();

    /** The scale as it is now. Waits for the engine. */
    public final float value() {
        return state().scale;
    }

    /** All that it has counted. Waits for the engine. */
    public final State state() {
        checkOpen();
        return engine.call(this::read);
    }

    /** Goes on where another stood, held between floor and ceiling. */
    final void resume(State state) {
        checkOpen();
        float scale = Math.max((float) scaling.floor(), Math.min(state.scale, (float) scaling.ceiling()));
        write(new State(scale, state.good, state.left, state.overflowed));
    }

    /** Takes one more optimizer, whose updates move it from now on. */
    final void join(Engine engine, Control user) {
        if (engine != this.engine)
            throw new IllegalArgumentException("lossScale: expected one of this optimizer's engine, " + engine
                    + ", got one of " + this.engine + ", another engine");
        checkOpen();
        engine.checkNotCapturing("giving an optimizer a loss scale");
        mover(Optional.empty());
        users.add(user);
    }

    /** An optimizer has got its driver. */
    final void drive(Control user, Driver driver) {
        if (users.get(users.size() - 1) == user) mover(Optional.of(driver));
    }

    /** An optimizer is no more. */
    final void leave(Control user) {
        boolean last = users.get(users.size() - 1) == user;
        users.remove(user);
        if (last && !closed)
            mover(
                    users.isEmpty()
                            ? Optional.empty()
                            : users.get(users.size() - 1).driver());
    }

    /** What it stands at, in a call of the engine. */
    abstract State read();

    abstract void write(State state);

    /** Has the steps of a driver move it, or of none. */
    abstract void mover(Optional<Driver> driver);

    /** Gives its memory back. */
    abstract void free();

    final void checkOpen() {
        engine.checkOpen();
        if (closed)
            throw new IllegalStateException("the loss scale is closed; close it after the optimizers that have it");
    }

    /** Gives its memory back; optimizers that have it can step no more. Waits for the engine. Closing twice does nothing. */
    @Override
    public final void close() {
        if (closed) return;
        engine.release(this::free);
        closed = true;
    }

    /** As in {@code loss scale on CPU (2 threads)}. */
    @Override
    public final String toString() {
        return "loss scale on " + engine;
    }
}
