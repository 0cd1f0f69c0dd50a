package kudari;

import static jcuda.driver.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
import static jcuda.driver.JCudaDriver.cuGraphDestroy;
import static jcuda.driver.JCudaDriver.cuGraphExecDestroy;
import static jcuda.driver.JCudaDriver.cuGraphInstantiate;
import static jcuda.driver.JCudaDriver.cuGraphLaunch;
import static jcuda.driver.JCudaDriver.cuStreamBeginCapture;
import static jcuda.driver.JCudaDriver.cuStreamEndCapture;
import static kudari.CudaException.must;

import java.util.ArrayList;
import java.util.List;
import jcuda.driver.CUgraph;
import jcuda.driver.CUgraphExec;
import kudari.CudaException.Call;

/** A CUDA graph, and what the host has to do for each of its launches. */
final class CudaGraph implements Graph {

    /** What goes with a launch on the host. */
    interface Part {

        /** Before the launch; where it throws, nothing is launched. */
        void prepare();

        /** After it. */
        void launched();
    }

    private final CudaEngine engine;
    private final CUgraph graph = new CUgraph();
    private final CUgraphExec executable = new CUgraphExec();
    private final List<Part> parts = new ArrayList<>();
    private final Call launch;
    private boolean closed;

    CudaGraph(CudaEngine engine) {
        this.engine = engine;
        launch = () -> cuGraphLaunch(executable, engine.stream);
    }

    void add(Part part) {
        parts.add(part);
    }

    /** The updates of an optimizer that are recorded so far. */
    CapturedUpdates updates(Optimizer optimizer) {
        for (Part part : parts) if (part instanceof CapturedUpdates updates && updates.isOf(optimizer)) return updates;
        CapturedUpdates updates = new CapturedUpdates(optimizer);
        parts.add(updates);
        return updates;
    }

    /** Begins to record. Only this thread is held to what a capture allows. */
    void begin() {
        must(() -> cuStreamBeginCapture(engine.stream, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL), "cuStreamBeginCapture");
    }

    /** Records no more, and makes of it what can be launched. */
    void end() {
        must(() -> cuStreamEndCapture(engine.stream, graph), "cuStreamEndCapture");
        try {
            must(() -> cuGraphInstantiate(executable, graph, 0), "cuGraphInstantiate");
        } finally {
            CudaException.code(() -> cuGraphDestroy(graph));
        }
    }

    /** Records no more, and forgets what was recorded because the body has failed. */
    void abandon(Throwable failure) {
        int code = CudaException.code(() -> cuStreamEndCapture(engine.stream, graph));
        if (code == 0) CudaException.code(() -> cuGraphDestroy(graph));
        closed = true;
    }

    @Override
    public void launch() {
        engine.checkOpen();
        if (closed) throw new IllegalStateException("the graph is closed");
        engine.enter();
        try {
            engine.checkNotCapturing("the launch of a graph");
            for (int n = 0; n < parts.size(); n++) parts.get(n).prepare();
            must(launch, "cuGraphLaunch");
            for (int n = 0; n < parts.size(); n++) parts.get(n).launched();
        } finally {
            engine.leave();
        }
    }

    @Override
    public void close() {
        if (closed) return;
        engine.release(() -> {
            engine.finish();
            must(this::destroy, "cuGraphExecDestroy");
            closed = true;
            engine.forget(this);
        });
        closed = true;
    }

    /** Destroys it. */
    int destroy() {
        return cuGraphExecDestroy(executable);
    }
}
