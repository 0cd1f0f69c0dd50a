// The one driver of all optimizer kernels. A rule's file holds its loop body; everything else is here, once: the walk over the chunk table, 16 bytes
// per access, and the ends that are not.
//
// Header-free, for NVRTC brings no headers. Compiled with -fmad=false and never with fast-math: every operation is one IEEE 754 operation, in the
// order written, as in Java. What the host writes and reads too, Control, Slot and Told, stands before this text: CudaDriver.LAYOUT.

constexpr int THREADS = 256;
constexpr int LANES = 32;  // of one tensor's sum
constexpr int PIECE = 4096;  // elements whose sum is one partial, as in Reduce.java
constexpr int BATCH = 8;     // rows whose sums are taken at a time

// The smallest normal and the largest finite float.
constexpr float SMALLEST = 0x1p-126f, LARGEST = 0x1.fffffep127f;

// Of what types the parameters and the gradients are: F32, BF16 or F16 of conversion.cuh.
#ifndef PARAM
#define PARAM F32
#define GRAD F32
#endif
typedef PARAM Param;
typedef GRAD Grad;

// In which format a state array is; Rule.Compression of those in 8 bits. Only what a text says before is not float32.
constexpr int FLOAT32 = 0, BFLOAT16 = 1, BFLOAT16_STOCHASTIC = 2, SIGNED = 3, UNSIGNED = 4;
#ifndef FORMAT
#define FORMAT(a) FLOAT32
#endif

// Arrays behind the rule's own: of each in 8 bits the largest magnitudes of its blocks; a master's, if the parameters are rounded of one, or their
// remainders'; and an average's, if there is one.
#ifndef BLOCKWISE
#define BLOCKWISE 0
#endif
#if defined(MASTER) || defined(REMAINDER)
constexpr int MASTERS = 1;
#else
constexpr int MASTERS = 0;
#endif
#ifdef AVERAGED
constexpr int AVERAGES = 1;
#else
constexpr int AVERAGES = 0;
#endif
constexpr int MORE = BLOCKWISE + MASTERS + AVERAGES;

#if defined(STOCHASTIC) || defined(RANDOM_STATE)
#define RANDOM
#endif

// As many arrays of state would take the registers that a thread needs beside the rule's.
#ifdef RANDOM
constexpr int HELD = AVERAGES + 2;
#else
constexpr int HELD = AVERAGES;
#endif

// How many elements a thread takes at a time, of a rule with so many arrays: as many as 16 bytes of the parameter have, for rules that look at no more than an
// element, and where a thread has the registers, which older devices' compilers spill; else four.
#if __CUDA_ARCH__ >= 800
constexpr bool NEWER = true;
#else
constexpr bool NEWER = false;
#endif
template <int OWN, bool ELEMENTWISE>
constexpr int WIDTH = sizeof(PARAM) == 2 && ELEMENTWISE && OWN < 3 && AVERAGES == 0 && NEWER ? 8 : 4;

// A piece of one tensor: where it begins in each array, how many elements it has, which tensor it is of, and in which group.
template <int STATES>
struct Chunk {
  u64 count;
  Param* p;
  Grad* g;
  float* s[STATES == 0 ? 1 : STATES];
  unsigned tensor, group;
};

// Where the float32 value of the parameter is.
#ifdef MASTER
typedef float Value;
#else
typedef Param Value;
#endif

template <int STATES>
__device__ __forceinline__ auto value(const Chunk<STATES>& chunk) {
#ifdef MASTER
  return chunk.s[STATES - MASTERS - AVERAGES];
#else
  return chunk.p;
#endif
}

// ---- the arithmetic that all rules share; rule/Arithmetic.java ----

constexpr float MEAN = 0x1p-78f;
constexpr float SQUARE = 0x1p-102f;

__device__ __forceinline__ float gradient(float g, float p, float scale, float l2) {
  return scale * g + l2 * p;
}

__device__ __forceinline__ float descend(float p, float u, float decay, float trust) {
  return p - trust * (u + decay * p);
}

__device__ __forceinline__ float flush(float x, float power) {
  return (x + power) - power;
}

__device__ __forceinline__ float follow(float a, float p, float pull) {
  return flush(a + pull * (p - a), MEAN);
}

__device__ __forceinline__ float rate(float lr, float x) {
  return lr == 0 ? 0 : lr * x;
}

// As Java's Math.max: NaN where either is, and of two zeros the positive, whose sign bit is 0.
__device__ __forceinline__ float larger(float a, float b) {
  return a == b ? __int_as_float(__float_as_int(a) & __float_as_int(b)) : a > b || a != a ? a : b;
}

// As Java's Math.max(least, Math.min(x, most)), but for a least of 0: NaN stays NaN.
__device__ __forceinline__ float clamp(float x, float least, float most) {
  return x > most ? most : x < least ? least : x;
}

__device__ __forceinline__ float clamp(float x, float limit) {
  return clamp(x, -limit, limit);
}

__device__ __forceinline__ float sign(float x) {
  return clamp(x * 0x1p127f * 0x1p127f, 1);
}

__device__ __forceinline__ float cubeRoot(float x) {
  float c = clamp(x, 0x1p-126f, 0x1p126f);
  float a = sqrt(sqrt(c)), b = sqrt(sqrt(a)), y = a * b * sqrt(sqrt(b));
  float cube = y * y * y;
  y = y * ((cube + c + c) / (cube + cube + c));
  cube = y * y * y;
  y = y * ((cube + c + c) / (cube + cube + c));
  return y - (y - c / (y * y)) * 0x1.555556p-2f;
}

// ---- the walk ----

// .cs, streaming: a step reads and writes each element once, and leaves the cache to others. E is 8 or 4, or 1 where 16 bytes at a time will not do.
template <int E>
__device__ __forceinline__ void load(float* to, const float* from) {
  if (E == 1) to[0] = from[0];
  for (int n = 0; n + 4 <= E; n += 4) {
    asm volatile("ld.global.cs.v4.f32 {%0, %1, %2, %3}, [%4];" : "=f"(to[n]), "=f"(to[n + 1]), "=f"(to[n + 2]), "=f"(to[n + 3]) : "l"(from + n));
  }
}

// Of a type of 16 bits: four elements are 8 bytes.
template <int E, typename T>
__device__ __forceinline__ void load(float* to, const T* from) {
  T x[E < 4 ? 4 : E];
  if (E == 8) {
    unsigned pair[4];
    asm volatile("ld.global.cs.v4.u32 {%0, %1, %2, %3}, [%4];" : "=r"(pair[0]), "=r"(pair[1]), "=r"(pair[2]), "=r"(pair[3]) : "l"(from));
    for (int n = 0; n < E; n++) x[n].bits = pair[n / 2] >> 16 * (n % 2);
  } else if (E == 4) {
    asm volatile("ld.global.cs.v4.u16 {%0, %1, %2, %3}, [%4];" : "=h"(x[0].bits), "=h"(x[1].bits), "=h"(x[2].bits), "=h"(x[3].bits) : "l"(from));
  } else {
    x[0] = from[0];
  }
  for (int n = 0; n < E; n++) to[n] = x[n];
}

