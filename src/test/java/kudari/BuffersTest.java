package kudari;

import static kudari.OptimizerTest.refused;
import static kudari.RulesTest.assertSameBits;
import static kudari.RulesTest.floats;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.TreeMap;
import kudari.checkpoint.Checkpoint;
import kudari.rule.Adam;
import kudari.rule.Rule;
import kudari.rule.Sgd;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;

/** Somebody else's memory on the CPU, outside the heap or a part of an array: what is done there has the bits of what is done in arrays. */
class BuffersTest {

    private static final long SEED = 20261127;

    /** Around pieces of sums and chunks of steps, and enough for several threads. */
    private static final int[] SIZES = {0, 1, 7, 2047, 2048, 2049, 4097, 16_383, 16_384, 16_385, 70_000};

    /** From a step after which they come past the one in 64 that flushes parameters under decay. */
    private static final int DONE = 60, UPDATES = 10;

    private static final List<Guard> GUARDS = List.of(
            Guard.NONE,
            Guard.NONE.scale(0.25),
            Guard.skipNonFinite(),
            Guard.clipNorm(20),
            Guard.clipTensorNorm(2),
            Guard.clipValue(0.5),
            Guard.clipValue(0.5).scale(0.25).skips(true));

    /** What stands around what is wrapped. */
    private static final float FENCE = -123.25f;

    /** A place of some elements that has a fence on both sides. */
    private enum Memory {
        ARRAY {
            @Override
            FloatBuffer around(int size, int fence) {
                return FloatBuffer.allocate(size);
            }
        },
        PART {
            @Override
            FloatBuffer around(int size, int fence) {
                return FloatBuffer.wrap(new float[size + 2 * fence], fence, size);
            }
        },
        DIRECT {
            @Override
            FloatBuffer around(int size, int fence) {
                return direct(4 * (size + 2 * fence))
                        .asFloatBuffer()
                        .position(fence)
                        .limit(fence + size);
            }
        },
        UNALIGNED {
            @Override
            FloatBuffer around(int size, int fence) {
                return direct(4 * (size + 2 * fence) + 1)
                        .position(1)
                        .slice()
                        .order(ByteOrder.nativeOrder())
                        .asFloatBuffer()
                        .position(fence)
                        .limit(fence + size);
            }
        };

        abstract FloatBuffer around(int size, int fence);
    }

    private static ByteBuffer direct(int bytes) {
        return ByteBuffer.allocateDirect(bytes).order(ByteOrder.nativeOrder());
    }

    /** The buffers that a test has wrapped, and whose fences must stand at its end. */
    private final List<FloatBuffer> wrapped = new ArrayList<>();

    /** A tensor in some memory, with an odd number of other elements before and behind it. */
    private Tensor tensor(CpuEngine engine, Memory memory, float... values) {
        FloatBuffer of = memory.around(values.length, 3 + 2 * (wrapped.size() % 4));
        FloatBuffer all = of.duplicate().clear();
        for (int i = 0; i < all.capacity(); i++) all.put(i, FENCE);
        wrapped.add(of);
        Tensor tensor = engine.wrap(of);
        tensor.set(values);
        return tensor;
    }

    private void assertFencesStand() {
        for (FloatBuffer of : wrapped) {
            FloatBuffer all = of.duplicate().clear();
            for (int i = 0; i < of.position(); i++) assertEquals(FENCE, all.get(i));
            for (int i = of.limit(); i < all.capacity(); i++) assertEquals(FENCE, all.get(i));
        }
    }

    /** A rule under every guard, over tensors of every size, on one thread and on two, with gradients left and zeroed. */
    @ParameterizedTest
    @MethodSource("kudari.RulesTest#table")
    void aStepHasTheBitsOfOneOverArrays(RulesTest.Row row) {
        Rule rule = row.of().apply(0.01).l2(0.01).decay(0.01);
        int n = RulesTest.TABLE.indexOf(row); // so that all pairs of memory meet all guards somewhere
        for (int threads = 1; threads <= 2; threads++) {
            for (Guard guard : GUARDS) {
                Memory p = Memory.values()[n % 4], g = Memory.values()[n / 4 % 4];
                try (CpuEngine engine = Engine.cpu(threads)) {
                    check(engine, rule, guard, n % 3 == 0, p, g);
                }
                n++;
            }
        }
        assertFencesStand();
    }

