package kudari.spark;

import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.Random;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicLong;
import java.util.stream.Stream;
import org.apache.spark.api.java.JavaSparkContext;

/**
 * Trains over three executors of this machine, kills one of them at a random moment, again and again, and compares the bits with those of a training that
 * nobody disturbed, of one process that adds up the gradients in the order of the ranks: {@code scripts/spark --kills}.
 */
final class SparkKills {

    private static final int RANKS = 3, SAVE_EVERY = 100;

    /** Steps between two reports of how far the training has come, and the longest time between a report and the kill that it sets off. */
    private static final int TELL_EVERY = 10, MILLIS = 500;

    private SparkKills() {}

    public static void main(String[] args) throws Exception {
        int steps = 10_000, kills = 10;
        long seed = new Random().nextInt(Integer.MAX_VALUE);
        for (int n = 0; n < args.length; n += 2) {
            String value = n + 1 < args.length ? args[n + 1] : "nothing";
            try {
                switch (args[n]) {
                    case "--steps" -> steps = Integer.parseInt(value);
                    case "--kills" -> kills = Integer.parseInt(value);
                    case "--seed" -> seed = Long.parseLong(value);
                    default -> fail("expected --steps, --kills or --seed, got " + args[n]);
                }
            } catch (NumberFormatException e) {
                fail(args[n] + ": expected an integer, got " + value);
            }
        }
        if (kills < 1 || steps < 20L * kills)
            fail("expected at least one kill, and 20 steps for each, got " + kills + " kills in " + steps + " steps");
        say("seed %d: %d steps over %d executors, %d kills", seed, steps, RANKS, kills);
        try (JavaSparkContext spark = Contexts.cluster(RANKS)) {
            Progress progress = new Progress();
            Killer killer = new Killer(new Random(seed), steps, kills, progress);
            killer.start();
            List<DigitsLoop.Result> disturbed = train(spark, steps, kills, progress);
            killer.ended.set(true);
            killer.join();
            if (killer.killed != kills)
                fail("expected " + kills + " kills before the training ended, got " + killer.killed
                        + ": more steps give them time");
            float[] expected = Digit.trainedByOne(RANKS, steps);
            for (int rank = 0; rank < RANKS; rank++)
                compare(rank, disturbed.get(rank).weights(), expected);
            say(
                    "after %d kills, in attempt %d, all %d weights have the bits of the training that nobody disturbed",
                    kills, disturbed.get(0).attempt(), expected.length);
        }
    }

    private static List<DigitsLoop.Result> train(JavaSparkContext spark, int steps, int kills, Progress progress)
            throws Exception {
        Path folder = Files.createTempDirectory("kudari-kills");
        long start = System.nanoTime();
        try {
            return TrainingJob.of(RANKS)
                    .checkpoints(folder.toUri().toString())
                    .attempts(kills + 1) // however close together they come
                    .timeout(Duration.ofSeconds(60))
                    .run(
                            spark.parallelize(Digit.of(RANKS), RANKS),
                            new DigitsLoop(steps, SAVE_EVERY, (rank, step) -> {
                                if (step % TELL_EVERY == 0) rank.tell(step);
                            }),
                            step -> progress.step.set((Long) step));
        } finally {
            say(
                    "%d steps took %d s",
                    steps, Duration.ofNanos(System.nanoTime() - start).toSeconds());
            try (Stream<Path> files = Files.walk(folder)) {
                for (Path file : files.sorted(Comparator.reverseOrder()).toList()) Files.delete(file);
            }
        }
    }

    private static void compare(int rank, float[] weights, float[] expected) {
        int different = 0;
        for (int i = 0; i < expected.length; i++) {
            if (Float.floatToRawIntBits(weights[i]) != Float.floatToRawIntBits(expected[i])) different++;
        }
        if (different > 0 || weights.length != expected.length)
            fail(different + " of " + expected.length + " weights differ on rank " + rank
                    + " from those of the training that nobody disturbed");
    }

    /** How far the training has come, as the driver has heard. */
    private static final class Progress {
        final AtomicLong step = new AtomicLong(-1);
    }

    /** Waits for steps drawn by chance, then for some milliseconds, and kills an executor: in a step, a checkpoint or a start, as it comes. */
    private static final class Killer extends Thread {

        final AtomicBoolean ended = new AtomicBoolean();
        volatile int killed;

        private final Random random;
        private final int[] moments;
        private final Progress progress;

        Killer(Random random, int steps, int kills, Progress progress) {
            this.random = random;
            this.progress = progress;
            // None so late that the training may be over before it.
            moments = random.ints(kills, 0, steps - steps / 20).sorted().toArray();
            setDaemon(true);
        }

        @Override
        public void run() {
            try {
                for (int moment : moments) {
                    int millis = random.nextInt(MILLIS), which = random.nextInt(RANKS);
                    while (progress.step.get() < moment && !ended.get()) sleep(1);
                    sleep(millis);
                    kill(which);
                }
            } catch (InterruptedException e) {
                throw new IllegalStateException(e);
            }
        }

        private void kill(int which) throws InterruptedException {
            while (!ended.get()) {
                List<ProcessHandle> executors = executors();
                // Where fewer are alive than there are ranks, Spark has not yet started those that take the place of
                // the dead.
                if (executors.size() == RANKS) {
                    ProcessHandle executor = executors.get(which);
                    long step = progress.step.get();
                    if (executor.destroyForcibly())
                        say("kill %d: process %d, after step %d", ++killed, executor.pid(), step);
                    executor.onExit().join();
                    return;
                }
                sleep(10);
            }
        }

        /** Executors of a cluster on this machine are this process's only children that are Java. */
        private static List<ProcessHandle> executors() {
            try (Stream<ProcessHandle> children = ProcessHandle.current().children()) {
                return children.filter(ProcessHandle::isAlive)
                        .filter(child -> child.info().command().orElse("").endsWith("/java"))
                        .sorted()
                        .toList();
            }
        }
    }

    private static void say(String format, Object... values) {
        System.out.println(String.format(Locale.ROOT, format, values));
    }

    private static void fail(String sentence) {
        System.err.println("kudari: " + sentence);
        Runtime.getRuntime().halt(1); // with its executors, which end with it
    }
}
