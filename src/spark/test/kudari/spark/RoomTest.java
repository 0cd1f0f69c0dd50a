package kudari.spark;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Arrays;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import kudari.Tensor;
import org.apache.spark.SparkConf;
import org.apache.spark.api.java.JavaSparkContext;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** Jobs for which Spark has no room. */
@Timeout(100)
class RoomTest {

    private static void train(JavaSparkContext spark, int ranks) throws Exception {
        TrainingJob.of(ranks).run(spark.parallelize(Digit.of(ranks), ranks), new DigitsLoop(1, 0, DigitsLoop.NONE));
    }

    @Test
    void moreRanksThanThreadsAreRefusedAtOnce() throws Exception {
        try (JavaSparkContext spark = Contexts.local(2)) {
            IllegalArgumentException e = assertThrows(IllegalArgumentException.class, () -> train(spark, 3));
            assertEquals(
                    "ranks: expected at most 2, as many tasks as Spark's local[2] runs at once, got 3;"
                            + " local[3] has the threads",
                    e.getMessage());
            train(spark, 2);
            IllegalStateException coalesced = assertThrows(IllegalStateException.class, () -> TrainingJob.of(2)
                    .run(spark.parallelize(Digit.of(2), 4).coalesce(2), new DigitsLoop(1, 0, DigitsLoop.NONE)));
            assertTrue(
                    coalesced.getMessage().startsWith("Spark does not run the job: [SPARK-24820]"),
                    coalesced.getMessage());
        }
    }

    @Test
    void aRankHasAsManyThreadsAsATaskHasProcessors() throws Exception {
        try (JavaSparkContext spark =
                new JavaSparkContext(Contexts.conf("local[4]").set("spark.task.cpus", "2"))) {
            IllegalArgumentException e = assertThrows(IllegalArgumentException.class, () -> train(spark, 3));
            assertTrue(e.getMessage().startsWith("ranks: expected at most 2, "), e.getMessage());
            for (DigitsLoop.Result result :
                    TrainingJob.of(2).run(spark.parallelize(Digit.of(2), 2), new DigitsLoop(1, 0, DigitsLoop.NONE)))
                assertEquals("CPU (2 threads)", result.engine());
        }
    }

    @Test
    void aJobThatWaitsForRoomEndsWithItsSpark() throws Exception {
        JavaSparkContext spark = Contexts.cluster(1);
        CompletableFuture<Void> job = CompletableFuture.runAsync(() -> {
            try {
                train(spark, 2);
            } catch (Exception e) {
                throw e instanceof RuntimeException thrown ? thrown : new IllegalStateException(e);
            }
        });
        Thread.sleep(3000); // so that it waits
        spark.close();
        ExecutionException e = assertThrows(ExecutionException.class, () -> job.get(20, TimeUnit.SECONDS));
        assertTrue(e.getCause().getMessage().startsWith("Spark has stopped, and the job with it"), e.toString());
    }

    @Test
    void whatSparkWouldNotRunAnotherTimeEitherIsNotTriedAgain() throws Exception {
        System.setProperty("spark.dynamicAllocation.enabled", "true");
        try (JavaSparkContext spark = Contexts.cluster(1)) {
            IllegalStateException e = assertThrows(IllegalStateException.class, () -> train(spark, 1));
            assertTrue(e.getMessage().startsWith("Spark does not run the job: [SPARK-24942]"), e.getMessage());
        } finally {
            System.clearProperty("spark.dynamicAllocation.enabled");
        }
    }

    @Test
    void aMessageThatMemoryHasNoRoomForGoesByTheDisk() throws Exception {
        // 2.4 MB for blocks, as tests of Spark's own say it: enough for what a task is sent, less than a message.
        SparkConf small = Contexts.conf("local[2]")
                .set("spark.testing.memory", "4000000")
                .set("spark.testing.reservedMemory", "0");
        try (JavaSparkContext spark = new JavaSparkContext(small)) {
            TrainingLoop<Digit, float[]> loop = (rank, mine) -> {
                float[] own = new float[4_000_000];
                Arrays.fill(own, rank.rank() + 1);
                Map<String, Tensor> sum = Map.of("x", rank.engine().tensor(own));
                rank.sum(sum);
                return sum.get("x").get();
            };
            float[] threes = new float[4_000_000];
            Arrays.fill(threes, 3);
            for (float[] sum : TrainingJob.of(2).run(spark.parallelize(Digit.of(2), 2), loop))
                assertArrayEquals(threes, sum);
            Contexts.checkNoMoreThan(Set.of());
        }
    }
}
