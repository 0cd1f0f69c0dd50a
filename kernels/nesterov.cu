// The step of rule/Nesterov.java: the same lines, over E elements in registers.
#include "step.cuh"

STEP(nesterov, 1) {
  float l2 = k[0], decay = k[1], momentum = k[2], in = k[3], out = k[4];
  float* v = s[0];
  for (int i = 0; i < E; i++) {
    float pi = p[i], gi = gradient(g[i], pi, scale, l2);
    v[i] = flush(momentum * v[i] + in * gi, MEAN);
    p[i] = descend(pi, rate(out, momentum * v[i] + in * gi), decay, trust);
  }
}