    /** A rule with state beside one without, in tensors of more than one chunk. */
    @Test
    void groupsOfTwoKindsOfRuleHaveTheBitsOfThoseOverArrays() {
        float[] start = gaussian(new Random(SEED), 20_000), gradient = gaussian(new Random(SEED + 1), 20_000);
        List<float[]> results = new ArrayList<>();
        for (Memory memory : List.of(Memory.ARRAY, Memory.DIRECT)) {
            try (CpuEngine engine = Engine.cpu(1)) {
                Tensor a = tensor(engine, memory, start), b = tensor(engine, memory, start);
                Tensor g = tensor(engine, memory, gradient);
                Optimizer two = engine.optimizer(Group.of("a", Adam.of(0.01)), Group.rest(Sgd.of(0.01)));
                for (int t = 0; t < 3; t++) two.update(Map.of("a", a, "b", b), Map.of("a", g, "b", g));
                results.add(a.get());
                results.add(b.get());
            }
        }
        assertSameBits(results.get(0), results.get(2));
        assertSameBits(results.get(1), results.get(3));
        assertFencesStand();
    }

    private void check(CpuEngine engine, Rule rule, Guard guard, boolean zeroes, Memory p, Memory g) {
        String what = rule + ", " + guard + ", zeroes " + zeroes + ", " + p + " and " + g + " on " + engine;
        Random random = new Random(SEED);
        Map<String, Tensor> params = new TreeMap<>(), grads = new TreeMap<>();
        Map<String, Tensor> arrays = new TreeMap<>(), slopes = new TreeMap<>();
        Map<String, float[]> gradients = new TreeMap<>();
        for (int size : SIZES) {
            String name = "W" + size;
            float[] start = gaussian(random, size), gradient = gaussian(random, size);
            gradients.put(name, gradient);
            params.put(name, tensor(engine, p, start));
            grads.put(name, tensor(engine, g, gradient));
            arrays.put(name, engine.tensor(start));
            slopes.put(name, engine.tensor(gradient));
        }
        Optimizer wrapped = engine.optimizer(rule).guard(guard),
                plain = engine.optimizer(rule).guard(guard);
        if (zeroes) {
            wrapped.zeroGradients();
            plain.zeroGradients();
        }
        wrapped.resume(DONE, Map.of());
        plain.resume(DONE, Map.of());
        for (int t = 1; t <= UPDATES; t++) {
            gradients.get("W70000")[69_999] = t == 3 ? Float.NaN : t;
            gradients.get("W7")[3] = -0.0f;
            if (t < 8) { // and then what is left, be it zeros
                gradients.forEach((name, gradient) -> {
                    grads.get(name).set(gradient);
                    slopes.get(name).set(gradient);
                });
            }
            wrapped.update(params, grads);
            plain.update(arrays, slopes);
        }
        assertTrue(plain.steps() > 64);
        for (String name : params.keySet()) {
            try {
                assertSameBits(arrays.get(name).get(), params.get(name).get());
                assertSameBits(slopes.get(name).get(), grads.get(name).get());
                RulesTest.assertSameState(plain.state(name), wrapped.state(name));
            } catch (AssertionError e) {
                throw new AssertionError(what + ", " + name + ": " + e.getMessage(), e);
            }
        }
        assertEquals(plain.counts(), wrapped.counts());
        assertEquals(guard.skips(), plain.skipped() > 0);
        if (guard.skips()) assertEquals(plain.norm(), wrapped.norm());
    }

    private static float[] gaussian(Random random, int size) {
        float[] values = new float[size];
        for (int i = 0; i < size; i++) values[i] = (float) random.nextGaussian();
        return values;
    }

    /** {@code get}, {@code set}, {@code zero}, {@code add} and an asynchronous read, between every two kinds of memory. */
    @ParameterizedTest
    @EnumSource(Memory.class)
    void everyOperationHasTheBitsOfOneOnArrays(Memory kind) {
        Random random = new Random(SEED);
        try (CpuEngine engine = Engine.cpu(2)) {
            for (Memory other : Memory.values()) {
                for (int size : SIZES) {
                    float[] x = gaussian(random, size), y = gaussian(random, size);
                    if (size > 1) y[size - 1] = Float.NaN;
                    Tensor a = tensor(engine, kind, x), b = tensor(engine, other, y);
                    assertSameBits(x, a.get());
                    AsyncRead read = a.asyncRead();
                    read.start();
                    a.add(b, -0.3f);
                    float[] sum = new float[size], twice = new float[size];
                    for (int i = 0; i < size; i++) {
                        float product = -0.3f * y[i];
                        sum[i] = x[i] + product;
                        twice[i] = sum[i] + sum[i];
                    }
                    assertSameBits(sum, a.get());
                    assertSameBits(x, read.get());
                    a.add(a, 1);
                    assertSameBits(twice, a.get());
                    a.set(b);
                    assertSameBits(y, a.get());
                    a.set(a);
                    assertSameBits(y, a.get());
                    assertSameBits(y, b.get());
                    a.zero();
                    assertSameBits(new float[size], a.get());
                    assertSameBits(y, b.get());
                }
            }
        }
        assertFencesStand();
    }

