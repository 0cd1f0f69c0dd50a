package kudari.spark;

import java.io.IOException;
import java.io.ObjectOutputStream;
import java.io.OutputStream;
import java.io.Serializable;
import java.lang.System.Logger.Level;
import java.time.Duration;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import java.util.UUID;
import java.util.concurrent.CancellationException;
import java.util.concurrent.ExecutionException;
import java.util.function.Consumer;
import kudari.Collective;
import kudari.Engine;
import kudari.spark.Blocks.Place;
import org.apache.hadoop.conf.Configuration;
import org.apache.spark.BarrierTaskContext;
import org.apache.spark.SparkJobInfo;
import org.apache.spark.SparkStageInfo;
import org.apache.spark.TaskKilledException;
import org.apache.spark.api.java.JavaFutureAction;
import org.apache.spark.api.java.JavaRDD;
import org.apache.spark.api.java.JavaSparkContext;
import org.apache.spark.resource.ResourceInformation;
import org.apache.spark.util.SerializableConfiguration;
import scala.collection.AbstractIterator;
import scala.collection.Iterator;
import scala.reflect.ClassTag;
import scala.reflect.ClassTag$;
import scala.runtime.AbstractFunction1;

/**
 * A training on Apache Spark: one barrier stage, in which every task is a rank with an engine of its own. Where a rank is lost, with its executor or
 * otherwise, all begin again from the newest checkpoint.
 *
 * <pre>{@code
 * List<Float> losses = TrainingJob.of(2).checkpoints("hdfs:///models/digits").run(samples, (rank, mine) -> {
 *     Network net = new Network(rank.engine(), Init.HE, 1, 784, 100, 10);          // the same weights on every rank
 *     Optimizer adam = rank.engine().optimizer(Adam.of()).guard(Guard.NONE.scale(1.0 / rank.size()));
 *     ...                                                                          // samples of mine to the engine
 *     rank.restore(adam, net.params());
 *     while (adam.steps() < 1000) {
 *         net.gradient(...);
 *         rank.sum(net.grads());
 *         adam.update(net.params(), net.grads());
 *         if (adam.steps() % 100 == 0) rank.save(adam, net.params(), Map.of());
 *     }
 *     return net.loss();
 * });
 * }</pre>
 *
 * <p>Spark needs room for all ranks at once, without dynamic allocation. After a rank is lost, Spark looks for that room only every {@code
 * spark.scheduler.barrier.maxConcurrentTasksCheck.interval}, 15 s unless it is set; 1s is better, with {@code maxFailures} beside it at 600, for
 * it looks 40 times otherwise.
 *
 * @param ranks how many
 * @param checkpoints the folder of the checkpoints, on a file system of Hadoop's that all ranks reach; none where a lost rank means to begin anew. A job
 *     that finds checkpoints there goes on from them
 * @param attempts how often in a row the job may fail without a new checkpoint in between before it is given up
 * @param timeout how long a rank waits for another, which may be saving, judging or reading its samples
 * @param backend how ranks send each other tensors
 */
public record TrainingJob(int ranks, Optional<String> checkpoints, int attempts, Duration timeout, Backend backend) {

    /** Between two looks whether rank 0 has told something, or all have ended. */
    private static final long LOOK_MILLIS = 20;

    /** So long the job waits for room without a word. */
    private static final long QUIET_SECONDS = 15;

    private static final System.Logger LOG = System.getLogger(TrainingJob.class.getName());

    /** Checks that the numbers are in range. */
    public TrainingJob {
        Objects.requireNonNull(checkpoints, "checkpoints");
        Objects.requireNonNull(backend, "backend");
        if (ranks < 1) throw new IllegalArgumentException("ranks: expected at least 1, got " + ranks);
        if (attempts < 1) throw new IllegalArgumentException("attempts: expected at least 1, got " + attempts);
        if (timeout.isNegative() || timeout.isZero())
            throw new IllegalArgumentException("timeout: expected a positive one, got " + timeout);
    }

    /** A job without checkpoints, given up after 4 failures; a rank waits 2 minutes for another, and sends by {@link Backend#BLOCKS}. */
    public static TrainingJob of(int ranks) {
        return new TrainingJob(ranks, Optional.empty(), 4, Duration.ofMinutes(2), Backend.BLOCKS);
    }

