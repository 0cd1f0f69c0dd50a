// The step of rule/Momentum.java: the same lines, over E elements in registers.
#include "step.cuh"

STEP(momentum, 1) {
  float mu = k[0], a = k[1], b = k[2];
  float* v = s[0];
  for (int i = 0; i < E; i++) {
    v[i] = mu * v[i] + a * g[i];
    p[i] += b * v[i];
  }
}
