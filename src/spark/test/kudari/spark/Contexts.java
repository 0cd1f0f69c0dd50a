package kudari.spark;

import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.HashSet;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.apache.spark.SparkConf;
import org.apache.spark.SparkEnv;
import org.apache.spark.api.java.JavaSparkContext;
import org.apache.spark.storage.BlockId;

/** Spark for the tests: within this JVM, or with executors of their own JVMs on this machine; nothing listens beyond it. */
final class Contexts {

    private Contexts() {}

    /** Ranks are threads of this JVM. */
    static JavaSparkContext local(int ranks) {
        return new JavaSparkContext(conf("local[" + ranks + "]"));
    }

    /** Ranks are executors, of one processor each. */
    static JavaSparkContext cluster(int executors) {
        return cluster(executors, 600);
    }

    /** The same, with so many MiB each. */
    static JavaSparkContext cluster(int executors, int memory) {
        SparkConf conf = conf("local-cluster[" + executors + ",1," + memory + "]")
                .set("spark.executor.memory", memory + "m")
                .set("spark.executor.extraClassPath", System.getProperty("java.class.path"))
                .set("spark.executor.extraJavaOptions", "--enable-native-access=ALL-UNNAMED")
                .set("spark.executorEnv.SPARK_LOCAL_IP", "127.0.0.1")
                .set("spark.executorEnv.NCCL_SOCKET_IFNAME", "lo")
                // A frozen executor is found out soon.
                .set("spark.network.timeout", "20s")
                .set("spark.network.timeoutInterval", "5s")
                .set("spark.executor.heartbeatInterval", "2s")
                .set("spark.authenticate", "true")
                .set("spark.authenticate.secret", "of the tests")
                .set("spark.network.crypto.enabled", "true");
        return new JavaSparkContext(conf);
    }

    /** Ranks are executors, each with a GPU in software, which Spark is told of by a script that is written to a folder. */
    static JavaSparkContext gpus(int count, Path folder) throws IOException {
        String addresses = IntStream.range(0, count)
                .mapToObj(address -> "\"" + address + "\"")
                .collect(Collectors.joining(", "));
        Path script = Files.writeString(
                folder.resolve("gpus"), "#!/bin/sh\necho '{\"name\": \"gpu\", \"addresses\": [" + addresses + "]}'\n");
        Files.setPosixFilePermissions(script, PosixFilePermissions.fromString("rwx------"));
        // One worker has all of them, and gives each executor another.
        SparkConf conf = conf("local-cluster[1," + count + "," + 700 * count + "]")
                .set("spark.executor.cores", "1")
                .set("spark.executor.memory", "700m")
                .set("spark.worker.resource.gpu.amount", String.valueOf(count))
                .set("spark.worker.resource.gpu.discoveryScript", script.toString())
                .set("spark.executor.resource.gpu.amount", "1")
                .set("spark.task.resource.gpu.amount", "1")
                .set(
                        "spark.executor.extraClassPath",
                        System.getProperty("java.class.path") + ":"
                                + Path.of("target/nvrtc").toAbsolutePath() + "/*")
                .set(
                        "spark.executor.extraJavaOptions",
                        "--enable-native-access=ALL-UNNAMED -Duser.home=" + System.getProperty("user.home"))
                .set("spark.executorEnv.SPARK_LOCAL_IP", "127.0.0.1")
                .set("spark.executorEnv.SOFTCUDA_DEVICES", String.valueOf(count))
                .set(
                        "spark.executorEnv.LD_LIBRARY_PATH",
                        Path.of("target/softcuda").toAbsolutePath().toString());
        return new JavaSparkContext(conf);
    }

    /** What all have, for a test that sets more. */
    static SparkConf conf(String master) {
        return new SparkConf()
                .setMaster(master)
                .setAppName("kudari tests")
                .set("spark.ui.enabled", "false")
                .set("spark.driver.host", "127.0.0.1")
                .set("spark.driver.bindAddress", "127.0.0.1")
                // A busy machine may take minutes to start executors, which is no failed attempt.
                .set("spark.scheduler.barrier.maxConcurrentTasksCheck.interval", "1s")
                .set("spark.scheduler.barrier.maxConcurrentTasksCheck.maxFailures", "300");
    }

    /** What Spark holds in this process of messages between ranks, and to the driver. */
    static Set<BlockId> messages() {
        Set<BlockId> messages = new HashSet<>();
        SparkEnv.get()
                .blockManager()
                .getMatchingBlockIds(id -> id.name().contains("kudari_"))
                .foreach(messages::add);
        return messages;
    }

    /** No more are there than before, or soon no more: other threads remove what has been read. */
    static void checkNoMoreThan(Set<BlockId> before) throws InterruptedException {
        for (int look = 0; look < 100 && !before.containsAll(messages()); look++) Thread.sleep(100);
        assertTrue(before.containsAll(messages()), () -> messages() + ", and before " + before);
    }
}
