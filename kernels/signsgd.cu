// The step of rule/SignSgd.java: the same lines, over E elements in registers.
#include "step.cuh"

STEP(signsgd, 0) {
  float l2 = k[0], decay = k[1], lr = k[2];
  for (int i = 0; i < E; i++) {
    float pi = p[i], gi = gradient(g[i], pi, scale, l2);
    p[i] = descend(pi, lr * sign(gi), decay, trust);
  }
}
