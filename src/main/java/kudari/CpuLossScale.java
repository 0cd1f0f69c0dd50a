package kudari;

import static kudari.rule.Arithmetic.clamp;

import java.util.Optional;

/** A loss scale of the CPU. */
final class CpuLossScale extends LossScale {

    private final Tensor tensor;

    /** Of one number. */
    private final float[] scale;

    private final double growth, backoff;
    private final long interval, hysteresis;
    private final float floor, ceiling;
    private long good, left;
    private boolean overflowed;
    private Optional<Driver> mover = Optional.empty();

    CpuLossScale(CpuEngine engine, LossScaling scaling) {
        super(engine, scaling);
        growth = scaling.growth();
        backoff = scaling.backoff();
        interval = scaling.interval();
        hysteresis = scaling.hysteresis();
        floor = (float) scaling.floor();
        ceiling = (float) scaling.ceiling();
        tensor = engine.zeros();
        scale = engine.array(tensor);
        scale[0] = (float) scaling.initial();
        left = hysteresis;
    }

    @Override
    public Tensor tensor() {
        checkOpen();
        return tensor;
    }

    float scale() {
        return scale[0];
    }

    /**
     * A step of an optimizer has been decided.
     *
     * @param go whether it is done
     * @param driver whose it is
     */
    void decided(boolean go, Driver driver) {
        move(go, mover.isPresent() && mover.get() == driver);
    }

    /** {@code move} of {@code kernels/reduce.cu}. */
    private void move(boolean go, boolean moves) {
        if (!go) overflowed = true;
        if (!moves) return;
        boolean grows = !overflowed && good + 1 >= interval, shrinks = overflowed && left == 1;
        if (grows || shrinks) scale[0] = clamp((float) (scale[0] * (grows ? growth : backoff)), floor, ceiling);
        good = grows || overflowed ? 0 : good + 1;
        left = grows ? hysteresis : overflowed && !shrinks ? left - 1 : left;
        overflowed = false;
    }

    @Override
    State read() {
        return new State(scale[0], good, left, overflowed);
    }

    @Override
    void write(State state) {
        scale[0] = state.scale();
        good = state.good();
        left = state.left();
        overflowed = state.overflowed();
    }

    @Override
    void mover(Optional<Driver> driver) {
        mover = driver;
    }

    @Override
    void free() {
        tensor.close();
    }
}
