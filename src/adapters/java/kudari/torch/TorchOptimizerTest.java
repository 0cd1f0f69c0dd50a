package kudari.torch;

import static kudari.torch.Torch.fillGradients;
import static kudari.torch.Torch.loss;
import static kudari.torch.Torch.net;
import static kudari.torch.Torch.values;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.TreeMap;
import java.util.stream.Stream;
import kudari.CpuEngine;
import kudari.Engine;
import kudari.Group;
import kudari.Guard;
import kudari.LearningRate;
import kudari.checkpoint.Checkpoint;
import kudari.rule.Adam;
import kudari.rule.AdamW;
import kudari.rule.Momentum;
import kudari.rule.RmsProp;
import kudari.rule.Rule;
import kudari.rule.Sgd;
import kudari.torch.Torch.Net;
import org.bytedeco.javacpp.LongPointer;
import org.bytedeco.javacpp.Pointer;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.AdamOptions;
import org.bytedeco.pytorch.AdamWOptions;
import org.bytedeco.pytorch.BatchNorm2dImpl;
import org.bytedeco.pytorch.BatchNormOptions;
import org.bytedeco.pytorch.Conv2dImpl;
import org.bytedeco.pytorch.Conv2dOptions;
import org.bytedeco.pytorch.Device;
import org.bytedeco.pytorch.EmbeddingImpl;
import org.bytedeco.pytorch.InferenceMode;
import org.bytedeco.pytorch.LSTMImpl;
import org.bytedeco.pytorch.LinearImpl;
import org.bytedeco.pytorch.Module;
import org.bytedeco.pytorch.Optimizer;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.StringTensorDict;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Modules of libtorch, stepped by the CPU engine where their parameters are. */
class TorchOptimizerTest {

    private static final long SEED = 20261127;

    private final CpuEngine engine = Engine.cpu(2);

    @AfterEach
    void close() {
        engine.close();
    }

    private TorchOptimizer optimizer(Module net, Rule rule) {
        return new TorchOptimizer(engine.optimizer(rule), net.named_parameters());
    }

    // ---- the numbers ----

    static Stream<Arguments> guarded() {
        return Stream.of(
                Arguments.of(Adam.pytorch(0.01), Guard.NONE),
                Arguments.of(AdamW.of(0.01), Guard.clipNorm(1)),
                Arguments.of(Momentum.pytorch(0.01), Guard.clipValue(0.75)),
                Arguments.of(RmsProp.pytorch(0.01), Guard.clipTensorNorm(2).scale(0.5)));
    }

    /** The global norm, too, so the step is one over the whole model. */
    @ParameterizedTest
    @MethodSource("guarded")
    void aStepHasTheBitsOfOneOverArrays(Rule rule, Guard guard) {
        Net net = net(SEED);
        Map<String, kudari.Tensor> params = new TreeMap<>(), grads = new TreeMap<>();
        values(net).forEach((name, values) -> params.put(name, engine.tensor(values)));
        kudari.Optimizer over = engine.optimizer(rule).guard(guard);
        Random random = new Random(SEED);
        try (TorchOptimizer optimizer =
                new TorchOptimizer(engine.optimizer(rule).guard(guard), net.named_parameters())) {
            for (int step = 0; step < 10; step++) {
                fillGradients(net, random).forEach((name, values) -> grads.put(name, engine.tensor(values)));
                over.update(params, grads);
                optimizer.step();
            }
            assertEquals(10, optimizer.optimizer().steps());
            if (guard.clip() == Guard.Clip.NORM)
                assertEquals(over.norm(), optimizer.optimizer().norm());
        }
        Map<String, float[]> stepped = values(net);
        assertEquals(
                Set.of("gain", "nothing", "first.weight", "first.bias", "second.weight", "second.bias"),
                stepped.keySet());
        stepped.forEach(
                (name, values) -> assertArrayEquals(bits(params.get(name).get()), bits(values), name));
        assertTrue(stepped.get("first.weight").length > 16_384);
    }

