// The step of rule/Lamb.java: the same lines, over E elements in registers.
#include "step.cuh"

GATHER(lamb, 2) {
  float l2 = k[0], beta1 = k[2], rest1 = k[3], beta2 = k[4], rest2 = k[5], correction = k[6], eps = k[7];
  float decay = k[8];
  float *m = s[0], *v = s[1];
  for (int i = 0; i < E; i++) {
    float pi = p[i], gi = gradient(g[i], pi, scale, l2);
    m[i] = flush(beta1 * m[i] + rest1 * gi, MEAN);
    v[i] = flush(beta2 * v[i] + rest2 * (gi * gi), SQUARE);
    u[i] = correction * m[i] / (sqrt(v[i]) + eps) + decay * pi;
  }
}

TRUST(lamb, true) {
  double least = k[11], most = k[12], norm = sqrt(pp), under = sqrt(xx), ratio = norm / under;
  double held = ratio > most ? most : ratio < least ? least : ratio;
  return (float)(norm == 0 || under == 0 ? 1 : held);
}

TENSOR_STEP(lamb, 2) {
  float decay = k[1], correction = k[6], eps = k[7], lr = k[9], inside = k[10];
  float within = inside > 0 ? trust : 1, without = inside > 0 ? 1 : trust;
  float *m = s[0], *v = s[1];
  for (int i = 0; i < E; i++) {
    float u = correction * m[i] / (sqrt(v[i]) + eps);
    p[i] = descend(p[i], without * (lr * u), decay, within);
  }
}
