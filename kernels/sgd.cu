// The step of rule/Sgd.java: the same lines, over E elements in registers.
#include "step.cuh"

STEP(sgd, 0) {
  float lr = k[0];
  for (int i = 0; i < E; i++) {
    p[i] -= lr * g[i];
  }
}
