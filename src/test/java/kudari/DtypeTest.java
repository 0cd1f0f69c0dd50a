package kudari;

import static java.lang.Float.floatToRawIntBits;
import static kudari.OptimizerTest.refused;
import static kudari.RulesTest.assertSameBits;
import static kudari.RulesTest.floats;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.ShortBuffer;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Map;
import java.util.Random;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import kudari.checkpoint.Checkpoint;
import kudari.checkpoint.SafetensorsFile;
import kudari.rule.Adam;
import kudari.rule.Sgd;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;

/** Tensors of every type, on every engine: what they hold is what the definition of their format says, to the last bit. */
class DtypeTest {

    private static final long SEED = 20261128;

    private static final Dtype[] TYPES = {Dtype.F32, Dtype.BF16, Dtype.F16};

    private Engine engine;

    @BeforeEach
    void open() {
        engine = Engines.open();
    }

    @AfterEach
    void close() {
        engine.close();
    }

    static Stream<Dtype> types() {
        return Arrays.stream(TYPES);
    }

    static Stream<Dtype> types16() {
        return Stream.of(Dtype.BF16, Dtype.F16);
    }

    static Stream<Arguments> pairs() {
        return types().flatMap(to -> types().map(from -> Arguments.of(to, from)));
    }

    /** What a type makes of a float, by the definition of its format. */
    private static float rounded(Dtype dtype, float x) {
        if (dtype == Dtype.F32) return x;
        Format format = Format.of(dtype);
        return Float.intBitsToFloat(format.widened(format.nearest(x)));
    }

    private static float[] rounded(Dtype dtype, float... x) {
        float[] rounded = new float[x.length];
        for (int i = 0; i < x.length; i++) rounded[i] = rounded(dtype, x[i]);
        return rounded;
    }

    /** The same bits, of a NaN too. */
    private static void assertSameRaw(float[] expected, float[] actual) {
        assertEquals(expected.length, actual.length);
        for (int i = 0; i < expected.length; i++)
            if (floatToRawIntBits(expected[i]) != floatToRawIntBits(actual[i]))
                assertEquals(
                        Integer.toHexString(floatToRawIntBits(expected[i])),
                        Integer.toHexString(floatToRawIntBits(actual[i])),
                        "at " + i);
    }

    /** All values of a type. */
    private static float[] all(Dtype dtype) {
        return Format.floats(IntStream.range(0, 1 << 16)
                .map(n -> Format.of(dtype).widened(n))
                .toArray());
    }

    /** An array goes to a device in parts of 2²⁰ bytes. */
    @ParameterizedTest
    @EnumSource(names = {"F32", "BF16", "F16", "U8"})
    void manyElementsComeOutAsTheyWentIn(Dtype dtype) {
        int part = (int) ((1 << 20) / dtype.bytes(1));
        for (int count : new int[] {part - 1, part, part + 1, 3 * part + 2}) {
            float[] values = new float[count];
            for (int i = 0; i < count; i++) values[i] = (i + i / part) % 251; // no two parts are alike
            assertSameRaw(values, engine.tensor(values, dtype).get());
        }
    }

    @ParameterizedTest
    @MethodSource("types16")
    void everyValueComesOutAsItWentIn(Dtype dtype) {
        float[] all = all(dtype);
        assertSameRaw(all, engine.tensor(all, dtype).get());
        Tensor floats = engine.zeros(all.length), tensor = engine.tensor(all, dtype, 256, 256);
        floats.set(tensor);
        assertSameRaw(all, floats.get());
        tensor.zero();
        tensor.set(floats);
        assertSameRaw(all, tensor.get());
        AsyncRead read = tensor.asyncRead();
        read.start();
        tensor.zero();
        assertSameRaw(all, read.get());
        assertSameRaw(new float[all.length], tensor.get());
    }

    /** From Java, and from a tensor in the engine's own arithmetic. */
    @ParameterizedTest
    @MethodSource("types16")
    void everyEdgeIsRoundedAsTheFormatSays(Dtype dtype) {
        float[] edges = Format.of(dtype).edges(), expected = rounded(dtype, edges);
        assertSameRaw(expected, engine.tensor(edges, dtype).get());
        Tensor tensor = engine.zeros(dtype, edges.length);
        tensor.set(engine.tensor(edges));
        assertSameRaw(expected, tensor.get());
    }

