package kudari.spark;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
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
import kudari.LossScale;
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

    /** What is between the gradients and the rule. With a loss scale a gradient of one rank overflows at a step. */
    private enum Guarded {
        BY_NORM(Guard.clipNorm(3).scale(0.5), false),
        BY_VALUE(Guard.clipValue(0.5).scale(0.5), false),
        BY_NORM_OF_A_SCALED_LOSS(Guard.clipNorm(3).scale(0.5), true);

        final Guard guard;
        final boolean scales;

        Guarded(Guard guard, boolean scales) {
            this.guard = guard;
            this.scales = scales;
        }
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

    private static float[] gradient(String name, int rank, int step, Guarded guarded) {
        float[] values = values(name, rank, step);
        if (guarded.scales && rank == 1 && step == 2 && name.equals("b.bias")) values[4] = Float.POSITIVE_INFINITY;
        return values;
    }

    private static LossScale scale(Engine engine) {
        return engine.lossScale(LossScaling.dynamic().initial(4).interval(2));
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
    private static Map<String, Tensor> alone(Engine engine, Guarded guarded) {
        Map<String, Tensor> params = params(engine), grads = zeros(engine);
        try (Optimizer adam = engine.optimizer(rule()).guard(guarded.guard)) {
            if (guarded.scales) adam.lossScale(scale(engine));
            for (int step = 0; step < STEPS; step++) {
                for (String name : SHAPES.keySet()) {
                    Tensor sum = grads.get(name);
                    sum.set(gradient(name, 0, step, guarded));
                    for (int r = 1; r < RANKS; r++)
                        sum.add(engine.tensor(gradient(name, r, step, guarded), SHAPES.get(name)), 1);
                }
                adam.update(params, grads);
            }
            assertEquals(guarded.scales ? 1 : 0, adam.skipped());
        }
        return params;
    }

    private static Group rule() {
        return Group.rest(AdamW.of(0.02).decay(0.1));
    }

    /** One process on a GPU, and the CPU of this one, which come to the same. */
    private static float[] expected(Guarded guarded) throws Exception {
        Result one = TrainingJob.of(1)
                .attempts(1)
                .run(ranks(1), (rank, none) -> result(rank, alone(rank.engine(), guarded)))
                .get(0);
        assertTrue(one.engine.contains("software"), one.engine);
        try (Engine cpu = Engine.cpu(1)) {
            float[] weights = Digit.weights(alone(cpu, guarded));
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

    private static void checkBackend(Backend backend, Rank rank) {
        assertEquals(backend == Backend.NCCL, rank.collective().toString().startsWith("NCCL 2."));
    }

    /** NCCL is softnccl, and not NVIDIA's. */
    @ParameterizedTest
    @EnumSource(names = {"BLOCKS", "NCCL"})
    void ranksOnGpusStepToTheBitsOfOneGpuAndOfTheCpu(Backend backend) throws Exception {
        Guarded guarded = Guarded.BY_NORM;
        check(expected(guarded), job(backend).run(ranks(RANKS), (rank, none) -> {
            checkBackend(backend, rank);
            Map<String, Tensor> params = params(rank.engine()), grads = zeros(rank.engine());
            try (Optimizer adam = rank.engine().optimizer(rule()).guard(guarded.guard)) {
                for (int step = 0; step < STEPS; step++) {
                    for (String name : SHAPES.keySet()) grads.get(name).set(values(name, rank.rank(), step));
                    rank.sum(grads);
                    adam.update(params, grads);
                }
            }
            return result(rank, params);
        }));
    }

    @Test
    void shardedStateOnGpusStepsToTheSameBits() throws Exception {
        checkSharded(Backend.BLOCKS, Guarded.BY_VALUE);
    }

    /** Only the rank whose parameter it is of sees what is not finite, and all leave the step out. */
    @ParameterizedTest
    @EnumSource(names = {"BLOCKS", "NCCL"})
    void shardedStateOnGpusStepsToTheSameBitsUnderANormAndALossScale(Backend backend) throws Exception {
        checkSharded(backend, Guarded.BY_NORM_OF_A_SCALED_LOSS);
    }

    private static void checkSharded(Backend backend, Guarded guarded) throws Exception {
        check(expected(guarded), job(backend).run(ranks(RANKS), (rank, none) -> {
            checkBackend(backend, rank);
            Map<String, Tensor> params = params(rank.engine()), grads = zeros(rank.engine());
            try (ShardedOptimizer adam =
                    new ShardedOptimizer(rank.engine(), rank.collective(), rule()).guard(guarded.guard)) {
                LossScale scale = scale(rank.engine());
                if (guarded.scales) adam.lossScale(scale);
                for (int step = 0; step < STEPS; step++) {
                    for (String name : SHAPES.keySet()) grads.get(name).set(gradient(name, rank.rank(), step, guarded));
                    adam.update(params, grads);
                }
                // Doubled after two good steps, halved by the third.
                if (guarded.scales) assertEquals(new LossScale.State(4, 1, 1, false), scale.state());
            }
            return result(rank, params);
        }));
    }
}
