package kudari;

import java.util.Optional;
import jcuda.Pointer;
import jcuda.driver.CUdeviceptr;

/** A loss scale in the memory of a CUDA device: the struct {@code Loss} of {@link CudaDriver#LAYOUT}. */
final class CudaLossScale extends LossScale {

    /** Words: scale and overflowed, good, left, mover; and behind them what does not change. */
    private static final int STATE = 3, MOVER = 3, WORDS = 9;

    private final CudaEngine engine;

    /** All of it, and parts of it; the tensor is the scale. */
    private final CudaTensor all, state, mover, tensor;

    CudaLossScale(CudaEngine engine, LossScaling scaling) {
        super(engine, scaling);
        this.engine = engine;
        CUdeviceptr memory = engine.allocateBytes(WORDS * Long.BYTES, "a loss scale");
        all = words(memory, true, WORDS);
        state = words(memory, false, STATE);
        mover = words(memory.withByteOffset(MOVER * Long.BYTES), false, 1);
        tensor = new CudaTensor(engine, memory, false, Dtype.F32, new long[0]);
        try {
            toDevice(
                    all,
                    pair((float) scaling.initial(), 0),
                    0,
                    scaling.hysteresis(),
                    0,
                    scaling.interval(),
                    scaling.hysteresis(),
                    Double.doubleToRawLongBits(scaling.growth()),
                    Double.doubleToRawLongBits(scaling.backoff()),
                    pair((float) scaling.floor(), Float.floatToRawIntBits((float) scaling.ceiling())));
        } catch (CudaException e) {
            Engine.cleanUp(e, all::close);
            throw e;
        }
    }

    private void toDevice(CudaTensor to, long... words) {
        engine.toDevice(to.pointer, words, "a loss scale");
    }

    /** A tensor only in that it has a place and a length. */
    private CudaTensor words(CUdeviceptr at, boolean owned, int words) {
        return new CudaTensor(engine, at, owned, Dtype.F32, new long[] {words, 2});
    }

    private static long pair(float low, int high) {
        return Float.floatToRawIntBits(low) & 0xffff_ffffL | (long) high << Integer.SIZE;
    }

    @Override
    public Tensor tensor() {
        checkOpen();
        return tensor;
    }

    /** Where it is. */
    long address() {
        return all.address;
    }

    @Override
    State read() {
        long[] words = new long[STATE];
        engine.toHost(Pointer.to(words), state);
        return new State(Float.intBitsToFloat((int) words[0]), words[1], words[2], words[0] >>> Integer.SIZE != 0);
    }

    @Override
    void write(State now) {
        toDevice(state, pair(now.scale(), now.overflowed() ? 1 : 0), now.good(), now.left());
    }

    @Override
    void mover(Optional<Driver> driver) {
        toDevice(mover, driver.map(of -> ((CudaDriver) of).address()).orElse(0L));
    }

    @Override
    void free() {
        tensor.close();
        all.close();
    }
}
