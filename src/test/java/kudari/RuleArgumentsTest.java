package kudari;

import static kudari.OptimizerTest.refused;
import static org.junit.jupiter.api.Assertions.assertDoesNotThrow;
import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.stream.Stream;
import kudari.rule.AdaGrad;
import kudari.rule.Adam;
import kudari.rule.Momentum;
import kudari.rule.Nesterov;
import kudari.rule.RmsProp;
import kudari.rule.Sgd;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** Hyperparameters out of range are refused, by name and value. */
class RuleArgumentsTest {

    static Stream<Arguments> bad() {
        return Stream.of(
                bad("lr", "-0.1", () -> Sgd.of(-0.1)),
                bad("lr", "NaN", () -> Sgd.of(Double.NaN)),
                bad("lr", "Infinity", () -> Sgd.of(Double.POSITIVE_INFINITY)),
                bad("lr", "1.0E39", () -> Sgd.of(1e39)),
                bad("lr", "-0.1", () -> Momentum.of(-0.1)),
                bad("lr", "NaN", () -> Momentum.outside(Double.NaN)),
                bad("mu", "1.0", () -> Momentum.of(0.1, 1)),
                bad("mu", "-0.5", () -> Momentum.of(0.1, -0.5)),
                bad("mu", "NaN", () -> Momentum.of(0.1, Double.NaN)),
                bad("mu", "0.99999999", () -> Momentum.of(0.1, 0.99999999)),
                bad("a", "NaN", () -> new Momentum(0.9, Double.NaN, 1)),
                bad("b", "-Infinity", () -> new Momentum(0.9, 1, Double.NEGATIVE_INFINITY)),
                bad("a·b", "0.1", () -> new Momentum(0.9, 1, 0.1)),
                bad("lr", "-0.1", () -> Nesterov.of(-0.1)),
                bad("mu", "1.5", () -> Nesterov.outside(0.1, 1.5)),
                bad("a·b", "0.1", () -> new Nesterov(0.9, -1, -0.1)),
                bad("a·b·(1 + mu)", "-1.9E60", () -> new Nesterov(0.9, 1e30, -1e30)),
                bad("a·b", "-1.6069380442589903E60", () -> new Momentum(0.9, 0x1p100, -0x1p100)),
                bad("lr", "NaN", () -> AdaGrad.of(Double.NaN)),
                bad("h0", "-1.0", () -> new AdaGrad(0.1, -1, 1e-7, 0)),
                bad("eps", "1.0E-46", () -> new AdaGrad(0.1, 0, 1e-46, 0)),
                bad("eps", "NaN", () -> new AdaGrad(0.1, 0, Double.NaN, 0)),
                bad("epsRoot", "-1.0E-7", () -> new AdaGrad(0.1, 0, 1e-7, -1e-7)),
                bad("eps + epsRoot", "0.0", () -> new AdaGrad(0.1, 0, 0, 0)),
                bad("rho", "1.0", () -> new RmsProp(0.1, 1, 1e-7, 0)),
                bad("epsRoot", "1.0E-50", () -> new RmsProp(0.1, 0.9, 0, 1e-50)),
                bad("eps + epsRoot", "0.0", () -> new RmsProp(0.1, 0.9, 0, 0)),
                bad("lr", "-1.0", () -> Adam.of(-1)),
                bad("beta1", "1.0", () -> new Adam(0.1, 1, 0.999, 1e-7, 0, 0)),
                bad("beta2", "NaN", () -> new Adam(0.1, 0.9, Double.NaN, 1e-7, 0, 0)),
                bad("epsHat", "1.0E-46", () -> new Adam(0.1, 0.9, 0.999, 1e-46, 0, 0)),
                bad("eps", "1.0E-44", () -> new Adam(0.1, 0.9, 0.999, 0, 1e-44, 0)),
                bad("epsRoot", "Infinity", () -> new Adam(0.1, 0.9, 0.999, 1e-7, 0, Double.POSITIVE_INFINITY)),
                bad("epsHat + eps + epsRoot", "0.0", () -> new Adam(0.1, 0.9, 0.999, 0, 0, 0)));
    }

    private static Arguments bad(String name, String value, Executable call) {
        return Arguments.of(name, value, call);
    }

    @ParameterizedTest(name = "{0} = {1}")
    @MethodSource("bad")
    void anArgumentOutOfRangeIsRefusedByNameAndValue(String name, String value, Executable call) {
        refused(IllegalArgumentException.class, call, name + ": expected ", ", got " + value);
    }

    @Test
    void theEdgesOfTheRangesAreLegal() {
        assertDoesNotThrow(() -> {
            Sgd.of(0);
            Sgd.of(Float.MAX_VALUE);
            Momentum.of(0, 0);
            new AdaGrad(0, 0, Float.MIN_VALUE, 0);
            new RmsProp(0, 0, 0, Float.MIN_VALUE);
            new Adam(0, 0, 0, Float.MIN_VALUE, 0, 0);
        });
    }

    /** The defaults of «ゼロから作る Deep Learning», chapter 6. */
    @Test
    void theDefaultsAreTheBooks() {
        assertEquals(new Sgd(0.01), Sgd.of());
        assertEquals(new Momentum(0.9, -0.01, 1), Momentum.of());
        assertEquals(new Nesterov(0.9, -0.01, 1), Nesterov.of());
        assertEquals(new AdaGrad(0.01, 0, 1e-7, 0), AdaGrad.of());
        assertEquals(new RmsProp(0.01, 0.99, 1e-7, 0), RmsProp.of());
        assertEquals(new Adam(0.001, 0.9, 0.999, 1e-7, 0, 0), Adam.of());
        assertEquals(new Adam(0.001, 0.9, 0.999, 0, 1e-8, 0), Adam.paper(0.001), "the paper's own");
    }
}
