package kudari;

import java.nio.FloatBuffer;
import java.util.Arrays;
import java.util.Optional;

/** A tensor of float32. */
final class CpuFloats extends CpuTensor {

    /** From its first element to its last. */
    private final FloatBuffer elements;

    CpuFloats(CpuEngine engine, FloatBuffer elements, long[] shape) {
        super(engine, Dtype.F32, elements, shape);
        this.elements = elements;
    }

    /** Memory in the heap, or somebody else's, is there as long as anybody asks for it. */
    @Override
    Optional<Tensor> again() {
        return Optional.of(new CpuFloats(engine, elements, shape()));
    }

    @Override
    void read(int first, int end, float[] into) {
        elements.get(first, into, 0, end - first);
    }

    @Override
    void write(int first, int end, float[] values) {
        elements.put(first, values, 0, end - first);
    }

    @Override
    void fill(int first, int end, float value) {
        if (elements.hasArray()) {
            int offset = elements.arrayOffset();
            Arrays.fill(elements.array(), offset + first, offset + end, value);
        } else {
            for (int i = first; i < end; i++) elements.put(i, value);
        }
    }

    @Override
    void copySame(CpuTensor other) {
        elements.put(0, ((CpuFloats) other).elements, 0, elements.capacity());
    }

    @Override
    void touch() {
        elements.get(0);
    }
}
