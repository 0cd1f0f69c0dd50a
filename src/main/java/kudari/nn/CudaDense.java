package kudari.nn;

import static java.nio.charset.StandardCharsets.UTF_8;
import static jcuda.driver.JCudaDriver.cuMemcpyHtoDAsync;
import static jcuda.jcublas.JCublas2.cublasGemmEx_new;
import static jcuda.jcublas.cublasComputeType.CUBLAS_COMPUTE_32F;
import static jcuda.jcublas.cublasGemmAlgo.CUBLAS_GEMM_DEFAULT;
import static jcuda.jcublas.cublasOperation.CUBLAS_OP_N;
import static jcuda.jcublas.cublasOperation.CUBLAS_OP_T;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.IntBuffer;
import jcuda.Pointer;
import jcuda.cudaDataType;
import jcuda.driver.CUstream;
import jcuda.jcublas.cublasHandle;
import kudari.CudaEngine;
import kudari.CudaException;
import kudari.CudaKernel;
import kudari.Dtype;
import kudari.Tensor;

/** The dense operations on a CUDA device: cuBLAS for the products, {@code kernels/nn.cu} for the rest. */
final class CudaDense implements Dense {

    private static final int THREADS = 256;

    /** Columns of a block of the bias gradient. */
    private static final int COLUMNS = 32;

    // What a call reads is outside the heap: while it has an array of that, no garbage is collected, and a call may
    // wait.
    private static final Pointer ONE = Pointer.to(outside(Float.BYTES).putFloat(0, 1)),
            ZERO = Pointer.to(outside(Float.BYTES));

    private final CudaEngine engine;
    private final CUstream stream;
    private final cublasHandle cublas;
    private final Scope scope = new Scope();
    private final CudaKernel gather, biasAndLowerBound, reluGradient, biasGradient, crossEntropy;

    /** The numbers of a batch's samples on their way to the device, where an int takes the room of a float. */
    private IntBuffer numbers = outside(0).asIntBuffer();

    private Pointer hostNumbers = Pointer.to(numbers);

    CudaDense(CudaEngine engine, Dtype dtype) {
        this.engine = engine;
        stream = engine.stream();
        cublas = engine.cublas();
        String source = source(dtype);
        try {
            gather = kernel(source, "gather");
            biasAndLowerBound = kernel(source, "biasAndLowerBound");
            reluGradient = kernel(source, "reluGradient");
            biasGradient = kernel(source, "biasGradient");
            crossEntropy = kernel(source, "crossEntropy");
        } catch (RuntimeException | Error e) {
            scope.abandon(e);
            throw e;
        }
    }

    private CudaKernel kernel(String source, String function) {
        return scope.add(engine.kernel("kernels/nn.cu", source, function), CudaKernel::close);
    }

