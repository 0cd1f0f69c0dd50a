package kudari;

import static kudari.OptimizerTest.refused;
import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.stream.Stream;
import kudari.rule.Adam;
import kudari.rule.Momentum;
import kudari.rule.Sgd;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** Learning rates against numbers worked out by hand; binary fractions, so that they are exact. */
class LearningRateTest {

    private static final long FAR = 1L << 62;

    @Test
    void aConstantIsTheSameForEver() {
        follows(LearningRate.constant(0.3), 0.3, 0.3, 0.3);
        assertEquals(0.3, LearningRate.constant(0.3).at(FAR));
        double most = Float.MAX_VALUE * (1 + 0x1p-26); // rounds down to a float
        assertEquals(most, LearningRate.constant(most).at(1));
    }

    /** Three steps a stair: 0.75, then half, then a quarter of it. */
    @Test
    void stairsGoDownAfterSoManySteps() {
        LearningRate rate = LearningRate.step(0.75, 3, 0.5);
        follows(rate, 0.75, 0.75, 0.75, 0.375, 0.375, 0.375, 0.1875);
        assertEquals(0, rate.at(FAR), "0.5 to the power of 2^62 / 3 is 0 in double");
        assertEquals(0.75, LearningRate.step(0.75, 3, 1).at(FAR));
    }

    @Test
    void exponentialDecayIsAPowerOfTheStepsDone() {
        LearningRate rate = LearningRate.exponential(0.75, 0.5);
        follows(rate, 0.75, 0.375, 0.1875, 0.09375);
        assertEquals(0, rate.at(FAR));
        assertEquals(0.0729, LearningRate.exponential(0.1, 0.9).at(4), 2e-17);
    }

    /** From 1 to 0.5 in four steps: an eighth a step. */
    @Test
    void aLineFallsByTheSameEveryStep() {
        LearningRate rate = LearningRate.linear(1, 0.5, 4);
        follows(rate, 1, 0.875, 0.75, 0.625, 0.5, 0.5, 0.5);
        assertEquals(0.5, rate.at(FAR));
        follows(LearningRate.linear(0, 1, 4), 0, 0.25, 0.5, 0.75, 1, 1);
    }

    /** What is left is 1, 3/4, 1/2, 1/4, 0; its squares are 1, 9/16, 1/4, 1/16, 0; 0.25 and 0.5 times them make the rates. */
    @Test
    void aPolynomialIsAPowerOfWhatIsLeft() {
        LearningRate rate = LearningRate.polynomial(0.75, 0.25, 4, 2);
        follows(rate, 0.75, 0.25 + 0.5 * 9 / 16, 0.25 + 0.5 / 4, 0.25 + 0.5 / 16, 0.25, 0.25);
        assertEquals(0.25, rate.at(FAR));
        for (int t = 1; t < 7; t++) {
            assertEquals(
                    LearningRate.linear(1, 0.5, 4).at(t),
                    LearningRate.polynomial(1, 0.5, 4, 1).at(t),
                    "power 1 is the line");
        }
    }

    /** cos 0, 45°, 90°, 135°, 180° are 1, √½, 0, −√½, −1; one more and halved: 1, 0.8535533905932737…, 1/2, 0.1464466094067262…, 0. */
    @Test
    void aCosineIsHalfAWave() {
        LearningRate rate = LearningRate.cosine(1, 0, 4);
        double[] expected = {1, 0.85355339059327376, 0.5, 0.14644660940672624, 0, 0};
        for (int t = 1; t <= 6; t++) assertEquals(expected[t - 1], rate.at(t), 2e-16, "step " + t);
        assertEquals(0, rate.at(5), "0 and nothing near it");
        assertEquals(0, rate.at(FAR));
        assertEquals(0.3, LearningRate.cosine(0.7, 0.3, 7).at(8), "the end to the last bit");
        assertEquals(0.7, LearningRate.cosine(0.7, 0.3, 7).at(1), "the start to the last bit");
    }

    /**
     * From 1/4 up to 1 and down to 1/4 / 8 = 1/32, half of the eight steps each way. Half way up, in step 3, stands the mean of 1/4 and 1, half
     * way down, in step 7, that of 1 and 1/32; a quarter up, (1 − cos 45°) / 2 of the way: 0.25 + 0.75 · 0.14644660940672624.
     */
    @Test
    void oneCycleGoesUpAndFurtherDown() {
        LearningRate rate = LearningRate.oneCycle(1, 8, 0.5, 4, 8);
        double[] expected = {0.25, 0.35983495705504468, 0.625, 0, 1, 0, 33 / 64.0, 0, 1 / 32.0, 1 / 32.0};
        for (int t : new int[] {1, 2, 3, 5, 7, 9, 10}) assertEquals(expected[t - 1], rate.at(t), 2e-16, "step " + t);
        assertEquals(1, rate.at(5), "the top to the last bit");
        assertEquals(1 / 32.0, rate.at(FAR));
    }

