package kudari;

import static kudari.OptimizerTest.refused;
import static kudari.RulesTest.assertSameBits;
import static kudari.RulesTest.assertSameState;
import static kudari.RulesTest.floats;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.SortedMap;
import java.util.TreeMap;
import kudari.checkpoint.Checkpoint;
import kudari.checkpoint.Safetensors.Values;
import kudari.rule.Adam;
import kudari.rule.AdamW;
import kudari.rule.Lamb;
import kudari.rule.Lion;
import kudari.rule.Momentum;
import kudari.rule.Muon;
import kudari.rule.Rule;
import kudari.rule.Sgd;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

/** State in fewer bits than float32. {@link LawsTest} has it beside all else that can be asked for. */
class StateFormatTest {

    private Engine engine;

    @BeforeEach
    void open() {
        engine = Engines.open();
    }

    @AfterEach
    void close() {
        engine.close();
    }

    private static float[] gaussian(long seed, int size) {
        Random random = new Random(seed);
        float[] values = new float[size];
        for (int i = 0; i < size; i++) values[i] = (float) random.nextGaussian();
        return values;
    }

    // ---- the codes ----

    /** By hand, from the definition: 1; the middle of the last of 64 parts of a decade; the middle of the only part of the lowest; the first of its two. */
    @Test
    void theValuesAreThoseOfTheDynamicMap() {
        assertEquals(1, Blockwise.value(255, true));
        assertEquals(0.99296875f, Blockwise.value(254, true));
        assertEquals(5.5e-7f, Blockwise.value(128, true));
        assertEquals(0, Blockwise.value(127, true));
        assertEquals(-5.5e-7f, Blockwise.value(126, true));
        assertEquals(-0.99296875f, Blockwise.value(0, true));
        assertEquals(0.996484375f, Blockwise.value(254, false));
        assertEquals(7.75e-7f, Blockwise.value(2, false));
        assertEquals(3.25e-7f, Blockwise.value(1, false));
        assertEquals(0, Blockwise.value(0, false));
        for (boolean signed : new boolean[] {true, false}) {
            float[] map = Plain.dynamicMap(signed);
            for (int code = 0; code < 256; code++) assertEquals(map[code], Blockwise.value(code, signed), "" + code);
        }
    }

    /** As the README has it: in percent, of the largest magnitudes of a block and of those a hundred to a thousand times smaller. */
    @Test
    void whatABlockKeepsOfANumber() {
        assertEquals(1, worst(true, 0.9, 1));
        assertEquals(0, worst(false, 0.9, 1));
        assertEquals(18, worst(true, 0.001, 0.01));
        assertEquals(11, worst(false, 0.001, 0.01));
    }

    /** The largest error relative to a number between these, which is that of one in the middle of two values. */
    private static long worst(boolean signed, double from, double to) {
        double worst = 0;
        for (int code = signed ? 128 : 1; code < 255; code++) {
            double low = Blockwise.value(code, signed),
                    high = Blockwise.value(code + 1, signed),
                    middle = (low + high) / 2;
            if (from < middle && middle < to) worst = Math.max(worst, (high - middle) / middle);
        }
        return Math.round(100 * worst);
    }

    /** Around each value and each middle between two; and anything. */
    @ParameterizedTest
    @ValueSource(booleans = {true, false})
    void aCodeIsThatOfTheNearestValue(boolean signed) {
        Blockwise codes = Blockwise.of(signed);
        float[] map = Plain.dynamicMap(signed);
        List<Float> all = new ArrayList<>(List.of(2f, -2f, Float.MAX_VALUE, -0f));
        for (int code = 1; code < 256; code++) {
            float middle = (map[code - 1] + map[code]) * 0.5f;
            for (float x : new float[] {map[code - 1], map[code], middle})
                all.addAll(List.of(x, Math.nextUp(x), Math.nextDown(x)));
        }
        Random random = new Random(5);
        for (int n = 0; n < 100_000; n++)
            all.add((random.nextFloat() * 2 - 1) * (float) Math.pow(10, -random.nextInt(8)));
        for (float x : all) {
            int code = codes.code(x), nearest = 0;
            double least = Double.POSITIVE_INFINITY;
            for (int n = 0; n < 256; n++) {
                if (Math.abs((double) map[n] - x) >= least) continue;
                least = Math.abs((double) map[n] - x);
                nearest = n;
            }
            // A middle is rounded once.
            double spare = Float.isFinite(x) ? Math.abs(x) * 0x1p-23 : 0;
            assertTrue(code == nearest || Math.abs((double) map[code] - x) <= least + spare, x + ": " + code);
        }
        for (int code = 0; code < 256; code++) assertEquals(code, codes.code(map[code]));
        assertEquals(255, codes.code(Float.POSITIVE_INFINITY));
        assertEquals(0, codes.code(Float.NEGATIVE_INFINITY));
        assertEquals(0, codes.code(Float.NaN));
    }

