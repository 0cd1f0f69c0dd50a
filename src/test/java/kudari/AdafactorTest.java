package kudari;

import static kudari.RulesTest.assertSameBits;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.TreeMap;
import java.util.stream.Stream;
import kudari.rule.Adafactor;
import kudari.rule.Adam;
import kudari.rule.Rule;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** What holds of moments that are factored, beside the laws of all rules, whose tensors are vectors. */
class AdafactorTest {

    private static final long SEED = 20261127;

    /** Around the widths of tiles; rows side by side, one below the other, and in several tiles; several matrices; one that is no matrix. */
    private static final long[][] SHAPES = {
        {1, 1},
        {3, 4},
        {5, 1},
        {1, 7},
        {7, 129},
        {4, 256},
        {3, 257},
        {2, 1025},
        {300, 255},
        {700, 90},
        {20_000, 2},
        {5, 3, 3},
        {2, 3, 4, 5},
        {3, 130, 131},
        {9},
        {0, 3},
        {2, 0, 4},
        {9000}
    };

    private static final List<Guard> GUARDS = List.of(
            Guard.NONE,
            Guard.NONE.scale(0.25).maximizes(true),
            Guard.clipNorm(20),
            Guard.clipTensorNorm(2),
            Guard.clipValue(0.5).scale(2));

    static Stream<Rule> rules() {
        return Stream.of(
                Adafactor.of(0.05),
                Adafactor.pytorch(0.05).decay(0.01),
                Adafactor.optax(0.05).smallest(4).l2(0.01).threshold(0.5),
                Adafactor.of(0.05).scaled(false).eps(1e-3, 0.5));
    }

    private static float[] random(Random random, int size) {
        float[] values = new float[size];
        for (int i = 0; i < size; i++) values[i] = (float) (random.nextGaussian() * Math.exp(random.nextGaussian()));
        return values;
    }

    private static int size(long[] shape) {
        return (int) Tensor.size(shape);
    }

    /** What parameters and state are after three steps. */
    private static Map<String, float[]> after(Engine engine, Rule rule, Guard guard) {
        Random random = new Random(SEED);
        Map<String, Tensor> p = new TreeMap<>(), g = new TreeMap<>();
        for (int n = 0; n < SHAPES.length; n++) {
            p.put("W" + n, engine.tensor(random(random, size(SHAPES[n])), SHAPES[n]));
            g.put("W" + n, engine.zeros(SHAPES[n]));
        }
        Map<String, float[]> after = new TreeMap<>();
        try (Optimizer optimizer = engine.optimizer(rule).guard(guard)) {
            for (int t = 0; t < 3; t++) {
                g.forEach((name, tensor) -> tensor.set(random(random, (int) tensor.size())));
                optimizer.update(p, g);
            }
            p.forEach((name, tensor) -> {
                after.put(name, tensor.get());
                optimizer.state(name).forEach((array, state) -> after.put(name + "'s " + array, state.get()));
            });
        }
        return after;
    }

    private static void same(Map<String, float[]> expected, Map<String, float[]> actual, String what) {
        assertEquals(expected.keySet(), actual.keySet());
        expected.forEach((name, values) -> {
            try {
                assertSameBits(values, actual.get(name));
            } catch (AssertionError e) {
                throw new AssertionError(what + ": " + name + ": " + e.getMessage(), e);
            }
        });
    }

    @ParameterizedTest
    @MethodSource("rules")
    void matricesOfEveryShapeAreTheSameOnEveryEngineAndOnEveryNumberOfThreads(Rule rule) {
        try (Engine engine = Engines.open();
                Engine one = Engine.cpu(1);
                Engine three = Engine.cpu(3)) {
            for (Guard guard : GUARDS) {
                Map<String, float[]> expected = after(one, rule, guard);
                same(expected, after(three, rule, guard), guard + ", three threads");
                same(expected, after(engine, rule, guard), guard.toString());
            }
        }
    }

