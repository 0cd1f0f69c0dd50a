package kudari;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.stream.Stream;
import kudari.CudaNewtonSchulz.Matrix;
import kudari.rule.MatrixRule;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** Orthogonal matrices by products, on every engine against float64. */
class NewtonSchulzTest {

    private static final long SEED = 20_250_516;

    /** Jordan's coefficients, and the first six of Polar Express with its safety factor. */
    private static final float[][] JORDAN = new float[5][],
            POLAR =
                    {
                        {
                            8.28721201814563f / 1.01f,
                            -23.595886519098837f / 1.030301f,
                            17.300387312530933f / 1.0510100501f
                        },
                        {
                            4.107059111542203f / 1.01f,
                            -2.9478499167379106f / 1.030301f,
                            0.5448431082926601f / 1.0510100501f
                        },
                        {
                            3.9486908534822946f / 1.01f,
                            -2.908902115962949f / 1.030301f,
                            0.5518191394370137f / 1.0510100501f
                        },
                        {3.3184196573706015f / 1.01f, -2.488488024314874f / 1.030301f, 0.51004894012372f / 1.0510100501f
                        },
                        {
                            2.300652019954817f / 1.01f,
                            -1.6689039845747493f / 1.030301f,
                            0.4188073119525673f / 1.0510100501f
                        },
                        {
                            1.891301407787398f / 1.01f,
                            -1.2679958271945868f / 1.030301f,
                            0.37680408948524835f / 1.0510100501f
                        },
                    };

    static {
        Arrays.fill(JORDAN, new float[] {3.4445f, -4.7750f, 2.0315f});
    }

    private Engine engine;

    @BeforeEach
    void open() {
        engine = Engines.open();
    }

    @AfterEach
    void close() {
        engine.close();
    }

    /** What multiplies: on the CPU OpenBLAS and plain loops, on a device cuBLAS. */
    private List<Products> products() {
        return engine instanceof CpuEngine cpu ? List.of(cpu.openBlas(), Products.loops()) : List.of(Products.loops());
    }

    private List<double[][]> orthogonalize(Products by, NewtonSchulz how, double scale, List<double[][]> us) {
        return us.isEmpty() || engine instanceof CpuEngine ? onCpu(by, how, scale, us) : onCuda(how, scale, us);
    }

    private static List<double[][]> onCpu(Products by, NewtonSchulz how, double scale, List<double[][]> us) {
        List<double[][]> results = new ArrayList<>();
        for (double[][] u : us) {
            int rows = u.length, columns = u[0].length;
            float[] values = floats(u);
            new CpuNewtonSchulz(by, how, Math.min(rows, columns), Math.max(rows, columns))
                    .orthogonalize(values, rows, columns, scale);
            results.add(matrix(values, rows, columns));
        }
        return results;
    }

    private List<double[][]> onCuda(NewtonSchulz how, double scale, List<double[][]> us) {
        CudaEngine cuda = (CudaEngine) engine;
        List<Tensor> tensors = us.stream().map(u -> engine.tensor(floats(u))).toList();
        engine.inContext(() -> {
            CudaNewtonSchulz work = new CudaNewtonSchulz(cuda);
            CudaNewtonSchulz.Laid laid = work.layout(0, matrices(us, tensors, how, scale));
            work.orthogonalize(laid);
            laid.free();
            work.free();
        });
        List<double[][]> results = new ArrayList<>();
        for (int n = 0; n < us.size(); n++)
            results.add(matrix(tensors.get(n).get(), us.get(n).length, us.get(n)[0].length));
        return results;
    }

    private static List<Matrix> matrices(List<double[][]> us, List<Tensor> tensors, NewtonSchulz how, double scale) {
        List<Matrix> matrices = new ArrayList<>();
        for (int n = 0; n < us.size(); n++) {
            long address = ((CudaTensor) tensors.get(n)).address;
            matrices.add(new Matrix(address, us.get(n).length, us.get(n)[0].length, how, scale));
        }
        return matrices;
    }

    private static float[] floats(double[][] u) {
        float[] values = new float[u.length * u[0].length];
        for (int i = 0; i < values.length; i++) values[i] = (float) u[i / u[0].length][i % u[0].length];
        return values;
    }

    private static double[][] matrix(float[] values, int rows, int columns) {
        double[][] matrix = new double[rows][columns];
        for (int i = 0; i < values.length; i++) matrix[i / columns][i % columns] = values[i];
        return matrix;
    }

    private static double[][] random(Random random, int rows, int columns, double size) {
        float[] values = new float[rows * columns];
        for (int i = 0; i < values.length; i++) values[i] = (float) (size * random.nextGaussian());
        return matrix(values, rows, columns);
    }

