package kudari;

import static java.lang.Float.floatToRawIntBits;
import static kudari.RulesTest.assertSameBits;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.nio.ShortBuffer;
import java.util.HashSet;
import java.util.Random;
import java.util.Set;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** The random bits of stochastic rounding and what it makes of them, in Java and in CUDA. */
class PhiloxTest {

    /** The words of a block: counter, then key, as in Random123's file, each word the lower or upper half of a long. */
    private static final String[] KNOWN = {
        "00000000 00000000 00000000 00000000 00000000 00000000 6627e8d5 e169c58d bc57ac4c 9b00dbd8",
        "ffffffff ffffffff ffffffff ffffffff ffffffff ffffffff 408f276d 41c83b0e a20bc7c6 6d5451fd",
        "243f6a88 85a308d3 13198a2e 03707344 a4093822 299f31d0 d16cfe09 94fdcceb 5001e420 24126ea1"
    };

    private static final int UP = 1 << 16;

    private static int[] words(String known) {
        return IntStream.range(0, 10)
                .map(n -> Integer.parseUnsignedInt(known.split(" ")[n], 16))
                .toArray();
    }

    private static long both(int low, int high) {
        return low & 0xffffffffL | (long) high << 32;
    }

    /** The words of a block. */
    private static int[] block(long key, long step, long block) {
        int[] bits = new Philox().bits(key, step, block, 1), words = new int[4];
        for (int n = 0; n < 4; n++) words[n] = bits[2 * n] | bits[2 * n + 1] << 16;
        return words;
    }

    /** The vectors of philox4x32 with 10 rounds in tests/kat_vectors of Random123, its authors' own library. */
    @Test
    void theWordsAreThoseOfTheKnownAnswers() {
        for (String known : KNOWN) {
            int[] w = words(known);
            assertArrayEquals(
                    new int[] {w[6], w[7], w[8], w[9]}, block(both(w[4], w[5]), both(w[2], w[3]), both(w[0], w[1])));
        }
    }

    @Test
    void theDeviceMakesTheSameWordsAndRoundsByThem() {
        assumeTrue(Engines.onCuda(), "kudari.device names no CUDA device");
        String text = """
                #include "step.cuh"
                extern "C" __global__ void words(u64 key, u64 step, u64 block, unsigned* into) {
                  RandomBits r = philox(key, step, block + threadIdx.x);
                  for (int n = 0; n < 4; n++) into[4 * threadIdx.x + n] = r.words[n];
                }
                extern "C" __global__ void rounds(u64 key, u64 step, const float* x, BF16* into) {
                  RandomBits r = philox(key, step, threadIdx.x);
                  #pragma unroll
                  for (int n = 0; n < 8; n++) into[8 * threadIdx.x + n].bits = stochastic(x[8 * threadIdx.x + n], r[n]);
                }
                """;
        try (CudaEngine cuda = (CudaEngine) Engines.open()) {
            CudaKernel words = cuda.kernel("philox.cu", text, "words");
            int blocks = 64;
            for (String known : KNOWN) {
                int[] w = words(known);
                long key = both(w[4], w[5]), step = both(w[2], w[3]), block = both(w[0], w[1]);
                Tensor into = cuda.zeros(4 * blocks);
                words.set(0, key).set(1, step).set(2, block).set(3, into).launch(1, blocks);
                float[] actual = into.get();
                for (int n = 0; n < blocks; n++) {
                    int[] expected = block(key, step, block + n);
                    for (int i = 0; i < 4; i++) assertEquals(expected[i], floatToRawIntBits(actual[4 * n + i]));
                }
            }
            float[] x = new float[8 * 256];
            Random random = new Random(3);
            for (int i = 0; i < x.length; i++) x[i] = Float.intBitsToFloat(random.nextInt());
            Tensor into = cuda.zeros(Dtype.BF16, x.length);
            long key = Philox.key(5, "W");
            cuda.kernel("philox.cu", text, "rounds")
                    .set(0, key)
                    .set(1, 7L)
                    .set(2, cuda.tensor(x))
                    .set(3, into)
                    .launch(1, x.length / 8);
            assertSameBits(rounded(x, key, 7, 0, x.length), into.get());
        }
    }

    /** Elements {@code from} to {@code to} of a tensor, rounded by themselves, as floats. */
    private static float[] rounded(float[] x, long key, long step, int from, int to) {
        short[] rounded = new short[to - from];
        Conversion.stochastic(x, from, ShortBuffer.wrap(rounded), 0, rounded.length, key, step, from, new Philox());
        float[] floats = new float[rounded.length];
        for (int i = 0; i < floats.length; i++) floats[i] = Float.intBitsToFloat(rounded[i] << 16);
        return floats;
    }

