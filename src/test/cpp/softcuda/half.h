// float32 to and from the types of 16 bits, as a device converts: to nearest, ties to even; of any NaN one.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>

namespace soft {

inline float ofBf16(uint32_t bits) {
  float x;
  bits <<= 16;
  std::memcpy(&x, &bits, 4);
  return x;
}

inline float ofF16(uint32_t h) {
  uint32_t e = h >> 10 & 31, f = h & 1023;
  float x = e == 31 ? (f ? NAN : INFINITY) : float(e ? std::ldexp(1024 + f, int(e) - 25) : std::ldexp(f, -24));
  return h & 0x8000 ? -x : x;
}

inline uint32_t toBf16(float a) {
  uint32_t x;
  std::memcpy(&x, &a, 4);
  return a != a ? 0x7fff : (x + 0x7fff + (x >> 16 & 1)) >> 16;
}

inline uint32_t toF16(float a) {
  double m = std::fabs(a);
  int e = m < 0x1p-14 ? -14 : std::ilogb(m);  // of the last bit: e - 10
  uint32_t x = a != a ? 0x7fff : m >= 65520 ? 0x7c00 : (e + 14) * 1024 + uint32_t(std::nearbyint(std::ldexp(m, 10 - e)));
  return a == a && std::signbit(a) ? x | 0x8000 : x;
}

}  // namespace soft
