package kudari.softcuda;

import static jcuda.driver.JCudaDriver.*;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
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
import jcuda.nvrtc.JNvrtc;
import jcuda.nvrtc.nvrtcProgram;
import kudari.NvrtcDoor;

/**
 * What {@link SoftCudaTest} runs in a JVM on the GPU in software. Prints a line for each case: its name, the CUDA error or the number of
 * wrong values, and what softcuda reported. {@link CublasProbe} has its cases run here, too.
 */
final class Probe {

    static final String KERNELS = """
            struct alignas(16) F4 { float v[4]; };
            struct Pair { float x, y; };
            __constant__ float table[4] = {1.f, 2.f, 3.f, 4.f};
            __device__ int counter = 5;

            extern "C" __global__ void lookup(float* y) { y[threadIdx.x] = table[threadIdx.x & 3] + counter; }
            extern "C" __global__ void saxpy(float a, const float* x, float* y, int n) {
              int i = blockIdx.x * blockDim.x + threadIdx.x;
              if (i < n) y[i] = a * x[i] + y[i];
            }
            extern "C" __global__ void __launch_bounds__(256, 4)
            adam(float* p, float* m, float* v, const float* g, long long n, const float* s) {
              float lr = s[0], b1 = s[1], c1 = s[2], b2 = s[3], c2 = s[4], eps = s[5];
              for (long long j = 4 * (blockIdx.x * (long long) blockDim.x + threadIdx.x); j < n; j += 4LL * gridDim.x * blockDim.x) {
                F4 P = *(F4*) (p + j), M = *(F4*) (m + j), V = *(F4*) (v + j), G = *(const F4*) (g + j);
                for (int i = 0; i < 4; i++) {
                  M.v[i] = b1 * M.v[i] + c1 * G.v[i];
                  V.v[i] = b2 * V.v[i] + c2 * (G.v[i] * G.v[i]);
                  P.v[i] = P.v[i] - lr * M.v[i] / (sqrtf(V.v[i]) + eps);
                }
                *(F4*) (p + j) = P; *(F4*) (m + j) = M; *(F4*) (v + j) = V;
              }
            }
            extern "C" __global__ void reduce(const float* x, float* out) {
              __shared__ float s[256];
              int t = threadIdx.x;
              s[t] = x[blockIdx.x * 256 + t];
              __syncthreads();
              for (int w = 128; w; w >>= 1) { if (t < w) s[t] += s[t + w]; __syncthreads(); }
              if (t == 0) out[blockIdx.x] = s[0];
            }
            extern "C" __global__ void shuffle(const float* x, float* out) {
              float a = x[threadIdx.x];
              for (int w = 16; w; w >>= 1) a += __shfl_down_sync(0xffffffffu, a, w);
              if (threadIdx.x % 32 == 0) out[threadIdx.x / 32] = a;
            }
            __device__ __noinline__ double horner(Pair q, int n) {
              double d = q.x;
              for (int i = 0; i < n; i++) d = d * 0.5 + q.y;
              return d;
            }
            extern "C" __global__ void scalars(const int* in, long long* out, int n) {
              int i = blockIdx.x * blockDim.x + threadIdx.x;
              if (i >= n) return;
              int a = in[2 * i], b = in[2 * i + 1], k = 0;
              unsigned ua = a, ub = b | 1;
              long long la = (long long) a << 32 | ub, lb = (long long) b << 32 | ua;
              float fa = __int_as_float(a), fb = __int_as_float(b);
              double da = fa, db = fb;
              long long* o = out + 24LL * i;
              o[k++] = __popc(a); o[k++] = __clz(a); o[k++] = (int) __brev(a); o[k++] = __funnelshift_l(ua, ua, b);
              o[k++] = a / (int) (ub >> 1 | 1); o[k++] = a % (int) (ub >> 1 | 1); o[k++] = ua / ub; o[k++] = __mulhi(a, b);
              o[k++] = la * lb; o[k++] = __mul64hi(la, lb); o[k++] = la >> (b & 63); o[k++] = (unsigned long long) la >> (b & 63);
              o[k++] = (int) fa; o[k++] = __float_as_int((float) b); o[k++] = __float_as_int((float) la);
              o[k++] = __float_as_int(floorf(fa)); o[k++] = __float_as_int(rintf(fa)); o[k++] = __float_as_int(fmaf(fa, fb, fa));
              o[k++] = __double_as_longlong(da * db + (double) b); o[k++] = __float_as_int((float) (da / db));
              o[k++] = __float_as_int(fminf(fa, fb)); o[k++] = (signed char) a + (unsigned short) b + ((short) a >> 3);
              float local[8];
              for (int j = 0; j < 8; j++) local[j] = j * 3;
              local[a & 7] = 100;
              o[k++] = (int) local[b & 7];
              Pair q = {(float) (a >> 20), (float) (b >> 20)};
              o[k++] = __double_as_longlong(horner(q, b & 7));
            }

            extern "C" __global__ void outOfBounds(float* y, int n) { if (threadIdx.x == 3) y[n] = 1; }
            extern "C" __global__ void misaligned(char* y) { *(float*) (y + 2) = 1; }
            extern "C" __global__ void unwritten(float* y) { y[1] = y[0]; }
            extern "C" __global__ void unwrittenShared(float* y) { __shared__ float s[64]; if (threadIdx.x == 1) s[1] = 1; __syncthreads(); y[threadIdx.x] = s[threadIdx.x]; }
            extern "C" __global__ void race(float* y) { __shared__ float s[64]; s[threadIdx.x] = 1; y[threadIdx.x] = s[threadIdx.x ^ 1]; }
            extern "C" __global__ void raceOfWriters(float* y) { __shared__ float s[64]; s[threadIdx.x / 2] = threadIdx.x; __syncthreads(); y[0] = s[0]; }
            extern "C" __global__ void barrierOfSome(float* y, int n) { if (threadIdx.x >= n) return; __syncthreads(); y[threadIdx.x] = 1; }
            extern "C" __global__ void shuffleOfSome(float* y) { if (threadIdx.x < 16) y[threadIdx.x] = __shfl_sync(0xffffffffu, y[threadIdx.x], 20); }
            extern "C" __global__ void endless(volatile int* y) { while (y[0] == 0) { } }
            extern "C" __global__ void localBounds(float* y, int n) { float l[8]; for (int i = 0; i < 8; i++) l[i] = y[i]; l[n] = 3; y[0] = l[n & 7]; y[1] = l[(n + 1) & 7]; }
            extern "C" __global__ void warpSynchronous(float* y) {
              __shared__ float s[32];
              s[threadIdx.x] = y[threadIdx.x];
              __syncwarp();
              y[threadIdx.x] = s[threadIdx.x ^ 1];
            }
            extern "C" __global__ void increment(int* y) { atomicAdd(y, 1); }
            """;

