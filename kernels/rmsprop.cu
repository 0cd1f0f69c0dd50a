// The step of rule/RmsProp.java: the same lines, over E elements in registers.
#include "step.cuh"

STEP(rmsprop, 1) {
  float lr = k[0], rho = k[1], rest = k[2], eps = k[3], epsRoot = k[4];
  float* h = s[0];
  for (int i = 0; i < E; i++) {
    h[i] = rho * h[i] + rest * (g[i] * g[i]);
    p[i] -= lr * g[i] / (sqrt(h[i] + epsRoot) + eps);
  }
}