    /** A reciprocal of a subnormal would be infinite, and 0 times it NaN; of a NaN the payload is nobody's, and beside infinity nothing else would be told. */
    @Test
    void blocksOfSubnormalsAreZeroAndOfNaNAreTheOneNaN() {
        for (boolean signed : new boolean[] {true, false}) {
            byte[] codes = new byte[4];
            float[] absmax = new float[1];
            Blockwise.of(signed).write(codes, absmax, 0, 4, floats(0, Float.MIN_VALUE, 0x1p-127f, 0));
            assertEquals(0x1p-127f, absmax[0]);
            float[] read = new float[4];
            Blockwise.of(signed).read(codes, absmax, 0, 4, read);
            assertArrayEquals(new float[4], read);
        }
        float[] odd = {1, Float.intBitsToFloat(0xffc01234), -Float.MAX_VALUE, Float.NEGATIVE_INFINITY};
        assertEquals(0x7fc00000, Float.floatToRawIntBits(Blockwise.largest(odd, 0, 3)));
        assertEquals(0x7fc00000, Float.floatToRawIntBits(Blockwise.largest(odd, 3, 4)));
        assertEquals(Float.MAX_VALUE, Blockwise.largest(odd, 2, 3));
    }

    // ---- what is kept ----

    private static final int SIZE = 4096 + 300;

    @ParameterizedTest
    @CsvSource({"BFLOAT16, BF16, F32", "BFLOAT16_STOCHASTIC, BF16, BF16", "BLOCKWISE_8BIT, U8, U8", "FLOAT32, F32, F32"
    })
    void aFormatHasTheseArrays(StateFormat format, Dtype m, Dtype v) {
        Tensor p = engine.zeros(SIZE), g = engine.zeros(SIZE);
        Optimizer adam = engine.optimizer(Group.rest(Adam.of(0.1)).state(format).average(0.5));
        List<String> expected = format == StateFormat.BLOCKWISE_8BIT
                ? List.of("m", "v", "m_absmax", "v_absmax", "average")
                : List.of("m", "v", "average");
        List<StateArray> told = adam.stateArrays(Optimizer.SINGLE, p);
        adam.update(p, g);
        Map<String, Tensor> state = adam.state(Optimizer.SINGLE);
        assertEquals(expected, List.copyOf(state.keySet()));
        assertEquals(expected, told.stream().map(StateArray::name).toList());
        for (StateArray array : told) {
            assertEquals(array.dtype(), state.get(array.name()).dtype());
            assertArrayEquals(array.shape(), state.get(array.name()).shape());
        }
        assertEquals(m, state.get("m").dtype());
        assertEquals(v, state.get("v").dtype());
        if (format == StateFormat.BLOCKWISE_8BIT)
            assertEquals(18, state.get("m_absmax").size());
    }

    /** What a step that is left out leaves: 0, of which the code is 127 where there are both signs; and the parameter, of a master and an average. */
    @ParameterizedTest
    @EnumSource(StateFormat.class)
    void stateBeginsAsZeroInEveryFormat(StateFormat format) {
        Tensor p = engine.tensor(gaussian(1, SIZE), Dtype.BF16), g = engine.zeros(SIZE);
        g.set(filled(SIZE, Float.NaN));
        Optimizer adam = engine.optimizer(Group.rest(Adam.of(0.1)).state(format).average(0.5))
                .guard(Guard.skipNonFinite());
        adam.update(p, g);
        assertEquals(1, adam.skipped());
        boolean blocks = format == StateFormat.BLOCKWISE_8BIT;
        adam.state(Optimizer.SINGLE).forEach((name, array) -> {
            boolean isParam = name.equals("master") || name.equals("average");
            float[] zeros = filled((int) array.size(), blocks && name.equals("m") ? 127 : 0);
            assertSameBits(isParam ? p.get() : zeros, array.get());
        });
    }

    private static float[] filled(int size, float value) {
        float[] values = new float[size];
        Arrays.fill(values, value);
        return values;
    }

