package kudari;

import static java.util.stream.Collectors.toSet;
import static kudari.OptimizerTest.refused;
import static kudari.RulesTest.assertSameBits;
import static kudari.RulesTest.assertSameState;
import static kudari.RulesTest.floats;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.stream.Stream;
import kudari.checkpoint.Checkpoint;
import kudari.rule.Adafactor;
import kudari.rule.Adam;
import kudari.rule.AdamW;
import kudari.rule.Lamb;
import kudari.rule.Muon;
import kudari.rule.Rule;
import kudari.rule.Sgd;
import kudari.softcuda.Control;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;

/** Parameters of 16 bits, and how their float32 values are kept. {@link LawsTest} has them beside all else that can be asked for. */
class MasterTest {

    private Engine engine;

    @BeforeEach
    void open() {
        engine = Engines.open();
    }

    @AfterEach
    void close() {
        engine.close();
    }

    private Map<String, Tensor> one(Dtype dtype, float... values) {
        return Map.of("W", engine.tensor(values, dtype));
    }

    /**
     * By hand: steps of 2⁻¹⁰ down from 1, below which bfloat16 are 2⁻⁸ apart. The master is 1 − t·2⁻¹⁰; half a distance is a tie, and goes to 1, which is
     * even. Without one every step ends at a quarter of the distance, and is lost.
     */
    @Test
    void aMasterKeepsWhatRoundingLoses() {
        Map<String, Tensor> p = one(Dtype.BF16, 1), q = one(Dtype.BF16, 1), g = one(Dtype.BF16, 1);
        Optimizer with = engine.optimizer(Sgd.of(0x1p-10));
        Optimizer without = engine.optimizer(Group.rest(Sgd.of(0x1p-10)).master(Master.NEAREST));
        assertEquals(List.of("master"), names(with.stateArrays("W", p.get("W"))));
        float[] expected = {1, 1, 0.99609375f, 0.99609375f, 0.99609375f, 0.9921875f};
        for (int t = 1; t <= 6; t++) {
            with.update(p, g);
            without.update(q, g);
            assertSameBits(
                    floats(1 - t * 0x1p-10), with.state("W").get("master").get());
            assertSameBits(floats(expected[t - 1]), p.get("W").get());
            assertSameBits(floats(1), q.get("W").get());
        }
        assertEquals(Dtype.F32, with.state("W").get("master").dtype());
        assertTrue(without.state("W").isEmpty());
    }

    /**
     * By hand: from 1, 3f800000 in bits, down by 2⁻¹⁰ to 3f7fc000, 3f7f8000, 3f7f4000: the first rounds to 3f80, less 4000; the second is a tie, away from
     * zero to 3f80, less 8000; the third rounds to 3f7f, and 4000 more.
     */
    @Test
    void aParameterAndItsRemainderAreTheFloat32Value() {
        Map<String, Tensor> p = one(Dtype.BF16, 1), g = one(Dtype.BF16, 1);
        Optimizer sgd = engine.optimizer(Group.rest(Sgd.of(0x1p-10)).master(Master.REMAINDER));
        int[] upper = {0x3f80, 0x3f80, 0x3f7f}, lower = {0xc000, 0x8000, 0x4000};
        for (int t = 0; t < 3; t++) {
            sgd.update(p, g);
            assertEquals(upper[t], Float.floatToRawIntBits(p.get("W").get()[0]) >>> 16);
            Tensor remainder = sgd.state("W").get("remainder");
            assertEquals(lower[t], Float.floatToRawIntBits(remainder.get()[0]) >>> 16);
            assertEquals(Dtype.BF16, remainder.dtype());
        }
    }

