// The step of rule/Adamax.java: the same lines, over E elements in registers.
#include "step.cuh"

STEP(adamax, 2) {
  float l2 = k[0], decay = k[1], beta1 = k[2], rest1 = k[3], beta2 = k[4], alpha = k[5], eps = k[6], epsMax = k[7];
  float *m = s[0], *u = s[1];
  for (int i = 0; i < E; i++) {
    float pi = p[i], gi = gradient(g[i], pi, scale, l2);
    m[i] = flush(beta1 * m[i] + rest1 * gi, MEAN);
    u[i] = flush(larger(beta2 * u[i], abs(gi) + epsMax), SQUARE);
    p[i] = descend(pi, alpha * m[i] / (u[i] + eps), decay, trust);
  }
}
