package kudari;

import static kudari.OptimizerTest.refused;
import static kudari.RulesTest.floats;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import jcuda.Pointer;
import jcuda.Sizeof;
import jcuda.driver.CUdeviceptr;
import jcuda.jcublas.JCublas2;
import jcuda.jcublas.cublasHandle;
import jcuda.jcublas.cublasOperation;
import jcuda.runtime.cudaStream_t;
import kudari.rule.Rule;
import kudari.rule.Sgd;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** The CUDA engine against the CPU engine, bit for bit. Runs where {@code kudari.device} names a CUDA device. */
class CudaEngineTest {

    private static final long SEED = 50;

    private CudaEngine cuda;
    private CpuEngine cpu;

    @BeforeEach
    void open() {
        assumeTrue(Engines.onCuda(), "kudari.device names no CUDA device");
        cuda = (CudaEngine) Engines.open();
        cpu = Engine.cpu(1);
    }

    @AfterEach
    void close() {
        if (cuda == null) return;
        cuda.close();
        cpu.close();
        assertEquals(0, cuda.allocated());
    }

    static Stream<Arguments> sizes() {
        return RulesTest.TABLE.stream().flatMap(row -> IntStream.of(1, 3, 255, 256, 257, 1000, 100_003)
                .mapToObj(size -> Arguments.of(row, size)));
    }

    @ParameterizedTest(name = "{0}, {1} elements")
    @MethodSource("sizes")
    void parametersAndStateEqualTheCpusBits(RulesTest.Row row, int size) {
        follow(row.of().apply(0.01), new int[] {size}, size > 10_000 ? 5 : 50);
    }

    @ParameterizedTest
    @MethodSource("kudari.RulesTest#table")
    void setsOfTensorsEqualTheCpusBits(RulesTest.Row row) {
        Random random = new Random(SEED);
        follow(row.of().apply(0.01), random.ints(7, 0, 3000).toArray(), 20);
        follow(row.of().apply(0.01), random.ints(300, 0, 50).toArray(), 10);
    }

    /** Gradients that start on 16 bytes and 4 behind them, of 1, 2 and 3 elements more than fours, NaN before and behind: the norm reads none of it. */
    @ParameterizedTest
    @ValueSource(ints = {1, 2, 3, 4, 5, 6, 7, 1021, 1022, 1023, 1025, 4095, 4097, 4098, 4099, 8191})
    void aNormReadsNothingBesideItsGradient(int size) {
        Random random = new Random(SEED + size);
        for (Guard guard : List.of(Guard.clipNorm(1), Guard.clipTensorNorm(1))) {
            Map<String, Tensor> a = new LinkedHashMap<>(), da = new LinkedHashMap<>();
            Map<String, Tensor> b = new LinkedHashMap<>(), db = new LinkedHashMap<>();
            for (int before = 4; before < 8; before++) {
                float[] values = new float[size], around = new float[before + size + 4];
                Arrays.fill(around, Float.NaN);
                for (int i = 0; i < size; i++) values[i] = around[before + i] = random.nextFloat() - 0.5f;
                long base = JCudaAddress.of(cuda.pointer(cuda.tensor(around)));
                assertEquals(0, base % 16);
                a.put("W" + before, cpu.zeros(size));
                b.put("W" + before, cuda.zeros(size));
                da.put("W" + before, cpu.tensor(values));
                db.put("W" + before, cuda.wrap(base + (long) before * Float.BYTES, size));
            }
            Optimizer expected = cpu.optimizer(Sgd.of(1)).guard(guard),
                    actual = cuda.optimizer(Sgd.of(1)).guard(guard);
            expected.update(a, da);
            actual.update(b, db);
            assertEquals(0, actual.skipped());
            assertEquals(expected.norm(), actual.norm());
            for (String name : a.keySet())
                RulesTest.assertSameBits(a.get(name).get(), b.get(name).get());
        }
    }

    /** Runs both engines over the same gradients, of 60 decades with everything special among them, and compares every bit. */
    private void follow(Rule rule, int[] sizes, int steps) {
        Map<String, Tensor> a = new LinkedHashMap<>(), da = new LinkedHashMap<>();
        Map<String, Tensor> b = new LinkedHashMap<>(), db = new LinkedHashMap<>();
        Random random = new Random(SEED);
        for (int n = 0; n < sizes.length; n++) {
            float[] start = gradient(random, sizes[n]);
            a.put("W" + n, cpu.tensor(start));
            b.put("W" + n, cuda.tensor(start));
            da.put("W" + n, cpu.zeros(sizes[n]));
            db.put("W" + n, cuda.zeros(sizes[n]));
        }
        Optimizer expected = cpu.optimizer(rule), actual = cuda.optimizer(rule);
        for (int step = 0; step < steps; step++) {
            for (int n = 0; n < sizes.length; n++) {
                float[] gradient = gradient(random, sizes[n]);
                da.get("W" + n).set(gradient);
                db.get("W" + n).set(gradient);
            }
            expected.update(a, da);
            actual.update(b, db);
        }
        for (String name : a.keySet()) {
            assertSameButPayloads(a.get(name).get(), b.get(name).get());
            expected.state(name)
                    .forEach((array, tensor) -> assertSameButPayloads(
                            tensor.get(), actual.state(name).get(array).get()));
        }
    }

