package kudari.softcuda;

import static jcuda.driver.JCudaDriver.*;
import static jcuda.jcublas.JCublas2.cublasCreate;
import static jcuda.jcublas.JCublas2.cublasDestroy;
import static jcuda.jcublas.JCublas2.cublasSetStream;
import static jcuda.jcublas.JCublas2.cublasSgemm;
import static kudari.softcuda.Probe.must;
import static kudari.softcuda.Probe.of;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.function.IntSupplier;
import jcuda.Pointer;
import jcuda.driver.CUcontext;
import jcuda.driver.CUdevice;
import jcuda.driver.CUdeviceptr;
import jcuda.driver.CUevent;
import jcuda.driver.CUfunction;
import jcuda.driver.CUgraph;
import jcuda.driver.CUgraphExec;
import jcuda.driver.CUmodule;
import jcuda.driver.CUstream;
import jcuda.driver.CUstreamCaptureMode;
import jcuda.jcublas.cublasHandle;
import jcuda.runtime.cudaStream_t;
import kudari.NvrtcDoor;

/** What {@link CaptureTest} runs in a JVM on the GPU in software: captures and their graphs, contexts, and questions about pointers. */
final class CaptureProbe {

    private static final int GLOBAL = CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_GLOBAL,
            THREAD_LOCAL = CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL,
            RELAXED = CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_RELAXED;

    /** Flags of a stream. */
    private static final int BLOCKING = 0, NON_BLOCKING = 1;

    private final Probe probe = new Probe(Probe.compile(Probe.KERNELS));
    private CUgraphExec exec = new CUgraphExec();

    private CaptureProbe() {}

    public static void main(String[] arguments) throws InterruptedException {
        NvrtcDoor.load();
        setExceptionsEnabled(false);
        must(cuInit(0));
        CaptureProbe probe = new CaptureProbe();
        probe.graphs();
        probe.graphsGoneWrong();
        probe.prohibited();
        probe.ends();
        probe.contexts();
        probe.pointers();
        Thread empty = new Thread(probe::emptyStack);
        empty.start();
        empty.join();
        System.out.println("end");
    }

    private CUstream stream() {
        return probe.stream;
    }

    private CUstream stream(int flags) {
        CUstream stream = new CUstream();
        must(cuStreamCreate(stream, flags));
        return stream;
    }

    private static CUevent event() {
        CUevent event = new CUevent();
        must(cuEventCreate(event, 0));
        return event;
    }

    /** The CUDA error of y += x, of two elements. */
    private int add(CUdeviceptr x, CUdeviceptr y, CUstream stream) {
        return probe.launch("saxpy", stream, 1, 32, of(1f), of(x), of(y), of(2));
    }

    private int first(CUdeviceptr p) {
        return (int) probe.get(p, 1)[0];
    }

    /** Ends the capture of the case's stream and makes {@link #exec} of it; the number of its nodes. */
    private int instantiate() {
        CUgraph graph = new CUgraph();
        must(cuStreamEndCapture(stream(), graph));
        long[] nodes = {0};
        must(cuGraphGetNodes(graph, null, nodes)); // JCuda 12.6 does not pass the length of an array
        exec = new CUgraphExec();
        must(cuGraphInstantiate(exec, graph, 0));
        must(cuGraphUpload(exec, stream()));
        must(cuGraphDestroy(graph));
        return (int) nodes[0];
    }

    /** Launches {@link #exec} some times, waits and destroys it; the CUDA error. */
    private int replay(int times) {
        for (int n = 0; n < times; n++) must(cuGraphLaunch(exec, stream()));
        int code = cuStreamSynchronize(stream());
        must(cuGraphExecDestroy(exec));
        return code;
    }

