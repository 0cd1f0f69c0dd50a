package kudari;

import static java.lang.Float.floatToRawIntBits;
import static java.lang.Float.intBitsToFloat;
import static java.lang.Math.max;

/**
 * Floats in 8 bits: of each block of 256 the largest magnitude, and of each element the number of one of 256 values, by which that is multiplied. {@code
 * kernels/step.cuh} has the same, and both engines make the same bytes.
 *
 * <p>The values are those of bitsandbytes' dynamic map, in ascending order: seven decades below 1, each cut evenly, into twice as many parts as the one
 * below it; 0; and 1. They are rounded once, from double; bitsandbytes' own are made in float32 and may differ in the last bit.
 *
 * @see <a href="https://arxiv.org/abs/2110.02861">T. Dettmers et al., "8-bit Optimizers via Block-wise Quantization", ICLR 2022, section 2.2</a>
 */
final class Blockwise {

    /** Elements of a block. */
    static final int BLOCK = 256;

    /** The bits of the smallest and of the largest magnitude that are told apart: below the one all is 0, above the other all is 1. */
    private static final int LEAST = floatToRawIntBits(0x1p-23f), MOST = floatToRawIntBits(1);

    /** Magnitudes of the same upper bits are in one bucket; so many have buckets of their own. */
    private static final int LOWER = 15, BUCKETS = (MOST - LEAST >> LOWER) + 1;

    /** Both signs; and from 0 up, in twice as many steps. */
    private static final Blockwise SIGNED = new Blockwise(true), UNSIGNED = new Blockwise(false);

    /** The value of each code. */
    private final float[] values = new float[256];

    /** What lies in the middle between a code's value and the next. */
    private final float[] middles = new float[256];

    /** The code of the smallest number of each bucket, those of negative numbers last: they are so narrow that the next code is the largest's, at most. */
    private final byte[] first = new byte[2 * BUCKETS];

    private Blockwise(boolean signed) {
        for (int code = 0; code < 256; code++) values[code] = value(code, signed);
        for (int code = 0; code < 255; code++) middles[code] = (values[code] + values[code + 1]) * 0.5f;
        middles[255] = Float.POSITIVE_INFINITY;
        for (int n = 0; n < BUCKETS; n++) {
            first[n] = (byte) middlesBelow(n == 0 ? 0 : intBitsToFloat(LEAST + (n << LOWER)));
            first[BUCKETS + n] = (byte) middlesBelow(
                    n == BUCKETS - 1 ? Float.NEGATIVE_INFINITY : -intBitsToFloat(LEAST + (n + 1 << LOWER) - 1));
        }
    }

    private int middlesBelow(float x) {
        int code = 0;
        while (x > middles[code]) code++;
        return code;
    }

    static Blockwise of(boolean signed) {
        return signed ? SIGNED : UNSIGNED;
    }

    /** How many blocks so many elements have. */
    static long blocks(long elements) {
        return (elements + BLOCK - 1) / BLOCK;
    }

    static float value(int code, boolean signed) {
        int zero = signed ? 127 : 0, rank = code > zero ? code - zero : zero - code;
        if (rank == 0) return 0;
        if (code == 255) return 1;
        int at = signed ? rank : rank + 1, decade = log2(at), parts = 1 << decade;
        double x = 0.1 + 0.9 * (at - parts + 0.5) / parts;
        for (int n = signed ? decade : decade - 1; n < 6; n++) x /= 10;
        return code > zero ? (float) x : (float) -x;
    }

    private static int log2(int x) {
        return 31 - Integer.numberOfLeadingZeros(x);
    }

    /** The code of the value nearest to x: the number of middles below it, and so of two equally near ones the smaller; 0 of NaN. */
    int code(float x) {
        if (x != x) return 0;
        int bits = floatToRawIntBits(x), magnitude = max(LEAST, Math.min(bits & 0x7fffffff, MOST));
        int code = first[(magnitude - LEAST >> LOWER) + (bits < 0 ? BUCKETS : 0)] & 0xff;
        // By the sign of a difference: a branch would be mispredicted every other time.
        return code == 255 ? code : code + (floatToRawIntBits(middles[code] - x) >>> 31);
    }

    /** The largest magnitude of some elements: the one that is kept of a block. NaN where it is infinite, too, for no other element could be told then. */
    static float largest(float[] x, int from, int to) {
        int largest = 0;
        for (int i = from; i < to; i++) largest = max(largest, floatToRawIntBits(x[i]) & 0x7fffffff);
        return intBitsToFloat(largest >= 0x7f800000 ? 0x7fc00000 : largest);
    }

    /** By what the elements of a block are multiplied for their codes; 0 where the largest is subnormal, for all of them count as 0 then. */
    static float inverse(float largest) {
        return largest >= Float.MIN_NORMAL ? 1 / largest : 0;
    }

    /** Elements {@code first} to {@code end} of a state array, the first of which begins a block, to the beginning of an array. */
    void read(byte[] codes, float[] absmax, int first, int end, float[] into) {
        for (int i = first; i < end; i++) into[i - first] = values[codes[i] & 0xff] * absmax[i / BLOCK];
    }

    /** The other way round. */
    void write(byte[] codes, float[] absmax, int first, int end, float[] from) {
        for (int block = first; block < end; block += BLOCK) {
            int last = Math.min(block + BLOCK, end);
            float largest = largest(from, block - first, last - first), inverse = inverse(largest);
            absmax[block / BLOCK] = largest;
            for (int i = block; i < last; i++) codes[i] = (byte) code(from[i - first] * inverse);
        }
    }
}
