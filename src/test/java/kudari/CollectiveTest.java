package kudari;

import static kudari.OptimizerTest.refused;
import static kudari.RulesTest.assertSameBits;
import static kudari.RulesTest.floats;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.TreeMap;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import kudari.data.Dataset;
import kudari.data.Digits;
import kudari.nn.Init;
import kudari.nn.Network;
import kudari.nn.Samples;
import kudari.rule.Adam;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Ranks that are threads, each with an engine of its own, on every engine. */
@Timeout(120)
class CollectiveTest {

    /** What a rank does, and what comes of it. */
    interface Body {
        float[] run(Engine engine, Collective collective);
    }

    /** What each rank comes to. */
    static float[][] run(int size, Body body) {
        List<QueueCollective> collectives = QueueCollective.ofAll(size, 60);
        ExecutorService threads = Executors.newFixedThreadPool(size);
        try {
            List<Future<float[]>> ranks = new ArrayList<>();
            for (int r = 0; r < size; r++) {
                int rank = r;
                ranks.add(threads.submit(() -> {
                    try (Engine engine = Engines.open();
                            Collective collective = collectives.get(rank)) {
                        return body.run(engine, collective);
                    }
                }));
            }
            float[][] results = new float[size][];
            for (int r = 0; r < size; r++) results[r] = ranks.get(r).get();
            return results;
        } catch (ExecutionException e) {
            if (e.getCause() instanceof RuntimeException cause) throw cause;
            throw new IllegalStateException(e);
        } catch (InterruptedException e) {
            throw new IllegalStateException(e);
        } finally {
            threads.shutdownNow();
        }
    }

    private static float[] random(int rank, int count) {
        Random random = new Random(rank);
        float[] values = new float[count];
        for (int i = 0; i < count; i++) values[i] = (float) random.nextGaussian();
        return values;
    }