    private void graphs() {
        probe.in("all that a capture takes, launched three times", () -> {
            CUdeviceptr x = probe.floats(1, 1), y = probe.floats(9, 9), z = probe.floats(0, 0);
            CUdeviceptr sum = probe.floats(0, 0), product = probe.floats(0, 0);
            CUstream other = stream(NON_BLOCKING);
            CUevent fork = event(), join = event();
            cublasHandle handle = new cublasHandle();
            must(cublasCreate(handle));
            must(cublasSetStream(handle, new cudaStream_t(stream())));
            must(cuStreamBeginCapture(stream(), GLOBAL));
            must(cuMemsetD32Async(y, 0, 2, stream()));
            must(add(x, y, stream())); // 1
            must(cuEventRecord(fork, stream()));
            must(cuStreamWaitEvent(other, fork, 0));
            must(cuMemcpyDtoDAsync(z, y, 8, other)); // 1
            must(add(z, sum, other)); // 1, 2, 3
            must(cuEventRecord(join, other));
            must(cublasSgemm(handle, 0, 0, 1, 1, 1, of(1f), y, 1, x, 1, of(1f), product, 1)); // 1 more
            must(cuStreamWaitEvent(stream(), join, 0));
            must(add(sum, product, stream())); // so 2, 5, 9
            int[] status = {0};
            must(cuStreamIsCapturing(other, status));
            int nodes = instantiate();
            probe.ask("reset");
            int result = replay(3);
            boolean counted = probe.ask("stats").startsWith("{\"launches\":12,");
            must(cublasDestroy(handle));
            must(cuEventDestroy(fork));
            must(cuEventDestroy(join));
            must(cuStreamDestroy(other));
            if (result != 0 || !counted || status[0] != 1) return -1;
            return 1000 * first(product) + 100 * first(sum) + 10 * first(z) + nodes;
        });
        probe.in("nothing runs before the launch", () -> {
            CUdeviceptr x = probe.floats(1, 1), y = probe.floats(0, 0);
            must(cuStreamBeginCapture(stream(), GLOBAL));
            must(add(x, y, stream()));
            instantiate();
            int before = first(y);
            must(replay(1));
            return 10 * before + first(y);
        });
        probe.in("a pinned page is read at each launch", () -> {
            CUdeviceptr y = probe.floats(0, 0), sum = probe.floats(0, 0);
            Pointer page = new Pointer();
            must(cuMemAllocHost(page, 8));
            ByteBuffer bytes = page.getByteBuffer(0, 8).order(ByteOrder.nativeOrder());
            must(cuStreamBeginCapture(stream(), GLOBAL));
            must(cuMemcpyHtoDAsync(y, page, 8, stream()));
            must(add(y, sum, stream()));
            instantiate();
            for (float value : new float[] {3, 4}) {
                bytes.putFloat(0, value).putFloat(4, value);
                must(cuGraphLaunch(exec, stream()));
                must(cuStreamSynchronize(stream()));
            }
            must(replay(0));
            must(cuMemFreeHost(page));
            return first(sum);
        });
        probe.in("a graph launched in a capture is one node", () -> {
            CUdeviceptr x = probe.floats(1, 1), y = probe.floats(0, 0);
            must(cuStreamBeginCapture(stream(), GLOBAL));
            must(add(x, y, stream()));
            must(add(x, y, stream()));
            instantiate();
            CUgraphExec child = exec;
            must(cuStreamBeginCapture(stream(), GLOBAL));
            must(cuGraphLaunch(child, stream()));
            must(cuGraphLaunch(child, stream()));
            must(cuGraphLaunch(child, stream()));
            int nodes = instantiate();
            must(cuGraphExecDestroy(child));
            must(replay(1));
            return 10 * nodes + first(y);
        });
        probe.in("an empty graph", () -> {
            must(cuStreamBeginCapture(stream(), GLOBAL));
            return 10 * instantiate() + replay(1);
        });
    }

    /** Captures y += x, where y is no part of the case's own memory. */
    private CUdeviceptr captured() {
        CUdeviceptr x = probe.floats(1, 1), y = new CUdeviceptr();
        must(cuMemAlloc(y, 8));
        must(cuMemcpyHtoD(y, Pointer.to(new float[2]), 8));
        must(cuStreamBeginCapture(stream(), GLOBAL));
        must(add(x, y, stream()));
        instantiate();
        return y;
    }