    /** The same numbers as with a master, wherever rounding goes: all floats at once would take long, so many of them do. */
    @Test
    void anyFloatIsSplitAndJoined() {
        Random random = new Random(21);
        for (int n = 0; n < 1_000_000; n++) {
            float x = Float.intBitsToFloat(n < 4096 ? 0x7f7fffff - n : random.nextInt());
            int upper = Conversion.toBfloat16Away(x) & 0xffff;
            float joined = Conversion.joined(upper, Conversion.remainder(x)), rounded = Conversion.ofBfloat16(upper);
            if (x != x) {
                assertTrue(joined != joined && rounded != rounded);
            } else {
                assertEquals(Float.floatToRawIntBits(x), Float.floatToRawIntBits(joined));
                float nearest = Plain.nearest(Dtype.BF16, x);
                boolean tie = (Float.floatToRawIntBits(x) & 0xffff) == 0x8000;
                if (rounded != nearest && !tie) assertEquals(nearest, rounded, "" + x);
            }
        }
    }

    @Test
    void aRemainderOfAWholeTensorsRuleIsRefused() {
        Optimizer lamb = engine.optimizer(Group.rest(Lamb.of(0.1)).master(Master.REMAINDER));
        refused(
                IllegalArgumentException.class,
                () -> lamb.update(one(Dtype.BF16, 1), one(Dtype.BF16, 1)),
                "params 'W': expected the master FLOAT32, for Lamb looks at whole tensors, got a remainder");
        Optimizer sgd = engine.optimizer(Group.rest(Sgd.of(0.1)).master(Master.REMAINDER));
        refused(
                IllegalArgumentException.class,
                () -> sgd.update(one(Dtype.F16, 1), one(Dtype.F16, 1)),
                "params 'W': expected BF16, which alone has a remainder, got F16[1]");
    }

    /** Rules of matrices, too, see the master, and gradients widened: it is what a parameter of float32 is, to the last bit. */
    @ParameterizedTest
    @EnumSource(
            value = Dtype.class,
            names = {"BF16", "F16"})
    void aMasterOfAMatrixIsItsFloat32Self(Dtype dtype) {
        for (Rule rule : List.of(Muon.of(0.02), Adafactor.of(0.02)))
            for (Dtype grad : List.of(dtype, Dtype.F32)) {
                int rows = 37, columns = 51;
                float[] start = gaussian(7, rows * columns), gradient = gaussian(8, rows * columns);
                for (int i = 0; i < start.length; i++) {
                    start[i] = Plain.nearest(dtype, start[i]);
                    gradient[i] = Plain.nearest(dtype, gradient[i]);
                }
                Tensor p = engine.tensor(start, dtype, rows, columns), g = engine.tensor(gradient, grad, rows, columns);
                Tensor q = engine.tensor(start, rows, columns), h = engine.tensor(gradient, rows, columns);
                Optimizer half = engine.optimizer(rule).guard(Guard.clipNorm(1)),
                        whole = engine.optimizer(rule).guard(Guard.clipNorm(1));
                for (int t = 0; t < 3; t++) {
                    half.update(p, g);
                    whole.update(q, h);
                }
                Map<String, Tensor> state = half.state(Optimizer.SINGLE);
                assertSameBits(q.get(), state.get("master").get());
                whole.state(Optimizer.SINGLE)
                        .forEach((name, array) ->
                                assertSameBits(array.get(), state.get(name).get()));
                float[] rounded = q.get();
                for (int i = 0; i < rounded.length; i++) rounded[i] = Plain.nearest(dtype, rounded[i]);
                assertSameBits(rounded, p.get());
            }
    }

    @Test
    void aRemainderOfAMatrixRuleIsRefused() {
        for (Rule rule : List.of(Muon.of(0.1), Adafactor.of(0.1))) {
            Map<String, Tensor> p = Map.of("W", engine.zeros(Dtype.BF16, 2, 3)), g = Map.of("W", engine.zeros(2, 3));
            Optimizer optimizer = engine.optimizer(Group.rest(rule).master(Master.REMAINDER));
            refused(
                    IllegalArgumentException.class,
                    () -> optimizer.update(p, g),
                    "params 'W': expected the master FLOAT32, for "
                            + rule.getClass().getSimpleName() + " looks at whole tensors, got a remainder");
        }
    }