    private static int[] bits(float[] values) {
        int[] bits = new int[values.length];
        for (int i = 0; i < bits.length; i++) bits[i] = Float.floatToRawIntBits(values[i]);
        return bits;
    }

    static Stream<Arguments> adams() {
        // ε so large that whose convention it is shows.
        Adam adam = Adam.pytorch(0.01).eps(1e-3);
        return Stream.of(Arguments.of("Adam", adam, 0), Arguments.of("AdamW", adam.decay(0.1), 0.1));
    }

    /**
     * On the same gradients ours and theirs are both within the rounding of float32 of algorithm 1 of Kingma & Ba, with decay as in Loshchilov & Hutter,
     * in double. Errors are carried along step by step: an operation of theirs or ours adds at most u = 2⁻²⁴ of its result, a scalar's rounding as much.
     */
    @ParameterizedTest(name = "{0}")
    @MethodSource("adams")
    void itStepsAsTorchsOwn(String name, Rule rule, double decay) {
        Net mine = net(SEED), theirs = net(SEED);
        float[] start = values(mine.first.weight());
        Random forMine = new Random(SEED), forTheirs = new Random(SEED);
        double[] p = new double[start.length], m = new double[p.length], v = new double[p.length];
        double[] off = new double[p.length], offM = new double[p.length], offV = new double[p.length];
        for (int i = 0; i < p.length; i++) p[i] = start[i];
        try (TorchOptimizer optimizer = optimizer(mine, rule);
                Optimizer their = theirs(theirs.parameters(), decay)) {
            for (int t = 1; t <= 60; t++) {
                float[] g = fillGradients(mine, forMine).get("first.weight");
                assertArrayEquals(g, fillGradients(theirs, forTheirs).get("first.weight"));
                optimizer.step();
                their.step();
                algorithm(t, g, decay, p, m, v, off, offM, offV);
            }
        }
        float[] ours = values(mine.first.weight()), its = values(theirs.first.weight());
        double moved = 0;
        for (int i = 0; i < p.length; i++) {
            moved = Math.max(moved, Math.abs(p[i] - start[i]));
            assertEquals(p[i], ours[i], off[i], "ours, element " + i);
            assertEquals(p[i], its[i], off[i], "torch's, element " + i);
        }
        assertTrue(moved > 0.1, "moved " + moved);
        assertTrue(Arrays.stream(off).max().orElseThrow() < 1e-4 * moved, "a bound that tells nothing");
    }

    private static Optimizer theirs(TensorVector parameters, double decay) {
        if (decay == 0) {
            AdamOptions options = new AdamOptions(0.01);
            options.eps().put(1e-3);
            return new org.bytedeco.pytorch.Adam(parameters, options);
        }
        AdamWOptions options = new AdamWOptions(0.01);
        options.eps().put(1e-3);
        options.weight_decay().put(decay);
        return new org.bytedeco.pytorch.AdamW(parameters, options);
    }

    private static void algorithm(
            int t,
            float[] g,
            double decay,
            double[] p,
            double[] m,
            double[] v,
            double[] off,
            double[] offM,
            double[] offV) {
        double u = 0x1p-24, beta1 = 0.9, beta2 = 0.999, lr = 0.01, eps = 1e-3;
        double c1 = 1 - Math.pow(beta1, t), c2 = 1 - Math.pow(beta2, t);
        for (int i = 0; i < p.length; i++) {
            // Each product has a rounded factor and is rounded, and so is g² and the sum.
            offM[i] = beta1 * offM[i] + 2 * u * (beta1 * Math.abs(m[i]) + (1 - beta1) * Math.abs(g[i]));
            m[i] = beta1 * m[i] + (1 - beta1) * g[i];
            offM[i] += u * Math.abs(m[i]);
            double square = (1 - beta2) * g[i] * g[i];
            offV[i] = beta2 * offV[i] + u * (2 * beta2 * v[i] + 3 * square);
            v[i] = beta2 * v[i] + square;
            offV[i] += u * v[i];
            double root = Math.sqrt(v[i] / c2), step = lr / c1 * m[i] / (root + eps);
            // The root, its factor's product, the sum; the rate, its product, the quotient, each at most u.
            double offStep = lr / c1 * offM[i] / (root + eps) + Math.abs(step) * (offV[i] / (2 * v[i]) + 8 * u);
            off[i] += 1.01 * offStep + 3 * u * lr * decay * Math.abs(p[i]) + (decay > 0 ? 2 * u * Math.abs(p[i]) : 0);
            p[i] -= lr * decay * p[i] + step;
            off[i] += u * Math.abs(p[i]);
        }
    }

