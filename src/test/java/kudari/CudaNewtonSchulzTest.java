package kudari;

import static kudari.RulesTest.assertSameBits;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.TreeMap;
import kudari.CudaNewtonSchulz.Matrix;
import kudari.rule.MatrixRule;
import kudari.rule.Muon;
import kudari.softcuda.Control;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Orthogonal matrices on a device: how many launches, in a graph, and when cuBLAS fails. */
class CudaNewtonSchulzTest {

    private static final long SEED = 2026;
    private static final float[][] JORDAN = new float[5][];

    static {
        Arrays.fill(JORDAN, new float[] {3.4445f, -4.7750f, 2.0315f});
    }

    private final CudaEngine engine = (CudaEngine) Engines.open();
    private final List<Tensor> tensors = new ArrayList<>();
    private CudaNewtonSchulz work;

    @BeforeEach
    void open() {
        engine.enter();
        work = new CudaNewtonSchulz(engine);
    }

    @AfterEach
    void close() {
        engine.leave();
        engine.close();
    }

    private Matrix matrix(int rows, int columns, boolean gram) {
        float[] values = new float[rows * columns];
        Random random = new Random(SEED + tensors.size());
        for (int i = 0; i < values.length; i++) values[i] = (float) random.nextGaussian();
        Tensor tensor = engine.tensor(values, rows, columns);
        tensors.add(tensor);
        return new Matrix(((CudaTensor) tensor).address, rows, columns, new NewtonSchulz(JORDAN, 1, 1e-7, gram), 1);
    }

    @Test
    void allMatricesOfOneShapeTakeTheLaunchesOfOne() {
        Assumptions.assumeTrue(Control.isThere(), DeviceTests.SOFT_ONLY);
        Control control = new Control();
        int[] launches = new int[3];
        List<List<Matrix>> sets = List.of(
                List.of(matrix(4, 12, true)),
                List.of(matrix(4, 12, true), matrix(12, 4, true), matrix(4, 12, true)),
                List.of(matrix(4, 12, false), matrix(12, 4, false)));
        for (int n = 0; n < launches.length; n++) {
            CudaNewtonSchulz.Laid laid = work.layout(0, sets.get(n));
            control.ask("reset");
            work.orthogonalize(laid);
            engine.finish();
            launches[n] = control.launches();
        }
        // Four around the iterations. In the Gram form: the square twice, polynomials of two launches each, two
        // products of X; and where neither begins
        // anew, the product of polynomials, three times; and where none ends, two for the square, three times.
        assertEquals(4 + 2 + 5 * 2 + 2 + 3 + 3 * 2, launches[0]);
        assertEquals(launches[0], launches[1]);
        assertEquals(4 + 5 * (1 + 2 + 1), launches[2]);
    }

    @Test
    void aGraphOfItComputesTheSameBits() {
        List<Matrix> matrices =
                List.of(matrix(5, 33, true), matrix(33, 5, true), matrix(7, 7, true), matrix(3, 40, false));
        CudaNewtonSchulz.Laid laid = work.layout(0, matrices);
        List<float[]> start = tensors.stream().map(Tensor::get).toList();
        work.orthogonalize(laid);
        List<float[]> once = tensors.stream().map(Tensor::get).toList();
        work.orthogonalize(laid);
        List<float[]> twice = tensors.stream().map(Tensor::get).toList();
        for (int n = 0; n < start.size(); n++) tensors.get(n).set(start.get(n));
        try (Graph graph = engine.capture(() -> work.orthogonalize(laid))) {
            for (List<float[]> expected : List.of(once, twice)) {
                graph.launch();
                for (int n = 0; n < start.size(); n++)
                    assertSameBits(expected.get(n), tensors.get(n).get());
            }
        }
    }

    @Test
    void whatItTakesComesBack() {
        long before = engine.allocated();
        CudaNewtonSchulz.Laid laid = work.layout(0, List.of(matrix(5, 33, true)));
        assertTrue(engine.allocated() > before + 3 * 5 * 33 * 4);
        laid.free();
        assertEquals(before + 5 * 33 * 4, engine.allocated());
    }