    /** In float16, whose numbers below 1 are 2⁻¹¹ apart, the step of a half is a tie: to 1, which is even. */
    @Test
    void aMasterOfFloat16() {
        Map<String, Tensor> p = one(Dtype.F16, 1), g = one(Dtype.F32, 1);
        Optimizer sgd = engine.optimizer(Sgd.of(0x1p-12));
        sgd.update(p, g);
        assertSameBits(floats(1), p.get("W").get());
        sgd.update(p, g);
        assertSameBits(floats(1 - 0x1p-11), p.get("W").get());
    }

    /** By hand: in units of 2⁻¹⁰ below 1, the master is at 1, 2, 3, and the average at 0.5, 1.25, 2.125; the parameter is the master, rounded to a multiple of 4. */
    @Test
    void aMasterStandsBeforeAnAverage() {
        Map<String, Tensor> p = one(Dtype.BF16, 1), g = one(Dtype.BF16, 1);
        Optimizer sgd = engine.optimizer(Group.rest(Sgd.of(0x1p-10)).average(0.5));
        float[] averages = {0.5f, 1.25f, 2.125f}, params = {0, 0, 4};
        for (int t = 1; t <= 3; t++) {
            sgd.update(p, g);
            Map<String, Tensor> state = sgd.state("W");
            assertEquals(List.of("master", "average"), List.copyOf(state.keySet()));
            assertSameBits(floats(1 - t * 0x1p-10), state.get("master").get());
            assertSameBits(
                    floats(1 - averages[t - 1] * 0x1p-10), state.get("average").get());
            assertSameBits(floats(1 - params[t - 1] * 0x1p-10), p.get("W").get());
        }
    }

    /** Float32 beside it in one group has none, and steps as ever; the gradients of both may be of float32. */
    @Test
    void aGroupHoldsBothTypes() {
        Map<String, Tensor> p = Map.of("W", engine.tensor(floats(1), Dtype.BF16), "b", engine.tensor(floats(1)));
        Map<String, Tensor> g = Map.of("W", engine.tensor(floats(1)), "b", engine.tensor(floats(1)));
        Optimizer adam = engine.optimizer(Adam.of(0x1p-10));
        adam.update(p, g);
        assertEquals(List.of("m", "v", "master"), List.copyOf(adam.state("W").keySet()));
        assertEquals(List.of("m", "v"), List.copyOf(adam.state("b").keySet()));
        assertSameBits(p.get("b").get(), adam.state("W").get("master").get());
        assertSameBits(floats(1), p.get("W").get());
    }

    /** Whatever the type, the sums over a tensor are those of the master and of the gradient, widened. */
    @Test
    void aRuleThatLooksAtAWholeTensorLooksAtTheMaster() {
        float[] start = gaussian(5, 5000), gradient = gaussian(6, 5000);
        for (int i = 0; i < start.length; i++) {
            start[i] = Plain.nearest(Dtype.BF16, start[i]);
            gradient[i] = Plain.nearest(Dtype.BF16, gradient[i]);
        }
        Map<String, Tensor> p = one(Dtype.BF16, start), g = one(Dtype.BF16, gradient);
        Map<String, Tensor> q = one(Dtype.F32, start), h = one(Dtype.F32, gradient);
        Optimizer half = engine.optimizer(Lamb.of(0.01)).guard(Guard.clipNorm(1)),
                whole = engine.optimizer(Lamb.of(0.01)).guard(Guard.clipNorm(1));
        for (int t = 0; t < 5; t++) {
            half.update(p, g);
            whole.update(q, h);
        }
        assertSameBits(q.get("W").get(), half.state("W").get("master").get());
        assertEquals(whole.norm(), half.norm());
    }