    static Stream<Arguments> forms() {
        List<Arguments> forms = new ArrayList<>();
        for (boolean gram : new boolean[] {false, true}) {
            forms.add(Arguments.of("Jordan's", new NewtonSchulz(JORDAN, 1, 1e-7, gram)));
            forms.add(Arguments.of("Polar Express's", new NewtonSchulz(POLAR, 1.01, 1e-7, gram)));
            forms.add(Arguments.of("one of Jordan's", new NewtonSchulz(Arrays.copyOf(JORDAN, 1), 1, 1e-7, gram)));
            forms.add(Arguments.of("two of Jordan's", new NewtonSchulz(Arrays.copyOf(JORDAN, 2), 1, 1e-7, gram)));
        }
        return forms.stream();
    }

    /** Square ones, wide and tall ones on both sides of the ratio of 2, of which some are equal but for their direction, and vectors. */
    @ParameterizedTest(name = "{0} {1}")
    @MethodSource("forms")
    void equalsFloat64WithinWhatItsProductsRound(String name, NewtonSchulz how) {
        System.out.println("seed " + SEED);
        Random random = new Random(SEED);
        int[][] shapes = {
            {1, 1}, {3, 4}, {4, 3}, {16, 16}, {5, 17}, {17, 5}, {17, 5}, {1, 40}, {40, 1}, {20, 40}, {8, 33}, {130, 8},
            {3, 4}
        };
        List<double[][]> us = new ArrayList<>();
        for (int[] shape : shapes) us.add(random(random, shape[0], shape[1], Math.pow(10, random.nextInt(26) - 5)));
        us.add(random(random, 3, 4, 1e-8)); // whose norm is smaller than what it is divided by
        for (Products products : products()) {
            List<double[][]> results = orthogonalize(products, how, 0.25, us);
            for (int n = 0; n < us.size(); n++) assertNear(new Orthogonal(us.get(n), how, 0.25), results.get(n));
        }
    }

    private static void assertNear(Orthogonal expected, double[][] result) {
        double size = Orthogonal.norm(expected.result);
        double off = Orthogonal.norm(Orthogonal.sum(result, Orthogonal.times(-1, expected.result)));
        String what = result.length + " x " + result[0].length + " of norm " + size + ": off by " + off + ", at most "
                + expected.bound;
        assertTrue(off <= expected.bound, what);
        assertTrue(expected.bound <= 0.05 * size, what + ", a bound that says little");
    }

    /** The iterations take a polynomial of each singular value, and those of a diagonal matrix are its elements. */
    @Test
    void ofADiagonalMatrixEachElementGoesItsOwnWay() {
        double[][] u = {{3, 0, 0}, {0, -4, 0}};
        double[] by = {0.6, -0.8};
        for (int n = 0; n < 5; n++) {
            for (int i = 0; i < 2; i++)
                by[i] = 3.4445 * by[i] - 4.7750 * Math.pow(by[i], 3) + 2.0315 * Math.pow(by[i], 5);
        }
        for (Products products : products()) {
            for (boolean gram : new boolean[] {false, true}) {
                NewtonSchulz how = new NewtonSchulz(JORDAN, 1, 1e-7, gram);
                double[][] o = orthogonalize(products, how, 1, List.of(u, Orthogonal.transposed(u)))
                        .get(1);
                // Six digits: up to ten roundings of 6e-8 in each iteration, grown by at most 3.9 in each that follows.
                assertEquals(by[0], o[0][0], 2e-4);
                assertEquals(by[1], o[1][1], 2e-4);
                assertEquals(0, Math.abs(o[0][1]) + Math.abs(o[1][0]) + Math.abs(o[2][0]) + Math.abs(o[2][1]));
            }
        }
    }

    /** A rotation times a positive definite matrix has that rotation for its nearest orthogonal matrix. */
    @Test
    void polarExpressComesToTheNearestOrthogonalMatrix() {
        double cos = 0.6, sin = 0.8;
        double[][] rotation = {{cos, -sin}, {sin, cos}}, positive = {{2, 1}, {1, 3}};
        NewtonSchulz how = new NewtonSchulz(POLAR, 1.01, 1e-7, false);
        for (Products products : products()) {
            double[][] o = orthogonalize(products, how, 1, List.<double[][]>of(Orthogonal.product(rotation, positive)))
                    .get(0);
            // Within what its polynomials leave, 0.0054 for singular values above 0.001, and the safety factor of the
            // last.
            for (int i = 0; i < 4; i++) assertEquals(rotation[i / 2][i % 2], o[i / 2][i % 2], 0.007);
        }
    }

    @Test
    void nothingIsAllocatedOnTheHeap() {
        double[][] u = random(new Random(SEED), 6, 20, 1);
        for (boolean gram : new boolean[] {false, true}) {
            NewtonSchulz how = new NewtonSchulz(JORDAN, 1, 1e-7, gram);
            for (Products products : products()) assertEquals(0, Allocations.least(work(products, how, u)));
        }
    }

