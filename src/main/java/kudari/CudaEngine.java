package kudari;

import static jcuda.driver.CUdevice_attribute.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR;
import static jcuda.driver.CUdevice_attribute.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR;
import static jcuda.driver.CUdevice_attribute.CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT;
import static jcuda.driver.JCudaDriver.cuCtxSetCurrent;
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
import static jcuda.driver.JCudaDriver.cuMemsetD32Async;
import static jcuda.driver.JCudaDriver.cuModuleLoadData;
import static jcuda.driver.JCudaDriver.cuModuleUnload;
import static jcuda.driver.JCudaDriver.cuStreamCreate;
import static jcuda.driver.JCudaDriver.cuStreamDestroy;
import static jcuda.driver.JCudaDriver.cuStreamGetCtx;
import static jcuda.driver.JCudaDriver.cuStreamSynchronize;
import static jcuda.jcublas.JCublas2.cublasCreate;
import static jcuda.jcublas.JCublas2.cublasDestroy;
import static jcuda.jcublas.JCublas2.cublasSetStream;
import static jcuda.jcublas.JCublas2.cublasSetWorkspace;
import static kudari.CudaException.must;
import static kudari.CudaException.mustBlas;

import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
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
import kudari.rule.Rule;

/**
 * The CUDA engine: tensors are device memory, a step is one kernel launch over all of them. Its results equal the CPU engine's bit for bit.
 *
 * <p>All work goes to one stream, in order and asynchronously: {@link Optimizer#update} and {@link Tensor#set} return at once, {@link
 * Tensor#get} waits. This class is the one place where JCuda's types show: {@link #wrap} makes a tensor of memory that somebody else owns,
 * {@link #pointer} and {@link #stream} let other CUDA code work on the engine's tensors in the right order.
 */
public final class CudaEngine extends Engine {

    /** The driver says that the machine code is not for this device. */
    private static final int NO_BINARY_FOR_GPU = 209;

    /** Before a rule's kernel: it leaves 0 in the gradients. Lines are counted as without it. */
    static final String ZEROES = "#define ZERO_GRADIENTS\n#line 1\n";

    /** Bytes; what cuBLAS's documentation advises for the largest devices. */
    private static final long CUBLAS_WORKSPACE = 32 << 20;

    private final CUdevice device = new CUdevice();
    private final CUcontext context = new CUcontext();
    final CUstream stream;

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
    private Optional<CudaKernel> add = Optional.empty();
    private final Set<CUevent> events = new LinkedHashSet<>();
    private final Map<Nvrtc.Source, CUmodule> modules = new HashMap<>();

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

    /** One that can compile its kernels, which it would find out only at the first of them. */
    static CudaEngine open(int ordinal, Optional<CUstream> theirs) {
        CudaEngine engine = new CudaEngine(ordinal, theirs);
        try {
            Nvrtc.load();
            return engine;
        } catch (RuntimeException e) {
            try {
                engine.close();
            } catch (RuntimeException closing) {
                e.addSuppressed(closing);
            }
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
        must(cuDeviceGet(device, ordinal), "cuDeviceGet(" + ordinal + ")");
        must(cuDevicePrimaryCtxRetain(context, device), "cuDevicePrimaryCtxRetain of device " + ordinal);
        try {
            must(cuCtxSetCurrent(context), "cuCtxSetCurrent");
            byte[] text = new byte[256];
            must(cuDeviceGetName(text, text.length, device), "cuDeviceGetName");
            name = "cuda:" + ordinal + " ("
                    + new String(text, StandardCharsets.UTF_8)
                            .replaceAll("\0.*", "")
                            .trim() + ")";
            capability = 10 * attribute(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)
                    + attribute(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR);
            multiprocessors = attribute(CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT);
            owned = theirs.isEmpty();
            stream = theirs.orElseGet(CUstream::new);
            if (owned) must(cuStreamCreate(stream, CUstream_flags.CU_STREAM_NON_BLOCKING), "cuStreamCreate");
            else checkContext(stream);
        } catch (RuntimeException e) {
            cuDevicePrimaryCtxRelease(device);
            throw e;
        }
    }

    /**
     * Finds the driver and starts it.
     *
     * @param who asks, for the message
     */
    static void start(String who) {
        driver(who);
        must(cuInit(0), who + "cuInit");
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
            must(cuDriverGetVersion(version), who + "cuDriverGetVersion");
        } catch (LinkageError e) {
            throw Libraries.failure(e, "libcuda.so.1", missing);
        }
        return version[0];
    }

    private void checkContext(CUstream stream) {
        CUcontext of = new CUcontext();
        must(cuStreamGetCtx(stream, of), "cuStreamGetCtx of the stream handed in");
        if (!of.equals(context)) {
            throw new IllegalArgumentException("stream: expected one of the primary context of " + name
                    + ", got one of another device or context");
        }
    }

