package kudari.cli;

import java.io.File;
import java.io.FileNotFoundException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Path;
import java.util.Collections;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.SortedMap;
import kudari.LearningRate;
import kudari.checkpoint.Checkpoint;
import kudari.nn.Score;
import kudari.report.RunWriter;
import kudari.spark.Backend;
import kudari.spark.ShardedCheckpoints;
import kudari.spark.TrainingJob;
import org.apache.spark.SparkConf;
import org.apache.spark.api.java.JavaSparkContext;

/** {@code train --spark}, in the driver: it has the ranks train, and writes down what rank 0 tells. No rank writes to the user's folder. */
final class SparkTrain implements Train.OnSpark {

    /** The memory of an executor on this machine, in MiB: each holds all samples. */
    private static final int MEMORY = 1024;

    /** So often the newest checkpoint may be replaced while it is read. */
    private static final int ATTEMPTS = 10;

    @Override
    public int train(Train train, Optional<Checkpoint> saved, Train.Places places, TrainingCommand.Sets sets)
            throws IOException {
        long until = train.until(sets.train().size(), saved);
        long start = saved.isPresent() ? train.number(saved.get(), Train.POSITION) : 0;
        String folder = train.shards != null
                ? train.shards
                : places.out().resolve("shards").toUri().toString();
        SortedMap<String, String> facts = train.facts(places, sets, until);
        try (Interruption interruption = new Interruption();
                JavaSparkContext spark = new JavaSparkContext(conf(train, new SparkConf()))) {
            ShardedCheckpoints shards = new ShardedCheckpoints(folder, spark.hadoopConfiguration());
            train.sayWhat(
                    train.ranks() + (train.ranks() == 1 ? " rank" : " ranks") + " of Spark's " + spark.master(),
                    facts,
                    start,
                    until,
                    places);
            try (Curves curves = new Curves(train, places, sets, until, saved, shards)) {
                long first = shards.seed(saved) + 1; // now that the folder is this run's
                int status = train(train, spark, folder, curves, interruption);
                shards.remove(Math.max(first, curves.attempt));
                return status;
            }
        }
    }

    private static int train(
            Train train, JavaSparkContext spark, String folder, Curves curves, Interruption interruption)
            throws IOException {
        RankTraining loop =
                new RankTraining(train.arguments(), curves.until, train.saveEvery == null ? 0 : train.saveEvery);
        try {
            List<double[]> results = TrainingJob.of(train.ranks())
                    .checkpoints(folder)
                    .backend(backend(train))
                    .run(
                            spark.parallelize(Collections.nCopies(train.ranks(), 0), train.ranks()),
                            loop,
                            told -> curves.take((RankTraining.Told) told));
            double[] score = results.get(0);
            return train.done(
                    new Score(score[0], score[1]), curves.until, curves.metrics, curves.sets, curves.checkpoints);
        } catch (Diverged e) {
            return train.diverged(curves.metrics, curves.step, curves.checkpoints);
        } catch (UncheckedIOException e) {
            throw e.getCause();
        } catch (IllegalStateException e) {
            if (!interruption.asked()) throw new IOException("--spark: " + e.getMessage(), e);
            train.say("stopped after step " + curves.step + "; "
                    + (curves.checkpoints.saved() < 0
                            ? "nothing was saved"
                            : "the last checkpoint is of step " + curves.checkpoints.saved() + "; to go on: "
                                    + train.goOn(curves.places, curves.checkpoints) + train.onSparkAgain()));
            return Interruption.STATUS;
        }
    }

    private static Backend backend(Train train) {
        return train.backend == null
                ? Backend.BLOCKS
                : Backend.valueOf(train.backend.toUpperCase(Locale.ROOT).replace('-', '_'));
    }

    /** The settings of Spark: those that were given, and what is missing to use the executors of this machine. */
    static SparkConf conf(Train train, SparkConf conf) {
        String master = train.spark.equals("local-cluster") ? conf.get("spark.master", "local-cluster") : train.spark;
        conf.setIfMissing("spark.app.name", "kudari train");
        conf.setIfMissing("spark.ui.enabled", "false");
        // Otherwise a rank that is lost costs 15 s before Spark looks for room for another. It looks for as long as
        // with its own settings, 10 minutes.
        String check = "spark.scheduler.barrier.maxConcurrentTasksCheck.";
        if (!conf.contains(check + "interval")) {
            conf.set(check + "interval", "1s");
            conf.setIfMissing(check + "maxFailures", "600");
        }
        // A rank that does not end when it is told to would keep its place, and the next attempt wait for it.
        conf.setIfMissing("spark.task.reaper.enabled", "true");
        conf.setIfMissing("spark.task.reaper.killTimeout", "60s");
        conf.setIfMissing("spark.executor.extraJavaOptions", "--enable-native-access=ALL-UNNAMED");
        if (master.equals("local-cluster")) {
            int cores = Math.max(1, Runtime.getRuntime().availableProcessors() / train.ranks());
            master = "local-cluster[" + train.ranks() + "," + cores + "," + MEMORY + "]";
            conf.setIfMissing("spark.task.cpus", String.valueOf(cores));
        }
        if (master.startsWith("local")) {
            conf.setIfMissing("spark.executor.memory", MEMORY + "m");
            conf.setIfMissing("spark.executor.extraClassPath", classPath());
            conf.setIfMissing("spark.driver.host", "127.0.0.1");
            conf.setIfMissing("spark.driver.bindAddress", "127.0.0.1");
            conf.setIfMissing("spark.executorEnv.SPARK_LOCAL_IP", "127.0.0.1");
            conf.setIfMissing("spark.executorEnv.NCCL_SOCKET_IFNAME", "lo");
        }
        return conf.setMaster(master);
    }

