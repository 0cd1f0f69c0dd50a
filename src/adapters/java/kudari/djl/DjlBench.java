package kudari.djl;

import ai.djl.Model;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import ai.djl.nn.Activation;
import ai.djl.nn.Block;
import ai.djl.nn.SequentialBlock;
import ai.djl.nn.core.Linear;
import ai.djl.training.DefaultTrainingConfig;
import ai.djl.training.GradientCollector;
import ai.djl.training.Trainer;
import ai.djl.training.loss.Loss;
import ai.djl.training.optimizer.Optimizer;
import java.util.Arrays;
import java.util.Locale;
import java.util.function.Function;
import kudari.Engine;
import kudari.rule.Adam;

/**
 * Times {@code Trainer.step} with DJL's own Adam and with Kudari's, in turns, each after gradients of its own, all in one thread. {@code scripts/bench adapters} runs it and
 * prints rows of a table.
 */
final class DjlBench {

    private static final int INPUTS = 784, WARM_UP = 100, STEPS = 200;

    private DjlBench() {}

    public static void main(String[] args) {
        run(92, 124);
        run(700, 540, 360);
    }

    private static void run(int... hidden) {
        try (Engine engine = Engine.cpu(1);
                Run theirs = new Run(hidden, block -> Optimizer.adam().build());
                Run ours = new Run(hidden, block -> new DjlOptimizer(block, engine.optimizer(Adam.of(1e-3))))) {
            double[] their = new double[STEPS], our = new double[STEPS];
            for (int n = -WARM_UP; n < STEPS; n++) {
                double first = theirs.step(), second = ours.step();
                if (n < 0) continue;
                their[n] = first;
                our[n] = second;
            }
            System.out.printf(
                    Locale.ROOT,
                    "| DJL, `Trainer.step` | %,d | %,.0f / %,.0f | %,.0f / %,.0f |%n",
                    theirs.parameters(),
                    best(their),
                    median(their),
                    best(our),
                    median(our));
        }
    }

    private static double best(double[] times) {
        return Arrays.stream(times).min().orElseThrow();
    }

    private static double median(double[] times) {
        return Arrays.stream(times).sorted().skip(times.length / 2).findFirst().orElseThrow();
    }

    /** A network that is trained on one sample, always the same. */
    private static final class Run implements AutoCloseable {

        private final Model model = Model.newInstance("bench");
        private final Trainer trainer;

        Run(int[] hidden, Function<Block, Optimizer> optimizer) {
            SequentialBlock block = new SequentialBlock();
            for (int units : hidden)
                block.add(Linear.builder().setUnits(units).build()).add(Activation::relu);
            block.add(Linear.builder().setUnits(10).build());
            model.setBlock(block);
            trainer = model.newTrainer(new DefaultTrainingConfig(Loss.l2Loss()).optOptimizer(optimizer.apply(block)));
            trainer.initialize(new Shape(1, INPUTS));
        }

        long parameters() {
            return model.getBlock().getParameters().values().stream()
                    .mapToLong(parameter -> parameter.getShape().size())
                    .sum();
        }

        /** The microseconds of a step, without what makes its gradients. */
        double step() {
            try (NDManager manager = trainer.getManager().newSubManager()) {
                NDList x = new NDList(manager.ones(new Shape(1, INPUTS))),
                        y = new NDList(manager.ones(new Shape(1, 10)));
                try (GradientCollector collector = trainer.newGradientCollector()) {
                    collector.backward(trainer.getLoss().evaluate(y, trainer.forward(x)));
                }
                long start = System.nanoTime();
                trainer.step();
                return (System.nanoTime() - start) / 1e3;
            }
        }

        @Override
        public void close() {
            trainer.close();
            model.close();
        }
    }
}
