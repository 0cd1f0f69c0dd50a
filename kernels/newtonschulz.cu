// What lies between the products of NewtonSchulz.java, for all matrices of a batch at once. Header-free, and compiled as the steps are: every operation is
// one IEEE 754 operation, and sums have a fixed order.

typedef unsigned long long u64;

// A matrix of the batch, [rows, columns], and where its X is: that matrix, or where it has more rows than columns its transpose.
struct Matrix {
  float *u, *x;
  double scale;   // of what is left in u
  double factor;  // of what is put into x
  u64 rows, columns;
};

constexpr int THREADS = 256;
constexpr u64 PIECE = 4096;  // elements whose squares one block sums
constexpr int TILE = 32;     // rows and columns that one block moves, in as many columns of threads

__device__ __forceinline__ double total(double* lanes, double mine) {
  lanes[threadIdx.x] = mine;
  for (int half = THREADS / 2; half > 0; half /= 2) {
    __syncthreads();
    if (threadIdx.x < half) lanes[threadIdx.x] += lanes[threadIdx.x + half];
  }
  __syncthreads();
  double all = lanes[0];
  __syncthreads();
  return all;
}

// partials <- the sum of squares of each piece; so many pieces are of one matrix.
extern "C" __global__ void __launch_bounds__(THREADS) sums(const Matrix* matrices, u64 count, u64 pieces, double* partials) {
  __shared__ double lanes[THREADS];
  for (u64 c = blockIdx.x; c < count * pieces; c += gridDim.x) {
    const Matrix& matrix = matrices[c / pieces];
    u64 from = c % pieces * PIECE, size = matrix.rows * matrix.columns, to = size < from + PIECE ? size : from + PIECE;
    double mine = 0;
    for (u64 i = from + threadIdx.x; i < to; i += THREADS) mine += (double)matrix.u[i] * (double)matrix.u[i];
    double all = total(lanes, mine);
    if (threadIdx.x == 0) partials[c] = all;
  }
}

// The factor of each matrix, whose norm is taken times the margin; NewtonSchulz.factor. A block for each.
extern "C" __global__ void __launch_bounds__(THREADS) factors(Matrix* matrices, u64 count, u64 pieces, const double* partials, double margin, double eps) {
  __shared__ double lanes[THREADS];
  for (u64 n = blockIdx.x; n < count; n += gridDim.x) {
    double mine = 0;
    for (u64 i = threadIdx.x; i < pieces; i += THREADS) mine += partials[n * pieces + i];
    double norm = margin * sqrt(total(lanes, mine));
    if (threadIdx.x == 0) matrices[n].factor = 1 / (norm < eps ? eps : norm);
  }
}

// to <- by * from, [rows, columns], or its transpose: one tile of it, through shared memory, so that both sides are read and written along their rows.
__device__ __forceinline__ void move(float (*tile)[TILE + 1], u64 at, const float* from, u64 rows, u64 columns, bool transposed, double by, float* to) {
  u64 across = (columns + TILE - 1) / TILE, row = at / across * TILE, column = at % across * TILE;
  int x = threadIdx.x % TILE;
  for (int y = threadIdx.x / TILE; y < TILE; y += THREADS / TILE) {
    if (row + y < rows && column + x < columns) tile[y][x] = (float)(by * from[(row + y) * columns + column + x]);
  }
  __syncthreads();
  for (int y = threadIdx.x / TILE; y < TILE; y += THREADS / TILE) {
    if (transposed) {
      if (column + y < columns && row + x < rows) to[(column + y) * rows + row + x] = tile[x][y];
    } else {
      if (row + y < rows && column + x < columns) to[(row + y) * columns + column + x] = tile[y][x];
    }
  }
  __syncthreads();
}

// x <- factor * u; so many tiles are of one matrix.
extern "C" __global__ void __launch_bounds__(THREADS) gather(const Matrix* matrices, u64 count, u64 tiles) {
  __shared__ float tile[TILE][TILE + 1];
  for (u64 c = blockIdx.x; c < count * tiles; c += gridDim.x) {
    const Matrix& matrix = matrices[c / tiles];
    move(tile, c % tiles, matrix.u, matrix.rows, matrix.columns, matrix.rows > matrix.columns, matrix.factor, matrix.x);
  }
}

// u <- scale * x, where x is so many floats behind the place into which it was put.
extern "C" __global__ void __launch_bounds__(THREADS) scatter(const Matrix* matrices, u64 count, u64 tiles, u64 behind) {
  __shared__ float tile[TILE][TILE + 1];
  for (u64 c = blockIdx.x; c < count * tiles; c += gridDim.x) {
    const Matrix& matrix = matrices[c / tiles];
    bool tall = matrix.rows > matrix.columns;
    u64 m = tall ? matrix.columns : matrix.rows, n = tall ? matrix.rows : matrix.columns;
    move(tile, c % tiles, matrix.x + behind, m, n, tall, matrix.scale, matrix.u);
  }
}

// to <- a * I + b * square, of so many [m, m] one behind the other.
extern "C" __global__ void line(const float* square, float a, float b, u64 m, u64 count, float* to) {
  u64 size = m * m, stride = (u64)gridDim.x * blockDim.x;
  for (u64 i = (u64)blockIdx.x * blockDim.x + threadIdx.x; i < count * size; i += stride) {
    float bx = b * square[i];
    to[i] = i % size % (m + 1) == 0 ? bx + a : bx;
  }
}
