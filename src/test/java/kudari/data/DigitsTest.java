package kudari.data;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Arrays;
import java.util.HashSet;
import java.util.Set;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

class DigitsTest {

    private static final long SEED = 6;

    @Test
    void theSameSeedGivesTheSameImages() {
        assertSame(Digits.train(300, SEED), Digits.train(300, SEED));
        assertSame(Digits.test(300, SEED), Digits.test(300, SEED));
    }

    @Test
    void aSmallerSetIsTheBeginningOfALargerOne() {
        Dataset large = Digits.train(300, SEED);
        for (int n : new int[] {0, 1, 2, 299}) assertSame(large.head(n), Digits.train(n, SEED));
    }

    @Test
    void noImageComesTwice() {
        Set<Integer> seen = new HashSet<>();
        for (Dataset set : new Dataset[] {
            Digits.train(1000, SEED), Digits.test(1000, SEED), Digits.train(1000, SEED + 1), Digits.test(1000, SEED + 1)
        }) {
            float[] x = pixels(set);
            for (int i = 0; i < set.size(); i++) {
                float[] image = Arrays.copyOfRange(x, i * set.features(), (i + 1) * set.features());
                seen.add(Arrays.hashCode(image));
            }
        }
        // 4,000 different images share a hash of 32 bits 4000²/2³³ = 0.002 times.
        assertEquals(4000, seen.size(), "seed " + SEED);
    }

    /** 6 standard deviations of the binomial. */
    @Test
    void theClassesHaveEqualChances() {
        int n = 5000;
        int[] counts = new int[10];
        for (int label : labels(Digits.train(n, SEED))) counts[label]++;
        for (int count : counts) assertEquals(n * 0.1, count, 6 * Math.sqrt(n * 0.1 * 0.9), "seed " + SEED);
    }

    @Test
    void everyImageHasSomeInkAndMostlyBlankPaper() {
        Dataset set = Digits.train(1000, SEED);
        assertEquals(28, set.rows());
        assertEquals(28, set.columns());
        assertEquals(10, set.classes());
        float[] x = pixels(set);
        for (int i = 0; i < set.size(); i++) {
            int inked = 0;
            for (int f = 0; f < set.features(); f++) if (x[i * set.features() + f] > 0.3) inked++;
            // The shortest stroke is some 17·0.9 pixels long; ink on half of the paper would be a blot.
            assertTrue(inked >= 10 && inked < set.features() / 2, "seed " + SEED + ", image " + i + ": " + inked);
        }
    }

    /** The labels say what the images show: the nearest of 3,000 training images mostly has the right one. Guessing gets a tenth. */
    @Test
    void imagesOfADigitLookAlike() {
        Dataset train = Digits.train(3000, SEED), test = Digits.test(200, SEED);
        float[] from = pixels(train), to = pixels(test);
        long right = IntStream.range(0, test.size())
                .parallel()
                .filter(i -> train.label(nearest(from, to, i, train.features())) == test.label(i))
                .count();
        assertTrue(right >= 0.8 * test.size(), "seed " + SEED + ": " + right + " of " + test.size());
    }

    @Test
    void aSeedChangesTheImages() {
        assertNotEquals(
                Arrays.hashCode(pixels(Digits.train(1, SEED))), Arrays.hashCode(pixels(Digits.train(1, SEED + 1))));
    }

    @Test
    void anImpossibleCountIsNamed() {
        for (int n : new int[] {-1, Integer.MAX_VALUE}) {
            String message = assertThrows(IllegalArgumentException.class, () -> Digits.train(n, SEED))
                    .getMessage();
            assertEquals("n: expected 0 to 2739137, got " + n, message); // (2³¹ − 1) / 784
        }
    }

    private static int nearest(float[] from, float[] to, int i, int features) {
        int best = -1;
        float least = Float.MAX_VALUE;
        for (int j = 0; j < from.length / features; j++) {
            float sum = 0;
            for (int f = 0; f < features; f++) {
                float difference = from[j * features + f] - to[i * features + f];
                sum += difference * difference;
            }
            if (sum < least) {
                least = sum;
                best = j;
            }
        }
        return best;
    }

    private static void assertSame(Dataset a, Dataset b) {
        assertArrayEquals(labels(a), labels(b), "seed " + SEED);
        assertArrayEquals(pixels(a), pixels(b), "seed " + SEED);
    }

    private static float[] pixels(Dataset set) {
        float[] x = new float[set.size() * set.features()];
        set.gather(IntStream.range(0, set.size()).toArray(), set.size(), x, new int[set.size()]);
        return x;
    }

    private static int[] labels(Dataset set) {
        return IntStream.range(0, set.size()).map(set::label).toArray();
    }
}
