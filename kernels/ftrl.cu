// The step of rule/Ftrl.java: the same lines, over E elements in registers.
#include "step.cuh"

STEP(ftrl, 2) {
  float l2 = k[0], decay = k[1], lr = k[2], lasso = k[3], more = k[4], moves = k[5];
  float *n = s[0], *z = s[1];
  for (int i = 0; i < E; i++) {
    float pi = p[i], gi = gradient(g[i], pi, scale, l2), before = sqrt(n[i]);
    n[i] = flush(n[i] + gi * gi, SQUARE);
    z[i] = flush(z[i] + lr * gi - (sqrt(n[i]) - before) * pi, MEAN);
  }
  for (int i = 0; i < E; i++) {
    float pi = p[i], u = pi + (z[i] - clamp(z[i], lasso)) / (sqrt(n[i]) + more);
    p[i] = descend(pi, rate(moves, u), decay, trust);
  }
}
