package kudari;

import java.util.Optional;
import jcuda.Pointer;
import jcuda.driver.CUdeviceptr;

/** A tensor in the memory of a CUDA device. */
final class CudaTensor extends Tensor {

    /** Where it begins; null, for the device, if it has no elements. */
    final CUdeviceptr pointer;

    final long address;

    private final CudaEngine engine;

    /** Whether the memory is the engine's, and goes with the tensor. */
    private final boolean owned;

    CudaTensor(CudaEngine engine, CUdeviceptr pointer, boolean owned, Dtype dtype, long[] shape) {
        super(engine, dtype, shape);
        this.engine = engine;
        this.owned = owned;
        this.pointer = pointer;
        this.address = JCudaAddress.of(pointer);
    }

    @Override
    AsyncRead newAsyncRead() {
        return new CudaAsyncRead(engine, this);
    }

    @Override
    void free() {
        if (owned) engine.discard(pointer);
    }

    @Override
    Optional<Tensor> again() {
        return owned ? Optional.empty() : Optional.of(new CudaTensor(engine, pointer, false, dtype(), shape()));
    }

    @Override
    void read(float[] into) {
        if (dtype() == Dtype.F32) {
            engine.toHost(Pointer.to(into), this);
            return;
        }
        if (dtype() == Dtype.U8) {
            byte[] bytes = new byte[into.length];
            engine.toHost(Pointer.to(bytes), this);
            for (int i = 0; i < into.length; i++) into[i] = bytes[i] & 0xff;
            return;
        }
        short[] elements = new short[into.length];
        engine.toHost(Pointer.to(elements), this);
        Conversion.widen(dtype(), elements, 0, into, 0, into.length);
    }

    @Override
    void write(float[] values) {
        int width = (int) dtype().bytes(1);
        engine.toDevice(
                pointer,
                values.length,
                width,
                (from, into) -> {
                    int count = into.remaining() / width;
                    if (dtype() == Dtype.F32) into.asFloatBuffer().put(values, from, count);
                    else if (dtype() == Dtype.U8)
                        for (int i = 0; i < count; i++) into.put(i, Dtype.toU8(values[from + i]));
                    else {
                        short[] elements = new short[count];
                        Conversion.round(dtype(), values, from, elements, 0, count);
                        into.asShortBuffer().put(elements);
                    }
                },
                "cuMemcpyHtoDAsync to a tensor");
    }

    @Override
    void fill(float value) {
        engine.fill(this, value);
    }

    @Override
    void copy(Tensor other) {
        engine.copy(this, (CudaTensor) other);
    }

    @Override
    void addTimes(Tensor other, float factor) {
        engine.add(this, (CudaTensor) other, factor);
    }

    @Override
    Object memory() {
        return engine;
    }

    @Override
    long from() {
        return address;
    }
}