template <int E>
__device__ __forceinline__ void store(float* to, const float* from) {
  if (E == 1) to[0] = from[0];
  for (int n = 0; n + 4 <= E; n += 4) {
    asm volatile("st.global.cs.v4.f32 [%0], {%1, %2, %3, %4};" ::"l"(to + n), "f"(from[n]), "f"(from[n + 1]), "f"(from[n + 2]), "f"(from[n + 3]) : "memory");
  }
}

// Elements that have been rounded, or are rounded to nearest.
template <int E, typename T, typename F>
__device__ __forceinline__ void store(T* to, const F* from) {
  T x[E < 4 ? 4 : E];
  for (int n = 0; n < E; n++) x[n] = from[n];
  if (E == 8) {
    unsigned pair[4];
    for (int n = 0; n < 4; n++) pair[n] = x[2 * n].bits | x[(2 * n + 1) % E].bits << 16;
    asm volatile("st.global.cs.v4.u32 [%0], {%1, %2, %3, %4};" ::"l"(to), "r"(pair[0]), "r"(pair[1]), "r"(pair[2]), "r"(pair[3]) : "memory");
  } else if (E == 4) {
    asm volatile("st.global.cs.v4.u16 [%0], {%1, %2, %3, %4};" ::"l"(to), "h"(x[0].bits), "h"(x[1].bits), "h"(x[2].bits), "h"(x[3].bits) : "memory");
  } else {
    to[0] = x[0];
  }
}

// Four elements, or as many of them as there are, and zeros; not streaming, for a step reads them again.
template <bool WIDE>
__device__ __forceinline__ void fetch(float* to, const float* from, u64 there) {
  if (WIDE) {
    asm volatile("ld.global.v4.f32 {%0, %1, %2, %3}, [%4];" : "=f"(to[0]), "=f"(to[1]), "=f"(to[2]), "=f"(to[3]) : "l"(from));
  } else {
    for (int n = 0; n < 4; n++) to[n] = n < there ? from[n] : 0;
  }
}

template <bool WIDE, typename T>
__device__ __forceinline__ void fetch(float* to, const T* from, u64 there) {
  if (WIDE) {
    T x[4];
    asm volatile("ld.global.v4.u16 {%0, %1, %2, %3}, [%4];" : "=h"(x[0].bits), "=h"(x[1].bits), "=h"(x[2].bits), "=h"(x[3].bits) : "l"(from));
    for (int n = 0; n < 4; n++) to[n] = x[n];
  } else {
    for (int n = 0; n < 4; n++) to[n] = n < there ? (float)from[n] : 0;
  }
}

template <bool WIDE>
__device__ __forceinline__ void put(float* to, const float* from, u64 there) {
  if (WIDE) {
    asm volatile("st.global.v4.f32 [%0], {%1, %2, %3, %4};" ::"l"(to), "f"(from[0]), "f"(from[1]), "f"(from[2]), "f"(from[3]) : "memory");
  } else {
    for (int n = 0; n < 4; n++) {
      if (n < there) to[n] = from[n];
    }
  }
}

#ifdef REMAINDER
// The float32 values of which the upper halves, rounded, are parameters, and the lower are remainders.
template <int E>
__device__ __forceinline__ void loadJoined(float* p, const BF16* from, const BF16* remainders) {
  float lower[E];
  load<E>(p, from);
  load<E>(lower, remainders);
  for (int n = 0; n < E; n++) p[n] = joined(floatToRawIntBits(p[n]) >> 16, floatToRawIntBits(lower[n]) >> 16);
}

template <int E>
__device__ __forceinline__ void storeSplit(BF16* to, BF16* remainders, const float* p) {
  BF16 upper[E], lower[E];
  for (int n = 0; n < E; n++) {
    upper[n].bits = toBfloat16Away(p[n]);
    lower[n].bits = remainder(p[n]);
  }
  store<E>(to, upper);
  store<E>(remainders, lower);
}
#endif

// What the elements of a chunk have in common, in registers.
struct Common {
  float k[K];
  float scale, trust, limit;
  bool go;
  // Of a matrix that is factored: its factors, and where in it the chunk begins; no rows where there is no other matrix.
  const float *rowFactors, *colFactors;
  u64 row, rows;
  unsigned column, columns;
#ifdef RANDOM
  u64 key, step, first;  // of the tensor's random bits; and which of its elements is the chunk's first
#endif
};

// The factors of up to E elements from one of a chunk on, of which so many are there: in the place of state.
template <typename Trust, bool WIDE, int E, int STATES>
__device__ __forceinline__ void factorsAt(float* f, const Chunk<STATES>& chunk, unsigned i, unsigned there, const Common& common) {
  if (common.rowFactors == nullptr) {
    float v[4];
    if (WIDE) {
      fetch<true>(v, chunk.s[0] + i, 4);
    } else {
      fetch<false>(v, chunk.s[0] + i, there);
    }
    for (int n = 0; n < E; n++) f[n] = Trust::factor(common.k, v[n], 1);
    return;
  }
  unsigned at = common.column + i, column = at % common.columns;
  u64 row = common.row + at / common.columns;
  const float* colFactors = common.colFactors + (common.rows == 0 ? 0 : row / common.rows * common.columns);
  for (int n = 0; n < E; n++) {
    f[n] = n < there ? common.rowFactors[row] * colFactors[column] : 0;
    if (++column < common.columns) continue;
    column = 0;
    row++;
    if (common.rows > 0) colFactors = common.colFactors + row / common.rows * common.columns;
  }
}


#ifdef RANDOM
// Of the random bits of a state array; Philox.key.
__device__ __forceinline__ u64 arrayKey(u64 key, int array) { return key + (array + 1) * 0x9E3779B97F4A7C15; }

// Rounds E elements from one of the tensor's on, which is a multiple of E, each by bits of its own.
template <int E>
__device__ __forceinline__ void storeStochastic(BF16* to, const float* p, u64 first, u64 key, u64 step) {
  RandomBits random = philox(key, step, first / 8);
  BF16 x[E];
  for (int n = 0; n < E; n++) {
    unsigned at = (first & (8 - E)) + n;  // by selections: words of an index would go to local memory
    unsigned low = at & 4 ? random.words[2] : random.words[0], high = at & 4 ? random.words[3] : random.words[1];
    unsigned word = at & 2 ? high : low;
    x[n].bits = stochastic(p[n], at & 1 ? word >> 16 : word & 0xffff);
  }
  store<E>(to, x);
}
#endif

