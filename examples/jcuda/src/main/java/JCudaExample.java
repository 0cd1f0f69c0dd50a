import static jcuda.driver.JCudaDriver.cuCtxSetCurrent;
import static jcuda.driver.JCudaDriver.cuDeviceGet;
import static jcuda.driver.JCudaDriver.cuDevicePrimaryCtxRelease;
import static jcuda.driver.JCudaDriver.cuDevicePrimaryCtxRetain;
import static jcuda.driver.JCudaDriver.cuInit;
import static jcuda.driver.JCudaDriver.cuLaunchKernel;
import static jcuda.driver.JCudaDriver.cuMemAlloc;
import static jcuda.driver.JCudaDriver.cuMemFree;
import static jcuda.driver.JCudaDriver.cuMemcpyDtoHAsync;
import static jcuda.driver.JCudaDriver.cuMemcpyHtoDAsync;
import static jcuda.driver.JCudaDriver.cuModuleGetFunction;
import static jcuda.driver.JCudaDriver.cuModuleLoadData;
import static jcuda.driver.JCudaDriver.cuModuleUnload;
import static jcuda.driver.JCudaDriver.cuStreamCreate;
import static jcuda.driver.JCudaDriver.cuStreamDestroy;
import static jcuda.driver.JCudaDriver.cuStreamSynchronize;
import static jcuda.nvrtc.JNvrtc.nvrtcCompileProgram;
import static jcuda.nvrtc.JNvrtc.nvrtcCreateProgram;
import static jcuda.nvrtc.JNvrtc.nvrtcDestroyProgram;
import static jcuda.nvrtc.JNvrtc.nvrtcGetPTX;

import java.util.Map;
import java.util.Random;
import jcuda.Pointer;
import jcuda.driver.CUcontext;
import jcuda.driver.CUdevice;
import jcuda.driver.CUdeviceptr;
import jcuda.driver.CUfunction;
import jcuda.driver.CUmodule;
import jcuda.driver.CUstream;
import jcuda.driver.CUstream_flags;
import jcuda.driver.JCudaDriver;
import jcuda.nvrtc.JNvrtc;
import jcuda.nvrtc.nvrtcProgram;
import kudari.CudaEngine;
import kudari.Guard;
import kudari.LearningRate;
import kudari.Optimizer;
import kudari.Tensor;
import kudari.rule.Adam;

/**
 * A program with kernels of its own: a logistic regression, whose gradient a kernel works out on a stream. Adam steps the weights there, in their memory, in the
 * order of that stream. Of Kudari are the lines from {@code CudaEngine.open} to {@code update}; the rest is plain JCuda.
 */
public class JCudaExample {

    static final int SAMPLES = 128, FEATURES = 8, STEPS = 150;

    /** One thread a weight, the last of which is the bias. */
    static final String GRADIENT = """
            extern "C" __global__ void gradient(const float* x, const float* label, const float* w, float* dw, int n, int d) {
              int j = threadIdx.x;
              float sum = 0;
              for (int i = 0; i < n; i++) {
                float z = w[d];
                for (int k = 0; k < d; k++) z += w[k] * x[i * d + k];
                float error = 1 / (1 + expf(-z)) - label[i];
                sum += error * (j < d ? x[i * d + j] : 1);
              }
              dw[j] = sum / n;
            }
            """;