    @ParameterizedTest
    @MethodSource("types16")
    void everyValueOfTheOtherTypeIsRoundedAsTheFormatSays(Dtype dtype) {
        Dtype other = dtype == Dtype.BF16 ? Dtype.F16 : Dtype.BF16;
        float[] all = all(other);
        Tensor tensor = engine.zeros(dtype, all.length);
        tensor.set(engine.tensor(all, other));
        assertSameRaw(rounded(dtype, all), tensor.get());
    }

    /** And at last 1 + ¾ of what float16 has as its last bit there, which it rounds up, and bfloat16, whose last bit is eight times as large, down. */
    @ParameterizedTest
    @MethodSource("pairs")
    void addRoundsAProductAndASumToFloatAndThenOnceToTheType(Dtype to, Dtype from) {
        Random random = new Random(SEED);
        for (int size : new int[] {0, 1, 3, 257, 16_385, 40_000}) {
            float[] x = new float[size], y = new float[size], expected = new float[size];
            for (int i = 0; i < size; i++) {
                x[i] = rounded(to, (float) (random.nextGaussian() * Math.pow(10, random.nextInt(9) - 5)));
                y[i] = rounded(from, (float) (random.nextGaussian() * Math.pow(10, random.nextInt(9) - 5)));
                if (i % 97 == 5) x[i] = Float.NaN;
                if (i % 97 == 6) y[i] = Float.NEGATIVE_INFINITY;
                float product = 0.3f * y[i], sum = x[i] + product;
                expected[i] = rounded(to, sum);
            }
            Tensor a = engine.tensor(x, to), b = engine.tensor(y, from);
            a.add(b, 0.3f);
            assertSameBits(expected, a.get());
            assertSameRaw(y, b.get());
            a.add(a, -1);
            for (int i = 0; i < size; i++) expected[i] = rounded(to, expected[i] + -1 * expected[i]);
            assertSameBits(expected, a.get());
        }
        Tensor one = engine.tensor(floats(1), to);
        one.add(engine.tensor(floats(1.5), from), 0x1p-11f);
        assertEquals(to == Dtype.F32 ? 1 + 1.5f / 2048 : to == Dtype.F16 ? 1 + 1f / 1024 : 1, one.get()[0]);
    }

    @ParameterizedTest
    @MethodSource("pairs")
    void setTakesTheValuesOfAnotherType(Dtype to, Dtype from) {
        float[] values = floats(1, -2.5, 0.1, 65520, 1e-7, Float.NaN);
        Tensor tensor = engine.zeros(to, 2, 3);
        tensor.set(engine.tensor(values, from));
        assertSameBits(rounded(to, rounded(from, values)), tensor.get());
    }

    @ParameterizedTest
    @MethodSource("types")
    void aTensorKnowsItsTypeAndSaysIt(Dtype dtype) {
        Tensor tensor = engine.zeros(dtype, 2, 3);
        assertEquals(dtype, tensor.dtype());
        assertArrayEquals(new long[] {2, 3}, tensor.shape());
        assertEquals(dtype + "[2, 3] on " + engine, tensor.toString());
        assertEquals(1, engine.zeros(dtype).size());
        assertArrayEquals(new long[] {2}, engine.tensor(floats(1, 2), dtype).shape());
        assertArrayEquals(
                new long[0], engine.tensor(floats(1), dtype, new long[0]).shape());
        assertSameBits(new float[6], tensor.get());
        Tensor none = engine.zeros(dtype, 0);
        none.set(engine.zeros(0));
        none.add(engine.zeros(0), 1);
        none.zero();
        AsyncRead read = none.asyncRead();
        read.start();
        assertEquals(0, read.get().length + none.get().length);
        refused(IllegalArgumentException.class, () -> tensor.set(1, 2), dtype + "[2, 3]", "6 values", "2");
        refused(IllegalArgumentException.class, () -> tensor.set(engine.zeros(5)), "6 elements", "F32[5]");
    }

    @ParameterizedTest
    @EnumSource(
            value = Dtype.class,
            names = {"F32", "BF16", "F16", "U8"},
            mode = EnumSource.Mode.EXCLUDE)
    void noTensorIsOfATypeThatOnlyFilesHave(Dtype dtype) {
        refused(IllegalArgumentException.class, () -> engine.zeros(dtype, 2), "F32, BF16, F16 or U8", "got " + dtype);
        refused(IllegalArgumentException.class, () -> engine.tensor(floats(1), dtype), "got " + dtype);
    }

