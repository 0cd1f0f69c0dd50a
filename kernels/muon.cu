// The step of rule/Muon.java: the same lines, over E elements in registers. Between its two loops the update is made orthogonal: newtonschulz.cu.
#include "step.cuh"

MATRIX_GATHER(muon, 2) {
  float l2 = k[0], momentum = k[2], rest = k[3], ofGradient = k[4], ofMean = k[5];
  float *m = s[0], *u = s[1];
  for (int i = 0; i < E; i++) {
    float gi = gradient(g[i], p[i], scale, l2);
    m[i] = flush(momentum * m[i] + rest * gi, MEAN);
    u[i] = ofGradient * gi + ofMean * m[i];
  }
}

MATRIX_STEP(muon, 2) {
  float decay = k[1], lr = k[6];
  float* u = s[1];
  for (int i = 0; i < E; i++) {
    p[i] = descend(p[i], rate(lr, u[i]), decay, trust);
  }
}
