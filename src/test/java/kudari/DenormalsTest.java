package kudari;

import static kudari.RulesTest.assertSameBits;
import static kudari.RulesTest.floats;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.params.provider.Arguments.arguments;

import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Stream;
import kudari.rule.Adafactor;
import kudari.rule.Lamb;
import kudari.rule.Rule;
import kudari.rule.Sgd;
import kudari.rule.Yogi;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * What decays without gradients never becomes subnormal, for a processor works on such numbers up to a hundred times slower. The time itself is
 * for {@code scripts/bench}; here are the numbers.
 */
class DenormalsTest {

    private static final int SIZE = 64;

    /** On the GPU in software a step takes a thousand times as long. */
    private static final int STEPS = Engines.onSoftware() ? 1_100 : 100_000;

    private static final List<Integer> LOOKS = List.of(1_000, 1_100, 20_000, 100_000);

    /** The rules in every form; on the GPU in software, which shows that its bits are the same, in the first alone. */
    static Stream<Rule> forms() {
        if (!Engines.onSoftware()) return LawsTest.rules();
        Set<Class<?>> seen = new HashSet<>();
        return LawsTest.rules().filter(rule -> seen.add(rule.getClass()));
    }

    static Stream<Arguments> rules() {
        return forms()
                // Under a gradient that stays, the parameters of these grow by a factor of 1 + lr a step.
                .map(rule -> rule instanceof Lamb || rule instanceof Adafactor ? rule.lr(1e-5) : rule)
                .flatMap(rule ->
                        (Engines.onSoftware() ? Stream.of(2) : Stream.of(1, 2)).map(nth -> arguments(rule, nth)));
    }

    /** Some gradients, then none for every element, or for every second. */
    @ParameterizedTest
    @MethodSource("rules")
    void noStateIsSubnormalAfterAnyNumberOfZeroGradients(Rule rule, int everyNth) {
        try (Engine engine = Engines.open()) {
            Tensor p = engine.full(1, SIZE), g = engine.zeros(SIZE);
            Optimizer optimizer = engine.optimizer(rule);
            float[] gradient = new float[SIZE];
            for (int t = 1; t <= 100; t++) {
                for (int i = 0; i < SIZE; i++) gradient[i] = (float) Math.pow(10, -3 * (i % 5)) * (i % 2 == 0 ? 1 : -1);
                g.set(gradient);
                optimizer.update(p, g);
            }
            for (int i = 0; i < SIZE; i += everyNth) gradient[i] = 0;
            Set<String> means = new HashSet<>(); // which have signs, and squares have none
            optimizer.state(Optimizer.SINGLE).forEach((name, tensor) -> {
                for (float x : tensor.get()) if (x < 0) means.add(name);
            });
            g.set(gradient);
            for (int t = 1; t <= STEPS; t++) {
                optimizer.update(p, g);
                if (LOOKS.contains(t)) checkNormal(p, optimizer, t);
                if (LOOKS.contains(t)) checkRest(optimizer, means);
            }
        }
    }

    /** What {@link Rule} says is left of a mean: a multiple of 2⁻¹⁰², and times a rate no subnormal number either. */
    private static void checkRest(Optimizer optimizer, Set<String> means) {
        for (String name : means) {
            for (float x : optimizer.state(Optimizer.SINGLE).get(name).get())
                assertTrue(x == 0 || Math.abs(x) >= 0x1p-102f, name + " is " + x);
        }
    }

    static Stream<Rule> faint() {
        return Stream.concat(LawsTest.rules(), Stream.of(Yogi.of(0.01).initialAccumulator(0)));
    }

    /** Down to gradients of 10⁻³⁶, whose squares are nothing: what is summed is no more subnormal than what decays. */
    @ParameterizedTest
    @MethodSource("faint")
    void noStateIsSubnormalOfFaintGradients(Rule rule) {
        try (Engine engine = Engines.open()) {
            Tensor p = engine.full(1, SIZE), g = engine.zeros(SIZE);
            Optimizer optimizer = engine.optimizer(rule);
            float[] gradient = new float[SIZE];
            for (int i = 0; i < SIZE; i++) gradient[i] = (float) Math.pow(10, -15 - i % 22) * (i % 3 == 0 ? -1 : 1);
            g.set(gradient);
            for (int t = 1; t <= 5; t++) {
                optimizer.update(p, g);
                checkNormal(p, optimizer, t);
            }
        }
    }