    private static float[] gradient(Random random, int size) {
        float[] values = new float[size];
        for (int i = 0; i < size; i++) {
            float special =
                    switch (random.nextInt(400)) {
                        case 0 -> Float.NaN;
                        case 1 -> Float.POSITIVE_INFINITY;
                        case 2 -> Float.NEGATIVE_INFINITY;
                        case 3 -> -0f;
                        case 4 -> Float.MIN_VALUE;
                        case 5 -> Float.MAX_VALUE;
                        default -> 0;
                    };
            values[i] = special != 0
                    ? special
                    : (float) (random.nextGaussian() * Math.pow(10, 60 * random.nextDouble() - 45));
        }
        return values;
    }

    /** The same bits, but for what a NaN carries. */
    private static void assertSameButPayloads(float[] expected, float[] actual) {
        RulesTest.assertSameBits(expected, actual); // floatToIntBits makes all NaNs one
    }

    static Stream<Arguments> alignments() {
        return RulesTest.TABLE.stream()
                .flatMap(row -> IntStream.range(0, 16).mapToObj(n -> Arguments.of(row, n % 4, n / 4)));
    }

    @ParameterizedTest(name = "{0}, p {1} and g {2} floats off")
    @MethodSource("alignments")
    void somebodyElsesMemoryOfAnyAlignmentIsChangedInPlaceAndItsNeighboursAreNot(
            RulesTest.Row row, int offP, int offG) {
        int size = 1037, room = size + 8;
        Random random = new Random(SEED);
        float[] p = gradient(random, room), g = gradient(random, room);
        Tensor allP = cuda.tensor(p), allG = cuda.tensor(g);
        Tensor param = cuda.wrap(offset(cuda.pointer(allP), offP), size),
                grad = cuda.wrap(offset(cuda.pointer(allG), offG), size);
        cuda.optimizer(row.of().apply(0.01)).update(param, grad);

        float[] own = Arrays.copyOfRange(p, offP, offP + size);
        Tensor expected = cpu.tensor(own);
        cpu.optimizer(row.of().apply(0.01)).update(expected, cpu.tensor(Arrays.copyOfRange(g, offG, offG + size)));
        System.arraycopy(expected.get(), 0, p, offP, size);
        assertSameButPayloads(p, allP.get());
        assertSameButPayloads(g, allG.get());
    }

    @ParameterizedTest(name = "g {0} floats off")
    @ValueSource(ints = {1, 2, 3})
    void theNormOfSomebodyElsesMemoryOfAnyAlignmentIsTheCpus(int off) {
        int size = 5001;
        float[] g = new float[off + size];
        Random random = new Random(SEED);
        for (int i = 0; i < g.length; i++) g[i] = (float) random.nextGaussian();
        Tensor whole = cuda.tensor(g), p = cuda.zeros(size), expected = cpu.zeros(size);
        Optimizer here = cuda.optimizer(kudari.rule.Sgd.of(1)).guard(Guard.clipNorm(1)),
                there = cpu.optimizer(kudari.rule.Sgd.of(1)).guard(Guard.clipNorm(1));
        here.update(p, cuda.wrap(offset(cuda.pointer(whole), off), size));
        there.update(expected, cpu.tensor(Arrays.copyOfRange(g, off, off + size)));
        assertEquals(there.norm(), here.norm());
        assertSameButPayloads(expected.get(), p.get());
    }

    private static CUdeviceptr offset(CUdeviceptr pointer, int floats) {
        return pointer.withByteOffset((long) floats * Sizeof.FLOAT);
    }

    /** 132 multiprocessors hold 1,056 blocks, of eights of elements. 8,448 · 1,184 is the first to reach 10⁷, 50,688 · 1,973 the first to reach 10⁸. */
    @ParameterizedTest
    @CsvSource({
        "1056, 0, 1024, 0",
        "1056, 1000, 1024, 1",
        "1056, 10000000, 9472, 1056",
        "1056, 17301504, 16384, 1056",
        "1056, 17301505, 8200, 2110",
        "1056, 100000000, 15784, 6336"
    })
    void allBlocksHaveAsManyChunksAsEachOther(long blocks, long elements, long size, long chunks) {
        assertEquals(size, CudaDriver.chunkSize(blocks, elements));
        assertEquals(chunks, (elements + size - 1) / size);
    }

    @Test
    void aReadingOfMoreThanAPageOfTheHostCanHoldIsRefusedBeforeThereIsOne() {
        Tensor tensor = cuda.wrap(cuda.pointer(cuda.zeros(1)), 1L << 29); // nobody looks at it
        refused(IllegalStateException.class, tensor::asyncRead, "536870912", "at most 536870911 elements");
    }