    /** Row and column means over lanes and tiles of their full width, written down without short cuts. */
    @Test
    void theMomentsAreAddedUpInTheirOrder() {
        int rows = 700, columns = 300;
        Random random = new Random(SEED);
        float[] x = random(random, rows * columns);
        try (Engine engine = Engines.open()) {
            Tensor p = engine.zeros(rows, columns), g = engine.tensor(x, rows, columns);
            Adafactor rule = Adafactor.of(0.1);
            Optimizer optimizer = engine.optimizer(rule);
            optimizer.update(p, g);
            float[] k = new float[Rule.SCALARS];
            rule.at(1, k);
            float[] row = new float[rows], col = new float[columns];
            for (int r = 0; r < rows; r++) {
                double sum = 0;
                for (int part = 0; part < columns; part += 256) {
                    double[] lanes = new double[256], leaves = new double[64];
                    for (int c = part; c < Math.min(part + 256, columns); c++)
                        lanes[c - part] = (double) x[r * columns + c] * x[r * columns + c];
                    for (int j = 0; j < 64; j++)
                        leaves[j] = (lanes[4 * j] + lanes[4 * j + 1]) + (lanes[4 * j + 2] + lanes[4 * j + 3]);
                    for (int half = 32; half > 0; half /= 2)
                        for (int j = 0; j < half; j++) leaves[j] += leaves[j + half];
                    sum += leaves[0];
                }
                row[r] = rule.moment(k, 0, sum / columns);
            }
            for (int c = 0; c < columns; c++) {
                double sum = 0;
                for (int strip = 0; strip < rows; strip += 256) {
                    double[] lanes = new double[4];
                    for (int r = strip; r < Math.min(strip + 256, rows); r++)
                        lanes[r % 4] += (double) x[r * columns + c] * x[r * columns + c];
                    sum += ((lanes[0] + lanes[1]) + lanes[2]) + lanes[3];
                }
                col[c] = rule.moment(k, 0, sum / rows);
            }
            assertSameBits(row, optimizer.state(Optimizer.SINGLE).get("row").get());
            assertSameBits(col, optimizer.state(Optimizer.SINGLE).get("col").get());
        }
    }

    /**
     * The article's algorithms 4 to 6 in float64, over ten steps: each step rounds p, the gradient and factors some eight times, of a step of at most a
     * tenth of what p is, and the moments, whose rounding dies away.
     */
    @Test
    void aMatrixAndMatricesGoTheWayOfTheArticle() {
        int batch = 2, rows = 5, columns = 7, all = batch * rows * columns;
        Random random = new Random(SEED);
        float[] start = random(random, all);
        double lr = 0.1, eps = 1e-30;
        double[] p = new double[all], row = new double[batch * rows], col = new double[batch * columns];
        for (int i = 0; i < all; i++) p[i] = start[i];
        try (Engine engine = Engines.open()) {
            Tensor param = engine.tensor(start, batch, rows, columns), grad = engine.zeros(batch, rows, columns);
            Optimizer optimizer = engine.optimizer(Adafactor.of(lr));
            for (int t = 1; t <= 10; t++) {
                float[] g = random(random, all);
                grad.set(g);
                optimizer.update(param, grad);
                double rest = Math.pow(t, -0.8), squares = 0, sizes = 0;
                for (int n = 0; n < row.length; n++) row[n] *= 1 - rest;
                for (int n = 0; n < col.length; n++) col[n] *= 1 - rest;
                for (int i = 0; i < all; i++) {
                    double square = (double) g[i] * g[i] + eps;
                    row[i / columns] += rest * square / columns;
                    col[i / columns / rows * columns + i % columns] += rest * square / rows;
                    sizes += p[i] * p[i] / all;
                }
                double[] u = new double[all];
                for (int i = 0; i < all; i++) {
                    int matrix = i / columns / rows;
                    double mean = Arrays.stream(row, matrix * rows, (matrix + 1) * rows)
                            .average()
                            .orElseThrow();
                    u[i] = g[i] / Math.sqrt(row[i / columns] * col[matrix * columns + i % columns] / mean);
                    squares += u[i] * u[i] / all;
                }
                double rate = Math.min(lr, 1 / Math.sqrt(t)) * Math.max(0.001, Math.sqrt(sizes));
                for (int i = 0; i < all; i++) p[i] -= rate * u[i] / Math.max(1, Math.sqrt(squares));
            }
            float[] actual = param.get();
            double largest = Arrays.stream(p).map(Math::abs).max().orElseThrow();
            for (int i = 0; i < all; i++)
                assertEquals(p[i], actual[i], 10 * 8 * 0x1p-24 * largest, "element " + i + " of " + largest);
        }
    }

