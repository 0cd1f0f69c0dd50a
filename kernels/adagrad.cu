// The step of rule/AdaGrad.java: the same lines, over E elements in registers.
#include "step.cuh"

STEP(adagrad, 1) {
  float lr = k[0], eps = k[1], epsRoot = k[2];
  float* h = s[0];
  for (int i = 0; i < E; i++) {
    h[i] += g[i] * g[i];
    p[i] -= lr * g[i] / (sqrt(h[i] + epsRoot) + eps);
  }
}