    /** This job, with a folder for checkpoints. */
    public TrainingJob checkpoints(String folder) {
        return new TrainingJob(ranks, Optional.of(folder), attempts, timeout, backend);
    }

    /** This job, given up after so many failures in a row without a new checkpoint. */
    public TrainingJob attempts(int attempts) {
        return new TrainingJob(ranks, checkpoints, attempts, timeout, backend);
    }

    /** This job, whose ranks wait so long for each other. */
    public TrainingJob timeout(Duration timeout) {
        return new TrainingJob(ranks, checkpoints, attempts, timeout, backend);
    }

    /** This job, whose ranks send each other tensors in this way; {@link Backend#BLOCKS} if nothing is said. */
    public TrainingJob backend(Backend backend) {
        return new TrainingJob(ranks, checkpoints, attempts, timeout, backend);
    }

    /** As {@link #run(JavaRDD, TrainingLoop, Consumer)}, with nobody to listen. */
    public <T, R> List<R> run(JavaRDD<T> samples, TrainingLoop<T, R> loop) throws IOException {
        return run(samples, loop, report -> {});
    }

    /**
     * Runs it to its end.
     *
     * @param samples of as many partitions as there are ranks; a partition must be the same in every attempt, if the bits are to be
     * @param loop what every rank runs
     * @param listener gets what rank 0 tells ({@link Rank#tell}), in order, in the thread that calls this. After a failure that is told once more which
     *     happened behind the newest checkpoint. What the listener throws ends the job, and goes to the caller
     * @return what each rank came to, in the order of the ranks
     * @throws IllegalArgumentException if there are more or fewer partitions, or more ranks than a local Spark has threads for, or the loop cannot be
     *     serialized
     * @throws IllegalStateException if it has failed too often, Spark has stopped, or does not run such a job at all; the cause is the last failure
     * @throws IOException if the folder of the checkpoints cannot be read or written, or another job has begun there
     */
    public <T, R> List<R> run(JavaRDD<T> samples, TrainingLoop<T, R> loop, Consumer<Object> listener)
            throws IOException {
        if (samples.getNumPartitions() != ranks)
            throw new IllegalArgumentException(
                    "samples: expected " + ranks + " partitions, one for each rank, got " + samples.getNumPartitions());
        JavaSparkContext context = JavaSparkContext.fromSparkContext(samples.context());
        checkRoom(context);
        checkTravels(loop);
        Configuration configuration = context.hadoopConfiguration();
        Optional<ShardedCheckpoints> folder = Optional.empty();
        if (checkpoints.isPresent()) folder = Optional.of(new ShardedCheckpoints(checkpoints.get(), configuration));
        String job = UUID.randomUUID().toString();
        Optional<String> from =
                folder.isEmpty() ? Optional.empty() : folder.get().newest();
        for (long failures = 0, attempt = 1, first = 0; ; attempt++) {
            if (context.sc().isStopped()) throw stopped(null);
            if (folder.isPresent()) attempt = folder.get().begin(from);
            if (first == 0) first = attempt;
            Task<T, R> task = new Task<>(loop, this, job, attempt, from, configuration);
            ClassTag<R> any = ClassTag$.MODULE$.apply(Object.class);
            Reports reports = new Reports(job, attempt);
            JavaFutureAction<List<R>> results =
                    new JavaRDD<>(samples.rdd().barrier().mapPartitions(task, false, any), any).collectAsync();
            try {
                await(context, results, () -> reports.hear(listener), attempt > first);
            } catch (RuntimeException | InterruptedException e) {
                results.cancel(true);
                if (e instanceof RuntimeException thrown) throw thrown;
                Thread.currentThread().interrupt();
                throw new IllegalStateException("the job was interrupted", e);
            }
            try {
                return results.get();
            } catch (ExecutionException | InterruptedException | CancellationException e) {
                Throwable failure = e instanceof ExecutionException ? e.getCause() : e;
                if (context.sc().isStopped()) throw stopped(failure);
                if (isRefusal(failure))
                    throw new IllegalStateException(
                            "Spark does not run the job: "
                                    + failure.getMessage().replace('\n', ' '),
                            failure);
                Optional<String> now =
                        folder.isEmpty() ? Optional.empty() : folder.get().newest(attempt);
                failures = now.equals(from) ? failures + 1 : 1;
                from = now;
                if (failures >= attempts)
                    throw new IllegalStateException(
                            "the job has failed " + (failures == 1 ? "once" : failures + " times")
                                    + " without a new checkpoint in between; the last time: " + reason(failure),
                            failure);
                LOG.log(
                        Level.WARNING,
                        "attempt " + attempt + " has failed, going on from "
                                + from.map(step -> "checkpoint " + step).orElse("the beginning") + ": "
                                + reason(failure));
            }
        }
    }

