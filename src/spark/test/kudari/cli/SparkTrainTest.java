package kudari.cli;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import kudari.checkpoint.Checkpoint;
import kudari.report.RunWriter;
import org.apache.spark.SparkConf;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** {@code train --spark}, as a user calls it. */
@Timeout(150)
class SparkTrainTest {

    @TempDir
    private Path folder;

    private StringWriter out = new StringWriter(), err = new StringWriter();

    private int train(String into, String... more) {
        List<String> args =
                new ArrayList<>(List.of("train", "--out", folder.resolve(into).toString()));
        args.addAll(List.of("--data", "digits:64,16", "--hidden", "8,7", "--batch", "12"));
        args.addAll(List.of(more));
        if (!args.contains("--device")) args.addAll(List.of("--device", "cpu"));
        out = new StringWriter();
        err = new StringWriter();
        return Main.run(new PrintWriter(out, true), new PrintWriter(err, true), args.toArray(String[]::new));
    }

    private void trained(String into, String... more) {
        assertEquals(0, train(into, more), () -> err.toString());
    }

    private String model(String of) {
        return folder.resolve(of).resolve("model.safetensors").toString();
    }

    private void assertSame(String expected, String actual) throws IOException {
        Checkpoint one = Checkpoint.read(Path.of(model(expected))), other = Checkpoint.read(Path.of(model(actual)));
        assertEquals(one.counts(), other.counts());
        assertEquals(one.rule(), other.rule());
        assertEquals(one.tensors().keySet(), other.tensors().keySet());
        one.tensors()
                .forEach((name, values) -> assertArrayEquals(
                        values.floats(), other.tensors().get(name).floats(), name));
        assertEquals(losses(expected), losses(actual));
    }

    /** Step and loss of every line of the table. */
    private List<String> losses(String of) throws IOException {
        return Files.readAllLines(folder.resolve(of).resolve("train.csv")).stream()
                .map(line -> line.substring(0, line.indexOf(',', line.indexOf(',') + 1)))
                .toList();
    }

    @Test
    void oneRankTrainsToTheBitsOfTheCommandWithoutSpark() throws IOException {
        trained("alone", "--steps", "40", "--clip", "0.5", "--threads", "1");
        trained("rank", "--steps", "40", "--clip", "0.5", "--spark", "local[1]", "--ranks", "1");
        assertSame("alone", "rank");
        assertEquals(41, losses("rank").size());
        assertFalse(Files.exists(folder.resolve("rank/shards")));
        assertTrue(out.toString().contains("40 steps: on 16 samples held out"), () -> out.toString());
    }

    /** All that decides the bits reaches the ranks, and with sharded state, too. */
    @ParameterizedTest
    @ValueSource(
            strings = {
                "--rule muon --average 0.9",
                "--rule adamw --lr 0.003 --decay 0.1 --schedule warmup-cosine:3 --precision bf16 --master stochastic",
                "--precision fp16 --seed 5"
            })
    void whatDecidesTheBitsReachesTheRanks(String options) throws IOException {
        String[] settings = plus(options.split(" "), "--steps", "12");
        trained("alone", plus(settings, "--threads", "1"));
        trained("rank", plus(settings, "--spark", "local[1]", "--ranks", "1"));
        assertSame("alone", "rank");
        trained("ranks", plus(settings, "--spark", "local[2]"));
        trained(
                "zero",
                plus(
                        options.split(" "),
                        "--steps",
                        "12",
                        "--save-every",
                        "7",
                        "--keep",
                        "9",
                        "--spark",
                        "local[2]",
                        "--zero"));
        assertSame("ranks", "zero");
        Files.move(
                folder.resolve("zero/model-step7.safetensors"),
                Path.of(model("zero")),
                StandardCopyOption.REPLACE_EXISTING);
        trained("zero", "--spark", "local[2]", "--zero", "--resume", model("zero"));
        assertSame("ranks", "zero");
    }

    @Test
    void ranksGoOnFromACheckpointAsIfTheyHadNeverStoppedAndSoDoesOneProcess() throws IOException {
        String[] ranks = {"--spark", "local[3]", "--ranks", "3"};
        trained("whole", plus(ranks, "--steps", "30"));
        trained("parts", plus(ranks, "--steps", "17"));
        trained("parts", plus(ranks, "--steps", "30", "--resume", model("parts")));
        assertSame("whole", "parts");
        trained("parts", plus(ranks, "--steps", "30", "--resume", model("parts"))); // with nothing left to do
        assertFalse(Files.exists(folder.resolve("parts/shards")));
        trained("parts", "--steps", "35", "--threads", "1", "--resume", model("parts"));
        assertEquals(35, Checkpoint.read(Path.of(model("parts"))).steps());
    }

