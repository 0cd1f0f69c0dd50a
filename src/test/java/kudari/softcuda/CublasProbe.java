package kudari.softcuda;

import static jcuda.driver.JCudaDriver.*;
import static jcuda.jcublas.JCublas2.*;
import static jcuda.jcublas.cublasOperation.CUBLAS_OP_N;
import static jcuda.jcublas.cublasOperation.CUBLAS_OP_T;
import static kudari.softcuda.Probe.anyBits;
import static kudari.softcuda.Probe.differing;
import static kudari.softcuda.Probe.must;

import java.util.Random;
import java.util.function.IntSupplier;
import jcuda.Pointer;
import jcuda.cudaDataType;
import jcuda.driver.CUcontext;
import jcuda.driver.CUdeviceptr;
import jcuda.driver.CUstream;
import jcuda.jcublas.cublasComputeType;
import jcuda.jcublas.cublasGemmAlgo;
import jcuda.jcublas.cublasHandle;
import jcuda.jcublas.cublasPointerMode;
import jcuda.runtime.cudaStream_t;

/** What {@link CublasTest} runs in a JVM on the GPU in software: JCublas's own natives over its libcublas.so.12. */
final class CublasProbe {

    private static final int[] OPERATIONS = {CUBLAS_OP_N, CUBLAS_OP_T};

    private final Random random = new Random(20260801);
    private final Probe probe = new Probe(".version 8.0\n.target sm_90\n.address_size 64\n");
    private cublasHandle handle = new cublasHandle();

    private CublasProbe() {}

    public static void main(String[] arguments) {
        must(cuInit(0));
        CublasProbe probe = new CublasProbe();
        probe.results();
        probe.order();
        probe.faults();
        probe.refusals();
        System.out.println("end");
        must(cuCtxCreate(new CUcontext(), 0, probe.probe.device));
        must(cublasCreate(new cublasHandle())); // seen at exit
    }

    /** A case with a handle of its own on the case's stream. */
    private void in(String name, IntSupplier body) {
        probe.in(name, () -> {
            handle = new cublasHandle();
            must(cublasCreate(handle));
            must(cublasSetStream(handle, new cudaStream_t(probe.stream)));
            int code = body.getAsInt();
            if (handle != NONE) cublasDestroy(handle);
            return code;
        });
    }

    /** For a case that lets go of its handle by itself, or does not. */
    private static final cublasHandle NONE = new cublasHandle();

    private static Pointer of(float x) {
        return Pointer.to(new float[] {x});
    }

    private int synchronize(int status) {
        return status != 0 ? status : cuStreamSynchronize(probe.stream);
    }

    /** Floats of 20 decades, so that the order of a sum shows. */
    private float[] spread(int n) {
        float[] x = new float[n];
        for (int i = 0; i < n; i++)
            x[i] = (float) ((random.nextDouble() - 0.5) * Math.pow(10, 20 * random.nextDouble() - 10));
        return x;
    }

    /** On the device, column after column; what lies between the columns is never written, so that nobody may read it. */
    private CUdeviceptr columns(float[] x, int rows, int ld) {
        CUdeviceptr p = probe.raw(4L * Math.max(1, x.length));
        for (int first = 0; first + rows <= x.length; first += ld) {
            if (rows > 0)
                must(cuMemcpyHtoD(p.withByteOffset(4L * first), Pointer.to(x).withByteOffset(4L * first), 4L * rows));
        }
        return p;
    }

    /** The definition: c = alpha·(left(a)·right(b)) + beta·c from the offsets on, the sum from k = 0 up, each operation a float's. */
    private static void product(
            int left,
            int right,
            int m,
            int n,
            int k,
            float alpha,
            float[] a,
            int a0,
            int lda,
            float[] b,
            int b0,
            int ldb,
            float beta,
            float[] c,
            int c0,
            int ldc) {
        for (int i = 0; i < m; i++) {
            for (int j = 0; j < n; j++) {
                float sum = 0;
                for (int l = 0; l < k; l++) {
                    float x = a[a0 + (left == CUBLAS_OP_N ? i + l * lda : l + i * lda)];
                    float y = b[b0 + (right == CUBLAS_OP_N ? l + j * ldb : j + l * ldb)];
                    sum += x * y;
                }
                int to = c0 + i + j * ldc;
                c[to] = beta == 0 ? alpha * sum : alpha * sum + beta * c[to];
            }
        }
    }

