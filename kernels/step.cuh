// The one driver of all optimizer kernels. A rule's file holds its loop body; everything else is here, once: the walk over the chunk table, 16 bytes
// per access, and the ends that are not.
//
// Header-free, for NVRTC brings no headers. Compiled with -fmad=false and never with fast-math: every operation is one IEEE 754 operation, in the
// order written, as in Java. What the host writes and reads too, Control, Slot and Told, stands before this text: CudaDriver.LAYOUT.

// The smallest normal and the largest finite float.
constexpr float SMALLEST = 0x1p-126f, LARGEST = 0x1.fffffep127f;

// Arrays behind the rule's own: the average's, if there is one.
#ifdef AVERAGED
constexpr int MORE = 1;
#else
constexpr int MORE = 0;
#endif

// A piece of one tensor: where it begins in each array, how many elements it has, which tensor it is of, and in which group.
template <int STATES>
struct Chunk {
  u64 count;
  float *p, *g, *s[STATES == 0 ? 1 : STATES];
  unsigned tensor, group;
};

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

// .cs, streaming: a step reads and writes each element once, and leaves the cache to others. E is 4, or 1 where 16 bytes at a time will not do.
template <int E>
__device__ __forceinline__ void load(float* to, const float* from) {
  if (E == 4) {
    asm volatile("ld.global.cs.v4.f32 {%0, %1, %2, %3}, [%4];" : "=f"(to[0]), "=f"(to[1]), "=f"(to[2]), "=f"(to[3]) : "l"(from));
  } else {
    to[0] = from[0];
  }
}

template <int E>
__device__ __forceinline__ void store(float* to, const float* from) {
  if (E == 4) {
    asm volatile("st.global.cs.v4.f32 [%0], {%1, %2, %3, %4};" ::"l"(to), "f"(from[0]), "f"(from[1]), "f"(from[2]), "f"(from[3]) : "memory");
  } else {
    to[0] = from[0];
  }
}

// What the elements of a chunk have in common, in registers.
struct Common {
  float k[K];
  float scale, trust, limit;
  bool go;
};

// A chunk from one element to another, E per thread at a time; indices of 32 bits do, for a chunk is small. GUARDED: with what few steps need, the
// clipping of each element and the flushing of parameters; the instructions of it would otherwise be in every loop.
template <int E, bool GUARDED, int STATES, typename Rule>
__device__ __forceinline__ void walk(const Chunk<STATES>& chunk, unsigned from, unsigned to, const Common& common) {
  bool limited = GUARDED && common.limit <= LARGEST;
  float scale = limited ? 1 : common.scale, floor = common.k[FLOOR];
  constexpr int OWN = STATES - MORE;
  float p[E], g[E], s[OWN == 0 ? 1 : OWN][E];
#ifdef ZERO_GRADIENTS
  const float zero[E] = {};
  if (!common.go) {
    for (unsigned i = from + threadIdx.x * E; i < to; i += blockDim.x * E) store<E>(chunk.g + i, zero);
    return;
  }
#endif
  for (unsigned i = from + threadIdx.x * E; i < to; i += blockDim.x * E) {
    load<E>(p, chunk.p + i);
    load<E>(g, chunk.g + i);
#ifdef ZERO_GRADIENTS
    store<E>(chunk.g + i, zero);  // at once, for its address need not be kept then
#endif
    for (int a = 0; a < OWN; a++) load<E>(s[a], chunk.s[a] + i);
    if (limited) {
      for (int n = 0; n < E; n++) g[n] = clamp(common.scale * g[n], common.limit);
    }
    Rule::template step<E>(common.k, scale, common.trust, p, g, s);
    if (GUARDED && floor > 0) {
      for (int n = 0; n < E; n++) p[n] = flush(p[n], floor);
    }
#ifdef AVERAGED
    if (common.k[PULL] > 0) {  // loaded no earlier: the rule needs the registers, and of many steps of Lookahead one needs the array
      float a[E];
      load<E>(a, chunk.s[OWN] + i);
      for (int n = 0; n < E; n++) a[n] = follow(a[n], p[n], common.k[PULL]);
      store<E>(chunk.s[OWN] + i, a);
      for (int n = 0; n < E && common.k[BACK] > 0; n++) p[n] = a[n];
    }
#endif
    store<E>(chunk.p + i, p);
    for (int a = 0; a < OWN; a++) store<E>(chunk.s[a] + i, s[a]);
  }
}

// An array that does not begin at a multiple of 16 bytes, which only somebody else's can, goes element by element, and so does what is left of a
// chunk beyond its last whole 16 bytes.
template <int STATES>
__device__ __forceinline__ unsigned wide(const Chunk<STATES>& chunk) {
  u64 bits = (u64)chunk.p | (u64)chunk.g;
  for (int a = 0; a < STATES; a++) bits |= (u64)chunk.s[a];
  return (bits & 15) == 0 ? chunk.count / 4 * 4 : 0;
}

template <int STATES, typename Rule>
__device__ __forceinline__ void drive(const Chunk<STATES>* chunks, u64 count, const Told* told, Control* control, unsigned last) {
  u64 t = control->done + 1;
  const Slot* slot = (const Slot*)((const char*)control + SLOTS + t % RING * control->slotBytes);
  bool known = slot->step == t;
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
    unsigned whole = wide(chunk);
    if (common.limit <= LARGEST || common.k[FLOOR] > 0) {
      walk<4, true, STATES, Rule>(chunk, 0, whole, common);
    } else {
      walk<4, false, STATES, Rule>(chunk, 0, whole, common);
    }
    walk<1, true, STATES, Rule>(chunk, whole, chunk.count, common);
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

// How many arrays of state the rule names; with more or fewer its kernel would read addresses that are none.
#ifdef ARRAYS
#define FITS(STATES) static_assert(STATES == ARRAYS, "STEP has another number of arrays than state() of the rule")
#else
#define FITS(STATES) static_assert(STATES >= 0, "")
#endif

// Declares the kernel of a rule with so many state arrays; the body of its step over E elements in registers follows in braces. A multiprocessor holds
// 4 blocks of it, with 64 registers a thread; of three arrays 3, with 80, and of more 2, with 128: their threads each have more bytes on the way.
#define STEP(name, STATES)                                                                                                                              \
  FITS(STATES);                                                                                                                                         \
  struct name##Rule {                                                                                                                                   \
    template <int E>                                                                                                                                    \
    static __device__ __forceinline__ void step(const float* k, float scale, float trust, float* p, const float* g, float (*s)[E]);                     \
  };                                                                                                                                                    \
  extern "C" __global__ void __launch_bounds__(256, STATES + MORE < 3 ? 4 : STATES + MORE < 4 ? 3 : 2)                                                  \
      name(const Chunk<STATES + MORE>* chunks, u64 count, const Told* told, Control* control, unsigned last) {                                          \
    drive<STATES + MORE, name##Rule>(chunks, count, told, control, last);                                                                               \
  }                                                                                                                                                     \
  template <int E>                                                                                                                                      \
  __device__ __forceinline__ void name##Rule::step(const float* k, float scale, float trust, float* p, const float* g, float (*s)[E])
