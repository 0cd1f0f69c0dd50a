// What a tensor does to another of any type; Tensor.java. Compiled as the steps are: every operation is one IEEE 754 operation.
#include "step.cuh"

// Before each element of a grid of any size, from the first to the last but count.
#define EACH(i, count)                                                          \
  for (u64 i = (u64)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += (u64)gridDim.x * blockDim.x)

// x <- x + factor * y; and x <- y, with the same arguments.
#define ADD(X, Y)                                                               \
  extern "C" __global__ void add##X##Y(X* x, const Y* y, float factor, u64 count) { \
    EACH(i, count) x[i] = x[i] + factor * y[i];                                 \
  }
#define SET(X, Y)                                                               \
  extern "C" __global__ void set##X##Y(X* x, const Y* y, float, u64 count) {    \
    EACH(i, count) x[i] = (float)y[i];                                          \
  }

ADD(F32, F32) ADD(F32, BF16) ADD(F32, F16)
ADD(BF16, F32) ADD(BF16, BF16) ADD(BF16, F16)
ADD(F16, F32) ADD(F16, BF16) ADD(F16, F16)

SET(F32, BF16) SET(F32, F16)
SET(BF16, F32) SET(BF16, F16)
SET(F16, F32) SET(F16, BF16)
