package kudari;

import static java.util.Objects.requireNonNull;
import static jcuda.driver.CUdevice_attribute.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR;
import static jcuda.driver.CUdevice_attribute.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR;
import static jcuda.driver.CUdevice_attribute.CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT;
import static jcuda.driver.CUpointer_attribute.CU_POINTER_ATTRIBUTE_CONTEXT;
import static jcuda.driver.CUpointer_attribute.CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL;
import static jcuda.driver.JCudaDriver.cuCtxPopCurrent;
import static jcuda.driver.JCudaDriver.cuCtxPushCurrent;
import static jcuda.driver.JCudaDriver.cuDeviceGet;
import static jcuda.driver.JCudaDriver.cuDeviceGetAttribute;
import static jcuda.driver.JCudaDriver.cuDeviceGetName;
import static jcuda.driver.JCudaDriver.cuDevicePrimaryCtxRelease;
import static jcuda.driver.JCudaDriver.cuDevicePrimaryCtxRetain;
import static jcuda.driver.JCudaDriver.cuDriverGetVersion;
import static jcuda.driver.JCudaDriver.cuEventCreate;
import static jcuda.driver.JCudaDriver.cuEventDestroy;
import static jcuda.driver.JCudaDriver.cuInit;
import static jcuda.driver.JCudaDriver.cuMemAlloc;
import static jcuda.driver.JCudaDriver.cuMemAllocHost;
import static jcuda.driver.JCudaDriver.cuMemFree;
import static jcuda.driver.JCudaDriver.cuMemFreeHost;
import static jcuda.driver.JCudaDriver.cuMemcpyDtoDAsync;
import static jcuda.driver.JCudaDriver.cuMemcpyDtoHAsync;
import static jcuda.driver.JCudaDriver.cuMemcpyHtoDAsync;
import static jcuda.driver.JCudaDriver.cuMemsetD16Async;
import static jcuda.driver.JCudaDriver.cuMemsetD32Async;
import static jcuda.driver.JCudaDriver.cuMemsetD8Async;
import static jcuda.driver.JCudaDriver.cuModuleLoadDataEx;
import static jcuda.driver.JCudaDriver.cuModuleUnload;
import static jcuda.driver.JCudaDriver.cuPointerGetAttribute;
import static jcuda.driver.JCudaDriver.cuStreamCreate;
import static jcuda.driver.JCudaDriver.cuStreamDestroy;
import static jcuda.driver.JCudaDriver.cuStreamGetCtx;
import static jcuda.driver.JCudaDriver.cuStreamIsCapturing;
import static jcuda.driver.JCudaDriver.cuStreamSynchronize;
import static jcuda.jcublas.JCublas2.cublasCreate;
import static jcuda.jcublas.JCublas2.cublasDestroy;
import static jcuda.jcublas.JCublas2.cublasSetStream;
import static jcuda.jcublas.JCublas2.cublasSetWorkspace;
import static kudari.CudaException.must;
import static kudari.CudaException.mustBlas;

import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.Arrays;
import java.util.Deque;
import java.util.EnumMap;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.function.Consumer;
import jcuda.Pointer;
import jcuda.driver.CUcontext;
import jcuda.driver.CUdevice;
import jcuda.driver.CUdeviceptr;
import jcuda.driver.CUevent;
import jcuda.driver.CUevent_flags;
import jcuda.driver.CUmodule;
import jcuda.driver.CUstream;
import jcuda.driver.CUstream_flags;
import jcuda.driver.JCudaDriver;
import jcuda.jcublas.JCublas2;
import jcuda.jcublas.cublasHandle;
import jcuda.runtime.JCuda;
import jcuda.runtime.cudaStream_t;
import kudari.CudaException.Call;
import kudari.rule.Rule;

/**
 * The CUDA engine: tensors are device memory, a step is one kernel launch over all of them. Its results equal the CPU engine's bit for bit, but for rules
 * that multiply matrices ({@link Rule#isExact}).
 *
 * <p>All work goes to one stream, in order and asynchronously: {@link Optimizer#update} and {@link Tensor#set} return at once, {@link
 * Tensor#get} waits. This class is the one place where JCuda's types show: {@link #wrap} makes a tensor of memory that somebody else owns,
 * {@link #pointer} and {@link #stream} let other CUDA code work on the engine's tensors in the right order.
 */
