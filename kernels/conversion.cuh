// float32 to and from the 16-bit types; Conversion.java. In integers and exact sums, so that every input, a NaN too, makes the bits that it makes in
// Java, on every architecture: the instructions for it make one NaN of all, and are not everywhere.

__device__ __forceinline__ int floatToRawIntBits(float x) { return __float_as_int(x); }
__device__ __forceinline__ float intBitsToFloat(int bits) { return __int_as_float(bits); }

__device__ __forceinline__ int upperHalf(float x, int added) {
  int bits = floatToRawIntBits(x);
  return (bits & 0x7fffffff) > 0x7f800000 ? bits >> 16 | ((bits & 0x7f0000) == 0 ? 1 : 0) : (bits + added) >> 16;
}

__device__ __forceinline__ int toBfloat16(float x) {
  return upperHalf(x, 0x7fff + (floatToRawIntBits(x) >> 16 & 1));
}

__device__ __forceinline__ int stochastic(float x, int random) {
  return upperHalf(x, random);
}

__device__ __forceinline__ int toBfloat16Away(float x) {
  return upperHalf(x, 0x8000);
}

__device__ __forceinline__ int remainder(float x) {
  int bits = floatToRawIntBits(x);
  return (bits & 0x7fffffff) > 0x7f800000 ? 0 : bits & 0xffff;
}

__device__ __forceinline__ float joined(int bits, int remainder) {
  return intBitsToFloat((bits << 16) + (short) remainder);
}

__device__ __forceinline__ int toFloat16(float x) {
  int bits = floatToRawIntBits(x), m = bits & 0x7fffffff, half;
  if (m >= 0x47800000) {
    half = 0x7c00 | (x == x ? 0 : max(m >> 13 & 0x3ff, 1));
  } else if (m < 0x38800000) {
    half = floatToRawIntBits(intBitsToFloat(m) + 0.5f) - 0x3f000000;
  } else {
    half = (m - 0x38000000 + 0xfff + (m >> 13 & 1)) >> 13;
  }
  return half | bits >> 16 & 0x8000;
}

__device__ __forceinline__ float ofBfloat16(int bits) {
  return intBitsToFloat(bits << 16);
}

__device__ __forceinline__ float ofFloat16(int bits) {
  int m = bits & 0x7fff;
  float x = m < 0x400 ? m * 0x1p-24f : intBitsToFloat((m << 13) + (m < 0x7c00 ? 0x38000000 : 0x70000000));
  return intBitsToFloat(floatToRawIntBits(x) | (bits & 0x8000) << 16);
}

// The random bits of eight elements; Philox.java. The index has to be known to the compiler, or they go to local memory.
struct RandomBits {
  unsigned words[4];
  __device__ __forceinline__ int operator[](int element) const { return words[element / 2] >> 16 * (element % 2) & 0xffff; }
};

// Of the elements from 8 * block on.
__device__ __forceinline__ RandomBits philox(unsigned long long key, unsigned long long step, unsigned long long block) {
  unsigned x0 = block, x1 = block >> 32, x2 = step, x3 = step >> 32, k0 = key, k1 = key >> 32;
  for (int round = 0; round < 10; round++) {
    unsigned long long a = 0xD2511F53ULL * x0, b = 0xCD9E8D57ULL * x2;
    x0 = (unsigned)(b >> 32) ^ x1 ^ k0;
    x1 = b;
    x2 = (unsigned)(a >> 32) ^ x3 ^ k1;
    x3 = a;
    k0 += 0x9E3779B9;
    k1 += 0xBB67AE85;
  }
  return {x0, x1, x2, x3};
}

// An element of a tensor of each type, by its name in Dtype.java: read as a float, rounded as it is written.
typedef float F32;

struct BF16 {
  unsigned short bits;
  BF16() = default;
  __device__ __forceinline__ BF16(float x) : bits(toBfloat16(x)) {}
  __device__ __forceinline__ operator float() const { return ofBfloat16(bits); }
};

struct F16 {
  unsigned short bits;
  F16() = default;
  __device__ __forceinline__ F16(float x) : bits(toFloat16(x)) {}
  __device__ __forceinline__ operator float() const { return ofFloat16(bits); }
};

