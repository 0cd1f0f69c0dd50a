// The global norm of Norm.java, by the same additions in the same order; and what follows from it: the coefficient that clips the step, or no
// step where the norm is not finite. One launch, before that of the rule.
#include "step.cuh"

// Scalars that the host has sent ahead; CudaClippedSteps.RING.
constexpr int RING = 1024;

// What an optimizer has on the device; CudaClippedSteps lays it out.
struct Steps {
  Step step;
  u64 done, skipped;
  double norm;
  u64 arrived;  // blocks that have written all their partials
  float ring[RING][K];
};

// A piece of one gradient: at most 4,096 elements.
struct Piece {
  u64 count;
  const float* g;
};

constexpr int THREADS = 256;

__device__ __forceinline__ double tree(double* lanes) {
  for (int half = THREADS / 2; half > 0; half /= 2) {
    __syncthreads();
    if (threadIdx.x < half) lanes[threadIdx.x] += lanes[threadIdx.x + half];
  }
  __syncthreads();
  return lanes[0];
}

// 16 bytes at a time where the gradient allows it; not streaming, for the step reads it again.
__device__ __forceinline__ void fetch(float* to, const float* g, u64 i, u64 count) {
  if (i + E <= count && ((u64)(g + i) & 15) == 0) {
    asm volatile("ld.global.v4.f32 {%0, %1, %2, %3}, [%4];" : "=f"(to[0]), "=f"(to[1]), "=f"(to[2]), "=f"(to[3]) : "l"(g + i));
  } else {
    for (int n = 0; n < E; n++) to[n] = i + n < count ? g[i + n] : 0;
  }
}

extern "C" __global__ void __launch_bounds__(THREADS) globalNorm(const Piece* pieces, u64 count, volatile double* partials, Steps* steps, double max) {
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
    double sum = tree(lanes);
    if (threadIdx.x == 0) partials[c] = sum;
    __syncthreads();  // before the next piece takes the lanes
  }

  // The block that arrives last finds all partials written.
  if (threadIdx.x == 0) {
    __threadfence();
    last = atomicAdd(&steps->arrived, 1ULL) == gridDim.x - 1;
  }
  __syncthreads();
  if (!last) return;
  __threadfence();
  double sum = 0;
  for (u64 c = threadIdx.x; c < count; c += THREADS) sum += partials[c];
  lanes[threadIdx.x] = sum;
  double norm = sqrt(tree(lanes));
  if (threadIdx.x > 0) return;
  steps->arrived = 0;
  steps->norm = norm;
  bool finite = norm - norm == 0;
  steps->step.go = finite;
  if (!finite) {
    steps->skipped++;
    return;
  }
  u64 t = ++steps->done;
  for (int n = 0; n < K; n++) steps->step.k[n] = steps->ring[t % RING][n];
  steps->step.coefficient = norm > max ? (float)(max / norm) : 1;
}
