// cuBLAS over softcuda's driver: products in float32 with plain loops, queued in the handle's stream as kernels are.
// Each operation is rounded to float by itself; the sum over k starts at +0 and runs from k = 0 up. What is read of 16 bits is widened, what is
// written to 16 bits is rounded once, at the end.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "half.h"
#include "library.h"

using namespace soft;

using i64 = int64_t;
using u64 = uint64_t;

namespace {

enum Status { DONE = 0, NO_HANDLE = 1, NO_MEMORY = 3, BAD_VALUE = 7, FAILED = 13, MISSING = 15 };
enum PointerMode { HOST = 0, DEVICE = 1 };
enum Type : int { F32 = 0, F16 = 2, BF16 = 14 };  // cudaDataType_t
enum { COMPUTE_32F = 68, COMPUTE_32F_PEDANTIC = 69, COMPUTE_32F_FAST_16BF = 75, COMPUTE_32F_FAST_TF32 = 77, ALGO_DEFAULT = -1, ALGO_DEFAULT_TENSOR_OP = 99 };

struct Handle {
  void *context, *stream;
  u64 workspace, workspaceBytes;
  int pointerMode, mathMode;
};
// By the address of an allocation of its own, which is what a caller holds: a handle that is left shows as one, and no address comes twice.
std::map<void*, Handle>& handles = *new std::map<void*, Handle>;

// ---- operands ----

// Numbers in device memory: columns of contiguous rows, from each column to the next `stride` numbers. A vector is a matrix of one row.
struct Matrix {
  const char* name;
  u64 address;
  i64 rows, columns, stride;
  Type type = F32;
  u64 size() const { return type == F32 ? 4 : 2; }  // of a number, in bytes
  Matrix at(i64 batch, i64 step) const { return {name, address + u64(batch * step) * size(), rows, columns, stride, type}; }
  std::string text() const {
    return std::string(name) + ", " + std::to_string(rows) + " x " + std::to_string(columns) + " with a stride of " + std::to_string(stride);
  }
};

Matrix vector(const char* name, u64 address, i64 n, i64 increment) {  // a negative increment starts at the far end
  return {name, increment < 0 ? address + u64((1 - n) * increment) * sizeof(float) : address, 1, n, increment};
}

// Work as it runs: looks at its operands as the interpreter looks at an access, and counts each of their elements once.
class Work {
 public:
  Work(const char* kernel, void* context) : kernel(kernel), context(context) {}
  ~Work() {
    for (auto& mark : marked) std::memset(mark.first, WRITTEN, mark.second);
  }

  // Where a matrix's numbers are. They must lie in one live allocation, have been written, and be none that this work writes.
  void* readsAny(const Matrix& m) { return numbers(m, true, false); }
  float* reads(const Matrix& m) { return static_cast<float*>(readsAny(m)); }
  // The same to write, once each: to write twice what one work has in no order, or to read it as another operand, gives no certain value.
  void* writesAny(const Matrix& m, bool readsToo) { return numbers(m, readsToo, true); }
  float* writes(const Matrix& m, bool readsToo) { return static_cast<float*>(writesAny(m, readsToo)); }
  void uses(const Matrix& m) { numbers(m, false, false); }  // must be there, whatever it holds

  Outcome outcome;

 private:
  static constexpr uint8_t WRITTEN = 1, MARKED = 3;  // what Allocation::written holds; MARKED while this work runs
  const char* kernel;
  void* context;
  std::vector<std::pair<uint8_t*, size_t>> marked;

  [[noreturn]] void fault(Error code, const std::string& what) { throw Fault{code, what + "; kernel " + kernel, nullptr}; }

  void* numbers(const Matrix& m, bool reads, bool writes) {
    if (m.rows == 0 || m.columns == 0) return nullptr;
    i64 reach = (m.columns - 1) * m.stride;  // to the last column, behind the first or before it
    u64 first = m.address + u64(std::min<i64>(reach, 0)) * m.size(), bytes = (u64(std::abs(reach)) + u64(m.rows)) * m.size();
    if (m.address % m.size()) fault(MISALIGNED, "misaligned access: " + m.text());
    Allocation* a = memory.find(first);
    if (!a || !a->contains(first, bytes))
      fault(ILLEGAL_ADDRESS, std::string("out of bounds: ") + (writes ? "writes " : "reads ") + m.text() + ", " + std::to_string(bytes) +
            " bytes " + (a ? "across the end of " + a->name + " of " + std::to_string(a->size) + " bytes" : memory.describe(first)));
    if (a->context != context && a->kind != Kind::Pinned) fault(ILLEGAL_ADDRESS, "memory of another context: " + m.text() + ", in " + a->name);
    if (writes && a->kind == Kind::Constant) fault(ILLEGAL_ADDRESS, "write to constant memory: " + m.text() + ", " + a->name);
    u64 offset = m.address - a->base;
    if (reads || writes) count(*a, m, reads, writes);
    if ((reads || writes) && a->written)
      for (i64 j = 0; j < m.columns; ++j) look(*a, m, j, offset + u64(j * m.stride) * m.size(), reads, writes);
    return a->data + offset;
  }