    private Runnable work(Products products, NewtonSchulz how, double[][] u) {
        int rows = u.length, columns = u[0].length;
        if (engine instanceof CpuEngine) {
            CpuNewtonSchulz cpu = new CpuNewtonSchulz(products, how, rows, columns);
            float[] values = floats(u);
            return () -> cpu.orthogonalize(values, rows, columns, 1);
        }
        Tensor tensor = engine.tensor(floats(u), rows, columns);
        engine.enter();
        try {
            CudaNewtonSchulz cuda = new CudaNewtonSchulz((CudaEngine) engine);
            CudaNewtonSchulz.Laid laid = cuda.layout(0, matrices(List.<double[][]>of(u), List.of(tensor), how, 1));
            Runnable work = () -> cuda.orthogonalize(laid);
            return () -> engine.inContext(work);
        } finally {
            engine.leave();
        }
    }

    /**
     * More elements than one block sums up, and then more such pieces and tiles than there are threads and blocks. Of a row X·Xᵀ is 1, so that an
     * iteration takes the sum of its coefficients, 0.701, times the row by its norm.
     */
    @Test
    void theNormIsOfTheWholeMatrix() {
        NewtonSchulz how = new NewtonSchulz(Arrays.copyOf(JORDAN, 1), 1, 1e-7, false);
        Random random = new Random(SEED);
        double[][] square = random(random, 70, 70, 1), row = random(random, 1, 4096 * 260 + 5, 1);
        double norm = Orthogonal.norm(row);
        for (Products products : products()) {
            List<double[][]> results = orthogonalize(products, how, norm, List.of(square, row));
            assertNear(new Orthogonal(square, how, norm), results.get(0));
            for (int i = 0; i < row[0].length; i++) {
                double expected = (3.4445 - 4.7750 + 2.0315) * row[0][i];
                assertEquals(expected, results.get(1)[0][i], 2e-3 * Math.abs(expected) + 1e-12);
            }
        }
    }

    /** Notes what is asked of it: a Gram matrix, a polynomial, a product of squares, one with X. */
    private record Noted(StringBuilder calls) implements NewtonSchulz.Work {
        @Override
        public void gram(int x, int square) {
            calls.append('g');
        }

        @Override
        public void polynomial(int square, float a, float b, float c, int to) {
            calls.append('p');
        }

        @Override
        public void multiply(int left, int right, int to) {
            calls.append('m');
        }

        @Override
        public void apply(int square, int x, int to) {
            calls.append('x');
        }
    }

    /** By hand, an iteration a word: X is taken anew behind the second and the last; between, the polynomials gather and A follows them. */
    @Test
    void theGramFormIsTakenWhereOneSideIsMoreThanTwiceTheOtherAndBeginsAnewOnce() {
        NewtonSchulz how = new NewtonSchulz(JORDAN, 1, 1e-7, true);
        for (int n : new int[] {4, 5}) {
            Noted noted = new Noted(new StringBuilder());
            how.iterate(noted, 2, n);
            String expected = n == 4 ? "gpx gpx gpx gpx gpx" : "gpmm pmx gpmm pmmm pmx";
            assertEquals(expected.replace(" ", ""), noted.calls.toString());
            assertEquals(n == 4 ? 2 : 4, how.squares(2, n));
        }
    }

    /** A device does those together whose iterations are equal, and no others. */
    @Test
    void iterationsAreEqualWhereEveryNumberIs() {
        MatrixRule.Precision float32 = MatrixRule.Precision.FLOAT32;
        NewtonSchulz how = new NewtonSchulz(JORDAN, 1, 1e-7, true, float32);
        float[][] copy = Stream.of(JORDAN).map(float[]::clone).toArray(float[][]::new);
        NewtonSchulz same = new NewtonSchulz(copy, 1, 1e-7, true, float32);
        assertEquals(how, same);
        assertEquals(how.hashCode(), same.hashCode());
        for (NewtonSchulz other : List.of(
                new NewtonSchulz(Arrays.copyOf(JORDAN, 4), 1, 1e-7, true, float32),
                new NewtonSchulz(JORDAN, 1.01, 1e-7, true, float32),
                new NewtonSchulz(JORDAN, 1, 1e-8, true, float32),
                new NewtonSchulz(JORDAN, 1, 1e-7, false, float32),
                new NewtonSchulz(JORDAN, 1, 1e-7, true, MatrixRule.Precision.TF32))) assertNotEquals(how, other);
    }

    @Test
    void zeroStaysZero() {
        for (Products products : products())
            assertEquals(
                    0,
                    Orthogonal.norm(orthogonalize(
                                    products,
                                    new NewtonSchulz(JORDAN, 1, 1e-7, true),
                                    1,
                                    List.<double[][]>of(new double[2][5]))
                            .get(0)));
    }
}
