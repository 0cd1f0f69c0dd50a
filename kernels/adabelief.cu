// The step of rule/AdaBelief.java: the same lines, over E elements in registers.
#include "step.cuh"

STEP(adabelief, 2) {
  float l2 = k[0], decay = k[1], beta1 = k[2], rest1 = k[3], beta2 = k[4], rest2 = k[5], alpha = k[6];
  float eps = k[7], epsRoot = k[8];
  float *m = s[0], *spread = s[1];
  for (int i = 0; i < E; i++) {
    float pi = p[i], gi = gradient(g[i], pi, scale, l2);
    m[i] = flush(beta1 * m[i] + rest1 * gi, MEAN);
    float off = gi - m[i];
    spread[i] = flush(beta2 * spread[i] + rest2 * (off * off) + epsRoot, SQUARE);
    p[i] = descend(pi, alpha * m[i] / (sqrt(spread[i]) + eps), decay, trust);
  }
}