  void look(const Allocation& a, const Matrix& m, i64 column, u64 offset, bool reads, bool writes) {
    uint8_t* w = a.written + offset;
    size_t n = size_t(m.rows) * m.size();
    if (reads)
      if (auto* hole = static_cast<uint8_t*>(std::memchr(w, 0, n)))
        fault(LAUNCH_FAILED, "read of memory never written: row " + std::to_string((hole - w) / i64(m.size())) + ", column " +
              std::to_string(column) + " of " + m.text() + ", " + std::to_string(hole - a.written) + " bytes into " + a.name);
    if (std::memchr(w, MARKED, n)) fault(LAUNCH_FAILED, "overlap: " + m.text() + ", has elements that the same work writes");
    if (!writes) return;
    std::memset(w, MARKED, n);
    marked.push_back({w, n});
  }

  void count(const Allocation& a, const Matrix& m, bool reads, bool writes) {
    auto use = std::find_if(outcome.memory.begin(), outcome.memory.end(), [&](auto& u) { return u.base == a.base; });
    if (use == outcome.memory.end()) use = outcome.memory.insert(use, {a.name, a.kind, a.base, a.size, {}});
    int log = m.type == F32 ? 2 : 1;
    if (reads) use->traffic.read[log] += u64(m.rows * m.columns);
    if (writes) use->traffic.written[log] += u64(m.rows * m.columns);
  }
};

// A factor in host memory is read at the call, one in device memory when the work runs.
struct Scalar {
  const char* name;
  bool late;
  u64 address;
  float value;
  float in(Work& work) const { return late ? *work.reads({name, address, 1, 1, 1}) : value; }
};

// ---- the frame of every call ----

int status(Error e) { return e == SUCCESS ? DONE : e == INVALID_CONTEXT ? NO_HANDLE : FAILED; }

template <class F> int api(const char* name, void* handle, F body) {
  int code = enter(name, [&](Error obstacle, void* context) -> int {
    auto h = handles.find(handle);
    const char* wrong = h == handles.end() ? "the handle is none, or was destroyed"
                        : !memory.find(reinterpret_cast<u64>(handle)) ? "the handle's context was destroyed"
                        : h->second.context != context ? "the handle was made in another context than the current one"
                                                       : nullptr;
    if (wrong) {
      report(std::string(name) + ": " + wrong);
      return NO_HANDLE;
    }
    return body(h->second, obstacle);
  });
  return code < 100 ? code : FAILED;  // a CUDA error that it was told to fail with
}

bool scalar(const char* call, const Handle& h, const char* name, const float* p, Scalar& to) {
  auto address = reinterpret_cast<u64>(p);
  to = {name, h.pointerMode == DEVICE, address, 0};
  if (!p) return false;
  if (to.late) return true;
  Allocation* a = memory.find(address);
  if (a && a->kind != Kind::Pinned) {
    report(std::string(call) + ": " + name + " is in device memory, and the pointer mode is host");
    return false;
  }
  to.value = *p;
  return true;
}

// Queues what `body` does with its operands.
template <class F> int queue(const char* kernel, const Handle& h, Error obstacle, F body) {
  if (obstacle) return status(obstacle);
  Matrix workspace{"the workspace", h.workspace, i64(h.workspaceBytes / sizeof(float)), 1, 0};
  Error e = submit(kernel, h.stream, [=, context = h.context] {
    Work work(kernel, context);
    try {
      if (workspace.address) work.uses(workspace);
      body(work);
    } catch (Fault& f) {
      work.outcome.code = f.code;
      work.outcome.message = f.what;
    }
    return work.outcome;
  });
  if (e == INVALID_HANDLE) report(std::string(kernel) + ": the handle's stream is none of the current context, or was destroyed");
  return status(e);
}

// ---- arithmetic ----

struct View {  // floats by row and column, each so many floats apart
  float* p;
  i64 row, column;
  float& at(i64 i, i64 j) const { return p[i * row + j * column]; }
  View transposed() const { return {p, column, row}; }
};

// v in strips of SIZE of its rows, a column of a strip contiguous. Zeros fill the last strip.
template <i64 SIZE> void cut(std::vector<float>& out, i64 rows, i64 columns, View v) {
  out.assign(size_t((rows + SIZE - 1) / SIZE * SIZE * columns), 0);
  for (i64 i = 0; i < rows; ++i) {
    float* to = out.data() + i / SIZE * SIZE * columns + i % SIZE;
    for (i64 j = 0; j < columns; ++j) to[j * SIZE] = v.at(i, j);
  }
}

// c = alpha·(a·b) + beta·c, by tiles whose sums stay in registers. The order of a sum is the same in every tile; what the zeros make is dropped.
void multiply(i64 m, i64 n, i64 k, float alpha, View a, View b, float beta, View c) {
  constexpr i64 HIGH = 8, WIDE = 4;
  static std::vector<float> left, right;  // kept: the system takes longer for fresh pages than a product takes
  cut<HIGH>(left, m, k, a);
  cut<WIDE>(right, n, k, b.transposed());
  for (i64 j0 = 0; j0 < n; j0 += WIDE)
    for (i64 i0 = 0; i0 < m; i0 += HIGH) {
      const float *x = left.data() + i0 * k, *y = right.data() + j0 * k;
      float sum[WIDE][HIGH] = {};
      for (i64 l = 0; l < k; ++l, x += HIGH, y += WIDE)
        for (i64 j = 0; j < WIDE; ++j)
          for (i64 i = 0; i < HIGH; ++i) sum[j][i] += x[i] * y[j];
      for (i64 j = 0; j < std::min(WIDE, n - j0); ++j)
        for (i64 i = 0; i < std::min(HIGH, m - i0); ++i) {
          float& to = c.at(i0 + i, j0 + j);
          to = beta == 0 ? alpha * sum[j][i] : alpha * sum[j][i] + beta * to;
        }
    }
}

// ---- types ----

float widened(Type type, uint16_t bits) {
  if (type == BF16) return ofBf16(bits);
  static const std::vector<float>& all = *[] {
    auto* table = new std::vector<float>;
    for (uint32_t h = 0; h < 65536; ++h) table->push_back(ofF16(h));
    return table;
  }();
  return all[bits];
}

// What tensor cores are given of a float: all of it by default, or what bfloat16 or TF32 (eleven bits, as float16 has) hold.
float given(float x, int compute) {
  if (compute == COMPUTE_32F_FAST_16BF) return ofBf16(toBf16(x));
  if (compute != COMPUTE_32F_FAST_TF32 || !std::isfinite(x)) return x;
  uint32_t bits;
  std::memcpy(&bits, &x, 4);
  bits = (bits + 0xfff + (bits >> 13 & 1)) & ~0x1fffu;
  std::memcpy(&x, &bits, 4);
  return x;
}

bool isFast(int compute) { return compute == COMPUTE_32F_FAST_16BF || compute == COMPUTE_32F_FAST_TF32; }

// A matrix's numbers as floats, where they are or in `copy`, a column's behind the one before; and from each column to the next.
struct Floats {
  Floats(const Matrix& m, void* at, bool looks, int compute = COMPUTE_32F) : m(m), at(at) {
    if ((m.type == F32 && !isFast(compute)) || !m.rows || !m.columns) return;
    copy.resize(size_t(m.rows * m.columns));
    for (i64 j = 0; j < m.columns && looks; ++j)
      for (i64 i = 0; i < m.rows; ++i) {
        i64 from = j * m.stride + i;
        float x = m.type == F32 ? static_cast<float*>(at)[from] : widened(m.type, static_cast<uint16_t*>(at)[from]);
        copy[size_t(j * m.rows + i)] = given(x, compute);
      }
  }
  View view() { return copy.empty() ? View{static_cast<float*>(at), 1, m.stride} : View{copy.data(), 1, m.rows}; }
  void round() {
    if (copy.empty()) return;
    for (i64 j = 0; j < m.columns; ++j)
      for (i64 i = 0; i < m.rows; ++i) {
        float x = copy[size_t(j * m.rows + i)];
        static_cast<uint16_t*>(at)[j * m.stride + i] = uint16_t(m.type == BF16 ? toBf16(x) : toF16(x));
      }
  }

