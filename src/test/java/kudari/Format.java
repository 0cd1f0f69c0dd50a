package kudari;

import static java.lang.Float.floatToRawIntBits;

import java.util.Arrays;
import java.util.function.IntPredicate;
import java.util.stream.IntStream;

/**
 * The 16-bit types as IEEE 754 defines such formats, in double and from their numbers of bits alone: nothing of {@link Conversion} is used.
 *
 * @param exponent bits
 * @param fraction bits
 */
record Format(Dtype dtype, int exponent, int fraction) {

    static final Format BF16 = new Format(Dtype.BF16, 8, 7), F16 = new Format(Dtype.F16, 5, 10);

    static Format[] values() {
        return new Format[] {BF16, F16};
    }

    static Format of(Dtype dtype) {
        return Arrays.stream(values())
                .filter(format -> format.dtype == dtype)
                .findFirst()
                .orElseThrow();
    }

    /** The bits of infinity: those of finite numbers are below, of NaN above. */
    int infinity() {
        return (1 << exponent) - 1 << fraction;
    }

    /** The value of a sign, an exponent and a fraction; where it is infinity, the number that would come after the largest. */
    double value(int bits) {
        int e = (bits & 0x7fff) >> fraction, f = bits & (1 << fraction) - 1, bias = (1 << exponent - 1) - 1;
        double whole = e == 0 ? f : (1 << fraction) + f; // a double, for which scalb does not overflow
        double magnitude = Math.scalb(whole, Math.max(e, 1) - bias - fraction);
        return (bits & 0x8000) == 0 ? magnitude : -magnitude;
    }

    /** The float of these bits: of a NaN the sign, and the fraction as the upper bits of the float's. */
    int widened(int bits) {
        int m = bits & 0x7fff, sign = (bits & 0x8000) << 16;
        if (m < infinity()) return floatToRawIntBits((float) value(bits));
        return sign | 0x7f800000 | (m - infinity()) << 23 - fraction;
    }

    /** The bits nearest to a float, found among all that there are; of a NaN the sign and the upper bits of the fraction, or 1 where those are 0. */
    int nearest(float x) {
        int sign = floatToRawIntBits(x) >>> 16 & 0x8000;
        if (x != x) return sign | infinity() | Math.max(1, (floatToRawIntBits(x) & 0x7fffff) >> 23 - fraction);
        double m = Math.abs((double) x);
        if (m > value(infinity())) return sign | infinity();
        int below = first(bits -> value(bits) > m) - 1;
        double middle = (value(below) + value(below + 1)) / 2;
        return sign | (m > middle || m == middle && below % 2 == 1 ? below + 1 : below);
    }

    /** The first of the numbers up to infinity, which grow with their bits, of which something is true that is true of all behind it. */
    private int first(IntPredicate isTrue) {
        int from = 0, to = infinity() + 1;
        while (from < to) {
            int middle = (from + to) / 2;
            if (isTrue.test(middle)) to = middle;
            else from = middle + 1;
        }
        return from;
    }

    /** Every number of the format and every middle of two neighbours, the floats beside each, both signs; infinity and some NaN. */
    float[] edges() {
        IntStream bits = IntStream.range(0, infinity()).flatMap(n -> {
            float number = (float) value(n), middle = (float) ((value(n) + value(n + 1)) / 2);
            return IntStream.of(
                    floatToRawIntBits(number),
                    floatToRawIntBits(Math.nextUp(number)),
                    floatToRawIntBits(Math.nextDown(middle)),
                    floatToRawIntBits(middle),
                    floatToRawIntBits(Math.nextUp(middle)));
        });
        IntStream others = IntStream.of(
                floatToRawIntBits(Float.MAX_VALUE),
                0x7f800000,
                0x7f800001,
                0x7f801fff,
                0x7f80ffff,
                0x7fa00000,
                0x7fc00000,
                0x7fc12345,
                0x7fff8000,
                0x7fffffff);
        int[] all = IntStream.concat(bits, others)
                .flatMap(n -> IntStream.of(n, n | 0x80000000))
                .toArray();
        return floats(all);
    }

    /** Floats by their bits. */
    static float[] floats(int... bits) {
        float[] floats = new float[bits.length];
        for (int i = 0; i < bits.length; i++) floats[i] = Float.intBitsToFloat(bits[i]);
        return floats;
    }

    /** All values of 16 bits. */
    static short[] all() {
        short[] all = new short[1 << 16];
        for (int n = 0; n < all.length; n++) all[n] = (short) n;
        return all;
    }

    @Override
    public String toString() {
        return dtype.name();
    }
}
