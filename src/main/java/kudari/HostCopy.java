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

/** A copy of some device memory to a page of the host's that stays where it is, and an event that says that it has arrived. */
final class HostCopy {

    private final CudaEngine engine;
    private final CUdeviceptr from;
    private final long bytes;
    private final String what;
    private final Pointer to;
    private final CUevent arrival;

    /** What the last copy brought. */
    final ByteBuffer page;

    HostCopy(CudaEngine engine, CUdeviceptr from, long bytes, String what) {
        this.engine = engine;
        this.from = from;
        this.bytes = bytes;
        this.what = what;
        to = engine.allocatePage(Math.max(1, bytes));
        try {
            arrival = engine.event();
        } catch (CudaException e) {
            engine.freePage(to);
            throw e;
        }
        page = to.getByteBuffer(0, bytes).order(ByteOrder.nativeOrder());
    }

    /** Asks for a copy, in the stream's order. */
    void start() {
        if (bytes > 0) check(cuMemcpyDtoHAsync(to, from, bytes, engine.stream), "cuMemcpyDtoHAsync");
        check(cuEventRecord(arrival, engine.stream), "cuEventRecord");
    }

    /** Waits for the copy last asked for. */
    void await() {
        check(cuEventSynchronize(arrival), "cuEventSynchronize");
    }

    /** Gives back what it holds, after the last copy has arrived. */
    void free() {
        engine.freePage(to);
        engine.freeEvent(arrival);
    }

    /** Puts a message together only where there is something to tell. */
    private void check(int code, String call) {
        if (code != 0) must(code, call + " of " + what);
    }
}