 private:
  const Matrix& m;
  void* at;
  std::vector<float> copy;
};

bool isOperation(int x) { return x >= 0 && x <= 2; }  // as it is, transposed, and for real numbers the same again

// A product of matrices: `left` and `right` say which are transposed. Of batches, each begins a step behind the one before.
struct Product {
  int left, right;
  i64 m, n, k;
  const float* alpha;
  u64 a;
  i64 lda, stepA;
  u64 b;
  i64 ldb, stepB;
  const float* beta;
  u64 c;
  i64 ldc, stepC, batches;
  int typeA = F32, typeB = F32, typeC = F32, compute = COMPUTE_32F, algorithm = ALGO_DEFAULT;
};

// Of what a device multiplies in float32: A and B of one type, C of that or of float32; or all of float32, by tensor cores of less.
bool isKnown(const char* name, const Product& p) {
  bool type = p.typeA == F32 || p.typeA == F16 || p.typeA == BF16, fits = p.typeA == p.typeB && (p.typeC == p.typeA || p.typeC == F32);
  if (type && fits && (p.compute == COMPUTE_32F || p.compute == COMPUTE_32F_PEDANTIC)) return true;
  if (p.typeA == F32 && p.typeB == F32 && p.typeC == F32 && isFast(p.compute)) return true;
  report(std::string(name) + ": expected A and B of one type, float32, float16 or bfloat16, C of that or of float32, all computed in float32; got types " +
         std::to_string(p.typeA) + ", " + std::to_string(p.typeB) + ", " + std::to_string(p.typeC) + ", computed in " + std::to_string(p.compute));
  return false;
}

int gemm(const char* name, const char* kernel, void* handle, const Product& p) {
  return api(name, handle, [&](Handle& h, Error obstacle) -> int {
    Matrix a{"A", p.a, p.left ? p.k : p.m, p.left ? p.m : p.k, p.lda, Type(p.typeA)};
    Matrix b{"B", p.b, p.right ? p.n : p.k, p.right ? p.k : p.n, p.ldb, Type(p.typeB)};
    Matrix c{"C", p.c, p.m, p.n, p.ldc, Type(p.typeC)};
    Scalar alpha, beta;
    if (!isKnown(name, p)) return MISSING;
    if (p.algorithm != ALGO_DEFAULT && p.algorithm != ALGO_DEFAULT_TENSOR_OP) return BAD_VALUE;
    if (!isOperation(p.left) || !isOperation(p.right) || p.m < 0 || p.n < 0 || p.k < 0 || p.batches < 0) return BAD_VALUE;
    if (p.lda < std::max<i64>(1, a.rows) || p.ldb < std::max<i64>(1, b.rows) || p.ldc < std::max<i64>(1, c.rows)) return BAD_VALUE;
    if (!scalar(name, h, "alpha", p.alpha, alpha) || !scalar(name, h, "beta", p.beta, beta)) return BAD_VALUE;
    if (!p.m || !p.n || !p.batches) return status(obstacle);
    return queue(kernel, h, obstacle, [=](Work& work) {
      float by = alpha.in(work), keep = beta.in(work);
      struct Batch { void *a, *b, *c; };
      std::vector<Batch> found(size_t(p.batches));  // all of them first: with a mistake in one, none is written
      for (i64 s = 0; s < p.batches; ++s) found[size_t(s)].c = work.writesAny(c.at(s, p.stepC), keep != 0);
      for (i64 s = 0; s < p.batches; ++s) {
        found[size_t(s)].a = work.readsAny(a.at(s, p.stepA));
        found[size_t(s)].b = work.readsAny(b.at(s, p.stepB));
      }
      for (auto& x : found) {
        Floats left(a, x.a, true, p.compute), right(b, x.b, true, p.compute), to(c, x.c, keep != 0);
        View l = left.view(), r = right.view();
        multiply(p.m, p.n, p.k, by, p.left ? l.transposed() : l, p.right ? r.transposed() : r, keep, to.view());
        to.round();
      }
    });
  });
}

}  // namespace