    @Test
    void itTrainsUnderAGuardAndASchedule() {
        Net net = net(SEED);
        Tensor x = torch.randn(64, 150), y = torch.randint(10, new long[] {64});
        kudari.Schedule cosine = LearningRate.cosine(0.01, 0, 60).warmUp(5).of(AdamW.of());
        float first = 0, last = 0;
        try (TorchOptimizer optimizer =
                new TorchOptimizer(engine.optimizer(cosine).guard(Guard.clipNorm(1)), net.named_parameters())) {
            for (int step = 0; step < 60; step++) {
                net.zero_grad(true);
                Tensor loss = torch.cross_entropy_loss(net.forward(x), y);
                loss.backward();
                optimizer.step();
                last = loss.item_float();
                if (step == 0) first = last;
            }
        }
        assertTrue(first > 2 && last < 0.1, first + " to " + last);
    }

    /** Layers whose gradients libtorch makes by other means each: all of them are stepped. */
    @Test
    void layersOfAllKindsAreStepped() {
        torch.manual_seed(SEED);
        Module net = new Module();
        Conv2dImpl conv = new Conv2dImpl(new Conv2dOptions(1, 4, new LongPointer(3, 3)));
        BatchNorm2dImpl norm = new BatchNorm2dImpl(new BatchNormOptions(4));
        LSTMImpl lstm = new LSTMImpl(5, 6);
        EmbeddingImpl embedding = new EmbeddingImpl(7, 5);
        net.register_module("conv", conv);
        net.register_module("norm", norm);
        net.register_module("lstm", lstm);
        net.register_module("embedding", embedding);
        try (TorchOptimizer optimizer = optimizer(net, Sgd.of(0.1))) {
            Map<String, float[]> before = values(net);
            Tensor words = torch.arange(new Scalar(7)).view(7, 1);
            Tensor sum = norm.forward(conv.forward(torch.randn(2, 1, 8, 8)))
                    .pow(new Scalar(3))
                    .sum();
            sum.add(lstm.forward(embedding.forward(words)).get0().sum()).backward();
            optimizer.step();
            Map<String, float[]> after = values(net);
            assertEquals(before.keySet(), optimizer.params().keySet());
            after.forEach((name, values) -> assertFalse(Arrays.equals(before.get(name), values), name));
        }
    }

    // ---- who takes part ----

    /** Whether zeros are left or nothing, and gradients stay where they are or move, the bits are the same. */
    @Test
    void bothKindsOfZeroGradEndInTheSameBits() {
        Map<String, float[]> none = trained(true), zeros = trained(false);
        none.forEach((name, values) -> assertArrayEquals(bits(values), bits(zeros.get(name)), name));
    }

    private Map<String, float[]> trained(boolean toNone) {
        Net net = net(SEED);
        Tensor x = torch.randn(16, 150);
        torch.set_num_threads(1);
        try (TorchOptimizer optimizer = optimizer(net, Momentum.of(0.01))) {
            for (int step = 0; step < 100; step++) {
                net.zero_grad(toNone);
                loss(net, x).backward();
                optimizer.step();
            }
        }
        return values(net);
    }

    @Test
    void zeroGradientsLeavesZerosInLibtorchsMemory() {
        Net net = net(SEED);
        fillGradients(net, new Random(SEED));
        try (TorchOptimizer optimizer =
                new TorchOptimizer(engine.optimizer(Sgd.of(1)).zeroGradients(), net.named_parameters())) {
            optimizer.step();
        }
        for (float g : values(net.first.weight().grad())) assertEquals(0, g);
    }