    /** The kernels over activations of a type. Lines are counted as without what is put before them. */
    private static String source(Dtype dtype) {
        try (InputStream in = CudaDense.class.getResourceAsStream("/kudari/kernels/nn.cu")) {
            if (in == null) throw new IllegalStateException("kernels/nn.cu is not in the jar");
            return "#define DTYPE " + dtype + "\n#line 1\n" + new String(in.readAllBytes(), UTF_8);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static ByteBuffer outside(int bytes) {
        return ByteBuffer.allocateDirect(bytes).order(ByteOrder.nativeOrder());
    }

    @Override
    public void choose(int[] rows, int count, Activations into) {
        if (numbers.capacity() < count) {
            numbers = outside(Integer.BYTES * count).asIntBuffer();
            hostNumbers = Pointer.to(numbers);
        }
        numbers.clear().put(rows, 0, count);
        // The driver takes such a copy's bytes before it returns.
        String what = "cuMemcpyHtoDAsync of the numbers of a batch";
        try {
            CudaException.must(
                    cuMemcpyHtoDAsync(engine.pointer(into.numbers), hostNumbers, (long) Integer.BYTES * count, stream),
                    what);
        } catch (jcuda.CudaException e) {
            throw CudaException.of(e, what);
        }
    }

    @Override
    public void gather(Samples samples, int count, Activations pass) {
        gather.set(0, samples.x).set(1, samples.labels).set(2, pass.numbers).set(3, samples.features());
        gather.set(4, pass.values[0]).set(5, pass.labels).launch(count, THREADS);
    }

    @Override
    public void affine(Layer layer, int rows, Tensor x, float lowerBound, Tensor sums, Tensor y) {
        multiply(rows, layer.out(), layer.in(), CUBLAS_OP_N, x, CUBLAS_OP_N, layer.weight(), sums);
        biasAndLowerBound.set(0, sums).set(1, layer.bias()).set(2, layer.out()).set(3, lowerBound);
        biasAndLowerBound.set(4, y).launch(rows, THREADS);
    }

    @Override
    public void crossEntropy(
            int rows, int classes, Tensor logits, Tensor labels, Tensor scale, Tensor outcomes, Tensor at) {
        crossEntropy
                .set(0, logits)
                .set(1, labels)
                .set(2, rows)
                .set(3, 1.0 / rows)
                .set(4, classes);
        crossEntropy.set(5, scale).set(6, outcomes).set(7, outcomes.size() / 2).set(8, at);
        crossEntropy.launch(1, THREADS);
    }

    @Override
    public void parameterGradient(Layer layer, int rows, Tensor x, Tensor dy) {
        multiply(layer.in(), layer.out(), rows, CUBLAS_OP_T, x, CUBLAS_OP_N, dy, layer.dWeight());
        biasGradient.set(0, dy).set(1, rows).set(2, layer.out()).set(3, layer.dBias());
        biasGradient.launch((layer.out() + COLUMNS - 1) / COLUMNS, THREADS);
    }

    @Override
    public void inputGradient(Layer layer, int rows, Tensor dy, Tensor dx) {
        multiply(rows, layer.in(), layer.out(), CUBLAS_OP_N, dy, CUBLAS_OP_T, layer.weight(), dx);
    }

    @Override
    public void reluGradient(long count, Tensor y, Tensor dy) {
        reluGradient.set(0, y).set(1, dy).set(2, count).launch((count + THREADS - 1) / THREADS, THREADS);
    }

    @Override
    public void close() {
        scope.close();
    }

    /**
     * c ← a · b, where the product is [m, n], a sum of k terms in float32, whatever the types. cuBLAS reads columns where we have rows, so to it every matrix is its own
     * transpose, and what it is asked for is cᵀ = bᵀ · aᵀ: nothing is copied.
     */
    private void multiply(int m, int n, int k, int formA, Tensor a, int formB, Tensor b, Tensor c) {
        try {
            int status = cublasGemmEx_new(
                    cublas,
                    formB,
                    formA,
                    n,
                    m,
                    k,
                    ONE,
                    engine.pointer(b),
                    type(b),
                    formB == CUBLAS_OP_N ? n : k,
                    engine.pointer(a),
                    type(a),
                    formA == CUBLAS_OP_N ? k : m,
                    ZERO,
                    engine.pointer(c),
                    type(c),
                    n,
                    CUBLAS_COMPUTE_32F,
                    CUBLAS_GEMM_DEFAULT);
            CudaException.mustBlas(status, "cublasGemmEx");
        } catch (jcuda.CudaException e) {
            throw CudaException.of(e, "cublasGemmEx");
        }
    }

    /** What cuBLAS calls a tensor's type. */
    private static int type(Tensor tensor) {
        Dtype dtype = tensor.dtype();
        return dtype == Dtype.F32
                ? cudaDataType.CUDA_R_32F
                : dtype == Dtype.BF16 ? cudaDataType.CUDA_R_16BF : cudaDataType.CUDA_R_16F;
    }
}