    /**
     * X ← (X·Xᵀ)·X of x = ½·(1 + 3·2⁻¹⁰), which its ε leaves as it is, by hand. In float32 that is x³, rounded. Of 11 bits the square, ¼·(1 + 6·2⁻¹⁰ + 9·2⁻²⁰),
     * loses its last part before it is multiplied; of 8 bits x is ½. A device may take all bits all the same where a matrix is as small.
     */
    @ParameterizedTest
    @EnumSource
    void aPrecisionIsWhatProductsTakeOfANumber(MatrixRule.Precision precision) {
        Assumptions.assumeTrue(Control.isThere(), DeviceTests.SOFT_ONLY);
        NewtonSchulz how = NewtonSchulz.of(Muon.of().precision(precision));
        assertEquals(precision, how.precision());
        Tensor x = engine.tensor(new float[] {0.5f * (1 + 3 * 0x1p-10f)}, 1, 1);
        NewtonSchulz cube = new NewtonSchulz(new float[][] {{0, 1, 0}}, 1, 1, false, how.precision());
        CudaNewtonSchulz.Laid laid = work.layout(0, List.of(new Matrix(((CudaTensor) x).address, 1, 1, cube, 1)));
        work.orthogonalize(laid);
        float expected =
                switch (precision) {
                    case FLOAT32 -> 0.125f * (1 + 9 * 0x1p-10f + 27 * 0x1p-20f);
                    case TF32 -> 0.125f * (1 + 9 * 0x1p-10f + 18 * 0x1p-20f);
                    case BFLOAT16 -> 0.125f;
                };
        assertSameBits(new float[] {expected}, x.get());
        laid.free();
    }

    @Test
    void aProductThatFailsIsTold() {
        Assumptions.assumeTrue(Control.isThere(), DeviceTests.SOFT_ONLY);
        Control control = new Control();
        CudaNewtonSchulz.Laid laid = work.layout(0, List.of(matrix(5, 33, true)));
        control.ask("fail cublasGemmStridedBatchedEx:3:13");
        CudaException failure = assertThrows(CudaException.class, () -> work.orthogonalize(laid));
        assertTrue(
                failure.getMessage().contains("cublasGemmStridedBatchedEx: CUBLAS_STATUS_EXECUTION_FAILED"),
                failure::getMessage);
    }

    /** Muon over matrices of one shape, so many. */
    private Runnable muon(int matrices) {
        Map<String, Tensor> params = new TreeMap<>(), grads = new TreeMap<>();
        for (int n = 0; n < matrices; n++) {
            params.put("W" + n, engine.tensor(new float[] {1, 2, 3, 4}, 2, 2));
            grads.put("W" + n, engine.tensor(new float[] {1, -1, 2, 0}, 2, 2));
        }
        Optimizer optimizer = engine.optimizer(Muon.of()).guard(Guard.clipNorm(1));
        return () -> optimizer.update(params, grads);
    }

    /** The norm, the loop before, four around the iterations, five lines, the loop behind; and three products for each of five iterations. */
    @Test
    void aStepOfMuonIsSoManyLaunchesForAnyNumberOfMatricesAndNothingElse() {
        Assumptions.assumeTrue(Control.isThere(), DeviceTests.SOFT_ONLY);
        Control control = new Control();
        for (int matrices : new int[] {1, 7}) {
            Runnable step = muon(matrices);
            step.run();
            engine.finish();
            control.ask("reset");
            step.run();
            assertEquals(
                    Map.of("cuLaunchKernel", 12L, "cublasGemmStridedBatchedEx", 15L, "cuStreamIsCapturing", 1L),
                    control.calls());
        }
    }

    /** State, control block, updates, what makes them orthogonal, table; the pages of kernels and copies; the fills and the copies of all that. */
    @ParameterizedTest
    @ValueSource(
            strings = {
                "cuMemAlloc:1:2",
                "cuMemAlloc:2:2",
                "cuMemAlloc:3:2",
                "cuMemAlloc:4:2",
                "cuMemAlloc:5:2",
                "cuMemAlloc:6:2",
                "cuMemAllocHost:1:2",
                "cuMemAllocHost:2:2",
                "cuMemAllocHost:3:2",
                "cuMemAllocHost:7:2",
                "cuMemAllocHost:8:2",
                "cuMemsetD8Async:1:1",
                "cuMemsetD8Async:2:1",
                "cuMemcpyHtoDAsync:1:1",
                "cuMemcpyHtoDAsync:2:1",
                "cuMemcpyHtoDAsync:3:1"
            })
    void aFailureWhileMuonIsLaidOutLeavesNothing(String failure) {
        Assumptions.assumeTrue(Control.isThere(), DeviceTests.SOFT_ONLY);
        muon(2).run(); // cuBLAS stays the engine's
        engine.finish();
        Control control = new Control();
        Runnable step = muon(2);
        long before = engine.allocated();
        int live = control.ask("live").getAsJsonArray().size();
        control.ask("reset");
        control.ask("fail " + failure);
        CudaException thrown = assertThrows(CudaException.class, step::run);
        assertTrue(thrown.getMessage().contains(failure.replaceFirst(":.*", "")), thrown.getMessage());
        assertEquals(before, engine.allocated());
        assertEquals(live, control.ask("live").getAsJsonArray().size());
        step.run();
    }
}