    /** A rule of one's own, whose means begin elsewhere, the second twice as far from 0, and move by 1 a step. */
    record Begins(double lr, float initial, Compression compression) implements CustomRuleTest.Plain {
        @Override
        public float factor() {
            return 0;
        }

        @Override
        public List<String> state() {
            return List.of("a", "b");
        }

        @Override
        public float initial(int array) {
            return (array + 1) * initial;
        }

        @Override
        public Compression compression(int array) {
            return compression;
        }
    }

    @ParameterizedTest
    @EnumSource(StateFormat.class)
    void stateBeginsWhereItsRuleSaysInEveryFormat(StateFormat format) {
        for (Begins rule : List.of(
                new Begins(1, 0.5f, Rule.Compression.SIGNED),
                new Begins(1, 0.5f, Rule.Compression.UNSIGNED),
                new Begins(1, -2, Rule.Compression.SIGNED))) {
            if (!format.fits(rule)) continue;
            Tensor p = engine.zeros(SIZE), g = engine.zeros(SIZE);
            Optimizer optimizer = engine.optimizer(Group.rest(rule).state(format));
            optimizer.update(p, g);
            Map<String, Tensor> state = optimizer.state(Optimizer.SINGLE);
            boolean blocks = format == StateFormat.BLOCKWISE_8BIT, signed = rule.compression == Rule.Compression.SIGNED;
            for (int n = 0; n < 2; n++) {
                String name = rule.state().get(n);
                float[] actual = state.get(name).get(),
                        largest = blocks ? state.get(name + "_absmax").get() : new float[0];
                for (int i = 0; i < SIZE; i++) {
                    float of = blocks ? Blockwise.value((int) actual[i], signed) * largest[i / 256] : actual[i];
                    // -1 is none of the values: the nearest to it is 1/142 from it.
                    assertEquals(rule.initial(n) + 1, of, blocks && rule.initial < 0 ? 0.06 : 0, name + " " + i);
                }
            }
        }
    }

    /** As bitsandbytes has it: fewer than 4,096 elements stay in float32. */
    @Test
    void smallParametersStayInFloat32() {
        Optimizer lion = engine.optimizer(Group.rest(Lion.of(0.1)).state(StateFormat.BLOCKWISE_8BIT));
        for (int size : new int[] {0, 1, 4095, 4096}) {
            Tensor p = engine.zeros(size);
            assertEquals(size == 4096 ? 2 : 1, lion.stateArrays("p", p).size());
            assertEquals(
                    size == 4096 ? Dtype.U8 : Dtype.F32,
                    lion.stateArrays("p", p).get(0).dtype());
        }
        assertArrayEquals(
                new long[] {16},
                lion.stateArrays("p", engine.zeros(4096)).get(1).shape());
    }

    @Test
    void aRuleThatTakesNoFewerBitsIsRefused() {
        for (Rule rule : List.of(Sgd.of(0.1), Lamb.of(0.1), Muon.of(0.1)))
            refused(
                    IllegalArgumentException.class,
                    () -> engine.optimizer(Group.rest(rule).state(StateFormat.BFLOAT16)),
                    "group '*': expected the state in FLOAT32, for "
                            + rule.getClass().getSimpleName()
                            + " has no array that takes fewer bits, got BFLOAT16; leave Group.state out, or take Adam");
        refused(
                IllegalArgumentException.class,
                () -> engine.optimizer(Adam.of(1)).update(engine.zeros(Dtype.U8, 3), engine.zeros(Dtype.U8, 3)),
                "expected F32, BF16 or F16, got U8[3]");
    }

    /** By hand: m = ½·1, and then ¾ + 2⁻¹⁰, a quarter of the distance of two bfloat16 beyond ¾: used as it is, and lost. */
    @Test
    void bfloat16IsRoundedAfterItHasBeenUsed() {
        Tensor p = engine.zeros(1), g = engine.tensor(floats(0.5f));
        Optimizer momentum =
                engine.optimizer(Group.rest(Momentum.of(1).momentum(0.5)).state(StateFormat.BFLOAT16));
        momentum.update(p, g);
        g.set(0.5f + 0x1p-10f);
        float before = p.get()[0];
        momentum.update(p, g);
        Tensor v = momentum.state(Optimizer.SINGLE).values().iterator().next();
        assertEquals(Dtype.BF16, v.dtype());
        assertEquals(0.75f, Math.abs(v.get()[0]));
        assertEquals(before - (0.75f + 0x1p-10f), p.get()[0]);
    }

