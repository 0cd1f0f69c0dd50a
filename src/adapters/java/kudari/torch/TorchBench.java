package kudari.torch;

import java.util.Arrays;
import java.util.Locale;
import kudari.Engine;
import kudari.rule.Adam;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.AdamOptions;
import org.bytedeco.pytorch.LinearImpl;
import org.bytedeco.pytorch.Module;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;

/**
 * Times a step of libtorch's own Adam and of Kudari's, in turns, each after gradients of its own. {@code scripts/bench adapters} runs it and prints rows of a
 * table.
 */
final class TorchBench {

    private static final int INPUTS = 784, WARM_UP = 2000, STEPS = 500;

    private TorchBench() {}

    public static void main(String[] args) {
        for (boolean toNone : new boolean[] {false, true}) {
            run(toNone, 92, 124);
            run(toNone, 700, 540, 360);
        }
    }

    /**
     * A row.
     *
     * @param toNone whether gradients are thrown away before each step, and so may come elsewhere
     */
    private static void run(boolean toNone, int... hidden) {
        Net theirs = new Net(hidden), ours = new Net(hidden);
        try (Engine engine = Engine.cpu(torch.get_num_threads()); // as many for both: OMP_NUM_THREADS
                var their = new org.bytedeco.pytorch.Adam(theirs.parameters(), new AdamOptions(1e-3));
                var our = new TorchOptimizer(engine.optimizer(Adam.pytorch(1e-3)), ours.named_parameters())) {
            double[] its = new double[STEPS], kudaris = new double[STEPS];
            for (int n = -WARM_UP; n < STEPS; n++) {
                double first = theirs.step(toNone, their::step), second = ours.step(toNone, our::step);
                if (n < 0) continue;
                its[n] = first;
                kudaris[n] = second;
            }
            System.out.printf(
                    Locale.ROOT,
                    "| JavaCPP's PyTorch, `Adam.step`, after `zero_grad(%b)` | %,d | %,.0f / %,.0f | %,.0f / %,.0f |%n",
                    toNone,
                    our.params().values().stream()
                            .mapToLong(kudari.Tensor::size)
                            .sum(),
                    best(its),
                    median(its),
                    best(kudaris),
                    median(kudaris));
        }
    }

    private static double best(double[] times) {
        return Arrays.stream(times).min().orElseThrow();
    }

    private static double median(double[] times) {
        return Arrays.stream(times).sorted().skip(times.length / 2).findFirst().orElseThrow();
    }

    private interface Step {
        void run();
    }

    /** A network that is trained on one sample, always the same. */
    private static final class Net extends Module {

        private final LinearImpl[] layers;
        private final Tensor x = torch.ones(1, INPUTS);

        Net(int... hidden) {
            layers = new LinearImpl[hidden.length + 1];
            for (int n = 0; n < layers.length; n++) {
                layers[n] = new LinearImpl(n == 0 ? INPUTS : hidden[n - 1], n == hidden.length ? 10 : hidden[n]);
                register_module("layer" + n, layers[n]);
            }
        }

        /** The microseconds of a step, without what makes its gradients. */
        @SuppressWarnings("try") // a scope is there to end
        double step(boolean toNone, Step step) {
            try (PointerScope scope = new PointerScope()) {
                zero_grad(toNone);
                Tensor y = x;
                for (LinearImpl layer : layers) y = layer.forward(y == x ? x : torch.relu(y));
                y.sub(torch.ones(1, 10)).square().mean().backward();
                long start = System.nanoTime();
                step.run();
                return (System.nanoTime() - start) / 1e3;
            }
        }
    }
}
