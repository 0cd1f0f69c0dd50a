// The step of rule/Adam.java: the same lines, over E elements in registers.
#include "step.cuh"

STEP(adam, 2) {
  float beta1 = k[0], rest1 = k[1], beta2 = k[2], rest2 = k[3], alpha = k[4], eps = k[5], epsRoot = k[6];
  float *m = s[0], *v = s[1];
  for (int i = 0; i < E; i++) {
    m[i] = beta1 * m[i] + rest1 * g[i];
    v[i] = beta2 * v[i] + rest2 * (g[i] * g[i]);
    p[i] -= alpha * m[i] / (sqrt(v[i] + epsRoot) + eps);
  }
}
