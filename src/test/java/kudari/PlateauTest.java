package kudari;

import static kudari.OptimizerTest.refused;
import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.function.IntToDoubleFunction;
import java.util.stream.Stream;
import kudari.rule.Sgd;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** When a loss stands still. */
class PlateauTest {

    /**
     * PyTorch's own tests of ReduceLROnPlateau, test_lrscheduler.py: the losses, and how many of them follow which scale. What rises there is given
     * as its negative here.
     */
    static Stream<Arguments> pyTorchs() {
        IntToDoubleFunction grows = i -> -1.5 * Math.pow(1.005, i);
        return Stream.of(
                of(
                        "1: falls by more than the threshold",
                        new Plateau(0.1, 5).threshold(0, 0.01).cooldown(5),
                        i -> 10 - i * 0.0167,
                        times(10, 1)),
                of(
                        "2: falls too slowly",
                        new Plateau(0.1, 5).threshold(0, 0.1),
                        i -> 10 - i * 0.0165,
                        times(6, 1),
                        times(7, 0.1),
                        times(7, 0.01),
                        times(2, 0.001)),
                of(
                        "3: stands still",
                        new Plateau(0.1, 5).threshold(0, 1e-4).cooldown(5),
                        i -> i < 2 ? 0.8 : 0.234,
                        times(8, 1),
                        times(11, 0.1),
                        times(3, 0.01)),
                of(
                        "4: better in time",
                        new Plateau(0.1, 3).threshold(0.1, 0),
                        i -> -1.5 * Math.pow(1.025, i),
                        times(20, 1)),
                of(
                        "5: rises too slowly",
                        new Plateau(0.1, 5).threshold(0.1, 0).cooldown(5),
                        grows,
                        times(6, 1),
                        times(11, 0.1),
                        times(3, 0.01)),
                of("6: falls fast", new Plateau(0.1, 10).threshold(0.1, 0), i -> 1.5 * Math.pow(0.85, i), times(20, 1)),
                of(
                        "7: better once during the cooldown",
                        new Plateau(0.1, 5).threshold(0.1, 0).cooldown(5),
                        i -> i < 7 ? 1 : i == 7 ? 0.6 : 0.5,
                        times(6, 1),
                        times(11, 0.1),
                        times(3, 0.01)),
                of(
                        "8: down to the least, 0.4 of 0.5",
                        new Plateau(0.1, 5).threshold(0.1, 0).cooldown(5).least(0.8),
                        grows,
                        times(6, 1),
                        times(14, 0.8)));
    }

    private record Times(int losses, double scale) {}

    private static Times times(int losses, double scale) {
        return new Times(losses, scale);
    }

