// What cuBLAS leaves to do in a dense layer: the operations of nn/Dense.java, which nn/CpuDense.java has as plain loops. Matrices are row-major,
// with a row for each example. Compiled as the steps are: + - * / are one IEEE 754 operation each, in the order written; exp and log, in double, may
// differ from Java's in their last bits.
#include "step.cuh"

// The type of weights, activations and their gradients, of conversion.cuh: read as a float, rounded once as it is written.
#ifndef DTYPE
#define DTYPE F32
#endif
typedef DTYPE Number;
typedef long long i64;

// into[r] <- x[rows[r]], rounded, and its label with it. A block for each r.
extern "C" __global__ void gather(const float* x, const float* labels, const int* rows, int features, Number* into, float* intoLabels) {
  i64 from = rows[blockIdx.x], to = blockIdx.x;
  for (int i = threadIdx.x; i < features; i += blockDim.x) into[to * features + i] = x[from * features + i];
  if (threadIdx.x == 0) intoLabels[to] = labels[from];
}

// y <- max(sums + bias, lowerBound), NaN staying NaN; of float32, the sums are in y. A block for each row.
extern "C" __global__ void biasAndLowerBound(const float* sums, const Number* bias, int out, float lowerBound, Number* y) {
  i64 row = (i64)blockIdx.x * out;
  for (int i = threadIdx.x; i < out; i += blockDim.x) {
    float v = sums[row + i] + bias[i];
    y[row + i] = v < lowerBound ? lowerBound : v;
  }
}

// dy <- 0 where y, which ReLU gave, is 0. A thread for each element.
extern "C" __global__ void reluGradient(const Number* y, Number* dy, i64 count) {
  i64 i = (i64)blockIdx.x * blockDim.x + threadIdx.x;
  if (i < count && y[i] == 0.0f) dy[i] = 0.0f;
}

// sums <- the sum of the rows of dy. A block takes 32 columns; each of its warps adds every eighth row, then a tree adds the warps.
extern "C" __global__ void __launch_bounds__(256) biasGradient(const Number* dy, int rows, int out, float* sums) {
  __shared__ float lanes[256];
  int column = blockIdx.x * 32 + threadIdx.x % 32, warp = threadIdx.x / 32;
  float sum = 0;
  if (column < out) {
    for (int row = warp; row < rows; row += 8) sum += dy[(i64)row * out + column];
  }
  lanes[threadIdx.x] = sum;
  for (int half = 4; half > 0; half /= 2) {
    __syncthreads();
    if (warp < half) lanes[threadIdx.x] += lanes[threadIdx.x + 32 * half];
  }
  if (warp == 0 && column < out) sums[column] = lanes[threadIdx.x];
}

// Softmax cross-entropy; the logits z become the gradient of scale times the mean loss, and row *at of outcomes, which has so many, the mean loss and the
// number of rows whose label has the largest logit; *at goes on to the next row, and from the last to the first. A row's share of the mean is 1 / rows.
// One block: a thread for each row, then a tree over the threads.
extern "C" __global__ void __launch_bounds__(256, 1) crossEntropy(Number* z, const float* labels, int rows, double share, int classes, const float* scale,
                                                                float* outcomes, int places, float* at) {
  __shared__ double losses[256];
  __shared__ int rights[256];
  double loss = 0, factor = share * *scale;
  int right = 0;
  for (int row = threadIdx.x; row < rows; row += 256) {
    Number* x = z + (i64)row * classes;
    int label = (int)labels[row], largest = 0;
    for (int i = 1; i < classes; i++) {
      if ((float)x[i] > (float)x[largest]) largest = i;
    }
    // exp of what is left after the largest logit is taken away lies in 0 to 1: it cannot overflow, and the sum is at least 1.
    float shift = x[largest];
    double below = shift - x[label], sum = 0;
    for (int i = 0; i < classes; i++) sum += exp((double)(x[i] - shift));
    double logSum = log(sum);
    for (int i = 0; i < classes; i++) {
      float d = (float)(exp((x[i] - shift) - logSum) * factor);
      x[i] = i == label ? d - (float)factor : d;
    }
    loss += below + logSum;
    if (largest == label && sum == sum) right++;  // a row with NaN in it is never right
  }
  losses[threadIdx.x] = loss;
  rights[threadIdx.x] = right;
  for (int half = 128; half > 0; half /= 2) {
    __syncthreads();
    if (threadIdx.x < half) {
      losses[threadIdx.x] += losses[threadIdx.x + half];
      rights[threadIdx.x] += rights[threadIdx.x + half];
    }
  }
  if (threadIdx.x > 0) return;
  int place = (int)*at;
  outcomes[2 * place] = (float)(losses[0] * share);
  outcomes[2 * place + 1] = rights[0];
  *at = place + 1 < places ? place + 1 : 0;
}