    @Test
    void positionAndLimitSayWhatIsWrapped() {
        FloatBuffer buffer = direct(4 * 6)
                .asFloatBuffer()
                .put(floats(1, 2, 3, 4, 5, 6))
                .position(2)
                .limit(5);
        try (CpuEngine engine = Engine.cpu(1)) {
            Tensor tensor = engine.wrap(buffer), row = engine.wrap(buffer, 1, 3);
            assertEquals(2, buffer.position());
            buffer.clear();
            assertSameBits(floats(3, 4, 5), tensor.get());
            assertEquals("F32[1, 3] on " + engine, row.toString());
            tensor.set(7, 8, 9);
            assertSameBits(floats(7, 8, 9), row.get());
            buffer.put(3, -1); // and what the owner writes, the tensor sees
            assertSameBits(floats(7, -1, 9), row.get());
        }
    }

    @Test
    void aBufferOverAllOfAnArrayIsThatArray() {
        float[] values = floats(1, 2, 3);
        try (CpuEngine engine = Engine.cpu(1)) {
            assertSame(values, engine.array(engine.wrap(FloatBuffer.wrap(values))));
            Tensor part = engine.wrap(FloatBuffer.wrap(values, 0, 2)),
                    outside = engine.wrap(direct(8).asFloatBuffer());
            refused(IllegalArgumentException.class, () -> engine.array(part), "F32[2]", "an array", "get and set");
            refused(IllegalArgumentException.class, () -> engine.array(outside), "F32[2]", "a buffer");
        }
    }

    /** A long gradient and a short one within it, then a parameter that the long one reaches, or just does not. */
    @Test
    void gradientsMayOverlapButNoParameterLiesOnOneOfThem() {
        FloatBuffer all = direct(48).asFloatBuffer();
        try (CpuEngine engine = Engine.cpu(1)) {
            Optimizer sgd = engine.optimizer(Sgd.of(1));
            Tensor a = engine.zeros(6), b = engine.zeros(2);
            Map<String, Tensor> grads = Map.of(
                    "a", engine.wrap(all.slice(0, 6)), "b", engine.wrap(all.slice(1, 2)), "c", engine.full(1, 2));
            Tensor reached = engine.wrap(all.slice(5, 2)), behind = engine.wrap(all.slice(6, 2));
            refused(
                    IllegalArgumentException.class,
                    () -> sgd.update(Map.of("a", a, "b", b, "c", reached), grads),
                    "params 'c'",
                    "the same memory as grads 'a'");
            grads.get("a").set(1, 2, 3, 4, 5, 6);
            sgd.update(Map.of("a", a, "b", b, "c", behind), grads);
            assertSameBits(floats(-1, -2, -3, -4, -5, -6), a.get());
            assertSameBits(floats(-2, -3), b.get());
            assertSameBits(floats(-1, -1), behind.get());
        }
    }

    /** Of two gradients over one another, that which reaches farthest counts, whichever begins first. */
    @Test
    void aParameterIsOnNoGradientThatReachesBeyondTheOneBefore() {
        FloatBuffer all = direct(48).asFloatBuffer();
        try (CpuEngine engine = Engine.cpu(1)) {
            Map<String, Tensor> grads = Map.of(
                    "a", engine.wrap(all.slice(0, 2)), "b", engine.wrap(all.slice(1, 5)), "c", engine.full(1, 2));
            Map<String, Tensor> params =
                    Map.of("a", engine.zeros(2), "b", engine.zeros(5), "c", engine.wrap(all.slice(5, 2)));
            refused(
                    IllegalArgumentException.class,
                    () -> engine.optimizer(Sgd.of(1)).update(params, grads),
                    "params 'c'",
                    "the same memory as grads 'b'");
        }
    }

