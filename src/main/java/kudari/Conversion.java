package kudari;

import static java.lang.Float.floatToRawIntBits;
import static java.lang.Float.intBitsToFloat;
import static java.lang.Math.max;

import java.nio.ShortBuffer;

/**
 * float32 to and from the 16-bit types. {@code kernels/conversion.cuh} has the same functions, in integers and exact sums only, so that both engines make
 * the same bits of every input, a NaN among them.
 *
 * <p>Rounding is to nearest, ties to even, and beyond the largest number to infinity. Of a NaN's payload the upper bits stay, as in NumPy, so that 16 bits
 * that are widened and rounded are the same 16 bits, whichever they are.
 */
final class Conversion {

    private Conversion() {}

    /** The upper half of x after something has been added to its bits, from 0 to 0xffff; in the lower 16 bits. */
    private static int upperHalf(float x, int added) {
        int bits = floatToRawIntBits(x);
        // A sum carries into the exponent where it must. That of a NaN, told by its bits, which is faster, would carry
        // it to infinity or to zero.
        return (bits & 0x7fffffff) > 0x7f800000 ? bits >> 16 | ((bits & 0x7f0000) == 0 ? 1 : 0) : (bits + added) >> 16;
    }

    /** The bfloat16 nearest to x, in the lower 16 bits. */
    static int toBfloat16(float x) {
        return upperHalf(x, 0x7fff + (floatToRawIntBits(x) >> 16 & 1));
    }

    /**
     * One of the two bfloat16 between which x lies, the one away from zero with the probability that makes x the mean; x itself where it is one.
     *
     * @param random 16 random bits
     */
    static int stochastic(float x, int random) {
        return upperHalf(x, random);
    }

    /** The bfloat16 nearest to x, of two equally near ones the farther from zero, in the lower 16 bits. */
    static int toBfloat16Away(float x) {
        return upperHalf(x, 0x8000);
    }

    /** What is then left of x, in the lower 16 bits; 0 of a NaN. */
    static int remainder(float x) {
        int bits = floatToRawIntBits(x);
        return (bits & 0x7fffffff) > 0x7f800000 ? 0 : bits & 0xffff;
    }

    /** x again, but for the payload of a NaN. */
    static float joined(int bits, int remainder) {
        return intBitsToFloat((bits << 16) + (short) remainder);
    }

    /** The floats of which the upper halves are of bfloat16, and the remainders in a tensor of that type, both widened. */
    static float[] joined(float[] upper, float[] remainders) {
        float[] joined = new float[upper.length];
        for (int i = 0; i < joined.length; i++)
            joined[i] = joined(floatToRawIntBits(upper[i]) >>> 16, floatToRawIntBits(remainders[i]) >>> 16);
        return joined;
    }

    /** The float16 nearest to x, in the lower 16 bits. */
    static int toFloat16(float x) {
        int bits = floatToRawIntBits(x), m = bits & 0x7fffffff, half;
        if (m >= 0x47800000) { // 2¹⁶ and above
            half = 0x7c00 | (x == x ? 0 : max(m >> 13 & 0x3ff, 1));
        } else if (m < 0x38800000) { // below 2⁻¹⁴: the last bit of a sum with ½ is 2⁻²⁴, as float16's there
            half = floatToRawIntBits(intBitsToFloat(m) + 0.5f) - 0x3f000000;
        } else {
            half = (m - 0x38000000 + 0xfff + (m >> 13 & 1)) >> 13;
        }
        return half | bits >> 16 & 0x8000;
    }

    /** The value of a bfloat16, in the lower 16 bits. */
    static float ofBfloat16(int bits) {
        return intBitsToFloat(bits << 16);
    }

    /** The value of a float16, in the lower 16 bits. */
    static float ofFloat16(int bits) {
        int m = bits & 0x7fff;
        // Below 2⁻¹⁴ a multiple of 2⁻²⁴; above, the exponent is moved, and that of infinity and NaN to the last.
        float x = m < 0x400 ? m * 0x1p-24f : intBitsToFloat((m << 13) + (m < 0x7c00 ? 0x38000000 : 0x70000000));
        return intBitsToFloat(floatToRawIntBits(x) | (bits & 0x8000) << 16);
    }

    /**
     * Rounds some floats to bfloat16 stochastically.
     *
     * @param floats the first at {@code at}
     * @param elements from {@code from} on, whatever the buffer's position
     * @param key of the tensor, as of {@link Philox#key}
     * @param first the index in the tensor of the first
     * @param random this thread's
     */
    static void stochastic(
            float[] floats,
            int at,
            ShortBuffer elements,
            int from,
            int count,
            long key,
            long step,
            long first,
            Philox random) {
        for (int i = 0; i < count; ) {
            // From the element that begins its block, which may lie before the first of these.
            int before = (int) ((first + i) % Philox.ELEMENTS);
            int n = Math.min(Philox.BLOCKS * Philox.ELEMENTS - before, count - i);
            int blocks = (before + n + Philox.ELEMENTS - 1) / Philox.ELEMENTS;
            int[] bits = random.bits(key, step, (first + i) / Philox.ELEMENTS, blocks);
            for (int end = i + n, bit = before; i < end; i++, bit++)
                elements.put(from + i, (short) stochastic(floats[at + i], bits[bit]));
        }
    }

    private static float of(boolean brain, int bits) {
        return brain ? ofBfloat16(bits) : ofFloat16(bits);
    }

    private static short to(boolean brain, float x) {
        return (short) (brain ? toBfloat16(x) : toFloat16(x));
    }

    /** A number as 16 bits of a type. */
    static short round(Dtype dtype, float x) {
        return to(dtype == Dtype.BF16, x);
    }

    /** Some elements of a 16-bit type, the first at {@code from}, as floats at the beginning of an array or from {@code at} on. */
    static void widen(Dtype dtype, short[] elements, int from, float[] into, int at, int count) {
        boolean brain = dtype == Dtype.BF16;
        for (int i = 0; i < count; i++) into[at + i] = of(brain, elements[from + i]);
    }

    /** The same from a buffer, whatever its position. */
    static void widen(Dtype dtype, ShortBuffer elements, int from, float[] into, int at, int count) {
        if (elements.hasArray()) {
            widen(dtype, elements.array(), elements.arrayOffset() + from, into, at, count);
            return;
        }
        boolean brain = dtype == Dtype.BF16;
        for (int i = 0; i < count; i++) into[at + i] = of(brain, elements.get(from + i));
    }

    /** Some floats, the first at {@code at}, as elements of a 16-bit type from {@code from} on. */
    static void round(Dtype dtype, float[] floats, int at, short[] elements, int from, int count) {
        boolean brain = dtype == Dtype.BF16;
        for (int i = 0; i < count; i++) elements[from + i] = to(brain, floats[at + i]);
    }

    /** The same to a buffer, whatever its position. */
    static void round(Dtype dtype, float[] floats, int at, ShortBuffer elements, int from, int count) {
        if (elements.hasArray()) {
            round(dtype, floats, at, elements.array(), elements.arrayOffset() + from, count);
            return;
        }
        boolean brain = dtype == Dtype.BF16;
        for (int i = 0; i < count; i++) elements.put(from + i, to(brain, floats[at + i]));
    }
}
