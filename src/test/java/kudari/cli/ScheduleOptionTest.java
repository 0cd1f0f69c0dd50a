package kudari.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import kudari.LearningRate;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import picocli.CommandLine.TypeConversionException;

/** What {@code --schedule} says, and what it does not. */
class ScheduleOptionTest {

    private static ScheduleOption schedule(String text) {
        return new ScheduleOption.Converter().convert(text);
    }

    /** Over 10 steps from 0.5; with a warm-up of 2 the shape has the other 8. */
    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "constant                | 0.5   | 0.5",
                "step:4,0.5              | 0.5   | 0.25",
                "exponential:0.5         | 0.5   | 0.015625",
                "multi-step:0.5,2,5      | 0.5   | 0.125",
                "multi-step:0.5,6        | 0.5   | 0.5",
                "inverse-time:0.2        | 0.5   | 0.25",
                "inverse-square-root     | 0.5   | 0.20412414523193154",
                "warmup-inverse-square-root:4 | 0.125 | 0.4082482904638631",
                "cyclic:0.25,4,2         | 0.25  | 0.375",
                "cosine-restarts:4,1     | 0.5   | 0.4267766952966369",
                "stable-decay:8          | 0.5   | 0.3125",
                "stable-decay:4          | 0.5   | 0.5",
                "warmup-stable-decay:2,5 | 0.25  | 0.5",
                "warmup-multi-step:2,0.5,2,3 | 0.25 | 0.125",
                "linear                  | 0.5   | 0.25",
                "polynomial:2            | 0.5   | 0.125",
                "cosine                  | 0.5   | 0.25",
                "one-cycle               | 0.02  | 0.4058728269748815",
                "warmup-constant:2       | 0.25  | 0.5",
                "warmup-step:2,4,0.5     | 0.25  | 0.5",
                "warmup-exponential:2,0.5| 0.25  | 0.0625",
                "warmup-linear:2         | 0.25  | 0.3125",
                "warmup-polynomial:2,2   | 0.25  | 0.1953125",
                "warmup-cosine:2         | 0.25  | 0.34567085809127246",
                "warmup-one-cycle:2      | 0.01  | 0.4859708886937616",
            })
    void aCurveGivesTheRateOfTheFirstStepAndOfTheSixth(String text, double first, double sixth) {
        LearningRate rate = schedule(text).over(0.5, 10);
        assertEquals(first, rate.at(1), 1e-16);
        assertEquals(sixth, rate.at(6), 1e-15, "the sixth");
        assertEquals(text.strip(), schedule(text).toString(), "and is written as it was read");
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "cosin                | expected one of constant, step:EVERY,FACTOR, multi-step:FACTOR,AFTER..., exp",
                "COSINE               | got 'COSINE'",
                "''                   | got ''",
                "cosine:              | got 'cosine:'",
                "cosine:500           | expected cosine, got 'cosine:500'",
                "warmup-cosine        | expected warmup-cosine:STEPS, got 'warmup-cosine'",
                "warmup-cosine:0      | STEPS: expected a whole number from 1 up, got 0",
                "warmup-cosine:2.5    | STEPS: expected a whole number from 1 up, got 2.5",
                "warmup-cosine:-5     | got -5",
                "warmup-cosine:1e99   | STEPS",
                "warmup-cosine:NaN    | STEPS",
                "warmup-cosine:5,5    | expected warmup-cosine:STEPS, got 'warmup-cosine:5,5'",
                "warmup-warmup-cosine:5| got 'warmup-warmup-cosine:5'",
                "step                 | expected step:EVERY,FACTOR, got 'step'",
                "step:5               | expected step:EVERY,FACTOR, got 'step:5'",
                "step:5,              | in numbers",
                "step:5,half          | expected step:EVERY,FACTOR in numbers, got 'step:5,half'",
                "step:0,0.5           | EVERY: expected a whole number from 1 up, got 0",
                "step:5,2             | factor: expected a number above 0, at most 1, got 2.0",
                "warmup-step:5,0.5    | expected warmup-step:STEPS,EVERY,FACTOR, got 'warmup-step:5,0.5'",
                "polynomial:0         | power: expected a positive, finite number, got 0.0",
                "exponential:0        | factor",
                "multi-step:0.5       | expected multi-step:FACTOR,AFTER..., got 'multi-step:0.5'",
                "multi-step:0.5,5,5   | milestones: expected at least 6, got 5",
                "warmup-multi-step:9,0.5| expected warmup-multi-step:STEPS,FACTOR,AFTER..., got 'warmup-multi-step:9,0.5'",
                "inverse-time:-1      | decay",
                "cyclic:0.1,5         | expected cyclic:LOW,UP,DOWN, got 'cyclic:0.1,5'",
                "cosine-restarts:5,1.5| FACTOR: expected a whole number from 1 up, got 1.5",
                "stable-decay:0       | LAST: expected a whole number from 1 up, got 0",
            })
    void nonsenseIsRefusedWithWhatIsAllowed(String text, String words) {
        String message = assertThrows(TypeConversionException.class, () -> schedule(text))
                .getMessage();
        assertTrue(message.contains(words), message);
        assertTrue(message.contains("expected") && message.contains("'" + text + "'"), message);
    }

    @Test
    void aDecayLongerThanTheRunIsRefused() {
        ScheduleOption schedule = schedule("warmup-stable-decay:10,40");
        assertEquals(1, schedule.over(1, 50).at(11));
        String message = assertThrows(IllegalArgumentException.class, () -> schedule.over(1, 49))
                .getMessage();
        assertEquals("warmup-stable-decay:10,40: expected a decay of at most the run's 39 steps, got 40", message);
    }

    @Test
    void aWarmUpAsLongAsTheRunIsRefused() {
        ScheduleOption schedule = schedule("warmup-cosine:500");
        assertEquals(1, schedule.over(1, 501).at(500));
        String message = assertThrows(IllegalArgumentException.class, () -> schedule.over(1, 500))
                .getMessage();
        assertEquals("warmup-cosine:500: expected a warm-up of fewer steps than the run's 500, got 500", message);
    }
}
