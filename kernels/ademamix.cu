// The step of rule/AdEMAMix.java: the same lines, over E elements in registers.
#include "step.cuh"

STEP(ademamix, 3) {
  float l2 = k[0], decay = k[1], beta1 = k[2], rest1 = k[3], beta2 = k[4], rest2 = k[5], beta3 = k[6], rest3 = k[7];
  float fast = k[8], old = k[9], eps = k[10], epsRoot = k[11];
  float *m = s[0], *slow = s[1], *v = s[2];
  for (int i = 0; i < E; i++) {
    float gi = gradient(g[i], p[i], scale, l2);
    m[i] = flush(beta1 * m[i] + rest1 * gi, MEAN);
    slow[i] = flush(beta3 * slow[i] + rest3 * gi, MEAN);
    v[i] = flush(beta2 * v[i] + rest2 * (gi * gi), SQUARE);
  }
  for (int i = 0; i < E; i++) {
    p[i] = descend(p[i], (fast * m[i] + old * slow[i]) / (sqrt(v[i] + epsRoot) + eps), decay, trust);
  }
}
