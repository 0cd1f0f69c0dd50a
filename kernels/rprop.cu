// The step of rule/Rprop.java: the same lines, over E elements in registers.
#include "step.cuh"

STEP(rprop, 2) {
  float l2 = k[0], decay = k[1], lr = k[2], more = k[3], less = k[4], least = k[5], most = k[6];
  float now = k[7], late = k[8];
  float *size = s[0], *last = s[1];
  for (int i = 0; i < E; i++) {
    float turn = sign(gradient(g[i], p[i], scale, l2)) * sign(last[i]);
    float on = 0.5f * (turn * turn + turn), back = on - turn;
    size[i] = clamp(size[i] * (1 + on * more - back * less), least, most);
  }
  for (int i = 0; i < E; i++) {
    float pi = p[i], way = sign(gradient(g[i], pi, scale, l2)), turn = way * sign(last[i]);
    float stays = 1 - 0.5f * (turn * turn - turn), step = stays * (size[i] * way);
    float u = lr * (now * step + late * (stays * last[i]));
    last[i] = step;
    p[i] = descend(pi, u, decay, trust);
  }
}
