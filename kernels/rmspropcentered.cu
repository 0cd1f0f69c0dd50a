// The step of rule/RmsPropCentered.java: the same lines, over E elements in registers.
#include "step.cuh"

STEP(rmspropcentered, 3) {
  float l2 = k[0], decay = k[1], rho = k[2], rest = k[3], momentum = k[4], in = k[5], out = k[6];
  float eps = k[7], epsRoot = k[8];
  float *h = s[0], *m = s[1], *b = s[2];
  for (int i = 0; i < E; i++) {
    float gi = gradient(g[i], p[i], scale, l2);
    h[i] = flush(rho * h[i] + rest * (gi * gi), SQUARE);
    m[i] = flush(rho * m[i] + rest * gi, MEAN);
  }
  for (int i = 0; i < E; i++) {
    float pi = p[i], gi = gradient(g[i], pi, scale, l2);
    float root = sqrt(larger(h[i] - m[i] * m[i], 0) + epsRoot) + eps;
    b[i] = flush(momentum * b[i] + rate(in, gi / root), MEAN);
    p[i] = descend(pi, rate(out, b[i]), decay, trust);
  }
}
