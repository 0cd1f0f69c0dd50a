package kudari.spark;

import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;
import kudari.Group;
import kudari.Optimizer;
import kudari.ShardedOptimizer;
import kudari.Tensor;
import kudari.rule.Adam;
import org.apache.spark.api.java.JavaSparkContext;

/** Times a step over two ranks, which are executors of this machine, beside one without others: {@code scripts/bench spark}. */
final class SparkBench {

    /** Steps that are not timed, and that are. */
    private static final int WARM_UP = 200, TIMED = 50;

    private static final int TENSORS = 8;

    private SparkBench() {}

    public static void main(String[] args) throws Exception {
        System.out.println("parameters  Adam alone  all-reduce  all-reduce + Adam  sharded Adam   (ms, median of "
                + TIMED + ", 2 ranks of 1 thread)");
        try (JavaSparkContext spark = Contexts.cluster(2, 1500)) {
            times(spark, 100_000); // for nobody: meanwhile Spark's code is compiled, in three processes
            for (int n : new int[] {100_000, 1_000_000, 10_000_000}) {
                double[] ms = times(spark, n);
                System.out.println(String.format(
                        Locale.ROOT, "%10d  %10.2f  %10.2f  %17.2f  %12.2f", n, ms[0], ms[1], ms[2], ms[3]));
            }
        }
    }

    private static double[] times(JavaSparkContext spark, int n) throws Exception {
        return TrainingJob.of(2)
                .attempts(1)
                .run(spark.parallelize(List.of(0, 1), 2), (rank, none) -> times(rank, n))
                .get(0);
    }

    private static double[] times(Rank rank, int n) {
        Map<String, Tensor> params = new TreeMap<>(), grads = new TreeMap<>();
        for (int t = 0; t < TENSORS; t++) {
            params.put("p" + t, rank.engine().zeros(n / TENSORS));
            grads.put("p" + t, rank.engine().zeros(n / TENSORS));
        }
        try (Optimizer adam = rank.engine().optimizer(Adam.of());
                ShardedOptimizer sharded =
                        new ShardedOptimizer(rank.engine(), rank.collective(), Group.rest(Adam.of()))) {
            return new double[] {
                median(rank, () -> adam.update(params, grads)),
                median(rank, () -> rank.sum(grads)),
                median(rank, () -> {
                    rank.sum(grads);
                    adam.update(params, grads);
                }),
                median(rank, () -> sharded.update(params, grads))
            };
        }
    }

    private static double median(Rank rank, Runnable step) {
        double[] ms = new double[TIMED];
        for (int i = -WARM_UP; i < TIMED; i++) {
            long start = System.nanoTime();
            step.run();
            if (i >= 0) ms[i] = (System.nanoTime() - start) / 1e6;
        }
        rank.collective().allGather();
        Arrays.sort(ms);
        return ms[TIMED / 2];
    }
}
