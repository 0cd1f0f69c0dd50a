package kudari;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.TreeMap;
import kudari.rule.Sgd;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * The order of additions in a norm, on which its last bit depends, written down without short cuts: lanes and trees of their full width, filled up with
 * zeros.
 */
class ReduceTest {

    private static final long SEED = 20261127;

    /** Every 1,024th element of a piece of at most 4,096, then four lanes together, then halves of 256. */
    private static double piece(float[] x, float[] y, int from, int to) {
        double[] lanes = new double[1024], leaves = new double[256];
        for (int i = from; i < to; i++) lanes[(i - from) % 1024] += (double) x[i] * y[i];
        for (int j = 0; j < 256; j++) {
            leaves[j] = (lanes[4 * j] + lanes[4 * j + 1]) + (lanes[4 * j + 2] + lanes[4 * j + 3]);
        }
        return halves(leaves);
    }

    /** Every so many-th of the sums of pieces, then halves. */
    private static double sum(double[] partials, int from, int to, int width) {
        double[] lanes = new double[width];
        for (int i = from; i < to; i++) lanes[(i - from) % width] += partials[i];
        return halves(lanes);
    }

    /** Σ x·y over a tensor. */
    static double tensor(float[] x, float[] y) {
        double[] partials = new double[(x.length + 4095) / 4096];
        for (int n = 0; n < partials.length; n++)
            partials[n] = piece(x, y, 4096 * n, Math.min(4096 * (n + 1), x.length));
        return sum(partials, 0, partials.length, 32);
    }

    private static double halves(double[] x) {
        for (int half = x.length / 2; half > 0; half /= 2) {
            for (int j = 0; j < half; j++) x[j] += x[j + half];
        }
        return x[0];
    }

    /** Numbers whose sum depends on the order. */
    private static float[] random(Random random, int size) {
        float[] values = new float[size];
        for (int i = 0; i < size; i++)
            values[i] = (float) (random.nextGaussian() * Math.exp(3 * random.nextGaussian()));
        return values;
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 1, 2, 3, 4, 5, 7, 31, 33, 255, 256, 257, 1000, 1023, 1024, 1025, 2048, 3001, 4095, 4096})
    void aPieceIsAddedUpInItsOrder(int size) {
        Random random = new Random(SEED);
        double[] lanes = new double[Reduce.LANES];
        for (int n = 0; n < 20; n++) {
            Arrays.fill(lanes, Double.NaN); // what was there before
            float[] g = random(random, 7 + size), p = random(random, 7 + size);
            assertEquals(piece(g, g, 7, 7 + size), Reduce.piece(g, 7, 7 + size, lanes));
            assertEquals(piece(g, p, 7, 7 + size), Reduce.piece(g, p, 7, 7 + size, lanes));
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 1, 2, 3, 5, 31, 32, 33, 64, 100, 255, 256, 257, 600})
    void thePiecesAreAddedUpInTheirOrder(int size) {
        Random random = new Random(SEED);
        double[] lanes = new double[Reduce.LANES];
        for (int n = 0; n < 20; n++) {
            Arrays.fill(lanes, Double.NaN);
            double[] partials = new double[3 + size];
            for (int i = 0; i < partials.length; i++) partials[i] = Math.exp(3 * random.nextGaussian());
            assertEquals(sum(partials, 0, 3 + size, 256), Reduce.all(partials, lanes));
            assertEquals(sum(partials, 3, 3 + size, 32), Reduce.tensor(partials, 3, 3 + size, lanes));
        }
    }

    /** Numbers of this size are 8 apart in double: 4 and 4 added first are one step up, which the root still shows, and one after the other nothing. */
    @Test
    void theFourSumsOfAThreadAreAddedUpInPairs() {
        double a = 189_812_544; // the least multiple of 16 above 2^27.5
        try (Engine engine = Engines.open()) {
            Optimizer sgd = engine.optimizer(Sgd.of(0.01)).guard(Guard.skipNonFinite());
            sgd.update(engine.zeros(4), engine.tensor(new float[] {(float) a, 0, 2, 2}));
            assertEquals(Math.sqrt(a * a + 8), sgd.norm());
            assertEquals(Math.nextUp(a), sgd.norm());
        }
    }

    /** A tensor begins with a new piece; tensors are in the order of their names. Ten sets, for the root hides most of what another order changes. */
    @ParameterizedTest
    @ValueSource(ints = {1, 3, 70, 300})
    void aNormIsAddedUpInItsOrder(int tensors) {
        Random random = new Random(SEED);
        for (int n = 0; n < 10; n++) aNormIsAddedUpInItsOrder(random, tensors);
    }

    private static void aNormIsAddedUpInItsOrder(Random random, int tensors) {
        try (Engine engine = Engines.open()) {
            Map<String, Tensor> params = new TreeMap<>(), grads = new TreeMap<>();
            List<Double> partials = new ArrayList<>();
            for (int n = 0; n < tensors; n++) {
                float[] g = random(random, 1 + random.nextInt(tensors > 100 ? 200 : 20_000));
                for (int from = 0; from < g.length; from += 4096)
                    partials.add(piece(g, g, from, Math.min(from + 4096, g.length)));
                String name = String.format("W%03d", n);
                params.put(name, engine.zeros(g.length));
                grads.put(name, engine.tensor(g));
            }
            Optimizer sgd = engine.optimizer(Sgd.of(0.01)).guard(Guard.skipNonFinite());
            sgd.update(params, grads);
            double[] all = partials.stream().mapToDouble(x -> x).toArray();
            assertEquals(Math.sqrt(sum(all, 0, all.length, 256)), sgd.norm());
        }
    }
}
