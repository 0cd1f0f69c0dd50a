package kudari;

import static jcuda.cudaDataType.CUDA_R_32F;
import static jcuda.jcublas.JCublas2.cublasGemmStridedBatchedEx_new;
import static jcuda.jcublas.cublasComputeType.CUBLAS_COMPUTE_32F;
import static jcuda.jcublas.cublasComputeType.CUBLAS_COMPUTE_32F_FAST_16BF;
import static jcuda.jcublas.cublasComputeType.CUBLAS_COMPUTE_32F_FAST_TF32;
import static jcuda.jcublas.cublasGemmAlgo.CUBLAS_GEMM_DEFAULT;
import static jcuda.jcublas.cublasOperation.CUBLAS_OP_N;
import static jcuda.jcublas.cublasOperation.CUBLAS_OP_T;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import jcuda.Pointer;
import jcuda.driver.CUdeviceptr;
import jcuda.jcublas.cublasHandle;
import kudari.rule.MatrixRule;

/**
 * Makes matrices orthogonal on a CUDA device: cuBLAS for the products, all matrices of one shape in one call; {@code kernels/newtonschulz.cu}
 * for the rest. It is the same calls with the same arguments each time, and so can be captured.
 */
final class CudaNewtonSchulz implements NewtonSchulz.Work {

    private static final int THREADS = CudaDriver.THREADS;

    /** What newtonschulz.cu has: elements of a piece, rows and columns of a tile, words of a matrix. */
    private static final int PIECE = 4096, TILE = 32, WORDS = 6;

    /**
     * What is to be made orthogonal.
     *
     * @param at where its first element is, in bytes behind a place in device memory
     * @param rows its first extent, from 1
     * @param columns all others together, from 1
     * @param how by which iterations
     * @param scale what the result is multiplied by
     */
    record Matrix(long at, int rows, int columns, NewtonSchulz how, double scale) {

        int shorter() {
            return Math.min(rows, columns);
        }

        int longer() {
            return Math.max(rows, columns);
        }
    }

    /** What matrices have in common that are done together. */
    private record Kind(NewtonSchulz how, int m, int n) {}

    /**
     * Matrices that are done together.
     *
     * @param first the number of the first in the table
     */
    private record Batch(Kind kind, int first, int count) {

        long pieces() {
            return up((long) kind.m * kind.n, PIECE);
        }

        long tiles() {
            return up(kind.m, TILE) * up(kind.n, TILE);
        }

        long elements() {
            return (long) count * kind.m * kind.n;
        }

        long ofSquare() {
            return (long) count * kind.m * kind.m;
        }

        int squares() {
            return kind.how.squares(kind.m, kind.n);
        }
    }

    /**
     * Some matrices, laid out in one block of device memory: the table, the partial sums of one batch, its X in two places, its squares. One batch after
     * the other uses them.
     */
    final class Laid implements Driver.Layout {

        private final List<Batch> batches = new ArrayList<>();
        private final CUdeviceptr memory;
        private final CUdeviceptr[] x = new CUdeviceptr[2], squares;

        /** Addresses: of the table, of the partial sums, of each of the squares. */
        private final long table, partials;

        private final long[] squaresAt;

        /** Floats from one place of X to the other. */
        private final long apart;