    @Test
    void stateThatLiesOnTheRanksIsGoneOnFromAndMakesOneModel() throws IOException {
        String[] ranks = {"--spark", "local[3]", "--ranks", "3", "--clip", "0.5"};
        trained("whole", plus(ranks, "--steps", "20"));
        trained("shards", plus(ranks, "--steps", "11", "--zero"));
        trained("shards", plus(ranks, "--steps", "20", "--zero", "--resume", model("shards")));
        assertSame("whole", "shards");
    }

    @Test
    void anExecutorKilledAtAnyMomentChangesNeitherTheModelNorTheTable() throws Exception {
        String[] settings = {"--steps", "200", "--save-every", "9", "--ranks", "2"};
        trained("undisturbed", plus(settings, "--spark", "local[2]"));
        Thread killer = new Thread(() -> kill(new Random(20261128)));
        killer.start();
        trained("disturbed", plus(settings, "--spark", "--zero")); // whose bits are the same
        killer.join();
        assertTrue(err.toString().contains("a rank was lost after step"), () -> err.toString());
        assertSame("undisturbed", "disturbed");
    }

    /** Once there is a checkpoint, waits for as long as chance says, and kills an executor that it chooses. */
    private void kill(Random random) {
        try {
            while (!Files.exists(Path.of(model("disturbed")))) Thread.sleep(5);
            Thread.sleep(random.nextInt(300));
            List<ProcessHandle> executors = ProcessHandle.current()
                    .descendants()
                    .filter(process -> process.info().command().orElse("").endsWith("java"))
                    .toList();
            executors.get(random.nextInt(executors.size())).destroyForcibly();
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    /** It is refused before it takes away what the first one's ranks go on from. */
    @Test
    void aSecondRunIntoTheSameFolderLeavesTheFirstAlone() throws Exception {
        String[] ranks = {"--spark", "local[2]", "--ranks", "2"};
        trained("run", plus(ranks, "--steps", "6"));
        Path shards = Files.createDirectories(folder.resolve("run/shards/attempt-0000000007"));
        Files.writeString(shards.resolve("_FROM"), "\n");
        RunWriter first = RunWriter.open(folder.resolve("run"), "0123456789ab", 6, true);
        assertEquals(1, train("run", plus(ranks, "--steps", "8", "--overwrite")));
        assertTrue(err.toString().contains("is being written by another run"), () -> err.toString());
        first.close();
        assertTrue(Files.exists(shards.resolve("_FROM")));
    }

    @Test
    void aRunThatDivergesEndsWithThreeAndSaysSo() {
        assertEquals(3, train("lost", "--rule", "sgd", "--lr", "1e30", "--spark", "local[2]", "--ranks", "2"));
        assertTrue(err.toString().contains("the run has diverged"), () -> err.toString());
        assertFalse(Files.exists(folder.resolve("lost/shards")));
    }

    @Test
    void aDeviceThatSparkDoesNotGiveIsRefused() {
        assertEquals(1, train("none", "--device", "cuda", "--spark", "local[2]", "--ranks", "2"));
        assertTrue(
                err.toString().contains("--device cuda:0: Spark gave the rank CPU (1 thread); a GPU is given by"),
                () -> err.toString());
    }

    @Test
    void executorsHaveAsLongToStartAsSparkGivesThem() {
        SparkConf conf = SparkTrain.conf(Train.of(List.of("--spark", "spark://host:7077")), new SparkConf(false));
        String check = "spark.scheduler.barrier.maxConcurrentTasksCheck.";
        // Spark looks 40 times, every 15 s, unless it is told otherwise.
        assertEquals(15 * 40, conf.getTimeAsSeconds(check + "interval") * conf.getInt(check + "maxFailures", 40));
    }

    @Test
    void theCommandThatGoesOnGoesOnInTheSameWay() {
        assertEquals(" --spark --ranks 2", Train.of(List.of("--spark")).onSparkAgain());
        assertEquals(
                " --spark spark://host:7077 --ranks 3 --zero --backend nccl --shards hdfs://host/shards",
                Train.of(List.of(
                                "--spark=spark://host:7077",
                                "--ranks=3",
                                "--zero",
                                "--backend=nccl",
                                "--shards=hdfs://host/shards"))
                        .onSparkAgain());
    }

    private static String[] plus(String[] args, String... more) {
        List<String> all = new ArrayList<>(List.of(args));
        all.addAll(List.of(more));
        return all.toArray(String[]::new);
    }
}