    public static void main(String[] args) {
        JCudaDriver.setExceptionsEnabled(true);
        CudaEngine.loadNatives(); // from a folder of this user's; JCuda would take what lies in /tmp
        cuInit(0);
        CUdevice device = new CUdevice();
        cuDeviceGet(device, 0);
        CUcontext context = new CUcontext();
        cuDevicePrimaryCtxRetain(context, device);
        cuCtxSetCurrent(context);
        CUstream stream = new CUstream();
        cuStreamCreate(stream, CUstream_flags.CU_STREAM_NON_BLOCKING);

        // Samples that a hidden set of weights tells apart.
        Random random = new Random(1);
        float[] hidden = new float[FEATURES + 1], features = new float[SAMPLES * FEATURES], labels = new float[SAMPLES];
        for (int j = 0; j <= FEATURES; j++) hidden[j] = (float) random.nextGaussian();
        for (int i = 0; i < features.length; i++) features[i] = (float) random.nextGaussian();
        for (int i = 0; i < SAMPLES; i++) labels[i] = score(hidden, features, i) > 0 ? 1 : 0;
        CUdeviceptr x = onDevice(features, stream), label = onDevice(labels, stream);
        CUdeviceptr w = onDevice(new float[FEATURES + 1], stream), dw = onDevice(new float[FEATURES + 1], stream);

        try (CudaEngine engine = CudaEngine.open(0, stream)) {
            Map<String, Tensor> params = Map.of("w", engine.wrap(w, FEATURES + 1)),
                    grads = Map.of("w", engine.wrap(dw, FEATURES + 1));
            Optimizer adam = engine.optimizer(
                            LearningRate.cosine(0.3, 0.003, STEPS).of(Adam.of()))
                    .guard(Guard.clipNorm(1));
            CUmodule module = new CUmodule();
            cuModuleLoadData(module, ptx());
            CUfunction gradient = new CUfunction();
            cuModuleGetFunction(gradient, module, "gradient");
            Pointer arguments = Pointer.to(
                    Pointer.to(x),
                    Pointer.to(label),
                    Pointer.to(w),
                    Pointer.to(dw),
                    Pointer.to(new int[] {SAMPLES}),
                    Pointer.to(new int[] {FEATURES}));
            for (int step = 0; step < STEPS; step++) {
                cuLaunchKernel(gradient, 1, 1, 1, FEATURES + 1, 1, 1, 0, stream, arguments, null);
                adam.update(params, grads); // after that kernel, before what comes next; nothing waits
            }
            System.out.println(adam.steps() + " steps on " + engine);
            cuModuleUnload(module);
        } // the memory and the stream stay theirs

        float[] learned = new float[FEATURES + 1];
        cuMemcpyDtoHAsync(Pointer.to(learned), w, (long) Float.BYTES * learned.length, stream);
        cuStreamSynchronize(stream);
        for (CUdeviceptr pointer : new CUdeviceptr[] {x, label, w, dw}) cuMemFree(pointer);
        cuStreamDestroy(stream);
        cuDevicePrimaryCtxRelease(device);

        int right = 0;
        for (int i = 0; i < SAMPLES; i++) right += score(learned, features, i) > 0 == labels[i] > 0 ? 1 : 0;
        System.out.println(right + " of " + SAMPLES + " samples on the right side");
        if (right < 0.95 * SAMPLES) throw new IllegalStateException("it did not learn");
    }

    static float score(float[] w, float[] x, int i) {
        float z = w[FEATURES];
        for (int k = 0; k < FEATURES; k++) z += w[k] * x[i * FEATURES + k];
        return z;
    }

    static CUdeviceptr onDevice(float[] values, CUstream stream) {
        CUdeviceptr pointer = new CUdeviceptr();
        cuMemAlloc(pointer, (long) Float.BYTES * values.length);
        cuMemcpyHtoDAsync(pointer, Pointer.to(values), (long) Float.BYTES * values.length, stream);
        return pointer;
    }

    /** Opening an engine has loaded NVRTC, from a toolkit or from Maven's artifact; nvcc would have done as well. */
    static byte[] ptx() {
        JNvrtc.setExceptionsEnabled(true);
        nvrtcProgram program = new nvrtcProgram();
        nvrtcCreateProgram(program, GRADIENT, "gradient.cu", 0, null, null);
        nvrtcCompileProgram(program, 0, new String[0]);
        String[] ptx = new String[1];
        nvrtcGetPTX(program, ptx);
        nvrtcDestroyProgram(program);
        return (ptx[0] + "\0").getBytes();
    }
}