    /** This process's, with whole paths, for an executor runs in another folder. */
    private static String classPath() {
        StringBuilder whole = new StringBuilder();
        for (String part : System.getProperty("java.class.path").split(File.pathSeparator))
            whole.append(whole.isEmpty() ? "" : File.pathSeparator)
                    .append(Path.of(part).toAbsolutePath());
        return whole.toString();
    }

    /** The run's losses did not become finite again. */
    private static final class Diverged extends RuntimeException {
        private static final long serialVersionUID = 1;
    }

    /** What rank 0 tells, written down: the table and the curves, the newest checkpoint, the lines for who watches. */
    private static final class Curves implements AutoCloseable {

        private final Train train;
        private final Train.Places places;
        private final TrainingCommand.Sets sets;
        private final long until;
        private final LearningRate rates;
        private final ShardedCheckpoints shards;
        private final Checkpoints checkpoints;
        private final SortedMap<String, String> facts;
        private final Progress progress;
        private RunWriter writer;
        private MetricsLog metrics;
        private long step, attempt;

        Curves(
                Train train,
                Train.Places places,
                TrainingCommand.Sets sets,
                long until,
                Optional<Checkpoint> saved,
                ShardedCheckpoints shards)
                throws IOException {
            this.train = train;
            this.places = places;
            this.sets = sets;
            this.until = until;
            this.shards = shards;
            rates = train.rates(until);
            step = saved.isPresent() ? train.number(saved.get(), Train.POSITION) : 0;
            checkpoints = train.checkpoints(places, step);
            facts = train.facts(places, sets, until);
            writer = train.open(places, step);
            metrics = metrics(saved.map(Checkpoint::skipped).orElse(0L));
            progress = new Progress("train", until, step);
        }

        private MetricsLog metrics(long skipped) {
            return new MetricsLog(writer, rates, train.batch, step, skipped);
        }

        void take(RankTraining.Told told) {
            try {
                if (told.attempt() != attempt && attempt > 0)
                    train.say("a rank was lost after step " + step + ": going on from step " + told.before());
                attempt = told.attempt();
                if (told.before() != step) goBack(told);
                write(told);
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
        }

        /** After a failure: what came behind the checkpoint comes once more. */
        private void goBack(RankTraining.Told told) throws IOException {
            writer.close();
            progress.advance(told.before() - step);
            step = told.before();
            writer = RunWriter.open(places.out(), places.run(), step, false);
            metrics = metrics(told.skippedBefore());
        }

        private void write(RankTraining.Told told) throws IOException {
            long skipped = metrics.skipped();
            for (double loss : told.losses()) metrics.tell(loss);
            metrics.count(told.step(), told.skipped());
            metrics.pace(told.losses().length * train.batch / told.seconds());
            step = told.step();
            boolean judged = !Double.isNaN(told.accuracy());
            metrics.write(judged ? OptionalDouble.of(told.accuracy()) : OptionalDouble.empty());
            progress.advance(told.losses().length);
            progress.say(metrics.toString());
            if (told.saved()) save();
            if (metrics.lost() >= Train.PATIENCE || told.lost() && (metrics.lost() == 0 || step == until))
                throw new Diverged();
            if ((judged || metrics.skipped() > skipped) && !progress.watched())
                train.sayEpoch(sets, step, until, metrics);
        }

        /** The parts of the ranks as one file, which {@code train --resume} goes on from, on ranks or without. */
        private void save() throws IOException {
            Checkpoint parts = newest();
            long position = parts.steps() + parts.skipped(); // the ranks may be ahead of what they have told
            facts.put(Train.POSITION, String.valueOf(position));
            checkpoints.write(new Checkpoint(parts.counts(), parts.rule(), facts, parts.tensors()), position);
        }

        private Checkpoint newest() throws IOException {
            for (int left = ATTEMPTS; ; left--) {
                String newest = shards.newest(attempt)
                        .orElseThrow(() -> new IOException("the checkpoint of step " + step + " is no longer there"));
                try {
                    return shards.read(newest);
                } catch (FileNotFoundException e) { // the ranks have saved twice meanwhile, and it is too old
                    if (left == 1) throw e;
                }
            }
        }

        @Override
        public void close() throws IOException {
            progress.close();
            writer.close();
        }
    }
}