    /** Waits for an attempt, and says once if it waits for room. */
    private void await(JavaSparkContext context, JavaFutureAction<?> results, Runnable hear, boolean again)
            throws InterruptedException {
        long begun = System.nanoTime();
        for (boolean isQuiet = true; !results.isDone(); Thread.sleep(LOOK_MILLIS)) {
            hear.run();
            // A job that waits for room is none that a Spark which stops would end.
            if (context.sc().isStopped()) throw stopped(null);
            if (!isQuiet || System.nanoTime() - begun < QUIET_SECONDS * 1_000_000_000) continue;
            isQuiet = false;
            if (hasTasks(context, results)) continue;
            int executors = context.sc().statusTracker().getExecutorInfos().length - 1; // the driver is among them
            LOG.log(
                    Level.WARNING,
                    "waiting until Spark has room for all " + ranks + " ranks at once; it has " + executors
                            + " executors"
                            + (again
                                    ? ", and a rank that does not end when it is told to keeps its place, unless"
                                            + " spark.task.reaper.enabled is true"
                                    : ""));
        }
        hear.run();
    }

    /** Before Spark does, which on a driver without the JVM options of its own scripts fails where it would say what cannot travel. */
    private static void checkTravels(TrainingLoop<?, ?> loop) {
        try (ObjectOutputStream out = new ObjectOutputStream(OutputStream.nullOutputStream())) {
            out.writeObject(loop);
        } catch (IOException e) {
            throw new IllegalArgumentException(
                    "loop: expected one that Java can serialize, for it travels to the ranks, got one that refers to a "
                            + e.getMessage() + "; make that where it is used, on the rank",
                    e);
        }
    }

    /** Spark within this process has as many threads as it was given, and would wait for more until it gives up. */
    private void checkRoom(JavaSparkContext context) {
        if (!context.isLocal() || context.getConf().contains("spark.default.parallelism")) return;
        int room = context.defaultParallelism() / context.getConf().getInt("spark.task.cpus", 1);
        if (ranks > room)
            throw new IllegalArgumentException("ranks: expected at most " + room + ", as many tasks as Spark's "
                    + context.master() + " runs at once, got " + ranks + "; local[" + ranks + "] has the threads");
    }

    private static boolean hasTasks(JavaSparkContext context, JavaFutureAction<?> job) {
        for (int id : job.jobIds()) {
            SparkJobInfo info = context.statusTracker().getJobInfo(id);
            if (info == null) continue;
            for (int stage : info.stageIds()) {
                SparkStageInfo tasks = context.statusTracker().getStageInfo(stage);
                if (tasks != null && tasks.numActiveTasks() > 0) return true;
            }
        }
        return false;
    }

    private static IllegalStateException stopped(Throwable cause) {
        return new IllegalStateException(
                "Spark has stopped, and the job with it; what it logged before says why, if nobody told it to", cause);
    }

    /** Whether Spark would not run such a job another time either: there is no room, or room that comes and goes. */
    private static boolean isRefusal(Throwable e) {
        return e.getClass().getName().startsWith("org.apache.spark.scheduler.BarrierJob"); // which it keeps to itself
    }

    /** Spark's message begins with a line that says the same of every failure, and goes on with that of the rank's own. */
    private static String reason(Throwable e) {
        List<String> lines = String.valueOf(e.getMessage()).lines().limit(2).toList();
        if (lines.isEmpty()) return e.toString();
        return lines.get(lines.size() - 1).replaceFirst("^java\\.lang\\.IllegalStateException: (?=rank )", "");
    }

    /** What a task of the stage does. */
    private static final class Task<T, R> extends AbstractFunction1<Iterator<T>, Iterator<R>> implements Serializable {

        private static final long serialVersionUID = 1;

        private final TrainingLoop<T, R> loop;
        private final int size;
        private final String job, folder, from, driver;
        private final long attempt, timeoutNanos;
        private final Backend backend;
        private final SerializableConfiguration configuration;