    private final List<CUdeviceptr> allocated = new ArrayList<>();
    final CUdevice device = new CUdevice();
    private final String ptx;
    CUcontext context = new CUcontext();
    CUmodule module = new CUmodule();
    private CUmodule control = new CUmodule();
    CUstream stream = new CUstream();

    Probe(String ptx) {
        this.ptx = ptx;
        cuDeviceGet(device, 0);
    }

    public static void main(String[] arguments) {
        NvrtcDoor.load();
        setExceptionsEnabled(false);
        must(cuInit(0));
        Probe probe = new Probe(compile(KERNELS));
        probe.results();
        probe.faults();
        probe.order();
        probe.controls();
        System.out.println("end");
        CUdeviceptr left = new CUdeviceptr();
        must(cuCtxCreate(new CUcontext(), 0, probe.device));
        must(cuMemAlloc(left, 12345)); // seen at exit
    }

    static String compile(String source) {
        JNvrtc.setExceptionsEnabled(true);
        nvrtcProgram program = new nvrtcProgram();
        JNvrtc.nvrtcCreateProgram(program, source, "kernels.cu", 0, null, null);
        String[] options = {"--gpu-architecture=compute_90", "-fmad=false"};
        try {
            JNvrtc.nvrtcCompileProgram(program, options.length, options);
        } catch (RuntimeException e) {
            String[] log = {""};
            JNvrtc.nvrtcGetProgramLog(program, log);
            throw new IllegalArgumentException(log[0], e);
        }
        String[] ptx = {""};
        JNvrtc.nvrtcGetPTX(program, ptx);
        JNvrtc.nvrtcDestroyProgram(program);
        return ptx[0];
    }

