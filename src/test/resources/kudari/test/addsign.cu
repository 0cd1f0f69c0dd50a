#include "step.cuh"

STEP(addsign, 1) {
  float l2 = k[0], decay = k[1], lr = k[2], beta = k[3], rest = k[4];
  float* m = s[0];
  for (int i = 0; i < E; i++) {
    float pi = p[i], gi = gradient(g[i], pi, scale, l2);
    m[i] = flush(beta * m[i] + rest * gi, MEAN);
    float u = rate(lr, (1 + sign(gi) * sign(m[i])) * gi);
    p[i] = descend(pi, u, decay, trust);
  }
}
