package kudari;

import static jcuda.driver.JCudaDriver.cuMemcpyHtoDAsync;

import java.nio.ByteBuffer;
import jcuda.driver.CUdeviceptr;
import kudari.CudaException.Call;

/** Copies to device memory, in the stream's order, from two pages of the host's that take turns: nothing waits but for the copy before the last. */
final class Upload {

    private final CudaEngine engine;
    private final String what;
    private PinnedPage next, other;
    private CUdeviceptr to;
    private final Call copy;

    /**
     * Pages of so many bytes.
     *
     * @param what is copied, for messages
     */
    Upload(CudaEngine engine, long bytes, String what) {
        this.engine = engine;
        this.what = what;
        next = new PinnedPage(engine, bytes, what);
        try {
            other = new PinnedPage(engine, bytes, what);
        } catch (CudaException e) {
            next.free();
            throw e;
        }
        copy = () -> cuMemcpyHtoDAsync(to, next.pointer, next.buffer.position(), engine.stream);
    }

    /** How many bytes a copy has at most. */
    int capacity() {
        return next.buffer.capacity();
    }

    /** A page to write to, from its beginning. */
    ByteBuffer page() {
        engine.checkNotCapturing(what);
        next.await();
        return next.buffer.clear();
    }

    /** Copies what has been written to the page. */
    void send(CUdeviceptr to) {
        this.to = to;
        next.start(copy, "cuMemcpyHtoDAsync");
        PinnedPage sent = next;
        next = other;
        other = sent;
    }

    /** Gives back what it holds, after the last copy. */
    void free() {
        next.free();
        other.free();
    }
}
