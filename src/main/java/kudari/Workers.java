package kudari;

import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import java.util.concurrent.locks.LockSupport;

/**
 * Threads that help the caller with one job at a time. Nobody waits for a helper that has not begun, so one that is slow to wake costs nothing. No call allocates.
 */
final class Workers implements AutoCloseable {

    /** How often a helper looks for the next job before it sleeps: some 40 µs, about what waking it would take. */
    private static final int LOOKS = 2_000;

    /** What {@link #inside} counts from while no helper may begin. */
    private static final int SHUT = Integer.MIN_VALUE;

    /** Something that every thread may run at once and that shares itself out. */
    interface Job {
        /** Does a share of the job; {@code thread} is 0 for the caller's, up to but not including {@link #count}. */
        void run(int thread);
    }

    private final Thread[] helpers;
    private final AtomicInteger inside = new AtomicInteger(SHUT);
    private final AtomicReference<Throwable> failure = new AtomicReference<>();
    private static final Job NOTHING = thread -> {};
    private volatile Job job = NOTHING;
    private volatile int turn;
    private volatile boolean closed;

    Workers(int count) {
        helpers = new Thread[count - 1];
        for (int n = 0; n < helpers.length; n++) {
            int thread = n + 1;
            helpers[n] = new Thread(() -> help(thread), "kudari-cpu-" + thread);
            helpers[n].setDaemon(true);
            helpers[n].start();
        }
    }

    /** The number of threads, the caller's among them. */
    int count() {
        return helpers.length + 1;
    }

    /** Runs the job on the caller's thread and on every helper that comes in time; returns when all of them have left it. */
    void run(Job job) {
        this.job = job;
        failure.set(null);
        inside.set(0);
        turn++; // only ever written here, by the engine's one thread
        for (Thread helper : helpers) LockSupport.unpark(helper);
        try {
            job.run(0);
        } finally {
            inside.getAndAdd(SHUT);
            // A helper that the system has taken off its core comes back sooner where somebody makes room.
            for (int look = 0; inside.get() != SHUT; look++) {
                if (look < LOOKS) Thread.onSpinWait();
                else Thread.yield();
            }
        }
        this.job = NOTHING; // or the helpers would hold on to it, and to its engine's tensors, for ever
        Throwable thrown = failure.get();
        if (thrown != null) throw new IllegalStateException("a worker thread failed: " + thrown.getMessage(), thrown);
    }

    private void help(int thread) {
        int seen = 0;
        while (!closed) {
            for (int look = 0; turn == seen && look < LOOKS; look++) Thread.onSpinWait();
            if (turn == seen) {
                LockSupport.park(this);
                continue;
            }
            seen = turn;
            if (!enter()) continue;
            try {
                job.run(thread);
            } catch (Throwable t) {
                failure.set(t);
            } finally {
                inside.getAndDecrement();
            }
        }
    }

    private boolean enter() {
        for (int n = inside.get(); n >= 0; n = inside.get()) {
            if (inside.compareAndSet(n, n + 1)) return true;
        }
        return false;
    }

    @Override
    public void close() {
        closed = true;
        for (Thread helper : helpers) LockSupport.unpark(helper);
    }
}
