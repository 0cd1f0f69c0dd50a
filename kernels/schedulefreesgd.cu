// The step of rule/ScheduleFreeSgd.java: the same lines, over E elements in registers.
#include "step.cuh"

STEP(schedulefreesgd, 1) {
  float l2 = k[0], decay = k[1], lr = k[2], c = k[3], kept = k[4], now = k[5], beta = k[6];
  float* d = s[0];
  for (int i = 0; i < E; i++) {
    float pi = p[i], step = lr * gradient(g[i], pi, scale, l2) + decay * pi, u = now * step - c * d[i];
    d[i] = flush(kept * (d[i] - beta * step), MEAN);
    p[i] = descend(pi, u, 0, trust);
  }
}