    static void must(int code) {
        if (code != 0) throw new IllegalStateException("CUDA error " + code);
    }

    /** Runs a case in a context of its own, so that one fault does not spoil the next. */
    void in(String name, IntSupplier body) {
        context = new CUcontext();
        module = new CUmodule();
        control = new CUmodule();
        stream = new CUstream();
        allocated.clear();
        must(cuCtxCreate(context, 0, device));
        must(cuModuleLoadData(control, "softcuda"));
        ask("reset");
        must(cuModuleLoadData(module, ptx));
        must(cuStreamCreate(stream, 1));
        int code = body.getAsInt();
        System.out.println(name + "\t" + code + "\t" + ask("errors"));
        for (CUdeviceptr p : allocated) cuMemFree(p);
        cuCtxDestroy(context);
    }

    /** The name of a variable of the module "softcuda" is a question; its value is the answer. */
    String ask(String question) {
        CUdeviceptr answer = new CUdeviceptr();
        long[] size = {0};
        must(cuModuleGetGlobal(answer, size, control, question));
        byte[] text = new byte[(int) size[0]];
        must(cuMemcpyDtoH(Pointer.to(text), answer, size[0]));
        return new String(text);
    }

    CUdeviceptr raw(long bytes) {
        CUdeviceptr p = new CUdeviceptr();
        must(cuMemAlloc(p, bytes));
        allocated.add(p);
        return p;
    }

    CUdeviceptr floats(float... x) {
        CUdeviceptr p = raw(4L * x.length);
        must(cuMemcpyHtoD(p, Pointer.to(x), 4L * x.length));
        return p;
    }

    float[] get(CUdeviceptr p, int n) {
        float[] x = new float[n];
        must(cuMemcpyDtoH(Pointer.to(x), p, 4L * n));
        return x;
    }

    /** Launches on the case's stream; the CUDA error of the call. */
    private int launch(String kernel, int grid, int block, Pointer... arguments) {
        return launch(kernel, stream, grid, block, arguments);
    }

    int launch(String kernel, CUstream stream, int grid, int block, Pointer... arguments) {
        CUfunction f = new CUfunction();
        must(cuModuleGetFunction(f, module, kernel));
        return cuLaunchKernel(f, grid, 1, 1, block, 1, 1, 0, stream, Pointer.to(arguments), null);
    }

    private int finish(int launched) {
        return launched != 0 ? launched : cuStreamSynchronize(stream);
    }

    static Pointer of(CUdeviceptr p) {
        return Pointer.to(p);
    }

    static Pointer of(int x) {
        return Pointer.to(new int[] {x});
    }

    static Pointer of(long x) {
        return Pointer.to(new long[] {x});
    }

    static Pointer of(float x) {
        return Pointer.to(new float[] {x});
    }

    private static boolean same(float a, float b) {
        return Float.floatToIntBits(a) == Float.floatToIntBits(b);
    }

    static int differing(float[] expected, float[] actual) {
        int n = 0;
        for (int i = 0; i < expected.length; i++) if (!same(expected[i], actual[i])) n++;
        return n;
    }