        Task(
                TrainingLoop<T, R> loop,
                TrainingJob of,
                String job,
                long attempt,
                Optional<String> from,
                Configuration configuration) {
            this.loop = loop;
            this.job = job;
            this.attempt = attempt;
            this.configuration = new SerializableConfiguration(configuration);
            driver = Reports.here().toString();
            size = of.ranks;
            folder = of.checkpoints.orElse(null);
            timeoutNanos = of.timeout.toNanos();
            backend = of.backend;
            this.from = from.orElse(null);
        }

        @Override
        public Iterator<R> apply(Iterator<T> samples) {
            BarrierTaskContext context = BarrierTaskContext.get();
            try (Engine engine = open(context);
                    Collective collective = join(context, engine)) {
                Optional<ShardedCheckpoints> checkpoints = folder == null
                        ? Optional.empty()
                        : Optional.of(new ShardedCheckpoints(folder, configuration.value()));
                Reports reports = new Reports(job, attempt);
                Place told = Place.of(driver);
                Rank rank = new Rank(
                        engine,
                        collective,
                        checkpoints,
                        Optional.ofNullable(from),
                        attempt,
                        report -> reports.tell(told, report));
                R result = loop.run(rank, new Samples<>(samples));
                collective.allGather(); // no executor is let go while another waits for its last message
                return new Single<>(result);
            } catch (TaskKilledException | VirtualMachineError | LinkageError e) {
                throw e; // Spark looks for the first, and may have to end the process after the others
            } catch (Throwable e) {
                String rank = "rank " + context.partitionId(), what = what(e);
                throw new IllegalStateException(
                        what.startsWith(rank + ": ") ? what : rank + " of " + size + ": " + what, e);
            }
        }

        /** What our own exceptions and those of most say in a sentence; of others, such as a missing file's, it is only with their name. */
        private static String what(Throwable e) {
            boolean sentence = e.getMessage() != null
                    && List.of(
                                    IOException.class,
                                    IllegalArgumentException.class,
                                    IllegalStateException.class,
                                    UnsupportedOperationException.class)
                            .contains(e.getClass());
            return sentence ? e.getMessage() : e.toString();
        }

        private Collective join(BarrierTaskContext context, Engine engine) {
            Duration timeout = Duration.ofNanos(timeoutNanos);
            Collective blocks = BlockCollective.join(context, job, attempt, timeout);
            if (backend == Backend.BLOCKS) return blocks;
            try {
                checkJna();
                return NcclCollective.join(engine, blocks, timeout, context::isInterrupted);
            } catch (Nccl.Unavailable e) {
                if (backend == Backend.NCCL_OR_BLOCKS) { // on all ranks, for it is thrown on all
                    if (blocks.rank() == 0)
                        LOG.log(Level.WARNING, "the ranks send by Spark's blocks, not by NCCL: " + e.getMessage());
                    return blocks;
                }
                blocks.close();
                throw e;
            } catch (RuntimeException | LinkageError e) {
                blocks.close();
                throw e;
            }
        }

        /** Before a class that needs it is loaded. The class path is the same on all ranks. */
        private static void checkJna() {
            try {
                Class.forName("com.sun.jna.Native", false, TrainingJob.class.getClassLoader());
            } catch (ClassNotFoundException e) {
                throw new Nccl.Unavailable(
                        "NCCL is called by JNA, which is not on the class path; add net.java.dev.jna:jna, or take Backend.BLOCKS");
            }
        }

        /** Never the CPU where Spark gave a GPU: if that cannot be used, the job fails and says why. */
        private static Engine open(BarrierTaskContext context) {
            ResourceInformation gpu = context.resourcesJMap().get("gpu");
            if (gpu != null && gpu.addresses().length > 0) return Engine.cuda(Integer.parseInt(gpu.addresses()[0]));
            return Engine.cpu(Math.max(1, context.cpus()));
        }
    }

    /** Scala's as Java's. */
    private record Samples<T>(Iterator<T> iterator) implements java.util.Iterator<T> {
        @Override
        public boolean hasNext() {
            return iterator.hasNext();
        }

        @Override
        public T next() {
            return iterator.next();
        }
    }

    /** Of one result. */
    private static final class Single<R> extends AbstractIterator<R> {

        private final R result;
        private boolean taken;

        Single(R result) {
            this.result = result;
        }

        @Override
        public boolean hasNext() {
            return !taken;
        }

        @Override
        public R next() {
            taken = true;
            return result;
        }
    }
}
