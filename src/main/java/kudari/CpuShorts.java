package kudari;

import java.nio.ShortBuffer;
import java.util.Optional;

/** A tensor of a 16-bit type, each element in a short. */
final class CpuShorts extends CpuTensor {

    /** From its first element to its last. */
    private final ShortBuffer elements;

    CpuShorts(CpuEngine engine, Dtype dtype, ShortBuffer elements, long[] shape) {
        super(engine, dtype, elements, shape);
        this.elements = elements;
    }

    /** Memory in the heap, or somebody else's, is there as long as anybody asks for it. */
    @Override
    Optional<Tensor> again() {
        return Optional.of(new CpuShorts(engine, dtype(), elements, shape()));
    }

    @Override
    void read(int first, int end, float[] into) {
        Conversion.widen(dtype(), elements, first, into, 0, end - first);
    }

    @Override
    void write(int first, int end, float[] values) {
        Conversion.round(dtype(), values, 0, elements, first, end - first);
    }

    /** Copies the float32 values out of which the elements {@code first} to {@code end} are the upper half, to the beginning of an array. */
    void readJoined(int first, int end, CpuShorts remainder, float[] into) {
        for (int i = first; i < end; i++)
            into[i - first] = Conversion.joined(elements.get(i), remainder.elements.get(i));
    }

    /** Copies float32 values in, as the elements {@code first} to {@code end} and what is left of each. */
    void writeSplit(int first, int end, CpuShorts remainder, float[] values) {
        for (int i = first; i < end; i++) {
            elements.put(i, (short) Conversion.toBfloat16Away(values[i - first]));
            remainder.elements.put(i, (short) Conversion.remainder(values[i - first]));
        }
    }

    /** Copies the elements {@code first} to {@code end} in, rounded stochastically; {@link Conversion#stochastic}. */
    void writeStochastic(int first, int end, float[] values, long key, long step, Philox random) {
        Conversion.stochastic(values, 0, elements, first, end - first, key, step, first, random);
    }

    @Override
    void fill(int first, int end, float value) {
        short rounded = Conversion.round(dtype(), value);
        for (int i = first; i < end; i++) elements.put(i, rounded);
    }

    @Override
    void copySame(CpuTensor other) {
        elements.put(0, ((CpuShorts) other).elements, 0, elements.capacity());
    }

    @Override
    void touch() {
        elements.get(0);
    }
}
