package kudari.cli;

import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import kudari.Engine;
import kudari.Optimizer;
import kudari.Tensor;
import kudari.data.Dataset;
import kudari.data.Sampler;
import kudari.nn.Init;
import kudari.nn.Network;
import kudari.report.Comparison.Digit;
import kudari.report.Comparison.Mark;
import kudari.report.Comparison.Point;
import kudari.report.Comparison.Sampling;
import kudari.report.Comparison.Training;
import kudari.report.Comparison.Trajectory;
import kudari.report.Report;
import kudari.rule.Rule;
import kudari.rule.Sgd;

/** The three experiments of a comparison. Each starts every contender from the same place and shows it the same samples. */
final class Experiments {

    private static final int PATH_STEPS = 30;

    private Experiments() {}

    /** The path of a rule over f(x, y) = x²/20 + y² from (−7, 2): the start and 30 steps. */
    static Trajectory path(Engine engine, Contender contender) {
        Rule rule = contender.onThePath();
        Tensor param = engine.tensor(new float[] {-7, 2}), grad = engine.zeros(2);
        Optimizer optimizer = engine.optimizer(rule);
        List<Point> points = new ArrayList<>();
        for (int step = 0; ; step++) {
            float[] at = param.get();
            float x = at[0], y = at[1];
            points.add(new Point(x, y, x * x / 20 + y * y));
            if (step == PATH_STEPS) return new Trajectory(contender.toString(), "lr " + rule.lr(), points);
            grad.set(x / 10, 2 * y);
            optimizer.update(param, grad);
        }
    }

    /** The samples of a run, and the seed of its weights and batches. */
    record Data(Dataset train, Dataset test, long seed) {

        Network network(Engine engine, int... hidden) {
            int[] widths = new int[hidden.length + 2];
            System.arraycopy(hidden, 0, widths, 1, hidden.length);
            widths[0] = train.features();
            widths[hidden.length + 1] = train.classes();
            return new Network(engine, Init.HE, seed, widths);
        }
    }

    /** A data set as the floats that a network takes. */
    private record Whole(float[] x, int[] labels) {

        static Whole of(Dataset data) {
            Whole whole = new Whole(new float[data.size() * data.features()], new int[data.size()]);
            data.gather(IntStream.range(0, data.size()).toArray(), data.size(), whole.x, whole.labels);
            return whole;
        }
    }

    /** Trains a network by one rule, writing the loss of every step to the report as it comes. */
    static Training train(
            Engine engine,
            String name,
            Rule rule,
            Data data,
            int[] hidden,
            int batch,
            int steps,
            Report report,
            Progress progress)
            throws IOException {
        Network network = data.network(engine, hidden);
        Optimizer optimizer = engine.optimizer(rule);
        Sampler batches = Sampler.random(data.train.size(), batch, data.seed);
        Whole test = Whole.of(data.test);
        float[] x = new float[batch * data.train.features()];
        int[] labels = new int[batch];
        List<Float> losses = new ArrayList<>();
        List<Mark> accuracies = new ArrayList<>();
        long[] optimizerNanos = new long[steps];
        long start = System.nanoTime();
        for (int step = 1; step <= steps; step++) {
            data.train.gather(batches.next(), batch, x, labels);
            network.gradient(x, labels, batch);
            long before = System.nanoTime();
            optimizer.update(network.params(), network.grads());
            optimizerNanos[step - 1] = System.nanoTime() - before;

            losses.add(network.loss());
            report.loss(name, step, network.loss());
            if (step == steps || step % Math.max(1, steps / 20) == 0) {
                accuracies.add(new Mark(
                        step,
                        network.evaluate(test.x, test.labels, test.labels.length)
                                .accuracy()));
            }
            progress.advance(1);
        }
        // The median of the second half: by then the JIT is done.
        long[] warm = Arrays.copyOfRange(optimizerNanos, steps / 2, steps);
        Arrays.sort(warm);
        double micros = warm[warm.length / 2] / 1e3;
        double seconds = (System.nanoTime() - start) / 1e9;
        return new Training(name, Contender.describe(rule), losses, accuracies, micros, seconds);
    }

    /** Gradient descent three ways, on few samples and a small network: the loss over all samples, after so many were seen. */
    static List<Sampling> samplings(Engine engine, Data data, int seen) {
        int n = Math.min(data.train.size(), seen / 30), batch = Math.min(n, 32);
        Dataset few = data.train.head(n);
        Rule rule = Sgd.of(0.1);
        return List.of(
                sampling(engine, data, few, "full batch", rule, Sampler.full(n), seen),
                sampling(engine, data, few, "single samples", rule, Sampler.single(n, data.seed), seen),
                sampling(engine, data, few, "mini-batches", rule, Sampler.epochs(n, batch, data.seed), seen));
    }

    private static Sampling sampling(
            Engine engine, Data data, Dataset few, String name, Rule rule, Sampler batches, int seen) {
        Network network = data.network(engine, 50);
        Optimizer optimizer = engine.optimizer(rule);
        Whole all = Whole.of(few);
        float[] x = new float[batches.batch() * few.features()];
        int[] labels = new int[batches.batch()];
        List<Mark> losses = new ArrayList<>();
        // Marks stand close at first and then further apart, as on a logarithmic axis.
        for (long at = 0, next = 0; at <= seen; at += batches.batch()) {
            if (at >= next) {
                losses.add(new Mark(
                        at,
                        network.evaluate(all.x, all.labels, all.labels.length).loss()));
                next = at + Math.max(1, at / 8);
            }
            few.gather(batches.next(), batches.batch(), x, labels);
            network.gradient(x, labels, batches.batch());
            optimizer.update(network.params(), network.grads());
        }
        return new Sampling(
                name, Contender.describe(rule) + ", batches of " + batches.batch() + " out of " + few.size(), losses);
    }

    /** The first eight samples of each class, class by class. */
    static List<Digit> sheet(Dataset data) {
        float[] pixels = new float[data.features()];
        int[] label = new int[1], index = new int[1];
        int[] drawn = new int[data.classes()];
        List<Digit> sheet = new ArrayList<>();
        for (int i = 0; i < data.size() && sheet.size() < 8 * data.classes(); i++) {
            if (drawn[data.label(i)]++ >= 8) continue;
            index[0] = i;
            data.gather(index, 1, pixels, label);
            sheet.add(new Digit(label[0], data.columns(), pixels));
        }
        sheet.sort(Comparator.comparingInt(Digit::label));
        return sheet;
    }

    /** The widths of the network, as in {@code 784-100-100-100-100-10}. */
    static String describe(Dataset data, int[] hidden) {
        return data.features() + "-"
                + Arrays.stream(hidden).mapToObj(String::valueOf).collect(Collectors.joining("-")) + "-"
                + data.classes();
    }
}
