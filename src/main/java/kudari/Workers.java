package kudari;

import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import java.util.concurrent.locks.LockSupport;

/**
 * Threads that help the caller with one job at a time. A job is something that every thread may run at once and that shares itself out.
 * Nobody waits for a helper that has not begun, so one that is slow to wake costs nothing. No call allocates.
 */
final class Workers implements AutoCloseable {

    /** How often a helper looks for the next job before it sleeps: some 20 µs, about what waking it would take. */
    private static final int LOOKS = 500;

    /** What {@link #inside} counts from while no helper may begin. */
    private static final int SHUT = Integer.MIN_VALUE;

    private final Thread[] helpers;
    private final AtomicInteger inside = new AtomicInteger(SHUT);
    private final AtomicReference<Throwable> failure = new AtomicReference<>();
    private volatile Runnable job = () -> {};
    private volatile int turn;
    private volatile boolean closed;

    Workers(int count) {
        helpers = new Thread[count - 1];
        for (int n = 0; n < helpers.length; n++) {
            helpers[n] = new Thread(this::help, "kudari-cpu-" + (n + 1));
            helpers[n].setDaemon(true);
            helpers[n].start();
        }
    }

    /** The number of threads, the caller's among them. */
    int count() {
        return helpers.length + 1;
    }

    /** Runs the job on the caller's thread and on every helper that comes in time; returns when all of them have left it. */
    void run(Runnable job) {
        this.job = job;
        failure.set(null);
        inside.set(0);
        turn++; // only ever written here, by the engine's one thread
        for (Thread helper : helpers) LockSupport.unpark(helper);
        try {
            job.run();
        } finally {
            inside.getAndAdd(SHUT);
            while (inside.get() != SHUT) Thread.onSpinWait();
        }
        Throwable thrown = failure.get();
        if (thrown != null) throw new IllegalStateException("a worker thread failed", thrown);
    }

    private void help() {
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
                job.run();
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