    /** A mean of squares under a β₂ of 0.999 moves by less than half the distance of two bfloat16; rounded stochastically it arrives all the same. */
    @Test
    void aMeanOfSquaresArrivesByStochasticRounding() {
        int size = 4096, steps = Engines.onSoftware() ? 300 : 2000;
        float[] ones = new float[size];
        Arrays.fill(ones, 1);
        Tensor p = engine.zeros(size), g = engine.tensor(ones);
        Optimizer adam = engine.optimizer(Group.rest(Adam.of(0.1)).state(StateFormat.BFLOAT16_STOCHASTIC));
        for (int t = 0; t < steps; t++) adam.update(p, g);
        double mean = 0;
        for (float v : adam.state(Optimizer.SINGLE).get("v").get()) mean += v / size;
        double exact = 1 - Math.pow(0.999, steps);
        // The noise of an element is below that of a walk of 1,000 steps of half a distance, 2⁻⁹ of its value; the
        // mean's is 64 times less; five times it.
        assertEquals(exact, mean, 5 * Math.sqrt(1000) * 0x1p-9 * exact / 64);
    }

    @Test
    void seedsAndArraysHaveRandomBitsOfTheirOwn() {
        Map<String, float[]> first = random(1), again = random(1), other = random(2);
        assertSameBits(first.get("m"), again.get("m"));
        assertTrue(!Arrays.equals(first.get("m"), other.get("m")), "another seed");
        // With β₁ = β₂ and gradients of 1 both means are one number: rounded by the same bits they would be the same.
        assertTrue(!Arrays.equals(first.get("m"), first.get("v")), "another array");
    }

    private Map<String, float[]> random(long seed) {
        float[] ones = new float[5000];
        Arrays.fill(ones, 1);
        Tensor p = engine.zeros(5000), g = engine.tensor(ones);
        Optimizer adam = engine.optimizer(Group.rest(Adam.of(0.1).betas(0.9, 0.9))
                .master(Master.stochastic(seed))
                .state(StateFormat.BFLOAT16_STOCHASTIC));
        adam.update(p, g);
        Map<String, float[]> state = new HashMap<>();
        adam.state(Optimizer.SINGLE).forEach((name, tensor) -> state.put(name, tensor.get()));
        return state;
    }

    // ---- both engines ----

    /** Any gradient at all, with infinities and NaN among them; memory of somebody's that is not aligned; ends that are no whole block. */
    @ParameterizedTest
    @EnumSource(StateFormat.class)
    void theEngineAgreesWithTheCpu(StateFormat format) {
        for (Rule rule : List.of(AdamW.of(0.01), Lion.of(0.01), Momentum.of(0.01)))
            for (Master master : List.of(Master.FLOAT32, Master.REMAINDER, Master.stochastic(3)))
                agree(
                        Group.rest(rule).state(format).master(master).average(0.75),
                        master.kind() == Master.Kind.FLOAT32 ? Dtype.F32 : Dtype.BF16);
    }

    private void agree(Group group, Dtype dtype) {
        int size = SIZE + 3;
        try (Engine cpu = Engine.cpu(1)) {
            Tensor[] p = new Tensor[2], g = new Tensor[2];
            Optimizer[] optimizers = new Optimizer[2];
            for (int n = 0; n < 2; n++) {
                Engine of = n == 0 ? cpu : engine;
                p[n] = of.tensor(gaussian(1, size), dtype);
                g[n] = of.zeros(dtype, size);
                optimizers[n] = of.optimizer(group)
                        .guard(Guard.clipValue(0.5).scale(0.25))
                        .zeroGradients();
            }
            Random random = new Random(2);
            for (int t = 0; t < 4; t++) {
                float[] gradient = gaussian(3 + t, size);
                // Of three blocks alone, for a block with a NaN is all NaN from then on.
                for (int i = 0; i < 700; i += 7) gradient[i] = Float.intBitsToFloat(random.nextInt());
                for (int n = 0; n < 2; n++) {
                    g[n].set(gradient);
                    optimizers[n].update(p[n], g[n]);
                }
                assertSameBits(new float[size], g[1].get());
            }
            assertSameBits(p[0].get(), p[1].get());
            assertSameState(optimizers[0].state(Optimizer.SINGLE), optimizers[1].state(Optimizer.SINGLE));
        }
    }

