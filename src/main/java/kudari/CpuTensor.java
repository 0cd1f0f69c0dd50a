package kudari;

import java.util.Arrays;

/** A tensor that is a Java array. */
final class CpuTensor extends Tensor {

    final float[] values;

    CpuTensor(CpuEngine engine, float[] values, long[] shape) {
        super(engine, shape);
        this.values = values;
    }

    @Override
    AsyncRead newAsyncRead() {
        return new CpuAsyncRead(this);
    }

    @Override
    void free() {
        // The garbage collector's.
    }

    @Override
    void read(float[] into) {
        System.arraycopy(values, 0, into, 0, values.length);
    }

    @Override
    void write(float[] from) {
        System.arraycopy(from, 0, values, 0, values.length);
    }

    @Override
    void fill(float value) {
        Arrays.fill(values, value);
    }

    @Override
    void copy(Tensor other) {
        write(((CpuTensor) other).values);
    }

    @Override
    void addTimes(Tensor other, float factor) {
        float[] x = values, y = ((CpuTensor) other).values;
        for (int i = 0; i < x.length; i++) x[i] += factor * y[i];
    }

    @Override
    Object memory() {
        return values;
    }

    @Override
    long from() {
        return 0;
    }
}