    private void graphsGoneWrong() {
        probe.in("memory of a kernel freed before the launch", () -> {
            must(cuMemFree(captured()));
            return replay(1);
        });
        probe.in("memory of a copy freed before the launch", () -> {
            CUdeviceptr x = probe.floats(1, 1), y = new CUdeviceptr();
            must(cuMemAlloc(y, 8));
            must(cuStreamBeginCapture(stream(), GLOBAL));
            must(cuMemcpyDtoDAsync(y, x, 8, stream()));
            instantiate();
            must(cuMemFree(y));
            return replay(1);
        });
        probe.in("a page of a copy freed before the launch", () -> {
            CUdeviceptr x = probe.floats(1, 1);
            Pointer page = new Pointer();
            must(cuMemAllocHost(page, 8));
            must(cuStreamBeginCapture(stream(), GLOBAL));
            must(cuMemcpyDtoHAsync(page, x, 8, stream()));
            instantiate();
            must(cuMemFreeHost(page));
            return replay(1);
        });
        probe.in("a module unloaded before the launch", () -> {
            CUdeviceptr y = captured();
            must(cuModuleUnload(probe.module));
            int code = replay(1);
            cuMemFree(y);
            return code;
        });
        probe.in("the second kernel that a graph launches fails", () -> {
            CUdeviceptr y = captured();
            probe.ask("fail run:2:719");
            int code = replay(3);
            cuMemFree(y);
            return code;
        });
        probe.in("a graph destroyed before the launch", () -> {
            CUdeviceptr y = captured();
            must(replay(1));
            must(cuMemFree(y));
            return cuGraphLaunch(exec, stream());
        });
        probe.in("a graph left in its context", () -> {
            must(cuMemFree(captured()));
            return 0;
        });
        probe.in("a capture left open", () -> cuStreamBeginCapture(stream(), GLOBAL));
    }

    /** A case of a call in a capture: 1,000 times its error, and the error of the end of the capture. */
    private void during(String name, int mode, IntSupplier call) {
        during(name, mode, NON_BLOCKING, call);
    }

    private void during(String name, int mode, int flags, IntSupplier call) {
        probe.in(name, () -> {
            must(cuStreamDestroy(stream()));
            probe.stream = stream(flags);
            return 1000 * inCapture(mode, call) + end(stream());
        });
    }

    private int inCapture(int mode, IntSupplier call) {
        must(cuStreamBeginCapture(stream(), mode));
        return call.getAsInt();
    }

    private static int end(CUstream stream) {
        CUgraph graph = new CUgraph();
        int code = cuStreamEndCapture(stream, graph);
        if (code == 0) must(cuGraphDestroy(graph));
        return code;
    }

    /** The error of a call that another thread makes. */
    private int elsewhere(IntSupplier call) {
        int[] code = {-1};
        Thread thread = new Thread(() -> {
            must(cuCtxSetCurrent(probe.context));
            code[0] = call.getAsInt();
        });
        thread.start();
        try {
            thread.join();
        } catch (InterruptedException e) {
            throw new IllegalStateException(e);
        }
        return code[0];
    }

    private static int allocate() {
        CUdeviceptr p = new CUdeviceptr();
        int code = cuMemAlloc(p, 4);
        return code != 0 ? code : cuMemFree(p);
    }

    private static int allocateHost() {
        Pointer p = new Pointer();
        int code = cuMemAllocHost(p, 4);
        return code != 0 ? code : cuMemFreeHost(p);
    }

    private static int load() {
        CUmodule module = new CUmodule();
        int code = cuModuleLoadData(module, ".version 8.0\n.target sm_90\n.address_size 64\n");
        return code != 0 ? code : cuModuleUnload(module);
    }

    private int queryCaptured() {
        CUevent event = event();
        must(cuEventRecord(event, stream()));
        return cuEventQuery(event);
    }

    private int synchronizeCaptured() {
        CUevent event = event();
        must(cuEventRecord(event, stream()));
        return cuEventSynchronize(event);
    }

