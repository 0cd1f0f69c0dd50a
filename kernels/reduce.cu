// What goes before a step that somebody guards, or whose rule looks at whole tensors: the sums of Reduce.java, by the same additions in the same order; and
// what follows from them: the factor of every gradient, or no step where a gradient is not finite; and what such a rule is told. One launch; but where
// other ranks have gradients, too, the host hears their sums between the first, `reduce`, and a second, `reduce_ranks`.
#include "step.cuh"

// A piece of one gradient: at most PIECE elements. The pieces of a tensor follow each other. Of a tensor whose rule asks for its sums also the parameter's.
struct Piece {
  unsigned count;
  unsigned short gradType, paramType;
  const void *g, *p;
};

constexpr int E = 4;

// 16 bytes at a time where the array allows it, 8 of a type of 16 bits.
template <typename T>
__device__ __forceinline__ void fetchOf(float* to, const void* from, u64 i, u64 count) {
  const T* at = (const T*)from + i;
  if (i + E <= count && ((u64)at & (E * sizeof(T) - 1)) == 0) {
    fetch<true>(to, at, E);
  } else {
    fetch<false>(to, at, count - i);
  }
}

__device__ __forceinline__ void fetch(float* to, const void* from, unsigned type, u64 i, u64 count) {
  if (type == TYPE_F32) {
    fetchOf<F32>(to, from, i, count);
  } else if (type == TYPE_BF16) {
    fetchOf<BF16>(to, from, i, count);
  } else {
    fetchOf<F16>(to, from, i, count);
  }
}