    private int products(boolean any, int m, int n, int k) {
        int wrong = 0;
        for (int left : OPERATIONS) {
            for (int right : OPERATIONS) {
                int rowsA = left == CUBLAS_OP_N ? m : k, rowsB = right == CUBLAS_OP_N ? k : n;
                int lda = rowsA + 3, ldb = rowsB + 5, ldc = m + 2;
                int sizeA = lda * (left == CUBLAS_OP_N ? k : m), sizeB = ldb * (right == CUBLAS_OP_N ? n : k);
                float[] a = any ? anyBits(random, sizeA) : spread(sizeA),
                        b = any ? anyBits(random, sizeB) : spread(sizeB);
                float[] c = any ? anyBits(random, ldc * n) : spread(ldc * n);
                CUdeviceptr pa = columns(a, rowsA, lda), pb = columns(b, rowsB, ldb), pc = columns(c, ldc, ldc);
                float alpha = -1.3f, beta = 0.7f;
                must(synchronize(
                        cublasSgemm(handle, left, right, m, n, k, of(alpha), pa, lda, pb, ldb, of(beta), pc, ldc)));
                product(left, right, m, n, k, alpha, a, 0, lda, b, 0, ldb, beta, c, 0, ldc);
                wrong += differing(c, probe.get(pc, c.length));
            }
        }
        return wrong;
    }

    /** The bits of a 16-bit type and the floats that they are, some of them small, large or not finite. */
    private record Halves(short[] bits, float[] floats) {}

    private Halves halves(int type, int n) {
        Halves all = new Halves(new short[n], new float[n]);
        for (int i = 0; i < n; i++) {
            // Of a normal float, cut off or rounded: what kinds of numbers there are, ConversionTest and softcuda's own
            // test see to.
            float x = (float) random.nextGaussian();
            all.bits[i] = type == cudaDataType.CUDA_R_16BF
                    ? (short) (Float.floatToRawIntBits(x) >> 16)
                    : (short) (random.nextInt(2) << 15 | 12 + random.nextInt(6) << 10 | random.nextInt(1024));
            all.floats[i] = widened(type, all.bits[i]);
        }
        return all;
    }

    private static float widened(int type, short bits) {
        if (type == cudaDataType.CUDA_R_16BF) return Float.intBitsToFloat(bits << 16);
        int exponent = bits >> 10 & 31, fraction = bits & 1023;
        double x = exponent == 0 ? Math.scalb(fraction, -24) : Math.scalb(1024.0 + fraction, exponent - 25);
        return (float) (bits < 0 ? -x : x);
    }

    private CUdeviceptr shorts(short[] x) {
        CUdeviceptr p = probe.raw(2L * x.length);
        must(cuMemcpyHtoD(p, Pointer.to(x), 2L * x.length));
        return p;
    }

    /** The numbers of c that are not the nearest of their type to the sum in double, within what a sum in float32 may be off. */
    private int products16(int type, int typeC, int m, int n, int k, int batches) {
        int wrong = 0,
                lda,
                ldb,
                ldc = m + 1,
                bits = typeC == cudaDataType.CUDA_R_16BF ? 8 : typeC == cudaDataType.CUDA_R_16F ? 11 : 24;
        for (int left : OPERATIONS) {
            for (int right : OPERATIONS) {
                lda = (left == CUBLAS_OP_N ? m : k) + 3;
                ldb = (right == CUBLAS_OP_N ? k : n) + 1;
                int stepA = lda * (left == CUBLAS_OP_N ? k : m),
                        stepB = ldb * (right == CUBLAS_OP_N ? n : k),
                        stepC = ldc * n;
                Halves a = halves(type, stepA * batches), b = halves(type, stepB * batches);
                float alpha = 1.5f, beta = 0.5f;
                boolean whole = typeC == cudaDataType.CUDA_R_32F;
                Halves c16 = halves(whole ? type : typeC, stepC * batches);
                CUdeviceptr pc = whole ? probe.floats(c16.floats) : shorts(c16.bits),
                        pa = shorts(a.bits),
                        pb = shorts(b.bits);
                int compute = cublasComputeType.CUBLAS_COMPUTE_32F, algorithm = cublasGemmAlgo.CUBLAS_GEMM_DEFAULT;
                must(synchronize(
                        batches == 1
                                ? cublasGemmEx_new(
                                        handle, left, right, m, n, k, of(alpha), pa, type, lda, pb, type, ldb, of(beta),
                                        pc, typeC, ldc, compute, algorithm)
                                : cublasGemmStridedBatchedEx_new(
                                        handle, left, right, m, n, k, of(alpha), pa, type, lda, stepA, pb, type, ldb,
                                        stepB, of(beta), pc, typeC, ldc, stepC, batches, compute, algorithm)));
                float[] found = new float[c16.floats.length];
                if (whole) found = probe.get(pc, found.length);
                else {
                    short[] halves = new short[found.length];
                    must(cuMemcpyDtoH(Pointer.to(halves), pc, 2L * halves.length));
                    for (int i = 0; i < found.length; i++) found[i] = widened(typeC, halves[i]);
                }
                for (int s = 0; s < batches; s++) {
                    for (int i = 0; i < m; i++) {
                        for (int j = 0; j < n; j++) {
                            double sum = 0, size = 0;
                            for (int l = 0; l < k; l++) {
                                double x = a.floats[s * stepA + (left == CUBLAS_OP_N ? i + l * lda : l + i * lda)];
                                double y = b.floats[s * stepB + (right == CUBLAS_OP_N ? l + j * ldb : j + l * ldb)];
                                sum += x * y;
                                size += Math.abs(x * y);
                            }
                            int at = s * stepC + i + j * ldc;
                            double exact = alpha * sum + beta * c16.floats[at];
                            double off = (k + 3) * 0x1p-24 * (alpha * size + Math.abs(beta * c16.floats[at]));
                            double half = Math.scalb(1.0, Math.max(Math.getExponent(found[at]), -14) - bits);
                            if (!(Math.abs(found[at] - exact) <= off + half)) wrong++;
                        }
                        if (i == 0 && found[s * stepC + m] != c16.floats[s * stepC + m]) wrong++; // between the columns
                    }
                }
            }
        }
        return wrong;
    }