public final class CudaEngine extends Engine {

    private static final Logger LOG = System.getLogger(CudaEngine.class.getName());

    /** The driver says that the machine code is not for this device. */
    private static final int NO_BINARY_FOR_GPU = 209;

    /** Bytes; what cuBLAS's documentation advises for the largest devices. */
    private static final long CUBLAS_WORKSPACE = 32 << 20;

    private final CUdevice device = new CUdevice();
    private final int ordinal;
    private final CUcontext context = new CUcontext();
    final CUstream stream;

    /** Calls made again and again, which allocate nothing. */
    private final CUcontext popped = new CUcontext();

    private final int[] capturing = new int[1];
    private final Call push = () -> cuCtxPushCurrent(context), pop = () -> cuCtxPopCurrent(popped), ask;

    /** What is staged on its way to the device at a time, in bytes, at most; and where, as much as was needed so far. */
    private static final int STAGED = 1 << 20;

    private ByteBuffer staging = ByteBuffer.allocateDirect(0);

    /** Whether the stream is the engine's own, or was handed in. */
    private final boolean owned;

    private final String name;
    private final int capability;
    final int multiprocessors;

    /** What the engine has allocated and not yet freed: address and bytes. */
    private final Map<CUdeviceptr, Long> allocations = new LinkedHashMap<>();

    /** Pages of host memory that stay where they are. */
    private final Set<Pointer> pages = new LinkedHashSet<>();

    private Optional<cublasHandle> cublas = Optional.empty();

    /** The kernels of {@code kernels/tensor.cu} that have been asked for, by the type that they write and the other that they read. */
    private final Map<Dtype, Map<Dtype, CudaKernel>> adds = new EnumMap<>(Dtype.class),
            sets = new EnumMap<>(Dtype.class);

    private final Set<CUevent> events = new LinkedHashSet<>();
    private final Map<Nvrtc.Source, CUmodule> modules = new HashMap<>();

    /** What has been captured, and what has to be freed when none of them is left, for they may still use it. */
    private final Set<CudaGraph> graphs = new LinkedHashSet<>();

    private final Deque<Runnable> kept = new ArrayDeque<>();

    /** The graph under capture. */
    private Optional<CudaGraph> capture = Optional.empty();

    private final AtomicBoolean ended = new AtomicBoolean();

    /**
     * An engine whose work goes to a stream that somebody else made: after what is on it already, before what they put there next. The stream
     * stays theirs, and must outlive the engine; closing the engine waits for it.
     *
     * @param ordinal the device, counted from 0
     * @param stream of that device's primary context
     * @throws IllegalArgumentException if it is a stream of another context
     * @throws CudaException as {@link Engine#cuda}
     */
    public static CudaEngine open(int ordinal, CUstream stream) {
        return open(ordinal, Optional.of(stream));
    }

    /**
     * The same for a stream of other CUDA bindings, by its address: a {@code cudaStream_t} or {@code CUstream} of C.
     *
     * @param stream the address; 0 for the null stream, on which nothing can be captured
     */
    public static CudaEngine open(int ordinal, long stream) {
        return open(ordinal, JCudaAddress.stream(stream));
    }

    /** One that can compile its kernels, which it would find out only at the first of them. */
    static CudaEngine open(int ordinal, Optional<CUstream> theirs) {
        CudaEngine engine = new CudaEngine(ordinal, theirs);
        try {
            Nvrtc.load();
            return engine;
        } catch (RuntimeException e) {
            cleanUp(e, engine::close);
            throw e;
        }
    }

    /**
     * Loads JCuda's natives (driver and runtime) from a folder that only this user can write to. Opening an engine does it. JCuda, left to itself, loads
     * them from java.io.tmpdir, another user's included: a program that calls JCuda before it opens an engine should call this first.
     *
     * @throws CudaException if they cannot be loaded, or there is no CUDA driver
     */
    public static void loadNatives() {
        driver("");
    }