    /** However a tensor is cut, each element is rounded by its own bits. */
    @Test
    void whereATensorIsCutChangesNothing() {
        float[] x = new float[1000];
        Random random = new Random(4);
        for (int i = 0; i < x.length; i++) x[i] = random.nextFloat();
        long key = Philox.key(1, "layer/0/W");
        float[] whole = rounded(x, key, 12, 0, x.length);
        for (int[] cut : new int[][] {{0, 1}, {1, 8}, {7, 9}, {3, 997}, {8, 16}, {511, 513}, {999, 1000}, {500, 500}}) {
            float[] part = rounded(x, key, 12, cut[0], cut[1]);
            for (int i = cut[0]; i < cut[1]; i++) assertEquals(whole[i], part[i - cut[0]], "element " + i);
        }
        for (int i = 0; i < x.length; i++) {
            int bits = block(key, 12, i / 8)[i % 8 / 2] >>> (i % 2 == 0 ? 0 : 16) & 0xffff;
            assertEquals((floatToRawIntBits(x[i]) + bits) >>> 16, floatToRawIntBits(whole[i]) >>> 16);
        }
    }

    /** By {@code printf '\0\0\0\0\0\0\0\1W' | sha256sum} and the like. */
    @ParameterizedTest
    @CsvSource({"1, W, e71e5b53198eab4e", "-1, layer/0/W, 22aba0b942e7ce18", "0, 層, 07fc4fd0ec497fc3"})
    void theKeyIsTheBeginningOfASha256(long seed, String name, String key) {
        assertEquals(Long.parseUnsignedLong(key, 16), Philox.key(seed, name));
    }

    /** Over all that 16 bits can be, x is exactly the mean, and what is a bfloat16 stays one. */
    @ParameterizedTest
    @ValueSource(floats = {1, 1.00001f, -0.1f, 3.1415927f, 1e-38f, 1e-41f, -1.4e-45f, 0, 1.9999999f, 3.3e38f})
    void theMeanOverAllBitsIsTheNumber(float x) {
        double sum = 0;
        Set<Integer> values = new HashSet<>();
        for (int random = 0; random < UP; random++) {
            int rounded = Conversion.stochastic(x, random) & 0xffff;
            values.add(rounded);
            sum += Format.BF16.value(rounded);
        }
        assertEquals(x, sum / UP);
        assertEquals((floatToRawIntBits(x) & 0xffff) == 0 ? 1 : 2, values.size());
    }

    @Test
    void infinityAndNanStayWhatTheyAre() {
        for (int random : new int[] {0, 1, 0x8000, 0xffff}) {
            assertEquals(0x7f80, Conversion.stochastic(Float.POSITIVE_INFINITY, random));
            assertEquals((short) 0xff80, (short) Conversion.stochastic(Float.NEGATIVE_INFINITY, random));
            assertEquals((short) 0x8000, (short) Conversion.stochastic(-0.0f, random));
            for (int nan : new int[] {0x7f800001, 0x7fffffff, 0xff800001, 0xffffffff, 0x7fc00000}) {
                int bits = Conversion.stochastic(Float.intBitsToFloat(nan), random);
                assertTrue(Float.isNaN(Float.intBitsToFloat(bits << 16)), Integer.toHexString(nan));
            }
        }
    }

    /** Over 2¹⁶ steps, or tensors, or elements, a number 0.3 of the way up goes up so often, within 5 deviations of √(0.3·0.7/2¹⁶); and so does any bit. */
    @Test
    void theBitsAreFairOverStepsNamesAndElements() {
        float x = Float.intBitsToFloat(0x3f800000 + (int) (0.3 * UP));
        long key = Philox.key(9, "W");
        Philox random = new Philox();
        int[][] ups = new int[3][1], ones = new int[3][16];
        for (int n = 0; n < UP; n++) {
            long[][] of = {{key, n, 5}, {Philox.key(9, "W" + n), 5, 5}, {key, 5, n}};
            for (int way = 0; way < 3; way++) {
                int bits = random.bits(of[way][0], of[way][1], of[way][2] / 8, 1)[(int) (of[way][2] % 8)];
                if (Conversion.stochastic(x, bits) > 0x3f80) ups[way][0]++;
                for (int bit = 0; bit < 16; bit++) ones[way][bit] += bits >> bit & 1;
            }
        }
        for (int way = 0; way < 3; way++) {
            double p = (int) (0.3 * UP) / (double) UP;
            assertEquals(p, ups[way][0] / (double) UP, 5 * Math.sqrt(p * (1 - p) / UP));
            for (int bit = 0; bit < 16; bit++) assertEquals(0.5, ones[way][bit] / (double) UP, 5 * 0.5 / Math.sqrt(UP));
        }
    }
}