// A chunk from one element to another, E per thread at a time; indices of 32 bits do, for a chunk is small. GUARDED: with what few steps need, the
// clipping of each element and the flushing of parameters; the instructions of it would otherwise be in every loop.
template <int E, bool GUARDED, int STATES, typename Rule, typename Trust>
__device__ __forceinline__ void walk(const Chunk<STATES>& chunk, unsigned from, unsigned to, const Common& common) {
  bool limited = GUARDED && common.limit <= LARGEST;
  float scale = limited ? 1 : common.scale, floor = common.k[FLOOR];
  constexpr int OWN = STATES - MORE, KEPT = STATES - MASTERS - AVERAGES;
  constexpr bool READS = !Trust::GATHERED || Trust::FACTORED;
  float p[E], g[E], s[OWN == 0 ? 1 : OWN][E];
#ifdef ZERO_GRADIENTS
  const float zero[E] = {};
  if (!common.go) {
    for (unsigned i = from + threadIdx.x * E; i < to; i += blockDim.x * E) store<E>(chunk.g + i, zero);
    return;
  }
#endif
  for (unsigned i = from + threadIdx.x * E; i < to; i += blockDim.x * E) {
#ifdef REMAINDER
    loadJoined<E>(p, chunk.p + i, (const BF16*)chunk.s[KEPT] + i);
#else
    load<E>(p, value(chunk) + i);
#endif
    if (READS) load<E>(g, chunk.g + i);
#ifdef ZERO_GRADIENTS
    store<E>(chunk.g + i, zero);  // at once, for its address need not be kept then
#endif
    if (Trust::FACTORED) {
      factorsAt<Trust, E == 4, E>(s[0], chunk, i, E, common);
    } else {
      for (int a = 0; a < OWN; a++) {
        if (FORMAT(a) == BFLOAT16 || FORMAT(a) == BFLOAT16_STOCHASTIC) {
          load<E>(s[a], (const BF16*)chunk.s[a] + i);
        } else {
          load<E>(s[a], chunk.s[a] + i);
        }
      }
    }
    if (limited && READS) {
      for (int n = 0; n < E; n++) g[n] = clamp(common.scale * g[n], common.limit);
    }
    Rule::template step<E>(common.k, scale, common.trust, p, g, s);
    if (GUARDED && floor > 0) {
      for (int n = 0; n < E; n++) p[n] = flush(p[n], floor);
    }
#ifdef AVERAGED
    if (common.k[PULL] > 0) {  // loaded no earlier: the rule needs the registers, and of many steps of Lookahead one needs the array
      float a[E];
      load<E>(a, chunk.s[STATES - 1] + i);
      for (int n = 0; n < E; n++) a[n] = follow(a[n], p[n], common.k[PULL]);
      store<E>(chunk.s[STATES - 1] + i, a);
      for (int n = 0; n < E && common.k[BACK] > 0; n++) p[n] = a[n];
    }
#endif
#ifdef MASTER
    store<E>(value(chunk) + i, p);
#endif
#ifdef REMAINDER
    storeSplit<E>(chunk.p + i, (BF16*)chunk.s[KEPT] + i, p);
#elif defined(STOCHASTIC)
    storeStochastic<E>(chunk.p + i, p, common.first + i, common.key, common.step);
#else
    store<E>(chunk.p + i, p);
#endif
    for (int a = 0; a < OWN && !Trust::GATHERED; a++) {
      if (FORMAT(a) == BFLOAT16) {
        store<E>((BF16*)chunk.s[a] + i, s[a]);
#ifdef RANDOM_STATE
      } else if (FORMAT(a) == BFLOAT16_STOCHASTIC) {
        storeStochastic<E>((BF16*)chunk.s[a] + i, s[a], common.first + i, arrayKey(common.key, a), common.step);
#endif
      } else {
        store<E>(chunk.s[a] + i, s[a]);
      }
    }
  }
}

#if BLOCKWISE > 0
// ---- state of 8 bits; Blockwise.java ----

constexpr unsigned BLOCK = 256, LANE = 8;  // elements of a block, which is a warp's, and of one of its threads

// The values of codes, and the middles between neighbours as a search tree.
struct Codes {
  float values[BLOCK], middles[BLOCK];
};

__device__ __forceinline__ int log2(int x) { return 31 - __clz(x); }

__device__ __forceinline__ float codeValue(int code, bool isSigned) {
  int zero = isSigned ? 127 : 0, rank = code > zero ? code - zero : zero - code;
  if (rank == 0) return 0;
  if (code == 255) return 1;
  int at = isSigned ? rank : rank + 1, decade = log2(at), parts = 1 << decade;
  double x = 0.1 + 0.9 * (at - parts + 0.5) / parts;
#pragma unroll 1
  for (int n = isSigned ? decade : decade - 1; n < 6; n++) x /= 10;
  return code > zero ? (float)x : (float)-x;
}

// A block of THREADS threads works out an element each.
__device__ __forceinline__ void fillCodes(Codes& codes, bool isSigned) {
  int n = threadIdx.x;
  codes.values[n] = codeValue(n, isSigned);
  __syncthreads();
  if (n == 0) return;
  int level = log2(n), code = (2 * (n - (1 << level)) + 1) << (7 - level);
  codes.middles[n] = (codes.values[code - 1] + codes.values[code]) * 0.5f;
}

__device__ __forceinline__ unsigned codeOf(const Codes& codes, float x) {
  unsigned n = 1;
#pragma unroll
  for (int level = 0; level < 8; level++) n = 2 * n + (x > codes.middles[n] ? 1 : 0);
  return n - 256;
}

// Eight elements of which so many are there, and zeros.
template <bool WIDE, typename T>
__device__ __forceinline__ void fetchLane(float* to, const T* from, unsigned there) {
  fetch<WIDE>(to, from, there);
  fetch<WIDE>(to + 4, from + 4, there > 4 ? there - 4 : 0);
}

template <bool WIDE, typename T, typename F>
__device__ __forceinline__ void putLane(T* to, const F* from, unsigned there) {
  if (WIDE) {
    store<4>(to, from);
    store<4>(to + 4, from + 4);
  } else {
    for (int n = 0; n < LANE; n++) {
      if (n < there) to[n] = from[n];
    }
  }
}

template <bool WIDE>
__device__ __forceinline__ void fetchCodes(unsigned* packed, const unsigned char* from, unsigned there) {
  if (WIDE) {
    asm volatile("ld.global.cs.v2.u32 {%0, %1}, [%2];" : "=r"(packed[0]), "=r"(packed[1]) : "l"(from));
  } else {
    packed[0] = packed[1] = 0;
    for (int n = 0; n < LANE; n++) {
      if (n < there) packed[n / 4] |= from[n] << 8 * (n % 4);
    }
  }
}