#define API extern "C" __attribute__((visibility("default")))

// ---- handles ----

API int cublasCreate_v2(void** handle) {
  int code = enter("cublasCreate_v2", [&](Error obstacle, void* context) -> int {
    if (obstacle == INVALID_CONTEXT) report("cublasCreate_v2: no context is current");
    if (obstacle) return status(obstacle);
    if (!handle) return BAD_VALUE;
    if (prohibited()) return NO_MEMORY;
    Allocation* a = memory.allocate(256, Kind::Device, "cublasCreate_v2", context);
    if (!a) return NO_MEMORY;
    *handle = reinterpret_cast<void*>(a->base);
    handles[*handle] = {context, nullptr, 0, 0, HOST, 0};
    return DONE;
  });
  return code < 100 ? code : FAILED;
}
API int cublasDestroy_v2(void* handle) {  // waits for nothing: queued work needs no handle
  return api("cublasDestroy_v2", handle, [&](Handle&, Error obstacle) -> int {
    if (prohibited()) return FAILED;
    memory.free(reinterpret_cast<u64>(handle));
    handles.erase(handle);
    return status(obstacle);
  });
}
API int cublasGetVersion_v2(void* handle, int* version) {
  return api("cublasGetVersion_v2", handle, [&](Handle&, Error) -> int { *version = 120600; return DONE; });
}
API int cublasSetStream_v2(void* handle, void* stream) {
  return api("cublasSetStream_v2", handle, [&](Handle& h, Error) -> int {
    h.stream = stream;
    h.workspace = h.workspaceBytes = 0;  // a workspace is set for a stream
    return DONE;
  });
}
API int cublasGetStream_v2(void* handle, void** stream) {
  return api("cublasGetStream_v2", handle, [&](Handle& h, Error) -> int { *stream = h.stream; return DONE; });
}
API int cublasSetWorkspace_v2(void* handle, void* workspace, size_t bytes) {
  return api("cublasSetWorkspace_v2", handle, [&](Handle& h, Error) -> int {
    auto address = reinterpret_cast<u64>(workspace);
    if (address % 256) return BAD_VALUE;
    h.workspace = address;
    h.workspaceBytes = bytes;
    return DONE;
  });
}
API int cublasSetPointerMode_v2(void* handle, int mode) {
  return api("cublasSetPointerMode_v2", handle, [&](Handle& h, Error) -> int {
    if (mode != HOST && mode != DEVICE) return BAD_VALUE;
    h.pointerMode = mode;
    return DONE;
  });
}
API int cublasGetPointerMode_v2(void* handle, int* mode) {
  return api("cublasGetPointerMode_v2", handle, [&](Handle& h, Error) -> int { *mode = h.pointerMode; return DONE; });
}
API int cublasSetMathMode(void* handle, int mode) {  // changes nothing: the loops are exact in every mode
  return api("cublasSetMathMode", handle, [&](Handle& h, Error) -> int {
    if (mode & ~19) return BAD_VALUE;  // default, tensor operations, pedantic, TF32; 16: no reductions in less precision
    h.mathMode = mode;
    return DONE;
  });
}
API int cublasGetMathMode(void* handle, int* mode) {
  return api("cublasGetMathMode", handle, [&](Handle& h, Error) -> int { *mode = h.mathMode; return DONE; });
}

