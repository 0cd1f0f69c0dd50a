package kudari.data;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.SplittableRandom;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class SeedsTest {

    /** The JDK's SplittableRandom is SplitMix64 too, written by its authors; it must draw each number before it reaches the next. */
    @ParameterizedTest(name = "seed {0}")
    @ValueSource(longs = {0, 1, -1, 42, Long.MAX_VALUE, Long.MIN_VALUE})
    void theNthSeedIsTheNthNumberOfSplitMix64(long seed) {
        SplittableRandom random = new SplittableRandom(seed);
        for (int n = 0; n < 1000; n++) assertEquals(random.nextLong(), Seeds.nth(seed, n));
    }
}
