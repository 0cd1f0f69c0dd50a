// The step of rule/Madgrad.java: the same lines, over E elements in registers.
#include "step.cuh"

STEP(madgrad, 3) {
  float l2 = k[0], decay = k[1], lambda = k[2], rest = k[3], eps = k[4];
  float *v = s[0], *sum = s[1], *d = s[2];
  for (int i = 0; i < E; i++) {
    float gi = gradient(g[i], p[i], scale, l2), weighted = lambda * gi;
    v[i] = flush(v[i] + weighted * gi, SQUARE);
    sum[i] = flush(sum[i] + weighted, MEAN);
  }
  for (int i = 0; i < E; i++) {
    float u = rate(rest, d[i] + sum[i] / (cubeRoot(v[i]) + eps));
    d[i] = flush(d[i] - u, MEAN);
    p[i] = descend(p[i], u, decay, trust);
  }
}