// ---- products ----

API int cublasSgemm_v2(void* handle, int left, int right, int m, int n, int k, const float* alpha, u64 a, int lda, u64 b, int ldb, const float* beta,
                       u64 c, int ldc) {
  return gemm("cublasSgemm_v2", "cublasSgemm", handle, {left, right, m, n, k, alpha, a, lda, 0, b, ldb, 0, beta, c, ldc, 0, 1});
}
API int cublasSgemmStridedBatched(void* handle, int left, int right, int m, int n, int k, const float* alpha, u64 a, int lda, long long stepA, u64 b,
                                  int ldb, long long stepB, const float* beta, u64 c, int ldc, long long stepC, int batches) {
  return gemm("cublasSgemmStridedBatched", "cublasSgemmStridedBatched", handle,
              {left, right, m, n, k, alpha, a, lda, stepA, b, ldb, stepB, beta, c, ldc, stepC, batches});
}
API int cublasGemmEx(void* handle, int left, int right, int m, int n, int k, const void* alpha, u64 a, int typeA, int lda, u64 b, int typeB, int ldb,
                     const void* beta, u64 c, int typeC, int ldc, int compute, int algorithm) {
  return gemm("cublasGemmEx", "cublasGemmEx", handle,
              {left, right, m, n, k, static_cast<const float*>(alpha), a, lda, 0, b, ldb, 0, static_cast<const float*>(beta), c, ldc, 0, 1,
               typeA, typeB, typeC, compute, algorithm});
}
API int cublasGemmStridedBatchedEx(void* handle, int left, int right, int m, int n, int k, const void* alpha, u64 a, int typeA, int lda, long long stepA,
                                   u64 b, int typeB, int ldb, long long stepB, const void* beta, u64 c, int typeC, int ldc, long long stepC, int batches,
                                   int compute, int algorithm) {
  return gemm("cublasGemmStridedBatchedEx", "cublasGemmStridedBatchedEx", handle,
              {left, right, m, n, k, static_cast<const float*>(alpha), a, lda, stepA, b, ldb, stepB, static_cast<const float*>(beta), c, ldc, stepC,
               batches, typeA, typeB, typeC, compute, algorithm});
}
API int cublasSgemv_v2(void* handle, int operation, int m, int n, const float* alphaAt, u64 a, int lda, u64 x, int stepX, const float* betaAt, u64 y,
                       int stepY) {
  const char* name = "cublasSgemv_v2";
  return api(name, handle, [&](Handle& h, Error obstacle) -> int {
    Scalar alpha, beta;
    if (!isOperation(operation) || m < 0 || n < 0 || lda < std::max(1, m) || !stepX || !stepY) return BAD_VALUE;
    if (!scalar(name, h, "alpha", alphaAt, alpha) || !scalar(name, h, "beta", betaAt, beta)) return BAD_VALUE;
    if (!m || !n) return status(obstacle);
    i64 rows = operation ? n : m, terms = operation ? m : n;
    return queue("cublasSgemv", h, obstacle, [=](Work& work) {
      float by = alpha.in(work), keep = beta.in(work);
      float* to = work.writes(vector("y", y, rows, stepY), keep != 0);
      View matrix{work.reads({"A", a, m, n, lda}), 1, lda}, from{work.reads(vector("x", x, terms, stepX)), stepX, 0};
      multiply(rows, 1, terms, by, operation ? matrix.transposed() : matrix, from, keep, {to, stepY, 0});
    });
  });
}
API int cublasSaxpy_v2(void* handle, int n, const float* alphaAt, u64 x, int stepX, u64 y, int stepY) {
  const char* name = "cublasSaxpy_v2";
  return api(name, handle, [&](Handle& h, Error obstacle) -> int {
    Scalar alpha;
    if (!scalar(name, h, "alpha", alphaAt, alpha)) return BAD_VALUE;
    if (n <= 0) return status(obstacle);
    return queue("cublasSaxpy", h, obstacle, [=](Work& work) {
      float by = alpha.in(work);
      float *to = work.writes(vector("y", y, n, stepY), true), *from = work.reads(vector("x", x, n, stepX));
      for (i64 i = 0; i < n; ++i) to[i * stepY] = by * from[i * stepX] + to[i * stepY];
    });
  });
}