    /** In step 32 β is 1 − 32^−0.8 = 15/16. */
    @Test
    void itsEpsilonsAndItsThresholdAreWorkedOutByHand() {
        Adafactor rule = Adafactor.of(0.5).eps(1, 0.5).least(0.25).threshold(2);
        float[] k = new float[Rule.SCALARS];
        rule.at(32, k);
        assertEquals(15 / 16.0 * 4 + 1 / 16.0 * (7 + 1), rule.moment(k, 4, 7), 1e-6);
        assertEquals(Math.sqrt(3 / 12.0), rule.factor(k, 12, 3), 1e-7);
        assertEquals(Math.sqrt(0.5 / 2), rule.factor(k, 2, 0.125), 1e-7); // a mean of rows below the floor is the floor
        double rate = 1 / Math.sqrt(32);
        // Of 4 elements: rms(p) = √(36/4), rms(u) = √(16/4), which is the threshold.
        assertEquals(rate * 3, rule.trust(k, 1, 16, 0, 36, 4, new float[1]), 1e-7);
        assertEquals(rate * 3 / 2, rule.trust(k, 1, 64, 0, 36, 4, new float[1]), 1e-7);
        assertEquals(rate * 3, rule.trust(k, 1, 1, 0, 36, 4, new float[1]), 1e-7);
        assertEquals(rate * 0.25, rule.trust(k, 1, 1, 0, 0, 4, new float[1]), 1e-7);
        assertEquals(0.5 * 3, at(rule.relative(false)).trust(16, 36), 1e-7);
        assertEquals(rate, at(rule.scaled(false)).trust(16, 36), 1e-7);
        float[] u = new float[1];
        rule.gather(k, 1, 0, 1, new float[1], new float[] {3}, new float[][] {{9}}, u);
        assertEquals(3 / 0.5, u[0], 1e-6); // a root below the floor is the floor
    }

    private record Step(Adafactor rule, float[] k) {
        float trust(double xx, double pp) {
            return rule.trust(k, 1, xx, 0, pp, 4, new float[1]);
        }
    }

    private static Step at(Adafactor rule) {
        float[] k = new float[Rule.SCALARS];
        rule.at(32, k);
        return new Step(rule, k);
    }

    /** The moments see what the update sees: each element of 2·g held within ±0.5. */
    @Test
    void aMatrixThatIsScaledAndClippedIsAnotherGradientAndNothingElse() {
        float[] start = {1, 2, 3, 4, 5, 6},
                g = {0.125f, 1, -3, 0.0625f, -0.25f, 0},
                seen = {0.25f, 0.5f, -0.5f, 0.125f, -0.5f, 0};
        try (Engine engine = Engines.open()) {
            Tensor p = engine.tensor(start, 2, 3), expected = engine.tensor(start, 2, 3);
            engine.optimizer(Adafactor.of(0.1))
                    .guard(Guard.clipValue(0.5).scale(2))
                    .update(p, engine.tensor(g, 2, 3));
            engine.optimizer(Adafactor.of(0.1)).update(expected, engine.tensor(seen, 2, 3));
            assertSameBits(expected.get(), p.get());
        }
    }

    @Test
    void aMatrixKeepsARowAndAColumnAndAVectorAllOfIt() {
        try (Engine engine = Engines.open()) {
            Map<String, Tensor> p = Map.of("W", engine.zeros(2, 3, 4), "b", engine.zeros(5), "s", engine.zeros(2, 128));
            Optimizer optimizer = engine.optimizer(Adafactor.of().smallest(3));
            optimizer.update(p, Map.of("W", engine.zeros(2, 3, 4), "b", engine.zeros(5), "s", engine.zeros(2, 128)));
            Map<String, Tensor> w = optimizer.state("W"), b = optimizer.state("b"), s = optimizer.state("s");
            assertEquals(List.of("row", "col", "v"), List.copyOf(w.keySet()));
            assertArrayEquals(new long[] {2, 3}, w.get("row").shape());
            assertArrayEquals(new long[] {2, 4}, w.get("col").shape());
            assertArrayEquals(new long[] {0}, w.get("v").shape());
            assertArrayEquals(new long[] {0}, b.get("row").shape());
            assertArrayEquals(new long[] {5}, b.get("v").shape());
            assertArrayEquals(new long[] {2, 128}, s.get("v").shape());
            Tensor other = engine.zeros(2, 4, 3);
            String refusal = assertThrows(
                            IllegalArgumentException.class,
                            () -> optimizer.update(Map.of("W", other), Map.of("W", engine.zeros(2, 4, 3))))
                    .getMessage();
            assertTrue(refusal.contains("[2, 3, 4]") && refusal.contains("[2, 4, 3]"), refusal);
        }
    }

