// The step of rule/AmsGrad.java: the same lines, over E elements in registers.
#include "step.cuh"

STEP(amsgrad, 3) {
  float l2 = k[0], decay = k[1], beta1 = k[2], rest1 = k[3], beta2 = k[4], rest2 = k[5], alpha = k[6];
  float eps = k[7], epsRoot = k[8], correction = k[9];
  float *m = s[0], *v = s[1], *most = s[2];
  for (int i = 0; i < E; i++) {
    float gi = gradient(g[i], p[i], scale, l2);
    m[i] = flush(beta1 * m[i] + rest1 * gi, MEAN);
    v[i] = flush(beta2 * v[i] + rest2 * (gi * gi), SQUARE);
    most[i] = larger(most[i], correction * v[i]);
  }
  for (int i = 0; i < E; i++) {
    p[i] = descend(p[i], alpha * m[i] / (sqrt(most[i] + epsRoot) + eps), decay, trust);
  }
}
