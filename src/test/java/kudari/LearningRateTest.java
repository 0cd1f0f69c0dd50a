package kudari;

import static kudari.OptimizerTest.refused;
import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.Map;
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

    /** PyTorch's documentation of MultiStepLR: 0.05 below epoch 30, 0.005 below epoch 80, then 0.0005. */
    @Test
    void stairsOfAnyLengthEndAtTheirMilestones() {
        LearningRate rate = LearningRate.multiStep(0.05, 0.1, 30, 80);
        assertEquals(0.05, rate.at(1));
        assertEquals(0.05, rate.at(30), "epoch 29");
        assertEquals(0.005, rate.at(31), 1e-18);
        assertEquals(0.005, rate.at(80), 1e-18);
        assertEquals(0.0005, rate.at(81), 1e-18);
        assertEquals(0.0005, rate.at(FAR), 1e-18);
        assertEquals(0.05, LearningRate.multiStep(0.05, 0.1).at(FAR), "without a milestone");
    }

    /** Keras: 0.75 / (1 + ½·⌊step / 2⌋) with staircase, without it 0.75 / (1 + ½·step / 2), from step 0. */
    @Test
    void inverseTimeDividesByTheStepsDone() {
        follows(LearningRate.inverseTime(0.75, 0.5).every(2), 0.75, 0.75, 0.5, 0.5, 0.375, 0.375, 0.3, 0.3, 0.25);
        follows(LearningRate.inverseTime(0.75, 0.5 / 2), 0.75, 0.6, 0.5, 0.75 / 1.75, 0.375);
        assertEquals(
                0.1 / (1 + 0.7 * 0.96), LearningRate.inverseTime(0.1, 0.096).at(8), 1e-17, "Keras's own test");
        assertEquals(0.75, LearningRate.inverseTime(0.75, 0).at(FAR));
    }

    /** The paper's d^−½ · min(t^−½, t · w^−³ᐟ²) with d = 16 and w = 4: ¼ · t/8 up to ¼ · ½, then ¼ / √t. */
    @Test
    void theInverseSquareRootHasItsTopAtTheEndOfItsWarmUp() {
        LearningRate rate = LearningRate.inverseSquareRoot(Math.pow(16.0 * 4, -0.5), 4);
        follows(rate, 1 / 32.0, 2 / 32.0, 3 / 32.0, 4 / 32.0);
        assertEquals(0.25 / Math.sqrt(5), rate.at(5), 1e-17);
        assertEquals(1 / 16.0, rate.at(16));
        assertEquals(1 / 32.0, rate.at(64));
        assertEquals(0.125 * 0x1p-30, rate.at(FAR));
        follows(LearningRate.inverseSquareRoot(1, 1), 1, Math.sqrt(0.5), Math.sqrt(1 / 3.0), 0.5);
    }

    /** η = min + ½ (max − min)(1 + cos(π T_cur / T_i)), with T₀ = 2: one wave is 1, ½; twice as long 1, 0.8535533905932737…, ½, 0.146…. */
    @Test
    void cosinesRestartAndGrow() {
        double a = 0.85355339059327376, b = 0.14644660940672624;
        nears(LearningRate.cosineRestarts(1, 0, 2, 1), 1, 0.5, 1, 0.5, 1, 0.5, 1);
        nears(LearningRate.cosineRestarts(1, 0, 2, 2), 1, 0.5, 1, a, 0.5, b, 1);
        nears(LearningRate.cosineRestarts(0.75, 0.25, 4, 3), 0.75, 0.25 + a / 2, 0.5, 0.25 + b / 2, 0.75);
        assertEquals(
                0.5, LearningRate.cosineRestarts(1, 0, 2, 2).at(2 + 4 + 8 + 8 + 1), 1e-15, "half of the wave of 16");
        assertEquals(0.5, LearningRate.cosineRestarts(1, 0, 4, 3).at(4 + 12 + 18 + 1), 1e-15, "half of the wave of 36");
        assertEquals(
                1, LearningRate.cosineRestarts(1, 0, 1L << 60, Long.MAX_VALUE).at((1L << 60) + 1));
        assertEquals(0.5, LearningRate.cosineRestarts(1, 0, 1L << 60, 2).at((1L << 60) + (1L << 60) + 1), 1e-15);
    }

    /** PyTorch's own tests of CyclicLR. */
    @Test
    void cyclesGoUpAndDown() {
        nears(LearningRate.cyclic(1, 5, 4, 4), 1, 2, 3, 4, 5, 4, 3, 2, 1, 2, 3);
        nears(LearningRate.cyclic(1, 5, 4, 6), 1, 2, 3, 4, 5, 13 / 3.0, 11 / 3.0, 3, 7 / 3.0, 5 / 3.0, 1);
        LearningRate halves =
                LearningRate.cyclic(1, 5, 4, 4, LearningRate.exponential(1, 0.5).every(8));
        nears(halves, 1, 2, 3, 4, 5, 4, 3, 2, 1, 1.5, 2, 2.5, 3, 2.5, 2, 1.5, 1, 1.25, 1.5, 1.75, 2, 1.75);
        double[] up = {0, 0.5, 1, 5 / 6.0, 4 / 6.0, 3 / 6.0, 2 / 6.0, 1 / 6.0, 0, 0.5, 1, 5 / 6.0, 4 / 6.0};
        LearningRate shrinks = LearningRate.cyclic(1, 5, 2, 6, LearningRate.exponential(1, 0.9));
        for (int t = 1; t <= up.length; t++)
            assertEquals(1 + up[t - 1] * 4 * Math.pow(0.9, t - 1), shrinks.at(t), 1e-15, "exp_range, step " + t);
    }

    /** PyTorch's own tests of SequentialLR, and optax's of join_schedules. */
    @Test
    void oneRateFollowsAnother() {
        LearningRate constant = LearningRate.constant(0.05), fifths = LearningRate.exponential(0.05, 0.8);
        nears(
                fifths.then(3, LearningRate.step(0.05, 4, 0.1)),
                0.05,
                0.04,
                0.032,
                0.05,
                0.05,
                0.05,
                0.05,
                0.005,
                0.005,
                0.005,
                0.005,
                0.0005);
        nears(
                constant.times(0.1).then(3, fifths).then(6, LearningRate.step(0.05, 2, 0.1)),
                0.005,
                0.005,
                0.005,
                0.05,
                0.04,
                0.032,
                0.05,
                0.05,
                0.005,
                0.005,
                0.0005,
                0.0005);
        LearningRate one = LearningRate.constant(1), two = LearningRate.constant(2);
        follows(one.then(3, two).then(6, one), 1, 1, 1, 2, 2, 2, 1, 1);
        follows(one.then(0, two), 2, 2);
        follows(one.then(FAR, two), 1, 1);
        nears(
                LearningRate.linear(0.2, 1.6, 4).then(4, LearningRate.linear(1.6, 0.2, 4)),
                0.2,
                0.55,
                0.9,
                1.25,
                1.6,
                1.25,
                0.9,
                0.55);
    }

    /** Keras's documentation of PiecewiseConstantDecay: 1.0 for the first 100001 steps, 0.5 for the next 10000, then 0.1. */
    @Test
    void constantsFollowEachOther() {
        LearningRate rate = LearningRate.constant(1)
                .then(100_001, LearningRate.constant(0.5))
                .then(110_001, LearningRate.constant(0.1));
        assertEquals(1, rate.at(100_001));
        assertEquals(0.5, rate.at(100_002));
        assertEquals(0.5, rate.at(110_001));
        assertEquals(0.1, rate.at(110_002));
    }

    /** Up in quarters, four steps at 1, and down by quarters to 0, where it stays. */
    @Test
    void aRateMayWarmUpStandAndFall() {
        follows(
                LearningRate.constant(1).then(4, LearningRate.linear(1, 0, 4)).warmUp(4),
                0.25,
                0.5,
                0.75,
                1,
                1,
                1,
                1,
                1,
                1,
                0.75,
                0.5,
                0.25,
                0,
                0);
    }

    /** optax's warmup_cosine_decay_schedule from 0 to 1 in 2 of 6 steps: its linear_schedule, then its cosine over the other 4. */
    @Test
    void aWarmUpFromZeroIsALineBeforeTheRate() {
        nears(
                LearningRate.linear(0, 1, 2).then(2, LearningRate.cosine(1, 0, 6 - 2)),
                0,
                0.5,
                1,
                0.85355339059327376,
                0.5,
                0.14644660940672624,
                0,
                0);
    }

    /** PyTorch's ExponentialLR, stepped once an epoch of 3 steps; Keras's own test of ExponentialDecay(0.1, 3, 0.96, staircase=True). */
    @Test
    void aRateByTheEpochIsSlowedDownToStairs() {
        follows(LearningRate.exponential(0.75, 0.5).every(3), 0.75, 0.75, 0.75, 0.375, 0.375, 0.375, 0.1875);
        assertEquals(0.1 * Math.pow(0.96, 33), LearningRate.step(0.1, 3, 0.96).at(101), 1e-17);
        assertEquals(
                0.05 * Math.sqrt(0.96),
                LearningRate.exponential(0.05, Math.pow(0.96, 0.1)).at(6),
                1e-16);
        follows(LearningRate.linear(1, 0.5, 4).every(1), 1, 0.875, 0.75);
    }

    @Test
    void aGroupHasItsShareOfTheRate() {
        follows(LearningRate.linear(1, 0.5, 4).times(0.5), 0.5, 0.4375, 0.375);
        assertEquals(0, LearningRate.constant(1).times(0).at(1));
        try (Engine engine = Engines.open()) {
            LearningRate rate = LearningRate.linear(1, 0.5, 4);
            Optimizer sgd =
                    engine.optimizer(Group.of("slow", rate.times(0.25).of(Sgd.of())), Group.rest(rate.of(Sgd.of())));
            Map<String, Tensor> params = Map.of("slow", engine.zeros(1), "fast", engine.zeros(1));
            Map<String, Tensor> grads = Map.of("slow", engine.full(1, 1), "fast", engine.full(1, 1));
            for (int t = 0; t < 3; t++) sgd.update(params, grads);
            assertEquals(-(1 + 0.875f + 0.75f), params.get("fast").get()[0]);
            assertEquals(-(1 + 0.875f + 0.75f) / 4, params.get("slow").get()[0]);
        }
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
                bad(() -> LearningRate.constant(1).warmUp(-1), "steps: expected at least 0, got -1"),
                bad(() -> LearningRate.multiStep(1, 2, 5), "factor: expected a number above 0, at most 1, got 2.0"),
                bad(() -> LearningRate.multiStep(1, 0.5, 0), "milestones: expected at least 1, got 0"),
                bad(() -> LearningRate.multiStep(1, 0.5, 5, 5), "milestones: expected at least 6, got 5"),
                bad(() -> LearningRate.inverseTime(1, -1), "decay: expected a finite number from 0 up, got -1.0"),
                bad(() -> LearningRate.inverseTime(Double.NaN, 1), "lr", "NaN"),
                bad(() -> LearningRate.inverseSquareRoot(-1, 1), "max", "-1.0"),
                bad(() -> LearningRate.inverseSquareRoot(1, 0), "warmUp: expected at least 1, got 0"),
                bad(() -> LearningRate.cosineRestarts(1, 0, 5, 0), "factor: expected at least 1, got 0"),
                bad(() -> LearningRate.cosineRestarts(1, 0, 0, 1), "steps", "0"),
                bad(() -> LearningRate.cyclic(-1, 1, 1, 1), "base", "-1.0"),
                bad(() -> LearningRate.cyclic(0, Double.NaN, 1, 1), "max", "NaN"),
                bad(() -> LearningRate.cyclic(0, 1, 0, 1), "up: expected at least 1, got 0"),
                bad(() -> LearningRate.cyclic(0, 1, 1, -1), "down", "-1"),
                bad(() -> LearningRate.constant(1).then(-1, LearningRate.constant(2)), "steps", "-1"),
                bad(() -> LearningRate.constant(1).every(0), "every: expected at least 1, got 0"),
                bad(() -> LearningRate.constant(1).times(-1), "factor", "a finite number from 0 up, got -1.0"));
    }

    private static Arguments bad(Executable call, String... words) {
        return Arguments.of(String.join(" ", words), call, words);
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("bad")
    void whatIsNoRateIsRefused(String name, Executable call, String[] words) {
        refused(IllegalArgumentException.class, call, words);
    }

    /** As {@link #follows}, where the numbers are not binary fractions. */
    private static void nears(LearningRate rate, double... expected) {
        for (int t = 1; t <= expected.length; t++) assertEquals(expected[t - 1], rate.at(t), 2e-15, "step " + t);
    }

    private static void follows(LearningRate rate, double... expected) {
        for (int t = 1; t <= expected.length; t++) assertEquals(expected[t - 1], rate.at(t), "step " + t);
    }

    @Test
    void aCycleThatStartsAndEndsAtItsTopIsConstant() {
        for (long t : new long[] {1, 3, 4, 10, 11, 50})
            assertEquals(0.5, LearningRate.oneCycle(0.5, 10, 0.3, 1, 1).at(t), 1e-15);
    }
}