    /**
     * 1 − 2⁻¹⁰ lies a quarter of the way from 1 to 1 − 2⁻⁸: of 65,536 elements three quarters stay, give or take five times √(65536·¾·¼) = 111.
     */
    @Test
    void stochasticRoundingIsRightInTheMean() {
        float[] ones = new float[1 << 16];
        Arrays.fill(ones, 1);
        Map<String, Tensor> p = one(Dtype.BF16, ones), g = one(Dtype.BF16, ones);
        engine.optimizer(Group.rest(Sgd.of(0x1p-10)).master(Master.stochastic(7)))
                .update(p, g);
        int stayed = 0;
        for (float x : p.get("W").get()) {
            assertTrue(x == 1 || x == 0.99609375f, "" + x);
            if (x == 1) stayed++;
        }
        assertEquals(49_152, stayed, 555);
    }

    /** By the words of {@link PhiloxTest}: the random bits of element i are those of its name, its place and the step alone, whatever is beside it. */
    @Test
    void groupsAndOtherTensorsDoNotChangeTheRandomBitsAndSeedsDo() {
        float[] start = gaussian(1, 40_003), gradient = gaussian(2, 40_003);
        Map<String, Tensor> alone = one(Dtype.BF16, start), other = one(Dtype.BF16, start);
        Map<String, Tensor> g = one(Dtype.BF16, gradient);
        Map<String, Tensor> beside = new HashMap<>(one(Dtype.BF16, start)), besideG = new HashMap<>(g);
        for (String name : List.of("A", "Z")) {
            beside.put(name, engine.tensor(gaussian(3, 777), Dtype.BF16));
            besideG.put(name, engine.tensor(gaussian(4, 777), Dtype.BF16));
        }
        Group group = Group.rest(Sgd.of(0x1p-7)).master(Master.stochastic(1));
        Optimizer first = engine.optimizer(group), second = engine.optimizer(Group.of("A", Sgd.of(0.5)), group);
        Optimizer third = engine.optimizer(Group.rest(Sgd.of(0x1p-7)).master(Master.stochastic(2)));
        for (int t = 0; t < 3; t++) {
            first.update(alone, g);
            second.update(beside, besideG);
            third.update(other, g);
        }
        assertSameBits(alone.get("W").get(), beside.get("W").get());
        assertTrue(!Arrays.equals(alone.get("W").get(), other.get("W").get()), "another seed, other bits");
    }

    /**
     * From 1 to 3 by steps of 2⁻⁹ of the way, which in exact numbers ends 2·(1 − 2⁻⁹)ᵗ before it. At 1 that step is half the distance of two bfloat16, a
     * tie: to nearest it goes nowhere, 2,000 times. Rounded stochastically, 4,096 elements end there in the mean: each has a noise of not more than a
     * distance, 2⁻⁶, the mean 64 times less, and five times that is given. A master is there but for a distance, by which the parameter that the
     * gradient is of is rounded.
     */
    @Test
    void twoThousandSmallStepsArriveByStochasticRoundingAndNotByNearest() {
        int size = 4096;
        float[] ones = new float[size];
        Arrays.fill(ones, 1);
        double[] ends = new double[3];
        int steps = Engines.onSoftware() ? 200 : 2000;
        double exact = 3 - 2 * Math.pow(1 - 0x1p-9, steps);
        Master[] masters = {Master.FLOAT32, Master.stochastic(3), Master.NEAREST};
        for (int n = 0; n < masters.length; n++) {
            Tensor p = engine.tensor(ones, Dtype.BF16), g = engine.zeros(size), target = engine.zeros(size);
            target.set(threes(size));
            Optimizer sgd = engine.optimizer(Group.rest(Sgd.of(0x1p-9)).master(masters[n]));
            for (int t = 0; t < steps; t++) {
                g.set(p);
                g.add(target, -1);
                sgd.update(p, g);
            }
            for (float x : p.get()) ends[n] += x / size;
        }
        assertEquals(exact, ends[0], 0x1p-6);
        assertEquals(exact, ends[1], 5 * 0x1p-12);
        assertEquals(1, ends[2]);
    }

