package kudari.spark;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.Serializable;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import kudari.Engine;
import kudari.Group;
import kudari.Guard;
import kudari.LossScaling;
import kudari.Optimizer;
import kudari.ShardedOptimizer;
import kudari.Tensor;
import kudari.rule.AdamW;
import org.apache.spark.api.java.JavaRDD;
import org.apache.spark.api.java.JavaSparkContext;
import org.apache.spark.resource.ResourceInformation;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Jobs whose ranks have a GPU each, in software, as Spark gives it to their tasks; the gradients go by way of the host's memory. */
@Timeout(150)
@EnabledOnOs(value = OS.LINUX, architectures = "amd64")
class GpuRanksTest {

    private static final int RANKS = 2, STEPS = 4;

    /** Of one, of some and of many elements; in another order than by size. */
    private static final Map<String, long[]> SHAPES = new TreeMap<>(
            Map.of("a.weight", new long[] {40, 30}, "b.bias", new long[] {5}, "c.weight", new long[] {700}));

    /** Makes the guard where it is used, for it does not travel. */
    private interface Guards extends Serializable {
        Guard guard();
    }

    private static JavaSparkContext spark;

    @BeforeAll
    static void start(@TempDir Path folder) throws Exception {
        spark = Contexts.gpus(RANKS, folder);
    }

    @AfterAll
    static void stop() {
        spark.close();
    }

    /** What a rank came to, and on what. */
    private record Result(float[] weights, String engine, String address) implements Serializable {}

    private static Result result(Rank rank, Map<String, Tensor> params) {
        ResourceInformation gpu =
                org.apache.spark.TaskContext.get().resourcesJMap().get("gpu");
        return new Result(Digit.weights(params), rank.engine().toString(), gpu.addresses()[0]);
    }

    private static JavaRDD<Integer> ranks(int count) {
        return spark.parallelize(Collections.nCopies(count, 0), count);
    }

    private static float[] values(String name, int rank, int step) {
        Random random = new Random(name.hashCode() + 31L * rank + 1009L * step);
        int size = 1;
        for (long length : SHAPES.get(name)) size *= (int) length;
        float[] values = new float[size];
        for (int i = 0; i < values.length; i++) values[i] = (float) random.nextGaussian();
        return values;
    }

    private static Map<String, Tensor> params(Engine engine) {
        Map<String, Tensor> params = new TreeMap<>();
        SHAPES.forEach((name, shape) -> params.put(name, engine.tensor(values(name, -1, 0), shape)));
        return params;
    }

    private static Map<String, Tensor> zeros(Engine engine) {
        Map<String, Tensor> grads = new TreeMap<>();
        SHAPES.forEach((name, shape) -> grads.put(name, engine.zeros(shape)));
        return grads;
    }

    /** The parameters after all steps with the gradients of all ranks, added up in order by one process. */
    private static Map<String, Tensor> alone(Engine engine, Guard guard) {
        Map<String, Tensor> params = params(engine), grads = zeros(engine);
        try (Optimizer adam = engine.optimizer(rule()).guard(guard)) {
            for (int step = 0; step < STEPS; step++) {
                for (String name : SHAPES.keySet()) {
                    Tensor sum = grads.get(name);
                    sum.set(values(name, 0, step));
                    for (int r = 1; r < RANKS; r++) sum.add(engine.tensor(values(name, r, step), SHAPES.get(name)), 1);
                }
                adam.update(params, grads);
            }
        }
        return params;
    }

    private static Group rule() {
        return Group.rest(AdamW.of(0.02).decay(0.1));
    }

    /** One process on a GPU, and the CPU of this one, which come to the same. */
    private static float[] expected(Guards guards) throws Exception {
        Result one = TrainingJob.of(1)
                .attempts(1)
                .run(ranks(1), (rank, none) -> result(rank, alone(rank.engine(), guards.guard())))
                .get(0);
        assertTrue(one.engine.contains("software"), one.engine);
        try (Engine cpu = Engine.cpu(1)) {
            float[] weights = Digit.weights(alone(cpu, guards.guard()));
            assertArrayEquals(weights, one.weights);
            return weights;
        }
    }

    private static void check(float[] expected, List<Result> results) {
        Set<String> addresses = new TreeSet<>();
        for (Result result : results) {
            assertTrue(result.engine.contains("software"), result.engine);
            assertArrayEquals(expected, result.weights);
            addresses.add(result.address);
        }
        assertEquals(Set.of("0", "1"), addresses);
    }

    private static TrainingJob job(Backend backend) {
        return TrainingJob.of(RANKS).attempts(1).backend(backend).timeout(Duration.ofSeconds(60));
    }

    /** NCCL is softnccl, and not NVIDIA's. */
    @ParameterizedTest
    @EnumSource(names = {"BLOCKS", "NCCL"})
    void ranksOnGpusStepToTheBitsOfOneGpuAndOfTheCpu(Backend backend) throws Exception {
        Guards guards = () -> Guard.clipNorm(3).scale(0.5);
        check(expected(guards), job(backend).run(ranks(RANKS), (rank, none) -> {
            checkBackend(backend, rank);
            Map<String, Tensor> params = params(rank.engine()), grads = zeros(rank.engine());
            try (Optimizer adam = rank.engine().optimizer(rule()).guard(guards.guard())) {
                for (int step = 0; step < STEPS; step++) {
                    for (String name : SHAPES.keySet()) grads.get(name).set(values(name, rank.rank(), step));
                    rank.sum(grads);
                    adam.update(params, grads);
                }
            }
            return result(rank, params);
        }));
    }

    private static void checkBackend(Backend backend, Rank rank) {
        assertEquals(backend == Backend.NCCL, rank.collective().toString().startsWith("NCCL 2."));
    }

    @ParameterizedTest
    @EnumSource(names = {"BLOCKS", "NCCL"})
    void shardedStateOnGpusStepsToTheSameBits(Backend backend) throws Exception {
        Guards guards = () -> Guard.clipValue(0.5).scale(0.5);
        check(expected(guards), job(backend).run(ranks(RANKS), (rank, none) -> {
            checkBackend(backend, rank);
            Map<String, Tensor> params = params(rank.engine()), grads = zeros(rank.engine());
            try (ShardedOptimizer adam =
                    new ShardedOptimizer(rank.engine(), rank.collective(), rule()).guard(guards.guard())) {
                for (int step = 0; step < STEPS; step++) {
                    for (String name : SHAPES.keySet()) grads.get(name).set(values(name, rank.rank(), step));
                    adam.update(params, grads);
                }
            }
            return result(rank, params);
        }));
    }

    @Test
    void shardedStateOnGpusRefusesNormsAndLossScales() {
        for (boolean norm : new boolean[] {true, false}) {
            IllegalStateException e = assertThrows(
                    IllegalStateException.class,
                    () -> TrainingJob.of(RANKS).attempts(1).run(ranks(RANKS), (rank, none) -> {
                        Map<String, Tensor> params = params(rank.engine()), grads = zeros(rank.engine());
                        ShardedOptimizer adam = new ShardedOptimizer(rank.engine(), rank.collective(), rule());
                        if (norm) adam.guard(Guard.clipNorm(1));
                        else adam.lossScale(rank.engine().lossScale(LossScaling.fixed(1024)));
                        adam.update(params, grads);
                        return 0;
                    }));
            assertTrue(e.getMessage().contains("is the CPU engine's alone so far"), e.getMessage());
        }
    }
}