__device__ __forceinline__ double four(const double* sums) {
  return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

// What a gradient of this norm is multiplied by; Guard.factor. The scale is negative where steps go up.
__device__ __forceinline__ float factor(double norm, double max, double scale) {
  return (float)(norm > max ? scale * (max / norm) : scale);
}

// What a step makes of the loss scale, whether it is the one that moves it or not; CpuLossScale.java.
__device__ __forceinline__ void move(Loss& loss, bool go, bool moves) {
  if (!go) loss.overflowed = true;
  if (!moves) return;
  bool grows = !loss.overflowed && loss.good + 1 >= loss.interval, shrinks = loss.overflowed && loss.left == 1;
  if (grows || shrinks) loss.scale = clamp((float)(loss.scale * (grows ? loss.growth : loss.backoff)), loss.floor, loss.ceiling);
  loss.good = grows || loss.overflowed ? 0 : loss.good + 1;
  loss.left = grows ? loss.hysteresis : loss.overflowed && !shrinks ? loss.left - 1 : loss.left;
  loss.overflowed = false;
}

// Tells each tensor by what its gradient is multiplied, which is clipped by its own norm; and says whether a factor vanishes: whether float holds it as a
// subnormal, or not at all, and it would clip to something else.
__device__ __forceinline__ bool clipEach(Told* told, u64 tensors, const volatile double* partials, const u64* firsts, double max, double scale,
                                         double (*lanes)[THREADS]) {
  bool vanishes = false;
  for (u64 first = 0; first < tensors; first += THREADS / LANES) {
    u64 n = first + threadIdx.x / LANES;
    double part = 0;
    if (n < tensors) {
      for (u64 c = firsts[n] + threadIdx.x % LANES; c < firsts[n + 1]; c += LANES) part += partials[c];
    }
    __syncthreads();
    lanes[0][threadIdx.x] = part;
    tree<1>(lanes, LANES);
    if (n < tensors && threadIdx.x % LANES == 0) {
      float by = factor(fabs(scale) * sqrt(lanes[0][threadIdx.x]), max, scale);
      told[n].scale = by;
      vanishes |= fabs(by) < SMALLEST;
    }
  }
  __syncthreads();
  lanes[0][threadIdx.x] = vanishes;
  tree<1>(lanes, THREADS);
  return lanes[0][0] != 0;
}

// What follows from the partials of all gradients: their norm, the factor of each where they are clipped as one, and whether the step is done. Where each
// tensor is clipped by itself, vanishes is what clipEach says of all. One block.
__device__ __forceinline__ void decide(const volatile double* partials, u64 count, Told* told, u64 tensors, Control* control, bool eachTensor,
                                       bool vanishes, double max, double scale, Loss* loss, double (*lanes)[THREADS]) {
  double sum = 0;
  for (u64 c = threadIdx.x; c < count; c += THREADS) sum += partials[c];
  __syncthreads();
  lanes[0][threadIdx.x] = sum;
  tree<1>(lanes, THREADS);
  double norm = fabs(scale) * sqrt(lanes[0][0]);
  if (!eachTensor) {
    float by = factor(norm, max, scale);
    for (u64 n = threadIdx.x; n < tensors; n += THREADS) told[n].scale = by;
    vanishes = fabs(by) < SMALLEST;
  }
  if (threadIdx.x > 0) return;
  control->norm = norm;
  bool go = norm - norm == 0 && !vanishes && (float)fabs(scale) <= LARGEST;
  control->go = go;
  if (loss != nullptr) move(*loss, go, loss->mover == control);
}

// Of each piece partials has Σg², and behind those of all pieces Σx², Σx·p and Σp², where x is the gradient with each element clipped, if that is asked for.
// Where this rank is not alone, go says until the ranks have met that none of its own factors vanishes.
extern "C" __global__ void __launch_bounds__(THREADS, 4) reduce(const Piece* pieces, u64 count, volatile double* partials, const u64* firsts, u64 tensors,
                                                               Told* told, Control* control, unsigned guards, unsigned eachTensor, double max, double scale,
                                                               Loss* loss, unsigned alone) {
  __shared__ double lanes[3][THREADS];
  if (loss != nullptr) scale /= loss->scale;
  const float limit = control->limit, by = limit <= LARGEST ? (float)scale : 1;
  for (u64 c = blockIdx.x; c < count; c += gridDim.x) {
    const void *g = pieces[c].g, *p = pieces[c].p;
    unsigned size = pieces[c].count, gradType = pieces[c].gradType, paramType = pieces[c].paramType;
    bool same = p != nullptr && limit > LARGEST;  // x is g
    if (guards && !same) {
      double gg[E] = {0, 0, 0, 0};
      for (unsigned i = threadIdx.x * E; i < size; i += THREADS * E) {
        float x[E];
        fetch(x, g, gradType, i, size);
        for (int n = 0; n < E; n++) gg[n] += (double)x[n] * (double)x[n];
      }
      lanes[0][threadIdx.x] = four(gg);
      tree<1>(lanes, THREADS);
      if (threadIdx.x == 0) partials[c] = lanes[0][0];
      __syncthreads();  // before the next sums take the lanes
    }
    if (p != nullptr) {
      double xx[E] = {0, 0, 0, 0}, xp[E] = {0, 0, 0, 0}, pp[E] = {0, 0, 0, 0};
#pragma unroll 1  // for registers
      for (unsigned i = threadIdx.x * E; i < size; i += THREADS * E) {
        float x[E], y[E];
        fetch(x, g, gradType, i, size);
        fetch(y, p, paramType, i, size);
        for (int n = 0; n < E; n++) {
          double a = clamp(by * x[n], limit), b = y[n];
          xx[n] += a * a;
          xp[n] += a * b;
          pp[n] += b * b;
        }
      }
      lanes[0][threadIdx.x] = four(xx);
      lanes[1][threadIdx.x] = four(xp);
      lanes[2][threadIdx.x] = four(pp);
      tree<3>(lanes, THREADS);
      if (threadIdx.x < 3) partials[(1 + threadIdx.x) * count + c] = lanes[threadIdx.x][0];
      if (threadIdx.x == 0 && guards && same) partials[c] = lanes[0][0];
      __syncthreads();
    }
  }

  if (!arrivesLast(control)) return;
  if (threadIdx.x == 0) control->arrived = 0;
  tell(told, tensors, BY_GRADIENT, partials, firsts, count, lanes);
  if (!guards) return;
  bool vanishes = eachTensor && clipEach(told, tensors, partials, firsts, max, scale, lanes);
  if (alone) {
    decide(partials, count, told, tensors, control, eachTensor, vanishes, max, scale, loss, lanes);
  } else if (threadIdx.x == 0) {
    control->go = !vanishes;
  }
}

// The second launch where ranks have met: of one block, over the partials of all of them.
extern "C" __global__ void __launch_bounds__(THREADS) reduce_ranks(const double* partials, u64 count, Told* told, u64 tensors, Control* control,
                                                                  unsigned eachTensor, unsigned vanishes, double max, double scale, Loss* loss) {
  __shared__ double lanes[1][THREADS];
  if (loss != nullptr) scale /= loss->scale;
  decide(partials, count, told, tensors, control, eachTensor, vanishes, max, scale, loss, lanes);
}