    /** Every type on every engine: the laws have not all of them on the GPU in software. Any gradient at all, NaN and what overflows float16 among them. */
    @ParameterizedTest
    @EnumSource(LawsTest.Precision.class)
    void theEngineAgreesWithTheCpu(LawsTest.Precision precision) {
        int size = 5003;
        Group group = Group.rest(AdamW.of(0.01)).master(precision.master).average(0.75);
        try (Engine cpu = Engine.cpu(1)) {
            Tensor[] p = new Tensor[2], g = new Tensor[2];
            Optimizer[] optimizers = new Optimizer[2];
            for (int n = 0; n < 2; n++) {
                Engine of = n == 0 ? cpu : engine;
                p[n] = of.tensor(gaussian(1, size), precision.param);
                g[n] = of.zeros(precision.grad, size);
                optimizers[n] = of.optimizer(group).guard(Guard.clipValue(0.5).scale(0.25));
            }
            Random random = new Random(2);
            for (int t = 0; t < 5; t++) {
                float[] gradient = gaussian(3 + t, size);
                for (int i = 0; i < size; i += 7) gradient[i] = Float.intBitsToFloat(random.nextInt());
                for (int n = 0; n < 2; n++) {
                    g[n].set(gradient);
                    optimizers[n].update(p[n], g[n]);
                }
            }
            assertSameBits(p[0].get(), p[1].get());
            assertSameState(optimizers[0].state(Optimizer.SINGLE), optimizers[1].state(Optimizer.SINGLE));
        }
    }

    private static float[] threes(int size) {
        float[] threes = new float[size];
        Arrays.fill(threes, 3);
        return threes;
    }

    private static float[] gaussian(long seed, int size) {
        Random random = new Random(seed);
        float[] values = new float[size];
        for (int i = 0; i < size; i++) values[i] = (float) random.nextGaussian();
        return values;
    }

    /** A file has the master, and a run that resumes from it goes on by the same bits; the random bits too. */
    @ParameterizedTest
    @EnumSource(Master.Kind.class)
    void aCheckpointGoesOnByTheSameBits(Master.Kind kind) {
        Group group = Group.rest(Adam.of(0x1p-8))
                .master(kind == Master.Kind.STOCHASTIC ? Master.stochastic(9) : new Master(kind, 0))
                .average(0.75);
        Map<String, Tensor> p = one(Dtype.BF16, gaussian(1, 100)), g = one(Dtype.BF16, gaussian(2, 100));
        Optimizer optimizer = engine.optimizer(group);
        for (int t = 0; t < 3; t++) optimizer.update(p, g);
        Checkpoint saved = Checkpoint.of(optimizer, p, Map.of());
        assertEquals(kind == Master.Kind.FLOAT32, saved.tensors().containsKey("state/W/Adam.master"));
        assertEquals(kind == Master.Kind.REMAINDER, saved.tensors().containsKey("state/W/Adam.remainder"));
        Map<String, Tensor> q = one(Dtype.BF16, new float[100]);
        Optimizer resumed = engine.optimizer(group);
        saved.restore(resumed, q);
        for (int t = 0; t < 3; t++) {
            optimizer.update(p, g);
            resumed.update(q, g);
        }
        assertSameBits(p.get("W").get(), q.get("W").get());
        assertSameState(optimizer.state("W"), resumed.state("W"));
    }

    @Test
    void anotherWayThanTheSavedIsRefused() {
        Map<String, Tensor> p = one(Dtype.BF16, 1), g = one(Dtype.BF16, 1);
        Group with = Group.rest(Adam.of(0.1)), without = with.master(Master.NEAREST);
        Optimizer optimizer = engine.optimizer(with), other = engine.optimizer(without);
        optimizer.update(p, g);
        other.update(p, g);
        refused(
                IllegalArgumentException.class,
                () -> Checkpoint.of(optimizer, p, Map.of()).restore(other, p),
                "the checkpoint does not fit: 'state/W/Adam.master' is not this run's");
        refused(
                IllegalArgumentException.class,
                () -> Checkpoint.of(other, p, Map.of()).restore(optimizer, p),
                "the checkpoint does not fit: 'state/W/Adam.master' is missing");
        refused(
                IllegalArgumentException.class,
                () -> engine.optimizer(without).resume(1, Map.of("W", optimizer.state("W"))),
                "state of 'W': expected [m, v], got [m, master, v]");
        Optimizer resumed = engine.optimizer(with);
        resumed.resume(1, Map.of("W", other.state("W"))); // as of a parameter of float32
        refused(
                IllegalArgumentException.class,
                () -> resumed.update(p, g),
                "params 'W', by its group: expected state [m, v, master], got [m, v]");
    }

