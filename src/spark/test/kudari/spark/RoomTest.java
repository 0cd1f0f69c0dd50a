package kudari.spark;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
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
}
