package kudari.cli;

import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.function.LongSupplier;
import java.util.stream.Collectors;
import kudari.CpuEngine;
import kudari.Dtype;
import kudari.Engine;
import kudari.Evaluation;
import kudari.Optimizer;
import kudari.Tensor;
import kudari.data.Dataset;
import kudari.data.Sampler;
import kudari.nn.Init;
import kudari.nn.Network;
import kudari.nn.Samples;
import kudari.nn.Score;
import kudari.report.Comparison.BatchingRun;
import kudari.report.Comparison.DataPoint;
import kudari.report.Comparison.Digit;
import kudari.report.Comparison.Point;
import kudari.report.Comparison.Training;
import kudari.report.Comparison.Trajectory;
import kudari.report.Report;
import kudari.rule.Rule;
import kudari.rule.Sgd;

/** The three experiments of a comparison. Each starts every rule from the same place and shows it the same samples. */
final class Experiments {

    private static final int PATH_STEPS = 30;

    /** The most steps that are timed together. At their end everything waits for a device, which it should not do often. */
    private static final int MOST_TIMED = 100;

    private Experiments() {}

    /** Refuses data that a network cannot be trained and judged on. */
    static void check(DataOption data, Dataset train, Dataset test) throws IOException {
        if (train.size() == 0 || test.size() == 0) {
            throw new IOException(data + ": expected samples to train on and to hold out, got " + train.size() + " and "
                    + test.size());
        }
        if (train.features() != test.features()) {
            throw new IOException(
                    data + ": expected images of one size, got " + train + " to train on and " + test + " held out");
        }
    }

    /** The path of a rule over f(x, y) = x²/20 + y² from (−7, 2): the start and 30 steps. */
    static Trajectory path(Engine engine, RuleOption option) {
        Rule rule = option.onThePath();
        Tensor param = engine.tensor(new float[] {-7, 2}, 1, 2),
                grad = engine.zeros(1, 2); // a matrix, as some rules need
        Optimizer optimizer = engine.optimizer(rule);
        List<Point> points = new ArrayList<>();
        for (int step = 0; ; step++) {
            float[] at = param.get();
            float x = at[0], y = at[1];
            points.add(new Point(x, y, x * x / 20 + y * y));
            if (step == PATH_STEPS) return new Trajectory(option.toString(), "lr " + rule.lr(), nameOf(engine), points);
            grad.set(x / 10, 2 * y);
            optimizer.update(param, grad);
        }
    }

    /** The device in a word: {@code cuda:0} of {@code cuda:0 (NVIDIA H200)}. */
    static String nameOf(Engine engine) {
        return engine.toString().replaceFirst(" .*", "");
    }

    /** The samples of a run in the memory of the engine that it runs on, and the seed of its weights and batches. */
    record Data(Engine engine, Dataset set, Samples train, Samples test, long seed) {

        /** Copies the samples to the engine. */
        static Data of(Engine engine, Dataset train, Dataset test, long seed) {
            return new Data(engine, train, samples(engine, train), samples(engine, test), seed);
        }

        private static Samples samples(Engine engine, Dataset of) {
            return new Samples(engine, of.x(), of.labels());
        }

        /** The first of the training samples. */
        Samples head(int n) {
            return samples(engine, set.head(n));
        }

        /** The same samples, for weights and batches of another seed. */
        Data withSeed(long other) {
            return new Data(engine, set, train, test, other);
        }

        Network network(int... hidden) {
            return network(Dtype.F32, hidden);
        }

        Network network(Dtype dtype, int... hidden) {
            int[] widths = new int[hidden.length + 2];
            System.arraycopy(hidden, 0, widths, 1, hidden.length);
            widths[0] = set.features();
            widths[hidden.length + 1] = set.classes();
            return new Network(engine, dtype, Init.HE, seed, widths);
        }
    }

    /** How good a network is with the parameters that are to be used. */
    static Score score(Network network, Optimizer optimizer, Samples samples) {
        Evaluation using = optimizer.evaluating(network.params());
        try {
            return network.evaluate(samples);
        } finally {
            using.close();
        }
    }