    private void results() {
        for (int type : new int[] {cudaDataType.CUDA_R_16BF, cudaDataType.CUDA_R_16F}) {
            String name = type == cudaDataType.CUDA_R_16BF ? "bfloat16" : "float16";
            in(
                    "products of " + name,
                    () -> products16(type, type, 7, 5, 13, 1) + products16(type, type, 33, 17, 101, 1));
            in("products of " + name + " in float32", () -> products16(type, cudaDataType.CUDA_R_32F, 9, 4, 50, 1));
            in("batches of " + name, () -> products16(type, type, 5, 3, 7, 3));
        }
        in(
                "products",
                () -> products(false, 1, 1, 1)
                        + products(false, 7, 5, 13)
                        + products(false, 8, 4, 16)
                        + products(false, 33, 17, 101)
                        + products(false, 1, 9, 3)
                        + products(false, 128, 100, 784));
        in("products of any bits", () -> products(true, 19, 23, 3));
        in("products of nothing", () -> products(false, 5, 3, 0) + products(false, 0, 3, 2) + products(false, 5, 0, 2));
        in("beta of zero over memory never written", () -> {
            float[] a = spread(6), b = spread(6), c = new float[4];
            CUdeviceptr pc = probe.raw(16);
            must(synchronize(
                    cublasSgemm(handle, 0, 0, 2, 2, 3, of(2), probe.floats(a), 2, probe.floats(b), 3, of(-0f), pc, 2)));
            product(0, 0, 2, 2, 3, 2, a, 0, 2, b, 0, 3, 0, c, 0, 2);
            return differing(c, probe.get(pc, 4));
        });
        in("batches", () -> {
            int m = 5,
                    n = 3,
                    k = 7,
                    batches = 4,
                    ldc = m * batches; // C's batches lie side by side, B is the same for all
            float[] a = spread(m * k * batches), b = spread(n * k), c = spread(ldc * n);
            CUdeviceptr pa = probe.floats(a), pb = probe.floats(b), pc = probe.floats(c);
            must(synchronize(cublasSgemmStridedBatched(
                    handle,
                    CUBLAS_OP_T,
                    CUBLAS_OP_N,
                    m,
                    n,
                    k,
                    of(0.3f),
                    pa,
                    k,
                    (long) m * k,
                    pb,
                    k,
                    0,
                    of(1.1f),
                    pc,
                    ldc,
                    m,
                    batches)));
            for (int s = 0; s < batches; s++)
                product(CUBLAS_OP_T, CUBLAS_OP_N, m, n, k, 0.3f, a, s * m * k, k, b, 0, k, 1.1f, c, s * m, ldc);
            return differing(c, probe.get(pc, c.length));
        });
        in("matrices and vectors", () -> {
            int wrong = 0, m = 7, n = 11, lda = 9;
            for (int operation : OPERATIONS) {
                int rows = operation == CUBLAS_OP_N ? m : n, terms = m + n - rows;
                float[] a = spread(lda * n),
                        x = spread(terms),
                        y = spread(rows),
                        fromX = new float[2 * terms],
                        fromY = new float[3 * rows];
                for (int i = 0; i < terms; i++)
                    fromX[2 * (terms - 1 - i)] = x[i]; // an increment of -2 starts at the far end
                for (int i = 0; i < rows; i++) fromY[3 * i] = y[i];
                CUdeviceptr pa = columns(a, m, lda), px = probe.floats(fromX), py = probe.floats(fromY);
                must(synchronize(cublasSgemv(handle, operation, m, n, of(0.3f), pa, lda, px, -2, of(1.1f), py, 3)));
                product(operation, CUBLAS_OP_N, rows, 1, terms, 0.3f, a, 0, lda, x, 0, terms, 1.1f, y, 0, rows);
                for (int i = 0; i < rows; i++) fromY[3 * i] = y[i];
                wrong += differing(fromY, probe.get(py, fromY.length));
            }
            return wrong;
        });
        in("sums of vectors", () -> {
            int n = 1001;
            float[] x = spread(n), y = spread(2 * n);
            CUdeviceptr px = probe.floats(x), py = probe.floats(y);
            must(synchronize(cublasSaxpy(handle, n, of(0.3f), px, -1, py, 2)));
            for (int i = 0; i < n; i++) y[2 * i] = 0.3f * x[n - 1 - i] + y[2 * i];
            return differing(y, probe.get(py, y.length));
        });
        in("what a handle remembers", () -> {
            int[] version = {0}, pointers = {7}, math = {7};
            cudaStream_t stream = new cudaStream_t();
            must(cublasGetVersion(handle, version));
            must(cublasSetPointerMode(handle, cublasPointerMode.CUBLAS_POINTER_MODE_DEVICE));
            must(cublasGetPointerMode(handle, pointers));
            must(cublasSetMathMode(handle, 3));
            must(cublasGetMathMode(handle, math));
            must(cublasGetStream(handle, stream));
            boolean right = version[0] / 10_000 == 12
                    && pointers[0] == cublasPointerMode.CUBLAS_POINTER_MODE_DEVICE
                    && math[0] == 3
                    && stream.equals(new cudaStream_t(probe.stream))
                    && cublasGetStatusName(13).equals("CUBLAS_STATUS_EXECUTION_FAILED")
                    && cublasGetStatusString(0).equals("success");
            return right ? 0 : 1;
        });
        in("counts", () -> {
            CUdeviceptr a = probe.floats(new float[6]), b = probe.floats(new float[12]), c = probe.floats(new float[8]);
            must(cublasSgemm(handle, 0, 0, 2, 4, 3, of(1), a, 2, b, 3, of(0), c, 2));
            must(synchronize(cublasSgemm(handle, 0, 0, 2, 4, 3, of(1), a, 2, b, 3, of(1), c, 2)));
            System.out.println("stats of two products: " + probe.ask("stats"));
            System.out.println("launches of two products: " + probe.ask("launches"));
            return 0;
        });
        in("speed", () -> {
            CUdeviceptr a = probe.floats(spread(128 * 784)),
                    b = probe.floats(spread(784 * 100)),
                    c = probe.raw(4 * 128 * 100);
            for (int i = 0; i < 20; i++)
                must(cublasSgemm(handle, 0, 0, 128, 100, 784, of(1), a, 128, b, 784, of(0), c, 128));
            must(cuStreamSynchronize(probe.stream));
            System.out.println("launches of 128 x 784 x 100: " + probe.ask("launches"));
            return 0;
        });
    }