template <bool WIDE>
__device__ __forceinline__ void putCodes(unsigned char* to, const unsigned* packed, unsigned there) {
  if (WIDE) {
    asm volatile("st.global.cs.v2.u32 [%0], {%1, %2};" ::"l"(to), "r"(packed[0]), "r"(packed[1]) : "memory");
  } else {
    for (int n = 0; n < LANE; n++) {
      if (n < there) to[n] = packed[n / 4] >> 8 * (n % 4);
    }
  }
}

// The largest magnitude among the elements of a warp, NaN where it is infinite: of floats without a sign the bits are in the order of the numbers, and NaN is
// beyond infinity.
__device__ __forceinline__ float largestOf(const float* x, unsigned there) {
  unsigned largest = 0;
  for (int n = 0; n < LANE; n++) largest = max(largest, n < there ? floatToRawIntBits(x[n]) & 0x7fffffff : 0);
  for (int lane = 16; lane > 0; lane /= 2) largest = max(largest, __shfl_xor_sync(~0u, largest, lane));
  return intBitsToFloat(largest >= 0x7f800000 ? 0x7fc00000 : largest);
}

// A chunk from one element to another, a block a warp at a time. What is in 8 bits is behind one another, as are its largest magnitudes.
template <bool WIDE, int STATES, typename Rule>
__device__ __forceinline__ void walkBlocks(const Chunk<STATES>& chunk, unsigned from, unsigned to, const Common& common, const Codes* codes) {
  bool limited = common.limit <= LARGEST;
  constexpr int OWN = STATES - MORE, KEPT = STATES - MASTERS - AVERAGES;
  float p[LANE], g[LANE], s[OWN][LANE];
  const float zero[LANE] = {};
#pragma unroll 1
  for (unsigned block = from + threadIdx.x / 32 * BLOCK; block < to; block += THREADS / 32 * BLOCK) {
    unsigned i = block + threadIdx.x % 32 * LANE, there = WIDE ? LANE : i >= to ? 0 : to - i < LANE ? to - i : LANE;
#ifdef ZERO_GRADIENTS
    if (!common.go) {
      putLane<WIDE>(chunk.g + i, zero, there);
      continue;
    }
#endif
#ifdef REMAINDER
    float lower[LANE];
    fetchLane<WIDE>(p, chunk.p + i, there);
    fetchLane<WIDE>(lower, (const BF16*)chunk.s[KEPT] + i, there);
    for (int n = 0; n < LANE; n++) p[n] = joined(floatToRawIntBits(p[n]) >> 16, floatToRawIntBits(lower[n]) >> 16);
#else
    fetchLane<WIDE>(p, value(chunk) + i, there);
#endif
    fetchLane<WIDE>(g, chunk.g + i, there);
#ifdef ZERO_GRADIENTS
    putLane<WIDE>(chunk.g + i, zero, there);
#endif
    for (int a = 0, number = 0; a < OWN; a++) {
      if (FORMAT(a) < SIGNED) {
        fetchLane<WIDE>(s[a], chunk.s[a] + i, there);
        continue;
      }
      unsigned packed[2];
      fetchCodes<WIDE>(packed, (const unsigned char*)chunk.s[a] + i, there);
      float largest = chunk.s[OWN + number++][block / BLOCK];
      for (int n = 0; n < LANE; n++) s[a][n] = codes[FORMAT(a) - SIGNED].values[packed[n / 4] >> 8 * (n % 4) & 0xff] * largest;
    }
    for (int n = 0; n < LANE && limited; n++) g[n] = clamp(common.scale * g[n], common.limit);
    Rule::template step<LANE>(common.k, limited ? 1 : common.scale, common.trust, p, g, s);
    for (int n = 0; n < LANE && common.k[FLOOR] > 0; n++) p[n] = flush(p[n], common.k[FLOOR]);
#ifdef AVERAGED
    if (common.k[PULL] > 0) {
      float a[LANE];
      fetchLane<WIDE>(a, chunk.s[STATES - 1] + i, there);
      for (int n = 0; n < LANE; n++) a[n] = follow(a[n], p[n], common.k[PULL]);
      putLane<WIDE>(chunk.s[STATES - 1] + i, a, there);
      for (int n = 0; n < LANE && common.k[BACK] > 0; n++) p[n] = a[n];
    }
#endif
#ifdef MASTER
    putLane<WIDE>(value(chunk) + i, p, there);
#endif
#ifdef REMAINDER
    BF16 upper[LANE], left[LANE];
    for (int n = 0; n < LANE; n++) {
      upper[n].bits = toBfloat16Away(p[n]);
      left[n].bits = remainder(p[n]);
    }
    putLane<WIDE>(chunk.p + i, upper, there);
    putLane<WIDE>((BF16*)chunk.s[KEPT] + i, left, there);
#elif defined(STOCHASTIC)
    RandomBits random = philox(common.key, common.step, (common.first + i) / LANE);
    BF16 rounded[LANE];
    for (int n = 0; n < LANE; n++) rounded[n].bits = stochastic(p[n], random[n]);
    putLane<WIDE>(chunk.p + i, rounded, there);
#else
    putLane<WIDE>(chunk.p + i, p, there);
#endif
    for (int a = 0, number = 0; a < OWN; a++) {
      if (FORMAT(a) < SIGNED) {
        putLane<WIDE>(chunk.s[a] + i, s[a], there);
        continue;
      }
      float largest = largestOf(s[a], there), inverse = largest >= SMALLEST ? 1 / largest : 0;
      if (threadIdx.x % 32 == 0) chunk.s[OWN + number][block / BLOCK] = largest;
      number++;
      unsigned packed[2] = {0, 0};
      for (int n = 0; n < LANE; n++) packed[n / 4] |= codeOf(codes[FORMAT(a) - SIGNED], s[a][n] * inverse) << 8 * (n % 4);
      putCodes<WIDE>((unsigned char*)chunk.s[a] + i, packed, there);
    }
  }
}
#endif

// An array that does not begin at a multiple of 16 bytes, or of 8 where its elements have two, which only somebody else's can, goes element by element, and so does what is left of a
// chunk beyond its last whole four.
template <int E, int STATES>
__device__ __forceinline__ unsigned wide(const Chunk<STATES>& chunk) {
  constexpr u64 P = E * sizeof(Param), G = E * sizeof(Grad);  // bytes at a time, of which 16 are a load
  u64 bits = ((u64)chunk.p & ((P < 16 ? P : 16) - 1)) | ((u64)chunk.g & ((G < 16 ? G : 16) - 1));
  for (int a = 0; a < STATES; a++) {
#ifdef REMAINDER
    if (a == STATES - MASTERS - AVERAGES) continue;  // the engine's memory, in which a chunk begins at a multiple of 8 bytes
#endif
    if (FORMAT(a) != FLOAT32 || a >= STATES - MORE && a < STATES - MASTERS - AVERAGES) continue;  // the same
    bits |= (u64)chunk.s[a];
  }
  return (bits & 15) == 0 ? chunk.count / E * E : 0;
}

