// The step of rule/ScheduleFreeAdamW.java: the same lines, over E elements in registers.
#include "step.cuh"

STEP(schedulefreeadamw, 2) {
  float l2 = k[0], decay = k[1], beta2 = k[2], rest2 = k[3], alpha = k[4], eps = k[5];
  float c = k[6], kept = k[7], now = k[8], beta1 = k[9];
  float *v = s[0], *d = s[1];
  for (int i = 0; i < E; i++) {
    float gi = gradient(g[i], p[i], scale, l2);
    v[i] = flush(beta2 * v[i] + rest2 * (gi * gi), SQUARE);
  }
  for (int i = 0; i < E; i++) {
    float pi = p[i], gi = gradient(g[i], pi, scale, l2);
    float step = alpha * gi / (sqrt(v[i]) + eps) + decay * pi, u = now * step - c * d[i];
    d[i] = flush(kept * (d[i] - beta1 * step), MEAN);
    p[i] = descend(pi, u, 0, trust);
  }
}
