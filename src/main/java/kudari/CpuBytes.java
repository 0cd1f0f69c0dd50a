package kudari;

import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.Optional;

/** A tensor of bytes, over an array. */
final class CpuBytes extends CpuTensor {

    /** All of its elements. */
    final byte[] bytes;

    CpuBytes(CpuEngine engine, ByteBuffer elements, long[] shape) {
        super(engine, Dtype.U8, elements, shape);
        bytes = elements.array();
    }

    @Override
    Optional<Tensor> again() {
        return Optional.of(new CpuBytes(engine, ByteBuffer.wrap(bytes), shape()));
    }

    @Override
    void read(int first, int end, float[] into) {
        for (int i = first; i < end; i++) into[i - first] = bytes[i] & 0xff;
    }

    @Override
    void write(int first, int end, float[] values) {
        for (int i = first; i < end; i++) bytes[i] = Dtype.toU8(values[i - first]);
    }

    @Override
    void fill(int first, int end, float value) {
        Arrays.fill(bytes, first, end, Dtype.toU8(value));
    }

    @Override
    void copySame(CpuTensor other) {
        System.arraycopy(((CpuBytes) other).bytes, 0, bytes, 0, bytes.length);
    }

    @Override
    void touch() {
        // An array stays.
    }
}