    @Test
    void aRemainderThatWasNotSavedBeginsAsNothing() {
        Tensor p = engine.tensor(new float[] {1, -2}, Dtype.BF16), g = engine.tensor(new float[] {1, 1}, Dtype.BF16);
        Optimizer nearest = engine.optimizer(Group.rest(Adam.of(0.1)).master(Master.NEAREST));
        nearest.update(p, g);
        Checkpoint saved = Checkpoint.of(nearest, Map.of(Optimizer.SINGLE, p), Map.of());
        Tensor other = engine.tensor(new float[] {7, 0.3f}, Dtype.BF16);
        Optimizer with = engine.optimizer(Group.rest(Adam.of(0.1)).master(Master.REMAINDER));
        assertEquals(
                1, saved.restoreWhatFits(with, Map.of(Optimizer.SINGLE, other)).size());
        assertArrayEquals(p.get(), other.get());
        assertArrayEquals(
                new float[2], with.state(Optimizer.SINGLE).get("remainder").get());
    }

    /** Its master would be the saved one, and the first step would put that in the place of a parameter that stayed as it was. */
    @Test
    void aParameterOfAnotherTypeThanSavedGetsNewState() {
        Tensor p = engine.tensor(new float[] {1, -2}, Dtype.F16), g = engine.tensor(new float[] {1, 1});
        Optimizer before = engine.optimizer(Adam.of(0.125));
        before.update(p, g);
        Checkpoint saved = Checkpoint.of(before, Map.of(Optimizer.SINGLE, p), Map.of());
        Tensor other = engine.tensor(new float[] {16, 16}, Dtype.BF16);
        Optimizer after = engine.optimizer(Adam.of(0.125));
        assertEquals(
                List.of("'params/param': expected BF16, got F16"),
                saved.restoreWhatFits(after, Map.of(Optimizer.SINGLE, other)));
        assertArrayEquals(new float[] {16, 16}, other.get());
        assertFalse(after.knows(Optimizer.SINGLE));
        after.update(other, g);
        assertEquals(16, after.state(Optimizer.SINGLE).get("master").get()[0], 0.25);
    }

    /** The seed is of random bits alone; and a step takes what goes together. */
    @Test
    void whatDoesNotGoTogetherIsRefused() {
        refused(
                IllegalArgumentException.class,
                () -> new Master(Master.Kind.NEAREST, 3),
                "seed: expected 0 where nothing is random, got 3");
        Optimizer sgd = engine.optimizer(Group.rest(Sgd.of(1)).master(Master.stochastic(1)));
        refused(
                IllegalArgumentException.class,
                () -> sgd.update(one(Dtype.F16, 1), one(Dtype.F16, 1)),
                "params 'W': expected BF16, which alone is rounded stochastically, got F16[1] on " + engine
                        + "; give its group the master FLOAT32");
        refused(
                IllegalArgumentException.class,
                () -> sgd.update(one(Dtype.BF16, 1), one(Dtype.F16, 1)),
                "grads 'W': expected a tensor of BF16 or F32, for its parameter is of BF16, got F16[1]");
        refused(
                IllegalArgumentException.class,
                () -> sgd.update(one(Dtype.F32, 1), one(Dtype.BF16, 1)),
                "grads 'W': expected a tensor of F32, for its parameter is of F32, got BF16[1]");
        assertEquals(0, sgd.steps());
    }

