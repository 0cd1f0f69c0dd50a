package kudari;

import java.nio.ByteBuffer;

/**
 * The types of numbers. A {@link Tensor} of an engine is of {@link #F32}, {@link #BF16} or {@link #F16}, or of {@link #U8}, in which an optimizer keeps
 * {@linkplain StateFormat#BLOCKWISE_8BIT state}; the others are only found in safetensors files, whose names for them these are.
 *
 * <p>What is read from a file {@linkplain #get as floats} keeps its value in {@code BOOL} (0 or 1), {@code U8}, {@code I8}, {@code U16}, {@code I16},
 * {@code F16}, {@code BF16} and {@code F32}. {@code F64} and the integers of 32 and 64 bits are rounded to the nearest float. The types of 4, 6 and 8
 * bits that are no integers, and the complex numbers, have no floats.
 *
 * <p>A float is rounded to {@code BF16} and {@code F16} to the nearest number, of two equally near ones to that whose last bit is 0, and beyond the largest
 * to infinity; NaN stays NaN. What is widened and rounded is the same 16 bits again. To {@code U8} it is rounded to the nearest integer from 0 to 255, and NaN
 * to 0.
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
    /** IEEE 754's binary16, float16: numbers from 2⁻²⁴ to 65504, of 11 bits. */
    F16(16, FloatConversion.EXACT) {
        @Override
        float next(ByteBuffer bytes) {
            return Conversion.ofFloat16(bytes.getShort());
        }
    },
    /** The upper half of a float32, bfloat16: its range, of 8 bits. */
    BF16(16, FloatConversion.EXACT) {
        @Override
        float next(ByteBuffer bytes) {
            return Conversion.ofBfloat16(bytes.getShort());
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
    /** IEEE 754's binary32, float32, Java's float. */
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

    /** Whether a tensor of an engine can be of it: {@code F32}, {@code BF16}, {@code F16} and {@code U8}. */
    public boolean isOfTensors() {
        return this == F32 || is16() || this == U8;
    }

    /** Whether a parameter and its gradient can be of it: {@code F32}, {@code BF16} and {@code F16}. */
    boolean isOfParameters() {
        return this == F32 || is16();
    }

    /** Whether it is one of the two in which a tensor has 16 bits an element. */
    boolean is16() {
        return this == BF16 || this == F16;
    }

    /** The bytes of so many elements, of a type that has whole ones. */
    long bytes(long elements) {
        return elements * (bits / Byte.SIZE);
    }

    /**
     * Reads elements as floats.
     *
     * @param bytes from their position on, which moves behind what has been read; in the order of bytes that they say
     * @param into an array
     * @param at where the first is put
     * @param count how many
     * @throws IllegalArgumentException if this {@linkplain #hasFloats has no floats}
     */
    public void get(ByteBuffer bytes, float[] into, int at, int count) {
        if (!hasFloats()) throw new IllegalArgumentException("dtype " + this + ": is read as bytes only");
        if (!isOfParameters()) {
            for (int n = 0; n < count; n++) into[at + n] = next(bytes);
            return;
        }
        if (this == F32) bytes.asFloatBuffer().get(into, at, count);
        else Conversion.widen(this, bytes.asShortBuffer(), 0, into, at, count);
        bytes.position(bytes.position() + (int) bytes(count));
    }

    /**
     * Writes floats as elements.
     *
     * @param bytes from their position on, which moves behind what has been written; in the order of bytes that they say
     * @param from an array
     * @param at where the first is
     * @param count how many
     * @throws IllegalArgumentException if this {@linkplain #isOfTensors is of no tensors}
     */
    public void put(ByteBuffer bytes, float[] from, int at, int count) {
        checkOfTensors();
        if (this == U8) {
            for (int n = 0; n < count; n++) bytes.put(toU8(from[at + n]));
            return;
        }
        if (this == F32) bytes.asFloatBuffer().put(from, at, count);
        else Conversion.round(this, from, at, bytes.asShortBuffer(), 0, count);
        bytes.position(bytes.position() + (int) bytes(count));
    }

    /** Throws if no tensor of an engine can be of it. */
    Dtype checkOfTensors() {
        if (!isOfTensors()) throw new IllegalArgumentException("dtype: expected F32, BF16, F16 or U8, got " + this);
        return this;
    }

    /** The integer from 0 to 255 nearest to x, as a byte. */
    static byte toU8(float x) {
        return (byte) Math.max(0, Math.min(Math.rint(x), 255));
    }

    /** The next element, as a float. */
    float next(ByteBuffer bytes) {
        throw new AssertionError(this + " has no floats"); // the reader has checked
    }
}
