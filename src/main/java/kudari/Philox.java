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
 * <p>Eight elements share a block of 128 bits, 16 each: the lower half of its first word, the upper half, the lower half of the second, and so on.
 */
final class Philox {

    /** Elements of a block, and words. */
    static final int ELEMENTS = 8, WORDS = 4;

    private static final long M0 = 0xD2511F53L, M1 = 0xCD9E8D57L, UNSIGNED = 0xffffffffL;
    private static final int W0 = 0x9E3779B9, W1 = 0xBB67AE85;

    private Philox() {}

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

    /**
     * The words of a block.
     *
     * @param block the number of its first element, divided by 8
     * @param words becomes its four words
     */
    static void block(long key, long step, long block, int[] words) {
        int x0 = (int) block, x1 = (int) (block >>> 32), x2 = (int) step, x3 = (int) (step >>> 32);
        int k0 = (int) key, k1 = (int) (key >>> 32);
        for (int round = 0; round < 10; round++) {
            long a = M0 * (x0 & UNSIGNED), b = M1 * (x2 & UNSIGNED);
            x0 = (int) (b >>> 32) ^ x1 ^ k0;
            x1 = (int) b;
            x2 = (int) (a >>> 32) ^ x3 ^ k1;
            x3 = (int) a;
            k0 += W0;
            k1 += W1;
        }
        words[0] = x0;
        words[1] = x1;
        words[2] = x2;
        words[3] = x3;
    }

    /** The 16 bits of an element, from 0 to 7, of a block. */
    static int bits(int[] words, int element) {
        return words[element / 2] >>> 16 * (element % 2) & 0xffff;
    }
}