// ---- names of statuses ----

namespace {
struct Name { int code; const char *name, *text; };
const Name names[] = {
    {0, "CUBLAS_STATUS_SUCCESS", "success"},
    {1, "CUBLAS_STATUS_NOT_INITIALIZED", "the library was not initialized"},
    {3, "CUBLAS_STATUS_ALLOC_FAILED", "a resource could not be allocated"},
    {7, "CUBLAS_STATUS_INVALID_VALUE", "an unsupported value or parameter was passed"},
    {8, "CUBLAS_STATUS_ARCH_MISMATCH", "the device lacks a feature that the call needs"},
    {11, "CUBLAS_STATUS_MAPPING_ERROR", "GPU memory could not be accessed"},
    {13, "CUBLAS_STATUS_EXECUTION_FAILED", "the work failed on the GPU"},
    {14, "CUBLAS_STATUS_INTERNAL_ERROR", "an operation inside cuBLAS failed"},
    {15, "CUBLAS_STATUS_NOT_SUPPORTED", "the requested functionality is not supported"},
    {16, "CUBLAS_STATUS_LICENSE_ERROR", "a license is missing"}};
}  // namespace
API const char* cublasGetStatusName(int code) {
  for (auto& n : names) if (n.code == code) return n.name;
  return "unknown";
}
API const char* cublasGetStatusString(int code) {
  for (auto& n : names) if (n.code == code) return n.text;
  return "unknown";
}

// ---- every other call that JCublas2 binds: it resolves, says on stderr that it is missing, and answers NOT_SUPPORTED ----

static int missing(const char* name) {
  fprintf(stderr, "softcuda: %s is not implemented\n", name);
  return MISSING;
}
#define ONLY(name) API int name() { return missing(#name); }
#define BOTH(name) ONLY(name) ONLY(name##_64)

