package kudari.cli;

import me.tongfei.progressbar.ProgressBar;
import me.tongfei.progressbar.ProgressBarBuilder;
import me.tongfei.progressbar.ProgressBarStyle;

/** How far a command has come: a bar on a terminal, nothing where nobody watches, for a log has no use for it. */
final class Progress implements AutoCloseable {

    /** Set by {@code scripts/kudari}: whether standard error is a terminal. */
    private static final boolean WATCHED = Boolean.getBoolean("kudari.watched");

    private final ProgressBar bar;

    Progress(String task, long steps) {
        bar = WATCHED
                ? new ProgressBarBuilder()
                        .setTaskName(task)
                        .setInitialMax(steps)
                        .setStyle(ProgressBarStyle.UNICODE_BLOCK)
                        .setUpdateIntervalMillis(200)
                        .build()
                : null;
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
