package kudari.spark;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Random;
import org.apache.spark.api.java.JavaSparkContext;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** Jobs whose ranks are executors, in JVMs of their own that authenticate and encrypt what they send. */
@Timeout(150)
class ClusterTest {

    private static JavaSparkContext spark;

    @BeforeAll
    static void start() {
        spark = Contexts.cluster(2);
    }

    @AfterAll
    static void stop() {
        spark.close();
    }

    /** Has the system do something to this process, in so many milliseconds: at whatever it is doing then. */
    private static void signal(String signal, int millis) throws IOException {
        new ProcessBuilder(
                        "sh",
                        "-c",
                        "sleep " + millis / 1000.0 + "; kill -" + signal + " "
                                + ProcessHandle.current().pid())
                .inheritIO()
                .start();
    }

    @Test
    void anExecutorKilledAtAnyMomentChangesNoBit(@TempDir Path folder) throws Exception {
        int steps = 120;
        // The first attempt begins to die at a step drawn by chance, and dies within it or some step after.
        Random random = new Random(20261127);
        int dies = 10 + random.nextInt(20), millis = random.nextInt(300);
        DigitsLoop.Fault fault = (rank, step) -> {
            if (rank.attempt() > 1 || rank.rank() != 1) return;
            if (step == dies) signal("KILL", millis);
            if (step == steps - 1) throw new IllegalStateException("the signal did not come");
            if (step > dies) java.util.concurrent.locks.LockSupport.parkNanos(10_000_000);
        };
        List<DigitsLoop.Result> results = TrainingJob.of(2)
                .checkpoints(folder.toUri().toString())
                .run(spark.parallelize(Digit.of(2), 2), new DigitsLoop(steps, 5, fault));
        float[] expected = Digit.trainedByOne(2, steps);
        for (DigitsLoop.Result result : results) {
            assertArrayEquals(expected, result.weights());
            assertEquals(2, result.attempt());
            assertTrue(result.began() >= dies / 5 * 5, "began with " + result.began() + ", after a kill from " + dies);
            assertNotEquals(ProcessHandle.current().pid(), result.process());
        }
        assertNotEquals(results.get(0).process(), results.get(1).process());
    }

    @Test
    @Tag("slow") // it waits until Spark has missed enough heartbeats
    void aFrozenExecutorIsGivenUpAndWhenItThawsChangesNothing(@TempDir Path folder) throws Exception {
        DigitsLoop.Fault fault = (rank, step) -> {
            if (rank.attempt() == 1 && rank.rank() == 0 && step == 12) {
                signal("STOP", 0);
                java.util.concurrent.locks.LockSupport.parkNanos(1_000_000_000);
            }
        };
        List<DigitsLoop.Result> results = TrainingJob.of(2)
                .checkpoints(folder.toUri().toString())
                .timeout(Duration.ofSeconds(5))
                .run(spark.parallelize(Digit.of(2), 2), new DigitsLoop(30, 10, fault));
        for (DigitsLoop.Result result : results) {
            assertArrayEquals(Digit.trainedByOne(2, 30), result.weights());
            assertEquals(10, result.began());
        }
    }
}