// A rule whose state is what it names. One that factors its second moment has FACTORED, and a function factor.
struct Unfactored {
  static constexpr bool FACTORED = false, ELEMENTWISE = false;
  static __device__ __forceinline__ float factor(const float*, float, double) { return 1; }
};

// A rule that looks at no more than an element. One that looks at a whole tensor has WHOLE, and GATHERED where it has been over all elements already, for
// its state; and a function trust.
struct Elementwise : Unfactored {
  static constexpr bool WHOLE = false, GATHERED = false, ELEMENTWISE = true;
  static __device__ __forceinline__ float trust(const float*, double, double, double, double, double, float*) { return 1; }
};

// A rule whose update is made orthogonal between its two loops.
struct Orthogonal : Unfactored {
  static constexpr bool WHOLE = false, GATHERED = true;
  static __device__ __forceinline__ float trust(const float*, double, double, double, double, double, float*) { return 1; }
};

// What a tensor's update is multiplied by, and the number that its rule keeps of it, which the thread that has its first element writes.
template <typename Trust>
__device__ __forceinline__ float trusted(const Told& told, const Common& common, bool first) {
  float n = told.n;
  double scale = Trust::GATHERED || common.limit <= LARGEST ? 1 : common.scale;
  float trust = Trust::trust(common.k, scale, told.xx, told.xp, told.pp, told.count, &n);
  if (first && threadIdx.x == 0 && common.go && told.number != nullptr) *told.number = n;
  return trust;
}

// Of a rule that factors, where a chunk finds its factors.
template <typename Trust, int STATES>
__device__ __forceinline__ void place(Common& common, const Chunk<STATES>& chunk, const Told& told) {
  common.rowFactors = nullptr;
  if (!Trust::FACTORED || told.factors == nullptr) return;
  const Factors& of = *told.factors;
  u64 first = chunk.p - (const Param*)told.p;
  common.rowFactors = of.rowFactors;
  common.colFactors = of.colFactors;
  common.rows = told.count == of.rows * of.columns ? 0 : of.rows;
  common.columns = of.columns;
  common.row = first / of.columns;
  common.column = first % of.columns;
}

// What the step is told, where the ring has it.
__device__ __forceinline__ const Slot* found(const Control* control, bool& known) {
  u64 t = control->done + 1;
  const Slot* slot = (const Slot*)((const char*)control + SLOTS + t % RING * control->slotBytes);
  known = slot->step == t;
  return slot;
}

template <int STATES, typename Rule, typename Trust>
__device__ __forceinline__ void drive(const Chunk<STATES>* chunks, u64 count, const Told* told, Control* control, unsigned last) {
  bool known;
  const Slot* slot = found(control, known);
#if BLOCKWISE > 0
  __shared__ Codes codes[2];
  fillCodes(codes[0], true);
  fillCodes(codes[1], false);
  __syncthreads();
#endif
  Common common;
  common.limit = control->limit;
  common.go = control->go;
#ifdef ZERO_GRADIENTS
  bool walks = known;
#else
  bool walks = known && common.go;
#endif
  for (unsigned c = blockIdx.x; walks && c < count; c += gridDim.x) {
    const Chunk<STATES> chunk = chunks[c];  // once: nothing says that the stores below do not change the table
    const float* k = (const float*)(slot + 1) + chunk.group * K;
    for (int n = 0; n < K; n++) common.k[n] = k[n];
    common.scale = told[chunk.tensor].scale;
    common.trust = told[chunk.tensor].trust;
    if (Trust::WHOLE) common.trust = trusted<Trust>(told[chunk.tensor], common, chunk.p == told[chunk.tensor].p);
    place<Trust>(common, chunk, told[chunk.tensor]);
#ifdef RANDOM
    common.key = told[chunk.tensor].key;
    common.step = slot->step;
    common.first = chunk.p - (const Param*)told[chunk.tensor].p;
#endif
    constexpr int E = WIDTH<STATES - MORE, Trust::ELEMENTWISE>;
    unsigned whole = wide<E>(chunk);
#if BLOCKWISE > 0
    walkBlocks<true, STATES, Rule>(chunk, 0, whole / BLOCK * BLOCK, common, codes);
    walkBlocks<false, STATES, Rule>(chunk, whole / BLOCK * BLOCK, chunk.count, common, codes);
#else
    if (common.limit <= LARGEST || common.k[FLOOR] > 0) {
      walk<E, true, STATES, Rule, Trust>(chunk, 0, whole, common);
    } else {
      walk<E, false, STATES, Rule, Trust>(chunk, 0, whole, common);
    }
    walk<1, true, STATES, Rule, Trust>(chunk, whole, chunk.count, common);
#endif
  }
  // The last block of a step's last launch counts the step: every other has read what it needed.
  __syncthreads();
  if (!last || threadIdx.x > 0) return;
  __threadfence();
  if (atomicAdd(&control->arrived, 1ULL) < gridDim.x - 1) return;
  control->arrived = 0;
  if (!known) {
    control->outran++;
  } else if (common.go) {
    control->done++;
  } else {
    control->skipped++;
  }
}

// ---- sums over a tensor, by the additions of Reduce.java ----

// Sums so many neighbouring lanes of each row, each group of them for itself, into its first.
template <int SUMS>
__device__ __forceinline__ void tree(double (*lanes)[THREADS], int width) {
  for (int half = width / 2; half > 0; half /= 2) {
    __syncthreads();
    if (threadIdx.x % width < half) {
      for (int n = 0; n < SUMS; n++) lanes[n][threadIdx.x] += lanes[n][threadIdx.x + half];
    }
  }
  __syncthreads();
}

// Whether this block is the last to arrive, which finds all partials written.
__device__ __forceinline__ bool arrivesLast(Control* control) {
  __shared__ bool last;
  if (threadIdx.x == 0) {
    __threadfence();
    last = atomicAdd(&control->arrived, 1ULL) == gridDim.x - 1;
  }
  __syncthreads();
  if (last) __threadfence();
  return last;
}

// Tells of each tensor whose rule asks for it in this pass the sums over its pieces, and the number kept of it. firsts[n] is the first piece of tensor n,
// firsts[tensors] = pieces; of each kind of sum there is a partial for each piece.
__device__ __forceinline__ void tell(Told* told, u64 tensors, unsigned pass, const volatile double* partials, const u64* firsts, u64 pieces,
                                     double (*lanes)[THREADS]) {
  for (u64 first = 0; first < tensors; first += THREADS / LANES) {
    u64 n = first + threadIdx.x / LANES;
    bool asks = n < tensors && told[n].pass == pass;
    double sums[3] = {0, 0, 0};
#pragma unroll 1
    for (u64 c = asks ? firsts[n] + threadIdx.x % LANES : pieces; asks && c < firsts[n + 1]; c += LANES) {
      for (int a = 0; a < 3; a++) sums[a] += partials[(1 + a) * pieces + c];
    }
    __syncthreads();
    for (int a = 0; a < 3; a++) lanes[a][threadIdx.x] = sums[a];
    tree<3>(lanes, LANES);
    if (asks && threadIdx.x % LANES == 0) {
      told[n].xx = lanes[0][threadIdx.x];
      told[n].xp = lanes[1][threadIdx.x];
      told[n].pp = lanes[2][threadIdx.x];
      if (told[n].number != nullptr) told[n].n = *told[n].number;
    }
  }
}

