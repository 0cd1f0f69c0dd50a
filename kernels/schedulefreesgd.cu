// The step of rule/ScheduleFreeSgd.java: the same lines, over E elements in registers.
#include "step.cuh"

STEP(schedulefreesgd, 1) {
  float l2 = k[0], decay = k[1], lr = k[2], kept = k[3], beta = k[4];
  float* d = s[0];
  for (int i = 0; i < E; i++) {
    float pi = p[i], step = lr * gradient(g[i], pi, scale, l2) + decay * pi, before = d[i];
    d[i] = flush(kept * (before - beta * step), MEAN);
    p[i] = descend(pi, step - before + d[i], 0, trust);
  }
}