    /** A product of 1 x 1 matrices: c = alpha·2·3 + c, where c was 5. */
    private CUdeviceptr one(Pointer alpha, Pointer beta) {
        CUdeviceptr c = probe.floats(5);
        must(cublasSgemm(handle, 0, 0, 1, 1, 1, alpha, probe.floats(2), 1, probe.floats(3), 1, beta, c, 1));
        return c;
    }

    /** When work runs and when it reads its factors; the value is the float that was seen. */
    private void order() {
        for (String mode : new String[] {"late", "eager"}) {
            in("result read beside the stream in mode " + mode, () -> {
                probe.ask("mode " + mode);
                int seen = (int) probe.get(one(of(1), of(1)), 1)[0];
                probe.ask("mode late");
                return seen;
            });
            in("factor on the device changed in mode " + mode, () -> {
                probe.ask("mode " + mode);
                must(cublasSetPointerMode(handle, cublasPointerMode.CUBLAS_POINTER_MODE_DEVICE));
                CUdeviceptr alpha = probe.floats(1), c = one(alpha, probe.floats(1));
                must(cuMemcpyHtoD(alpha, of(10), 4));
                probe.ask("mode late");
                must(cuStreamSynchronize(probe.stream));
                return (int) probe.get(c, 1)[0];
            });
            in("factor on the host changed in mode " + mode, () -> {
                probe.ask("mode " + mode);
                float[] alpha = {1};
                CUdeviceptr c = one(Pointer.to(alpha), of(1));
                alpha[0] = 10;
                probe.ask("mode late");
                must(cuStreamSynchronize(probe.stream));
                return (int) probe.get(c, 1)[0];
            });
        }
        in("after what the stream holds", () -> {
            CUdeviceptr a = probe.raw(4), c = probe.raw(4);
            must(cuMemsetD32Async(a, Float.floatToRawIntBits(4), 1, probe.stream));
            must(cublasSgemm(handle, 0, 0, 1, 1, 1, of(2), a, 1, a, 1, of(0), c, 1));
            must(cuMemsetD32Async(a, Float.floatToRawIntBits(9), 1, probe.stream));
            must(cuStreamSynchronize(probe.stream));
            return (int) probe.get(c, 1)[0];
        });
    }