        Laid(long place, List<Matrix> matrices) {
            Map<Kind, List<Matrix>> kinds = new LinkedHashMap<>();
            for (Matrix matrix : matrices) {
                Kind kind = new Kind(matrix.how, matrix.shorter(), matrix.longer());
                kinds.computeIfAbsent(kind, of -> new ArrayList<>()).add(matrix);
            }
            int first = 0, squares = 0;
            long pieces = 0, elements = 0, ofSquare = 0;
            for (Map.Entry<Kind, List<Matrix>> entry : kinds.entrySet()) {
                Batch batch = new Batch(entry.getKey(), first, entry.getValue().size());
                first += batch.count;
                pieces = Math.max(pieces, batch.count * batch.pieces());
                elements = Math.max(elements, batch.elements());
                ofSquare = Math.max(ofSquare, batch.ofSquare());
                squares = Math.max(squares, batch.squares());
                batches.add(batch);
            }
            long words = (long) WORDS * first * Long.BYTES, sums = pieces * Double.BYTES;
            apart = aligned(elements);
            long between = aligned(ofSquare), floats = aligned((words + sums) / Float.BYTES);
            memory = engine.allocateBytes(
                    Float.BYTES * (floats + 2 * apart + squares * between), "the matrices of an optimizer");
            table = JCudaAddress.of(memory);
            partials = table + words;
            for (int n = 0; n < x.length; n++) x[n] = memory.withByteOffset(Float.BYTES * (floats + n * apart));
            this.squares = new CUdeviceptr[squares];
            squaresAt = new long[squares];
            for (int n = 0; n < squares; n++) {
                long at = Float.BYTES * (floats + 2 * apart + n * between);
                this.squares[n] = memory.withByteOffset(at);
                squaresAt[n] = table + at;
            }
            try {
                send(place, kinds);
            } catch (CudaException e) {
                engine.discard(memory);
                throw e;
            }
        }

        private void send(long place, Map<Kind, List<Matrix>> kinds) {
            List<Long> words = new ArrayList<>();
            kinds.forEach((kind, matrices) -> {
                for (int n = 0; n < matrices.size(); n++) {
                    Matrix matrix = matrices.get(n);
                    words.add(place + matrix.at);
                    words.add(JCudaAddress.of(x[0]) + (long) Float.BYTES * n * kind.m * kind.n);
                    words.add(Double.doubleToRawLongBits(matrix.scale));
                    words.add(0L); // the factor, which the device works out
                    words.add((long) matrix.rows);
                    words.add((long) matrix.columns);
                }
            });
            long[] table = words.stream().mapToLong(Long::longValue).toArray();
            engine.toDevice(memory, table, "the table of matrices");
        }

        private static long aligned(long floats) {
            return 64 * up(floats, 64);
        }

        @Override
        public void free() {
            engine.discard(memory);
        }
    }

    private final CudaEngine engine;
    private final cublasHandle cublas;
    private final List<CudaKernel> kernels = new ArrayList<>();
    private final CudaKernel sums, factors, gather, scatter, line;

    /** What cuBLAS multiplies by and keeps of what was there. It reads them at the call; outside the heap, as a call may wait (see CudaEngine.toDevice). */
    private final ByteBuffer scalars =
            ByteBuffer.allocateDirect(2 * Float.BYTES).order(ByteOrder.nativeOrder());

    private final Pointer factorAt = Pointer.to(scalars), keepAt = factorAt.withByteOffset(Float.BYTES);

    /** What is at work. */
    private Laid laid;

    private Batch batch;

    /**
     * Compiles the kernels.
     *
     * @throws CudaException if cuBLAS 12 is not there
     */
    CudaNewtonSchulz(CudaEngine engine) {
        this.engine = engine;
        cublas = engine.cublas();
        try {
            sums = kernel("sums");
            factors = kernel("factors");
            gather = kernel("gather");
            scatter = kernel("scatter");
            line = kernel("line");
        } catch (RuntimeException e) {
            Engine.cleanUp(e, this::free);
            throw e;
        }
    }

    private CudaKernel kernel(String function) {
        CudaKernel kernel = engine.kernel(
                "kernels/newtonschulz.cu", Nvrtc.Source.of("newtonschulz.cu").text(), function);
        kernels.add(kernel);
        return kernel;
    }

    /** Gives back what it holds; what is laid out stays. */
    void free() {
        kernels.forEach(CudaKernel::close);
    }

    /** Lays out the work over some matrices: once for every set of them. */
    Laid layout(long place, List<Matrix> matrices) {
        return new Laid(place, matrices);
    }

    /** Puts scale times its orthogonal matrix in the place of each. Allocates nothing. */
    void orthogonalize(Laid laid) {
        this.laid = laid;
        for (int n = 0; n < laid.batches.size(); n++) orthogonalize(laid.batches.get(n));
    }

