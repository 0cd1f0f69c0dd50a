// The one driver of all optimizer kernels. A rule's file holds its loop body; everything else is here, once: the walk over the chunk table, 16
// bytes per access, and the ends that are not.
//
// Header-free, for NVRTC brings no headers. Compiled with -fmad=false and never with fast-math: every operation is one IEEE 754 operation, in the
// order written, as in Java.

typedef unsigned long long u64;

// Elements per thread and access: 16 bytes of floats.
constexpr int E = 4;

// Scalars of a step; Rule.SCALARS.
constexpr int K = 8;

// What one step is told: its scalars; what its gradient is multiplied by, 1 unless it is clipped; and whether it is done at all.
struct Step {
  float k[K];
  float coefficient;
  unsigned go;
};

// A piece of one tensor: where it begins in each array, and how many elements it has. The engine writes the table of them.
template <int STATES>
struct Chunk {
  u64 count;
  float* p;
  float* g;
  float* s[STATES == 0 ? 1 : STATES];
};

// .cs, streaming: a step reads and writes each element once, and leaves the cache to others. An array that does not begin at a multiple of 16
// bytes, which only somebody else's can, goes element by element.
__device__ __forceinline__ void load(float* to, const float* from) {
  if (((u64)from & 15) == 0) {
    asm volatile("ld.global.cs.v4.f32 {%0, %1, %2, %3}, [%4];" : "=f"(to[0]), "=f"(to[1]), "=f"(to[2]), "=f"(to[3]) : "l"(from));
  } else {
    for (int i = 0; i < E; i++) to[i] = from[i];
  }
}

__device__ __forceinline__ void store(float* to, const float* from) {
  if (((u64)to & 15) == 0) {
    asm volatile("st.global.cs.v4.f32 [%0], {%1, %2, %3, %4};" ::"l"(to), "f"(from[0]), "f"(from[1]), "f"(from[2]), "f"(from[3]) : "memory");
  } else {
    for (int i = 0; i < E; i++) to[i] = from[i];
  }
}

// One step over E elements in registers, from the scalars k: p and s change, g does not.
typedef void Body(const float* k, float* p, const float* g, float (*s)[E]);

template <int STATES, Body body>
__device__ __forceinline__ void drive(const Chunk<STATES>* chunks, u64 count, const Step* step) {
  if (!step->go) return;
  float k[K], p[E], g[E], s[STATES == 0 ? 1 : STATES][E];
  for (int n = 0; n < K; n++) k[n] = step->k[n];
  float coefficient = step->coefficient;
  for (u64 c = blockIdx.x; c < count; c += gridDim.x) {
    const Chunk<STATES>& chunk = chunks[c];
    u64 whole = chunk.count / E * E;
    for (u64 i = (u64)threadIdx.x * E; i < whole; i += (u64)blockDim.x * E) {
      load(p, chunk.p + i);
      load(g, chunk.g + i);
      for (int n = 0; n < E; n++) g[n] *= coefficient;
      for (int a = 0; a < STATES; a++) load(s[a], chunk.s[a] + i);
      body(k, p, g, s);
      store(chunk.p + i, p);
      for (int a = 0; a < STATES; a++) store(chunk.s[a] + i, s[a]);
    }
    // What is left of the chunk, fewer than E elements: one for each of the first threads, in the first place of its registers.
    u64 i = whole + threadIdx.x;
    if (i < chunk.count) {
      for (int n = 1; n < E; n++) p[n] = g[n] = 0;
      p[0] = chunk.p[i];
      g[0] = chunk.g[i] * coefficient;
      for (int a = 0; a < STATES; a++) {
        for (int n = 1; n < E; n++) s[a][n] = 0;
        s[a][0] = chunk.s[a][i];
      }
      body(k, p, g, s);
      chunk.p[i] = p[0];
      for (int a = 0; a < STATES; a++) chunk.s[a][i] = s[a][0];
    }
  }
}

// Declares the kernel of a rule with so many state arrays; the loop body follows in braces.
#define STEP(name, STATES)                                                                                                    \
  __device__ __forceinline__ void name##Body(const float* k, float* p, const float* g, float (*s)[E]);                        \
  extern "C" __global__ void __launch_bounds__(256, 4) name(const Chunk<STATES>* chunks, u64 count, const Step* step) {         \
    drive<STATES, name##Body>(chunks, count, step);                                                                           \
  }                                                                                                                           \
  __device__ __forceinline__ void name##Body(const float* k, float* p, const float* g, float (*s)[E])