    /**
     * What the GPU in software counts of a step over twice as many elements in as many chunks, less what it counts of a step: the elements alone. p and g of 2
     * bytes, m, v and a master of 4, all read and written but p, which is written, and g, which is read.
     */
    @ParameterizedTest
    @CsvSource({
        "BF16, BF16, FLOAT32, false, 28",
        "F16, F16, FLOAT32, false, 28",
        "BF16, F32, FLOAT32, false, 30",
        "BF16, BF16, REMAINDER, false, 26",
        "BF16, BF16, STOCHASTIC, false, 22",
        "F16, F16, NEAREST, false, 22",
        "F32, F32, NEAREST, false, 28",
        "BF16, BF16, FLOAT32, true, 30"
    })
    void aStepMovesTheBytesOfItsFormatAndNotOneMore(
            Dtype param, Dtype grad, Master.Kind kind, boolean zeroes, int bytes) {
        assumeTrue(Engines.onSoftware(), "kudari.device is not soft");
        Group group = Group.rest(AdamW.of(0.01)).master(new Master(kind, 0));
        assertEquals(bytes * (long) COUNTED, bytesOf(engine, group, param, grad, zeroes));
    }

    /** Of how many elements {@link #bytesOf} counts. */
    static final int COUNTED = 32 * 1024;

    /** What the GPU in software counts of a step over twice as many elements in as many chunks, less what it counts of a step. */
    static long bytesOf(Engine engine, Group group, Dtype param, Dtype grad, boolean zeroes) {
        Control control = new Control();
        long[] moved = new long[2];
        for (int n = 0; n < 2; n++) {
            int size = COUNTED * (n + 1);
            Tensor p = engine.zeros(param, size), g = engine.zeros(grad, size);
            Optimizer optimizer = engine.optimizer(group);
            if (zeroes) optimizer.zeroGradients();
            optimizer.update(p, g);
            p.get(); // waits
            control.ask("reset");
            optimizer.update(p, g);
            p.get();
            JsonObject stats = control.ask("stats").getAsJsonObject();
            moved[n] = stats.get("bytes_read").getAsLong()
                    + stats.get("bytes_written").getAsLong();
        }
        return moved[1] - moved[0];
    }

    static Stream<String> mixed() {
        return Workload.MIXED.stream();
    }

    /** What gpu-check tells a step's share of the bandwidth by: here of p, g and state alone, without what a norm reads for each piece. */
    @ParameterizedTest
    @MethodSource("mixed")
    void aStepOfTheBenchmarkMovesTheBytesThatItIsMeasuredByInSoManyKernels(String rule) {
        assumeTrue(Engines.onSoftware(), "kudari.device is not soft");
        Workload work = new Workload(rule, "1");
        int size = 40_000;
        CudaEngine cuda = (CudaEngine) engine;
        Tensor p = engine.zeros(work.dtype(), size), g = engine.zeros(work.dtype(), size);
        Optimizer optimizer = DeviceBench.optimizer(engine, work);
        Control control = new Control();
        optimizer.update(Map.of("W", p), Map.of("W", g));
        p.get(); // waits
        control.ask("reset");
        optimizer.update(Map.of("W", p), Map.of("W", g));
        p.get();
        Set<Long> tensors = Stream.concat(Stream.of(p, g), optimizer.state("W").values().stream())
                .map(tensor -> JCudaAddress.of(cuda.pointer(tensor)))
                .collect(toSet());
        long bytes = 0;
        JsonArray launches = control.ask("launches").getAsJsonArray();
        for (JsonElement launch : launches) {
            for (JsonElement element : launch.getAsJsonObject().getAsJsonArray("memory")) {
                JsonObject memory = element.getAsJsonObject();
                if (!tensors.contains(memory.get("address").getAsLong())) continue;
                bytes += memory.get("bytes_read").getAsLong()
                        + memory.get("bytes_written").getAsLong();
            }
        }
        assertEquals((long) work.bytes() * size, bytes);
        assertEquals(work.kernels(), launches.size());
    }

    private static List<String> names(List<StateArray> arrays) {
        return arrays.stream().map(StateArray::name).toList();
    }
}
