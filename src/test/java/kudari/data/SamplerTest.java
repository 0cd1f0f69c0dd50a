package kudari.data;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Arrays;
import java.util.function.LongFunction;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.Named;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

class SamplerTest {

    private static final long SEED = 20;

    /** Every kind of sampler, by its seed. */
    static Stream<Named<LongFunction<Sampler>>> samplers() {
        return Stream.of(
                Named.of("full(7)", seed -> Sampler.full(7)),
                Named.of("single(7)", seed -> Sampler.single(7, seed)),
                Named.of("random(7, 3)", seed -> Sampler.random(7, 3, seed)),
                Named.of("epochs(7, 3)", seed -> Sampler.epochs(7, 3, seed)),
                Named.of("epochs(6, 3)", seed -> Sampler.epochs(6, 3, seed)),
                Named.of("epochs(7, 20)", seed -> Sampler.epochs(7, 20, seed)),
                Named.of("epochs(1, 1)", seed -> Sampler.epochs(1, 1, seed)));
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("samplers")
    void theSameSeedGivesTheSameBatches(LongFunction<Sampler> make) {
        assertArrayEquals(draw(make.apply(SEED), 50), draw(make.apply(SEED), 50), "seed " + SEED);
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("samplers")
    void seekingReachesAnyBatchAtOnce(LongFunction<Sampler> make) {
        int[] whole = draw(make.apply(SEED), 20);
        Sampler sampler = make.apply(SEED);
        for (int position : new int[] {13, 2, 19, 0, 7, 7}) {
            sampler.seek(position);
            assertEquals(position, sampler.position());
            int from = position * sampler.batch();
            assertArrayEquals(Arrays.copyOfRange(whole, from, from + sampler.batch()), sampler.next(), "seed " + SEED);
            assertEquals(position + 1, sampler.position());
        }
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("samplers")
    void writingIntoABatchSpoilsNoLaterOne(LongFunction<Sampler> make) {
        Sampler sampler = make.apply(SEED), spoilt = make.apply(SEED);
        for (int n = 0; n < 20; n++) {
            assertArrayEquals(sampler.next(), spoilt.next());
            Arrays.fill(spoilt.next(), -1);
            spoilt.seek(n + 1);
        }
    }

    @ParameterizedTest(name = "n {0}")
    @ValueSource(ints = {1, 2, 100})
    void fullIsEverySampleInOrderEveryTime(int n) {
        int[] all = IntStream.range(0, n).toArray();
        Sampler sampler = Sampler.full(n);
        assertEquals(n, sampler.batch());
        assertArrayEquals(all, sampler.next());
        assertArrayEquals(all, sampler.next());
    }

    @ParameterizedTest(name = "n {0}, batch {1}")
    @CsvSource({"1, 1", "1, 3", "12, 4", "12, 5", "5, 12", "100, 7"})
    void everyEpochHoldsEverySampleOnce(int n, int batch) {
        Sampler sampler = Sampler.epochs(n, batch, SEED);
        assertEquals(batch, sampler.batch());
        int[] all = IntStream.range(0, n).toArray();
        int[] drawn = draw(sampler, 4 * n); // 4·batch epochs, to the last sample
        for (int epoch = 0; epoch < 4 * batch; epoch++) {
            int[] samples = Arrays.copyOfRange(drawn, epoch * n, (epoch + 1) * n);
            Arrays.sort(samples);
            assertArrayEquals(all, samples, "seed " + SEED + ", epoch " + epoch);
        }
    }

    @Test
    void everyEpochAndEverySeedHasItsOwnOrder() {
        int n = 100; // two orders of 100 agree once in 100! times
        int[] drawn = draw(Sampler.epochs(n, n, SEED), 2);
        int[] first = Arrays.copyOf(drawn, n), second = Arrays.copyOfRange(drawn, n, 2 * n);
        assertFalse(Arrays.equals(first, second), "seed " + SEED);
        assertFalse(Arrays.equals(first, Sampler.epochs(n, n, SEED + 1).next()), "seed " + SEED);
    }

    /** 6 standard deviations of the binomial: a fair sampler is beyond them twice in a billion times. */
    @ParameterizedTest(name = "seed {0}")
    @ValueSource(longs = {0, 1, 2, -1})
    void everySampleHasTheSameChanceInEveryPlace(long seed) {
        int n = 10, draws = 20_000;
        for (Sampler sampler :
                new Sampler[] {Sampler.single(n, seed), Sampler.random(n, 3, seed), Sampler.epochs(n, n, seed)}) {
            int[][] counts = new int[sampler.batch()][n];
            for (int d = 0; d < draws; d++) {
                int[] batch = sampler.next();
                for (int place = 0; place < batch.length; place++) counts[place][batch[place]]++;
            }
            double p = 1.0 / n, bound = 6 * Math.sqrt(draws * p * (1 - p));
            for (int[] place : counts) for (int count : place) assertEquals(draws * p, count, bound);
        }
    }

    /** Places a and b of a batch agree once in n times, and so do the same places of two batches in a row. */
    @Test
    void randomBatchesAreDrawnWithReplacementAndIndependently() {
        int n = 10, draws = 20_000;
        Sampler sampler = Sampler.random(n, 2, SEED);
        int within = 0, across = 0, before = -1;
        for (int d = 0; d < draws; d++) {
            int[] batch = sampler.next();
            if (batch[0] == batch[1]) within++;
            if (batch[0] == before) across++;
            before = batch[0];
        }
        double p = 1.0 / n, bound = 6 * Math.sqrt(draws * p * (1 - p));
        assertEquals(draws * p, within, bound, "seed " + SEED);
        assertEquals(draws * p, across, bound + 1, "seed " + SEED);
    }

    @Test
    void aSingleSampleIsARandomBatchOfOne() {
        assertArrayEquals(draw(Sampler.random(50, 1, SEED), 100), draw(Sampler.single(50, SEED), 100));
        assertTrue(Arrays.stream(draw(Sampler.single(1, SEED), 100)).allMatch(i -> i == 0));
    }

    @Test
    void badSizesAreNamed() {
        refuses("n: expected at least 1, got 0", () -> Sampler.full(0));
        refuses("n: expected at least 1, got -1", () -> Sampler.single(-1, SEED));
        refuses("n: expected at least 1, got 0", () -> Sampler.random(0, 1, SEED));
        refuses("batch: expected at least 1, got 0", () -> Sampler.random(1, 0, SEED));
        refuses("n: expected at least 1, got 0", () -> Sampler.epochs(0, 1, SEED));
        refuses("batch: expected at least 1, got -2", () -> Sampler.epochs(1, -2, SEED));
        refuses("position: expected at least 0, got -1", () -> Sampler.full(1).seek(-1));
    }

    /** So many batches, one after another. */
    private static int[] draw(Sampler sampler, int batches) {
        return IntStream.range(0, batches)
                .flatMap(n -> Arrays.stream(sampler.next().clone()))
                .toArray();
    }

    private static void refuses(String message, Executable action) {
        assertEquals(
                message, assertThrows(IllegalArgumentException.class, action).getMessage());
    }
}