    CudaEngine(int ordinal, Optional<CUstream> theirs) {
        start("cuda:" + ordinal + ": ");
        this.ordinal = ordinal;
        must(() -> cuDeviceGet(device, ordinal), "cuDeviceGet(" + ordinal + ")");
        must(() -> cuDevicePrimaryCtxRetain(context, device), "cuDevicePrimaryCtxRetain of device " + ordinal);
        boolean current = false;
        try {
            turn();
            current = true;
            byte[] text = new byte[256];
            must(() -> cuDeviceGetName(text, text.length, device), "cuDeviceGetName");
            name = "cuda:" + ordinal + " ("
                    + new String(text, StandardCharsets.UTF_8)
                            .replaceAll("\0.*", "")
                            .trim() + ")";
            capability = 10 * attribute(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)
                    + attribute(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR);
            multiprocessors = attribute(CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT);
            owned = theirs.isEmpty();
            CUstream stream = theirs.orElseGet(CUstream::new);
            if (owned) must(() -> cuStreamCreate(stream, CUstream_flags.CU_STREAM_NON_BLOCKING), "cuStreamCreate");
            else checkContext(stream);
            this.stream = stream;
            ask = () -> cuStreamIsCapturing(stream, capturing);
        } catch (RuntimeException e) {
            if (current) CudaException.code(pop);
            CudaException.code(() -> cuDevicePrimaryCtxRelease(device));
            throw e;
        }
        turnBack();
        String name = this.name;
        AtomicBoolean ended = this.ended;
        CLEANER.register(this, () -> {
            if (!ended.get())
                LOG.log(
                        Level.WARNING,
                        name
                                + " was not closed and is out of reach: its memory stays taken until the program ends; close engines with try");
        });
    }

    /**
     * Finds the driver and starts it.
     *
     * @param who asks, for the message
     */
    static void start(String who) {
        driver(who);
        must(() -> cuInit(0), who + "cuInit");
    }

    /** The newest CUDA that the driver knows: 12060 for 12.6. */
    static int driver(String who) {
        int[] version = new int[1];
        CudaException missing = new CudaException(
                who + "no CUDA driver (libcuda.so.1) on this machine",
                "install NVIDIA's driver for CUDA 12.6 or later, or take the CPU engine (Engine.cpu(), --device cpu)");
        Libraries.checkPlatform();
        // Asked first: a machine without one has no use for natives, and a JVM may warn of each.
        if (!Libraries.isThere("libcuda.so.1")) throw missing;
        try {
            Libraries.load(JCuda.class, "JCudaRuntime");
            Libraries.load(JCudaDriver.class, "JCudaDriver");
            must(() -> cuDriverGetVersion(version), who + "cuDriverGetVersion");
        } catch (LinkageError e) {
            throw Libraries.failure(e, "libcuda.so.1", missing);
        }
        return version[0];
    }

    private void checkContext(CUstream stream) {
        CUcontext of = new CUcontext();
        must(() -> cuStreamGetCtx(stream, of), "cuStreamGetCtx of the stream handed in");
        if (!of.equals(context)) {
            throw new IllegalArgumentException("stream: expected one of the primary context of " + name
                    + ", got one of another device or context");
        }
    }

    private int attribute(int attribute) {
        int[] value = new int[1];
        must(() -> cuDeviceGetAttribute(value, attribute, device), "cuDeviceGetAttribute");
        return value[0];
    }

    /** The stream that all work of this engine goes to, in order: its own, or the one handed in. */
    public CUstream stream() {
        checkOpen();
        return stream;
    }

    /** The same as an address, for other CUDA bindings; 0 for the null stream. */
    public long streamAddress() {
        return JCudaAddress.of(stream());
    }

    /**
     * A tensor of float32 over device memory that somebody else owns and frees, of any alignment that a float may have.
     *
     * @param pointer the first element, in memory of this device
     * @param shape the extents, outermost first; that the memory goes on to the last element is not checked
     * @throws IllegalArgumentException if it is null, no multiple of 4, or no memory of this device and its primary context
     */
    public Tensor wrap(CUdeviceptr pointer, long... shape) {
        return wrap(pointer, Dtype.F32, shape);
    }

    /**
     * The same of a type, at a multiple of its bytes.
     *
     * @param pointer the first element, in memory of this device
     * @param dtype {@code F32}, {@code BF16} or {@code F16}
     * @param shape the extents, outermost first; that the memory goes on to the last element is not checked
     * @throws IllegalArgumentException if it is of another type, null, no multiple of its bytes, or no memory of this device and its primary context
     */
    public Tensor wrap(CUdeviceptr pointer, Dtype dtype, long... shape) {
        return wrap(JCudaAddress.of(pointer), dtype, shape);
    }