    @Test
    void noElementsOverlapWithNothing() {
        FloatBuffer all = direct(48).asFloatBuffer();
        try (CpuEngine engine = Engine.cpu(1)) {
            Tensor p = engine.wrap(all.slice(0, 6)), none = engine.wrap(all.slice(3, 0));
            engine.optimizer(Sgd.of(1))
                    .update(Map.of("p", p, "none", none), Map.of("p", engine.full(1, 6), "none", none));
            assertSameBits(floats(-1, -1, -1, -1, -1, -1), p.get());
        }
    }

    @Test
    void theStateIsNoGradient() {
        try (CpuEngine engine = Engine.cpu(1)) {
            Optimizer adam = engine.optimizer(Adam.of(1));
            Tensor p = engine.zeros(2);
            adam.update(p, engine.full(1, 2));
            for (Tensor state : adam.state(Optimizer.SINGLE).values()) {
                refused(
                        IllegalArgumentException.class,
                        () -> adam.update(p, state),
                        "the state of ",
                        "the same memory");
            }
        }
    }

    @Test
    void whatCannotBeSteppedOnIsRefused() {
        FloatBuffer four = direct(16).asFloatBuffer();
        try (CpuEngine engine = Engine.cpu(1)) {
            refused(IllegalArgumentException.class, () -> engine.wrap(four.asReadOnlyBuffer()), "read-only");
            ByteOrder other =
                    ByteOrder.nativeOrder() == ByteOrder.LITTLE_ENDIAN ? ByteOrder.BIG_ENDIAN : ByteOrder.LITTLE_ENDIAN;
            FloatBuffer swapped = direct(16).order(other).asFloatBuffer();
            refused(IllegalArgumentException.class, () -> engine.wrap(swapped), "" + other, "order(");
            FloatBuffer ofBytes =
                    ByteBuffer.allocate(16).order(ByteOrder.nativeOrder()).asFloatBuffer();
            refused(IllegalArgumentException.class, () -> engine.wrap(ofBytes), "byte[]", "a direct buffer");
            refused(IllegalArgumentException.class, () -> engine.wrap(four, 2, 3), "[2, 3]", "6 values", "4");
            refused(IllegalArgumentException.class, () -> engine.wrap(four.slice(1, 3), 4), "4 values", "3");
        }
        CpuEngine closed = Engine.cpu(1);
        closed.close();
        refused(IllegalStateException.class, () -> closed.wrap(four), "closed");
    }

    /** Two slices of one buffer: side by side they are two parameters, one element over each other they are refused. */
    @ParameterizedTest
    @EnumSource(
            value = Memory.class,
            names = {"PART", "DIRECT", "UNALIGNED"})
    void overlappingMemoryIsRefused(Memory memory) {
        FloatBuffer all = memory.around(10, 3);
        FloatBuffer first = all.slice().limit(5), second = all.slice().position(5);
        FloatBuffer over = all.slice().position(4).limit(9),
                same = all.duplicate().limit(all.position() + 5);
        try (CpuEngine engine = Engine.cpu(1)) {
            Optimizer sgd = engine.optimizer(Sgd.of(1));
            Tensor grad = engine.full(1, 5);
            Map<String, Tensor> grads = Map.of("a", grad, "b", grad);
            Tensor a = engine.wrap(first);
            for (FloatBuffer taken : List.of(over, same)) {
                Tensor b = engine.wrap(taken);
                refused(
                        IllegalArgumentException.class,
                        () -> sgd.update(Map.of("a", a, "b", b), grads),
                        "params '",
                        "the same memory");
                refused(
                        IllegalArgumentException.class,
                        () -> sgd.update(Map.of("a", a), Map.of("a", b)),
                        "the same memory");
            }
            assertSameBits(new float[5], a.get());
            Tensor b = engine.wrap(second);
            sgd.update(Map.of("a", a, "b", b), grads);
            assertSameBits(floats(-1, -1, -1, -1, -1), a.get());
            assertSameBits(floats(-1, -1, -1, -1, -1), b.get());

            Tensor shifted = engine.wrap(over);
            refused(IllegalArgumentException.class, () -> a.add(shifted, 1), "overlaps it in part");
            refused(IllegalArgumentException.class, () -> shifted.set(a), "overlaps it in part");
            a.add(engine.wrap(same), 1);
            a.set(b);
            assertSameBits(floats(-1, -1, -1, -1, -1), a.get());
        }
    }

