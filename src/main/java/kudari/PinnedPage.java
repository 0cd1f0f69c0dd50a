package kudari;

import static jcuda.driver.JCudaDriver.cuEventRecord;
import static jcuda.driver.JCudaDriver.cuEventSynchronize;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import jcuda.Pointer;
import jcuda.driver.CUevent;
import kudari.CudaException.Call;

/** Host memory that stays where it is, for copies from it or to it, and an event that says that the last of them has been made. Nothing is allocated for one. */
final class PinnedPage {

    private final CudaEngine engine;
    private final String what;
    private final CUevent copied;
    private final Call record, await;

    final Pointer pointer;
    final ByteBuffer buffer;

    /**
     * A page of so many bytes.
     *
     * @param what is copied, for messages
     */
    PinnedPage(CudaEngine engine, long bytes, String what) {
        this.engine = engine;
        this.what = what;
        pointer = engine.allocatePage(Math.max(1, bytes));
        try {
            copied = engine.event();
        } catch (CudaException e) {
            engine.freePage(pointer);
            throw e;
        }
        buffer = pointer.getByteBuffer(0, bytes).order(ByteOrder.nativeOrder());
        record = () -> cuEventRecord(copied, engine.stream);
        await = () -> cuEventSynchronize(copied);
    }

    /** Asks for a copy, in the stream's order; none if there is nothing to copy. */
    void start(Call copy, String name) {
        if (buffer.capacity() > 0) check(copy, name);
        check(record, "cuEventRecord");
    }

    /** Waits for the copy last asked for. */
    void await() {
        check(await, "cuEventSynchronize");
    }

    void free() {
        engine.freePage(pointer);
        engine.freeEvent(copied);
    }

    /** Puts a message together only where there is something to tell. */
    private void check(Call call, String name) {
        int code = CudaException.code(call);
        if (code != 0) CudaException.must(code, name + " of " + what);
    }
}