    /** Once in 64 steps parameters under decay, and no others, are rounded to multiples of 2⁻⁹³: five quarters of it become one. */
    @Test
    void parametersUnderDecayAreRoundedAtTheSixtyFourthStep() {
        try (Engine engine = Engines.open()) {
            for (double decay : new double[] {0, 1e-30}) {
                Tensor p = engine.tensor(floats(0x1.4p-93)), g = engine.zeros(1);
                Optimizer sgd = engine.optimizer(Sgd.of(0.1).decay(decay));
                sgd.resume(62, Map.of());
                sgd.update(p, g);
                assertSameBits(floats(0x1.4p-93), p.get());
                sgd.update(p, g);
                assertSameBits(floats(decay > 0 ? 0x1p-93 : 0x1.4p-93), p.get());
            }
        }
    }

    private static void checkNormal(Tensor p, Optimizer optimizer, int t) {
        checkNormal("p", p, t);
        optimizer.state(Optimizer.SINGLE).forEach((name, tensor) -> checkNormal(name, tensor, t));
    }

    private static void checkNormal(String name, Tensor tensor, int t) {
        for (float x : tensor.get())
            assertTrue(x == 0 || Math.abs(x) >= Float.MIN_NORMAL, name + " is " + x + " after " + t + " steps");
    }

    /**
     * A thousandth a step, from 10⁻³⁰ down: subnormal within 20,000 steps, if nothing stopped it; on the GPU in software from so little that it would be within
     * 130. It is stopped once in 64 steps, and not before.
     */
    static Stream<Arguments> decays() {
        return forms().flatMap(rule -> Stream.of(
                arguments(rule.lr(0.1).decay(0.01), "decoupled"),
                arguments(rule.lr(0.1).decay(0.01).l2(0.01), "both")));
    }

    @ParameterizedTest(name = "{0}, {1}")
    @MethodSource("decays")
    void noParameterUnderDecayIsSubnormal(Rule rule, String kind) {
        try (Engine engine = Engines.open()) {
            Tensor p = engine.full(Engines.onSoftware() ? 1.3e-38f : 1e-30f, SIZE), g = engine.zeros(SIZE);
            Optimizer optimizer = engine.optimizer(rule);
            int steps = Engines.onSoftware() ? 130 : STEPS;
            for (int t = 1; t <= steps; t++) {
                optimizer.update(p, g);
                if (t > 64 && (LOOKS.contains(t) || t % 10_007 == 0 || t == steps)) checkNormal(p, optimizer, t);
            }
        }
    }

    /** The flush of the parameters comes once in a while, on both engines in the same step, and changes nothing that is not tiny. */
    @ParameterizedTest
    @MethodSource("forms")
    void whatIsFlushedIsTheSameOnEveryEngine(Rule rule) {
        Rule decays = rule.lr(0.01).decay(0.5).l2(0.001);
        float[] start = {
            1, -1, 1e-3f, -1e-9f, 1e-20f, -1e-25f, 1e-30f, -1e-36f, 0, -0.0f, Float.MIN_NORMAL, -Float.MIN_VALUE
        };
        try (Engine engine = Engines.open();
                Engine cpu = Engine.cpu(1)) {
            Tensor p = engine.tensor(start), q = cpu.tensor(start), g = engine.zeros(12), h = cpu.zeros(12);
            Optimizer here = engine.optimizer(decays), there = cpu.optimizer(decays);
            for (int t = 1; t <= 1100; t++) {
                here.update(p, g);
                there.update(q, h);
                if (t % 256 == 0 || t > 1020 && t < 1028) assertSameBits(q.get(), p.get());
            }
        }
    }

    @ParameterizedTest
    @MethodSource("kudari.RulesTest#table")
    void aRateOfZeroIsNoReasonToFlushAParameter(RulesTest.Row row) {
        try (Engine engine = Engines.open()) {
            Tensor p = engine.full(1e-30f, 4), g = engine.zeros(4);
            Optimizer optimizer = engine.optimizer(row.of().apply(0).decay(0.1).l2(0.1));
            for (int t = 0; t < 200; t++) optimizer.update(p, g);
            assertEquals(1e-30f, p.get()[0]);
        }
    }
}
