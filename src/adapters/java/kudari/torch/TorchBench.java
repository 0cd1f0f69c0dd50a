package kudari.torch;

import java.util.Arrays;
import kudari.CpuEngine;
import kudari.Engine;
import kudari.rule.Adam;
import org.bytedeco.pytorch.AdamOptions;
import org.bytedeco.pytorch.Module;
import org.bytedeco.pytorch.Optimizer;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;

/** Times a step of Adam over a module's parameters: libtorch's own and Kudari's, in turns. {@code scripts/bench --adapters} prints its table. */
final class TorchBench {

    private static final int TURNS = 31, STEPS = 20;

    private TorchBench() {}

    /** Parameters as a network has them, so many in all; and gradients, which may move. */
    private static final class Net extends Module {
        final Tensor[] params, grads, others;

        Net(long... sizes) {
            params = new Tensor[sizes.length];
            grads = new Tensor[sizes.length];
            others = new Tensor[sizes.length];
            for (int n = 0; n < sizes.length; n++) {
                params[n] = new Tensor(register_parameter("p" + n, torch.randn(sizes[n]), true));
                grads[n] = torch.randn(sizes[n]);
                others[n] = torch.randn(sizes[n]);
                params[n].mutable_grad().put(grads[n]);
            }
        }

        /** Puts gradients elsewhere, as backward does where zero_grad has left none. */
        void move(int step) {
            for (int n = 0; n < params.length; n++) params[n].mutable_grad().put((step % 2 == 0 ? others : grads)[n]);
        }
    }

    private static Net net(long parameters) {
        return parameters < 1_000_000
                ? new Net(784 * 100, 100, 100 * 64, 64, parameters - 84_964)
                : new Net(784 * 1000, 1000, 1000 * 340, 340, parameters - 1_125_340);
    }

    private interface Step {
        void run(int step);
    }

    public static void main(String[] args) {
        System.out.println("| parameters | threads | torch::optim::Adam, µs | Kudari, µs | Kudari, gradients elsewhere in each step, µs |");
        System.out.println("| ---: | ---: | ---: | ---: | ---: |");
        int all = Runtime.getRuntime().availableProcessors();
        for (long parameters : new long[] {85_002, 1_126_410})
            for (int threads : all == 1 ? new int[] {1} : new int[] {1, all}) row(parameters, threads);
    }

    private static void row(long parameters, int threads) {
        torch.set_num_threads(threads);
        Net theirs = net(parameters), ours = net(parameters), moving = net(parameters);
        try (CpuEngine engine = Engine.cpu(threads);
                Optimizer their =
                        new org.bytedeco.pytorch.Adam(theirs.parameters(), new AdamOptions(1e-3));
                TorchOptimizer our =
                        new TorchOptimizer(engine.optimizer(Adam.pytorch(1e-3)), ours.named_parameters());
                TorchOptimizer moved =
                        new TorchOptimizer(engine.optimizer(Adam.pytorch(1e-3)), moving.named_parameters())) {
            double[] times = medians(step -> their.step(), step -> our.step(), step -> {
                moving.move(step);
                moved.step();
            });
            System.out.printf(
                    "| %,d | %d | %,.0f | %,.0f | %,.0f |%n", parameters, threads, times[0], times[1], times[2]);
        }
    }

    /** The median over all turns of the mean of a turn, in microseconds; the first turns are to warm up. */
    private static double[] medians(Step... steps) {
        double[][] times = new double[steps.length][TURNS];
        for (int turn = -TURNS; turn < TURNS; turn++) {
            for (int n = 0; n < steps.length; n++) {
                long start = System.nanoTime();
                for (int step = 0; step < STEPS; step++) steps[n].run(step);
                if (turn >= 0) times[n][turn] = (System.nanoTime() - start) / 1e3 / STEPS;
            }
        }
        double[] medians = new double[steps.length];
        for (int n = 0; n < steps.length; n++) {
            Arrays.sort(times[n]);
            medians[n] = times[n][TURNS / 2];
        }
        return medians;
    }
}
