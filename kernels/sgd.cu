// The step of rule/Sgd.java: the same lines, over E elements in registers.
#include "step.cuh"

STEP(sgd, 0) {
  float l2 = k[0], decay = k[1], lr = k[2];
  for (int i = 0; i < E; i++) {
    p[i] = descend(p[i], lr * gradient(g[i], p[i], scale, l2), decay, trust);
  }
}