    /** Every byte there is; and numbers that are none, by the definition. */
    @Test
    void aTensorOfBytesHoldsTheIntegersFrom0To255() {
        float[] all = new float[256], none = new float[256];
        for (int i = 0; i < 256; i++) all[i] = i;
        Tensor bytes = engine.tensor(all, Dtype.U8, 16, 16), other = engine.zeros(Dtype.U8, 256);
        assertEquals("U8[16, 16] on " + engine, bytes.toString());
        assertSameBits(none, other.get());
        other.set(bytes);
        AsyncRead read = bytes.asyncRead();
        read.start();
        bytes.zero();
        assertSameBits(none, bytes.get());
        assertSameBits(all, read.get());
        assertSameBits(all, other.get());
        float[] numbers = floats(-1, -0.6, 0.4, 0.6, 127.4, 127.6, 254.6, 255.4, 256, 1e9, Double.NaN);
        assertSameBits(
                floats(0, 0, 0, 1, 127, 128, 255, 255, 255, 255, 0),
                engine.tensor(numbers, Dtype.U8).get());
        float infinity = Float.POSITIVE_INFINITY;
        assertSameBits(
                floats(255, 0),
                engine.tensor(floats(infinity, -infinity), Dtype.U8).get());
        Tensor empty = engine.zeros(Dtype.U8, 0);
        empty.set(engine.zeros(Dtype.U8, 0));
        assertEquals(0, empty.get().length);
    }

    @ParameterizedTest
    @MethodSource("types")
    void bytesAreNotMixedWithNumbers(Dtype dtype) {
        Tensor bytes = engine.tensor(floats(3, 200), Dtype.U8), numbers = engine.tensor(floats(1, 2), dtype);
        String words = "expected a tensor of the same type, for bytes are no numbers to be rounded, got ";
        refused(IllegalArgumentException.class, () -> bytes.set(numbers), "U8[2]", words + dtype + "[2]");
        refused(IllegalArgumentException.class, () -> numbers.set(bytes), dtype + "[2]", words + "U8[2]");
        refused(IllegalArgumentException.class, () -> numbers.add(bytes, 1), dtype + "[2]", words + "U8[2]");
        refused(IllegalArgumentException.class, () -> bytes.add(numbers, 1), "U8[2]", words + dtype + "[2]");
        refused(
                IllegalArgumentException.class,
                () -> bytes.add(bytes, 1),
                "U8[2]",
                "expected F32, BF16 or F16, to which is added, got U8");
        assertSameBits(floats(3, 200), bytes.get());
        assertSameBits(floats(1, 2), numbers.get());
    }

    /** As the gradient of a parameter of float32, named or alone. */
    @ParameterizedTest
    @MethodSource("types16")
    void anOptimizerRefusesThemBesideFloat32AndChangesNothing(Dtype dtype) {
        Optimizer sgd = engine.optimizer(Sgd.of(1));
        Tensor p = engine.tensor(floats(1, 2)), g = engine.tensor(floats(1, 1));
        Tensor half = engine.tensor(floats(1, 2), dtype);
        String[] words = {"expected a tensor of F32", dtype + "[2]"};
        refused(IllegalArgumentException.class, () -> sgd.update(p, half), words);
        refused(
                IllegalArgumentException.class,
                () -> sgd.update(Map.of("a", p, "b", p), Map.of("a", g, "b", half)),
                "grads 'b'");
        assertEquals(0, sgd.steps());
        sgd.update(p, g);
        assertSameBits(floats(0, 1), p.get());
    }

    @ParameterizedTest
    @MethodSource("types16")
    void aGraphSetsAndAddsThem(Dtype dtype) {
        Tensor master = engine.tensor(floats(0.1, 1, -3)), model = engine.zeros(dtype, 3), sum = engine.zeros(dtype, 3);
        Runnable body = () -> {
            model.set(master);
            sum.add(model, 2);
            master.add(sum, -0.5f);
        };
        body.run();
        try (Graph graph = engine.capture(body)) {
            graph.launch();
        }
        float[] m = floats(0.1, 1, -3), s = new float[3];
        for (int t = 0; t < 2; t++)
            for (int i = 0; i < 3; i++) {
                s[i] = rounded(dtype, s[i] + 2 * rounded(dtype, m[i]));
                m[i] += -0.5f * s[i];
            }
        assertSameBits(s, sum.get());
        assertSameBits(m, master.get());
    }

