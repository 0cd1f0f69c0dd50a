// The step of rule/Lion.java: the same lines, over E elements in registers.
#include "step.cuh"

STEP(lion, 1) {
  float l2 = k[0], decay = k[1], lr = k[2], beta1 = k[3], rest1 = k[4], beta2 = k[5], rest2 = k[6];
  float* m = s[0];
  for (int i = 0; i < E; i++) {
    float pi = p[i], gi = gradient(g[i], pi, scale, l2);
    float u = lr * sign(beta1 * m[i] + rest1 * gi);
    m[i] = flush(beta2 * m[i] + rest2 * gi, MEAN);
    p[i] = descend(pi, u, decay, trust);
  }
}