    private static Arguments of(String name, Plateau plateau, IntToDoubleFunction losses, Times... scales) {
        return Arguments.of(name, plateau, losses, scales);
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("pyTorchs")
    void theScaleIsThatOfPyTorch(String name, Plateau plateau, IntToDoubleFunction losses, Times[] scales) {
        assertEquals(1, plateau.scale());
        int n = 0;
        for (Times expected : scales) {
            for (int i = 0; i < expected.losses; i++, n++) {
                assertEquals(expected.scale, plateau.after(losses.applyAsDouble(n)), 1e-15, "after loss " + n);
                assertEquals(expected.scale, plateau.scale(), 1e-15);
            }
        }
    }

    /** PyTorch's defaults: a loss must be below 0.9999 of the best. */
    @Test
    void whatIsJustBelowTheBestIsNoBetter() {
        Plateau plateau = new Plateau(0.5, 0);
        assertEquals(1, plateau.after(1));
        assertEquals(1, plateau.after(0.99989));
        assertEquals(0.5, plateau.after(0.99989 * 0.99991));
    }

    @Test
    void whatIsNotANumberOrInfiniteIsBad() {
        Plateau plateau = new Plateau(0.5, 1);
        assertEquals(1, plateau.after(Double.NaN));
        assertEquals(0.5, plateau.after(Double.POSITIVE_INFINITY));
        assertEquals(0.5, plateau.after(7), "the first loss that is a number is the best so far");
        assertEquals(0.5, plateau.after(Double.NaN));
        assertEquals(0.25, plateau.after(7));
        assertEquals(0.25, plateau.after(Double.NEGATIVE_INFINITY));
        assertEquals(0.25, plateau.after(Double.NEGATIVE_INFINITY));
        assertEquals(0.125, plateau.after(Double.NEGATIVE_INFINITY));
    }

    @Test
    void anotherGoesOnFromItsState() {
        IntToDoubleFunction losses = i -> Math.max(1, 8 - i) + 1e-3 * (i % 3);
        Plateau whole = settings(), first = settings();
        for (int i = 0; i < 60; i++) {
            if (i % 7 == 0) {
                Plateau next = settings();
                next.resume(first.state());
                assertEquals(first.state(), next.state());
                assertEquals(first.scale(), next.scale());
                first = next;
            }
            assertEquals(whole.after(losses.applyAsDouble(i)), first.after(losses.applyAsDouble(i)), "loss " + i);
        }
        assertEquals("scale=1.0 best=Infinity bad=0 cooling=0", settings().state());
        assertEquals(true, whole.scale() < 0.01, "it has been lowered: " + whole.scale());
    }

    private static Plateau settings() {
        return new Plateau(0.3, 2).threshold(0.01, 0.001).cooldown(3).least(1e-3);
    }

    /** From 1, twice as slow after the second loss that is no better, which is after four steps. */
    @Test
    void anOptimizerFollows() {
        try (Engine engine = Engines.open()) {
            Tensor p = engine.zeros(1), g = engine.full(1, 1);
            LearningRate rate = LearningRate.linear(1, 0, 8);
            Plateau plateau = new Plateau(0.5, 1);
            Optimizer sgd = engine.optimizer(rate.of(Sgd.of()));
            for (double loss : new double[] {3, 3, 3}) {
                for (int n = 0; n < 2; n++) sgd.update(p, g);
                sgd.schedule(rate.times(plateau.after(loss)).of(Sgd.of()));
            }
            sgd.update(p, g);
            assertEquals(-(1 + 0.875f + 0.75f + 0.625f + 0.5f + 0.375f + 0.25f / 2), p.get()[0]);
        }
    }

    static Stream<Arguments> bad() {
        return Stream.of(
                bad(() -> new Plateau(1, 0), "factor: expected a number above 0 and below 1, got 1.0"),
                bad(() -> new Plateau(0, 0), "factor", "0.0"),
                bad(() -> new Plateau(0.5, -1), "patience: expected a number from 0 up, got -1"),
                bad(() -> settings().threshold(1, 0), "relative: expected a number from 0 up and below 1, got 1.0"),
                bad(() -> settings().threshold(0, Double.NaN), "absolute: expected a finite number from 0 up, got NaN"),
                bad(() -> settings().cooldown(-1), "losses", "-1"),
                bad(() -> settings().least(2), "scale: expected a number from 0 to 1, got 2.0"),
                bad(() -> settings().resume("best=1"), "state: expected 'scale=", "got 'best=1'"),
                bad(() -> settings().resume("scale=x best=1 bad=0 cooling=0"), "state: expected numbers", "scale=x"),
                bad(() -> settings().resume("scale=NaN best=1 bad=0 cooling=0"), "scale", "NaN"));
    }

    private static Arguments bad(Executable call, String... words) {
        return Arguments.of(String.join(" ", words), call, words);
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("bad")
    void whatIsOutOfRangeIsRefused(String name, Executable call, String[] words) {
        refused(IllegalArgumentException.class, call, words);
    }

    /** By hand: of equal losses every third after the first is one bad one too many, and the count begins anew. */
    @Test
    void theCountOfBadLossesBeginsAnewWhenTheScaleIsLowered() {
        Plateau plateau = new Plateau(0.5, 2).cooldown(0).least(0);
        double[] expected = {1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25};
        for (double scale : expected) assertEquals(scale, plateau.after(1));
        Plateau never = new Plateau(0.5, 0).least(1);
        for (int n = 0; n < 3; n++) assertEquals(1, never.after(1));
    }
}
