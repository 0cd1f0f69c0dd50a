package kudari;

/** On the CPU nothing is gained by recording: the body is run. */
final class CpuGraph implements Graph {

    private final CpuEngine engine;
    private final Runnable body;
    private boolean closed;

    CpuGraph(CpuEngine engine, Runnable body) {
        this.engine = engine;
        this.body = body;
    }

    @Override
    public void launch() {
        engine.checkOpen();
        if (closed) throw new IllegalStateException("the graph is closed");
        body.run();
    }

    @Override
    public void close() {
        closed = true;
    }
}
