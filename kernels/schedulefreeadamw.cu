// The step of rule/ScheduleFreeAdamW.java: the same lines, over E elements in registers.
#include "step.cuh"

STEP(schedulefreeadamw, 2) {
  float l2 = k[0], decay = k[1], beta2 = k[2], rest2 = k[3], alpha = k[4], eps = k[5];
  float kept = k[6], beta1 = k[7];
  float *v = s[0], *d = s[1];
  for (int i = 0; i < E; i++) {
    float gi = gradient(g[i], p[i], scale, l2);
    v[i] = flush(beta2 * v[i] + rest2 * (gi * gi), SQUARE);
  }
  for (int i = 0; i < E; i++) {
    float pi = p[i], gi = gradient(g[i], pi, scale, l2);
    float step = alpha * gi / (sqrt(v[i]) + eps) + decay * pi, before = d[i];
    d[i] = flush(kept * (before - beta1 * step), MEAN);
    p[i] = descend(pi, step - before + d[i], 0, trust);
  }
}
