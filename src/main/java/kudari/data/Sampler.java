package kudari.data;

import java.util.Random;

/**
 * Which samples make the gradient of each step: all of them (gradient descent), one at random (stochastic), or some (mini-batches).
 *
 * <p>A batch depends on the seed and on its position, the number of batches before it, and on nothing else; so the position is all that a
 * checkpoint must hold, and {@link #seek} goes to any place at once. Chance is {@link Random}'s, whose algorithm is specified: a seed
 * gives the same batches on every JVM. For one thread at a time.
 */
public final class Sampler {

    private final int[] indices;
    private final Draw draw;
    private long position;

    private Sampler(int batch, Draw draw) {
        this.indices = new int[batch];
        this.draw = draw;
    }

    /**
     * All samples, in order, every time.
     *
     * @param n the number of samples, at least 1
     */
    public static Sampler full(int n) {
        check("n", n);
        return new Sampler(n, (position, indices) -> {
            for (int i = 0; i < n; i++) indices[i] = i;
        });
    }

    /**
     * One sample at random.
     *
     * @param n the number of samples, at least 1
     */
    public static Sampler single(int n, long seed) {
        return random(n, 1, seed);
    }

    /**
     * A random batch with replacement: each of its places goes to any sample, with equal chances, so a sample may come twice.
     *
     * @param n the number of samples, at least 1
     * @param batch the number of indices in a batch, at least 1
     */
    public static Sampler random(int n, int batch, long seed) {
        check("n", n);
        check("batch", batch);
        Random random = new Random();
        return new Sampler(batch, (position, indices) -> {
            random.setSeed(Seeds.nth(seed, position));
            for (int i = 0; i < batch; i++) indices[i] = random.nextInt(n);
        });
    }

    /**
     * Shuffled epochs: one shuffle of all samples after another, without end, cut into batches of equal size. Every epoch holds every sample
     * exactly once. Where the batch does not divide n, an epoch's leftover begins the batch that the next epoch fills up: nothing is
     * dropped, but that one batch may hold a sample twice.
     *
     * @param n the number of samples, at least 1
     * @param batch the number of indices in a batch, at least 1; it may exceed n
     */
    public static Sampler epochs(int n, int batch, long seed) {
        check("n", n);
        check("batch", batch);
        return new Sampler(batch, new Epochs(n, seed));
    }

    /** The number of indices in a batch. */
    public int batch() {
        return indices.length;
    }

    /**
     * The next batch: {@link #batch} indices, each from 0 up to but not including n. The array is the sampler's own, and the next call
     * writes it anew.
     */
    public int[] next() {
        draw.fill(position, indices);
        position++;
        return indices;
    }

    /** The number of batches before the next one. */
    public long position() {
        return position;
    }

    /**
     * Goes to a position, forwards or back, as if exactly so many batches had been drawn.
     *
     * @throws IllegalArgumentException if it is negative
     */
    public void seek(long position) {
        if (position < 0) throw new IllegalArgumentException("position: expected at least 0, got " + position);
        this.position = position;
    }

    private static void check(String name, int actual) {
        if (actual < 1) throw new IllegalArgumentException(name + ": expected at least 1, got " + actual);
    }

    /** Fills in the batch at one position. */
    private interface Draw {
        void fill(long position, int[] indices);
    }

    /** Remembers the order of the one epoch that it drew from last. */
    private static final class Epochs implements Draw {

        private final int[] order;
        private final long seed;
        private final Random random = new Random();
        private long epoch = -1;

        Epochs(int n, long seed) {
            this.order = new int[n];
            this.seed = seed;
        }

        @Override
        public void fill(long position, int[] indices) {
            long start = Math.multiplyExact(position, (long) indices.length);
            for (int i = 0; i < indices.length; i++) {
                shuffle((start + i) / order.length);
                indices[i] = order[(int) ((start + i) % order.length)];
            }
        }

        private void shuffle(long epoch) {
            if (epoch == this.epoch) return;
            this.epoch = epoch;
            random.setSeed(Seeds.nth(seed, epoch));
            // Fisher and Yates, inside out: starts from nothing, so that the order is the epoch's alone.
            for (int i = 0; i < order.length; i++) {
                int j = random.nextInt(i + 1);
                order[i] = order[j];
                order[j] = i;
            }
        }
    }
}