    /** Two threads, or chunks of a device, and one: a block is nobody's in part. */
    @Test
    void piecesDoNotChangeABit() {
        int size = 300_001;
        float[] start = gaussian(1, size), gradient = gaussian(2, size);
        List<float[]> ends = new ArrayList<>();
        try (Engine one = Engine.cpu(1);
                Engine three = Engine.cpu(3)) {
            for (Engine of : List.of(one, three, engine)) {
                Tensor p = of.tensor(start), g = of.tensor(gradient);
                Optimizer adam = of.optimizer(Group.rest(Adam.of(0.01)).state(StateFormat.BLOCKWISE_8BIT));
                for (int t = 0; t < 2; t++) adam.update(p, g);
                ends.add(p.get());
                ends.add(adam.state(Optimizer.SINGLE).get("v").get());
            }
        }
        for (int n = 2; n < ends.size(); n++) assertSameBits(ends.get(n % 2), ends.get(n));
    }

    /** The first block, and the last, of one element, have something that is not finite, and are NaN; the others are as if there were nothing. */
    @ParameterizedTest
    @ValueSource(floats = {Float.NaN, Float.POSITIVE_INFINITY})
    void aBlockWithAnElementThatIsNotFiniteIsNaN(float x) {
        float[] ones = filled(4097, 1), gradient = filled(4097, 1);
        gradient[100] = gradient[4096] = x;
        Tensor p = engine.zeros(4097), g = engine.tensor(gradient);
        Optimizer lion = engine.optimizer(Group.rest(Lion.of(0.5)).state(StateFormat.BLOCKWISE_8BIT));
        lion.update(p, g);
        float[] largest = lion.state(Optimizer.SINGLE).get("m_absmax").get();
        for (int block = 0; block < 17; block++) assertEquals(block % 16 == 0, Float.isNaN(largest[block]), "" + block);
        g.set(ones);
        lion.update(p, g);
        float[] moved = p.get();
        for (int i = 0; i < 4097; i++) assertEquals(i < 256 || i == 4096 ? Float.NaN : -1, moved[i], "" + i);
    }

    /** What is done to parameters after the rule: by Lookahead, and under decay once in 64 steps, when what is almost 0 becomes a multiple of 2⁻⁹⁴. */
    @ParameterizedTest
    @EnumSource(StateFormat.class)
    void parametersAreSetAfterAStepAsOnTheCpu(StateFormat format) {
        float[] start = gaussian(1, SIZE), gradient = gaussian(2, SIZE);
        for (int i = 0; i < 300; i++) {
            start[i] *= 0x1p-80f;
            gradient[i] = 0;
        }
        Group plain = Group.rest(AdamW.of(0.01).decay(0.1)).state(format);
        for (Group group : List.of(plain, plain.lookahead(2, 0.5)))
            try (Engine cpu = Engine.cpu(1)) {
                List<Tensor> params = new ArrayList<>();
                List<Map<String, Tensor>> states = new ArrayList<>();
                for (Engine of : List.of(cpu, engine)) {
                    Tensor p = of.tensor(start), g = of.tensor(gradient);
                    Optimizer adam = of.optimizer(group);
                    adam.resume(62, Map.of());
                    adam.update(p, g);
                    assertNotEquals(0, p.get()[1] % 0x1p-94f);
                    adam.update(p, g);
                    Map<String, Tensor> state = adam.state(Optimizer.SINGLE);
                    if (group != plain) assertSameBits(state.get("lookahead").get(), p.get());
                    else assertEquals(0, Math.abs(p.get()[1] % 0x1p-94f));
                    params.add(p);
                    states.add(state);
                }
                assertSameBits(params.get(0).get(), params.get(1).get());
                assertSameState(states.get(0), states.get(1));
            }
    }

    // ---- files, and what goes on from state ----