    /** Any bits at all: denormals, infinities and NaN among them. */
    static float[] anyBits(Random random, int n) {
        float[] x = new float[n];
        for (int i = 0; i < n; i++) x[i] = Float.intBitsToFloat(random.nextInt());
        return x;
    }

    private void results() {
        Random random = new Random(20260723);
        in("saxpy", () -> {
            int n = 100_003;
            float[] x = anyBits(random, n), y = anyBits(random, n);
            CUdeviceptr px = floats(x), py = floats(y);
            must(finish(launch("saxpy", (n + 255) / 256, 256, of(1.25f), of(px), of(py), of(n))));
            for (int i = 0; i < n; i++) y[i] = 1.25f * x[i] + y[i];
            return differing(y, get(py, n));
        });
        in("adam", () -> adam(random, 200_000, 5));
        in("adam of a million", () -> {
            long start = System.nanoTime();
            int wrong = adam(random, 1_000_000, 1);
            System.out.printf("adam of a million, with copies: %.2f s%n", (System.nanoTime() - start) * 1e-9);
            System.out.println(ask("launches"));
            return wrong;
        });
        in("reduce", () -> {
            float[] x = new float[2560], expected = new float[10];
            for (int i = 0; i < x.length; i++) x[i] = random.nextFloat();
            CUdeviceptr px = floats(x), out = raw(40);
            must(finish(launch("reduce", 10, 256, of(px), of(out))));
            for (int w = 128; w > 0; w /= 2) for (int i = 0; i < x.length; i++) if (i % 256 < w) x[i] += x[i + w];
            for (int b = 0; b < 10; b++) expected[b] = x[256 * b];
            return differing(expected, get(out, 10));
        });
        in("shuffle", () -> {
            float[] x = new float[256], expected = new float[8];
            for (int i = 0; i < x.length; i++) x[i] = random.nextFloat();
            CUdeviceptr px = floats(x), out = raw(32);
            must(finish(launch("shuffle", 1, 256, of(px), of(out))));
            for (int w = 16; w > 0; w /= 2) for (int i = 0; i < x.length; i++) if (i % 32 < w) x[i] += x[i + w];
            for (int b = 0; b < 8; b++) expected[b] = x[32 * b];
            return differing(expected, get(out, 8));
        });
        in("scalars", () -> scalars(random, 20_000));
        in("variables", () -> {
            CUdeviceptr y = raw(16);
            must(finish(launch("lookup", 1, 4, of(y))));
            return differing(new float[] {6, 7, 8, 9}, get(y, 4));
        });
        in("warp synchronous", () -> {
            CUdeviceptr y = floats(new float[32]);
            return finish(launch("warpSynchronous", 1, 32, of(y)));
        });
        in("atomics", () -> {
            CUdeviceptr counter = new CUdeviceptr();
            must(cuModuleGetGlobal(counter, new long[1], module, "counter"));
            must(finish(launch("increment", 40, 100, of(counter))));
            int[] x = {0};
            must(cuMemcpyDtoH(Pointer.to(x), counter, 4));
            return x[0] - 4005;
        });
    }

    private int adam(Random random, int n, int steps) {
        float[] p = anyBits(random, n), m = anyBits(random, n), v = anyBits(random, n);
        CUdeviceptr dp = floats(p), dm = floats(m), dv = floats(v);
        float[] s = {1e-3f, 0.9f, 0.1f, 0.999f, 0.001f, 1e-8f};
        CUdeviceptr ds = floats(s), dg = raw(4L * n);
        for (int t = 0; t < steps; t++) {
            float[] g = anyBits(random, n);
            must(cuMemcpyHtoD(dg, Pointer.to(g), 4L * n));
            must(finish(launch("adam", 16, 256, of(dp), of(dm), of(dv), of(dg), of((long) n), of(ds))));
            for (int i = 0; i < n; i++) {
                m[i] = s[1] * m[i] + s[2] * g[i];
                v[i] = s[3] * v[i] + s[4] * (g[i] * g[i]);
                p[i] = p[i] - s[0] * m[i] / ((float) Math.sqrt(v[i]) + s[5]);
            }
        }
        return differing(p, get(dp, n)) + differing(m, get(dm, n)) + differing(v, get(dv, n));
    }

