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
import static jcuda.driver.JCudaDriver.cuInit;
import static jcuda.driver.JCudaDriver.cuMemAlloc;
import static jcuda.driver.JCudaDriver.cuMemAllocHost;
import static jcuda.driver.JCudaDriver.cuMemFree;
import static jcuda.driver.JCudaDriver.cuMemFreeHost;
import static jcuda.driver.JCudaDriver.cuMemcpyDtoHAsync;
import static jcuda.driver.JCudaDriver.cuMemcpyHtoDAsync;
import static jcuda.driver.JCudaDriver.cuMemsetD32Async;
import static jcuda.driver.JCudaDriver.cuStreamCreate;
import static jcuda.driver.JCudaDriver.cuStreamDestroy;
import static jcuda.driver.JCudaDriver.cuStreamSynchronize;
import static kudari.CudaException.must;

import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import jcuda.Pointer;
import jcuda.driver.CUcontext;
import jcuda.driver.CUdevice;
import jcuda.driver.CUdeviceptr;
import jcuda.driver.CUstream;
import jcuda.driver.CUstream_flags;
import kudari.rule.Rule;

/**
 * The CUDA engine: tensors are device memory, a step is one kernel launch over all of them. Its results equal the CPU engine's bit for bit.
 *
 * <p>All work goes to one stream, in order and asynchronously: {@link Optimizer#update} returns at once, {@link Tensor#get} and {@link
 * Tensor#set} wait. This class is the one place where JCuda's types show: {@link #wrap} makes a tensor of memory that somebody else owns,
 * {@link #pointer} and {@link #stream} let other CUDA code work on the engine's tensors in the right order.
 */
public final class CudaEngine extends Engine {

    private final CUdevice device = new CUdevice();
    private final CUstream stream = new CUstream();
    private final String name;
    private final int capability, multiprocessors;

    /** What the engine has allocated and not yet freed: address and bytes. */
    private final Map<CUdeviceptr, Long> allocations = new LinkedHashMap<>();

    /** Pages of host memory that stay where they are. */
    private final Set<Pointer> pages = new LinkedHashSet<>();

    private final Map<Class<? extends Rule>, CudaKernel> kernels = new HashMap<>();

    CudaEngine(int ordinal) {
        try {
            must(cuInit(0), "cuInit");
        } catch (LinkageError e) {
            throw new CudaException("cuda:" + ordinal
                    + ": no CUDA driver (libcuda.so.1) on this machine: install NVIDIA's driver, or take the CPU"
                    + " engine (Engine.cpu(), --device cpu)");
        }
        must(cuDeviceGet(device, ordinal), "cuDeviceGet(" + ordinal + ")");
        CUcontext context = new CUcontext();
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
            must(cuStreamCreate(stream, CUstream_flags.CU_STREAM_NON_BLOCKING), "cuStreamCreate");
        } catch (RuntimeException e) {
            cuDevicePrimaryCtxRelease(device);
            throw e;
        }
    }

    private int attribute(int attribute) {
        int[] value = new int[1];
        must(cuDeviceGetAttribute(value, attribute, device), "cuDeviceGetAttribute");
        return value[0];
    }

    /** The stream that all work of this engine goes to, in order. */
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
        check();
        if (tensor.engine != this)
            throw new IllegalArgumentException(tensor + ": expected a tensor of this engine, " + this);
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
        pages.remove(page);
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

    void toDevice(CudaTensor tensor, Pointer from) {
        if (tensor.size() == 0) return;
        must(
                cuMemcpyHtoDAsync(tensor.pointer, from, Float.BYTES * tensor.size(), stream),
                "cuMemcpyHtoDAsync to " + tensor);
        finish();
    }

    void toHost(Pointer to, CudaTensor tensor) {
        if (tensor.size() == 0) return;
        must(
                cuMemcpyDtoHAsync(to, tensor.pointer, Float.BYTES * tensor.size(), stream),
                "cuMemcpyDtoHAsync from " + tensor);
        finish();
    }

    @Override
    void prepare(Class<? extends Rule> kind) {
        kernels.computeIfAbsent(kind, k -> new CudaKernel(k.getSimpleName().toLowerCase(Locale.ROOT), capability));
    }

    @Override
    Table table(Tensor[] params, Tensor[] grads, Tensor[][] state) {
        return new CudaTable(this, multiprocessors, params, grads, state);
    }

    @Override
    void apply(Rule rule, float[] scalars, Table table) {
        ((CudaTable) table).launch(kernels.get(rule.getClass()), scalars, stream);
    }

    @Override
    void free() {
        // Everything is freed, whatever fails; the first failure is told at the end.
        int failed = cuStreamSynchronize(stream);
        for (CUdeviceptr pointer : allocations.keySet()) {
            int code = cuMemFree(pointer);
            if (failed == 0) failed = code;
        }
        allocations.clear();
        for (Pointer page : pages) {
            int code = cuMemFreeHost(page);
            if (failed == 0) failed = code;
        }
        pages.clear();
        for (CudaKernel kernel : kernels.values()) kernel.unload();
        int code = cuStreamDestroy(stream);
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