    @Test
    void aSumIsInTheOrderOfTheRanks() {
        // 1 + 2^-24 is halfway to the next float and rounds to 1, 2^-24 + 2^-24 is exact.
        float tiny = 0x1p-24f;
        float[] first = {1, tiny, tiny}, last = {tiny, tiny, 1};
        for (float[] sums : run(3, (engine, collective) -> {
            int r = collective.rank();
            Tensor x = engine.tensor(floats(first[r], last[r]));
            collective.allReduce(List.of(x));
            return x.get();
        })) assertSameBits(floats(1, 1 + 0x1p-23f), sums);
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 2, 3, 4})
    void aSumIsThatOfOneProcessThatAddsInOrder(int size) {
        int[] counts = {1, 0, 1000, 3};
        float[] expected;
        try (Engine engine = Engines.open()) {
            Tensor sum = engine.tensor(random(0, 1004));
            for (int r = 1; r < size; r++) sum.add(engine.tensor(random(r, 1004)), 1);
            expected = sum.get();
        }
        for (float[] sums : run(size, (engine, collective) -> {
            List<Tensor> tensors = new ArrayList<>();
            float[] all = random(collective.rank(), 1004);
            int at = 0;
            for (int count : counts) tensors.add(engine.tensor(Arrays.copyOfRange(all, at, at += count)));
            collective.allReduce(tensors);
            return joined(tensors);
        })) assertSameBits(expected, sums);
    }

    static float[] joined(List<Tensor> tensors) {
        float[] all = new float[(int) tensors.stream().mapToLong(Tensor::size).sum()];
        int at = 0;
        for (Tensor tensor : tensors) {
            System.arraycopy(tensor.get(), 0, all, at, (int) tensor.size());
            at += (int) tensor.size();
        }
        return all;
    }

    @Test
    void shardsOfASumPutTogetherAreTheSum() {
        long[] cuts = {0, 4, 4, 10}; // rank 1 has none
        float[][] results = run(3, (engine, collective) -> {
            int r = collective.rank();
            List<Tensor> x = List.of(engine.tensor(random(r, 7)), engine.tensor(random(r + 10, 3)));
            Tensor shard = engine.zeros(cuts[r + 1] - cuts[r]);
            collective.reduceScatter(x, cuts, List.of(shard));
            assertSameBits(random(r, 7), x.get(0).get());
            List<Tensor> all = List.of(engine.zeros(2), engine.zeros(8));
            collective.allGather(List.of(shard), cuts, all);
            collective.allReduce(x);
            assertSameBits(joined(x), joined(all));
            return joined(all);
        });
        for (float[] result : results) assertSameBits(results[0], result);
    }

    @Test
    void aRootGivesItsTensorsToAll() {
        for (float[] got : run(4, (engine, collective) -> {
            Tensor x = engine.tensor(random(collective.rank(), 5)), y = engine.zeros(1);
            y.set(collective.rank());
            collective.broadcast(2, List.of(x, y));
            return joined(List.of(x, y));
        })) {
            float[] expected = Arrays.copyOf(random(2, 5), 6);
            expected[5] = 2;
            assertSameBits(expected, got);
        }
    }

    @Test
    void numbersAreGatheredInTheOrderOfTheRanksHoweverManyEachHas() {
        run(3, (engine, collective) -> {
            double[] own = new double[collective.rank()];
            Arrays.fill(own, collective.rank() + 1e-17);
            assertArrayEquals(new double[] {1 + 1e-17, 2 + 1e-17, 2 + 1e-17}, collective.allGather(own));
            return new float[0];
        });
    }

    @Test
    void evenCutsDifferByOneElementAtMost() {
        assertArrayEquals(new long[] {0, 4, 7, 10}, Collective.evenCuts(10, 3));
        assertArrayEquals(new long[] {0, 1, 1}, Collective.evenCuts(1, 2));
        refused(
                IllegalArgumentException.class,
                () -> Collective.evenCuts(-1, 2),
                "elements from 0 up and a size from 1 up, got -1 and 2");
    }

    @Test
    void ranksWhoseTensorsDifferInSizeAreTold() {
        RuntimeException e = assertThrows(
                RuntimeException.class,
                () -> run(2, (engine, collective) -> {
                    collective.allReduce(List.of(engine.zeros(4 + 4L * collective.rank())));
                    return new float[0];
                }));
        assertEquals(
                "rank 0: expected 8 bytes from rank 1, got 16; all ranks must make the same calls in the same order,"
                        + " with tensors of the same sizes",
                e.getMessage());
    }

    @Test
    void whatDoesNotFitIsRefused() {
        try (Engine engine = Engines.open();
                Collective alone = Collective.local()) {
            Tensor x = engine.zeros(3);
            refused(
                    IllegalArgumentException.class,
                    () -> alone.reduceScatter(List.of(x), new long[] {0, 2}, List.of(x)),
                    "cuts: expected 2 numbers that rise from 0 to 3, got [0, 2]");
            refused(
                    IllegalArgumentException.class,
                    () -> alone.allGather(List.of(engine.zeros(2)), new long[] {0, 3}, List.of(x)),
                    "shard: expected 3 elements");
            refused(
                    IllegalArgumentException.class,
                    () -> alone.broadcast(1, List.of(x)),
                    "root: expected a rank from 0 to 0, got 1");
            x.close();
            assertThrows(IllegalStateException.class, () -> alone.allReduce(List.of(x)));
        }
    }

    @Test
    void cutsThatFallOrMoreThanAMessageHoldsAreRefused() {
        run(2, (engine, collective) -> {
            Tensor x = engine.zeros(3);
            refused(
                    IllegalArgumentException.class,
                    () -> collective.reduceScatter(List.of(x), new long[] {0, 5, 3}, List.of(x)),
                    "cuts: expected 3 numbers that rise from 0 to 3, got [0, 5, 3]");
            List<Tensor> many = Collections.nCopies(2048, engine.zeros(1 << 18));
            refused(
                    IllegalArgumentException.class,
                    () -> collective.allReduce(many),
                    "expected at most 536870911 elements in a call by way of the host, got 536870912; call more than once");
            return new float[0];
        });
        for (int rank : new int[] {-1, 2})
            refused(
                    IllegalArgumentException.class,
                    () -> new QueueCollective(rank, 2, List.of(), 60),
                    "rank: expected from 0 to 1, got " + rank);
    }

    @Test
    void oneRankAloneHasItsOwn() {
        try (Engine engine = Engines.open();
                Collective alone = Collective.local()) {
            Tensor x = engine.tensor(floats(1, 2, 3)), y = engine.zeros(3);
            alone.allReduce(List.of(x));
            alone.reduceScatter(List.of(x), new long[] {0, 3}, List.of(y));
            assertSameBits(floats(1, 2, 3), y.get());
            alone.allGather(List.of(x), new long[] {0, 3}, List.of(y));
            assertSameBits(floats(1, 2, 3), y.get());
            assertArrayEquals(new double[] {7}, alone.allGather(7));
        }
    }

    /** A step of ranks, each with its own samples, is that of one process that adds up the gradients of as many micro-batches. */
    @ParameterizedTest
    @ValueSource(ints = {1, 2, 3, 4})
    void trainingInParallelIsTrainingOneAfterTheOther(int size) {
        Dataset digits = Digits.train(96, 1);
        float[] expected;
        try (Engine engine = Engines.open()) {
            Network net = network(engine, digits);
            Samples samples = new Samples(engine, digits.x().clone(), digits.labels());
            Map<String, Tensor> sums = new TreeMap<>();
            net.grads().forEach((name, grad) -> sums.put(name, engine.zeros(grad.shape())));
            Optimizer adam = adam(engine, size);
            for (int step = 0; step < 8; step++) {
                for (int r = 0; r < size; r++) {
                    net.gradient(samples, rows(step, r, size), 6);
                    boolean first = r == 0;
                    net.grads().forEach((name, grad) -> {
                        if (first) sums.get(name).set(grad);
                        else sums.get(name).add(grad, 1);
                    });
                }
                adam.update(net.params(), sums);
            }
            expected = joined(List.copyOf(net.params().values()));
        }
        for (float[] params : run(size, (engine, collective) -> {
            Network net = network(engine, digits);
            Samples samples = new Samples(engine, digits.x().clone(), digits.labels());
            Optimizer adam = adam(engine, size);
            for (int step = 0; step < 8; step++) {
                net.gradient(samples, rows(step, collective.rank(), size), 6);
                collective.allReduce(List.copyOf(net.grads().values()));
                adam.update(net.params(), net.grads());
            }
            return joined(List.copyOf(net.params().values()));
        })) assertSameBits(expected, params);
    }

    private static Network network(Engine engine, Dataset digits) {
        return new Network(engine, Init.HE, 3, digits.features(), 10, digits.classes());
    }

    private static Optimizer adam(Engine engine, int size) {
        return engine.optimizer(Adam.of(0.01)).guard(Guard.clipNorm(0.5).scale(1.0 / size));
    }

    private static int[] rows(int step, int rank, int size) {
        int[] rows = new int[6];
        for (int i = 0; i < 6; i++) rows[i] = ((step * size + rank) * 6 + i) % 96;
        return rows;
    }
}