    private int scalars(Random random, int n) {
        int[] in = random.ints(2L * n).toArray();
        CUdeviceptr din = raw(8L * n), out = raw(192L * n);
        must(cuMemcpyHtoD(din, Pointer.to(in), 8L * n));
        must(finish(launch("scalars", (n + 127) / 128, 128, of(din), of(out), of(n))));
        long[] actual = new long[24 * n];
        must(cuMemcpyDtoH(Pointer.to(actual), out, 192L * n));
        int[] wrong = new int[24];
        for (int i = 0; i < n; i++) {
            int a = in[2 * i], b = in[2 * i + 1], ub = b | 1, odd = ub >>> 1 | 1;
            long la = (long) a << 32 | Integer.toUnsignedLong(ub), lb = (long) b << 32 | Integer.toUnsignedLong(a);
            float fa = Float.intBitsToFloat(a), fb = Float.intBitsToFloat(b);
            double d = (float) (a >> 20);
            for (int j = 0; j < (b & 7); j++) d = d * 0.5 + (float) (b >> 20);
            long[] expected = {
                Integer.bitCount(a),
                Integer.numberOfLeadingZeros(a),
                Integer.reverse(a),
                Integer.toUnsignedLong(Integer.rotateLeft(a, b)),
                a / odd,
                a % odd,
                Integer.toUnsignedLong(Integer.divideUnsigned(a, ub)),
                (int) ((long) a * b >> 32),
                la * lb,
                Math.multiplyHigh(la, lb),
                la >> (b & 63),
                la >>> (b & 63),
                (int) fa,
                bits(b),
                bits(la),
                bits((float) Math.floor(fa)),
                bits((float) Math.rint(fa)),
                bits(Math.fma(fa, fb, fa)),
                Double.doubleToLongBits((double) fa * fb + b),
                bits((float) ((double) fa / fb)),
                bits(Float.isNaN(fa) ? fb : Float.isNaN(fb) ? fa : Math.min(fa, fb)),
                (byte) a + (b & 0xffff) + ((short) a >> 3),
                (b & 7) == (a & 7) ? 100 : 3 * (b & 7),
                Double.doubleToLongBits(d)
            };
            for (int k = 0; k < 24; k++)
                if (expected[k] != actual[24 * i + k] && !bothNan(k, actual[24 * i + k], expected[k])) wrong[k]++;
        }
        int sum = 0;
        for (int k = 0; k < 24; k++) {
            sum += wrong[k];
            if (wrong[k] > 0) System.out.println("scalars: " + wrong[k] + " wrong of kind " + k);
        }
        return sum;
    }

    private static int bits(float x) {
        return Float.floatToIntBits(x);
    }

    private static boolean bothNan(int kind, long a, long b) {
        if (kind == 18) return Double.isNaN(Double.longBitsToDouble(a)) && Double.isNaN(Double.longBitsToDouble(b));
        return kind >= 13
                && kind <= 20
                && Float.isNaN(Float.intBitsToFloat((int) a))
                && Float.isNaN(Float.intBitsToFloat((int) b));
    }

