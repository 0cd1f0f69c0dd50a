package kudari.nn;

import java.util.ArrayDeque;
import java.util.Deque;
import java.util.function.Consumer;

/** What is made together and closed together, the last first: at its end, or where making the rest of it fails. */
final class Scope implements AutoCloseable {

    private final Deque<Runnable> closes = new ArrayDeque<>();

    /** Something that has been made, and how it is closed, once or more often. */
    <T> T add(T made, Consumer<T> close) {
        closes.push(() -> close.accept(made));
        return made;
    }

    /** Where one refuses, as in a capture of others, this may be called again. */
    @Override
    public void close() {
        while (!closes.isEmpty()) {
            closes.peek().run();
            closes.pop();
        }
    }

    /** Closes all after a failure, which stays the one to report. */
    void abandon(Throwable failure) {
        try {
            close();
        } catch (RuntimeException e) {
            failure.addSuppressed(e);
        }
    }
}