    @ParameterizedTest
    @EnumSource(StateFormat.class)
    void aCheckpointGoesOnByTheSameBits(StateFormat format, @TempDir Path folder) throws Exception {
        Group group = Group.rest(Adam.of(0x1p-8)).state(format).master(Master.stochastic(9));
        Map<String, Tensor> p = Map.of("W", engine.tensor(gaussian(1, SIZE), Dtype.BF16)),
                g = Map.of("W", engine.tensor(gaussian(2, SIZE), Dtype.BF16));
        Optimizer optimizer = engine.optimizer(group);
        for (int t = 0; t < 3; t++) optimizer.update(p, g);
        Path file = folder.resolve("a.safetensors");
        Checkpoint.of(optimizer, p, Map.of()).write(file);
        Checkpoint saved = Checkpoint.read(file);
        for (String array : List.of("m", "v"))
            assertEquals(
                    optimizer.state("W").get(array).dtype(),
                    saved.tensors().get("state/W/Adam." + array).dtype());
        Map<String, Tensor> q = Map.of("W", engine.zeros(Dtype.BF16, SIZE));
        Optimizer resumed = engine.optimizer(group);
        saved.restore(resumed, q);
        for (int t = 0; t < 3; t++) {
            optimizer.update(p, g);
            resumed.update(q, g);
        }
        assertSameBits(p.get("W").get(), q.get("W").get());
        assertSameState(optimizer.state("W"), resumed.state("W"));
    }

    /** Neither by a file nor by tensors; and what is left out of a restore is made anew, whole. */
    @Test
    void stateOfAnotherFormatIsRefused() {
        Map<String, Tensor> p = Map.of("W", engine.tensor(gaussian(1, SIZE))),
                g = Map.of("W", engine.tensor(gaussian(2, SIZE)));
        Optimizer plain = engine.optimizer(Adam.of(0.1));
        plain.update(p, g);
        Checkpoint saved = Checkpoint.of(plain, p, Map.of());
        Optimizer blocks = engine.optimizer(Group.rest(Adam.of(0.1)).state(StateFormat.BLOCKWISE_8BIT));
        refused(
                IllegalArgumentException.class,
                () -> saved.restore(blocks, p),
                "'state/W/Adam.m': expected U8, got F32",
                "'state/W/Adam.m_absmax' is missing",
                "; a run goes on with the names, shapes, types and groups that it was saved with, or in part, by restoreWhatFits");
        Optimizer brain = engine.optimizer(Group.rest(Adam.of(0.1)).state(StateFormat.BFLOAT16));
        refused(
                IllegalArgumentException.class,
                () -> saved.restore(brain, p),
                "'state/W/Adam.m': expected BF16, got F32");
        refused(
                IllegalArgumentException.class,
                () -> brain.resume(1, Map.of("W", plain.state("W"))),
                "state of 'W': expected [m of BF16, v], got [m, v]; state goes on by a group of the same rule, Group.state");
        plain.resume(1, Map.of("W", plain.state("W")));

        brain.update(p, g);
        refused(
                IllegalArgumentException.class,
                () -> engine.optimizer(Adam.of(0.1)).resume(1, Map.of("W", brain.state("W"))),
                "state of 'W': expected [m, v], got [m of BF16, v]");
        blocks.update(p, g);
        Map<String, Values> tensors =
                new HashMap<>(Checkpoint.of(blocks, p, Map.of()).tensors());
        assertEquals(5, tensors.size());
        List<String> faults = saved.restoreWhatFits(blocks, p);
        assertEquals(4, faults.size(), faults::toString);
        assertEquals(1, blocks.steps());
        assertTrue(!blocks.knows("W"), "state that does not fit is made anew");
        blocks.update(p, g);
        assertNotEquals(0, blocks.state("W").get("m_absmax").get()[0]);
    }

    /** By tensors, where the parameter is not there to say how large it is: not at the next update, when the state there was is forgotten. */
    @Test
    void stateThatIsNotInBlocksIsRefusedAtOnce() {
        Map<String, Tensor> p = Map.of("W", engine.tensor(gaussian(1, SIZE))),
                g = Map.of("W", engine.tensor(gaussian(2, SIZE)));
        Group group = Group.rest(Adam.of(0.1)).state(StateFormat.BLOCKWISE_8BIT);
        Optimizer blocks = engine.optimizer(group), plain = engine.optimizer(Adam.of(0.1));
        blocks.update(p, g);
        plain.update(p, g);
        String expected = "state of 'W': expected [m of U8, v of U8, m_absmax, v_absmax], got ";
        refusedState(blocks, plain.state("W"), expected + "[m, v]");
        Map<String, Tensor> state = new HashMap<>(blocks.state("W"));
        state.remove("m_absmax");
        refusedState(blocks, state, expected + "[m of U8, v of U8, v_absmax]");
        state.remove("v_absmax");
        refusedState(blocks, state, expected + "[m of U8, v of U8]");
        state.putAll(blocks.state("W"));
        state.put("m", plain.state("W").get("m"));
        refusedState(blocks, state, expected + "[m, m_absmax, v of U8, v_absmax]");
        state.put("m", blocks.state("W").get("m"));
        state.put("v_absmax", engine.zeros(17));
        refusedState(blocks, state, "state of 'W', v_absmax: expected shape [18], got [17]");
        state.put("v_absmax", engine.zeros(18));
        state.put("v", engine.zeros(Dtype.U8, SIZE, 1));
        refusedState(blocks, state, "state of 'W', v: expected shape [" + SIZE + "], got [" + SIZE + ", 1]");
        state.put("m", engine.zeros(Dtype.U8, 300)); // of so few elements it would be float32
        state.put("v", engine.zeros(Dtype.U8, 300));
        refusedState(blocks, state, "state of 'W': expected [m, v], got [m of U8, m_absmax, v of U8, v_absmax]");
        Tensor half = engine.zeros(300);
        engine.optimizer(group).resume(1, Map.of("W", Map.of("m", half, "v", half)));
        blocks.update(p, g);
        assertEquals(2, blocks.steps());
    }