    @Test
    void whatIsDoneAgainAndAgainAllocatesNothing() {
        Tensor a = engine.zeros(Dtype.BF16, 1000), b = engine.zeros(Dtype.F16, 1000), c = engine.zeros(1000);
        AsyncRead read = a.asyncRead();
        Runnable steps = () -> {
            for (int t = 0; t < 20; t++) {
                a.add(b, 0.5f);
                b.set(c);
                c.set(a);
            }
        };
        Runnable reads = () -> {
            read.start();
            read.get();
        };
        steps.run();
        reads.run();
        assertEquals(0, Allocations.least(steps), "bytes on the heap");
        assertEquals(0, Allocations.least(reads), "bytes on the heap of a read");
    }

    @ParameterizedTest
    @MethodSource("types16")
    void aCheckpointKeepsEveryValueAndItsType(Dtype dtype, @TempDir Path folder) throws Exception {
        Path file = folder.resolve("x.safetensors");
        float[] all = all(dtype);
        // Not the optimizer's: it has not seen them.
        Map<String, Tensor> params = Map.of("w", engine.tensor(all, dtype, 256, 256), "b", engine.tensor(floats(1, 2)));
        Optimizer adam = engine.optimizer(Adam.of());
        Checkpoint.of(adam, params, Map.of()).write(file);
        try (SafetensorsFile read = SafetensorsFile.open(file)) {
            assertEquals(dtype + "[256, 256]", read.tensors().get("params/w").toString());
            ByteBuffer expected = ByteBuffer.allocate(2 << 16).order(ByteOrder.LITTLE_ENDIAN);
            for (short bits : Format.all()) expected.putShort(bits);
            assertArrayEquals(expected.array(), read.bytes("params/w"));
        }
        Map<String, Tensor> restored = Map.of("w", engine.zeros(dtype, 256, 256), "b", engine.zeros(2));
        Checkpoint.read(file).restore(adam, restored);
        assertSameRaw(all, restored.get("w").get());

        Map<String, Tensor> wider = Map.of("w", engine.zeros(256, 256), "b", engine.zeros(2));
        refused(
                IllegalArgumentException.class,
                () -> {
                    try {
                        Checkpoint.read(file).restore(adam, wider);
                    } catch (java.io.IOException e) {
                        throw new java.io.UncheckedIOException(e);
                    }
                },
                "'params/w'",
                "expected F32, got " + dtype);
        assertSameBits(new float[2], wider.get("b").get());
    }

    // ---- somebody else's memory ----

    @ParameterizedTest
    @MethodSource("types16")
    void somebodysArraysAndBuffersOf16BitsAreChangedInPlaceAndNothingBesideThem(Dtype dtype) {
        try (CpuEngine cpu = Engine.cpu(2)) {
            float[] values = floats(0.1, -7, 65520);
            short fence = 0x1234;
            for (int offset : new int[] {0, 1, 3}) {
                short[] array = new short[3 + 2 * offset];
                ByteBuffer bytes = ByteBuffer.allocateDirect(2 * array.length + 1);
                ByteBuffer odd = bytes.slice(1, 2 * array.length); // at an odd address
                for (ShortBuffer memory : new ShortBuffer[] {
                    ShortBuffer.wrap(array),
                    bytes.order(ByteOrder.nativeOrder()).asShortBuffer().limit(array.length),
                    odd.order(ByteOrder.nativeOrder()).asShortBuffer()
                }) {
                    for (int i = 0; i < array.length; i++) memory.put(i, fence);
                    Tensor tensor = cpu.wrap(memory.slice(offset, 3), dtype, 3, 1);
                    tensor.set(values);
                    assertSameBits(rounded(dtype, values), tensor.get());
                    for (int i = 0; i < 3; i++)
                        assertEquals((short) Format.of(dtype).nearest(values[i]), memory.get(offset + i));
                    memory.put(offset, (short) 0x3c01); // and what the owner writes, the tensor sees
                    assertEquals(Float.intBitsToFloat(Format.of(dtype).widened(0x3c01)), tensor.get()[0]);
                    Tensor other = cpu.tensor(floats(1, 2, 3), dtype);
                    tensor.set(other);
                    tensor.add(other, 1);
                    assertSameBits(floats(2, 4, 6), tensor.get());
                    tensor.zero();
                    assertSameBits(new float[3], tensor.get());
                    for (int i = 0; i < array.length; i++)
                        if (i < offset || i >= offset + 3) assertEquals(fence, memory.get(i));
                }
            }
            short[] whole = {0x3c00, 0x4000};
            assertArrayEquals(new long[] {2}, cpu.wrap(whole, dtype).shape());
            cpu.wrap(whole, dtype, 1, 2).zero();
            assertArrayEquals(new short[2], whole);
        }
    }

