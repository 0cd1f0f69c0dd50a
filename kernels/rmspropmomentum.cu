// The step of rule/RmsPropMomentum.java: the same lines, over E elements in registers.
#include "step.cuh"

STEP(rmspropmomentum, 2) {
  float l2 = k[0], decay = k[1], rho = k[2], rest = k[3], momentum = k[4], in = k[5], out = k[6];
  float eps = k[7], epsRoot = k[8];
  float *h = s[0], *b = s[1];
  for (int i = 0; i < E; i++) {
    float pi = p[i], gi = gradient(g[i], pi, scale, l2);
    h[i] = flush(rho * h[i] + rest * (gi * gi), SQUARE);
    b[i] = flush(momentum * b[i] + in * gi / (sqrt(h[i] + epsRoot) + eps), MEAN);
    p[i] = descend(pi, rate(out, b[i]), decay, trust);
  }
}