// The first of two loops of a rule that gathers, over four elements of which so many are there, and what it sums up.
template <bool WIDE, int STATES, typename Rule, typename Factor>
__device__ __forceinline__ void gatherAt(const Chunk<STATES>& chunk, unsigned i, unsigned there, const Common& common, double* uu, double* pp) {
  bool limited = common.limit <= LARGEST;
  constexpr int OWN = STATES - MORE;
  float p[4], g[4], u[4], s[OWN == 0 ? 1 : OWN][4];
  fetch<WIDE>(p, value(chunk) + i, there);
  fetch<WIDE>(g, chunk.g + i, there);
  if (Factor::FACTORED) {
    factorsAt<Factor, WIDE, 4>(s[0], chunk, i, there, common);
  } else {
    for (int a = 0; a < OWN; a++) fetch<WIDE>(s[a], chunk.s[a] + i, there);
  }
  if (limited) {
    for (int n = 0; n < 4; n++) g[n] = clamp(common.scale * g[n], common.limit);
  }
  Rule::template gather<4>(common.k, limited ? 1 : common.scale, p, g, s, u);
  for (int a = 0; a < OWN && !Factor::FACTORED; a++) put<WIDE>(chunk.s[a] + i, s[a], there);
  for (int n = 0; n < 4; n++) {
    if (!WIDE && n >= there) continue;
    uu[n] += (double)u[n] * (double)u[n];
    pp[n] += (double)p[n] * (double)p[n];
  }
}

template <int STATES, typename Rule, typename Factor>
__device__ __forceinline__ void gather(const Chunk<STATES>* chunks, u64 count, Told* told, Control* control, volatile double* partials, const u64* firsts,
                                       u64 tensors, u64 pieces, unsigned pass) {
  __shared__ double lanes[3][THREADS];
  bool known;
  const Slot* slot = found(control, known);
  if (!known || !control->go) return;
  Common common;
  common.limit = control->limit;
  for (u64 c = blockIdx.x; c < count; c += gridDim.x) {
    const Chunk<STATES> chunk = chunks[c];
    const float* k = (const float*)(slot + 1) + chunk.group * K;
    for (int n = 0; n < K; n++) common.k[n] = k[n];
    common.scale = told[chunk.tensor].scale;
    place<Factor>(common, chunk, told[chunk.tensor]);
    unsigned whole = wide<4>(chunk);
    u64 piece = firsts[chunk.tensor] + (chunk.p - (const Param*)told[chunk.tensor].p) / PIECE;
    for (unsigned from = 0; from < chunk.count; from += PIECE, piece++) {
      unsigned to = chunk.count - from < PIECE ? chunk.count : from + PIECE, i = from + threadIdx.x * 4;
      double uu[4] = {0, 0, 0, 0}, pp[4] = {0, 0, 0, 0};
#pragma unroll 1  // for registers
      for (; i < to && i < whole; i += THREADS * 4) gatherAt<true, STATES, Rule, Factor>(chunk, i, 4, common, uu, pp);
#pragma unroll 1
      for (; i < to; i += THREADS * 4) gatherAt<false, STATES, Rule, Factor>(chunk, i, to - i, common, uu, pp);
      lanes[0][threadIdx.x] = (uu[0] + uu[1]) + (uu[2] + uu[3]);
      lanes[1][threadIdx.x] = (pp[0] + pp[1]) + (pp[2] + pp[3]);
      tree<2>(lanes, THREADS);
      if (threadIdx.x == 0) {
        partials[pieces + piece] = lanes[0][0];
        partials[2 * pieces + piece] = 0;
        partials[3 * pieces + piece] = lanes[1][0];
      }
      __syncthreads();  // before the next piece takes the lanes
    }
  }
  if (!arrivesLast(control)) return;
  tell(told, tensors, pass, partials, firsts, pieces, lanes);
  if (threadIdx.x == 0) control->arrived = 0;
}

// ---- the moments of rows and columns, by the additions of CpuFactors.java ----

constexpr u64 VECTOR = 8192;  // elements whose moments one block takes

// The gradients that the rule sees, of up to four elements, and 0 for those that are not there.
__device__ __forceinline__ void gradients(float* x, const Value* p, const Grad* g, u64 there, float scale, float l2, float limit) {
  float y[4];
  if (there >= 4 && ((u64)p & (4 * sizeof(Value) - 1)) == 0 && ((u64)g & (4 * sizeof(Grad) - 1)) == 0) {
    fetch<true>(y, p, 4);
    fetch<true>(x, g, 4);
  } else {
    fetch<false>(y, p, there);
    fetch<false>(x, g, there);
  }
  bool limited = limit <= LARGEST;
  for (int n = 0; n < 4; n++) {
    float by = limited ? clamp(scale * x[n], limit) : x[n];
    x[n] = n < there ? gradient(by, y[n], limited ? 1 : scale, l2) : 0;
  }
}

// The moments of a matrix whose tiles are done, and its factors.
template <typename Moment, typename Factor>
__device__ __forceinline__ void factor(const Factors& of, u64 matrix, const float* k, double (*lanes)[THREADS]) {
  const volatile double *rowSums = of.rowSums, *colSums = of.colSums;
  u64 first = matrix * of.rows, end = first + of.rows;
  double moments = 0;
#pragma unroll 1
  for (u64 r = first + threadIdx.x; r < end; r += THREADS) {
    double sum = 0;
    for (u64 part = 0; part < of.across; part++) sum += rowSums[r * of.across + part];
    float moment = Moment::moment(k, of.row[r], sum / of.columns);
    of.row[r] = moment;
    moments += moment;
  }
  lanes[0][threadIdx.x] = moments;
  tree<1>(lanes, THREADS);
  double mean = lanes[0][0] / of.rows;
#pragma unroll 1
  for (u64 r = first + threadIdx.x; r < end; r += THREADS) of.rowFactors[r] = Factor::factor(k, of.row[r], mean);
#pragma unroll 1
  for (u64 c = threadIdx.x; c < of.columns; c += THREADS) {
    double sum = 0;
    for (u64 strip = 0; strip < of.down; strip += BATCH) {
      double sums[BATCH];  // all on their way before the first is added
      for (int a = 0; a < BATCH; a++) sums[a] = strip + a < of.down ? colSums[(matrix * of.down + strip + a) * of.columns + c] : 0;
      for (int a = 0; a < BATCH; a++) sum += sums[a];
    }
    u64 at = matrix * of.columns + c;
    float moment = Moment::moment(k, of.col[at], sum / of.rows);
    of.col[at] = moment;
    of.colFactors[at] = Factor::factor(k, moment, 1);
  }
}

