// The step of rule/Yogi.java: the same lines, over E elements in registers.
#include "step.cuh"

STEP(yogi, 2) {
  float l2 = k[0], decay = k[1], beta1 = k[2], rest1 = k[3], rest2 = k[4], alpha = k[5], eps = k[6], epsRoot = k[7];
  float *m = s[0], *v = s[1];
  for (int i = 0; i < E; i++) {
    float gi = gradient(g[i], p[i], scale, l2), square = gi * gi;
    m[i] = flush(beta1 * m[i] + rest1 * gi, MEAN);
    v[i] = flush(v[i] - rest2 * square * sign(v[i] - square), SQUARE);
  }
  for (int i = 0; i < E; i++) {
    p[i] = descend(p[i], rate(alpha, m[i] / (sqrt(v[i] + epsRoot) + eps)), decay, trust);
  }
}