    /** 3 x 3 matrices, all of ones but as the case has it. */
    private int threes(CUdeviceptr a, CUdeviceptr b, float beta, CUdeviceptr c, int ldc) {
        return synchronize(cublasSgemm(handle, 0, 0, 3, 3, 3, of(1), a, 3, b, 3, of(beta), c, ldc));
    }

    private CUdeviceptr ones() {
        return probe.floats(1, 1, 1, 1, 1, 1, 1, 1, 1);
    }

    /** A product of 3 x 3 matrices. */
    private int ex(int typeA, int typeB, int typeC, int compute, long bytes) {
        return synchronize(cublasGemmEx_new(
                handle,
                0,
                0,
                3,
                3,
                3,
                of(1),
                shorts(new short[18]),
                typeA,
                3,
                shorts(new short[18]),
                typeB,
                3,
                of(0),
                probe.raw(bytes),
                typeC,
                3,
                compute,
                cublasGemmAlgo.CUBLAS_GEMM_DEFAULT));
    }

    private void faults() {
        in("C out of bounds", () -> threes(ones(), ones(), 0, probe.raw(36), 4));
        in("B in no allocation", () -> threes(ones(), new CUdeviceptr(), 0, probe.raw(36), 3));
        in("A never written", () -> {
            CUdeviceptr a = probe.raw(36);
            must(cuMemcpyHtoD(a, Pointer.to(new float[9]), 28));
            return threes(a, ones(), 0, probe.raw(36), 3);
        });
        in("C kept and never written", () -> threes(ones(), ones(), 1, probe.raw(36), 3));
        in("A misaligned", () -> threes(probe.raw(40).withByteOffset(2), ones(), 0, probe.raw(36), 3));
        in("A freed while queued", () -> {
            CUdeviceptr a = ones();
            must(cublasSgemm(handle, 0, 0, 3, 3, 3, of(1), a, 3, ones(), 3, of(0), probe.raw(36), 3));
            must(cuMemFree(a));
            return cuStreamSynchronize(probe.stream);
        });
        in("C is B", () -> {
            CUdeviceptr b = ones();
            return threes(ones(), b, 0, b, 3);
        });
        in(
                "batches of C overlap",
                () -> synchronize(cublasSgemmStridedBatched(
                        handle, 0, 0, 3, 1, 1, of(1), ones(), 3, 3, ones(), 1, 1, of(0), probe.raw(36), 3, 2, 3)));
        in("wrong stream", () -> {
            CUdeviceptr a = probe.raw(36), c = probe.raw(36);
            must(cublasSetStream(handle, new cudaStream_t())); // the null stream, which does not wait for the case's
            must(cuMemsetD32Async(a, 0, 9, probe.stream));
            must(cublasSgemm(handle, 0, 0, 3, 3, 3, of(1), a, 3, ones(), 3, of(0), c, 3));
            return cuMemcpyDtoH(Pointer.to(new float[9]), c, 36);
        });
        in("factor on the host in pointer mode device", () -> {
            must(cublasSetPointerMode(handle, cublasPointerMode.CUBLAS_POINTER_MODE_DEVICE));
            return threes(ones(), ones(), 0, probe.raw(36), 3);
        });
        in("workspace freed", () -> {
            CUdeviceptr workspace = new CUdeviceptr();
            must(cuMemAlloc(workspace, 1024));
            must(cublasSetWorkspace(handle, workspace, 1024));
            must(cuMemFree(workspace));
            return threes(ones(), ones(), 0, probe.raw(36), 3);
        });
        in("lost for good", () -> {
            CUdeviceptr a = ones(), c = probe.raw(36);
            threes(a, a, 0, c, 4);
            return cublasSgemm(handle, 0, 0, 3, 3, 3, of(1), a, 3, a, 3, of(0), c, 3);
        });
        in("work fails when it runs", () -> {
            probe.ask("fail run:1:719");
            return threes(ones(), ones(), 0, probe.raw(36), 3);
        });
        in("a call fails and loses the context", () -> {
            probe.ask("fail cublasSgemm_v2:1:700");
            int status = cublasSgemm(handle, 0, 0, 1, 1, 1, of(1), ones(), 1, ones(), 1, of(0), ones(), 1);
            return status == 13 ? cuStreamSynchronize(probe.stream) : status;
        });
        in("handle not destroyed", () -> {
            handle = NONE;
            return 0;
        });
    }

