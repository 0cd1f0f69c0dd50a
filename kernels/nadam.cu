// The step of rule/NAdam.java: the same lines, over E elements in registers.
#include "step.cuh"

STEP(nadam, 2) {
  float l2 = k[0], decay = k[1], beta1 = k[2], rest1 = k[3], beta2 = k[4], rest2 = k[5], now = k[6];
  float carried = k[7], eps = k[8];
  float *m = s[0], *v = s[1];
  for (int i = 0; i < E; i++) {
    float gi = gradient(g[i], p[i], scale, l2);
    m[i] = flush(beta1 * m[i] + rest1 * gi, MEAN);
  }
  for (int i = 0; i < E; i++) {
    float pi = p[i], gi = gradient(g[i], pi, scale, l2);
    v[i] = flush(beta2 * v[i] + rest2 * (gi * gi), SQUARE);
    p[i] = descend(pi, (now * gi + carried * m[i]) / (sqrt(v[i]) + eps), decay, trust);
  }
}
