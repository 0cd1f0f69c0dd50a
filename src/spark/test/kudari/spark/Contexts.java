package kudari.spark;

import org.apache.spark.SparkConf;
import org.apache.spark.api.java.JavaSparkContext;

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

    private static SparkConf conf(String master) {
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
}