    /** What requires no gradient, what has none, and what a group freezes. */
    @Test
    void whatTakesNoPartKeepsValueAndState() {
        Net net = net(SEED);
        kudari.Optimizer groups =
                engine.optimizer(Group.frozen("second.bias"), Group.of("first.*", Adam.of(0.1)), Group.rest(Sgd.of(1)));
        try (TorchOptimizer optimizer = new TorchOptimizer(groups, net.named_parameters())) {
            fillGradients(net, new Random(SEED));
            optimizer.step();
            Map<String, float[]> before = values(net);
            float[] m = groups.state("first.weight").get("m").get();

            net.first.weight().set_requires_grad(false); // its gradient of before is still there
            net.second.weight().mutable_grad().put(new Tensor());
            optimizer.step();
            Map<String, float[]> after = values(net);
            for (String same : List.of("first.weight", "second.weight", "second.bias"))
                assertArrayEquals(before.get(same), after.get(same), same);
            for (String other : List.of("first.bias", "gain"))
                assertFalse(Arrays.equals(before.get(other), after.get(other)), other);
            assertArrayEquals(m, groups.state("first.weight").get("m").get());
            assertFalse(groups.knows("second.bias"));

            net.first.weight().set_requires_grad(true);
            optimizer.step();
            assertFalse(Arrays.equals(before.get("first.weight"), values(net).get("first.weight")));
        }
    }

    @Test
    void aFrozenParameterNeedsNoGradient() {
        Net net = net(SEED);
        kudari.Optimizer groups = engine.optimizer(Group.frozen("first.*"), Group.rest(Sgd.of(1)));
        net.first.weight().set_requires_grad(false);
        net.first.bias().set_requires_grad(false);
        loss(net, torch.randn(4, 150)).backward();
        float[] before = values(net.first.weight()), second = values(net.second.weight());
        try (TorchOptimizer optimizer = new TorchOptimizer(groups, net.named_parameters())) {
            optimizer.step();
        }
        assertArrayEquals(before, values(net.first.weight()));
        assertFalse(Arrays.equals(second, values(net.second.weight())));
    }

    /** As torch's Python has it; its C++ steps it twice. */
    @Test
    void aParameterUnderTwoNamesIsSteppedOnce() {
        Module net = new Module();
        LinearImpl tied = new LinearImpl(3, 3);
        net.register_module("in", tied);
        net.register_module("out", tied);
        assertEquals(4, net.named_parameters().size());
        float[] before = values(tied.weight());
        fillGradients(net, new Random(SEED));
        float[] g = values(tied.weight().grad());
        try (TorchOptimizer optimizer = optimizer(net, Sgd.of(0.5))) {
            optimizer.step();
            assertEquals(Set.of("in.weight", "in.bias"), optimizer.params().keySet());
        }
        for (int i = 0; i < g.length; i++) assertEquals(before[i] - 0.5f * g[i], values(tied.weight())[i]);
    }

    @Test
    void parametersThatMoveAreFollowedWithTheirState() {
        Net still = net(SEED), moving = net(SEED);
        try (TorchOptimizer of = optimizer(still, Adam.of(0.01));
                TorchOptimizer those = optimizer(moving, Adam.of(0.01))) {
            for (int step = 0; step < 20; step++) {
                fillGradients(still, new Random(step));
                fillGradients(moving, new Random(step));
                long before = moving.first.weight().data_ptr().address();
                moving.first.weight().set_data(moving.first.weight().detach().clone());
                assertFalse(before == moving.first.weight().data_ptr().address());
                of.step();
                those.step();
            }
            assertEquals(of.params().keySet(), those.params().keySet());
        }
        Map<String, float[]> expected = values(still);
        values(moving).forEach((name, values) -> assertArrayEquals(bits(expected.get(name)), bits(values), name));
    }

