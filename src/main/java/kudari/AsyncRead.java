package kudari;

/**
 * A way to read a tensor without holding up the engine: ask for a copy, go on, and fetch it when it has long arrived. Made by {@link
 * Tensor#asyncRead}, once; asking and fetching allocate nothing.
 *
 * <pre>{@code
 * AsyncRead losses = lossesOfAHundredSteps.asyncRead();
 * losses.start();              // the copy is in the order of the engine's work: what comes after does not show in it
 * ...                        // another hundred steps
 * float[] read = losses.get();
 * }</pre>
 */
public abstract sealed class AsyncRead implements AutoCloseable permits CpuAsyncRead, CudaAsyncRead {

    /** The most bytes: on a device they arrive in one page of the host's, which a Java buffer must address. */
    private static final long LARGEST = Integer.MAX_VALUE;

    private final Engine engine;
    private final Tensor tensor;
    private final float[] values;
    private boolean started, closed;

    AsyncRead(Tensor tensor) {
        long most = LARGEST / tensor.dtype().bytes(1);
        if (tensor.size() > most)
            throw new IllegalStateException(
                    tensor + ": too large for an asynchronous read of at most " + most + " elements");
        this.engine = tensor.engine;
        this.tensor = tensor;
        this.values = new float[(int) tensor.size()];
    }

    /**
     * Asks for the elements as they will be when everything asked of the engine so far has been done, and returns at once. What was asked for
     * before and not fetched is forgotten.
     *
     * @throws IllegalStateException if this, the tensor or the engine is closed, or this is not the thread that opened it
     */
    public final void start() {
        checkOpen();
        tensor.checkOpen();
        engine.enter();
        try {
            copy(values);
        } finally {
            engine.leave();
        }
        started = true;
    }

    /**
     * The elements last asked for; waits for them, and for nothing that was asked of the engine after them.
     *
     * @return an array that the next call writes anew
     * @throws IllegalStateException if nothing has been asked for, this or the engine is closed, or this is not the thread that opened it
     */
    public final float[] get() {
        checkOpen();
        if (!started) throw new IllegalStateException("nothing to get: start() comes first");
        engine.enter();
        try {
            arrive(values);
        } finally {
            engine.leave();
        }
        return values;
    }

    /** Gives its memory back; the tensor stays. Closing twice does nothing. */
    @Override
    public final void close() {
        if (closed) return;
        engine.release(this::free);
        closed = true;
    }

    private void checkOpen() {
        engine.checkOpen();
        if (closed) throw new IllegalStateException("the asynchronous read of " + tensor + " is closed");
    }

    abstract void free();

    abstract void copy(float[] into);

    abstract void arrive(float[] into);
}
