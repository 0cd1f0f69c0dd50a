package kudari.spark;

import java.io.IOException;
import java.io.Serializable;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import kudari.Engine;
import kudari.Guard;
import kudari.Optimizer;
import kudari.Tensor;
import kudari.checkpoint.Checkpoint;
import kudari.data.Dataset;
import kudari.data.Digits;
import kudari.nn.Init;
import kudari.nn.Network;
import kudari.nn.Samples;
import kudari.rule.Adam;

/** A sample as an RDD holds it; and the training that the tests compare, on ranks or by one process after the other. */
record Digit(float[] pixels, int label) implements Serializable {

    static final int PER_RANK = 48, BATCH = 6;

    /** Those of all ranks, one rank's after the other's. */
    static List<Digit> of(int ranks) {
        Dataset set = Digits.train(PER_RANK * ranks, 1);
        List<Digit> digits = new ArrayList<>();
        for (int i = 0; i < set.size(); i++)
            digits.add(new Digit(
                    Arrays.copyOfRange(set.x(), i * set.features(), (i + 1) * set.features()), set.labels()[i]));
        return digits;
    }

    static Samples samples(Engine engine, List<Digit> digits) {
        int features = digits.get(0).pixels.length;
        float[] x = new float[digits.size() * features];
        int[] labels = new int[digits.size()];
        for (int i = 0; i < labels.length; i++) {
            System.arraycopy(digits.get(i).pixels, 0, x, i * features, features);
            labels[i] = digits.get(i).label;
        }
        return new Samples(engine, x, labels);
    }

    static Network network(Engine engine) {
        return new Network(engine, Init.HE, 3, 28 * 28, 12, 10);
    }

    static Optimizer adam(Engine engine, int ranks) {
        return engine.optimizer(Adam.of(0.01)).guard(Guard.clipNorm(0.5).scale(1.0 / ranks));
    }

    /** A rank's batch of a step, among its own samples. */
    static int[] rows(long step) {
        int[] rows = new int[BATCH];
        for (int i = 0; i < BATCH; i++) rows[i] = (int) ((step * BATCH + i) % PER_RANK);
        return rows;
    }

    /** The weights after so many steps of one process that adds up the gradients of the ranks' batches in their order. */
    static float[] trainedByOne(int ranks, int steps) {
        List<Digit> all = of(ranks);
        try (Engine engine = Engine.cpu(1)) {
            Network net = network(engine);
            Optimizer adam = adam(engine, ranks);
            Map<String, Tensor> sums = new TreeMap<>();
            net.grads().forEach((name, grad) -> sums.put(name, engine.zeros(grad.shape())));
            List<Samples> samples = new ArrayList<>();
            for (int r = 0; r < ranks; r++) samples.add(samples(engine, all.subList(r * PER_RANK, (r + 1) * PER_RANK)));
            for (int step = 0; step < steps; step++) {
                for (int r = 0; r < ranks; r++) {
                    net.gradient(samples.get(r), rows(step), BATCH);
                    for (String name : sums.keySet()) {
                        if (r == 0) sums.get(name).set(net.grads().get(name));
                        else sums.get(name).add(net.grads().get(name), 1);
                    }
                }
                adam.update(net.params(), sums);
            }
            return weights(net.params());
        }
    }

    /** Commits a checkpoint of an untrained network, as one rank does. */
    static void saveAlone(ShardedCheckpoints checkpoints, long attempt, long step) throws IOException {
        try (Engine engine = Engine.cpu(1)) {
            checkpoints.write(
                    attempt,
                    step,
                    0,
                    1,
                    Checkpoint.of(adam(engine, 1), network(engine).params(), Map.of()));
            checkpoints.commit(attempt, step, 1);
        }
    }

    static float[] weights(Map<String, Tensor> params) {
        float[] all =
                new float[(int) params.values().stream().mapToLong(Tensor::size).sum()];
        int at = 0;
        for (Tensor param : new TreeMap<>(params).values()) {
            System.arraycopy(param.get(), 0, all, at, (int) param.size());
            at += (int) param.size();
        }
        return all;
    }
}
