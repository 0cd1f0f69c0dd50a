// What a tensor does to another; Tensor.java. Header-free, and compiled as the steps are: every operation is one IEEE 754 operation.

typedef unsigned long long u64;

// x <- x + factor * y
extern "C" __global__ void add(float* x, const float* y, float factor, u64 count) {
  u64 stride = (u64)gridDim.x * blockDim.x;
  for (u64 i = (u64)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += stride) x[i] += factor * y[i];
}