    /** A graph that was kept needs the values that it was built with. */
    @Test
    void autogradHearsOfAStep() {
        Net net = net(SEED);
        Tensor loss = loss(net, torch.randn(4, 150));
        loss.backward(new Tensor(), new org.bytedeco.pytorch.BoolOptional(true), false, null);
        try (TorchOptimizer optimizer = optimizer(net, Sgd.of(0.1))) {
            optimizer.step();
        }
        RuntimeException e = assertThrows(RuntimeException.class, () -> loss.backward());
        assertTrue(e.getMessage().contains("modified by an inplace operation"), e.getMessage());
    }

    /** What was not stepped has its old values still, and a graph may need them. */
    @Test
    void autogradHearsNothingOfWhatStays() {
        Net net = net(SEED);
        var sgd = engine.optimizer(Group.frozen("gain"), Group.rest(Sgd.of(0.1)));
        try (TorchOptimizer optimizer = new TorchOptimizer(sgd, net.named_parameters())) {
            Tensor square = net.gain.square();
            fillGradients(net, new Random(SEED));
            net.gain.mutable_grad().zero_();
            optimizer.step();
            square.backward();
            assertEquals(2, net.gain.grad().item_float()); // of 1²
        }
    }

    // ---- what is refused ----

    @FunctionalInterface
    private interface Spoil {
        void run(Net net);
    }

    private static Arguments spoilt(String what, Spoil spoil, String... parts) {
        return Arguments.of(what, spoil, parts);
    }

    static Stream<Arguments> spoilt() {
        return Stream.of(
                spoilt(
                        "a parameter that is a transpose",
                        net -> net.first.weight().set_data(torch.ones(150, 120).t()),
                        "param 'first.weight'",
                        "contiguous"),
                spoilt(
                        "a parameter with gaps",
                        net -> net.first.bias().set_data(torch.ones(240).slice(0, of(0), of(240), 2)),
                        "param 'first.bias'",
                        "contiguous"),
                spoilt(
                        "a gradient that is a transpose",
                        net -> net.first
                                .weight()
                                .mutable_grad()
                                .put(torch.ones(150, 120).t()),
                        "gradient of 'first.weight'",
                        "contiguous"),
                spoilt(
                        "a gradient that is one number seen many times",
                        net -> net.first
                                .weight()
                                .mutable_grad()
                                .put(torch.ones(1).expand(120, 150)),
                        "gradient of 'first.weight'",
                        "contiguous"),
                spoilt(
                        "a negative that is a view",
                        net -> net.first
                                .bias()
                                .mutable_grad()
                                .put(torch.ones(120)._neg_view()),
                        "gradient of 'first.bias'",
                        "contiguous"),
                spoilt(
                        "a sparse gradient",
                        net -> net.first
                                .weight()
                                .mutable_grad()
                                .put(torch.ones(120, 150).to_sparse()),
                        "gradient of 'first.weight'",
                        "Sparse",
                        "to_dense"),
                spoilt(
                        "bfloat16",
                        net -> net.to(torch.ScalarType.BFloat16, false),
                        "float32",
                        "BFloat16",
                        "to(ScalarType.Float"),
                spoilt(
                        "a gradient in double",
                        net -> net.gain
                                .mutable_grad()
                                .put(torch.ones(new long[0]).to(torch.ScalarType.Double)),
                        "gradient of 'gain'",
                        "float32",
                        "Double"),
                spoilt(
                        "another device",
                        net -> net.first
                                .bias()
                                .mutable_grad()
                                .put(torch.ones(120).to(new Device("meta"), torch.ScalarType.Float)),
                        "gradient of 'first.bias'",
                        "memory of CPU (2 threads)",
                        "on meta"),
                spoilt(
                        "a gradient of another shape",
                        net -> net.first.weight().mutable_grad().put(torch.ones(150, 120)),
                        "grads 'first.weight'",
                        "[120, 150]",
                        "[150, 120]"),
                spoilt(
                        "a parameter that has become shorter where it was",
                        net -> net.first
                                .bias()
                                .set_data(net.first.bias().detach().slice(0, of(0), of(60), 1)),
                        "'first.bias'",
                        "[60]",
                        "[120]"));
    }