    @Test
    void anArrayOverlapsItsParts() {
        float[] values = new float[8];
        try (CpuEngine engine = Engine.cpu(1)) {
            Tensor whole = engine.wrap(values, 8), grad = engine.wrap(FloatBuffer.wrap(values, 7, 1));
            Tensor last = engine.zeros(1), ones = engine.full(1, 8);
            refused(
                    IllegalArgumentException.class,
                    () -> engine.optimizer(Sgd.of())
                            .update(Map.of("a", whole, "b", last), Map.of("a", ones, "b", grad)),
                    "grads 'b'",
                    "params 'a'");
        }
    }

    /** As where gradients of every step come in an arena of their own, and it is at the same address as the one before. */
    @Test
    void memoryOfAnArenaThatIsClosedIsNotTakenForThatOfTheNext() throws Exception {
        assumeTrue(Runtime.version().feature() >= 22, "arenas came with Java 22");
        Class<?> arenas = Class.forName("java.lang.foreign.Arena");
        try (CpuEngine engine = Engine.cpu(2)) {
            Tensor p = engine.zeros(3);
            Optimizer sgd = engine.optimizer(Sgd.of(1));
            Set<Long> addresses = new HashSet<>();
            for (int t = 0; t < 100; t++) {
                try (AutoCloseable arena =
                        (AutoCloseable) arenas.getMethod("ofShared").invoke(null)) {
                    Object segment =
                            arenas.getMethod("allocate", long.class, long.class).invoke(arena, 12, 4);
                    ByteBuffer bytes = (ByteBuffer) Class.forName("java.lang.foreign.MemorySegment")
                            .getMethod("asByteBuffer")
                            .invoke(segment);
                    FloatBuffer floats = bytes.order(ByteOrder.nativeOrder()).asFloatBuffer();
                    addresses.add(BufferAddress.of(floats));
                    Tensor g = engine.wrap(floats.put(0, floats(1, 2, 4)));
                    sgd.update(p, g);
                    sgd.update(Map.of("param", p), Map.of("param", g));
                }
            }
            assertTrue(addresses.size() < 100, "one address at least came again");
            assertSameBits(floats(-200, -400, -800), p.get());
        }
    }

    @ParameterizedTest
    @MethodSource("kudari.RulesTest#table")
    void aStepAllocatesNothing(RulesTest.Row row) {
        try (CpuEngine engine = Engine.cpu(2)) {
            int size = CpuEngine.PARALLEL_FROM;
            Tensor p = tensor(engine, Memory.DIRECT, new float[size]), g = tensor(engine, Memory.PART, new float[size]);
            Optimizer optimizer = engine.optimizer(row.of().apply(0.01))
                    .guard(Guard.clipValue(1).skips(true))
                    .zeroGradients();
            AsyncRead read = p.asyncRead();
            Runnable steps = () -> {
                for (int t = 0; t < 20; t++) {
                    g.add(p, 0.5f);
                    optimizer.update(p, g);
                }
                g.set(p);
                g.zero();
                read.start();
            };
            assertEquals(0, Allocations.least(steps), "bytes allocated by 20 steps");
        }
    }

    @Test
    void aCheckpointOfBuffersGoesOnInArraysAndBack(@TempDir Path folder) throws Exception {
        Path file = folder.resolve("x.safetensors");
        float[] start = gaussian(new Random(SEED), 5000), gradient = gaussian(new Random(SEED + 1), 5000);
        try (CpuEngine engine = Engine.cpu(1)) {
            Tensor straight = engine.tensor(start), g = tensor(engine, Memory.DIRECT, gradient);
            Optimizer never = engine.optimizer(Adam.of(0.01));
            for (int t = 0; t < 12; t++) never.update(Map.of("W", straight), Map.of("W", g));
            Map<String, Tensor> params = new LinkedHashMap<>(Map.of("W", tensor(engine, Memory.UNALIGNED, start)));
            Optimizer adam = engine.optimizer(Adam.of(0.01));
            for (int part = 0; part < 3; part++) {
                for (int t = 0; t < 4; t++) adam.update(params, Map.of("W", g));
                Checkpoint.of(adam, params, Map.of()).write(file);
                adam = engine.optimizer(Adam.of(0.01));
                params.put("W", tensor(engine, Memory.values()[part], new float[5000]));
                Checkpoint.read(file).restore(adam, params);
            }
            assertSameBits(straight.get(), params.get("W").get());
            RulesTest.assertSameState(never.state("W"), adam.state("W"));
            assertTrue(params.get("W").get()[0] != start[0]);
        }
        assertFencesStand();
    }
}
