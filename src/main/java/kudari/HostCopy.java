package kudari;

import static jcuda.driver.JCudaDriver.cuMemcpyDtoHAsync;

import java.nio.ByteBuffer;
import jcuda.driver.CUdeviceptr;
import kudari.CudaException.Call;

/** A copy of some device memory to a page of the host's, which says when it has arrived. */
final class HostCopy {

    private final CudaEngine engine;
    private final PinnedPage to;
    private final Call copy;

    /** What the last copy brought. */
    final ByteBuffer page;

    HostCopy(CudaEngine engine, CUdeviceptr from, long bytes, String what) {
        this.engine = engine;
        to = new PinnedPage(engine, bytes, what);
        page = to.buffer;
        copy = () -> cuMemcpyDtoHAsync(to.pointer, from, bytes, engine.stream);
    }

    /** Asks for a copy, in the stream's order. */
    void start() {
        engine.checkNotCapturing("a read");
        to.start(copy, "cuMemcpyDtoHAsync");
    }

    /** Waits for the copy last asked for. */
    void await() {
        engine.checkNotCapturing("a wait");
        to.await();
    }

    /** Gives back what it holds, after the last copy has arrived. */
    void free() {
        if (engine.recording().isEmpty()) await();
        to.free();
    }
}
