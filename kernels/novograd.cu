// The step of rule/NovoGrad.java: the same lines, over E elements in registers.
#include "step.cuh"

TRUST(novograd, false) {
  double l2 = k[0], beta2 = k[7], rest2 = k[8], correction = k[9], eps = k[10], before = n[0];
  double square = scale * scale * xx + 2 * scale * l2 * xp + l2 * l2 * pp;
  double norm = sqrt(beta2 * (before * before) + rest2 * (square < 0 ? 0 : square));
  n[0] = flush((float)(norm > LARGEST ? LARGEST : norm), SQUARE);
  double factor = 1 / (n[0] * correction + eps);
  return (float)(factor > LARGEST ? LARGEST : factor);
}

TENSOR_STEP(novograd, 1) {
  float l2 = k[0], decay = k[1], beta1 = k[2], rest1 = k[3], momentDecay = k[4], lr = k[5], normed = k[6];
  float before = normed > 0 ? trust : 1, after = normed > 0 ? 1 : trust;
  float* m = s[0];
  for (int i = 0; i < E; i++) {
    float pi = p[i], gi = gradient(g[i], pi, scale, l2);
    m[i] = flush(beta1 * m[i] + rest1 * (before * gi + momentDecay * pi), MEAN);
    p[i] = descend(pi, rate(lr, after * m[i]), decay, 1);
  }
}