    @Test
    void whatCannotBeWrappedIsRefused() {
        try (CpuEngine cpu = Engine.cpu(1)) {
            short[] two = new short[2];
            refused(IllegalArgumentException.class, () -> cpu.wrap(two, Dtype.F32), "BF16 or F16", "got F32");
            refused(IllegalArgumentException.class, () -> cpu.wrap(two, Dtype.I16, 2), "BF16 or F16", "got I16");
            refused(IllegalArgumentException.class, () -> cpu.wrap(two, Dtype.F16, 3), "[3]", "3 values", "2");
            ShortBuffer fixed = ShortBuffer.wrap(two).asReadOnlyBuffer();
            refused(IllegalArgumentException.class, () -> cpu.wrap(fixed, Dtype.F16), "read-only");
            ByteOrder other =
                    ByteOrder.nativeOrder() == ByteOrder.LITTLE_ENDIAN ? ByteOrder.BIG_ENDIAN : ByteOrder.LITTLE_ENDIAN;
            ShortBuffer swapped = ByteBuffer.allocateDirect(4).order(other).asShortBuffer();
            refused(IllegalArgumentException.class, () -> cpu.wrap(swapped, Dtype.F16), "" + other, "order(");
            ShortBuffer ofBytes =
                    ByteBuffer.allocate(4).order(ByteOrder.nativeOrder()).asShortBuffer();
            refused(IllegalArgumentException.class, () -> cpu.wrap(ofBytes, Dtype.F16), "short[]", "byte[]");
            refused(
                    IllegalArgumentException.class,
                    () -> cpu.array(cpu.zeros(Dtype.BF16, 2)),
                    "BF16[2]",
                    "a tensor of F32",
                    "get and set");
        }
    }

    /** One memory as two types is two tensors that overlap, wherever they begin. */
    @Test
    void oneMemoryAsTwoTypesOverlaps() {
        ByteBuffer bytes = ByteBuffer.allocateDirect(16).order(ByteOrder.nativeOrder());
        try (CpuEngine cpu = Engine.cpu(1)) {
            Tensor floats = cpu.wrap(bytes.asFloatBuffer().slice(0, 2)),
                    low = cpu.wrap(bytes.asShortBuffer().slice(2, 2), Dtype.BF16),
                    high = cpu.wrap(bytes.asShortBuffer().slice(4, 2), Dtype.BF16),
                    half = cpu.wrap(bytes.asShortBuffer().slice(4, 2), Dtype.F16);
            refused(IllegalArgumentException.class, () -> low.set(floats), "overlaps");
            refused(IllegalArgumentException.class, () -> floats.add(low, 1), "overlaps");
            refused(IllegalArgumentException.class, () -> high.set(half), "overlaps");
            floats.set(1, 2);
            high.set(floats);
            assertSameBits(floats(1, 2), high.get());
            high.set(high);
            low.set(high);
            assertSameBits(floats(1, 2), low.get());
        }
    }

