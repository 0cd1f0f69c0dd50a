package kudari.checkpoint;

import java.nio.ByteBuffer;

/**
 * The types that the elements of a tensor in a safetensors file have, by the names of the format.
 *
 * <p>What is read as {@link SafetensorsFile#floats floats} keeps its value in {@code BOOL} (0 or 1), {@code U8}, {@code I8}, {@code U16},
 * {@code I16}, {@code F16}, {@code BF16} and {@code F32}. {@code F64} and the integers of 32 and 64 bits are rounded to the nearest float. The
 * types of 4, 6 and 8 bits that are no integers, and the complex numbers, are read as {@link SafetensorsFile#bytes bytes} only.
 */
public enum Dtype {
    /** 4 bits. */
    F4(4, FloatConversion.NONE),
    /** 6 bits. */
    F6_E2M3(6, FloatConversion.NONE),
    /** 6 bits. */
    F6_E3M2(6, FloatConversion.NONE),
    /** A byte that is 0, or is not. */
    BOOL(8, FloatConversion.EXACT) {
        @Override
        float next(ByteBuffer bytes) {
            return bytes.get() == 0 ? 0 : 1;
        }
    },
    /** Unsigned, 8 bits. */
    U8(8, FloatConversion.EXACT) {
        @Override
        float next(ByteBuffer bytes) {
            return bytes.get() & 0xff;
        }
    },
    /** Two's complement, 8 bits. */
    I8(8, FloatConversion.EXACT) {
        @Override
        float next(ByteBuffer bytes) {
            return bytes.get();
        }
    },
    /** 8 bits, 5 of them the exponent's. */
    F8_E5M2(8, FloatConversion.NONE),
    /** 8 bits, 4 of them the exponent's. */
    F8_E4M3(8, FloatConversion.NONE),
    /** 8 bits, all of them the exponent's. */
    F8_E8M0(8, FloatConversion.NONE),
    /** As {@link #F8_E4M3}, with neither infinities nor a negative zero. */
    F8_E4M3FNUZ(8, FloatConversion.NONE),
    /** As {@link #F8_E5M2}, with neither infinities nor a negative zero. */
    F8_E5M2FNUZ(8, FloatConversion.NONE),
    /** Two's complement, 16 bits. */
    I16(16, FloatConversion.EXACT) {
        @Override
        float next(ByteBuffer bytes) {
            return bytes.getShort();
        }
    },
    /** Unsigned, 16 bits. */
    U16(16, FloatConversion.EXACT) {
        @Override
        float next(ByteBuffer bytes) {
            return bytes.getShort() & 0xffff;
        }
    },
    /** IEEE 754's binary16. */
    F16(16, FloatConversion.EXACT) {
        @Override
        float next(ByteBuffer bytes) {
            short half = bytes.getShort();
            int exponent = half >> 10 & 0x1f, fraction = half & 0x3ff;
            if (exponent == 0) { // a denormal, or zero
                float magnitude = fraction * 0x1p-24f;
                return half < 0 ? -magnitude : magnitude;
            }
            int ours = exponent == 0x1f ? 0xff : exponent - 15 + 127; // infinity and NaN stay what they are
            return Float.intBitsToFloat((half & 0x8000) << 16 | ours << 23 | fraction << 13);
        }
    },
    /** The upper half of a float. */
    BF16(16, FloatConversion.EXACT) {
        @Override
        float next(ByteBuffer bytes) {
            return Float.intBitsToFloat(bytes.getShort() << 16);
        }
    },
    /** Two's complement, 32 bits. */
    I32(32, FloatConversion.ROUNDED) {
        @Override
        float next(ByteBuffer bytes) {
            return bytes.getInt();
        }
    },
    /** Unsigned, 32 bits. */
    U32(32, FloatConversion.ROUNDED) {
        @Override
        float next(ByteBuffer bytes) {
            return bytes.getInt() & 0xffffffffL;
        }
    },
    /** IEEE 754's binary32, a float. */
    F32(32, FloatConversion.EXACT) {
        @Override
        float next(ByteBuffer bytes) {
            return Float.intBitsToFloat(bytes.getInt());
        }
    },
    /** Two floats, the real part and the imaginary. */
    C64(64, FloatConversion.NONE),
    /** IEEE 754's binary64, a double. */
    F64(64, FloatConversion.ROUNDED) {
        @Override
        float next(ByteBuffer bytes) {
            return (float) bytes.getDouble();
        }
    },
    /** Two's complement, 64 bits. */
    I64(64, FloatConversion.ROUNDED) {
        @Override
        float next(ByteBuffer bytes) {
            return bytes.getLong();
        }
    },
    /** Unsigned, 64 bits. */
    U64(64, FloatConversion.ROUNDED) {
        @Override
        float next(ByteBuffer bytes) {
            long n = bytes.getLong();
            // Of a number too large for a signed long, half: the lowest bit stays, so that it is rounded as the whole
            // is.
            return n >= 0 ? n : 2 * (float) (n >>> 1 | n & 1);
        }
    };

    /** What becomes of an element that is read as a float. */
    private enum FloatConversion {
        EXACT,
        ROUNDED,
        NONE
    }

    private final int bits;
    private final FloatConversion conversion;

    Dtype(int bits, FloatConversion conversion) {
        this.bits = bits;
        this.conversion = conversion;
    }

    /** The bits of one element. */
    public int bits() {
        return bits;
    }

    /** Whether the elements can be read as floats, exactly or rounded. */
    public boolean hasFloats() {
        return conversion != FloatConversion.NONE;
    }

    /** Whether every element is a float, so that reading them as floats changes no value. */
    public boolean isExact() {
        return conversion == FloatConversion.EXACT;
    }

    /** The next element, as a float. */
    float next(ByteBuffer bytes) {
        throw new AssertionError(this + " has no floats"); // the reader has checked
    }
}
