package kudari.cli;

import java.util.concurrent.CountDownLatch;
import java.util.concurrent.locks.LockSupport;

/**
 * Ctrl-C and kill, asked for politely: while one of these is open the process ends only when it is closed, so that a run can finish its step and
 * save. The exit status is then the signal's: 130 after Ctrl-C, 143 after kill.
 */
final class Interruption implements AutoCloseable {

    /** What a command returns that has been asked to end. */
    static final int STATUS = 130;

    private static final long PATIENCE_NANOS = 10_000_000_000L;

    private final CountDownLatch closed = new CountDownLatch(1);
    private final Thread hook = new Thread(this::hold, "interruption");
    private volatile boolean asked;

    Interruption() {
        Runtime.getRuntime().addShutdownHook(hook);
    }

    /** Whether the process has been asked to end. */
    boolean asked() {
        return asked;
    }

    /** Throws {@link Stopped} if the process has been asked to end. */
    void check() {
        if (asked) throw new Stopped();
    }

    /**
     * Waits for the thread of the signal, which ends the process, with the signal's status. An exit beside it might come first: Java ends at once by the
     * status of whoever asks for it when the hooks have run.
     */
    static void awaitEnd() {
        long start = System.nanoTime();
        while (System.nanoTime() - start < PATIENCE_NANOS) LockSupport.parkNanos(PATIENCE_NANOS);
    }

    /** The process has been asked to end, and the work with it. */
    static final class Stopped extends RuntimeException {
        private static final long serialVersionUID = 1;
    }

    private void hold() {
        asked = true;
        try {
            closed.await();
        } catch (InterruptedException e) {
            // Nothing should interrupt a shutdown hook; if something does, the process ends.
        }
    }

    @Override
    public void close() {
        closed.countDown();
        try {
            Runtime.getRuntime().removeShutdownHook(hook);
        } catch (IllegalStateException e) {
            // The process is on its way out already.
        }
    }
}
