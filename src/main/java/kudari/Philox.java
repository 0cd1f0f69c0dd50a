package kudari;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.nio.ByteBuffer;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;

/**
 * The random bits of stochastic rounding, by Philox4x32-10 (J. K. Salmon and others, "Parallel random numbers: as easy as 1, 2, 3", SC 2011), a function of
 * a counter and a key. Those of an element depend on the seed, its tensor's name, the step and its index in the tensor, and on nothing else: not on groups,
 * chunks, threads, shards or the engine. {@code kernels/conversion.cuh} has the same function.
 *
 * <p>Eight elements share a block of 128 bits, 16 each: the lower half of its first word, the upper half, the lower half of the second, and so on. The
 * counter is the number of the block and the step, the lower word of each first; the key is the tensor's.
 *
 * <p>Each thread has an object of its own, for it holds what it works out.
 */
final class Philox {

    /** Elements of a block. */
    static final int ELEMENTS = 8;

    /** Blocks that are worked out at a time, round by round, for so the compiler vectorises them. */
    static final int BLOCKS = 64;

    private static final long M0 = 0xD2511F53L, M1 = 0xCD9E8D57L, W0 = 0x9E3779B9L, W1 = 0xBB67AE85L;
    private static final long WORD = 0xffffffffL;

    /** The words of the blocks. */
    private final long[] x0 = new long[BLOCKS], x1 = new long[BLOCKS], x2 = new long[BLOCKS], x3 = new long[BLOCKS];

    private final int[] bits = new int[BLOCKS * ELEMENTS];

    /** The key of a tensor: the first 8 bytes, big-endian, of the SHA-256 of the seed's 8, big-endian, and of its name in UTF-8. */
    static long key(long seed, String name) {
        try {
            MessageDigest sha = MessageDigest.getInstance("SHA-256");
            sha.update(ByteBuffer.allocate(Long.BYTES).putLong(0, seed));
            return ByteBuffer.wrap(sha.digest(name.getBytes(UTF_8))).getLong();
        } catch (NoSuchAlgorithmException e) {
            throw new AssertionError(e); // every Java has it
        }
    }

    /** The key of one of a tensor's state arrays, by its number. */
    static long key(long tensor, int array) {
        return tensor + (array + 1) * 0x9E3779B97F4A7C15L;
    }

    /**
     * The bits of the elements from {@code 8 · first} on.
     *
     * @param key of the tensor
     * @param first block
     * @param blocks how many, at most {@link #BLOCKS}
     * @return from 0 to 65535 for each element, in an array that the next call writes anew
     */
    int[] bits(long key, long step, long first, int blocks) {
        for (int j = 0; j < blocks; j++) {
            x0[j] = first + j & WORD;
            x1[j] = first + j >>> 32;
            x2[j] = step & WORD;
            x3[j] = step >>> 32;
        }
        long k0 = key & WORD, k1 = key >>> 32;
        for (int round = 0; round < 10; round++) {
            round(x0, x1, x2, x3, k0, k1, blocks);
            k0 = k0 + W0 & WORD;
            k1 = k1 + W1 & WORD;
        }
        for (int j = 0, i = 0; j < blocks; j++, i += ELEMENTS) {
            split(x0[j], i);
            split(x1[j], i + 2);
            split(x2[j], i + 4);
            split(x3[j], i + 6);
        }
        return bits;
    }

    private static void round(long[] x0, long[] x1, long[] x2, long[] x3, long k0, long k1, int blocks) {
        for (int j = 0; j < blocks; j++) {
            long a = M0 * x0[j], b = M1 * x2[j];
            x0[j] = b >>> 32 ^ x1[j] ^ k0;
            x1[j] = b & WORD;
            x2[j] = a >>> 32 ^ x3[j] ^ k1;
            x3[j] = a & WORD;
        }
    }

    private void split(long word, int i) {
        bits[i] = (int) word & 0xffff;
        bits[i + 1] = (int) (word >>> 16);
    }
}
