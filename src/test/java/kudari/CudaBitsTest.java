package kudari;

import static kudari.Optimizer.SINGLE;
import static kudari.RulesTest.assertSameBits;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
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
    private static final int[] SIZES = {0, 1, 3, 4, 5, 1023, 1024, 1025, 4097};

    private final SplittableRandom random = new SplittableRandom(1701);
    private final float[] gradient = new float[SIZE];

    /** What {@link #at} made tensors of, which must stay. */
    private final List<Tensor> memory = new ArrayList<>();

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
        Guard guard = Guard.clipNorm(1e6).scale(1 / 3.0);
        Optimizer expected = cpu.optimizer(adam).guard(guard),
                actual = cuda.optimizer(adam).guard(guard);
        follow(adam, expected, actual, false);
        assertEquals(STEPS, actual.steps() - 1, "steps done, for the first was done before");
        assertEquals(Double.doubleToLongBits(expected.norm()), Double.doubleToLongBits(actual.norm()));
    }

    /** In memory of every alignment. The start is a usual one, as are most gradients, of sixty decades; so states grow as they do in a long run, and do not all end as NaN. */
    @ParameterizedTest
    @MethodSource("kudari.RulesTest#table")
    void fiftyStepsOfSixtyDecadesLeaveTheBitsOfTheCpu(RulesTest.Row row) {
        Rule rule = row.of().apply(0.01).l2(0.001).decay(0.1);
        Map<String, Tensor> p = new LinkedHashMap<>(), g = new LinkedHashMap<>();
        Map<String, Tensor> cudaP = new LinkedHashMap<>(), cudaG = new LinkedHashMap<>();
        for (int n = 0; n < SIZES.length; n++) {
            String name = "W" + SIZES[n];
            float[] start = new float[SIZES[n]];
            for (int i = 0; i < start.length; i++) start[i] = (float) random.nextDouble(-1, 1);
            p.put(name, cpu.tensor(start));
            g.put(name, cpu.zeros(start.length));
            cudaP.put(name, start.length == 0 ? cuda.zeros(0) : at(n % 4, start.length));
            cudaP.get(name).set(start);
            cudaG.put(name, start.length == 0 ? cuda.zeros(0) : at(SIZES.length - 1 - n, start.length));
        }
        Optimizer expected = cpu.optimizer(rule), actual = cuda.optimizer(rule);
        for (int step = 0; step < 50; step++) {
            for (String name : p.keySet()) {
                float[] gradient = new float[(int) p.get(name).size()];
                for (int i = 0; i < gradient.length; i++) gradient[i] = decades(i);
                g.get(name).set(gradient);
                cudaG.get(name).set(gradient);
            }
            expected.update(p, g);
            actual.update(cudaP, cudaG);
        }
        for (String name : p.keySet()) {
            assertSameBits(p.get(name).get(), cudaP.get(name).get());
            expected.state(name)
                    .forEach((array, tensor) -> assertSameBits(
                            tensor.get(), actual.state(name).get(array).get()));
        }
    }

    /** A tensor so many floats, of 0 to 3, beyond a multiple of 16 bytes. */
    private Tensor at(int floats, int size) {
        Tensor whole = cuda.zeros(size + 3);
        memory.add(whole);
        return cuda.wrap(cuda.pointer(whole).withByteOffset(floats % 4 * (long) Float.BYTES), size);
    }

    /** From 10⁻³⁰ to 10³⁰; every seventh element may meet anything, or a zero of either sign. */
    private float decades(int i) {
        if (i % 7 == 0 && random.nextInt(8) == 0) return Float.intBitsToFloat(random.nextInt());
        if (i % 7 == 0 && random.nextInt(2) == 0) return random.nextBoolean() ? 0 : -0.0f;
        if (i % 49 == 1 && random.nextInt(64) == 0) return random.nextBoolean() ? 1 / 0f : -1 / 0f;
        return (float) (random.nextDouble(-1, 1) * Math.pow(10, random.nextDouble(-30, 30)));
    }

    /** Steps both from the same bits by the same gradients, and compares after each step. */
    private void follow(Rule rule, Optimizer expected, Optimizer actual, boolean any) {
        float[] start = fill(new float[SIZE], true);
        Tensor p = cpu.tensor(start), g = cpu.wrap(gradient);
        Tensor cudaP = cuda.tensor(start), cudaG = cuda.zeros(SIZE);
        Map<String, Tensor> state = new LinkedHashMap<>(), cudaState = new LinkedHashMap<>();
        for (int n = 0; n < rule.state().size(); n++) {
            String name = rule.state().get(n);
            long[] shape = rule.shape(n, p.shape());
            state.put(name, cpu.wrap(fill(new float[(int) Tensor.size(shape)], true), shape));
            cudaState.put(name, cuda.tensor(state.get(name).get(), shape));
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
        for (int i = 0; i < values.length; i++) {
            float value = Float.intBitsToFloat(random.nextInt());
            values[i] = any || Float.isFinite(value) ? value : Float.intBitsToFloat(random.nextInt() & 0xbfffffff);
        }
        return values;
    }
}
