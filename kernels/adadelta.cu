// The step of rule/AdaDelta.java: the same lines, over E elements in registers.
#include "step.cuh"

STEP(adadelta, 2) {
  float l2 = k[0], decay = k[1], lr = k[2], rho = k[3], rest = k[4], eps = k[5];
  float *h = s[0], *d = s[1];
  for (int i = 0; i < E; i++) {
    float gi = gradient(g[i], p[i], scale, l2);
    h[i] = flush(rho * h[i] + rest * (gi * gi), SQUARE);
  }
  for (int i = 0; i < E; i++) {
    float pi = p[i], gi = gradient(g[i], pi, scale, l2);
    float step = sqrt(d[i] + eps) / sqrt(h[i] + eps) * gi;
    d[i] = flush(rho * d[i] + rest * (step * step), SQUARE);
    p[i] = descend(pi, lr * step, decay, trust);
  }
}