    private void faults() {
        in("out of bounds", () -> finish(launch("outOfBounds", 1, 32, of(floats(1, 2, 3)), of(3))));
        in("out of bounds by much", () -> finish(launch("outOfBounds", 1, 32, of(floats(1, 2, 3)), of(1_000_000_000))));
        in("use after free", () -> {
            CUdeviceptr y = floats(1, 2, 3, 4);
            must(cuMemFree(y));
            return finish(launch("outOfBounds", 1, 32, of(y), of(3)));
        });
        in("freed while queued", () -> {
            CUdeviceptr y = floats(1, 2, 3, 4);
            must(launch("outOfBounds", 1, 32, of(y), of(3)));
            must(cuMemFree(y));
            return cuStreamSynchronize(stream);
        });
        in("misaligned", () -> finish(launch("misaligned", 1, 1, of(floats(1, 2)))));
        in("unwritten", () -> finish(launch("unwritten", 1, 1, of(raw(16)))));
        in("unwritten to the host", () -> cuMemcpyDtoH(Pointer.to(new float[4]), raw(16), 16));
        in("unwritten shared", () -> finish(launch("unwrittenShared", 1, 64, of(raw(256)))));
        in("race", () -> finish(launch("race", 1, 64, of(raw(256)))));
        in("race of writers", () -> finish(launch("raceOfWriters", 1, 64, of(raw(256)))));
        in("barrier of some", () -> finish(launch("barrierOfSome", 1, 64, of(raw(256)), of(50))));
        in("shuffle of some", () -> finish(launch("shuffleOfSome", 1, 32, of(floats(new float[32])))));
        in("endless", () -> finish(launch("endless", 1, 1, of(floats(0)))));
        in("write to constant", () -> {
            CUdeviceptr table = new CUdeviceptr();
            must(cuModuleGetGlobal(table, new long[1], module, "table"));
            return finish(launch("outOfBounds", 1, 32, of(table), of(1)));
        });
        in("local bounds", () -> finish(launch("localBounds", 1, 1, of(floats(new float[8])), of(100))));
        in(
                "unknown instruction",
                () -> cuModuleLoadData(new CUmodule(), ptx.replaceFirst("add\\.rn\\.f32", "frobnicate.f32")));
        in(
                "unknown modifier",
                () -> cuModuleLoadData(new CUmodule(), ptx.replaceFirst("add\\.rn\\.f32", "add.rn.sideways.f32")));
        in("cubin", () -> cuModuleLoadData(new CUmodule(), new byte[] {0x7f, 'E', 'L', 'F', 2, 1, 1, 0}));
        in("too many threads", () -> launch("adam", 1, 512, of(0L), of(0L), of(0L), of(0L), of(0L), of(0L)));
        in("copy out of bounds", () -> cuMemcpyHtoD(floats(1, 2), Pointer.to(new float[3]), 12));
        in("lost for good", () -> {
            finish(launch("misaligned", 1, 1, of(floats(1, 2))));
            return cuMemAlloc(new CUdeviceptr(), 4);
        });
        in("missing call", () -> cuCtxGetLimit(new long[1], 0));
        in("left in its context", () -> {
            raw(777);
            allocated.clear();
            return 0;
        });
    }