    /**
     * The same by its address, from whatever bindings it comes.
     *
     * @see #wrap(CUdeviceptr, long...)
     */
    public Tensor wrap(long address, long... shape) {
        return wrap(address, Dtype.F32, shape);
    }

    /**
     * The same of a type.
     *
     * @see #wrap(CUdeviceptr, Dtype, long...)
     */
    public Tensor wrap(long address, Dtype dtype, long... shape) {
        checkOpen();
        dtype.checkOfTensors();
        if (Tensor.size(shape) > 0) inContext(() -> checkMemory(address, dtype));
        return new CudaTensor(this, JCudaAddress.pointer(address), false, dtype, shape);
    }

    private void checkMemory(long address, Dtype dtype) {
        String what = "address 0x" + Long.toHexString(address);
        if (address == 0)
            throw new IllegalArgumentException(what + ": expected that of memory of " + name + ", got a null pointer");
        if (address % dtype.bytes(1) != 0)
            throw new IllegalArgumentException(what + ": expected a multiple of " + dtype.bytes(1) + " bytes");
        long owner = attribute(address, CU_POINTER_ATTRIBUTE_CONTEXT, what);
        int on = (int) attribute(address, CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL, what);
        // Memory of a pool belongs to a device, and to no context.
        if (on != ordinal || owner != 0 && owner != JCudaAddress.of(context))
            throw new IllegalArgumentException(what + ": expected that of memory of the primary context of " + name
                    + ", got that of " + (on == ordinal ? "another context" : "device " + on));
    }

    private static long attribute(long address, int attribute, String what) {
        long[] value = new long[1];
        if (CudaException.code(() -> cuPointerGetAttribute(Pointer.to(value), attribute, JCudaAddress.pointer(address)))
                != 0)
            throw new IllegalArgumentException(
                    what + ": expected that of device memory, got one that CUDA does not know");
        return value[0];
    }

    /**
     * Where a tensor of this engine lives.
     *
     * @throws IllegalArgumentException if the tensor is another engine's
     */
    public CUdeviceptr pointer(Tensor tensor) {
        checkOwn(tensor);
        return ((CudaTensor) tensor).pointer;
    }

    /** The same as an address, for other CUDA bindings. 0 if the tensor has no elements. */
    public long address(Tensor tensor) {
        checkOwn(tensor);
        return ((CudaTensor) tensor).address;
    }

    /** The bytes of device memory that this engine has allocated: tensors, state and tables; not what it wraps. */
    public long allocated() {
        return allocations.values().stream().mapToLong(Long::longValue).sum();
    }

    @Override
    CudaTensor allocate(Dtype dtype, long[] shape) {
        long size = Tensor.size(shape);
        if (size > Long.MAX_VALUE / dtype.bytes(1))
            throw new IllegalArgumentException("shape " + Arrays.toString(shape) + ": too many elements");
        CUdeviceptr pointer =
                size == 0 ? new CUdeviceptr() : allocateBytes(dtype.bytes(size), "shape " + Arrays.toString(shape));
        return filled(new CudaTensor(this, pointer, true, dtype, shape), tensor -> fill(tensor, 0));
    }

    /** So many bytes, aligned to at least 256 as the driver promises, and so to every access. */
    CUdeviceptr allocateBytes(long bytes, String what) {
        checkNotCapturing("the allocation of " + what);
        CUdeviceptr pointer = new CUdeviceptr();
        must(() -> cuMemAlloc(pointer, bytes), what + ": cuMemAlloc of " + bytes + " bytes");
        allocations.put(pointer, bytes);
        return pointer;
    }

    void freeBytes(CUdeviceptr pointer) {
        free(allocations.keySet(), pointer, () -> cuMemFree(pointer), "cuMemFree");
    }

    /** Host memory that stays where it is. */
    Pointer allocatePage(long bytes) {
        checkNotCapturing("a page of " + bytes + " bytes");
        Pointer page = new Pointer();
        must(() -> cuMemAllocHost(page, bytes), "cuMemAllocHost of " + bytes + " bytes");
        pages.add(page);
        return page;
    }

    void freePage(Pointer page) {
        free(pages, page, () -> cuMemFreeHost(page), "cuMemFreeHost");
    }

