// The step of rule/AdaGrad.java: the same lines, over E elements in registers.
#include "step.cuh"

STEP(adagrad, 1) {
  float l2 = k[0], decay = k[1], lr = k[2], eps = k[3], epsRoot = k[4];
  float* h = s[0];
  for (int i = 0; i < E; i++) {
    float pi = p[i], gi = gradient(g[i], pi, scale, l2);
    h[i] = flush(h[i] + gi * gi, SQUARE);
    p[i] = descend(pi, lr * gi / (sqrt(h[i] + epsRoot) + eps), decay, trust);
  }
}
