// The step of rule/RmsProp.java: the same lines, over E elements in registers.
#include "step.cuh"

STEP(rmsprop, 1) {
  float l2 = k[0], decay = k[1], lr = k[2], rho = k[3], rest = k[4], eps = k[5], epsRoot = k[6];
  float* h = s[0];
  for (int i = 0; i < E; i++) {
    float pi = p[i], gi = gradient(g[i], pi, scale, l2);
    h[i] = flush(rho * h[i] + rest * (gi * gi), SQUARE);
    p[i] = descend(pi, lr * gi / (sqrt(h[i] + epsRoot) + eps), decay, trust);
  }
}