    /** What can say that the stream has come so far. */
    CUevent event() {
        checkNotCapturing("an event");
        CUevent event = new CUevent();
        must(() -> cuEventCreate(event, CUevent_flags.CU_EVENT_DISABLE_TIMING), "cuEventCreate");
        events.add(event);
        return event;
    }

    void freeEvent(CUevent event) {
        free(events, event, () -> cuEventDestroy(event), "cuEventDestroy");
    }

    /** Frees one of what there is, once; later, where a graph may still use it. What could not be freed is tried again at the end. */
    private <T> void free(Set<T> all, T one, Call call, String what) {
        if (!all.contains(one)) return;
        if (!graphs.isEmpty() || capture.isPresent()) {
            kept.add(() -> free(all, one, call, what));
            return;
        }
        checkNotCapturing(what); // of others, whose capture it would end
        must(call, what);
        all.remove(one);
    }

    /** Waits for all work asked for so far. */
    void finish() {
        checkNotCapturing("a wait");
        must(() -> cuStreamSynchronize(stream), "cuStreamSynchronize");
    }

    /** Frees memory that work asked for may still be writing to. */
    void discard(CUdeviceptr pointer) {
        if (!allocations.containsKey(pointer)) return;
        if (capture.isEmpty()) finish();
        freeBytes(pointer);
    }

    void fill(CudaTensor tensor, float value) {
        if (tensor.size() == 0) return;
        if (tensor.dtype() == Dtype.U8)
            must(() -> cuMemsetD8Async(tensor.pointer, Dtype.toU8(value), tensor.size(), stream), "cuMemsetD8Async");
        else if (tensor.dtype().is16())
            must(
                    () -> cuMemsetD16Async(
                            tensor.pointer, Conversion.round(tensor.dtype(), value), tensor.size(), stream),
                    "cuMemsetD16Async");
        else
            must(
                    () -> cuMemsetD32Async(tensor.pointer, Float.floatToRawIntBits(value), tensor.size(), stream),
                    "cuMemsetD32Async");
    }

    void copy(CudaTensor to, CudaTensor from) {
        if (to.size() == 0) return;
        if (to.dtype() == from.dtype())
            must(() -> cuMemcpyDtoDAsync(to.pointer, from.pointer, to.bytes(), stream), "cuMemcpyDtoDAsync");
        else elementwise(sets, "set", to, from, 0);
    }

    void add(CudaTensor to, CudaTensor from, float factor) {
        elementwise(adds, "add", to, from, factor);
    }

    /** {@code kernels/tensor.cu}, compiled when it is first asked for. */
    private void elementwise(
            Map<Dtype, Map<Dtype, CudaKernel>> kernels, String function, CudaTensor to, CudaTensor from, float factor) {
        Map<Dtype, CudaKernel> into = kernels.get(to.dtype());
        if (into == null) kernels.put(to.dtype(), into = new EnumMap<>(Dtype.class));
        CudaKernel kernel = into.get(from.dtype());
        if (kernel == null) {
            String text = Nvrtc.Source.of("tensor.cu").text();
            kernel = kernel("kernels/tensor.cu", text, function + to.dtype() + from.dtype());
            into.put(from.dtype(), kernel);
        }
        kernel.set(0, to.address)
                .set(1, from.address)
                .set(2, factor)
                .set(3, to.size())
                .start(
                        Math.min((to.size() + CudaDriver.THREADS - 1) / CudaDriver.THREADS, blocks(Integer.MAX_VALUE)),
                        CudaDriver.THREADS);
    }

    /** Puts elements of an array, from one on, into the buffer until that is full. */
    interface Part {
        void put(int from, ByteBuffer into);
    }

    /**
     * Copies elements, in the stream's order. The driver takes such a copy's bytes before it returns, so the array may change at once.
     *
     * <p>They go by way of memory outside the heap, some at a time: while a call has an array of the heap, the garbage collector stands still, and soon
     * all of the JVM, and a call may wait; in a full queue, behind a transfer from a rank that is another thread, for ever.
     */
    void toDevice(CUdeviceptr to, int elements, int width, Part array, String what) {
        if (elements == 0) return;
        checkNotCapturing("a copy of a Java array");
        int most = Math.min(elements, STAGED / width);
        if (staging.capacity() < most * width)
            staging = ByteBuffer.allocateDirect(most * width).order(ByteOrder.nativeOrder());
        Pointer from = Pointer.to(staging);
        for (int at = 0, count; at < elements; at += count) {
            count = Math.min(elements - at, most);
            long offset = (long) at * width, bytes = (long) count * width;
            array.put(at, staging.clear().limit(count * width));
            must(() -> cuMemcpyHtoDAsync(to.withByteOffset(offset), from, bytes, stream), what);
        }
    }