    /** Which also finds the group again whose matrices it takes, though neither a row nor a column is one. */
    @Test
    void aResumedMatrixComputesTheBitsOfOneThatNeverStopped() {
        Random random = new Random(SEED);
        float[] start = random(random, 12), vector = random(random, 5);
        Group[] groups = {Group.matrices("*", Adafactor.of(0.1)), Group.rest(Adam.of(0.1))};
        try (Engine engine = Engines.open()) {
            Map<String, Tensor> a = Map.of("W", engine.tensor(start, 3, 4), "b", engine.tensor(vector));
            Map<String, Tensor> b = Map.of("W", engine.tensor(start, 3, 4), "b", engine.tensor(vector));
            Map<String, Tensor> g = Map.of("W", engine.zeros(3, 4), "b", engine.zeros(5));
            Optimizer never = engine.optimizer(groups), stopped = engine.optimizer(groups);
            for (int t = 1; t <= 6; t++) {
                g.get("W").set(random(random, 12));
                never.update(a, g);
                stopped.update(b, g);
                if (t != 3) continue;
                Optimizer resumed = engine.optimizer(groups);
                resumed.resume(stopped.steps(), Map.of("W", stopped.state("W"), "b", stopped.state("b")));
                stopped = resumed;
            }
            assertSameBits(a.get("W").get(), b.get("W").get());
            RulesTest.assertSameState(never.state("W"), stopped.state("W"));
        }
    }

    @Test
    void aStepThatIsLeftOutChangesNoMomentAndTheNextIsDone() {
        try (Engine engine = Engines.open()) {
            Tensor p = engine.tensor(random(new Random(SEED), 12), 3, 4), g = engine.zeros(3, 4);
            Optimizer optimizer = engine.optimizer(Adafactor.of(0.1))
                    .guard(Guard.skipNonFinite())
                    .zeroGradients();
            List<float[]> before = new ArrayList<>(), after = new ArrayList<>();
            g.set(random(new Random(1), 12));
            optimizer.update(p, g);
            before.add(p.get());
            optimizer.state(Optimizer.SINGLE).values().forEach(state -> before.add(state.get()));
            float[] bad = random(new Random(2), 12);
            bad[5] = Float.NaN;
            g.set(bad);
            optimizer.update(p, g);
            assertEquals(1, optimizer.skipped());
            assertSameBits(new float[12], g.get());
            after.add(p.get());
            optimizer.state(Optimizer.SINGLE).values().forEach(state -> after.add(state.get()));
            for (int n = 0; n < 4; n++) assertSameBits(before.get(n), after.get(n));
            g.set(random(new Random(3), 12));
            optimizer.update(p, g);
            assertEquals(2, optimizer.steps());
            assertTrue(p.get()[0] != before.get(0)[0]);
        }
    }

    private static final float[] VALUES = {
        0, -0.0f, Float.POSITIVE_INFINITY, Float.NaN, Float.MIN_VALUE, Float.MIN_NORMAL, 1e-20f, 1e19f, 2e38f
    };

    /** Each of them in a parameter and each in its gradient, of a matrix of its own. */
    @ParameterizedTest
    @MethodSource("rules")
    void specialValuesInAMatrixAreTheSameOnEveryEngine(Rule rule) {
        try (Engine engine = Engines.open();
                Engine cpu = Engine.cpu(1)) {
            same(special(cpu, rule), special(engine, rule), "special values");
        }
    }

    private static Map<String, float[]> special(Engine engine, Rule rule) {
        Random random = new Random(SEED);
        Map<String, Tensor> p = new HashMap<>(), g = new HashMap<>();
        for (float x : VALUES) {
            for (float y : VALUES) {
                float[] param = random(random, 20), grad = random(random, 20);
                param[7] = x;
                grad[13] = y;
                Arrays.fill(grad, 15, 20, y == 0 ? 0 : grad[15]);
                p.put("W" + p.size(), engine.tensor(param, 4, 5));
                g.put("W" + g.size(), engine.tensor(grad, 4, 5));
            }
        }
        Map<String, float[]> after = new TreeMap<>();
        try (Optimizer optimizer = engine.optimizer(rule)) {
            for (int t = 0; t < 3; t++) optimizer.update(p, g);
            p.forEach((name, tensor) -> {
                after.put(name, tensor.get());
                optimizer.state(name).forEach((array, state) -> after.put(name + "'s " + array, state.get()));
            });
        }
        return after;
    }
}
