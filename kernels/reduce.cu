// What goes before a step that somebody guards: the sums of squares of Reduce.java, by the same additions in the same order; and what follows from
// them: the factor of every gradient, or no step where a gradient is not finite. One launch.
#include "step.cuh"

// A piece of one gradient: at most PIECE elements. The pieces of a tensor follow each other.
struct Piece {
  u64 count;
  const float* g;
};

constexpr int THREADS = 256;
constexpr int LANES = 32;  // of one tensor's sum
constexpr int E = 4;

// Sums so many neighbouring lanes, each group of them for itself.
__device__ __forceinline__ double tree(double* lanes, int width) {
  for (int half = width / 2; half > 0; half /= 2) {
    __syncthreads();
    if (threadIdx.x % width < half) lanes[threadIdx.x] += lanes[threadIdx.x + half];
  }
  __syncthreads();
  return lanes[threadIdx.x / width * width];
}

// 16 bytes at a time where the gradient allows it; not streaming, for the step reads it again.
__device__ __forceinline__ void fetch(float* to, const float* g, u64 i, u64 count) {
  if (i + E <= count && ((u64)(g + i) & 15) == 0) {
    asm volatile("ld.global.v4.f32 {%0, %1, %2, %3}, [%4];" : "=f"(to[0]), "=f"(to[1]), "=f"(to[2]), "=f"(to[3]) : "l"(g + i));
  } else {
    for (int n = 0; n < E; n++) to[n] = i + n < count ? g[i + n] : 0;
  }
}

// What a gradient of this norm is multiplied by; Guard.factor. The scale is negative where steps go up.
__device__ __forceinline__ float factor(double norm, double max, double scale) {
  return (float)(norm > max ? scale * (max / norm) : scale);
}

// firsts[n] is the first piece of tensor n, firsts[tensors] the number of pieces.
extern "C" __global__ void __launch_bounds__(THREADS, 4) reduce(const Piece* pieces, u64 count, volatile double* partials, const u64* firsts, u64 tensors,
                                                               Told* told, Control* control, unsigned eachTensor, double max, double scale) {
  __shared__ double lanes[THREADS];
  __shared__ bool last;
  for (u64 c = blockIdx.x; c < count; c += gridDim.x) {
    Piece piece = pieces[c];
    double sums[E] = {0, 0, 0, 0};
    for (u64 i = (u64)threadIdx.x * E; i < piece.count; i += THREADS * E) {
      float g[E];
      fetch(g, piece.g, i, piece.count);
      for (int n = 0; n < E; n++) sums[n] += (double)g[n] * (double)g[n];
    }
    lanes[threadIdx.x] = (sums[0] + sums[1]) + (sums[2] + sums[3]);
    double sum = tree(lanes, THREADS);
    if (threadIdx.x == 0) partials[c] = sum;
    __syncthreads();  // before the next piece takes the lanes
  }

  // The block that arrives last finds all partials written.
  if (threadIdx.x == 0) {
    __threadfence();
    last = atomicAdd(&control->arrived, 1ULL) == gridDim.x - 1;
  }
  __syncthreads();
  if (!last) return;
  __threadfence();
  double sum = 0;
  for (u64 c = threadIdx.x; c < count; c += THREADS) sum += partials[c];
  lanes[threadIdx.x] = sum;
  double norm = fabs(scale) * sqrt(tree(lanes, THREADS));
  bool vanishes = false;  // a factor that float holds as a subnormal, or not at all, would clip to something else
  if (eachTensor) {
    for (u64 first = 0; first < tensors; first += THREADS / LANES) {
      u64 n = first + threadIdx.x / LANES;
      double part = 0;
      if (n < tensors) {
        for (u64 c = firsts[n] + threadIdx.x % LANES; c < firsts[n + 1]; c += LANES) part += partials[c];
      }
      __syncthreads();
      lanes[threadIdx.x] = part;
      double own = fabs(scale) * sqrt(tree(lanes, LANES));
      if (n < tensors && threadIdx.x % LANES == 0) {
        float by = factor(own, max, scale);
        told[n].scale = by;
        vanishes |= fabs(by) < SMALLEST;
      }
    }
  } else {
    float by = factor(norm, max, scale);
    for (u64 n = threadIdx.x; n < tensors; n += THREADS) told[n].scale = by;
    vanishes = fabs(by) < SMALLEST;
  }
  __syncthreads();
  lanes[threadIdx.x] = vanishes;
  bool all = tree(lanes, THREADS) == 0;
  if (threadIdx.x > 0) return;
  control->arrived = 0;
  control->norm = norm;
  control->go = norm - norm == 0 && all;
}