    void toDevice(CUdeviceptr to, long[] words, String what) {
        toDevice(
                to,
                words.length,
                Long.BYTES,
                (at, into) -> into.asLongBuffer().put(words, at, into.remaining() / Long.BYTES),
                "cuMemcpyHtoDAsync of " + what);
    }

    /** Waits before the copy, not in it, as {@link #toDevice} says why: what is copied then is there. */
    void toHost(Pointer to, CUdeviceptr from, long bytes, String what) {
        if (bytes == 0) return;
        checkNotCapturing("a read");
        must(() -> cuStreamSynchronize(stream), "cuStreamSynchronize");
        must(() -> cuMemcpyDtoHAsync(to, from, bytes, stream), "cuMemcpyDtoHAsync of " + what);
    }

    void toHost(Pointer to, CudaTensor tensor) {
        toHost(to, tensor.pointer, tensor.bytes(), tensor.toString());
    }

    /**
     * A kernel of your own, compiled for this device as the library's are (each operation one IEEE 754 operation, in the order written; kept in the
     * same cache on disk), for launches on this engine's stream. It goes with the engine.
     *
     * @param file a name for the source, for messages
     * @param source CUDA C++, header-free; it may include this library's {@code step.cuh}
     * @param function an {@code extern "C" __global__} function in it
     * @throws CudaException with the compiler's log and the numbered source if it does not compile, or has no such function
     */
    public CudaKernel kernel(String file, String source, String function) {
        return call(() -> new CudaKernel(this, file, source, function));
    }

    /**
     * The engine's cuBLAS, whose work goes to the engine's stream; made when it is first asked for, with a workspace of its own, and freed with
     * the engine. What is called on it is in order with everything else.
     *
     * @throws CudaException if cuBLAS 12 is not there
     */
    public cublasHandle cublas() {
        return call(() -> {
            if (cublas.isEmpty()) cublas = Optional.of(openCublas());
            return cublas.get();
        });
    }

    private cublasHandle openCublas() {
        checkNotCapturing("cuBLAS's first use");
        cublasHandle handle = new cublasHandle();
        List<Path> folders = Libraries.folders();
        try {
            // From where toolkits put it, too: JCublas's natives look only where the dynamic linker does.
            if (Libraries.find(Libraries.CUBLAS, folders).isPresent()) Libraries.loadCublas(folders);
            Libraries.load(JCublas2.class, "JCublas2");
            mustBlas(() -> cublasCreate(handle), "cublasCreate");
        } catch (LinkageError e) {
            throw Libraries.failure(e, Libraries.CUBLAS, Libraries.missingCublas(folders));
        }
        try {
            mustBlas(() -> cublasSetStream(handle, new cudaStream_t(stream)), "cublasSetStream");
            CUdeviceptr workspace = allocateBytes(CUBLAS_WORKSPACE, "cuBLAS's workspace");
            try {
                mustBlas(() -> cublasSetWorkspace(handle, workspace, CUBLAS_WORKSPACE), "cublasSetWorkspace");
            } catch (CudaException e) {
                freeBytes(workspace);
                throw e;
            }
            return handle;
        } catch (CudaException e) {
            CudaException.code(() -> cublasDestroy(handle));
            throw e;
        }
    }

    /** A source, compiled and loaded once. */
    CUmodule module(String file, String source) {
        return modules.computeIfAbsent(Nvrtc.Source.of(file, source), text -> {
            checkNotCapturing("the first use of " + file);
            CUmodule module = new CUmodule();
            int code = load(module, Nvrtc.compile(text, capability, false));
            if (code == NO_BINARY_FOR_GPU) code = load(module, Nvrtc.compile(text, capability, true));
            must(code, "cuModuleLoadDataEx of " + file);
            return module;
        });
    }