    /** What depends on when asynchronous work runs. The value is the float that the device, or the host, saw. */
    private void order() {
        for (String mode : new String[] {"late", "eager"}) {
            in("pinned page overwritten in mode " + mode, () -> {
                ask("mode " + mode);
                return overwritten(true);
            });
            in("heap array overwritten in mode " + mode, () -> {
                ask("mode " + mode);
                return overwritten(false);
            });
            in("result read without waiting in mode " + mode, () -> {
                ask("mode " + mode);
                CUdeviceptr y = floats(3);
                Pointer host = new Pointer();
                must(cuMemAllocHost(host, 4));
                must(cuMemcpyDtoHAsync(host, y, 4, stream));
                int seen = (int)
                        host.getByteBuffer(0, 4).order(ByteOrder.nativeOrder()).getFloat();
                must(cuMemFreeHost(host));
                ask("mode late");
                return seen;
            });
            in("copy beside the stream in mode " + mode, () -> {
                ask("mode " + mode);
                CUdeviceptr x = floats(1, 1), y = floats(5, 5);
                must(launch("saxpy", 1, 32, of(1f), of(x), of(y), of(2)));
                int seen = (int) get(y, 1)[0]; // the null stream does not wait for a stream that is not blocking
                ask("mode late");
                return seen;
            });
        }
        in("event", () -> {
            CUstream other = new CUstream();
            CUevent event = new CUevent();
            must(cuStreamCreate(other, 1));
            must(cuEventCreate(event, 0));
            CUdeviceptr x = floats(1, 1), y = floats(5, 5);
            must(launch("saxpy", 1, 32, of(1f), of(x), of(y), of(2)));
            must(cuEventRecord(event, stream));
            must(cuStreamWaitEvent(other, event, 0));
            int before = cuEventQuery(event);
            must(cuMemcpyDtoDAsync(x, y, 8, other));
            must(cuStreamSynchronize(other));
            must(cuEventSynchronize(event));
            must(cuEventDestroy(event));
            must(cuStreamDestroy(other));
            return before == 600 ? (int) get(x, 1)[0] : -before;
        });
        in("graph", () -> {
            CUdeviceptr x = floats(1, 1), y = floats(5, 5);
            CUgraph graph = new CUgraph();
            CUgraphExec exec = new CUgraphExec();
            must(cuStreamBeginCapture(stream, 0));
            must(launch("saxpy", 1, 32, of(1f), of(x), of(y), of(2)));
            must(cuStreamEndCapture(stream, graph));
            must(cuGraphInstantiate(exec, graph, 0));
            for (int i = 0; i < 3; i++) must(cuGraphLaunch(exec, stream));
            must(cuStreamSynchronize(stream));
            must(cuGraphExecDestroy(exec));
            must(cuGraphDestroy(graph));
            return (int) get(y, 1)[0];
        });
    }

    private int overwritten(boolean pinned) {
        CUdeviceptr y = raw(4);
        float[] heap = {7};
        Pointer host = Pointer.to(heap);
        ByteBuffer page = ByteBuffer.allocate(0);
        if (pinned) {
            host = new Pointer();
            must(cuMemAllocHost(host, 4));
            page = host.getByteBuffer(0, 4).order(ByteOrder.nativeOrder());
            page.putFloat(0, 7);
        }
        must(cuMemcpyHtoDAsync(y, host, 4, stream));
        if (pinned) page.putFloat(0, 8);
        else heap[0] = 8;
        must(cuStreamSynchronize(stream));
        if (pinned) must(cuMemFreeHost(host));
        ask("mode late");
        return (int) get(y, 1)[0];
    }

    private void controls() {
        in("second allocation fails", () -> {
            ask("fail cuMemAlloc_v2:2:2");
            int first = cuMemAlloc(new CUdeviceptr(), 4);
            int second = cuMemAlloc(new CUdeviceptr(), 4);
            int third = cuMemAlloc(new CUdeviceptr(), 4);
            return first * 10_000 + second * 100 + third;
        });
        in("launch fails", () -> {
            ask("fail cuLaunchKernel:1:719");
            int launched = launch("unwritten", 1, 1, of(0L));
            return launched == cuStreamSynchronize(stream) ? launched : 0;
        });
        in("kernel fails when it runs", () -> {
            ask("fail run:1:700");
            int launched = launch("saxpy", 1, 32, of(1f), of(floats(1)), of(floats(1)), of(1));
            return launched == 0 ? cuStreamSynchronize(stream) : 0;
        });
        in("a dropped launch", () -> {
            CUdeviceptr y = floats(1, 2, 3);
            ask("mode drop");
            int launched = launch("outOfBounds", 1, 32, of(y), of(3));
            ask("mode late");
            return launched != 0 ? launched : cuStreamSynchronize(stream);
        });
        in("stats", () -> {
            float[] x = new float[1024];
            must(finish(launch("saxpy", 4, 256, of(2f), of(floats(x)), of(floats(x)), of(1024))));
            System.out.println("stats of saxpy: " + ask("stats"));
            return 0;
        });
    }
}