    /**
     * Trains a network by one optimizer, writing the losses to the report as they come. The times are those of the training's own steps, for
     * what a step takes depends on its numbers: gradients that stay the same are not what an optimizer sees.
     *
     * @param dtype of the network
     * @param clock the time in nanoseconds
     */
    static Training train(
            String name,
            Optimizer optimizer,
            Data data,
            Dtype dtype,
            int[] hidden,
            int batch,
            int steps,
            Report report,
            Progress progress,
            LongSupplier clock,
            Interruption interruption)
            throws IOException {
        Network network = data.network(dtype, hidden);
        String settings = RuleOption.describe(optimizer, network);
        Sampler batches = Sampler.random(data.train.size(), batch, data.seed);
        List<Float> losses = new ArrayList<>();
        List<DataPoint> accuracies = new ArrayList<>();
        List<Double> perUpdate = new ArrayList<>(), perStep = new ArrayList<>();
        // On a device the call of update returns before the update is done.
        boolean doneOnReturn = data.engine instanceof CpuEngine;
        network.onLoss(loss -> losses.add((float) loss));
        Runnable update = () -> {
            long before = clock.getAsLong();
            optimizer.update(network.params(), network.grads());
            if (doneOnReturn) perUpdate.add((clock.getAsLong() - before) / 1e3);
        };
        int written = 0, evaluateEvery = Math.max(1, steps / 20);
        double seconds;
        long start = clock.getAsLong();
        try (network;
                TrainingStep training = new TrainingStep(data.engine, network, data.train, batch, update)) {
            for (int step = 0; step < steps; ) {
                int from = step,
                        to = Math.min(steps, step + Math.min(MOST_TIMED, evaluateEvery - step % evaluateEvery));
                long begun = clock.getAsLong();
                for (; step < to; step++) {
                    interruption.check();
                    training.run(batches.next());
                    progress.advance(1);
                }
                network.loss(); // waits for the last gradient
                perStep.add((clock.getAsLong() - begun) / 1e3 / (to - from));
                if (step == steps || step % evaluateEvery == 0) {
                    accuracies.add(new DataPoint(
                            step, score(network, optimizer, data.test).accuracy()));
                }
                network.tellLosses();
                for (; written < losses.size(); written++) {
                    report.loss(name, written + 1, losses.get(written), nameOf(data.engine));
                }
            }
            seconds = (clock.getAsLong() - start) / 1e9;
        }
        return new Training(
                name, settings, nameOf(data.engine), losses, accuracies, median(perUpdate), median(perStep), seconds);
    }

    /** The middle value, or the mean of the two in the middle; NaN of none. */
    static double median(List<Double> values) {
        double[] sorted = values.stream().mapToDouble(x -> x).sorted().toArray();
        int n = sorted.length;
        return n == 0 ? Double.NaN : (sorted[(n - 1) / 2] + sorted[n / 2]) / 2;
    }

    /** Gradient descent three ways, on few samples and a small network: the loss over all samples, after so many were seen. */
    static List<BatchingRun> batchingRuns(Data data, int seen, Interruption interruption) {
        int n = Math.min(data.train.size(), seen / 30), batch = Math.min(n, 32);
        Rule rule = Sgd.of(0.1);
        try (Samples few = data.head(n)) {
            return List.of(
                    batchingRun(data, few, "full batch", rule, Sampler.full(n), seen, interruption),
                    batchingRun(data, few, "single samples", rule, Sampler.single(n, data.seed), seen, interruption),
                    batchingRun(
                            data, few, "mini-batches", rule, Sampler.epochs(n, batch, data.seed), seen, interruption));
        }
    }

    private static BatchingRun batchingRun(
            Data data, Samples few, String name, Rule rule, Sampler batches, int seen, Interruption interruption) {
        List<DataPoint> losses = new ArrayList<>();
        try (Network network = data.network(50);
                Optimizer optimizer = data.engine.optimizer(rule);
                TrainingStep training = new TrainingStep(
                        data.engine,
                        network,
                        few,
                        batches.batch(),
                        () -> optimizer.update(network.params(), network.grads()))) {
            // Points stand close at first and then further apart, as on a logarithmic axis.
            for (long at = 0, next = 0; at <= seen; at += batches.batch()) {
                if (at >= next) {
                    losses.add(new DataPoint(at, score(network, optimizer, few).loss()));
                    next = at + Math.max(1, at / 8);
                }
                interruption.check();
                training.run(batches.next());
            }
        }
        return new BatchingRun(
                name, RuleOption.describe(rule) + ", batches of " + batches.batch() + " out of " + few.size(), losses);
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
