package kudari.cli;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.PrintStream;
import java.time.Duration;
import java.util.Optional;
import me.tongfei.progressbar.ConsoleProgressBarConsumer;
import me.tongfei.progressbar.ProgressBar;
import me.tongfei.progressbar.ProgressBarBuilder;
import me.tongfei.progressbar.ProgressBarStyle;
import me.tongfei.progressbar.ProgressState;

/** How far a command has come: a bar on a terminal, nothing where nobody watches, for a log has no use for it. */
final class Progress implements AutoCloseable {

    /** Set by {@code scripts/kudari}: how many columns the terminal of standard error has, 0 where it is no terminal. */
    private static final int COLUMNS = Integer.getInteger("kudari.columns", 0);

    /** Java is slow at first, and what its first seconds promise is far off. */
    private static final Duration WARM_UP = Duration.ofSeconds(3);

    private final ProgressBar bar;

    // Where the pace is measured from: known once the warm-up is over.
    private Duration from;
    private long fromStep;

    /**
     * Shows a bar.
     *
     * @param steps of the whole task; negative where they are not known
     * @param done how many of them were done before
     */
    Progress(String task, long steps, long done) {
        if (COLUMNS == 0) {
            bar = null;
            return;
        }
        // Not the library's own look at the terminal: it takes Ctrl-C from Java, and a run could not save any more. And
        // UTF-8 whatever the locale says, as everything else that is printed.
        PrintStream err = new PrintStream(new FileOutputStream(FileDescriptor.err), true, UTF_8);
        bar = new ProgressBarBuilder()
                .setTaskName(task)
                .setInitialMax(steps)
                .startsFrom(done, Duration.ZERO)
                .setStyle(ProgressBarStyle.UNICODE_BLOCK)
                .setUpdateIntervalMillis(200)
                .setConsumer(new ConsoleProgressBarConsumer(err, COLUMNS - 1))
                .setEtaFunction(this::left)
                .build();
    }

    /** The time left at the pace since the warm-up; none until there is a pace. */
    private Optional<Duration> left(ProgressState state) {
        Duration elapsed = state.getElapsedAfterStart();
        long step = state.getCurrent();
        if (from == null) {
            if (elapsed.compareTo(WARM_UP) < 0) return Optional.empty();
            from = elapsed;
            fromStep = step;
        }
        Duration since = elapsed.minus(from);
        if (step == fromStep || since.compareTo(WARM_UP) < 0) return Optional.empty();
        double nanos = (double) since.toNanos() / (step - fromStep) * (state.getMax() - step);
        return Optional.of(Duration.ofSeconds((long) (nanos / 1e9)));
    }

    /** Whether there is a bar. */
    boolean watched() {
        return bar != null;
    }

    /** Says what is at work. */
    void say(String task) {
        if (bar != null) bar.setExtraMessage(task);
    }

    /** Counts steps done. */
    void advance(long steps) {
        if (bar != null) bar.stepBy(steps);
    }

    @Override
    public void close() {
        if (bar != null) bar.close();
    }
}