    private static void refusedState(Optimizer optimizer, Map<String, Tensor> state, String words) {
        refused(IllegalArgumentException.class, () -> optimizer.resume(1, Map.of("W", state)), words);
    }

    /** Which without them would be those of other numbers. */
    @Test
    void codesWithoutTheirLargestMagnitudesAreMadeAnew() {
        Map<String, Tensor> p = Map.of("W", engine.tensor(gaussian(1, SIZE))),
                g = Map.of("W", engine.tensor(gaussian(2, SIZE)));
        Group group = Group.rest(Adam.of(0.1)).state(StateFormat.BLOCKWISE_8BIT);
        Optimizer adam = engine.optimizer(group), other = engine.optimizer(group);
        adam.update(p, g);
        Checkpoint saved = Checkpoint.of(adam, p, Map.of());
        SortedMap<String, Values> some = new TreeMap<>(saved.tensors());
        some.remove("state/W/Adam.v_absmax");
        Checkpoint part = new Checkpoint(saved.counts(), saved.rule(), saved.facts(), some);
        assertEquals(List.of("'state/W/Adam.v_absmax' is missing"), part.restoreWhatFits(other, p));
        assertTrue(!other.knows("W"));
    }

    /** By tensors, of parameters of many elements and of few. */
    @ParameterizedTest
    @EnumSource(StateFormat.class)
    void aResumeGoesOnByTheSameBits(StateFormat format) {
        Group group = Group.rest(Adam.of(0.01)).state(format).average(0.75);
        Map<String, Tensor> p = new HashMap<>(), q = new HashMap<>(), g = new HashMap<>();
        Map.of("W", SIZE, "b", 5).forEach((name, size) -> {
            p.put(name, engine.tensor(gaussian(1, size)));
            g.put(name, engine.tensor(gaussian(2, size)));
        });
        Optimizer adam = engine.optimizer(group), resumed = engine.optimizer(group);
        for (int t = 0; t < 2; t++) adam.update(p, g);
        p.forEach((name, tensor) -> q.put(name, engine.tensor(tensor.get())));
        resumed.resume(adam.counts(), Map.of("W", adam.state("W"), "b", adam.state("b")));
        adam.update(p, g);
        resumed.update(q, g);
        for (String name : p.keySet()) {
            assertSameBits(p.get(name).get(), q.get(name).get());
            assertSameState(adam.state(name), resumed.state(name));
        }
    }

    /** A rule of one's own, whose state is the last gradient: ours never leave a subnormal. */
    record Last(double lr) implements CustomRuleTest.Plain {
        @Override
        public float factor() {
            return 0;
        }

        @Override
        public Compression compression(int array) {
            return Compression.SIGNED;
        }

        @Override
        public void apply(float[] k, float scale, float trust, int from, int to, float[] p, float[] g, float[][] s) {
            for (int i = from; i < to; i++) s[0][i] = scale * g[i];
        }

        @Override
        public String kernel() {
            return """
                    #include "step.cuh"
                    STEP(last, 1) {
                      for (int i = 0; i < E; i++) s[0][i] = scale * g[i];
                    }
                    """;
        }
    }

    @Test
    void aBlockOfSubnormalsIsZeroOnEveryEngine() {
        float[] gradient = filled(SIZE, 0x1p-130f);
        gradient[7] = 0;
        Tensor p = engine.zeros(SIZE), g = engine.tensor(gradient);
        Optimizer optimizer = engine.optimizer(Group.rest(new Last(1)).state(StateFormat.BLOCKWISE_8BIT));
        optimizer.update(p, g);
        Map<String, Tensor> state = optimizer.state(Optimizer.SINGLE);
        assertSameBits(filled(SIZE, 127), state.get("n").get());
        assertSameBits(filled(18, 0x1p-130f), state.get("n_absmax").get());
    }

