package kudari;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.stream.Stream;
import kudari.rule.Muon;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** Muon, whose steps no engine computes to the bit of another: against other libraries' numbers, float64, and itself. */
class MuonTest {

    private static final long SEED = 20241208;

    private final Engine engine = Engines.open();

    @AfterEach
    void close() {
        engine.close();
    }

    /** W[i][j] = sin(1 + 4i + j), whose gradient is (1 + 0.1·(4i + j))·W[i][j]. */
    private static float[] start() {
        float[] w = new float[12];
        for (int i = 0; i < w.length; i++) w[i] = (float) Math.sin(1 + i);
        return w;
    }

    private static float[] gradient(float[] w) {
        float[] g = new float[w.length];
        for (int i = 0; i < g.length; i++) g[i] = (float) ((1 + 0.1 * i) * w[i]);
        return g;
    }

    /** From runs in float64: PyTorch's formula in numpy, and optax 0.2.8 itself. W00, W23 and the norm of W, after 1 and after 10 steps. */
    static Stream<Arguments> golden() {
        double[] pytorch = {0.842321169, -0.5243792562, 2.480231424, 0.7754222066, -0.4739894715, 2.232767367};
        double[] optax = {0.8443959869, -0.523732052, 2.481768793, 0.7830126894, -0.4770141017, 2.245454597};
        return Stream.of(Arguments.of(Muon.pytorch(0.02), pytorch), Arguments.of(Muon.optax(0.02), optax));
    }

    /** What a step's products are off by at most, {@link Orthogonal} says of ten steps more than this: a sum of bounds, each of some 3·10⁻⁴·0.02. */
    @ParameterizedTest
    @MethodSource("golden")
    void itTakesTheStepsOfOtherLibraries(Muon rule, double[] golden) {
        Tensor w = engine.tensor(start(), 3, 4), g = engine.zeros(3, 4);
        Optimizer muon = engine.optimizer(rule);
        for (int t = 1; t <= 10; t++) {
            float[] now = w.get();
            g.set(gradient(now));
            muon.update(w, g);
            int from = t == 1 ? 0 : 3;
            if (t > 1 && t < 10) continue;
            float[] then = w.get();
            assertEquals(golden[from], then[0], 2e-6);
            assertEquals(golden[from + 1], then[11], 2e-6);
            double sum = 0;
            for (float x : then) sum += (double) x * x;
            assertEquals(golden[from + 2], Math.sqrt(sum), 2e-6);
        }
    }
}