    private void prohibited() {
        during("waiting for the stream", RELAXED, () -> cuStreamSynchronize(stream()));
        during("looking at the stream", RELAXED, () -> cuStreamQuery(stream()));
        during("waiting for the context", RELAXED, () -> cuCtxSynchronize());
        during("waiting for an event of the capture", RELAXED, this::synchronizeCaptured);
        during("looking at an event of the capture", RELAXED, this::queryCaptured);
        during("destroying the stream", RELAXED, () -> cuStreamDestroy(stream()));
        during("waiting for another event", GLOBAL, () -> cuEventSynchronize(event()));
        during("looking at another event", GLOBAL, () -> cuEventQuery(event()));
        during("looking at another event, relaxed", RELAXED, () -> cuEventQuery(event()));
        during("waiting for another stream", GLOBAL, () -> cuStreamSynchronize(stream(NON_BLOCKING)));
        during("allocating", GLOBAL, CaptureProbe::allocate);
        during("allocating, per thread", THREAD_LOCAL, CaptureProbe::allocate);
        during("allocating, relaxed", RELAXED, CaptureProbe::allocate);
        during("allocating in a relaxed thread", GLOBAL, () -> {
            int[] mode = {RELAXED};
            must(cuThreadExchangeStreamCaptureMode(mode));
            int code = allocate();
            must(cuThreadExchangeStreamCaptureMode(mode));
            return mode[0] != RELAXED ? -1 : code;
        });
        during("allocating in another thread", GLOBAL, () -> elsewhere(CaptureProbe::allocate));
        during("allocating in another thread, per thread", THREAD_LOCAL, () -> elsewhere(CaptureProbe::allocate));
        during("allocating a page", GLOBAL, CaptureProbe::allocateHost);
        during("allocating a page, relaxed", RELAXED, CaptureProbe::allocateHost);
        during("loading a module", GLOBAL, CaptureProbe::load);
        during("loading a module, relaxed", RELAXED, CaptureProbe::load);
        during("creating a cuBLAS handle", GLOBAL, () -> cublasCreate(new cublasHandle()));

        float[] heap = {1, 2};
        duringWithMemory("freeing", NON_BLOCKING, x -> cuMemFree(x));
        duringWithMemory("copy from the heap", NON_BLOCKING, x -> cuMemcpyHtoDAsync(x, Pointer.to(heap), 8, stream()));
        duringWithMemory("copy to the heap", NON_BLOCKING, x -> cuMemcpyDtoHAsync(Pointer.to(heap), x, 8, stream()));
        duringWithMemory("copy that waits", NON_BLOCKING, x -> cuMemcpyHtoD(x, Pointer.to(heap), 8));
        duringWithMemory("copy that waits, of a blocking stream", BLOCKING, x -> cuMemcpyHtoD(x, Pointer.to(heap), 8));
        duringWithMemory("null stream", NON_BLOCKING, x -> cuMemsetD8Async(x, (byte) 0, 8, null));
        duringWithMemory("null stream, of a blocking stream", BLOCKING, x -> cuMemsetD8Async(x, (byte) 0, 8, null));
        during("event in the null stream, of a blocking stream", RELAXED, BLOCKING, () -> cuEventRecord(event(), null));
        during("waiting for the null stream, of a blocking stream", RELAXED, BLOCKING, () -> cuStreamSynchronize(null));
        during(
                "asking whether the null stream captures",
                RELAXED,
                BLOCKING,
                () -> cuStreamIsCapturing(new CUstream(), new int[1]));
        duringWithMemory("work after a mistake", NON_BLOCKING, x -> {
            cuStreamQuery(stream());
            return cuMemsetD8Async(x, (byte) 0, 8, stream());
        });
        during("how a broken capture looks", RELAXED, () -> {
            int[] status = {0};
            cuStreamQuery(stream());
            must(cuStreamIsCapturing(stream(), status));
            return status[0];
        });
    }

    private interface Call {
        int with(CUdeviceptr memory);
    }

    /** The same, with two floats that were allocated before. */
    private void duringWithMemory(String name, int flags, Call call) {
        CUdeviceptr[] memory = {null};
        probe.in(name, () -> {
            must(cuStreamDestroy(stream()));
            probe.stream = stream(flags);
            memory[0] = probe.floats(1, 2);
            return 1000 * inCapture(GLOBAL, () -> call.with(memory[0])) + end(stream());
        });
    }