    /** A rule of one's own, whose second array alone takes fewer bits. */
    record Second(double lr) implements CustomRuleTest.Plain {
        @Override
        public float factor() {
            return 1;
        }

        @Override
        public List<String> state() {
            return List.of("a", "b");
        }

        @Override
        public Compression compression(int array) {
            return array == 1 ? Compression.UNSIGNED : Compression.NONE;
        }
    }

    @Test
    void arraysInFewerBitsStandBesideOthers() {
        Tensor p = engine.zeros(SIZE), g = engine.tensor(filled(SIZE, 0.5f));
        Optimizer optimizer = engine.optimizer(Group.rest(new Second(1)).state(StateFormat.BLOCKWISE_8BIT));
        for (int t = 0; t < 3; t++) optimizer.update(p, g);
        Map<String, Tensor> state = optimizer.state(Optimizer.SINGLE);
        assertEquals(List.of("a", "b", "b_absmax"), List.copyOf(state.keySet()));
        assertSameBits(filled(SIZE, -1.5f), p.get());
        assertSameBits(filled(SIZE, 3), state.get("a").get());
        assertSameBits(filled(SIZE, 255), state.get("b").get());
        assertSameBits(filled(18, 3), state.get("b_absmax").get());
    }

    /** A rule of one's own, whose arrays have names like those of largest magnitudes. */
    record Named(double lr, List<String> state) implements CustomRuleTest.Plain {
        @Override
        public float factor() {
            return 1;
        }

        @Override
        public Compression compression(int array) {
            return Compression.UNSIGNED;
        }
    }

    @Test
    void arraysOfARuleAreToldFromTheirLargestMagnitudes() {
        refused(
                IllegalArgumentException.class,
                () -> engine.optimizer(Group.rest(new Named(1, List.of("n", "n_absmax")))),
                "state(): expected no array 'n_absmax', which is the group's, got [n, n_absmax]");
        for (int size : new int[] {3, SIZE}) {
            Tensor p = engine.zeros(size), g = engine.zeros(size);
            Optimizer optimizer = engine.optimizer(
                    Group.rest(new Named(1, List.of("n_absmax"))).state(StateFormat.BLOCKWISE_8BIT));
            optimizer.update(p, g);
            optimizer.resume(1, Map.of(Optimizer.SINGLE, optimizer.state(Optimizer.SINGLE)));
            optimizer.update(p, g);
            assertEquals(
                    size < 4096 ? List.of("n_absmax") : List.of("n_absmax", "n_absmax_absmax"),
                    List.copyOf(optimizer.state(Optimizer.SINGLE).keySet()));
        }
    }

    /**
     * As {@link MasterTest} counts: p and g, and m and v of so many bytes, all read and written but g, which is read, and a p that is rounded of a master, which
     * is written. Of each block of an array in 8 bits 4 bytes are written, and read by each of 32 threads, which a device does once.
     */
    @ParameterizedTest
    @CsvSource({
        "FLOAT32, BF16, STOCHASTIC, 22, 0",
        "BFLOAT16, BF16, STOCHASTIC, 18, 0",
        "BFLOAT16_STOCHASTIC, BF16, STOCHASTIC, 14, 0",
        "BFLOAT16_STOCHASTIC, BF16, FLOAT32, 20, 0",
        "BLOCKWISE_8BIT, BF16, STOCHASTIC, 10, 2",
        "BLOCKWISE_8BIT, BF16, FLOAT32, 16, 2",
        "BLOCKWISE_8BIT, F32, FLOAT32, 16, 2"
    })
    void aStepMovesTheBytesOfItsFormat(StateFormat format, Dtype dtype, Master.Kind kind, int bytes, int arrays) {
        assumeTrue(Engines.onSoftware(), "kudari.device is not soft");
        Group group = Group.rest(AdamW.of(0.01)).master(new Master(kind, 0)).state(format);
        long blocks = MasterTest.COUNTED / Blockwise.BLOCK;
        assertEquals(
                bytes * (long) MasterTest.COUNTED + blocks * arrays * 4 * 33,
                MasterTest.bytesOf(engine, group, dtype, dtype, false));
    }
}
