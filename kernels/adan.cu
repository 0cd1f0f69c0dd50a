// The step of rule/Adan.java: the same lines, over E elements in registers.
#include "step.cuh"

STEP(adan, 4) {
  float l2 = k[0], decay = k[1], beta1 = k[2], rest1 = k[3], beta2 = k[4], rest2 = k[5], beta3 = k[6], rest3 = k[7];
  float ahead = k[8], mix = k[9], alpha = k[10], eps = k[11], epsRoot = k[12];
  float *m = s[0], *d = s[1], *n = s[2], *before = s[3];
  for (int i = 0; i < E; i++) {
    float gi = gradient(g[i], p[i], scale, l2), change = gi - before[i], next = gi + ahead * change;
    d[i] = flush(beta2 * d[i] + rest2 * change, MEAN);
    n[i] = flush(beta3 * n[i] + rest3 * (next * next), SQUARE);
    before[i] = gi;
  }
  for (int i = 0; i < E; i++) {
    m[i] = flush(beta1 * m[i] + rest1 * before[i], MEAN);
    float u = (m[i] + mix * d[i]) / (sqrt(n[i] + epsRoot) + eps);
    p[i] = descend(p[i], rate(alpha, u), decay, trust);
  }
}