    private void ends() {
        probe.in("an event of a capture that has ended", () -> {
            CUevent event = event();
            must(cuStreamBeginCapture(stream(), GLOBAL));
            must(cuEventRecord(event, stream()));
            must(end(stream()));
            int captured = cuEventQuery(event);
            must(cuEventRecord(event, stream()));
            return 1000 * captured + cuEventSynchronize(event);
        });
        during("waiting for an event from before", RELAXED, () -> {
            CUevent event = event();
            must(cuEventRecord(event, null));
            return cuStreamWaitEvent(stream(), event, 0);
        });
        probe.in("two captures that meet", () -> {
            CUstream other = stream(NON_BLOCKING);
            CUevent event = event();
            must(cuStreamBeginCapture(stream(), GLOBAL));
            must(cuStreamBeginCapture(other, GLOBAL));
            must(cuEventRecord(event, stream()));
            int code = cuStreamWaitEvent(other, event, 0);
            return 1000 * code + (end(stream()) == end(other) ? 901 : -1);
        });
        probe.in("work that is not joined", () -> {
            CUdeviceptr x = probe.floats(1, 2);
            CUstream other = stream(NON_BLOCKING);
            CUevent event = event();
            must(cuStreamBeginCapture(stream(), GLOBAL));
            must(cuEventRecord(event, stream()));
            must(cuStreamWaitEvent(other, event, 0));
            must(cuMemsetD8Async(x, (byte) 0, 8, other));
            int code = end(stream());
            must(cuMemsetD8Async(x, (byte) 0, 8, other)); // captures no more
            must(cuStreamSynchronize(other));
            return code;
        });
        during("an end in a stream that joined", GLOBAL, () -> {
            CUstream other = stream(NON_BLOCKING);
            CUevent event = event();
            must(cuEventRecord(event, stream()));
            must(cuStreamWaitEvent(other, event, 0));
            return end(other);
        });
        during("an end in another thread", GLOBAL, () -> elsewhere(() -> end(stream())));
        probe.in("an end in another thread, relaxed", () -> {
            must(cuStreamBeginCapture(stream(), RELAXED));
            return elsewhere(() -> end(stream()));
        });
        during("a second begin", GLOBAL, () -> cuStreamBeginCapture(stream(), GLOBAL));
        probe.in("a begin on the null stream", () -> cuStreamBeginCapture(new CUstream(), GLOBAL));
        probe.in("an end without a begin", () -> end(stream()));
    }

    private static boolean isCurrent(CUcontext expected) {
        CUcontext current = new CUcontext();
        must(cuCtxGetCurrent(current));
        return current.equals(expected);
    }

    private CUcontext create() {
        CUcontext context = new CUcontext();
        must(cuCtxCreate(context, 0, probe.device));
        return context;
    }

    /** Pops, and says what. */
    private static CUcontext pop() {
        CUcontext popped = new CUcontext();
        must(cuCtxPopCurrent(popped));
        return popped;
    }

    private static int use() {
        return cuMemGetInfo(new long[1], new long[1]);
    }

    private void contexts() {
        probe.in("a stack of contexts", () -> {
            CUcontext other = create();
            if (!isCurrent(other)) return 1;
            if (!pop().equals(other) || !isCurrent(probe.context)) return 2;
            must(cuCtxPushCurrent(other));
            must(cuCtxPushCurrent(probe.context));
            must(cuCtxPushCurrent(other));
            if (!pop().equals(other) || !pop().equals(probe.context) || !isCurrent(other)) return 3;
            must(cuCtxSetCurrent(probe.context)); // takes the top's place
            if (!pop().equals(probe.context) || !isCurrent(probe.context)) return 4;
            must(cuCtxPushCurrent(other));
            must(cuCtxSetCurrent(new CUcontext())); // pops
            if (!isCurrent(probe.context)) return 5;
            must(cuCtxDestroy(other)); // is not current here
            return isCurrent(probe.context) ? 0 : 6;
        });
        probe.in("a context destroyed while it is current", () -> {
            must(cuCtxDestroy(create()));
            return isCurrent(probe.context) ? use() : -1;
        });
        probe.in("a context destroyed deeper in the stack", () -> {
            CUcontext other = create();
            must(cuCtxPushCurrent(probe.context));
            must(cuCtxDestroy(other));
            must(use());
            pop();
            int code = use();
            return pop().equals(other) && isCurrent(probe.context) ? code : -1;
        });
        probe.in("a context destroyed by another thread", () -> {
            CUcontext other = create();
            must(elsewhere(() -> cuCtxDestroy(other)));
            int code = use();
            pop();
            return code;
        });
        probe.in("a destroyed context pushed", () -> {
            CUcontext other = create();
            must(cuCtxDestroy(other));
            return 1000 * cuCtxPushCurrent(other) + cuCtxSetCurrent(other);
        });
        probe.in("a primary context", () -> {
            CUcontext primary = new CUcontext(), again = new CUcontext();
            must(cuDevicePrimaryCtxRetain(primary, probe.device));
            must(cuDevicePrimaryCtxRetain(again, probe.device));
            if (!primary.equals(again) || !isCurrent(probe.context)) return -1; // it is on no stack
            must(cuCtxPushCurrent(primary));
            must(cuDevicePrimaryCtxRelease(probe.device));
            must(use());
            must(cuDevicePrimaryCtxRelease(probe.device));
            int released = use();
            int[] flags = {0}, active = {1};
            must(cuDevicePrimaryCtxGetState(probe.device, flags, active));
            if (active[0] != 0 || !isCurrent(primary)) return -2; // and popped from none
            must(cuDevicePrimaryCtxRetain(again, probe.device));
            must(use());
            must(cuDevicePrimaryCtxRelease(probe.device));
            pop();
            return 1000 * released + cuDevicePrimaryCtxRelease(probe.device);
        });
        probe.in("a primary context destroyed", () -> {
            CUcontext primary = new CUcontext();
            must(cuDevicePrimaryCtxRetain(primary, probe.device));
            int code = cuCtxDestroy(primary);
            must(cuDevicePrimaryCtxRelease(probe.device));
            return code;
        });
        probe.in("a kernel in memory of another context", () -> {
            CUdeviceptr foreign = probe.floats(1, 1);
            CUcontext first = probe.context;
            CUcontext other = create();
            CUdeviceptr own = new CUdeviceptr();
            must(cuMemAlloc(own, 8));
            must(cuMemcpyDtoD(own, foreign, 8)); // copies find the context by the address
            must(cuCtxPushCurrent(first));
            int code = add(foreign, own, stream());
            if (code == 0) code = cuStreamSynchronize(stream());
            pop();
            must(cuMemFree(own));
            must(cuCtxDestroy(other));
            return code;
        });
        probe.in("a stream, an event and a function of another context", () -> {
            CUevent event = event();
            CUfunction function = new CUfunction();
            must(cuModuleGetFunction(function, probe.module, "endless"));
            CUcontext other = create();
            int stream = cuStreamSynchronize(stream());
            int recorded = cuEventRecord(event, null);
            int launched = cuLaunchKernel(function, 1, 1, 1, 1, 1, 1, 0, null, Pointer.to(of(0L)), null);
            must(cuCtxDestroy(other));
            return stream == recorded && recorded == launched ? launched : -1;
        });
    }