    /** Three of ten steps to the top, 1/25 before them, 1/250,000 at the end: the defaults of PyTorch. */
    @Test
    void oneCycleHasTheDefaultsOfPyTorch() {
        LearningRate rate = LearningRate.oneCycle(1, 10);
        assertEquals(0.04, rate.at(1));
        assertEquals(1, rate.at(4));
        assertEquals(4e-6, rate.at(11), 1e-21);
    }

    /** Up to 1 in quarters; then 1 once more, where the rate itself begins. */
    @Test
    void aWarmUpEndsAtTheStartOfTheRate() {
        follows(LearningRate.constant(1).warmUp(4), 0.25, 0.5, 0.75, 1, 1, 1);
        follows(LearningRate.linear(1, 0.5, 4).warmUp(2), 0.5, 1, 1, 0.875, 0.75, 0.625, 0.5, 0.5);
        follows(LearningRate.constant(1).warmUp(1), 1, 1);
        follows(LearningRate.linear(1, 0.5, 4).warmUp(0), 1, 0.875);
        assertEquals(0.5, LearningRate.linear(1, 0.5, 4).warmUp(FAR - 1).at(FAR + 10));
        assertEquals(0.5, LearningRate.constant(1).warmUp(FAR).at(FAR / 2));
    }

    @Test
    void everyStepOfAnOptimizerHasItsRate() {
        try (Engine engine = Engines.open()) {
            Tensor p = engine.tensor(new float[] {8}), g = engine.tensor(new float[] {1});
            Optimizer sgd =
                    engine.optimizer(LearningRate.linear(1, 0.5, 4).warmUp(2).of(Sgd.of()));
            for (int t = 1; t <= 8; t++) sgd.update(p, g);
            assertEquals(8 - (0.5 + 1 + 1 + 0.875 + 0.75 + 0.625 + 0.5 + 0.5), p.get()[0]);
        }
        assertEquals(
                Adam.of(0.5), LearningRate.constant(1).warmUp(2).of(Adam.of()).rule(1));
        assertEquals(
                Momentum.of(0.5).momentum(0.95),
                LearningRate.constant(0.5).of(Momentum.of().momentum(0.95)).rule(1));
    }

    static Stream<Arguments> bad() {
        return Stream.of(
                bad(() -> LearningRate.constant(-1), "lr: expected a finite number from 0 up, got -1.0"),
                bad(() -> LearningRate.constant(Double.NaN), "lr", "NaN"),
                bad(() -> LearningRate.constant(1e39), "lr", "1.0E39"),
                bad(() -> LearningRate.step(-1, 1, 1), "lr", "-1.0"),
                bad(() -> LearningRate.step(1, 0, 1), "every: expected at least 1, got 0"),
                bad(() -> LearningRate.step(1, 1, 0), "factor: expected a number above 0, at most 1, got 0.0"),
                bad(() -> LearningRate.exponential(1, 1.5), "factor", "1.5"),
                bad(() -> LearningRate.exponential(1, Double.NaN), "factor", "NaN"),
                bad(() -> LearningRate.linear(Double.POSITIVE_INFINITY, 0, 1), "from", "Infinity"),
                bad(() -> LearningRate.linear(1, -1, 1), "to", "-1.0"),
                bad(() -> LearningRate.linear(1, 0, 0), "steps: expected at least 1, got 0"),
                bad(() -> LearningRate.polynomial(1, 0, 1, 0), "power: expected a positive, finite number, got 0.0"),
                bad(() -> LearningRate.polynomial(1, 0, 1, Double.POSITIVE_INFINITY), "power", "Infinity"),
                bad(() -> LearningRate.cosine(1, 0, -5), "steps", "-5"),
                bad(() -> LearningRate.cosine(1, Double.NaN, 5), "to", "NaN"),
                bad(() -> LearningRate.oneCycle(-1, 5), "max", "-1.0"),
                bad(() -> LearningRate.oneCycle(1, 0), "steps", "0"),
                bad(
                        () -> LearningRate.oneCycle(1, 5, 0, 25, 1e4),
                        "rise: expected a number above 0 and below 1, got 0.0"),
                bad(() -> LearningRate.oneCycle(1, 5, 1, 25, 1e4), "rise", "1.0"),
                bad(
                        () -> LearningRate.oneCycle(1, 5, 0.3, 0.5, 1e4),
                        "start: expected a finite number from 1 up, got 0.5"),
                bad(() -> LearningRate.oneCycle(1, 5, 0.3, 25, Double.NaN), "end", "NaN"),
                bad(() -> LearningRate.constant(1).warmUp(-1), "steps: expected at least 0, got -1"));
    }

    private static Arguments bad(Executable call, String... words) {
        return Arguments.of(String.join(" ", words), call, words);
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("bad")
    void whatIsNoRateIsRefused(String name, Executable call, String[] words) {
        refused(IllegalArgumentException.class, call, words);
    }

    private static void follows(LearningRate rate, double... expected) {
        for (int t = 1; t <= expected.length; t++) assertEquals(expected[t - 1], rate.at(t), "step " + t);
    }
}
