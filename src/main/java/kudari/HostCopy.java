package kudari;

import static jcuda.driver.JCudaDriver.cuEventRecord;
import static jcuda.driver.JCudaDriver.cuEventSynchronize;
import static jcuda.driver.JCudaDriver.cuMemcpyDtoHAsync;
import static kudari.CudaException.must;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import jcuda.Pointer;
import jcuda.driver.CUdeviceptr;
import jcuda.driver.CUevent;
import kudari.CudaException.Call;

/** A copy of some device memory to a page of the host's that stays where it is, and an event that says that it has arrived. */
final class HostCopy {

    private final CudaEngine engine;
    private final long bytes;
    private final String what;
    private final Pointer to;
    private final CUevent arrival;
    private final Call copy, record, await;

    /** What the last copy brought. */
    final ByteBuffer page;

    HostCopy(CudaEngine engine, CUdeviceptr from, long bytes, String what) {
        this.engine = engine;
        this.bytes = bytes;
        this.what = what;
        to = engine.allocatePage(Math.max(1, bytes));
        try {
            arrival = engine.event();
        } catch (CudaException e) {
            engine.freePage(to);
            throw e;
        }
        copy = () -> cuMemcpyDtoHAsync(to, from, bytes, engine.stream);
        record = () -> cuEventRecord(arrival, engine.stream);
        await = () -> cuEventSynchronize(arrival);
        page = to.getByteBuffer(0, bytes).order(ByteOrder.nativeOrder());
    }

    /** Asks for a copy, in the stream's order. */
    void start() {
        engine.checkNotCapturing("a read");
        if (bytes > 0) check(copy, "cuMemcpyDtoHAsync");
        check(record, "cuEventRecord");
    }

    /** Waits for the copy last asked for. */
    void await() {
        engine.checkNotCapturing("a wait");
        check(await, "cuEventSynchronize");
    }

    /** Gives back what it holds, after the last copy has arrived. */
    void free() {
        if (engine.recording().isEmpty()) await();
        engine.freePage(to);
        engine.freeEvent(arrival);
    }

    /** Puts a message together only where there is something to tell. */
    private void check(Call call, String name) {
        int code = CudaException.code(call);
        if (code != 0) must(code, name + " of " + what);
    }
}