BOTH(cublasAsumEx) BOTH(cublasAxpyEx) BOTH(cublasCaxpy_v2) BOTH(cublasCcopy_v2) BOTH(cublasCdgmm) BOTH(cublasCdotc_v2) BOTH(cublasCdotu_v2)
BOTH(cublasCgbmv_v2) BOTH(cublasCgeam) BOTH(cublasCgemm3m) BOTH(cublasCgemm3mBatched) BOTH(cublasCgemm3mEx) BOTH(cublasCgemm3mStridedBatched)
BOTH(cublasCgemmBatched) BOTH(cublasCgemmEx) BOTH(cublasCgemmStridedBatched) BOTH(cublasCgemm_v2) BOTH(cublasCgemvBatched)
BOTH(cublasCgemvStridedBatched) BOTH(cublasCgemv_v2) BOTH(cublasCgerc_v2) BOTH(cublasCgeru_v2) BOTH(cublasChbmv_v2) BOTH(cublasChemm_v2)
BOTH(cublasChemv_v2) BOTH(cublasCher2_v2) BOTH(cublasCher2k_v2) BOTH(cublasCher_v2) BOTH(cublasCherk3mEx) BOTH(cublasCherkEx) BOTH(cublasCherk_v2)
BOTH(cublasCherkx) BOTH(cublasChpmv_v2) BOTH(cublasChpr2_v2) BOTH(cublasChpr_v2) BOTH(cublasCopyEx) BOTH(cublasCrot_v2) BOTH(cublasCscal_v2)
BOTH(cublasCsrot_v2) BOTH(cublasCsscal_v2) BOTH(cublasCswap_v2) BOTH(cublasCsymm_v2) BOTH(cublasCsymv_v2) BOTH(cublasCsyr2_v2) BOTH(cublasCsyr2k_v2)
BOTH(cublasCsyr_v2) BOTH(cublasCsyrk3mEx) BOTH(cublasCsyrkEx) BOTH(cublasCsyrk_v2) BOTH(cublasCsyrkx) BOTH(cublasCtbmv_v2) BOTH(cublasCtbsv_v2)
BOTH(cublasCtpmv_v2) BOTH(cublasCtpsv_v2) BOTH(cublasCtrmm_v2) BOTH(cublasCtrmv_v2) BOTH(cublasCtrsmBatched) BOTH(cublasCtrsm_v2) BOTH(cublasCtrsv_v2)
BOTH(cublasDasum_v2) BOTH(cublasDaxpy_v2) BOTH(cublasDcopy_v2) BOTH(cublasDdgmm) BOTH(cublasDdot_v2) BOTH(cublasDgbmv_v2) BOTH(cublasDgeam)
BOTH(cublasDgemmBatched) BOTH(cublasDgemmStridedBatched) BOTH(cublasDgemm_v2) BOTH(cublasDgemvBatched) BOTH(cublasDgemvStridedBatched)
BOTH(cublasDgemv_v2) BOTH(cublasDger_v2) BOTH(cublasDnrm2_v2) BOTH(cublasDotEx) BOTH(cublasDotcEx) BOTH(cublasDrot_v2) BOTH(cublasDrotm_v2)
BOTH(cublasDsbmv_v2) BOTH(cublasDscal_v2) BOTH(cublasDspmv_v2) BOTH(cublasDspr2_v2) BOTH(cublasDspr_v2) BOTH(cublasDswap_v2) BOTH(cublasDsymm_v2)
BOTH(cublasDsymv_v2) BOTH(cublasDsyr2_v2) BOTH(cublasDsyr2k_v2) BOTH(cublasDsyr_v2) BOTH(cublasDsyrk_v2) BOTH(cublasDsyrkx) BOTH(cublasDtbmv_v2)
BOTH(cublasDtbsv_v2) BOTH(cublasDtpmv_v2) BOTH(cublasDtpsv_v2) BOTH(cublasDtrmm_v2) BOTH(cublasDtrmv_v2) BOTH(cublasDtrsmBatched) BOTH(cublasDtrsm_v2)
BOTH(cublasDtrsv_v2) BOTH(cublasDzasum_v2) BOTH(cublasDznrm2_v2) BOTH(cublasGemmBatchedEx)
BOTH(cublasGetMatrix) BOTH(cublasGetMatrixAsync) BOTH(cublasGetVector) BOTH(cublasGetVectorAsync) BOTH(cublasIamaxEx) BOTH(cublasIaminEx)
BOTH(cublasIcamax_v2) BOTH(cublasIcamin_v2) BOTH(cublasIdamax_v2) BOTH(cublasIdamin_v2) BOTH(cublasIsamax_v2) BOTH(cublasIsamin_v2)
BOTH(cublasIzamax_v2) BOTH(cublasIzamin_v2) BOTH(cublasNrm2Ex) BOTH(cublasRotEx) BOTH(cublasRotmEx) BOTH(cublasSasum_v2) BOTH(cublasScalEx)
BOTH(cublasScasum_v2) BOTH(cublasScnrm2_v2) BOTH(cublasScopy_v2) BOTH(cublasSdgmm) BOTH(cublasSdot_v2) BOTH(cublasSetMatrix)
BOTH(cublasSetMatrixAsync) BOTH(cublasSetVector) BOTH(cublasSetVectorAsync) BOTH(cublasSgbmv_v2) BOTH(cublasSgeam) BOTH(cublasSgemmBatched)
BOTH(cublasSgemmEx) BOTH(cublasSgemvBatched) BOTH(cublasSgemvStridedBatched) BOTH(cublasSger_v2) BOTH(cublasSnrm2_v2) BOTH(cublasSrot_v2)
BOTH(cublasSrotm_v2) BOTH(cublasSsbmv_v2) BOTH(cublasSscal_v2) BOTH(cublasSspmv_v2) BOTH(cublasSspr2_v2) BOTH(cublasSspr_v2) BOTH(cublasSswap_v2)
BOTH(cublasSsymm_v2) BOTH(cublasSsymv_v2) BOTH(cublasSsyr2_v2) BOTH(cublasSsyr2k_v2) BOTH(cublasSsyr_v2) BOTH(cublasSsyrk_v2) BOTH(cublasSsyrkx)
BOTH(cublasStbmv_v2) BOTH(cublasStbsv_v2) BOTH(cublasStpmv_v2) BOTH(cublasStpsv_v2) BOTH(cublasStrmm_v2) BOTH(cublasStrmv_v2) BOTH(cublasStrsmBatched)
BOTH(cublasStrsm_v2) BOTH(cublasStrsv_v2) BOTH(cublasSwapEx) BOTH(cublasZaxpy_v2) BOTH(cublasZcopy_v2) BOTH(cublasZdgmm) BOTH(cublasZdotc_v2)
BOTH(cublasZdotu_v2) BOTH(cublasZdrot_v2) BOTH(cublasZdscal_v2) BOTH(cublasZgbmv_v2) BOTH(cublasZgeam) BOTH(cublasZgemm3m) BOTH(cublasZgemmBatched)
BOTH(cublasZgemmStridedBatched) BOTH(cublasZgemm_v2) BOTH(cublasZgemvBatched) BOTH(cublasZgemvStridedBatched) BOTH(cublasZgemv_v2)
BOTH(cublasZgerc_v2) BOTH(cublasZgeru_v2) BOTH(cublasZhbmv_v2) BOTH(cublasZhemm_v2) BOTH(cublasZhemv_v2) BOTH(cublasZher2_v2) BOTH(cublasZher2k_v2)
BOTH(cublasZher_v2) BOTH(cublasZherk_v2) BOTH(cublasZherkx) BOTH(cublasZhpmv_v2) BOTH(cublasZhpr2_v2) BOTH(cublasZhpr_v2) BOTH(cublasZrot_v2)
BOTH(cublasZscal_v2) BOTH(cublasZswap_v2) BOTH(cublasZsymm_v2) BOTH(cublasZsymv_v2) BOTH(cublasZsyr2_v2) BOTH(cublasZsyr2k_v2) BOTH(cublasZsyr_v2)
BOTH(cublasZsyrk_v2) BOTH(cublasZsyrkx) BOTH(cublasZtbmv_v2) BOTH(cublasZtbsv_v2) BOTH(cublasZtpmv_v2) BOTH(cublasZtpsv_v2) BOTH(cublasZtrmm_v2)
BOTH(cublasZtrmv_v2) BOTH(cublasZtrsmBatched) BOTH(cublasZtrsm_v2) BOTH(cublasZtrsv_v2)
ONLY(cublasCgelsBatched) ONLY(cublasCgeqrfBatched) ONLY(cublasCgetrfBatched) ONLY(cublasCgetriBatched) ONLY(cublasCgetrsBatched)
ONLY(cublasCmatinvBatched) ONLY(cublasCrotg_v2) ONLY(cublasCtpttr) ONLY(cublasCtrttp) ONLY(cublasDgelsBatched)
ONLY(cublasDgeqrfBatched) ONLY(cublasDgetrfBatched) ONLY(cublasDgetriBatched) ONLY(cublasDgetrsBatched) ONLY(cublasDmatinvBatched)
ONLY(cublasDrotg_v2) ONLY(cublasDrotmg_v2) ONLY(cublasDtpttr) ONLY(cublasDtrttp) ONLY(cublasGetAtomicsMode)
ONLY(cublasGemmEx_64) ONLY(cublasGemmStridedBatchedEx_64)
ONLY(cublasGetCudartVersion) ONLY(cublasGetProperty) ONLY(cublasGetSmCountTarget) ONLY(cublasRotgEx) ONLY(cublasRotmgEx)
ONLY(cublasSaxpy_v2_64) ONLY(cublasSetAtomicsMode) ONLY(cublasSetSmCountTarget) ONLY(cublasSgelsBatched)
ONLY(cublasSgemmStridedBatched_64) ONLY(cublasSgemm_v2_64) ONLY(cublasSgemv_v2_64) ONLY(cublasSgeqrfBatched) ONLY(cublasSgetrfBatched)
ONLY(cublasSgetriBatched) ONLY(cublasSgetrsBatched) ONLY(cublasSmatinvBatched) ONLY(cublasSrotg_v2) ONLY(cublasSrotmg_v2)
ONLY(cublasStpttr) ONLY(cublasStrttp) ONLY(cublasZgelsBatched) ONLY(cublasZgeqrfBatched) ONLY(cublasZgetrfBatched)
ONLY(cublasZgetriBatched) ONLY(cublasZgetrsBatched) ONLY(cublasZmatinvBatched) ONLY(cublasZrotg_v2) ONLY(cublasZtpttr)
ONLY(cublasZtrttp)
