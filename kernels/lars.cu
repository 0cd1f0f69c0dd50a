// The step of rule/Lars.java: the same lines, over E elements in registers.
#include "step.cuh"

TRUST(lars, false) {
  double l2 = k[0], coefficient = k[4], eps = k[5], apart = k[6];
  double square = scale * scale * xx + 2 * scale * l2 * xp + l2 * l2 * pp;
  double norm = sqrt(pp), joint = sqrt(square < 0 ? 0 : square);
  double under = apart > 0 ? sqrt(scale * scale * xx) + l2 * norm : joint;
  double ratio = coefficient * norm / (under + eps);
  ratio = norm == 0 || under == 0 ? 1 : ratio;
  return (float)(ratio > LARGEST ? LARGEST : ratio);
}

TENSOR_STEP(lars, 1) {
  float l2 = k[0], decay = k[1], momentum = k[2], rate = k[3] * trust;
  float* v = s[0];
  for (int i = 0; i < E; i++) {
    float pi = p[i], gi = gradient(g[i], pi, scale, l2);
    v[i] = flush(momentum * v[i] + rate * gi, MEAN);
    p[i] = descend(pi, v[i], decay, 1);
  }
}
