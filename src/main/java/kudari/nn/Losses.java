package kudari.nn;

import java.util.function.DoubleConsumer;
import kudari.AsyncRead;
import kudari.Engine;
import kudari.Tensor;

/**
 * The losses of a network's batches, gathered in the engine's memory in two windows that take turns: while one fills, the other is on its way to
 * the host.
 */
final class Losses implements AutoCloseable {

    /** Batches from one read to the next. */
    static final int WINDOW = 128;

    private static final int PLACES = 2 * WINDOW;

    /** Mean loss and number right, for each batch of two windows, [PLACES, 2]; and the number of the next one's row, which the engine counts. */
    final Tensor outcomes, place;

    /** Of both windows each, when the one or the other is full. */
    private final AsyncRead[] reads = new AsyncRead[2];

    private final Scope scope = new Scope();
    private DoubleConsumer listener = loss -> {};

    /** Batches so far; how many of them have been told, or came before there was a listener. */
    private long done, told;

    Losses(Engine engine) {
        try {
            outcomes = scope.add(engine.zeros(PLACES, 2), Tensor::close);
            place = scope.add(engine.zeros(1), Tensor::close);
            for (int n = 0; n < 2; n++) reads[n] = scope.add(outcomes.asyncRead(), AsyncRead::close);
        } catch (RuntimeException | Error e) {
            scope.abandon(e);
            throw e;
        }
    }

    private AsyncRead read(long batch) {
        return reads[(int) (batch / WINDOW % 2)];
    }

    private static float loss(float[] outcomes, long batch) {
        return outcomes[2 * (int) (batch % PLACES)];
    }

    /** Counts a batch; at the end of a window, asks for it and tells of the one before. */
    void advance() {
        done++;
        if (done % WINDOW != 0) return;
        read(done - 1).start(); // first, for a listener may throw
        if (done - told > WINDOW) tell(done - WINDOW);
    }

    /** Tells of the batches up to this one, of one window, which has been asked for. */
    private void tell(long until) {
        long from = told;
        told = until; // first: a listener that throws hears nothing twice, and of this window no more
        float[] outcomes = read(until - 1).get();
        for (long batch = from; batch < until; batch++) listener.accept(loss(outcomes, batch));
    }

    void tell(DoubleConsumer listener) {
        tellAll();
        this.listener = listener;
    }

    void tellAll() {
        long whole = done - done % WINDOW;
        if (told < whole) tell(whole);
        if (told == done) return;
        read(done - 1).start();
        tell(done);
    }

    float last() {
        return done == 0 ? 0 : loss(outcomes.get(), done - 1);
    }

    @Override
    public void close() {
        scope.close();
    }
}