    private static org.bytedeco.pytorch.LongOptional of(long value) {
        return new org.bytedeco.pytorch.LongOptional(value);
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("spoilt")
    void whatItCannotStepIsRefusedAndNothingChanges(String what, Spoil spoil, String... parts) {
        Net net = net(SEED);
        try (TorchOptimizer optimizer = optimizer(net, Adam.of(0.1))) {
            fillGradients(net, new Random(SEED));
            optimizer.step();
            Map<String, float[]> before = values(net);
            spoil.run(net);
            IllegalArgumentException e = assertThrows(IllegalArgumentException.class, optimizer::step);
            for (String part : parts) assertTrue(e.getMessage().contains(part), e.getMessage());
            assertEquals(1, optimizer.optimizer().steps());
            Tensor other = net.second.bias();
            if (other.is_cpu() && other.scalar_type().value == torch.ScalarType.Float.value)
                assertArrayEquals(before.get("second.bias"), values(other));
        }
    }

    @Test
    void aStepWithoutGradientsIsRefused() {
        Net net = net(SEED);
        try (TorchOptimizer optimizer = optimizer(net, Sgd.of(1))) {
            IllegalStateException e = assertThrows(IllegalStateException.class, optimizer::step);
            assertTrue(e.getMessage().contains("backward()"), e.getMessage());
            assertEquals(0, optimizer.optimizer().steps());
        }
    }

    /** It has no version to be told of a step, which libtorch would say when the step is done. */
    @Test
    @SuppressWarnings("try") // the mode is there to end
    void whatWasMadeInInferenceModeIsRefusedAtOnce() {
        Net net;
        try (InferenceMode mode = new InferenceMode(true)) {
            net = net(SEED);
        }
        String message = assertThrows(IllegalArgumentException.class, () -> optimizer(net, Sgd.of(1)))
                .getMessage();
        assertTrue(message.startsWith("param '") && message.contains("inference mode"), message);
    }

    @Test
    void whatIsNoLeafOrTooLargeAndWhatNoGroupTakesIsRefusedAtOnce() {
        StringTensorDict named = new StringTensorDict();
        named.insert("w", torch.ones(3).requires_grad_(true).mul(new Scalar(2)));
        IllegalArgumentException e = assertThrows(
                IllegalArgumentException.class, () -> new TorchOptimizer(engine.optimizer(Sgd.of(1)), named));
        assertTrue(e.getMessage().contains("param 'w': expected a leaf"), e.getMessage());

        StringTensorDict large = new StringTensorDict();
        large.insert("w", torch.empty(1L << 29)); // of which nothing is touched
        e = assertThrows(IllegalArgumentException.class, () -> new TorchOptimizer(engine.optimizer(Sgd.of(1)), large));
        assertTrue(e.getMessage().contains("at most 536870911 elements"), e.getMessage());

        StringTensorDict other = net(SEED).named_parameters();
        e = assertThrows(
                IllegalArgumentException.class,
                () -> new TorchOptimizer(engine.optimizer(Group.of("first.*", Sgd.of(1))), other));
        assertTrue(e.getMessage().contains("no group takes it"), e.getMessage());

        e = assertThrows(
                IllegalArgumentException.class,
                () -> new TorchOptimizer(engine.optimizer(Sgd.of(1)), new StringTensorDict()));
        assertTrue(e.getMessage().contains("got none"), e.getMessage());
    }

    // ---- what it leaves and when it ends ----

    @Test
    void aCheckpointGoesOnWithTheSameBitsInAnotherModule(@TempDir Path folder) throws Exception {
        Net whole = net(SEED), first = net(SEED), second = net(SEED + 1);
        Path file = folder.resolve("model.safetensors");
        try (TorchOptimizer optimizer = optimizer(whole, Adam.of(0.01))) {
            for (int step = 0; step < 20; step++) step(whole, optimizer, step);
        }
        try (TorchOptimizer optimizer = optimizer(first, Adam.of(0.01))) {
            for (int step = 0; step < 10; step++) step(first, optimizer, step);
            Checkpoint.of(optimizer.optimizer(), optimizer.params(), Map.of()).write(file);
        }
        try (TorchOptimizer optimizer = optimizer(second, Adam.of(0.01))) {
            Checkpoint.read(file).restore(optimizer.optimizer(), optimizer.params());
            for (int step = 10; step < 20; step++) step(second, optimizer, step);
        }
        Map<String, float[]> expected = values(whole);
        values(second).forEach((name, values) -> assertArrayEquals(bits(expected.get(name)), bits(values), name));
    }

    private static void step(Net net, TorchOptimizer optimizer, int step) {
        fillGradients(net, new Random(step));
        optimizer.step();
    }

    /** JavaCPP frees at the end of a scope what was made in it. */
    @Test
    @SuppressWarnings("try") // a scope is there to end
    void itOutlivesTheScopeThatItWasMadeIn() {
        Net net = net(SEED);
        TorchOptimizer optimizer;
        try (PointerScope scope = new PointerScope()) {
            optimizer = optimizer(net, Sgd.of(0.5));
            step(net, optimizer, 1);
        }
        System.gc();
        float[] before = values(net.first.bias());
        step(net, optimizer, 2);
        assertFalse(Arrays.equals(before, values(net.first.bias())));
        optimizer.close();
    }

    /** Module, optimizer, engine and adapter, in all orders; what comes late is refused and not a crash. */
    @ParameterizedTest
    @ValueSource(
            strings = {"mtoe", "mteo", "moet", "meto", "meot", "tmoe", "temo", "toem", "otme", "oemt", "emto", "etom"})
    void closingInAnyOrderIsSafe(String order) {
        CpuEngine engine = Engine.cpu(1);
        Net net = net(SEED);
        kudari.Optimizer adam = engine.optimizer(Adam.of(0.1));
        TorchOptimizer optimizer = new TorchOptimizer(adam, net.named_parameters());
        step(net, optimizer, 1);
        boolean refused = false;
        for (char c : order.toCharArray()) {
            if (c == 'm') close(net);
            if (c == 't') optimizer.close();
            if (c == 'o') adam.close();
            if (c == 'e') engine.close();
            refused |= c != 'm';
            if (refused) {
                assertThrows(IllegalStateException.class, optimizer::step);
            } else {
                optimizer.step(); // it holds the parameters and their gradients
            }
        }
        optimizer.close();
        assertThrows(IllegalStateException.class, optimizer::params);
    }

    private static void close(Net net) {
        net.first.close();
        net.second.close();
        net.gain.close();
        net.nothing.close();
        net.close();
    }

    /**
     * Gradients that are thrown away and come elsewhere in each step are laid out anew. Nothing of that, and no handle, may stay. An overlooked handle on
     * a gradient would keep 72 kB a step, 720 MB in all; one on nothing but itself shows in what JavaCPP counts.
     */
    @ParameterizedTest
    @ValueSource(booleans = {true, false})
    void tenThousandStepsLeaveNothing(boolean toNone) {
        Net net = net(SEED);
        torch.set_num_threads(1);
        Tensor x = torch.randn(1, 150);
        try (TorchOptimizer optimizer = optimizer(net, Adam.of(1e-4))) {
            for (int step = 0; step < 500; step++) learn(net, x, optimizer, toNone);
            System.gc();
            long count = Pointer.totalCount(), bytes = Pointer.physicalBytes();
            for (int step = 0; step < 10_000; step++) learn(net, x, optimizer, toNone);
            assertEquals(10_500, optimizer.optimizer().steps());
            assertTrue(Pointer.totalCount() <= count + 8, count + " to " + Pointer.totalCount());
            long more = Pointer.physicalBytes() - bytes;
            assertTrue(more < 200 << 20, more + " bytes more");
        }
    }

    @SuppressWarnings("try")
    private static void learn(Net net, Tensor x, TorchOptimizer optimizer, boolean toNone) {
        try (PointerScope scope = new PointerScope()) {
            net.zero_grad(toNone);
            loss(net, x).backward();
            optimizer.step();
        }
    }
}
