package kudari;

import static java.lang.Float.floatToRawIntBits;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.lang.invoke.MethodHandle;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.MethodType;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.HexFormat;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;

/** float32 to and from 16 bits, against the definition of the formats and against others. */
class ConversionTest {

    /**
     * By hand, from 1 + f/1024 or 1 + f/128 times a power of two. 0.1f is 1.6·2⁻⁴: 0.6 · 1024 = 614.4 and 0.6 · 128 = 76.8. π is 1.5707964·2: 584.5 and 73.06, the first a hair below
     * its middle. 65520 is the middle of 65504, the largest of float16, and 65536, and goes to the even. 2⁻²⁵ is the middle of 0 and the smallest.
     */
    @ParameterizedTest
    @CsvSource({
        "1, 3c00, 3f80",
        "-2.5, c100, c020",
        "0.1, 2e66, 3dcd",
        "3.1415927, 4248, 4049",
        "0.33333334, 3555, 3eab",
        "65504, 7bff, 4780",
        "65519.996, 7bff, 4780",
        "65520, 7c00, 4780",
        "-1e9, fc00, ce6e",
        "3.4028235e38, 7c00, 7f80",
        "6.1035156e-5, 0400, 3880",
        "5.9604645e-8, 0001, 3380",
        "2.9802322e-8, 0000, 3300",
        "2.9802326e-8, 0001, 3300",
        "-1e-45, 8000, 8000",
        "-0.0, 8000, 8000",
        "Infinity, 7c00, 7f80"
    })
    void numbersByHand(float x, String float16, String bfloat16) {
        assertEquals(float16, String.format("%04x", Conversion.round(Dtype.F16, x)));
        assertEquals(bfloat16, String.format("%04x", Conversion.round(Dtype.BF16, x)));
    }

    /** NumPy 2.4.6: {@code numpy.array([0x7f800001], 'u4').view('f4').astype('f2').view('u2')}. */
    @ParameterizedTest
    @CsvSource({
        "7f800001, 7c01",
        "7f801fff, 7c01",
        "7f802000, 7c01",
        "7fa00000, 7d00",
        "7fc12345, 7e09",
        "ffffffff, ffff"
    })
    void ofANanNumPyKeepsTheSameBits(String float32, String float16) {
        float nan = Float.intBitsToFloat(Integer.parseUnsignedInt(float32, 16));
        assertEquals(float16, String.format("%04x", Conversion.round(Dtype.F16, nan)));
    }

    @ParameterizedTest
    @MethodSource("kudari.Format#values")
    void everyValueOf16BitsIsWidenedAsTheFormatSaysAndRoundedToItself(Format format) {
        short[] all = Format.all(), back = new short[all.length];
        float[] floats = new float[all.length];
        Conversion.widen(format.dtype(), all, 0, floats, 0, all.length);
        Conversion.round(format.dtype(), floats, 0, back, 0, all.length);
        for (int n = 0; n < all.length; n++) {
            assertEquals(format.widened(n), floatToRawIntBits(floats[n]), Integer.toHexString(n));
            assertEquals(all[n], back[n]);
        }
    }

    @ParameterizedTest
    @MethodSource("kudari.Format#values")
    void everyEdgeIsRoundedToTheNearestAndToEvenInTheMiddle(Format format) {
        float[] edges = format.edges();
        short[] rounded = new short[edges.length];
        Conversion.round(format.dtype(), edges, 0, rounded, 0, edges.length);
        for (int i = 0; i < edges.length; i++) assertRounded(format, edges[i], rounded[i]);
    }

    @ParameterizedTest
    @MethodSource("kudari.Format#values")
    void anyBitsAreRoundedToTheNearest(Format format) {
        Random random = new Random(11);
        for (int n = 0; n < 1_000_000; n++) {
            float x = Float.intBitsToFloat(random.nextInt());
            assertRounded(format, x, Conversion.round(format.dtype(), x));
        }
    }

    private static void assertRounded(Format format, float x, short rounded) {
        int expected = format.nearest(x);
        if ((short) expected != rounded) // a message for each would take longer than the test
        assertEquals(
                    Integer.toHexString(expected),
                    Integer.toHexString(rounded & 0xffff),
                    x + ", " + Integer.toHexString(floatToRawIntBits(x)));
    }

    /** Of a file, say, whose order of bytes need not be the machine's. */
    @ParameterizedTest
    @CsvSource({"BF16, 3f80c0207fc0", "F16, 3c00c1007e00", "F32, 3f800000c02000007fc00000"})
    void elementsAreReadFromBytesAndWrittenInTheirOrder(Dtype dtype, String hex) {
        byte[] big = HexFormat.of().parseHex("ee" + hex + "ee");
        float[] floats = new float[4];
        ByteBuffer bytes = ByteBuffer.wrap(big).position(1);
        dtype.get(bytes, floats, 1, 3);
        assertArrayEquals(new float[] {0, 1, -2.5f, Float.NaN}, floats);
        assertEquals(big.length - 1, bytes.position());
        ByteBuffer copy =
                ByteBuffer.allocateDirect(big.length).put(0, (byte) 0xee).position(1);
        dtype.put(copy, floats, 1, 3);
        copy.put((byte) 0xee);
        assertEquals(ByteBuffer.wrap(big), copy.flip());

        ByteBuffer little = ByteBuffer.allocate(big.length).order(ByteOrder.LITTLE_ENDIAN);
        dtype.put(little, floats, 1, 3);
        assertEquals(hex.substring(2, 4), String.format("%02x", little.get(dtype.bits() / 8 - 2)));
        assertThrows(IllegalArgumentException.class, () -> Dtype.I8.put(little, floats, 0, 1));
        assertThrows(IllegalArgumentException.class, () -> Dtype.F8_E4M3.get(little, floats, 0, 1));
    }

    /** Java's own, which came with Java 20; of a NaN it keeps other bits. */
    @Test
    void float16IsJavas() throws Throwable {
        assumeTrue(Runtime.version().feature() >= 20, "Float.floatToFloat16 came with Java 20");
        MethodHandle theirs = MethodHandles.lookup()
                .findStatic(Float.class, "floatToFloat16", MethodType.methodType(short.class, float.class));
        Random random = new Random(12);
        float[] edges = Format.F16.edges();
        for (int n = 0; n < 1_000_000; n++) {
            float x = n < edges.length ? edges[n] : Float.intBitsToFloat(0x30000000 + random.nextInt(0x18000000));
            if (x == x) assertEquals((short) theirs.invokeExact(x), Conversion.round(Dtype.F16, x), "" + x);
        }
    }
}