// A tile of a matrix: so many lanes of four columns, so many rows side by side, and DEEP times as many below each other.
__device__ __forceinline__ void tile(const Factors& of, u64 matrix, u64 strip, u64 part, float scale, float l2, float limit, double (*lanes)[THREADS]) {
  unsigned width = of.width / 4, side = THREADS / width, lane = threadIdx.x % width;
  u64 column = part * of.width + lane * 4, there = column < of.columns ? of.columns - column : 0;
  u64 end = (strip + 1) * of.deep < of.rows ? (strip + 1) * of.deep : of.rows;
  double sums[4] = {0, 0, 0, 0};
#pragma unroll 1
  for (u64 from = strip * of.deep + threadIdx.x / width; from - threadIdx.x / width < end; from += BATCH * side) {
#pragma unroll 1
    for (int a = 0; a < BATCH; a++) {
      u64 r = from + a * side, at = (matrix * of.rows + r) * of.columns + column;
      double square[4] = {0, 0, 0, 0};
      if (r < end && there > 0) {
        float x[4];
        gradients(x, (const Value*)of.p + at, (const Grad*)of.g + at, there, scale, l2, limit);
        for (int n = 0; n < 4; n++) square[n] = (double)x[n] * (double)x[n];
      }
      for (int n = 0; n < 4; n++) sums[n] += square[n];
      lanes[a][threadIdx.x] = (square[0] + square[1]) + (square[2] + square[3]);
    }
    tree<BATCH>(lanes, width);
    for (int a = 0; a < BATCH && lane == 0; a++) {
      u64 r = from + a * side;
      if (r < end) of.rowSums[(matrix * of.rows + r) * of.across + part] = lanes[a][threadIdx.x];
    }
    __syncthreads();  // before the next rows take the lanes
  }
  for (int n = 0; n < 4; n++) lanes[n][threadIdx.x] = sums[n];
  __syncthreads();
  column = part * of.width + threadIdx.x;
  if (threadIdx.x < of.width && column < of.columns) {
    double sum = 0;
    for (unsigned row = 0; row < side; row++) sum += lanes[threadIdx.x % 4][row * width + threadIdx.x / 4];
    of.colSums[(matrix * of.down + strip) * of.columns + column] = sum;
  }
}

template <typename Moment, typename Factor>
__device__ __forceinline__ void moments(const Factors* all, u64 tensors, u64 tiles, const Told* told, Control* control) {
  __shared__ double lanes[BATCH][THREADS];
  __shared__ bool last;
  bool known;
  const Slot* slot = found(control, known);
  if (!known || !control->go) return;
  float limit = control->limit;
  for (u64 c = blockIdx.x; c < tiles; c += gridDim.x) {
    u64 n = 0;
    for (u64 end = tensors; end - n > 1;) {
      u64 middle = (n + end) / 2;
      if (all[middle].first <= c) {
        n = middle;
      } else {
        end = middle;
      }
    }
    const Factors& of = all[n];
    const float* k = (const float*)(slot + 1) + of.group * K;
    float scale = told[of.tensor].scale, l2 = k[0];
    u64 t = c - of.first;
    if (of.v != nullptr) {
      u64 end = (t + 1) * VECTOR < of.columns ? (t + 1) * VECTOR : of.columns;
#pragma unroll 1
      for (u64 i = t * VECTOR + threadIdx.x * 4; i < end; i += THREADS * 4) {
        float x[4], v[4];
        u64 there = end - i;
        gradients(x, (const Value*)of.p + i, (const Grad*)of.g + i, there, scale, l2, limit);
        bool wide = there >= 4 && ((u64)of.v & 15) == 0;
        if (wide) {
          fetch<true>(v, of.v + i, 4);
        } else {
          fetch<false>(v, of.v + i, there);
        }
        for (int n = 0; n < 4; n++) v[n] = Moment::moment(k, v[n], (double)x[n] * (double)x[n]);
        if (wide) {
          put<true>(of.v + i, v, 4);
        } else {
          put<false>(of.v + i, v, there);
        }
      }
      continue;
    }
    u64 matrix = t / (of.down * of.across);
    tile(of, matrix, t / of.across % of.down, t % of.across, scale, l2, limit, lanes);
    // The last block of a matrix finds the sums of all its tiles.
    __syncthreads();
    if (threadIdx.x == 0) {
      __threadfence();
      last = atomicAdd(of.arrived + matrix, 1ULL) == of.down * of.across - 1;
    }
    __syncthreads();
    if (!last) continue;
    __threadfence();
    factor<Moment, Factor>(of, matrix, k, lanes);
    __syncthreads();
    if (threadIdx.x == 0) of.arrived[matrix] = 0;
  }
}

// Declares what a rule that factors makes of the mean of squares; the body follows in braces, first of all.
#define MOMENT(name)                                                                                             \
  struct name##Moment {                                                                                          \
    static __device__ __forceinline__ float moment(const float* k, float before, double square);                 \
  };                                                                                                             \
  __device__ __forceinline__ float name##Moment::moment(const float* k, float before, double square)

// And by what a moment divides; with the kernel that takes the moments.
#define FACTOR(name)                                                                                                                    \
  struct name##Factor {                                                                                                                 \
    static constexpr bool FACTORED = true, ELEMENTWISE = false;                                                                                              \
    static __device__ __forceinline__ float factor(const float* k, float moment, double mean);                                          \
  };                                                                                                                                    \
  extern "C" __global__ void __launch_bounds__(THREADS, 3)                                                                              \
      name##_moments(const Factors* all, u64 tensors, u64 tiles, const Told* told, Control* control) {                                  \
    moments<name##Moment, name##Factor>(all, tensors, tiles, told, control);                                                            \
  }                                                                                                                                     \
  __device__ __forceinline__ float name##Factor::factor(const float* k, float moment, double mean)

// The first of two loops of a rule whose update is made orthogonal, over four elements of which so many are there. The last array of
// its own takes the update, and what it held counts for nothing.
template <bool WIDE, int STATES, typename Rule>
__device__ __forceinline__ void gatherMatrixAt(const Chunk<STATES>& chunk, unsigned i, unsigned there, const Common& common) {
  bool limited = common.limit <= LARGEST;
  constexpr int OWN = STATES - MORE;
  float p[4], g[4], s[OWN][4];
  fetch<WIDE>(p, value(chunk) + i, there);
  fetch<WIDE>(g, chunk.g + i, there);
  for (int a = 0; a < OWN - 1; a++) fetch<WIDE>(s[a], chunk.s[a] + i, there);
  if (limited) {
    for (int n = 0; n < 4; n++) g[n] = clamp(common.scale * g[n], common.limit);
  }
  Rule::template gather<4>(common.k, limited ? 1 : common.scale, p, g, s);
  for (int a = 0; a < OWN; a++) put<WIDE>(chunk.s[a] + i, s[a], there);
}