    /** In a thread that has had no context yet. */
    private void emptyStack() {
        CUcontext none = new CUcontext();
        System.out.println("an empty stack\t"
                + (1000 * cuCtxPopCurrent(new CUcontext()) + use() + cuCtxSetCurrent(none)) + "\t"
                + (isCurrent(none) ? "[]" : "a context is current"));
    }

    private static final int CONTEXT = 1, MEMORY_TYPE = 2, DEVICE_ORDINAL = 9;

    private static int ordinal(CUdeviceptr p) {
        int[] ordinal = {-1};
        int code = cuPointerGetAttribute(Pointer.to(ordinal), DEVICE_ORDINAL, p);
        return code != 0 ? -code : ordinal[0];
    }

    private static int type(CUdeviceptr p) {
        int[] type = {-1};
        int code = cuPointerGetAttribute(Pointer.to(type), MEMORY_TYPE, p);
        return code != 0 ? -code : type[0];
    }

    private void pointers() {
        probe.in("memory of a device", () -> {
            CUdeviceptr p = probe.raw(16);
            CUcontext context = new CUcontext();
            must(cuPointerGetAttribute(Pointer.to(context), CONTEXT, p.withByteOffset(15)));
            return context.equals(probe.context) ? 10 * type(p.withByteOffset(8)) + ordinal(p) : -1;
        });
        probe.in("memory of another device", () -> {
            CUdevice second = new CUdevice();
            must(cuDeviceGet(second, 1));
            CUcontext other = new CUcontext();
            must(cuCtxCreate(other, 0, second));
            CUdeviceptr p = new CUdeviceptr();
            must(cuMemAlloc(p, 4));
            pop();
            int result = 10 * type(p) + ordinal(p);
            must(cuMemFree(p));
            must(cuCtxDestroy(other));
            return result;
        });
        probe.in("memory that was freed", () -> {
            CUdeviceptr p = new CUdeviceptr();
            must(cuMemAlloc(p, 4));
            must(cuMemFree(p));
            int[] type = {-1}, ordinal = {-1};
            int[] attributes = {MEMORY_TYPE, DEVICE_ORDINAL};
            must(cuPointerGetAttributes(2, attributes, Pointer.to(Pointer.to(type), Pointer.to(ordinal)), p));
            return type(p) == -1 && ordinal(p) == -1 && type[0] == 0 ? ordinal[0] : -1;
        });
        probe.in("a page", () -> {
            CUdeviceptr page = new CUdeviceptr();
            must(cuMemAllocHost(page, 4));
            int type = type(page);
            must(cuMemFreeHost(page));
            return type;
        });
        probe.in("no pointer at all", () -> type(new CUdeviceptr()));
    }
}