    /** From outside the heap, as {@link #toDevice} says why. */
    private static int load(CUmodule module, byte[] code) {
        Pointer image =
                Pointer.to(ByteBuffer.allocateDirect(code.length).put(code).flip());
        return CudaException.code(() -> cuModuleLoadDataEx(module, image, 0, new int[0], new Pointer()));
    }

    /** How many blocks walk a table of so many rows. */
    int blocks(int rows) {
        return Math.min(rows, multiprocessors * CudaDriver.BLOCKS);
    }

    @Override
    Driver driver(Rule[] rules, boolean[] averaged, Guard guard, boolean zeroes, Optional<LossScale> lossScale) {
        return new CudaDriver(this, rules, averaged, guard, zeroes, lossScale.map(CudaLossScale.class::cast));
    }

    @Override
    LossScale newLossScale(LossScaling scaling) {
        return new CudaLossScale(this, scaling);
    }

    @Override
    public Graph capture(Runnable body) {
        requireNonNull(body, "body");
        return call(() -> {
            CudaGraph graph = new CudaGraph(this);
            begin(graph);
            try {
                graph.record(body);
                graphs.add(graph);
                return graph;
            } finally {
                capture = Optional.empty();
                release(); // what a body that failed has closed
            }
        });
    }

    private void begin(CudaGraph graph) {
        if (capture.isPresent()) throw new IllegalStateException("a capture within a capture");
        checkNotCapturing("a capture");
        if (JCudaAddress.of(stream) == 0)
            throw new IllegalStateException(
                    "nothing can be captured on the null stream: open the engine on a stream of its own");
        graph.begin();
        capture = Optional.of(graph);
    }

    @Override
    Optional<CudaGraph> recording() {
        return capture;
    }

    /** Forgets a graph; what was kept for it, and for no other, is freed. */
    void forget(CudaGraph graph) {
        graphs.remove(graph);
        release();
    }

    private void release() {
        if (graphs.isEmpty() && !kept.isEmpty()) finish();
        while (graphs.isEmpty() && !kept.isEmpty()) kept.pop().run();
    }

    /** Whether a graph reads a table, which so has to stay as it is. */
    boolean isRead(CUdeviceptr table) {
        for (CudaGraph graph : graphs) if (graph.isReading(table)) return true;
        return false;
    }

    @Override
    void checkNotCapturing(String what) {
        if (capture.isPresent())
            throw new IllegalStateException(
                    "capture: " + what
                            + " cannot be recorded; run the body once before its capture, which compiles, allocates and lays out what it needs, and leave reads, waits and copies of arrays out of it");
        must(ask, "cuStreamIsCapturing");
        if (capturing[0] != 0)
            throw new IllegalStateException(this + ": somebody is capturing its stream, and " + what
                    + " cannot be recorded; capture with Engine.capture");
    }

    @Override
    void turn() {
        must(push, "cuCtxPushCurrent");
    }

    @Override
    void turnBack() {
        must(pop, "cuCtxPopCurrent");
    }

    @Override
    void free() {
        ended.set(true);
        // Everything is freed, whatever fails; the first failure is told at the end.
        int[] failed = {0};
        Consumer<Call> tried = call -> {
            int code = CudaException.code(call);
            if (failed[0] == 0) failed[0] = code;
        };
        tried.accept(push);
        boolean current = failed[0] == 0;
        tried.accept(() -> cuStreamSynchronize(stream));
        graphs.forEach(graph -> tried.accept(graph::destroy));
        cublas.ifPresent(handle -> CudaException.code(() -> cublasDestroy(handle)));
        allocations.keySet().forEach(pointer -> tried.accept(() -> cuMemFree(pointer)));
        pages.forEach(page -> tried.accept(() -> cuMemFreeHost(page)));
        events.forEach(event -> tried.accept(() -> cuEventDestroy(event)));
        modules.values().forEach(module -> tried.accept(() -> cuModuleUnload(module)));
        if (owned) tried.accept(() -> cuStreamDestroy(stream));
        if (current) tried.accept(pop);
        tried.accept(() -> cuDevicePrimaryCtxRelease(device));
        allocations.clear();
        must(failed[0], "closing " + this);
    }

    /** The device, as in {@code cuda:0 (NVIDIA H200)}. */
    @Override
    public String toString() {
        return name;
    }
}
