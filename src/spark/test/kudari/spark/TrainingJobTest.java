package kudari.spark;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import kudari.Counts;
import kudari.Engine;
import kudari.Group;
import kudari.Optimizer;
import kudari.ShardedOptimizer;
import kudari.Tensor;
import kudari.rule.Adam;
import kudari.rule.Momentum;
import org.apache.spark.api.java.JavaRDD;
import org.apache.spark.api.java.JavaSparkContext;
import org.apache.spark.storage.BlockId;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Jobs whose ranks are threads of this JVM. */
@Timeout(100)
class TrainingJobTest {

    private static JavaSparkContext spark;

    @BeforeAll
    static void start() {
        spark = Contexts.local(4);
    }

    @AfterAll
    static void stop() {
        spark.close();
    }

    static JavaRDD<Digit> digits(int ranks) {
        return spark.parallelize(Digit.of(ranks), ranks);
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 2, 3, 4})
    void ranksTrainToTheBitsOfOneProcessThatAddsTheirGradientsInOrder(int ranks) throws Exception {
        float[] expected = Digit.trainedByOne(ranks, 12);
        List<DigitsLoop.Result> results =
                TrainingJob.of(ranks).run(digits(ranks), new DigitsLoop(12, 0, DigitsLoop.NONE));
        assertEquals(ranks, results.size());
        for (DigitsLoop.Result result : results) {
            assertArrayEquals(expected, result.weights());
            assertEquals("CPU (1 thread)", result.engine());
        }
    }

    @Test
    void aJobThatFailsGoesOnFromItsNewestCheckpointToTheSameBits(@TempDir Path folder) throws Exception {
        // Rank 1 fails before step 9 of attempt 1, rank 0 before step 3 of attempt 2, which began with 8.
        DigitsLoop.Fault fault = (rank, step) -> {
            if (rank.attempt() == 1 && rank.rank() == 1 && step == 9) throw new java.io.IOException("a disk broke");
            if (rank.attempt() == 2 && rank.rank() == 0 && step == 10) throw new IllegalStateException("another");
        };
        List<DigitsLoop.Result> results =
                TrainingJob.of(2).checkpoints(folder.toString()).run(digits(2), new DigitsLoop(12, 4, fault));
        for (DigitsLoop.Result result : results) {
            assertArrayEquals(Digit.trainedByOne(2, 12), result.weights());
            assertEquals(3, result.attempt());
            assertEquals(8, result.began());
        }
    }

    @Test
    void aDriverThatBeginsAnewGoesOnWhereTheLastOneStopped(@TempDir Path folder) throws Exception {
        TrainingJob job = TrainingJob.of(2).checkpoints(folder.toString());
        job.run(digits(2), new DigitsLoop(8, 4, DigitsLoop.NONE));
        List<DigitsLoop.Result> results = job.run(digits(2), new DigitsLoop(12, 4, DigitsLoop.NONE));
        assertEquals(8, results.get(0).began());
        assertArrayEquals(Digit.trainedByOne(2, 12), results.get(0).weights());
    }

    @Test
    void aJobWhoseFolderAnotherHasTakenOverDoesNotGoOnFromTheOthersCheckpoints(@TempDir Path folder) {
        String at = folder.toUri().toString();
        DigitsLoop.Fault fault = (rank, step) -> {
            if (step != 6 || rank.rank() != 1) return;
            // Another driver begins, and commits.
            ShardedCheckpoints others = new ShardedCheckpoints(at, new org.apache.hadoop.conf.Configuration());
            others.begin(others.newest());
            Digit.saveAlone(others, 2, 9);
            throw new java.io.IOException("a disk broke");
        };
        java.io.IOException e = assertThrows(
                java.io.IOException.class,
                () -> TrainingJob.of(2).checkpoints(at).run(digits(2), new DigitsLoop(12, 4, fault)));
        assertTrue(
                e.getMessage().contains("another job has begun attempt 2 here, after attempt 1 of this one"),
                e.getMessage());
    }

    @Test
    void anotherNumberOfRanksGoesOnFromTheSameWeights(@TempDir Path folder) throws Exception {
        TrainingJob.of(3).checkpoints(folder.toString()).run(digits(3), new DigitsLoop(8, 8, DigitsLoop.NONE));
        List<DigitsLoop.Result> results =
                TrainingJob.of(2).checkpoints(folder.toString()).run(digits(2), new DigitsLoop(8, 8, DigitsLoop.NONE));
        assertEquals(8, results.get(1).began());
        assertArrayEquals(Digit.trainedByOne(3, 8), results.get(1).weights());
    }

    /** What trains, with names that have strokes as a checkpoint's have, and what is frozen; rank 0 alone has gradients. */
    private static Map<String, Tensor> params(Engine engine, float from) {
        Map<String, Tensor> params = new TreeMap<>();
        params.put("frozen", engine.tensor(new float[] {from, from}));
        params.put("layer/0/w", engine.tensor(new float[] {from, 2, 3, 4, 5, from}, 3, 2));
        params.put("layer/1/w", engine.tensor(new float[] {from, 2, from, 4}));
        return params;
    }

    private static Map<String, Tensor> gradients(Engine engine, long step, boolean some) {
        Map<String, Tensor> grads = new TreeMap<>(params(engine, some ? step + 1 : 0));
        grads.remove("frozen");
        if (!some) grads.values().forEach(Tensor::zero);
        return grads;
    }

    private static Group[] groups() {
        return new Group[] {Group.frozen("frozen"), Group.of("layer/0/*", Momentum.of(0.1)), Group.rest(Adam.of(0.1))};
    }

    @Test
    void stateThatLiesOnTheRanksIsGoneOnFromByAnyNumberOfRanks(@TempDir Path folder) throws Exception {
        float[] expected;
        Counts counts;
        try (Engine engine = Engine.cpu(1)) {
            Map<String, Tensor> params = params(engine, 7);
            Optimizer alone = engine.optimizer(groups());
            for (long step = 0; step < 6; step++) alone.update(params, gradients(engine, step, true));
            expected = Digit.weights(params);
            counts = alone.counts();
        }
        for (int[] job : new int[][] {{2, 3}, {3, 5}, {1, 6}}) {
            int ranks = job[0], until = job[1];
            List<List<?>> results = TrainingJob.of(ranks)
                    .attempts(1)
                    .checkpoints(folder.toString())
                    .run(spark.parallelize(Collections.nCopies(ranks, 0), ranks), (rank, none) -> {
                        Map<String, Tensor> params = params(rank.engine(), ranks == 2 ? 7 : -1);
                        ShardedOptimizer sharded = new ShardedOptimizer(rank.engine(), rank.collective(), groups());
                        Optional<Map<String, String>> facts = rank.restore(sharded, params);
                        assertEquals(ranks == 2 ? Optional.empty() : Optional.of(Map.of("fact", "told")), facts);
                        for (long step = sharded.own().steps(); step < until; step++)
                            sharded.update(params, gradients(rank.engine(), step, rank.rank() == 0));
                        assertEquals((ranks - 1) / 2.0, rank.mean(rank.rank()));
                        rank.save(sharded, params, Map.of("fact", "told"));
                        Counts all = sharded.counts();
                        return List.of(Digit.weights(params), all.steps(), new ArrayList<>(all.groups()));
                    });
            if (until < 6) continue;
            assertArrayEquals(expected, (float[]) results.get(0).get(0));
            assertEquals(counts.steps(), results.get(0).get(1));
            assertEquals(counts.groups(), results.get(0).get(2));
        }
    }

    @Test
    void nothingIsCommittedBeforeAllPartsAreThere(@TempDir Path folder) throws Exception {
        String at = folder.toUri().toString();
        List<Boolean> committed = TrainingJob.of(2)
                .attempts(1)
                .checkpoints(at)
                .run(spark.parallelize(List.of(0, 0), 2), (rank, none) -> {
                    ShardedCheckpoints folderOfThis =
                            new ShardedCheckpoints(at, new org.apache.hadoop.conf.Configuration());
                    Optimizer adam = rank.engine().optimizer(groups());
                    Path part = Path.of(java.net.URI.create(at))
                            .resolve("attempt-0000000001/step-0000000000/part-00000-of-00002.safetensors");
                    while (rank.rank() == 1 && Files.notExists(part)) Thread.sleep(10);
                    if (rank.rank() == 1) Thread.sleep(1000); // longer than a commit takes
                    boolean before = rank.rank() == 1 && folderOfThis.newest().isPresent();
                    rank.save(adam, params(rank.engine(), 1), Map.of());
                    return before;
                });
        assertEquals(List.of(false, false), committed);
    }

    @Test
    void aCheckpointOfOtherShapesIsRefusedByARankThatDoesNotOwnThem(@TempDir Path folder) throws Exception {
        TrainingJob job = TrainingJob.of(2).attempts(1).checkpoints(folder.toString());
        JavaRDD<Integer> ranks = spark.parallelize(List.of(0, 0), 2);
        job.run(ranks, (rank, none) -> {
            ShardedOptimizer sharded = new ShardedOptimizer(rank.engine(), rank.collective(), groups());
            Map<String, Tensor> params = params(rank.engine(), 1);
            sharded.update(params, gradients(rank.engine(), 0, true));
            rank.save(sharded, params, Map.of());
            return 0;
        });
        IllegalStateException e = assertThrows(
                IllegalStateException.class,
                () -> job.run(ranks, (rank, none) -> {
                    Map<String, Tensor> params = params(rank.engine(), 1);
                    params.put("frozen", rank.engine().zeros(3));
                    rank.restore(new ShardedOptimizer(rank.engine(), rank.collective(), groups()), params);
                    return 0;
                }));
        assertTrue(e.getMessage().contains("'frozen': expected F32[3], got F32[2]"), e.getMessage());
    }

    @Test
    void aJobThatOnlyFailsIsGivenUpAndSaysWhy() {
        DigitsLoop.Fault fault = (rank, step) -> {
            if (rank.rank() == 1) throw new java.io.IOException("no such disk");
        };
        IllegalStateException e = assertThrows(
                IllegalStateException.class,
                () -> TrainingJob.of(2).attempts(2).run(digits(2), new DigitsLoop(4, 0, fault)));
        assertTrue(e.getMessage().contains("has failed 2 times"), e.getMessage());
        assertTrue(e.getCause().getMessage().contains("rank 1 of 2: no such disk"), e.getMessage());
    }

    @Test
    void theFirstFailureBehindANewCheckpointCounts(@TempDir Path folder) {
        DigitsLoop.Fault fault = (rank, step) -> {
            if (rank.attempt() == 1 && step == 6) throw new java.io.IOException("no such disk");
        };
        TrainingJob job = TrainingJob.of(2).checkpoints(folder.toString()).attempts(1);
        IllegalStateException e =
                assertThrows(IllegalStateException.class, () -> job.run(digits(2), new DigitsLoop(8, 4, fault)));
        assertTrue(e.getMessage().startsWith("the job has failed once "), e.getMessage());
    }

    @Test
    void theRankThatFailedIsNamedWhateverWasThrown() {
        record Case(Throwable thrown, String said) implements java.io.Serializable {}
        for (Case one : List.of(
                new Case(new IllegalArgumentException("lr: expected less"), "rank 1 of 2: lr: expected less"),
                new Case(new NullPointerException(), "rank 1 of 2: java.lang.NullPointerException"),
                new Case(
                        new java.util.NoSuchElementException("of none"),
                        "rank 1 of 2: java.util.NoSuchElementException: of none"),
                new Case(new AssertionError("wrong"), "rank 1 of 2: java.lang.AssertionError: wrong"))) {
            DigitsLoop.Fault fault = (rank, step) -> {
                if (rank.rank() != 1) return;
                if (one.thrown instanceof Error error) throw error;
                throw (RuntimeException) one.thrown;
            };
            IllegalStateException e = assertThrows(
                    IllegalStateException.class,
                    () -> TrainingJob.of(2).attempts(1).run(digits(2), new DigitsLoop(4, 0, fault)));
            assertEquals(
                    "the job has failed once without a new checkpoint in between; the last time: " + one.said,
                    e.getMessage());
        }
    }

    @Test
    void aRankThatDoesNotComeIsWaitedForOnlySoLong() {
        DigitsLoop.Fault fault = (rank, step) -> {
            while (rank.rank() == 1 && !Thread.currentThread().isInterrupted() && step == 2) {
                java.util.concurrent.locks.LockSupport.parkNanos(1_000_000);
                org.apache.spark.TaskContext task = org.apache.spark.TaskContext.get();
                if (task.isInterrupted()) throw new IllegalStateException("ended");
            }
        };
        IllegalStateException e = assertThrows(IllegalStateException.class, () -> TrainingJob.of(2)
                .attempts(1)
                .timeout(Duration.ofSeconds(5)) // and not less, for a rank may be slow to begin
                .run(digits(2), new DigitsLoop(4, 0, fault)));
        assertTrue(
                e.getCause().getMessage().contains("rank 0: nothing came from rank 1 on "),
                e.getCause().getMessage());
    }

    @Test
    void rankZeroTellsTheDriverInOrderAndAfterAFailureOnceMore(@TempDir Path folder) throws Exception {
        DigitsLoop.Fault fault = (rank, step) -> {
            if (rank.attempt() == 1 && step == 6 && rank.rank() == 1) throw new java.io.IOException("a disk broke");
            rank.tell("rank " + rank.rank() + " before step " + step);
        };
        List<Object> heard = new ArrayList<>();
        TrainingJob.of(2).checkpoints(folder.toString()).run(digits(2), new DigitsLoop(8, 4, fault), heard::add);
        List<String> expected = new ArrayList<>();
        for (int step : new int[] {0, 1, 2, 3, 4, 5, 6, 4, 5, 6, 7}) expected.add("rank 0 before step " + step);
        // Whether rank 0 came to tell of step 6 before it heard that rank 1 had failed, is chance.
        if (heard.size() < expected.size()) expected.remove(6);
        assertEquals(expected, heard);
    }

    @Test
    void whatNobodyLivedToReadIsTakenByNoOtherAttemptAndIsGone() throws Exception {
        Set<BlockId> left = Contexts.messages(); // by jobs that failed in other tests
        TrainingLoop<Digit, float[]> loop = (rank, mine) -> {
            if (rank.attempt() == 1 && rank.rank() == 1) {
                while (left.containsAll(Contexts.messages())) Thread.sleep(10); // until rank 0 has sent
                throw new java.io.IOException("a disk broke");
            }
            Map<String, Tensor> sum = Map.of("x", rank.engine().tensor(new float[] {rank.attempt(), rank.attempt()}));
            rank.sum(sum);
            rank.tell("summed");
            return sum.get("x").get();
        };
        for (float[] sum : TrainingJob.of(2).run(digits(2), loop)) assertArrayEquals(new float[] {4, 4}, sum);
        Contexts.checkNoMoreThan(left);
    }

    /** Of a driver that runs many jobs. */
    @Test
    void aJobThatHasEndedLeavesNoThreads() throws Exception {
        DigitsLoop.Fault tells = (rank, step) -> rank.tell(step);
        for (int n = 0; n < 2; n++) TrainingJob.of(2).run(digits(2), new DigitsLoop(6, 0, tells), report -> {});
        // Those that wait for work end after a second.
        for (int look = 0; look < 100 && removers() > 0; look++) Thread.sleep(100);
        assertEquals(0, removers());
    }

    private static long removers() {
        return Thread.getAllStackTraces().keySet().stream()
                .filter(thread -> thread.getName().equals("kudari removes messages"))
                .count();
    }

    @Test
    void aListenerThatThrowsEndsTheJob() {
        DigitsLoop.Fault fault = (rank, step) -> rank.tell(step);
        UnsupportedOperationException e = assertThrows(UnsupportedOperationException.class, () -> TrainingJob.of(2)
                .run(digits(2), new DigitsLoop(100_000, 0, fault), report -> {
                    if (report.equals(5L)) throw new UnsupportedOperationException("enough");
                }));
        assertEquals("enough", e.getMessage());
    }

    @Test
    void ncclThatCannotBeUsedFailsTheJobUnlessBlocksAreAllowed() throws Exception {
        IllegalStateException e = assertThrows(IllegalStateException.class, () -> TrainingJob.of(2)
                .attempts(1)
                .backend(Backend.NCCL)
                .run(digits(2), new DigitsLoop(1, 0, DigitsLoop.NONE)));
        String message = e.getCause().getMessage();
        assertTrue(
                message.contains("NCCL needs a GPU, got CPU (1 thread)") || message.contains("cannot use NCCL"),
                message);
        List<DigitsLoop.Result> results = TrainingJob.of(2)
                .backend(Backend.NCCL_OR_BLOCKS)
                .run(digits(2), new DigitsLoop(12, 0, DigitsLoop.NONE));
        assertArrayEquals(Digit.trainedByOne(2, 12), results.get(1).weights());
    }

    @Test
    void whatDoesNotFitIsRefused() {
        Exception e = assertThrows(IllegalArgumentException.class, () -> TrainingJob.of(2)
                .run(digits(3), new DigitsLoop(1, 0, DigitsLoop.NONE)));
        assertEquals("samples: expected 2 partitions, one for each rank, got 3", e.getMessage());
        assertThrows(IllegalArgumentException.class, () -> TrainingJob.of(0));
        assertThrows(IllegalArgumentException.class, () -> TrainingJob.of(1).attempts(0));
        assertThrows(IllegalArgumentException.class, () -> TrainingJob.of(1).timeout(Duration.ZERO));
        Thread stays = Thread.currentThread();
        e = assertThrows(IllegalArgumentException.class, () -> TrainingJob.of(1)
                .run(digits(1), (rank, samples) -> stays.getName()));
        assertEquals(
                "loop: expected one that Java can serialize, for it travels to the ranks, got one that refers to a java.lang.Thread; make that"
                        + " where it is used, on the rank",
                e.getMessage());
        IllegalStateException saves = assertThrows(
                IllegalStateException.class,
                () -> TrainingJob.of(1).attempts(1).run(digits(1), new DigitsLoop(1, 1, DigitsLoop.NONE)));
        assertTrue(saves.getMessage().contains("TrainingJob.checkpoints"), saves.getMessage());
    }
}
