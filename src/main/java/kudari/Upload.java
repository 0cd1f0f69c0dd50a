package kudari;

import static jcuda.driver.JCudaDriver.cuEventRecord;
import static jcuda.driver.JCudaDriver.cuEventSynchronize;
import static jcuda.driver.JCudaDriver.cuMemcpyHtoDAsync;
import static kudari.CudaException.must;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import jcuda.Pointer;
import jcuda.driver.CUdeviceptr;
import jcuda.driver.CUevent;
import kudari.CudaException.Call;

/**
 * Copies to device memory, in the stream's order, from two pages of the host's that take turns: nothing waits but for the copy before the last, and
 * nothing is allocated.
 */
final class Upload {

    /** A page that stays where it is, and what says that its last copy has been made. */
    private static final class Page {

        final CudaEngine engine;
        final Pointer from;
        final ByteBuffer buffer;
        final CUevent copied;
        CUdeviceptr to;
        final Call copy, record, await;

        Page(CudaEngine engine, long bytes) {
            this.engine = engine;
            from = engine.allocatePage(bytes);
            try {
                copied = engine.event();
            } catch (CudaException e) {
                engine.freePage(from);
                throw e;
            }
            buffer = from.getByteBuffer(0, bytes).order(ByteOrder.nativeOrder());
            copy = () -> cuMemcpyHtoDAsync(to, from, buffer.position(), engine.stream);
            record = () -> cuEventRecord(copied, engine.stream);
            await = () -> cuEventSynchronize(copied);
        }

        void free() {
            engine.freePage(from);
            engine.freeEvent(copied);
        }
    }

    private final CudaEngine engine;
    private final String what;
    private Page next, other;

    /**
     * Pages of so many bytes.
     *
     * @param what is copied, for messages
     */
    Upload(CudaEngine engine, long bytes, String what) {
        this.engine = engine;
        this.what = what;
        next = new Page(engine, bytes);
        try {
            other = new Page(engine, bytes);
        } catch (CudaException e) {
            next.free();
            throw e;
        }
    }

    /** How many bytes a copy has at most. */
    int capacity() {
        return next.buffer.capacity();
    }

    /** A page to write to, from its beginning. */
    ByteBuffer page() {
        engine.checkNotCapturing(what);
        check(next.await, "cuEventSynchronize");
        return next.buffer.clear();
    }

    /** Copies what has been written to the page. */
    void send(CUdeviceptr to) {
        Page page = next;
        page.to = to;
        check(page.copy, "cuMemcpyHtoDAsync");
        check(page.record, "cuEventRecord");
        next = other;
        other = page;
    }

    /** Gives back what it holds, after the last copy. */
    void free() {
        next.free();
        other.free();
    }

    /** Puts a message together only where there is something to tell. */
    private void check(Call call, String name) {
        int code = CudaException.code(call);
        if (code != 0) must(code, name + " of " + what);
    }
}
