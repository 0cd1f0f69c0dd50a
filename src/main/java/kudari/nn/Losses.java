package kudari.nn;

import java.util.function.DoubleConsumer;
import kudari.AsyncRead;
import kudari.Engine;
import kudari.Tensor;

/**
 * The losses of a network's batches, gathered in the engine's memory in two windows that take turns: while one fills, the other is on its way to
 * the host.
 */
final class Losses {

    /** Batches from one read to the next. */
    static final int WINDOW = 128;

    /** Mean loss and number right, for each batch of a window, [WINDOW, 2]. */
    private final Tensor[] windows = new Tensor[2];

    private final AsyncRead[] reads = new AsyncRead[2];
    private DoubleConsumer listener = loss -> {};

    /** Batches so far; how many of them have been told, or came before there was a listener. */
    private long done, told;

    Losses(Engine engine) {
        for (int n = 0; n < 2; n++) {
            windows[n] = engine.zeros(WINDOW, 2);
            reads[n] = windows[n].asyncRead();
        }
    }

    private static int turn(long batch) {
        return (int) (batch / WINDOW % 2);
    }

    /** Where the next batch's outcome goes: the tensor, and the row in it. */
    Tensor window() {
        return windows[turn(done)];
    }

    int place() {
        return (int) (done % WINDOW);
    }

    /** Counts a batch; at the end of a window, asks for it and tells of the one before. */
    void advance() {
        done++;
        if (done % WINDOW != 0) return;
        reads[turn(done - 1)].start(); // first, for a listener may throw
        if (done - told > WINDOW) tell(done - WINDOW);
    }

    /** Tells of the batches up to this one, of one window, which has been asked for. */
    private void tell(long until) {
        long from = told;
        told = until; // first: a listener that throws hears nothing twice, and of this window no more
        float[] outcomes = reads[turn(until - 1)].get();
        for (long batch = from; batch < until; batch++) listener.accept(outcomes[2 * (int) (batch % WINDOW)]);
    }

    void tell(DoubleConsumer listener) {
        tellAll();
        this.listener = listener;
    }

    void tellAll() {
        long whole = done - done % WINDOW;
        if (told < whole) tell(whole);
        if (told == done) return;
        reads[turn(done - 1)].start();
        tell(done);
    }

    float last() {
        return done == 0 ? 0 : windows[turn(done - 1)].get()[2 * (int) ((done - 1) % WINDOW)];
    }
}
