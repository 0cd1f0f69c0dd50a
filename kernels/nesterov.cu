// The step of rule/Nesterov.java: the same lines, over E elements in registers.
#include "step.cuh"

STEP(nesterov, 1) {
  float mu = k[0], a = k[1], c = k[2], d = k[3];
  float* v = s[0];
  for (int i = 0; i < E; i++) {
    p[i] += c * v[i] + d * g[i];
    v[i] = mu * v[i] + a * g[i];
  }
}