    /** Calls that cuBLAS answers with a status of its own. */
    private void refusals() {
        in("second product fails", () -> {
            probe.ask("fail cublasSgemm_v2:2:13");
            return 10_000 * threes(ones(), ones(), 0, probe.raw(36), 3)
                    + 100 * threes(ones(), ones(), 0, probe.raw(36), 3)
                    + threes(ones(), ones(), 0, probe.raw(36), 3);
        });
        in("leading dimension too small", () -> threes(ones(), ones(), 0, ones(), 2));
        in(
                "factor on the device in pointer mode host",
                () -> cublasSgemm(handle, 0, 0, 1, 1, 1, probe.floats(1), ones(), 1, ones(), 1, of(0), ones(), 1));
        in("stream destroyed", () -> {
            CUstream stream = new CUstream();
            must(cuStreamCreate(stream, 1));
            must(cublasSetStream(handle, new cudaStream_t(stream)));
            must(cuStreamDestroy(stream));
            return cublasSgemm(handle, 0, 0, 1, 1, 1, of(1), ones(), 1, ones(), 1, of(0), ones(), 1);
        });
        in("handle of another context", () -> {
            CUcontext other = new CUcontext();
            must(cuCtxCreate(other, 0, probe.device));
            int status = cublasSetMathMode(handle, 0);
            must(cuCtxDestroy(other));
            must(cuCtxSetCurrent(probe.context));
            return status;
        });
        in("handle whose context was destroyed", () -> {
            CUcontext other = new CUcontext();
            cublasHandle left = new cublasHandle();
            must(cuCtxCreate(other, 0, probe.device));
            must(cublasCreate(left));
            must(cuCtxDestroy(other));
            must(cuCtxSetCurrent(probe.context));
            return cublasSetMathMode(left, 0);
        });
        in("handle destroyed twice", () -> {
            must(cublasDestroy(handle));
            int status = cublasDestroy(handle);
            handle = NONE;
            return status;
        });
        in(
                "types that do not go together",
                () -> ex(cudaDataType.CUDA_R_16BF, cudaDataType.CUDA_R_16F, cudaDataType.CUDA_R_32F, 68, 36));
        in(
                "a result of another 16 bits",
                () -> ex(cudaDataType.CUDA_R_16BF, cudaDataType.CUDA_R_16BF, cudaDataType.CUDA_R_16F, 68, 36));
        in(
                "a sum in float16",
                () -> ex(cudaDataType.CUDA_R_16F, cudaDataType.CUDA_R_16F, cudaDataType.CUDA_R_16F, 64, 36));
        in(
                "C of 16 bits out of bounds",
                () -> ex(cudaDataType.CUDA_R_16F, cudaDataType.CUDA_R_16F, cudaDataType.CUDA_R_16F, 68, 16));
        in("A of 16 bits is C", () -> {
            CUdeviceptr a = shorts(new short[9]);
            return synchronize(cublasGemmEx_new(
                    handle, 0, 0, 3, 3, 3, of(1), a, 2, 3, shorts(new short[9]), 2, 3, of(0), a, 2, 3, 68, -1));
        });
        in("missing call", () -> cublasDasum(handle, 1, ones(), 1, ones()));
    }
}