    @ParameterizedTest
    @MethodSource("types16")
    void somebodysDeviceMemoryOf16BitsIsChangedInPlaceAndNothingBesideIt(Dtype dtype) {
        assumeTrue(Engines.onCuda(), "kudari.device names no CUDA device");
        CudaEngine cuda = (CudaEngine) engine;
        for (int offset = 0; offset < 9; offset++) {
            int size = 1037;
            float[] around = new float[size + 16], values = new float[size];
            Arrays.fill(around, -3);
            for (int i = 0; i < size; i++) values[i] = around[offset + i] = i % 128;
            Tensor whole = cuda.zeros(dtype, size + 16);
            whole.add(cuda.full(1, size + 16), -3);
            long base = JCudaAddress.of(cuda.pointer(whole));
            Tensor part = cuda.wrap(base + 2L * offset, dtype, size);
            assertEquals(dtype, part.dtype());
            part.set(values);
            assertSameBits(around, whole.get());
            part.add(part, 1);
            part.set(cuda.tensor(values));
            assertSameBits(around, whole.get());
            part.zero();
            Arrays.fill(around, offset, offset + size, 0);
            assertSameBits(around, whole.get());
            assertEquals(base + 2L * offset, JCudaAddress.of(cuda.pointer(cuda.wrap(cuda.pointer(part), dtype, size))));
        }
        long base = JCudaAddress.of(cuda.pointer(cuda.zeros(dtype, 8)));
        refused(IllegalArgumentException.class, () -> cuda.wrap(base + 1, dtype, 2), "a multiple of 2 bytes");
        refused(IllegalArgumentException.class, () -> cuda.wrap(base + 2, 2), "a multiple of 4 bytes");
        refused(IllegalArgumentException.class, () -> cuda.wrap(base, Dtype.I16, 2), "got I16");
        Tensor a = cuda.wrap(base, dtype, 4), b = cuda.wrap(base + 6, dtype, 4), f = cuda.wrap(base, 4);
        refused(IllegalArgumentException.class, () -> a.set(b), "overlaps");
        refused(IllegalArgumentException.class, () -> f.set(a), "overlaps");
        Tensor large = cuda.wrap(base, dtype, 1L << 30);
        refused(IllegalStateException.class, large::asyncRead, "1073741824", "at most 1073741823 elements");
    }

    /** Parameters of 16 bits and gradients of as many or of 32, each at the elements before the next multiple of four. */
    @ParameterizedTest
    @MethodSource("types16")
    void aStepOverSomebodysMemoryOfAnyAlignmentIsTheCpusAndItsNeighboursStay(Dtype dtype) {
        assumeTrue(Engines.onCuda(), "kudari.device names no CUDA device");
        CudaEngine cuda = (CudaEngine) engine;
        int size = 1037;
        float[] values = new float[size + 8];
        for (int i = 0; i < values.length; i++) values[i] = i % 128 - 50;
        try (Engine cpu = Engine.cpu(1)) {
            for (Dtype of : new Dtype[] {dtype, Dtype.F32}) {
                Tensor expected = cpu.zeros(dtype, size), gradient = cpu.zeros(of, size);
                for (int n = 0; n < 8; n++) {
                    int offP = n < 4 ? 0 : n % 4, offG = n < 4 ? n : 0;
                    Tensor allP = cuda.zeros(dtype, size + 8), allG = cuda.zeros(of, size + 8);
                    allP.set(values);
                    allG.set(values);
                    cuda.optimizer(Sgd.of(0.5))
                            .update(
                                    cuda.wrap(
                                            JCudaAddress.of(cuda.pointer(allP)) + (long) offP * dtype.bits() / 8,
                                            dtype,
                                            size),
                                    cuda.wrap(
                                            JCudaAddress.of(cuda.pointer(allG)) + (long) offG * of.bits() / 8,
                                            of,
                                            size));
                    expected.set(Arrays.copyOfRange(values, offP, offP + size));
                    gradient.set(Arrays.copyOfRange(values, offG, offG + size));
                    cpu.optimizer(Sgd.of(0.5)).update(expected, gradient);
                    float[] all = values.clone();
                    System.arraycopy(expected.get(), 0, all, offP, size);
                    assertSameBits(all, allP.get());
                    assertSameBits(values, allG.get());
                }
            }
        }
    }

    @Test
    void aKernelOfOnesOwnTakes16Bits() {
        assumeTrue(Engines.onCuda(), "kudari.device names no CUDA device");
        CudaEngine cuda = (CudaEngine) engine;
        Tensor tensor = cuda.tensor(floats(1, -2, 0.5), Dtype.BF16);
        String text = """
                extern "C" __global__ void negate(unsigned short* x) { x[threadIdx.x] ^= 0x8000; }
                """;
        cuda.kernel("negate.cu", text, "negate").set(0, tensor).launch(1, 3);
        assertSameBits(floats(-1, 2, -0.5), tensor.get());
    }
}
