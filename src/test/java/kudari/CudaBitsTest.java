package kudari;

import static kudari.Optimizer.SINGLE;
import static kudari.RulesTest.assertSameBits;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.util.LinkedHashMap;
import java.util.Map;
import java.util.SplittableRandom;
import kudari.rule.Rule;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * Parameters, gradients and state that are any bits at all, normal or subnormal, infinite or none: the CUDA engine's bits are the CPU's. So many of
 * them as {@code -Dkudari.bits} says.
 */
class CudaBitsTest {

    private static final int SIZE = Integer.getInteger("kudari.bits", 20_000);
    private static final int STEPS = 3;

    private final SplittableRandom random = new SplittableRandom(1701);
    private final float[] gradient = new float[SIZE];

    private CudaEngine cuda;
    private CpuEngine cpu;

    @BeforeEach
    void open() {
        assumeTrue(Engines.onCuda(), "kudari.device names no CUDA device");
        cuda = (CudaEngine) Engines.open();
        cpu = Engine.cpu();
    }

    @AfterEach
    void close() {
        if (cuda == null) return;
        cuda.close();
        cpu.close();
    }

    @ParameterizedTest
    @MethodSource("kudari.RulesTest#table")
    void anyBitsAtAllBecomeTheBitsOfTheCpu(RulesTest.Row row) {
        Rule rule = row.of().apply(0.01);
        follow(rule, cpu.optimizer(rule), cuda.optimizer(rule), true);
    }

    @Test
    void anyFiniteGradientsHaveTheNormOfTheCpuAndAreClippedToItsBits() {
        Rule adam = kudari.rule.Adam.of(0.01);
        Optimizer expected = cpu.optimizer(adam).guard(Guard.clipNorm(1e6)),
                actual = cuda.optimizer(adam).guard(Guard.clipNorm(1e6));
        follow(adam, expected, actual, false);
        assertEquals(STEPS, actual.steps() - 1, "steps done, for the first was done before");
        assertEquals(Double.doubleToLongBits(expected.norm()), Double.doubleToLongBits(actual.norm()));
    }

    /** Steps both from the same bits by the same gradients, and compares after each step. */
    private void follow(Rule rule, Optimizer expected, Optimizer actual, boolean any) {
        float[] start = fill(new float[SIZE], true);
        Tensor p = cpu.tensor(start), g = cpu.wrap(gradient);
        Tensor cudaP = cuda.tensor(start), cudaG = cuda.zeros(SIZE);
        Map<String, Tensor> state = new LinkedHashMap<>(), cudaState = new LinkedHashMap<>();
        for (String name : rule.state()) {
            state.put(name, cpu.wrap(fill(new float[SIZE], true)));
            cudaState.put(name, cuda.tensor(state.get(name).get()));
        }
        expected.resume(1, Map.of(SINGLE, state));
        actual.resume(1, Map.of(SINGLE, cudaState));
        for (int step = 0; step < STEPS; step++) {
            cudaG.set(fill(gradient, any));
            expected.update(p, g);
            actual.update(cudaP, cudaG);
            assertSameBits(p.get(), cudaP.get());
            expected.state(SINGLE)
                    .forEach((name, tensor) -> assertSameBits(
                            tensor.get(), actual.state(SINGLE).get(name).get()));
        }
    }

    /** Random bits; of a float that must be finite, the exponent loses a bit where all are set. */
    private float[] fill(float[] values, boolean any) {
        for (int i = 0; i < SIZE; i++) {
            float value = Float.intBitsToFloat(random.nextInt());
            values[i] = any || Float.isFinite(value) ? value : Float.intBitsToFloat(random.nextInt() & 0xbfffffff);
        }
        return values;
    }
}