    private void orthogonalize(Batch batch) {
        this.batch = batch;
        NewtonSchulz how = batch.kind.how;
        long table = laid.table + (long) WORDS * Long.BYTES * batch.first, partials = laid.partials;
        long pieces = batch.pieces(), tiles = batch.tiles(), count = batch.count;
        sums.set(0, table).set(1, count).set(2, pieces).set(3, partials);
        sums.start(blocks(count * pieces), THREADS);
        factors.set(0, table).set(1, count).set(2, pieces).set(3, partials);
        factors.set(4, how.margin()).set(5, how.eps()).start(blocks(count), THREADS);
        gather.set(0, table).set(1, count).set(2, tiles).start(blocks(count * tiles), THREADS);
        int in = how.iterate(this, batch.kind.m, batch.kind.n);
        scatter.set(0, table).set(1, count).set(2, tiles).set(3, in * laid.apart);
        scatter.start(blocks(count * tiles), THREADS);
    }

    private long blocks(long work) {
        return engine.blocks((int) Math.min(work, Integer.MAX_VALUE));
    }

    private static long up(long x, long by) {
        return (x + by - 1) / by;
    }

    @Override
    public void gram(int x, int square) {
        multiply(true, batch.kind.m, batch.kind.m, batch.kind.n, 1, laid.x[x], laid.x[x], 0, laid.squares[square]);
    }

    @Override
    public void polynomial(int square, float a, float b, float c, int to) {
        CUdeviceptr of = laid.squares[square], sum = laid.squares[to];
        int m = batch.kind.m;
        line.set(0, laid.squaresAt[square]).set(1, a).set(2, b).set(3, (long) m).set(4, (long) batch.count);
        line.set(5, laid.squaresAt[to]).start(blocks(up(batch.ofSquare(), THREADS)), THREADS);
        multiply(false, m, m, m, c, of, of, 1, sum);
    }

    @Override
    public void multiply(int left, int right, int to) {
        int m = batch.kind.m;
        multiply(false, m, m, m, 1, laid.squares[right], laid.squares[left], 0, laid.squares[to]);
    }

    @Override
    public void apply(int square, int x, int to) {
        int m = batch.kind.m;
        multiply(false, batch.kind.n, m, m, 1, laid.x[x], laid.squares[square], 0, laid.x[to]);
    }

    /**
     * c ← by·a·b + kept·c for each matrix of the batch, as cuBLAS reads them, by columns: c [m, n] to it is our [n, m], and our right factor its left.
     *
     * @param transposed whether a is the transpose of what is multiplied
     */
    private void multiply(
            boolean transposed,
            int m,
            int n,
            int k,
            float by,
            CUdeviceptr a,
            CUdeviceptr b,
            float kept,
            CUdeviceptr c) {
        scalars.putFloat(0, by).putFloat(Float.BYTES, kept);
        try {
            int status = cublasGemmStridedBatchedEx_new(
                    cublas,
                    transposed ? CUBLAS_OP_T : CUBLAS_OP_N,
                    CUBLAS_OP_N,
                    m,
                    n,
                    k,
                    factorAt,
                    a,
                    CUDA_R_32F,
                    transposed ? k : m,
                    (long) m * k,
                    b,
                    CUDA_R_32F,
                    k,
                    (long) k * n,
                    keepAt,
                    c,
                    CUDA_R_32F,
                    m,
                    (long) m * n,
                    batch.count,
                    compute(batch.kind.how.precision()),
                    CUBLAS_GEMM_DEFAULT);
            CudaException.mustBlas(status, "cublasGemmStridedBatchedEx");
        } catch (jcuda.CudaException e) {
            throw CudaException.of(e, "cublasGemmStridedBatchedEx");
        }
    }

    /** What cuBLAS calls a precision. */
    private static int compute(MatrixRule.Precision precision) {
        return switch (precision) {
            case FLOAT32 -> CUBLAS_COMPUTE_32F;
            case TF32 -> CUBLAS_COMPUTE_32F_FAST_TF32;
            case BFLOAT16 -> CUBLAS_COMPUTE_32F_FAST_16BF;
        };
    }
}