    @Test
    void aStepAllocatesNothingOnTheDeviceNorOnTheHeap() {
        Tensor p = cuda.zeros(1000), g = cuda.zeros(1000);
        Optimizer adam = cuda.optimizer(kudari.rule.Adam.of());
        Runnable steps = () -> {
            for (int t = 0; t < 100; t++) adam.update(p, g);
        };
        steps.run();
        long device = cuda.allocated();
        assertEquals(0, Allocations.least(steps), "bytes on the heap");
        assertEquals(device, cuda.allocated());
        p.get();
    }

    @Test
    void tooMuchMemoryLeaksNothingAndLeavesTheOptimizerUsable() {
        Tensor p = cuda.tensor(floats(8)), g = cuda.tensor(floats(1));
        Optimizer sgd = cuda.optimizer(kudari.rule.Sgd.of(0.5));
        sgd.update(p, g);
        long before = cuda.allocated();
        refused(
                CudaException.class,
                () -> cuda.zeros(1L << 45),
                "[35184372088832]",
                "CUDA_ERROR_OUT_OF_MEMORY",
                "full");
        assertEquals(before, cuda.allocated());
        sgd.update(p, g);
        assertEquals(7, p.get()[0]);
    }

    /** Four floats and four floats on five, six or seven: the last of one is the first of the other. */
    @ParameterizedTest
    @ValueSource(ints = {0, 1, 2, 3})
    void memoryThatOverlapsInPartIsRefused(int off) {
        Tensor whole = cuda.zeros(8), g = cuda.zeros(4), one = cuda.zeros(1);
        Tensor a = cuda.wrap(offset(cuda.pointer(whole), 0), 4), b = cuda.wrap(offset(cuda.pointer(whole), off), 4);
        Optimizer adam = cuda.optimizer(kudari.rule.Adam.of());
        refused(
                IllegalArgumentException.class,
                () -> adam.update(Map.of("a", a, "b", b), Map.of("a", g, "b", g)),
                "params 'a'",
                "params 'b'");
        refused(
                IllegalArgumentException.class,
                () -> adam.update(Map.of("a", a), Map.of("a", b)),
                "grads 'a'",
                "params 'a'");
        adam.update(Map.of("c", g), Map.of("c", a));
        Tensor m = adam.state("c").get("m"), part = cuda.wrap(offset(cuda.pointer(m), 3), 1);
        refused(IllegalArgumentException.class, () -> adam.update(Map.of("d", part), Map.of("d", one)), "state of 'c'");
        Tensor next = cuda.wrap(offset(cuda.pointer(whole), 4), 4);
        adam.update(Map.of("a", a, "b", next), Map.of("a", g, "b", g));
        assertEquals(2, adam.steps());
    }

    @Test
    void aWrappedPointerMustHoldFloats() {
        Tensor whole = cuda.zeros(4);
        refused(
                IllegalArgumentException.class,
                () -> cuda.wrap(cuda.pointer(whole).withByteOffset(2), 1),
                "multiple of 4");
        assertTrue(cuda.allocated() >= 16);
    }

    @Test
    void whatSomebodysOwnCublasPutsOnTheStreamComesInOrder() {
        int rows = 7, terms = 33, columns = 5;
        Random random = new Random(SEED);
        // Whole numbers, small enough for every sum to be exact: the product has one value in any order, on any device.
        float[] a = whole(random, rows * terms), b = whole(random, terms * columns), c = new float[rows * columns];
        for (int i = 0; i < rows; i++)
            for (int j = 0; j < columns; j++)
                for (int k = 0; k < terms; k++) c[i + j * rows] += 2 * a[i + k * rows] * b[k + j * terms];
        Tensor left = cuda.tensor(a), right = cuda.tensor(b), product = cuda.zeros(rows * columns);
        cublasHandle handle = new cublasHandle();
        cuda.enter();
        assertEquals(0, JCublas2.cublasCreate(handle));
        assertEquals(0, JCublas2.cublasSetStream(handle, new cudaStream_t(cuda.stream())));
        Pointer two = Pointer.to(new float[] {2}), none = Pointer.to(new float[] {0});
        assertEquals(
                0,
                JCublas2.cublasSgemm(
                        handle,
                        cublasOperation.CUBLAS_OP_N,
                        cublasOperation.CUBLAS_OP_N,
                        rows,
                        columns,
                        terms,
                        two,
                        cuda.pointer(left),
                        rows,
                        cuda.pointer(right),
                        terms,
                        none,
                        cuda.pointer(product),
                        rows));
        cuda.optimizer(kudari.rule.Sgd.of(1))
                .update(left, cuda.tensor(a)); // behind the product, so it changes nothing of it
        assertArrayEquals(c, product.get());
        assertArrayEquals(new float[a.length], left.get());
        assertEquals(0, JCublas2.cublasDestroy(handle));
        cuda.leave();
    }

    private static float[] whole(Random random, int n) {
        float[] x = new float[n];
        for (int i = 0; i < n; i++) x[i] = random.nextInt(201) - 100;
        return x;
    }
}
