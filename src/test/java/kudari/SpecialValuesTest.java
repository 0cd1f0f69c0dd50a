package kudari;

import static kudari.RulesTest.assertSameBits;
import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import kudari.rule.Rule;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Zeros of both signs, infinities, NaN, subnormal and huge numbers: wherever they stand, every engine computes the same bits. */
class SpecialValuesTest {

    private static final float[] VALUES = {
        0,
        -0.0f,
        1,
        -1,
        Float.POSITIVE_INFINITY,
        Float.NEGATIVE_INFINITY,
        Float.NaN,
        Float.MIN_VALUE,
        -1e-40f,
        Float.MIN_NORMAL,
        -1e-30f,
        2e38f,
        -Float.MAX_VALUE
    };

    private static final List<Guard> GUARDS = List.of(
            Guard.NONE,
            Guard.NONE.scale(0.25),
            Guard.maximize(),
            Guard.clipValue(0.5),
            Guard.clipValue(1e30).scale(4).maximizes(true),
            Guard.skipNonFinite());

    /** Each value in a parameter with each in its gradient and each in its state; the second array of state has them in another order. */
    @ParameterizedTest
    @MethodSource("kudari.LawsTest#rules")
    void theyMeetEverywhereAndEveryEngineAgrees(Rule plain) {
        int n = VALUES.length, size = n * n * n;
        float[] p = new float[size], g = new float[size];
        float[][] s = new float[plain.state().size()][];
        for (int a = 0; a < s.length; a++) s[a] = new float[(int) Tensor.size(plain.shape(a, new long[] {size}))];
        for (int i = 0; i < size; i++) {
            p[i] = VALUES[i % n];
            g[i] = VALUES[i / n % n];
            for (int a = 0; a < s.length && i < s[a].length; a++) s[a][i] = VALUES[(i / n / n + a * (i % 5)) % n];
        }
        for (Guard guard : GUARDS) {
            for (Rule rule : List.of(plain, plain.l2(0.01).decay(0.1))) {
                Plain expected = new Plain(guard, Average.NONE);
                expected.params.put(Optimizer.SINGLE, p.clone());
                expected.states.put(Optimizer.SINGLE, copy(s));
                expected.groups.add(t -> rule);
                expected.counts.add(4L);
                expected.steps = 4;
                try (Engine engine = Engines.open();
                        Engine cpu = Engine.cpu(1)) {
                    for (int t = 0; t < 2; t++)
                        expected.update(Map.of(Optimizer.SINGLE, g), Map.of(Optimizer.SINGLE, 0));
                    for (Engine each : List.of(engine, cpu)) check(expected, each, guard, rule, p, g, s);
                }
            }
        }
    }

    private static void check(
            Plain expected, Engine engine, Guard guard, Rule rule, float[] p, float[] g, float[][] s) {
        Tensor param = engine.tensor(p), grad = engine.tensor(g);
        Map<String, Tensor> state = new LinkedHashMap<>();
        for (int a = 0; a < s.length; a++) state.put(rule.state().get(a), engine.tensor(s[a]));
        Optimizer optimizer = engine.optimizer(rule).guard(guard);
        optimizer.resume(4, Map.of(Optimizer.SINGLE, state));
        for (int t = 0; t < 2; t++) optimizer.update(param, grad);
        assertSameBits(expected.params.get(Optimizer.SINGLE), param.get());
        for (int a = 0; a < s.length; a++) {
            Tensor actual = optimizer.state(Optimizer.SINGLE).get(rule.state().get(a));
            assertSameBits(expected.states.get(Optimizer.SINGLE)[a], actual.get());
        }
        assertEquals(expected.skipped, optimizer.skipped());
    }

    private static float[][] copy(float[][] s) {
        float[][] copy = s.clone();
        for (int a = 0; a < s.length; a++) copy[a] = s[a].clone();
        return copy;
    }

    /** Though the velocity, or the square of the gradient, overflows. */
    @ParameterizedTest
    @MethodSource("kudari.LawsTest#rules")
    void atARateOfZeroNoFiniteGradientMovesAParameter(Rule plain) {
        float[] start = {1, -1, 1e-30f, 3e38f, 0, -5, Float.MIN_VALUE, 1e10f};
        for (Rule rule : List.of(plain.lr(0).decay(0), plain.lr(0).l2(0.01).decay(0.1))) {
            try (Engine engine = Engines.open()) {
                Tensor p = engine.tensor(start), g = engine.zeros(8);
                Optimizer optimizer = engine.optimizer(rule);
                for (int t = 0; t < 60; t++) {
                    float huge = t < 40 ? 2e38f : -2e38f;
                    g.set(huge, huge, -huge, huge, huge, Float.MAX_VALUE, huge, 0);
                    optimizer.update(p, g);
                }
                assertSameBits(start, p.get());
            }
        }
    }

    /** {@code add} is a product and a sum, each rounded; of a tensor to itself too. */
    @Test
    void zeroCopyAndAddAreTheSameOnEveryEngine() {
        Random random = new Random(5);
        int n = VALUES.length, size = n * n + 5000;
        float[] x = new float[size], y = new float[size];
        for (int i = 0; i < size; i++) {
            x[i] = i < n * n ? VALUES[i % n] : (float) random.nextGaussian();
            y[i] = i < n * n ? VALUES[i / n] : (float) random.nextGaussian();
        }
        try (Engine engine = Engines.open()) {
            for (float factor : new float[] {1, -0.3f, 0, -0.0f, 1e-30f, Float.POSITIVE_INFINITY}) {
                float[] sum = new float[size], own = new float[size];
                for (int i = 0; i < size; i++) {
                    float product = factor * y[i], self = factor * x[i];
                    sum[i] = x[i] + product;
                    own[i] = x[i] + self;
                }
                Tensor a = engine.tensor(x), b = engine.tensor(y), c = engine.zeros(size);
                c.set(a);
                assertSameBits(x, c.get());
                a.add(b, factor);
                assertSameBits(sum, a.get());
                c.add(c, factor);
                assertSameBits(own, c.get());
                assertSameBits(y, b.get());
                c.zero();
                assertSameBits(new float[size], c.get());
            }
        }
    }
}
