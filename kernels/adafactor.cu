// The step of rule/Adafactor.java: the same lines, over E elements in registers.
#include "step.cuh"

MOMENT(adafactor) {
  double beta = k[2], rest = k[3], eps = k[4], moment = beta * before + rest * (square + eps);
  return flush((float)(moment > LARGEST ? LARGEST : moment), SQUARE);
}

FACTOR(adafactor) {
  double floor = k[5], held = mean < floor ? floor : mean, factor = sqrt(held / moment);
  return (float)(moment == 0 || factor > LARGEST ? LARGEST : factor);
}

FACTORED_GATHER(adafactor) {
  float l2 = k[0], limit = k[6];
  float* f = s[0];
  for (int i = 0; i < E; i++) {
    float gi = gradient(g[i], p[i], scale, l2);
    u[i] = gi * clamp(f[i], limit);
  }
}

FACTORED_TRUST(adafactor) {
  double least = k[7], threshold = k[8], lr = k[9], scaled = k[10];
  double size = sqrt(pp / count), over = sqrt(xx / count) / threshold;
  double by = scaled > 0 ? size > least ? size : least : 1;
  double trust = lr * by / (over > 1 ? over : 1);
  return (float)(trust > LARGEST ? LARGEST : trust);
}

TENSOR_STEP(adafactor, 1) {
  float l2 = k[0], decay = k[1], limit = k[6];
  float* f = s[0];
  for (int i = 0; i < E; i++) {
    float pi = p[i], gi = gradient(g[i], pi, scale, l2), u = gi * clamp(f[i], limit);
    p[i] = descend(pi, rate(trust, u), decay, 1);
  }
}
