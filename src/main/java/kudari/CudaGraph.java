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
import java.util.HashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import jcuda.driver.CUdeviceptr;
import jcuda.driver.CUgraph;
import jcuda.driver.CUgraphExec;
import kudari.CudaException.Call;

/** A CUDA graph, and what the host has to do for each of its launches. */
final class CudaGraph implements Graph {

    /**
     * What goes with a launch on the host, each of it for all parts before the next for any: code of others, which may step an optimizer of the graph or
     * close it, comes before what the launch counts on and after what counts the launch.
     */
    interface Part {

        /** Tells others; where they throw, nothing is launched. */
        default void before() {}

        /** Sees to what the launch needs; where it throws, nothing is launched. */
        default void prepare() {}

        /** Counts the launch; does not throw. */
        default void launched() {}

        /** Tells others; where they throw, the launch has been done. */
        default void after() {}
    }

    private final CudaEngine engine;
    private final CUgraph graph = new CUgraph();
    private final CUgraphExec executable = new CUgraphExec();
    private final List<Part> parts = new ArrayList<>();

    /** What it reads of the memory that the library lays out anew. */
    private final Set<CUdeviceptr> tables = new HashSet<>();

    private final Call launch;
    private boolean closed;

    /** What failed first as it was recorded. */
    private Optional<RuntimeException> failure = Optional.empty();

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

    /** Notes that what is recorded reads this memory. */
    void reads(CUdeviceptr table) {
        tables.add(table);
    }

    boolean isReading(CUdeviceptr table) {
        return tables.contains(table);
    }

    /** Begins to record. Only this thread is held to what a capture allows. */
    void begin() {
        must(() -> cuStreamBeginCapture(engine.stream, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL), "cuStreamBeginCapture");
    }

    /** Notes that a call failed, of whose work a part is recorded or none: a body may catch what is thrown, and each launch would go without the rest. */
    void failed(RuntimeException e) {
        if (failure.isEmpty()) failure = Optional.of(e);
    }

    /** Records what a body asks for; nothing, if any of it fails. */
    void record(Runnable body) {
        try {
            body.run();
            failure.ifPresent(CudaGraph::tell);
        } catch (RuntimeException | Error e) {
            abandon();
            throw e;
        }
        end();
    }

    private static void tell(RuntimeException caught) {
        throw new IllegalStateException(
                "capture: expected a body that lets every failure out, got one that caught this: "
                        + caught.getMessage(),
                caught);
    }

    /** Records no more, and makes of it what can be launched. */
    private void end() {
        must(() -> cuStreamEndCapture(engine.stream, graph), "cuStreamEndCapture");
        try {
            must(() -> cuGraphInstantiate(executable, graph, 0), "cuGraphInstantiate");
        } finally {
            CudaException.code(() -> cuGraphDestroy(graph));
        }
    }

    /** Records no more, and forgets what was recorded. */
    private void abandon() {
        int code = CudaException.code(() -> cuStreamEndCapture(engine.stream, graph));
        if (code == 0) CudaException.code(() -> cuGraphDestroy(graph));
    }

    @Override
    public void launch() {
        checkOpen();
        engine.enter();
        try {
            engine.checkNotCapturing("the launch of a graph");
            for (int n = 0; n < parts.size(); n++) parts.get(n).before();
            checkOpen();
            for (int n = 0; n < parts.size(); n++) parts.get(n).prepare();
            must(launch, "cuGraphLaunch");
            for (int n = 0; n < parts.size(); n++) parts.get(n).launched();
            after();
        } finally {
            engine.leave();
        }
    }

    private void checkOpen() {
        engine.checkOpen();
        if (closed) throw new IllegalStateException("the graph is closed");
    }

    /** All of them, whoever throws; the first failure is told. */
    private void after() {
        RuntimeException failure = null;
        for (int n = 0; n < parts.size(); n++) {
            try {
                parts.get(n).after();
            } catch (RuntimeException e) {
                if (failure == null) failure = e;
            }
        }
        if (failure != null) throw failure;
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