template <int STATES, typename Rule>
__device__ __forceinline__ void gatherMatrix(const Chunk<STATES>* chunks, u64 count, const Told* told, const Control* control) {
  bool known;
  const Slot* slot = found(control, known);
  if (!known || !control->go) return;
  Common common;
  common.limit = control->limit;
  for (u64 c = blockIdx.x; c < count; c += gridDim.x) {
    const Chunk<STATES> chunk = chunks[c];
    const float* k = (const float*)(slot + 1) + chunk.group * K;
    for (int n = 0; n < K; n++) common.k[n] = k[n];
    common.scale = told[chunk.tensor].scale;
    unsigned whole = wide<4>(chunk), i = threadIdx.x * 4;
#pragma unroll 1
    for (; i < whole; i += THREADS * 4) gatherMatrixAt<true, STATES, Rule>(chunk, i, 4, common);
#pragma unroll 1
    for (; i < chunk.count; i += THREADS * 4) gatherMatrixAt<false, STATES, Rule>(chunk, i, chunk.count - i, common);
  }
}

// How many arrays of state the rule names; with more or fewer its kernel would read addresses that are none.
#ifdef ARRAYS
#define FITS(STATES) static_assert(STATES == ARRAYS, "STEP has another number of arrays than state() of the rule")
#else
#define FITS(STATES) static_assert(STATES >= 0, "")
#endif

// Declares what a rule that looks at a whole tensor makes of its sums; the body follows in braces, before that of its step.
#define TRUST(name, GATHERS) TRUST_BY(name, GATHERS, Unfactored)
#define FACTORED_TRUST(name) TRUST_BY(name, true, name##Factor)
#define TRUST_BY(name, GATHERS, FACTOR)                                                                                                            \
  struct name##Trust : FACTOR {                                                                                                                \
    static constexpr bool WHOLE = true, GATHERED = GATHERS;                                                                             \
    static __device__ __forceinline__ float trust(const float* k, double scale, double xx, double xp, double pp, double count, float* n);            \
  };                                                                                                                                    \
  __device__ __forceinline__ float name##Trust::trust(const float* k, double scale, double xx, double xp, double pp, double count, float* n)

// Declares the kernel of the first loop of a rule that gathers, in the same way.
#define GATHER(name, STATES) GATHER_BY(name, STATES, Unfactored)
#define FACTORED_GATHER(name) GATHER_BY(name, 1, name##Factor)
#define GATHER_BY(name, STATES, FACTOR)                                                                                                           \
  struct name##Gather {                                                                                                                  \
    template <int E>                                                                                                                     \
    static __device__ __forceinline__ void gather(const float* k, float scale, const float* p, const float* g, float (*s)[E], float* u); \
  };                                                                                                                                     \
  extern "C" __global__ void __launch_bounds__(THREADS, FACTOR::FACTORED ? 2 : 3)                                                                               \
      name##_gather(const Chunk<STATES + MORE>* chunks, u64 count, Told* told, Control* control, double* partials, const u64* firsts,    \
                    u64 tensors, u64 pieces, unsigned pass) {                                                                            \
    gather<STATES + MORE, name##Gather, FACTOR>(chunks, count, told, control, partials, firsts, tensors, pieces, pass);                          \
  }                                                                                                                                      \
  template <int E>                                                                                                                       \
  __device__ __forceinline__ void name##Gather::gather(const float* k, float scale, const float* p, const float* g, float (*s)[E], float* u)

// The same of a rule whose update is made orthogonal, which is the last of so many arrays.
#define MATRIX_GATHER(name, STATES)                                                                                                     \
  struct name##Gather {                                                                                                                 \
    template <int E>                                                                                                                    \
    static __device__ __forceinline__ void gather(const float* k, float scale, const float* p, const float* g, float (*s)[E]);          \
  };                                                                                                                                    \
  extern "C" __global__ void __launch_bounds__(THREADS, 4)                                                                              \
      name##_gather(const Chunk<STATES + MORE>* chunks, u64 count, const Told* told, const Control* control) {                                 \
    gatherMatrix<STATES + MORE, name##Gather>(chunks, count, told, control);                                                                   \
  }                                                                                                                                     \
  template <int E>                                                                                                                      \
  __device__ __forceinline__ void name##Gather::gather(const float* k, float scale, const float* p, const float* g, float (*s)[E])

// Declares the kernel of a rule with so many state arrays; the body of its step over E elements in registers follows in braces. A multiprocessor holds
// 4 blocks of it, with 64 registers a thread; of three arrays 3, with 80, and of more 2, with 128: their threads each have more bytes on the way;
// 2, too, where factors are found for each element, some of them in double, and of state in 8 bits, of which a thread has eight elements; and 3 of two
// arrays where a thread has eight elements of 16 bits.
#define STEP(name, STATES) STEP_BY(name, STATES, Elementwise)
#define TENSOR_STEP(name, STATES) STEP_BY(name, STATES, name##Trust)
#define MATRIX_STEP(name, STATES) STEP_BY(name, STATES, Orthogonal)
#define ARRAYS_HELD(STATES, TRUSTED) (STATES + HELD + (STATES == 2 && WIDTH<STATES, TRUSTED::ELEMENTWISE> == 8 ? 1 : 0))
#define STEP_BY(name, STATES, TRUSTED)                                                                                              \
  FITS(STATES);                                                                                                                     \
  struct name##Rule {                                                                                                               \
    template <int E>                                                                                                                \
    static __device__ __forceinline__ void step(const float* k, float scale, float trust, float* p, const float* g, float (*s)[E]); \
  };                                                                                                                                \
  extern "C" __global__ void __launch_bounds__(256, TRUSTED::FACTORED || BLOCKWISE > 0 ? 2 : ARRAYS_HELD(STATES, TRUSTED) < 3 ? 4 : ARRAYS_HELD(STATES, TRUSTED) < 4 ? 3 : 2)    \
      name(const Chunk<STATES + MORE>* chunks, u64 count, const Told* told, Control* control, unsigned last) {                      \
    drive<STATES + MORE, name##Rule, TRUSTED>(chunks, count, told, control, last);                                                  \
  }                                                                                                                                 \
  template <int E>                                                                                                                  \
  __device__ __forceinline__ void name##Rule::step(const float* k, float scale, float trust, float* p, const float* g, float (*s)[E])
