package kudari.test;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import java.util.SortedMap;
import java.util.TreeMap;
import kudari.Counts;
import kudari.Engine;
import kudari.Graph;
import kudari.Group;
import kudari.Guard;
import kudari.LearningRate;
import kudari.Optimizer;
import kudari.StateFormat;
import kudari.Tensor;
import kudari.checkpoint.Checkpoint;
import kudari.rule.Rule;

/**
 * Twelve updates as people ask for them: groups of which one is frozen, one has other decays and one a schedule; a guard; two gradients that are not finite.
 *
 * @param state in which format the state is
 * @param largest elements of the largest parameter
 * @param captured whether the updates after the first are launches of a graph, which leave 0 in the gradients, too
 * @param stop after which update the run goes on from a checkpoint, in other tensors; 0 for never
 */
record Training(Rule rule, Guard guard, StateFormat state, int largest, boolean captured, int stop) {

    private static final int UPDATES = 12, SEED = 20261127;

    /** What it leaves: parameters and state by name. */
    record Left(SortedMap<String, float[]> values, Counts counts) {}

    Left on(Engine engine) {
        Map<String, Integer> sizes = Map.of("a.bias", 3, "b", 1030, "frozen", 4, "w", largest, "z", 1);
        Random random = new Random(SEED);
        Map<String, Tensor> params = new HashMap<>(), grads = new HashMap<>();
        new TreeMap<>(sizes).forEach((name, size) -> {
            params.put(name, engine.tensor(gaussian(random, size)));
            grads.put(name, engine.zeros(size));
        });
        Optimizer optimizer = optimizer(engine);
        Optional<Graph> graph = Optional.empty();
        for (int t = 1; t <= UPDATES; t++) {
            for (String name : new TreeMap<>(sizes).keySet()) {
                float[] gradient = gaussian(random, sizes.get(name));
                if (t == 5 && name.equals("b")) gradient[1029] = Float.NaN;
                if (t == 8 && name.equals("a.bias")) gradient[1] = Float.NEGATIVE_INFINITY;
                grads.get(name).set(gradient);
            }
            Optimizer now = optimizer;
            if (graph.isPresent()) {
                graph.get().launch();
            } else {
                now.update(params, grads);
                if (captured) graph = Optional.of(engine.capture(() -> now.update(params, grads)));
            }
            if (t == stop) {
                Checkpoint saved = throughAFile(Checkpoint.of(now, params, Map.of()));
                graph.ifPresent(Graph::close);
                graph = Optional.empty();
                now.close();
                params.replaceAll((name, tensor) -> engine.zeros(sizes.get(name)));
                optimizer = optimizer(engine);
                saved.restore(optimizer, params);
            }
        }
        SortedMap<String, float[]> values = new TreeMap<>();
        for (String name : params.keySet()) {
            values.put(name, params.get(name).get());
            if (optimizer.knows(name))
                optimizer.state(name).forEach((array, tensor) -> values.put(name + "'s " + array, tensor.get()));
        }
        return new Left(values, optimizer.counts());
    }

    private Optimizer optimizer(Engine engine) {
        double lr = rule.lr();
        Optimizer made = engine.optimizer(
                        Group.frozen("frozen"),
                        Group.of("*.bias", rule.decay(0.25).l2(0.125)).state(state),
                        Group.rest(LearningRate.cosine(2 * lr, lr / 10, 8)
                                        .warmUp(3)
                                        .of(rule))
                                .state(state))
                .guard(guard);
        return captured ? made.zeroGradients() : made;
    }

    private static Checkpoint throughAFile(Checkpoint checkpoint) {
        try {
            Path file = Files.createTempFile("kudari-laws", ".safetensors");
            try {
                checkpoint.write(file);
                return Checkpoint.read(file);
            } finally {
                Files.delete(file);
            }
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static float[] gaussian(Random random, int size) {
        float[] values = new float[size];
        for (int i = 0; i < size; i++) values[i] = (float) random.nextGaussian();
        return values;
    }

    @Override
    public String toString() {
        return guard + (captured ? ", by a graph" : "") + (stop > 0 ? ", resumed after update " + stop : "");
    }
}