    private int attribute(int attribute) {
        int[] value = new int[1];
        must(cuDeviceGetAttribute(value, attribute, device), "cuDeviceGetAttribute");
        return value[0];
    }

    /** The stream that all work of this engine goes to, in order: its own, or the one handed in. */
    public CUstream stream() {
        check();
        return stream;
    }

    /**
     * A tensor over device memory that somebody else owns and frees, of any alignment that a float may have.
     *
     * @param pointer the first element, in memory of this device
     * @param shape the extents, outermost first
     */
    public Tensor wrap(CUdeviceptr pointer, long... shape) {
        check();
        long address = address(pointer);
        if (address % Float.BYTES != 0) {
            throw new IllegalArgumentException(
                    "pointer 0x" + Long.toHexString(address) + ": expected a multiple of 4 bytes");
        }
        return new CudaTensor(this, pointer, shape);
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

    /** The bytes of device memory that this engine has allocated: tensors, state and tables; not what it wraps. */
    public long allocated() {
        return allocations.values().stream().mapToLong(Long::longValue).sum();
    }

    @Override
    CudaTensor allocate(long[] shape) {
        long size = Tensor.size(shape);
        if (size > Long.MAX_VALUE / Float.BYTES)
            throw new IllegalArgumentException("shape " + Arrays.toString(shape) + ": too many elements");
        CUdeviceptr pointer =
                size == 0 ? new CUdeviceptr() : allocateBytes(Float.BYTES * size, "shape " + Arrays.toString(shape));
        return filled(new CudaTensor(this, pointer, shape), tensor -> fill(tensor, 0));
    }

    /** So many bytes, aligned to at least 256 as the driver promises, and so to every access. */
    CUdeviceptr allocateBytes(long bytes, String what) {
        CUdeviceptr pointer = new CUdeviceptr();
        must(cuMemAlloc(pointer, bytes), what + ": cuMemAlloc of " + bytes + " bytes");
        allocations.put(pointer, bytes);
        return pointer;
    }

    void freeBytes(CUdeviceptr pointer) {
        if (!allocations.containsKey(pointer)) return;
        must(cuMemFree(pointer), "cuMemFree");
        allocations.remove(pointer); // what could not be freed is tried again at the end
    }

    /** Host memory that stays where it is. */
    Pointer allocatePage(long bytes) {
        Pointer page = new Pointer();
        must(cuMemAllocHost(page, bytes), "cuMemAllocHost of " + bytes + " bytes");
        pages.add(page);
        return page;
    }

    void freePage(Pointer page) {
        if (!pages.contains(page)) return;
        must(cuMemFreeHost(page), "cuMemFreeHost");
        pages.remove(page); // what could not be freed is tried again at the end
    }

    /** What can say that the stream has come so far. */
    CUevent event() {
        CUevent event = new CUevent();
        must(cuEventCreate(event, CUevent_flags.CU_EVENT_DISABLE_TIMING), "cuEventCreate");
        events.add(event);
        return event;
    }

    void freeEvent(CUevent event) {
        if (events.remove(event)) must(cuEventDestroy(event), "cuEventDestroy");
    }

    /** Waits for all work asked for so far. */
    void finish() {
        must(cuStreamSynchronize(stream), "cuStreamSynchronize");
    }

    @Override
    void discard(Tensor tensor) {
        discard(((CudaTensor) tensor).pointer);
    }

    /** Frees memory that work asked for may still be writing to. */
    void discard(CUdeviceptr pointer) {
        try {
            finish();
        } finally {
            freeBytes(pointer);
        }
    }

    void fill(CudaTensor tensor, float value) {
        if (tensor.size() == 0) return;
        must(
                cuMemsetD32Async(tensor.pointer, Float.floatToRawIntBits(value), tensor.size(), stream),
                "cuMemsetD32Async of " + tensor);
    }

    void copy(CudaTensor to, CudaTensor from) {
        if (to.size() == 0) return;
        must(
                cuMemcpyDtoDAsync(to.pointer, from.pointer, Float.BYTES * to.size(), stream),
                "cuMemcpyDtoDAsync from " + from);
    }

    /** {@code kernels/tensor.cu}, compiled when it is first asked for. */
    void add(CudaTensor to, CudaTensor from, float factor) {
        if (add.isEmpty())
            add = Optional.of(
                    kernel("kernels/tensor.cu", Nvrtc.Source.of("tensor.cu").text(), "add"));
        add.get()
                .set(0, to.address)
                .set(1, from.address)
                .set(2, factor)
                .set(3, to.size())
                .start(
                        Math.min((to.size() + CudaDriver.THREADS - 1) / CudaDriver.THREADS, blocks(Integer.MAX_VALUE)),
                        CudaDriver.THREADS);
    }

    /** From the heap: the driver takes such a copy's bytes before it returns, so nothing waits, and the array may change at once. */
    void toDevice(CudaTensor tensor, Pointer from) {
        if (tensor.size() == 0) return;
        must(
                cuMemcpyHtoDAsync(tensor.pointer, from, Float.BYTES * tensor.size(), stream),
                "cuMemcpyHtoDAsync to " + tensor);
    }

    void toHost(Pointer to, CudaTensor tensor) {
        if (tensor.size() == 0) return;
        must(
                cuMemcpyDtoHAsync(to, tensor.pointer, Float.BYTES * tensor.size(), stream),
                "cuMemcpyDtoHAsync from " + tensor);
        finish();
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
        check();
        return new CudaKernel(this, file, source, function);
    }

    /**
     * The engine's cuBLAS, whose work goes to the engine's stream; made when it is first asked for, with a workspace of its own, and freed with
     * the engine. What is called on it is in order with everything else.
     *
     * @throws CudaException if cuBLAS 12 is not there
     */
    public cublasHandle cublas() {
        check();
        if (cublas.isEmpty()) cublas = Optional.of(openCublas());
        return cublas.get();
    }

    private cublasHandle openCublas() {
        cublasHandle handle = new cublasHandle();
        List<Path> folders = Libraries.folders();
        try {
            // From where toolkits put it, too: JCublas's natives look only where the dynamic linker does.
            if (Libraries.find(Libraries.CUBLAS, folders).isPresent()) Libraries.loadCublas(folders);
            Libraries.load(JCublas2.class, "JCublas2");
            mustBlas(cublasCreate(handle), "cublasCreate");
        } catch (LinkageError e) {
            throw Libraries.failure(e, Libraries.CUBLAS, Libraries.missingCublas(folders));
        }
        CUdeviceptr workspace = new CUdeviceptr();
        try {
            mustBlas(cublasSetStream(handle, new cudaStream_t(stream)), "cublasSetStream");
            workspace = allocateBytes(CUBLAS_WORKSPACE, "cuBLAS's workspace");
            mustBlas(cublasSetWorkspace(handle, workspace, CUBLAS_WORKSPACE), "cublasSetWorkspace");
            return handle;
        } catch (CudaException e) {
            cublasDestroy(handle);
            freeBytes(workspace);
            throw e;
        }
    }

    /** A kernel of a rule, {@code kernels/adam.cu} for {@code Adam}, with arguments of its own; one that leaves 0 in the gradients, if asked to. */
    CudaKernel kernel(Rule rule, boolean zeroes) {
        String name = rule.getClass().getSimpleName().toLowerCase(Locale.ROOT), file = name + ".cu";
        String text = Nvrtc.Source.of(file).text();
        return kernel("kernels/" + file, zeroes ? ZEROES + text : text, name);
    }

    /** A source, compiled and loaded once. */
    CUmodule module(String file, String source) {
        return modules.computeIfAbsent(Nvrtc.Source.of(file, source), text -> {
            CUmodule module = new CUmodule();
            int code = cuModuleLoadData(module, Nvrtc.compile(text, capability, false));
            if (code == NO_BINARY_FOR_GPU) code = cuModuleLoadData(module, Nvrtc.compile(text, capability, true));
            must(code, "cuModuleLoadData of " + file);
            return module;
        });
    }

    /** How many blocks walk a table of so many rows. */
    int blocks(int rows) {
        return Math.min(rows, multiprocessors * CudaDriver.BLOCKS);
    }

    @Override
    Driver driver(Rule[] rules, Guard guard, boolean zeroes) {
        return new CudaDriver(this, rules, guard, zeroes);
    }

    @Override
    void enter() {
        must(cuCtxSetCurrent(context), "cuCtxSetCurrent");
    }

    @Override
    void free() {
        // Everything is freed, whatever fails; the first failure is told at the end.
        int failed = cuCtxSetCurrent(context);
        int code = cuStreamSynchronize(stream);
        if (failed == 0) failed = code;
        cublas.ifPresent(JCublas2::cublasDestroy);
        for (CUdeviceptr pointer : allocations.keySet()) {
            code = cuMemFree(pointer);
            if (failed == 0) failed = code;
        }
        allocations.clear();
        for (Pointer page : pages) {
            code = cuMemFreeHost(page);
            if (failed == 0) failed = code;
        }
        pages.clear();
        for (CUevent event : events) cuEventDestroy(event);
        for (CUmodule module : modules.values()) cuModuleUnload(module);
        code = owned ? cuStreamDestroy(stream) : 0;
        if (failed == 0) failed = code;
        code = cuDevicePrimaryCtxRelease(device);
        if (failed == 0) failed = code;
        must(failed, "closing " + this);
    }

    /** The device, as in {@code cuda:0 (NVIDIA H200)}. */
    @Override
    public String toString() {
        return name;
    }

    /** The address that a pointer holds, which JCuda shows to subclasses only. */
    static long address(Pointer pointer) {
        return new Address(pointer).value();
    }

    private static final class Address extends Pointer {

        Address(Pointer pointer) {
            super(pointer, 0);
        }

        long value() {
            return getNativePointer() + getByteOffset();
        }
    }
}
