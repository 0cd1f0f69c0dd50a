// What each PTX instruction does, and which opcode means which: decode() is the table.
#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>

#include <xmmintrin.h>

#include "half.h"
#include "interpreter.h"

namespace soft {

namespace {

using u8 = uint8_t;
using u16 = uint16_t;
using u32 = uint32_t;
using u64 = uint64_t;
using s8 = int8_t;
using s16 = int16_t;
using s32 = int32_t;
using s64 = int64_t;
using f32 = float;
using f64 = double;

// A device's single-precision NaN has one payload.
f32 canonical(f32 x) {
  u32 nan = 0x7fffffff;
  f32 n;
  std::memcpy(&n, &nan, 4);
  return x == x ? x : n;
}
template <class T> T canonical(T x) { return x; }

template <class T> using unsigned_t = std::make_unsigned_t<T>;

// ---- results of one, two and three operands ----

template <class T, class F> const Ins* one(Thread& t, const Ins* i) {
  t.r[i->d].set(F{}(t.r[i->a].get<T>()));
  return i + 1;
}
template <class T, class F> const Ins* two(Thread& t, const Ins* i) {
  t.r[i->d].set(F{}(t.r[i->a].get<T>(), t.r[i->b].get<T>()));
  return i + 1;
}
template <class T, class F> const Ins* three(Thread& t, const Ins* i) {
  t.r[i->d].set(F{}(t.r[i->a].get<T>(), t.r[i->b].get<T>(), t.r[i->c].get<T>()));
  return i + 1;
}

// Integers wrap: computed in 64 bits without sign, then cut.
struct Add {
  template <class T> T operator()(T a, T b) { return T(u64(a) + u64(b)); }
  f32 operator()(f32 a, f32 b) { return canonical(a + b); }
  f64 operator()(f64 a, f64 b) { return a + b; }
};
struct Sub {
  template <class T> T operator()(T a, T b) { return T(u64(a) - u64(b)); }
  f32 operator()(f32 a, f32 b) { return canonical(a - b); }
  f64 operator()(f64 a, f64 b) { return a - b; }
};
struct Mul {
  template <class T> T operator()(T a, T b) { return T(u64(a) * u64(b)); }
  f32 operator()(f32 a, f32 b) { return canonical(a * b); }
  f64 operator()(f64 a, f64 b) { return a * b; }
};
struct Div {
  template <class T> T operator()(T a, T b) {
    if (b == 0) return T(~u64(0));
    return std::is_signed<T>::value && b == T(-1) ? T(0 - u64(a)) : T(a / b);
  }
  f32 operator()(f32 a, f32 b) { return canonical(a / b); }
  f64 operator()(f64 a, f64 b) { return a / b; }
};
struct Rem {
  template <class T> T operator()(T a, T b) {
    if (b == 0) return a;
    return std::is_signed<T>::value && b == T(-1) ? T(0) : T(a % b);
  }
};
template <class T> struct Wide { using type = void; };
template <> struct Wide<u16> { using type = u32; };
template <> struct Wide<s16> { using type = s32; };
template <> struct Wide<u32> { using type = u64; };
template <> struct Wide<s32> { using type = s64; };
template <> struct Wide<u64> { using type = unsigned __int128; };
template <> struct Wide<s64> { using type = __int128; };
struct MulHi {
  template <class T> T operator()(T a, T b) {
    using W = typename Wide<T>::type;
    return T(W(a) * W(b) >> (8 * sizeof(T)));
  }
};
struct MulWide {
  template <class T> auto operator()(T a, T b) { return typename Wide<T>::type(s64(a) * s64(b)); }
};
struct Mul24 {
  s32 operator()(s32 a, s32 b) { return s32(u32(s64(a << 8 >> 8) * s64(b << 8 >> 8))); }
  u32 operator()(u32 a, u32 b) { return u32(u64(a & 0xffffff) * (b & 0xffffff)); }
};
struct Mad { template <class T> T operator()(T a, T b, T c) { return T(u64(a) * u64(b) + u64(c)); } };
struct MadHi { template <class T> T operator()(T a, T b, T c) { return T(u64(MulHi{}(a, b)) + u64(c)); } };
template <class T> const Ins* madWide(Thread& t, const Ins* i) {
  using W = typename Wide<T>::type;
  t.r[i->d].set(W(u64(MulWide{}(t.r[i->a].get<T>(), t.r[i->b].get<T>())) + u64(t.r[i->c].get<W>())));
  return i + 1;
}
struct Fma {
  f32 operator()(f32 a, f32 b, f32 c) { return canonical(std::fma(a, b, c)); }
  f64 operator()(f64 a, f64 b, f64 c) { return std::fma(a, b, c); }
};
template <bool Less> struct Extreme {
  template <class T> T operator()(T a, T b) { return (a < b) == Less ? a : b; }
  f32 operator()(f32 a, f32 b) { return canonical(real(a, b)); }
  f64 operator()(f64 a, f64 b) { return real(a, b); }
  template <class T> T real(T a, T b) {  // a NaN loses; -0 is less than +0
    if (a != a) return b;
    if (b != b) return a;
    if (a == b) return std::signbit(a) == Less ? a : b;
    return (a < b) == Less ? a : b;
  }
};
using Min = Extreme<true>;
using Max = Extreme<false>;
template <class M> struct OrNan {
  f32 operator()(f32 a, f32 b) { return a != a || b != b ? canonical(f32(NAN)) : M{}(a, b); }
  f64 operator()(f64 a, f64 b) { return a != a || b != b ? f64(NAN) : M{}(a, b); }
};
struct And { template <class T> T operator()(T a, T b) { return a & b; } };
struct Or { template <class T> T operator()(T a, T b) { return a | b; } };
struct Xor { template <class T> T operator()(T a, T b) { return a ^ b; } };
struct Not { template <class T> T operator()(T a) { return T(~a); } };
struct Cnot { template <class T> T operator()(T a) { return a == 0; } };
struct Neg {
  template <class T> T operator()(T a) { return T(0 - u64(a)); }
  f32 operator()(f32 a) { return -a; }
  f64 operator()(f64 a) { return -a; }
};
struct Abs {
  template <class T> T operator()(T a) { return a < 0 ? Neg{}(a) : a; }
  f32 operator()(f32 a) { return std::fabs(a); }
  f64 operator()(f64 a) { return std::fabs(a); }
};
struct Copysign { template <class T> T operator()(T a, T b) { return std::copysign(b, a); } };
struct Sqrt { template <class T> T operator()(T a) { return canonical(T(std::sqrt(a))); } };
struct Rcp { template <class T> T operator()(T a) { return canonical(T(1 / a)); } };
struct Rsqrt { template <class T> T operator()(T a) { return canonical(T(1 / std::sqrt(f64(a)))); } };
struct Ex2 { f32 operator()(f32 a) { return canonical(f32(std::exp2(f64(a)))); } };
struct Lg2 { f32 operator()(f32 a) { return canonical(f32(std::log2(f64(a)))); } };
struct Sin { f32 operator()(f32 a) { return canonical(f32(std::sin(f64(a)))); } };
struct Cos { f32 operator()(f32 a) { return canonical(f32(std::cos(f64(a)))); } };
struct Tanh { f32 operator()(f32 a) { return canonical(f32(std::tanh(f64(a)))); } };
struct Same { template <class T> T operator()(T a) { return a; } };
struct Saturated {  // to [0,1]; NaN to +0
  f32 operator()(f32 a) { return a > 0 ? (a < 1 ? a : 1) : 0; }
  f64 operator()(f64 a) { return a > 0 ? (a < 1 ? a : 1) : 0; }
};

// Shift counts beyond the width give 0, or the sign.
template <class T> const Ins* shl(Thread& t, const Ins* i) {
  u32 n = t.r[i->b].get<u32>();
  t.r[i->d].set(n < 8 * sizeof(T) ? T(u64(t.r[i->a].get<T>()) << n) : T(0));
  return i + 1;
}
template <class T> const Ins* shr(Thread& t, const Ins* i) {
  u32 n = std::min<u32>(t.r[i->b].get<u32>(), 8 * sizeof(T));
  T a = t.r[i->a].get<T>();
  bool all = n == 8 * sizeof(T);
  t.r[i->d].set(all ? (std::is_signed<T>::value && a < 0 ? T(-1) : T(0)) : T(a >> n));
  return i + 1;
}
template <bool Left, bool Clamp> const Ins* shf(Thread& t, const Ins* i) {
  u32 n = t.r[i->c].get<u32>();
  n = Clamp ? std::min(n, 32u) : n & 31;
  u64 both = u64(t.r[i->b].get<u32>()) << 32 | t.r[i->a].get<u32>();
  t.r[i->d].set(u32(Left ? both << n >> 32 : both >> n));
  return i + 1;
}
struct Popc { template <class T> u32 operator()(T a) { return __builtin_popcountll(a); } };
struct Clz { template <class T> u32 operator()(T a) { return a ? __builtin_clzll(a) - (64 - 8 * sizeof(T)) : 8 * sizeof(T); } };
struct Brev {
  template <class T> T operator()(T a) {
    T x = 0;
    for (unsigned k = 0; k < 8 * sizeof(T); ++k) x |= (a >> k & 1) << (8 * sizeof(T) - 1 - k);
    return x;
  }
};
template <bool Shift> struct Bfind {
  template <class T> u32 operator()(T a) {
    using U = unsigned_t<T>;
    U x = a < 0 ? U(~a) : U(a);
    if (!x) return ~0u;
    u32 top = 63 - __builtin_clzll(x);
    return Shift ? 8 * sizeof(T) - 1 - top : top;
  }
};
template <class T> const Ins* bfe(Thread& t, const Ins* i) {
  u32 pos = t.r[i->b].get<u32>() & 255, len = t.r[i->c].get<u32>() & 255, msb = 8 * sizeof(T) - 1;
  using U = unsigned_t<T>;
  U a = t.r[i->a].get<U>(), x = 0;
  bool sign = std::is_signed<T>::value && len && (a >> std::min(pos + len - 1, msb) & 1);
  for (u32 k = 0; k <= msb; ++k) x |= U(k < len && pos + k <= msb ? a >> (pos + k) & 1 : sign) << k;
  t.r[i->d].set(T(x));
  return i + 1;
}
template <class T> const Ins* bfi(Thread& t, const Ins* i) {
  T a = t.r[i->a].get<T>(), f = t.r[i->b].get<T>();
  u32 pos = t.r[i->c].get<u32>() & 255, len = t.r[i->v[0]].get<u32>() & 255, bits = 8 * sizeof(T);
  for (u32 k = 0; k < len && pos + k < bits; ++k) f = (f & ~(T(1) << (pos + k))) | ((a >> k & 1) << (pos + k));
  t.r[i->d].set(f);
  return i + 1;
}
const Ins* prmt(Thread& t, const Ins* i) {
  u64 both = u64(t.r[i->b].get<u32>()) << 32 | t.r[i->a].get<u32>();
  u32 select = t.r[i->c].get<u32>(), x = 0;
  for (int k = 0; k < 4; ++k) {
    u32 s = select >> (4 * k) & 15;
    u8 byte = both >> (8 * (s & 7));
    if (s & 8) byte = byte & 128 ? 255 : 0;
    x |= u32(byte) << (8 * k);
  }
  t.r[i->d].set(x);
  return i + 1;
}
const Ins* lop3(Thread& t, const Ins* i) {
  u32 a = t.r[i->a].get<u32>(), b = t.r[i->b].get<u32>(), c = t.r[i->c].get<u32>(), table = t.r[i->v[0]].get<u32>(), x = 0;
  for (int k = 0; k < 32; ++k) x |= (table >> ((a >> k & 1) << 2 | (b >> k & 1) << 1 | (c >> k & 1)) & 1) << k;
  t.r[i->d].set(x);
  return i + 1;
}

// ---- comparison and choice ----

enum class Cmp { Eq, Ne, Lt, Le, Gt, Ge };
template <Cmp C, class T> bool compare(T a, T b) {
  return C == Cmp::Eq ? a == b : C == Cmp::Ne ? a != b : C == Cmp::Lt ? a < b : C == Cmp::Le ? a <= b : C == Cmp::Gt ? a > b : a >= b;
}
// Of a and b: C, ordered; with Unordered also where one is a NaN. != is true of NaNs in C++ and false in PTX unless unordered.
template <Cmp C, bool Unordered> struct Test {
  template <class T> bool operator()(T a, T b) {
    if (a != a || b != b) return Unordered;
    return compare<C>(a, b);
  }
};
struct BothNumbers { template <class T> bool operator()(T a, T b) { return a == a && b == b; } };
struct OneNan { template <class T> bool operator()(T a, T b) { return a != a || b != b; } };
template <class T, class F, int Combine> const Ins* setp(Thread& t, const Ins* i) {  // Combine with c: 0 none, 1 and, 2 or, 3 xor
  bool p = F{}(t.r[i->a].get<T>(), t.r[i->b].get<T>()), q = !p;
  if (Combine) {
    bool c = t.r[i->c].bits & 1;
    p = Combine == 1 ? p & c : Combine == 2 ? p | c : p ^ c;
    q = Combine == 1 ? q & c : Combine == 2 ? q | c : q ^ c;
  }
  t.r[i->d].bits = p;
  t.r[i->v[0]].bits = q;
  return i + 1;
}
template <class T, class F, bool AsFloat> const Ins* set(Thread& t, const Ins* i) {
  bool p = F{}(t.r[i->a].get<T>(), t.r[i->b].get<T>());
  t.r[i->d].bits = p ? (AsFloat ? 0x3f800000u : 0xffffffffu) : 0;
  return i + 1;
}
const Ins* selp(Thread& t, const Ins* i) {
  t.r[i->d] = t.r[i->c].bits & 1 ? t.r[i->a] : t.r[i->b];
  return i + 1;
}
template <class T> const Ins* slct(Thread& t, const Ins* i) {
  t.r[i->d] = t.r[i->c].get<T>() >= 0 ? t.r[i->a] : t.r[i->b];
  return i + 1;
}

// ---- moves and conversions ----

const Ins* mov(Thread& t, const Ins* i) {
  t.r[i->d] = t.r[i->a];
  return i + 1;
}
template <class Part, int N> const Ins* unpack(Thread& t, const Ins* i) {  // one register into several
  u64 x = t.r[i->a].bits;
  for (int k = 0; k < N; ++k) t.r[i->v[k]].set(Part(x >> (8 * sizeof(Part) * k % 64)));
  return i + 1;
}
template <class Part, int N> const Ins* pack(Thread& t, const Ins* i) {
  u64 x = 0;
  for (int k = 0; k < N; ++k) x |= u64(t.r[i->v[k]].get<Part>()) << (8 * sizeof(Part) * k % 64);
  t.r[i->d].bits = x;
  return i + 1;
}
const Ins* addOffset(Thread& t, const Ins* i) {
  t.r[i->d].bits = t.r[i->a].bits + u64(i->imm);
  return i + 1;
}
template <uint64_t Base> const Ins* isSpace(Thread& t, const Ins* i) {
  t.r[i->d].bits = t.r[i->a].bits >= Base && t.r[i->a].bits < Base + 0x010000000000;
  return i + 1;
}
const Ins* isGlobal(Thread& t, const Ins* i) {
  u64 x = t.r[i->a].bits;
  t.r[i->d].bits = x < PARAM_BASE || x >= DEVICE_BASE;
  return i + 1;
}

template <class D, class S> const Ins* intToInt(Thread& t, const Ins* i) {
  t.r[i->d].set(D(t.r[i->a].get<S>()));
  return i + 1;
}
template <class D, class S> const Ins* intToIntSat(Thread& t, const Ins* i) {
  __int128 x = t.r[i->a].get<S>();
  x = std::max<__int128>(x, std::numeric_limits<D>::min());
  t.r[i->d].set(D(std::min<__int128>(x, std::numeric_limits<D>::max())));
  return i + 1;
}
template <class D, class S> const Ins* toFloat(Thread& t, const Ins* i) {  // also between floats; in the processor's rounding mode
  t.r[i->d].set(canonical(D(t.r[i->a].get<S>())));
  return i + 1;
}
enum class Whole { Nearest, Zero, Down, Up };
template <Whole R, class T> T whole(T x) {
  return R == Whole::Nearest ? std::nearbyint(x) : R == Whole::Zero ? std::trunc(x) : R == Whole::Down ? std::floor(x) : std::ceil(x);
}
template <Whole R, class T> const Ins* toWhole(Thread& t, const Ins* i) {
  t.r[i->d].set(canonical(whole<R>(t.r[i->a].get<T>())));
  return i + 1;
}
template <Whole R, class D, class S> const Ins* floatToInt(Thread& t, const Ins* i) {
  S x = t.r[i->a].get<S>();
  D result;
  constexpr D low = std::numeric_limits<D>::min(), high = std::numeric_limits<D>::max();
  if (x != x) {
    result = sizeof(D) < 8 && sizeof(S) < 8 ? D(0) : D(u64(1) << (8 * sizeof(D) - 1));
  } else {
    f64 y = whole<R>(f64(x));
    result = y <= f64(low) ? low : y >= f64(high) ? high : D(y);
  }
  t.r[i->d].set(result);
  return i + 1;
}
const Ins* fromBf16(Thread& t, const Ins* i) {
  t.r[i->d].set(ofBf16(t.r[i->a].bits & 0xffff));
  return i + 1;
}
const Ins* fromF16(Thread& t, const Ins* i) {
  t.r[i->d].set(canonical(ofF16(t.r[i->a].bits & 0xffff)));
  return i + 1;
}
struct ToBf16 { u32 operator()(f32 a) { return toBf16(a); } };
struct ToF16 { u32 operator()(f32 a) { return toF16(a); } };
template <class F> struct Both {  // the first is the upper half
  u32 operator()(f32 a, f32 b) { return F{}(a) << 16 | F{}(b); }
};

// ---- memory ----

enum class Space { Global, Shared, Local, Param, Generic };

template <Space S> u8* locate(Thread& t, const Ins* i, unsigned bytes, bool reads, bool writes, bool atomic = false) {
  u64 a = t.r[i->a].bits + u64(i->imm);
  Worker& w = *t.worker;
  switch (S) {
    case Space::Global: return w.global(i, a, bytes, reads, writes);
    case Space::Shared: return w.sharedAt(t, i, a, bytes, reads, writes, atomic);
    case Space::Local: return w.localAt(t, i, a, bytes, reads, writes);
    case Space::Param: return w.paramAt(t, i, a, bytes);
    case Space::Generic: break;
  }
  if (a < PARAM_BASE || a >= DEVICE_BASE) return w.global(i, a, bytes, reads, writes);
  if (a >= LOCAL_BASE) return w.localAt(t, i, a - LOCAL_BASE, bytes, reads, writes);
  if (a >= SHARED_BASE) return w.sharedAt(t, i, a - SHARED_BASE, bytes, reads, writes, atomic);
  return w.paramAt(t, i, a, bytes);
}
template <Space S, class T, int N> const Ins* load(Thread& t, const Ins* i) {
  const u8* p = locate<S>(t, i, sizeof(T) * N, true, false);
  for (int k = 0; k < N; ++k) {
    T x;
    std::memcpy(&x, p + k * sizeof(T), sizeof(T));
    t.r[i->v[k]].set(x);
  }
  return i + 1;
}
template <Space S, class T, int N> const Ins* store(Thread& t, const Ins* i) {
  u8* p = locate<S>(t, i, sizeof(T) * N, false, true);
  for (int k = 0; k < N; ++k) {
    T x = t.r[i->v[k]].get<T>();
    std::memcpy(p + k * sizeof(T), &x, sizeof(T));
  }
  return i + 1;
}
struct Exch { template <class T> T operator()(T, T b) { return b; } };
struct Inc { u32 operator()(u32 a, u32 b) { return a >= b ? 0 : a + 1; } };
struct Dec { u32 operator()(u32 a, u32 b) { return a == 0 || a > b ? b : a - 1; } };
template <class T> using raw_t = std::conditional_t<sizeof(T) == 8, u64, u32>;
template <Space S, class T, class F> const Ins* atom(Thread& t, const Ins* i) {
  auto* p = reinterpret_cast<raw_t<T>*>(locate<S>(t, i, sizeof(T), true, true, true));
  raw_t<T> old = __atomic_load_n(p, __ATOMIC_SEQ_CST), replacement;
  do {
    T x;
    std::memcpy(&x, &old, sizeof(T));
    T y = F{}(x, t.r[i->b].get<T>());
    std::memcpy(&replacement, &y, sizeof(T));
  } while (!__atomic_compare_exchange_n(p, &old, replacement, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST));
  t.r[i->d].bits = std::is_signed<T>::value && std::is_integral<T>::value ? u64(s64(T(old))) : u64(old);
  return i + 1;
}
template <Space S, class T> const Ins* cas(Thread& t, const Ins* i) {
  T* p = reinterpret_cast<T*>(locate<S>(t, i, sizeof(T), true, true, true));
  T expected = t.r[i->b].get<T>();
  __atomic_compare_exchange_n(p, &expected, t.r[i->c].get<T>(), false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
  t.r[i->d].set(expected);
  return i + 1;
}

// ---- control ----

const Ins* nothing(Thread&, const Ins* i) { return i + 1; }
const Ins* go(Thread& t, const Ins* i, s64 distance) {
  if (distance <= 0 && --t.backwards < 0)
    throw Fault{TIMEOUT, "endless loop, or a wait for a thread or block that does not run at the same time", i};
  return i + distance;
}
const Ins* doBranch(Thread& t, const Ins* i) { return go(t, i, i->imm); }
const Ins* doBranchIf(Thread& t, const Ins* i) { return t.r[i->a].bits & 1 ? doBranch(t, i) : i + 1; }
const Ins* doBranchUnless(Thread& t, const Ins* i) { return t.r[i->a].bits & 1 ? i + 1 : doBranch(t, i); }
const Ins* doSkipIf(Thread& t, const Ins* i) { return t.r[i->a].bits & 1 ? i + i->imm : i + 1; }
const Ins* doSkipUnless(Thread& t, const Ins* i) { return t.r[i->a].bits & 1 ? i + 1 : i + i->imm; }
const Ins* doNegate(Thread& t, const Ins* i) {
  t.r[i->d].bits = ~t.r[i->a].bits & 1;
  return i + 1;
}
const Ins* doSetMode(Thread&, const Ins* i) {
  _mm_setcsr(u32(i->imm));
  return i + 1;
}
const Ins* doJump(Thread& t, const Ins* i) {
  auto& table = t.frames.back().function->jumps[i->imm];
  u32 k = t.r[i->a].get<u32>();
  if (k >= table.size()) throw Fault{LAUNCH_FAILED, "brx.idx beyond its table", i};
  return go(t, i, table[k] - s64(i->index));
}
const Ins* doCall(Thread& t, const Ins* i) {
  const Call& c = t.frames.back().function->calls[i->imm];
  size_t from = t.frames.back().params;
  if (t.frames.size() > 1000) throw Fault{LAUNCH_FAILED, "calls nested too deep", i};
  t.enter(c.callee, i + 1);
  for (size_t k = 0; k < c.arguments.size(); ++k)
    std::memcpy(&t.params[t.frames.back().params + c.callee->params[k].offset], &t.params[from + c.arguments[k].offset],
                std::min(c.arguments[k].size, c.callee->params[k].size));
  return c.callee->code.data();
}
const Ins* exitThread(Thread& t, const Ins*) {
  t.state = State::Done;
  return nullptr;
}
const Ins* doReturn(Thread& t, const Ins* i) {
  if (t.frames.size() == 1) return exitThread(t, i);
  auto frame = t.frames.back();
  t.frames.pop_back();
  auto& caller = t.frames.back();
  const Ins* site = frame.back - 1;
  const Call& c = caller.function->calls[site->imm];
  for (size_t k = 0; k < c.results.size(); ++k)
    std::memcpy(&t.params[caller.params + c.results[k].offset], &t.params[frame.params + frame.function->results[k].offset],
                std::min(c.results[k].size, frame.function->results[k].size));
  t.params.resize(frame.params);
  t.local.resize(frame.local);
  t.localWritten.resize(frame.local);
  t.r = t.slots.data() + caller.slots;
  t.worker->use(caller.function);
  return frame.back;
}
const Ins* trap(Thread&, const Ins* i) { throw Fault{LAUNCH_FAILED, "trap", i}; }

// Barriers and warp operations only stop the thread; the interpreter goes on when all are there.
template <bool Aligned> const Ins* barrier(Thread& t, const Ins* i) {
  t.next = i;
  t.state = State::AtBarrier;
  return nullptr;
}
enum class Vote { Popc, And, Or, All, Any, Uni, Ballot };
template <Vote V> const Ins* barrierReduce(Thread& t, const Ins* i) { return barrier<true>(t, i); }
const Ins* stopWarp(Thread& t, const Ins* i) {
  t.next = i;
  t.state = State::AtWarp;
  return nullptr;
}
enum class Shuffle { Up, Down, Butterfly, Index };
template <Shuffle S> const Ins* shfl(Thread& t, const Ins* i) { return stopWarp(t, i); }
template <Vote V> const Ins* vote(Thread& t, const Ins* i) { return stopWarp(t, i); }
template <class T, bool All> const Ins* match(Thread& t, const Ins* i) { return stopWarp(t, i); }
template <class T, class F> const Ins* redux(Thread& t, const Ins* i) { return stopWarp(t, i); }
const Ins* warpSync(Thread& t, const Ins* i) { return stopWarp(t, i); }
const Ins* activemask(Thread& t, const Ins* i) {  // threads run one by one: a warp of one
  t.r[i->d].set(u32(1u << t.lane()));
  return i + 1;
}

template <Shuffle S> void runShuffle(Lanes& lanes, const Ins* i) {
  u32 result[32];
  bool valid[32];
  for (int l = 0; l < 32; ++l) {
    if (!lanes.lane[l]) continue;
    Thread& t = *lanes.lane[l];
    s32 b = t.r[i->b].get<u32>() & 31;
    u32 c = t.r[i->c].get<u32>();
    s32 clamp = c & 31, segment = c >> 8 & 31, high = (l & segment) | (clamp & ~segment), low = l & segment;
    s32 j = S == Shuffle::Up ? l - b : S == Shuffle::Down ? l + b : S == Shuffle::Butterfly ? l ^ b : low | (b & ~segment);
    valid[l] = S == Shuffle::Up ? j >= high : j <= high;
    if (!valid[l]) j = l;
    if (!lanes.lane[j])
      throw Fault{LAUNCH_FAILED, "shuffle of lane " + std::to_string(l) + " reads lane " + std::to_string(j) + ", which takes no part", i};
    result[l] = lanes.lane[j]->r[i->a].get<u32>();
  }
  for (int l = 0; l < 32; ++l)
    if (lanes.lane[l]) {
      lanes.lane[l]->r[i->d].set(result[l]);
      lanes.lane[l]->r[i->v[0]].bits = valid[l];
    }
}
template <Vote V> void runVote(Lanes& lanes, const Ins* i) {
  u32 yes = 0, present = 0;
  for (int l = 0; l < 32; ++l)
    if (lanes.lane[l]) {
      present |= 1u << l;
      if (lanes.lane[l]->r[i->a].bits & 1) yes |= 1u << l;
    }
  u32 result = V == Vote::Ballot ? yes : V == Vote::All ? yes == present : V == Vote::Any ? yes != 0 : yes == 0 || yes == present;
  for (auto* t : lanes.lane)
    if (t) t->r[i->d].set(result);
}
template <class T, bool All> void runMatch(Lanes& lanes, const Ins* i) {
  u32 result[32] = {};
  bool same = true;
  Thread* first = nullptr;
  for (int l = 0; l < 32; ++l)
    for (int j = 0; lanes.lane[l] && j < 32; ++j)
      if (lanes.lane[j]) {
        if (!first) first = lanes.lane[l];
        same &= lanes.lane[j]->r[i->a].get<T>() == first->r[i->a].get<T>();
        if (lanes.lane[l]->r[i->a].get<T>() == lanes.lane[j]->r[i->a].get<T>()) result[l] |= 1u << j;
      }
  for (int l = 0; l < 32; ++l)
    if (lanes.lane[l]) {
      lanes.lane[l]->r[i->d].set(All && !same ? 0u : result[l]);
      lanes.lane[l]->r[i->v[0]].bits = same;
    }
}
template <class T, class F> void runRedux(Lanes& lanes, const Ins* i) {
  bool any = false;
  T sum{};
  for (auto* t : lanes.lane)
    if (t) {
      T x = t->r[i->a].get<T>();
      sum = any ? F{}(sum, x) : x;
      any = true;
    }
  for (auto* t : lanes.lane)
    if (t) t->r[i->d].set(sum);
}

// How each warp operation runs, once all its lanes are there. Its mask is in slot v[1].
using WarpRunner = void (*)(Lanes&, const Ins*);
void runNothing(Lanes&, const Ins*) {}
const std::map<Handler, WarpRunner> warpRunners = {
    {shfl<Shuffle::Up>, runShuffle<Shuffle::Up>},
    {shfl<Shuffle::Down>, runShuffle<Shuffle::Down>},
    {shfl<Shuffle::Butterfly>, runShuffle<Shuffle::Butterfly>},
    {shfl<Shuffle::Index>, runShuffle<Shuffle::Index>},
    {vote<Vote::All>, runVote<Vote::All>},
    {vote<Vote::Any>, runVote<Vote::Any>},
    {vote<Vote::Uni>, runVote<Vote::Uni>},
    {vote<Vote::Ballot>, runVote<Vote::Ballot>},
    {match<u32, false>, runMatch<u32, false>},
    {match<u64, false>, runMatch<u64, false>},
    {match<u32, true>, runMatch<u32, true>},
    {match<u64, true>, runMatch<u64, true>},
    {redux<u32, Add>, runRedux<u32, Add>},
    {redux<u32, Min>, runRedux<u32, Min>},
    {redux<u32, Max>, runRedux<u32, Max>},
    {redux<s32, Min>, runRedux<s32, Min>},
    {redux<s32, Max>, runRedux<s32, Max>},
    {redux<u32, And>, runRedux<u32, And>},
    {redux<u32, Or>, runRedux<u32, Or>},
    {redux<u32, Xor>, runRedux<u32, Xor>},
    {warpSync, runNothing},
};

}  // namespace

const Handler branch = doBranch, branchIf = doBranchIf, branchUnless = doBranchUnless, skipIf = doSkipIf, skipUnless = doSkipUnless,
              negate = doNegate, setMode = doSetMode, jump = doJump, call = doCall, ret = doReturn;


uint32_t warpMask(const Thread& t, const Ins* i) { return t.r[i->v[1]].get<u32>(); }

void runWarpOperation(Worker& w, Lanes& lanes, const Ins* i) {
  warpRunners.at(i->run)(lanes, i);
  if (i->run == warpSync) ++w.warpEpoch[lanes.warp];  // only this one orders memory
}

bool isAligned(const Ins* i) { return i->run != barrier<false>; }

void finishBarrier(Worker& w, const Ins* i) {
  bool popc = i->run == barrierReduce<Vote::Popc>, all = i->run == barrierReduce<Vote::And>, any = i->run == barrierReduce<Vote::Or>;
  if (!popc && !all && !any) return;
  u32 n = 0;
  for (u32 k = 0; k < w.count; ++k) n += w.threads[k].r[i->a].bits & 1;
  for (u32 k = 0; k < w.count; ++k) w.threads[k].r[i->d].set(popc ? n : all ? u32(n == w.count) : u32(n > 0));
}

// ---- the table ----

bool Decoder::has(const std::string& modifier) {
  for (size_t k = 1; k < parts.size(); ++k)
    if (!used[k] && parts[k] == modifier) return used[k] = true;
  return false;
}

namespace {

// Calls v with a value of the C++ type a PTX type means, and takes the handler it gives.
template <class V> Handler integers(const std::string& type, V v) {
  if (type == "u16" || type == "b16") return v(u16{});
  if (type == "s16") return v(s16{});
  if (type == "u32" || type == "b32") return v(u32{});
  if (type == "s32") return v(s32{});
  if (type == "u64" || type == "b64") return v(u64{});
  if (type == "s64") return v(s64{});
  return nullptr;
}
template <class V> Handler floats(const std::string& type, V v) {
  if (type == "f32") return v(f32{});
  if (type == "f64") return v(f64{});
  return nullptr;
}
template <class V> Handler numbers(const std::string& type, V v) {
  Handler h = integers(type, v);
  return h ? h : floats(type, v);
}
template <class V> Handler words(const std::string& type, V v) {  // 32 or 64 bits
  if (type == "u32" || type == "b32") return v(u32{});
  if (type == "s32") return v(s32{});
  if (type == "u64" || type == "b64") return v(u64{});
  if (type == "s64") return v(s64{});
  return nullptr;
}
template <class V> Handler memoryTypes(const std::string& type, V v) {
  if (type == "u8" || type == "b8") return v(u8{});
  if (type == "s8") return v(s8{});
  if (type == "f32") return v(u32{});
  if (type == "f64") return v(u64{});
  if (type == "bf16" || type == "f16") return v(u16{});
  return integers(type, v);
}
#define TYPE(x) std::decay_t<decltype(x)>
template <class F> Handler two_(const std::string& type) {
  return numbers(type, [](auto x) -> Handler { return two<TYPE(x), F>; });
}
template <class F> Handler twoInts(const std::string& type) {
  return integers(type, [](auto x) -> Handler { return two<TYPE(x), F>; });
}
template <class F> Handler oneFloat(const std::string& type) {
  return floats(type, [](auto x) -> Handler { return one<TYPE(x), F>; });
}
template <class F> Handler twoFloats(const std::string& type) {
  return floats(type, [](auto x) -> Handler { return two<TYPE(x), F>; });
}
bool isFloat(const std::string& type) { return type == "f32" || type == "f64"; }
template <class F> Handler bits(const std::string& type) {
  if (type == "pred") return two<u8, F>;
  return type[0] == 'b' ? twoInts<F>(type) : nullptr;
}

// MXCSR: all exceptions masked, a rounding mode, flush of subnormal results and operands.
constexpr int NEAREST = 0x1f80, FTZ = 0x8040;

// Rounding and flushing are the processor's, set around the instruction.
void rounding(Decoder& d) {
  int mode = d.has("rz") ? 0x6000 : d.has("rm") ? 0x2000 : d.has("rp") ? 0x4000 : 0;
  d.has("rn");
  if (d.has("ftz")) mode |= FTZ;
  if (mode) d.round = NEAREST | mode;
}

template <class F> Handler setpWith(const std::string& type, int combine) {
  return numbers(type, [&](auto x) -> Handler {
    using T = TYPE(x);
    return combine == 0 ? setp<T, F, 0> : combine == 1 ? setp<T, F, 1> : combine == 2 ? setp<T, F, 2> : setp<T, F, 3>;
  });
}
template <class F> Handler setWith(const std::string& type, bool asFloat) {
  return numbers(type, [&](auto x) -> Handler { return asFloat ? set<TYPE(x), F, true> : set<TYPE(x), F, false>; });
}
// The comparison a modifier names, given to v as a functor.
template <class V> Handler comparison(Decoder& d, const std::string& type, V v) {
  bool f = isFloat(type), s = type[0] == 's' || f;
  if (d.has("eq")) return v(Test<Cmp::Eq, false>{});
  if (d.has("ne")) return v(Test<Cmp::Ne, false>{});
  if (s || type[0] == 'u' || type[0] == 'b') {
    if (d.has("lt")) return v(Test<Cmp::Lt, false>{});
    if (d.has("le")) return v(Test<Cmp::Le, false>{});
    if (d.has("gt")) return v(Test<Cmp::Gt, false>{});
    if (d.has("ge")) return v(Test<Cmp::Ge, false>{});
  }
  if (!s) {
    if (d.has("lo")) return v(Test<Cmp::Lt, false>{});
    if (d.has("ls")) return v(Test<Cmp::Le, false>{});
    if (d.has("hi")) return v(Test<Cmp::Gt, false>{});
    if (d.has("hs")) return v(Test<Cmp::Ge, false>{});
  }
  if (f) {
    if (d.has("equ")) return v(Test<Cmp::Eq, true>{});
    if (d.has("neu")) return v(Test<Cmp::Ne, true>{});
    if (d.has("ltu")) return v(Test<Cmp::Lt, true>{});
    if (d.has("leu")) return v(Test<Cmp::Le, true>{});
    if (d.has("gtu")) return v(Test<Cmp::Gt, true>{});
    if (d.has("geu")) return v(Test<Cmp::Ge, true>{});
    if (d.has("num")) return v(BothNumbers{});
    if (d.has("nan")) return v(OneNan{});
  }
  return nullptr;
}

Space space(Decoder& d) {
  if (d.has("global") || d.has("const")) return Space::Global;
  if (d.has("shared") || d.has("shared::cta")) return Space::Shared;
  if (d.has("local")) return Space::Local;
  if (d.has("param") || d.has("param::entry") || d.has("param::func")) return Space::Param;
  return Space::Generic;
}
template <template <Space> class Make> Handler inSpace(Space s, const std::string& type, int n) {
  switch (s) {
    case Space::Global: return Make<Space::Global>::handler(type, n);
    case Space::Shared: return Make<Space::Shared>::handler(type, n);
    case Space::Local: return Make<Space::Local>::handler(type, n);
    case Space::Param: return Make<Space::Param>::handler(type, n);
    default: return Make<Space::Generic>::handler(type, n);
  }
}
template <Space S> struct Load {
  static Handler handler(const std::string& type, int n) {
    return memoryTypes(type, [n](auto x) -> Handler {
      using T = TYPE(x);
      if (n == 1) return load<S, T, 1>;
      if (n == 2) return load<S, T, 2>;
      return sizeof(T) * 4 <= 16 ? load<S, T, 4> : Handler(nullptr);
    });
  }
};
template <Space S> struct Store {
  static Handler handler(const std::string& type, int n) {
    return memoryTypes(type, [n](auto x) -> Handler {
      using T = TYPE(x);
      if (n == 1) return store<S, T, 1>;
      if (n == 2) return store<S, T, 2>;
      return sizeof(T) * 4 <= 16 ? store<S, T, 4> : Handler(nullptr);
    });
  }
};
enum Atomic { A_ADD, A_MIN, A_MAX, A_AND, A_OR, A_XOR, A_EXCH, A_CAS, A_INC, A_DEC };
template <Space S> struct Atom {
  static Handler handler(const std::string& type, int n) {
    if (n == A_ADD && type == "f32") return atom<S, f32, Add>;
    if (n == A_ADD && type == "f64") return atom<S, f64, Add>;
    if (n == A_INC) return type == "u32" ? atom<S, u32, Inc> : Handler(nullptr);
    if (n == A_DEC) return type == "u32" ? atom<S, u32, Dec> : Handler(nullptr);
    return words(type, [n](auto x) -> Handler {
      using T = TYPE(x);
      switch (n) {
        case A_ADD: return atom<S, T, Add>;
        case A_MIN: return atom<S, T, Min>;
        case A_MAX: return atom<S, T, Max>;
        case A_AND: return atom<S, T, And>;
        case A_OR: return atom<S, T, Or>;
        case A_XOR: return atom<S, T, Xor>;
        case A_EXCH: return atom<S, T, Exch>;
        case A_CAS: return cas<S, raw_t<T>>;
        default: return nullptr;
      }
    });
  }
};
// Words that change nothing here: memory is sequentially consistent and has no caches.
void memoryHints(Decoder& d) {
  for (const char* m : {"volatile", "weak", "relaxed", "acquire", "release", "acq_rel", "sc", "mmio", "cta", "cluster", "gpu", "sys", "nc", "ca",
                        "cg", "cs", "cv", "lu", "wb", "wt", "L1::evict_normal", "L1::evict_unchanged", "L1::evict_first", "L1::evict_last",
                        "L1::no_allocate", "L2::64B", "L2::128B", "L2::256B", "L2::evict_first", "L2::evict_last", "L2::evict_normal", "noftz"})
    d.has(m);
}

Handler convert(Decoder& d, const std::string& to, const std::string& from) {
  bool sat = d.has("sat"), ftz = d.has("ftz");
  bool toF = isFloat(to), fromF = isFloat(from);
  Whole r = Whole::Nearest;
  bool whole = true;
  if (d.has("rni")) r = Whole::Nearest;
  else if (d.has("rzi")) r = Whole::Zero;
  else if (d.has("rmi")) r = Whole::Down;
  else if (d.has("rpi")) r = Whole::Up;
  else whole = false;
  if (!whole) rounding(d);
  if (ftz) d.round = (d.round ? d.round : NEAREST) | FTZ;
  if (from == "f32" && !d.round) {
    if (to == "bf16") return one<f32, ToBf16>;
    if (to == "f16") return one<f32, ToF16>;
    if (to == "bf16x2") return two<f32, Both<ToBf16>>;
    if (to == "f16x2") return two<f32, Both<ToF16>>;
  }
  if (to == "f32" && from == "bf16") return fromBf16;
  if (to == "f32" && from == "f16") return fromF16;
  auto anyInt = [](const std::string& type, auto v) -> Handler {
    if (type == "u8" || type == "b8") return v(u8{});
    if (type == "s8") return v(s8{});
    return integers(type, v);
  };
  if (toF && fromF) {
    if (sat) return to == from && !whole ? oneFloat<Saturated>(to) : nullptr;
    if (whole) {
      if (to != from) return nullptr;
      return floats(to, [r](auto x) -> Handler {
        using T = TYPE(x);
        return r == Whole::Nearest ? toWhole<Whole::Nearest, T> : r == Whole::Zero ? toWhole<Whole::Zero, T>
             : r == Whole::Down ? toWhole<Whole::Down, T> : toWhole<Whole::Up, T>;
      });
    }
    return floats(to, [&](auto x) { return floats(from, [](auto y) -> Handler { return toFloat<TYPE(x), TYPE(y)>; }); });
  }
  if (toF) {
    if (sat || whole) return nullptr;
    return floats(to, [&](auto x) { return anyInt(from, [](auto y) -> Handler { return toFloat<TYPE(x), TYPE(y)>; }); });
  }
  if (fromF) {
    if (!whole) return nullptr;
    return anyInt(to, [&](auto x) {
      return floats(from, [r](auto y) -> Handler {
        using D = TYPE(x);
        using S = TYPE(y);
        return r == Whole::Nearest ? floatToInt<Whole::Nearest, D, S> : r == Whole::Zero ? floatToInt<Whole::Zero, D, S>
             : r == Whole::Down ? floatToInt<Whole::Down, D, S> : floatToInt<Whole::Up, D, S>;
      });
    });
  }
  return anyInt(to, [&](auto x) {
    return anyInt(from, [sat](auto y) -> Handler { return sat ? intToIntSat<TYPE(x), TYPE(y)> : intToInt<TYPE(x), TYPE(y)>; });
  });
}

// The slot of a register or a number, and nothing more.
int plain(const Operand& o) {
  if (o.form != Operand::Plain || o.offset || o.second >= 0) throw PtxError("an operand it does not know");
  return o.slot;
}
// Puts plain operands into d, a, b, c in order.
void place(Decoder& d) {
  int* slots[] = {&d.ins.d, &d.ins.a, &d.ins.b, &d.ins.c, &d.ins.v[0]};
  if (d.operands.size() > 5) throw PtxError("another number of operands");
  for (size_t k = 0; k < d.operands.size(); ++k) *slots[k] = plain(d.operands[k]);
}
void address(Decoder& d, size_t k) {
  if (d.operands[k].form != Operand::Memory) throw PtxError("no address");
  d.ins.a = d.operands[k].slot;
  d.ins.imm = d.operands[k].offset;
}
// A result that may be two: d|p.
void results(Decoder& d) {
  Operand o = d.operands[0];
  d.ins.v[0] = o.second;
  o.second = -1;
  d.ins.d = plain(o);
}

Handler select(Decoder& d, const std::string& op, const std::string& type) {
  size_t n = d.operands.size();
  auto arity = [&](size_t k) { if (n != k) throw PtxError("another number of operands"); };
  auto slot = [&](size_t k) { return plain(d.operands[k]); };

  if (op == "ld" || op == "ldu" || op == "st") {
    bool ld = op != "st";
    if (n == 3) throw PtxError("a cache policy");
    arity(2);
    Space s = space(d);
    memoryHints(d);
    int count = d.has("v2") ? 2 : d.has("v4") ? 4 : 1;
    const Operand& value = d.operands[ld ? 0 : 1];
    address(d, ld ? 1 : 0);
    if (count == 1) d.ins.v[0] = plain(value);
    else {
      if (int(value.items.size()) != count) throw PtxError("a vector of another length");
      for (int k = 0; k < count; ++k) d.ins.v[k] = plain(value.items[k]);
    }
    return ld ? inSpace<Load>(s, type, count) : inSpace<Store>(s, type, count);
  }
  if (op == "atom" || op == "red") {
    Space s = space(d);
    memoryHints(d);
    int k = -1, code = 0;
    for (const char* name : {"add", "min", "max", "and", "or", "xor", "exch", "cas", "inc", "dec"}) {
      if (d.has(name)) k = code;
      ++code;
    }
    bool result = op == "atom";
    arity(size_t(2 + result + (k == A_CAS)));
    address(d, result);
    if (result) d.ins.d = slot(0);
    d.ins.b = slot(1 + result);
    if (k == A_CAS) d.ins.c = slot(2 + result);
    return inSpace<Atom>(s, type, k);
  }
  if (op == "prefetch" || op == "prefetchu") {
    arity(1);
    address(d, 0);
    for (const char* m : {"global", "local", "L1", "L2", "L2::evict_last", "L2::evict_normal"}) d.has(m);
    return nothing;
  }
  if (op == "membar" || op == "fence") {
    arity(0);
    memoryHints(d);
    for (const char* m : {"gl", "cta", "sys", "sc", "acq_rel", "proxy", "alias"}) d.has(m);
    return nothing;
  }
  if (op == "bar" || op == "barrier") {
    d.has("cta");
    bool aligned = op == "bar" || d.has("aligned");
    if (d.has("warp") && d.has("sync")) {
      arity(1);
      d.waits = true;
      d.ins.v[1] = slot(0);
      return warpSync;
    }
    d.waits = true;
    if (d.has("sync")) {
      if (n != 1) throw PtxError("a barrier of some of the threads");
      d.ins.b = slot(0);
      return aligned ? barrier<true> : barrier<false>;
    }
    if (d.has("red")) {
      arity(3);
      d.ins.d = slot(0);
      d.ins.b = slot(1);
      d.ins.a = slot(2);
      return d.has("popc") ? barrierReduce<Vote::Popc> : d.has("and") ? barrierReduce<Vote::And> : d.has("or") ? barrierReduce<Vote::Or> : nullptr;
    }
    return nullptr;
  }
  if (op == "shfl" && d.has("sync")) {
    arity(5);
    d.waits = true;
    results(d);
    d.ins.a = slot(1);
    d.ins.b = slot(2);
    d.ins.c = slot(3);
    d.ins.v[1] = slot(4);
    if (type != "b32") return nullptr;
    return d.has("up") ? shfl<Shuffle::Up> : d.has("down") ? shfl<Shuffle::Down> : d.has("bfly") ? shfl<Shuffle::Butterfly>
         : d.has("idx") ? shfl<Shuffle::Index> : nullptr;
  }
  if ((op == "vote" || op == "match" || op == "redux") && d.has("sync")) {
    arity(3);
    d.waits = true;
    results(d);
    d.ins.a = slot(1);
    d.ins.v[1] = slot(2);
    if (op == "vote")
      return d.has("all") ? vote<Vote::All> : d.has("any") ? vote<Vote::Any> : d.has("uni") ? vote<Vote::Uni> : d.has("ballot") ? vote<Vote::Ballot> : nullptr;
    if (op == "match") {
      bool all = d.has("all");
      if (!all && !d.has("any")) return nullptr;
      return type == "b32" ? (all ? match<u32, true> : match<u32, false>) : type == "b64" ? (all ? match<u64, true> : match<u64, false>) : nullptr;
    }
    bool s = type == "s32";
    if (d.has("add")) return redux<u32, Add>;
    if (d.has("min")) return s ? redux<s32, Min> : redux<u32, Min>;
    if (d.has("max")) return s ? redux<s32, Max> : redux<u32, Max>;
    if (d.has("and")) return redux<u32, And>;
    if (d.has("or")) return redux<u32, Or>;
    if (d.has("xor")) return redux<u32, Xor>;
    return nullptr;
  }
  auto withOffset = [&](Decoder& d) {  // its second operand: a name, perhaps with an offset behind it
    Operand from = d.operands[1];
    d.ins.imm = from.offset;
    from.offset = 0;
    d.ins.a = plain(from);
    return d.ins.imm != 0;
  };
  if (op == "mov") {
    arity(2);
    const Operand &to = d.operands[0], &from = d.operands[1];
    if (to.form == Operand::Vector || from.form == Operand::Vector) {
      bool un = to.form == Operand::Vector;
      auto& items = un ? to.items : from.items;
      for (size_t k = 0; k < items.size() && k < 4; ++k) d.ins.v[k] = plain(items[k]);
      if (un) d.ins.a = slot(1);
      else d.ins.d = slot(0);
      if (type == "b64" && items.size() == 2) return un ? unpack<u32, 2> : pack<u32, 2>;
      if (type == "b64" && items.size() == 4) return un ? unpack<u16, 4> : pack<u16, 4>;
      if (type == "b32" && items.size() == 2) return un ? unpack<u16, 2> : pack<u16, 2>;
      if (type == "b32" && items.size() == 4) return un ? unpack<u8, 4> : pack<u8, 4>;
      if (type == "b16" && items.size() == 2) return un ? unpack<u8, 2> : pack<u8, 2>;
      return nullptr;
    }
    d.ins.d = slot(0);
    return withOffset(d) ? addOffset : mov;
  }
  if (op == "cvta") {
    arity(2);
    bool to = d.has("to");
    Space s = space(d);
    d.ins.d = slot(0);
    withOffset(d);
    u64 base = s == Space::Shared ? SHARED_BASE : s == Space::Local ? LOCAL_BASE : 0;
    d.ins.imm = s64(u64(d.ins.imm) + (to ? 0 - base : base));
    return type == "u64" ? addOffset : nullptr;
  }
  if (op == "isspacep") {
    arity(2);
    place(d);
    return d.has("global") ? isGlobal : d.has("shared") ? isSpace<SHARED_BASE> : d.has("local") ? isSpace<LOCAL_BASE> : nullptr;
  }
  if (op == "setp") {
    if (n != 3 && n != 4) arity(3);
    results(d);
    d.ins.a = slot(1);
    d.ins.b = slot(2);
    if (n == 4) d.ins.c = slot(3);
    if (d.has("ftz")) d.round = NEAREST | FTZ;
    int combine = d.has("and") ? 1 : d.has("or") ? 2 : d.has("xor") ? 3 : 0;
    if ((combine != 0) != (n == 4)) return nullptr;
    return comparison(d, type, [&](auto f) { return setpWith<TYPE(f)>(type, combine); });
  }
  if (op == "set") {
    arity(3);
    place(d);
    if (d.has("ftz")) d.round = NEAREST | FTZ;
    bool asFloat = d.has("f32");
    if (!asFloat && !d.has("u32") && !d.has("s32")) return nullptr;
    return comparison(d, type, [&](auto f) { return setWith<TYPE(f)>(type, asFloat); });
  }
  if (op == "cvt") {
    place(d);
    size_t k = d.parts.size() - 2;  // cvt….to.from
    if (d.parts.size() < 3 || d.used[k]) return nullptr;
    arity(d.parts[k].find("x2") == std::string::npos ? 2 : 3);
    d.used[k] = true;
    return convert(d, d.parts[k], type);
  }

  place(d);
  if (op == "selp") { arity(4); return selp; }
  if (op == "slct") {
    arity(4);
    if (d.parts.size() < 3) return nullptr;
    std::string to = d.parts[d.parts.size() - 2];
    d.has(to);
    return type == "s32" ? slct<s32> : type == "f32" ? slct<f32> : nullptr;
  }
  if (op == "add" || op == "sub" || op == "mul" || op == "div" || op == "min" || op == "max" || op == "rem") {
    arity(3);
    if (op == "mul" && !isFloat(type)) {
      if (d.has("lo")) return twoInts<Mul>(type);
      if (d.has("hi")) return twoInts<MulHi>(type);
      if (d.has("wide")) return type == "u16" ? two<u16, MulWide> : type == "s16" ? two<s16, MulWide> : type == "u32" ? two<u32, MulWide>
                              : type == "s32" ? two<s32, MulWide> : nullptr;
      return nullptr;
    }
    if (isFloat(type) && op != "min" && op != "max") {
      rounding(d);
      if (op == "div" && !d.has("approx")) d.has("full");
    }
    if (d.has("NaN")) return op == "min" ? twoFloats<OrNan<Min>>(type) : twoFloats<OrNan<Max>>(type);
    if (op == "add") return two_<Add>(type);
    if (op == "sub") return two_<Sub>(type);
    if (op == "mul") return two_<Mul>(type);
    if (op == "div") return two_<Div>(type);
    if (op == "rem") return twoInts<Rem>(type);
    return op == "min" ? two_<Min>(type) : two_<Max>(type);
  }
  if (op == "mul24" || op == "and" || op == "or" || op == "xor" || op == "shl" || op == "shr" || op == "copysign") arity(3);
  for (const char* unary : {"not", "cnot", "neg", "abs", "popc", "clz", "brev", "bfind", "sqrt", "rcp", "rsqrt", "ex2", "lg2", "sin", "cos", "tanh"})
    if (op == unary) arity(2);
  if (op == "activemask") arity(1);
  if (op == "mul24" && d.has("lo")) return type == "s32" ? two<s32, Mul24> : type == "u32" ? two<u32, Mul24> : nullptr;
  if (op == "mad" && !isFloat(type)) {
    arity(4);
    if (d.has("lo")) return integers(type, [](auto x) -> Handler { return three<TYPE(x), Mad>; });
    if (d.has("hi")) return integers(type, [](auto x) -> Handler { return three<TYPE(x), MadHi>; });
    if (d.has("wide")) return type == "u16" ? madWide<u16> : type == "s16" ? madWide<s16> : type == "u32" ? madWide<u32>
                            : type == "s32" ? madWide<s32> : nullptr;
    return nullptr;
  }
  if (op == "fma" || op == "mad") {
    arity(4);
    rounding(d);
    return floats(type, [](auto x) -> Handler { return three<TYPE(x), Fma>; });
  }
  if (op == "and") return bits<And>(type);
  if (op == "or") return bits<Or>(type);
  if (op == "xor") return bits<Xor>(type);
  if (op == "not") return type == "pred" ? negate : integers(type, [](auto x) -> Handler { return one<TYPE(x), Not>; });
  if (op == "cnot") return integers(type, [](auto x) -> Handler { return one<TYPE(x), Cnot>; });
  if (op == "neg") return numbers(type, [](auto x) -> Handler { return one<TYPE(x), Neg>; });
  if (op == "abs") return numbers(type, [](auto x) -> Handler { return one<TYPE(x), Abs>; });
  if (op == "shl") return integers(type, [](auto x) -> Handler { return shl<TYPE(x)>; });
  if (op == "shr") return integers(type, [](auto x) -> Handler { return shr<TYPE(x)>; });
  if (op == "shf" && type == "b32") {
    arity(4);
    bool left = d.has("l"), clamp = d.has("clamp");
    if (!left && !d.has("r")) return nullptr;
    if (!clamp && !d.has("wrap")) return nullptr;
    return left ? (clamp ? shf<true, true> : shf<true, false>) : (clamp ? shf<false, true> : shf<false, false>);
  }
  if (op == "popc") return type == "b32" ? one<u32, Popc> : type == "b64" ? one<u64, Popc> : nullptr;
  if (op == "clz") return type == "b32" ? one<u32, Clz> : type == "b64" ? one<u64, Clz> : nullptr;
  if (op == "brev") return type == "b32" ? one<u32, Brev> : type == "b64" ? one<u64, Brev> : nullptr;
  if (op == "bfind") {
    bool shift = d.has("shiftamt");
    return words(type, [shift](auto x) -> Handler { return shift ? one<TYPE(x), Bfind<true>> : one<TYPE(x), Bfind<false>>; });
  }
  if (op == "bfe") { arity(4); return words(type, [](auto x) -> Handler { return bfe<TYPE(x)>; }); }
  if (op == "bfi") { arity(5); return type == "b32" ? bfi<u32> : type == "b64" ? bfi<u64> : nullptr; }
  if (op == "prmt" && type == "b32") { arity(4); return prmt; }
  if (op == "lop3" && type == "b32") { arity(5); return lop3; }
  if (op == "copysign") return twoFloats<Copysign>(type);
  if (op == "sqrt" || op == "rcp" || op == "rsqrt") {
    rounding(d);
    d.has("approx");
    return op == "sqrt" ? oneFloat<Sqrt>(type) : op == "rcp" ? oneFloat<Rcp>(type) : oneFloat<Rsqrt>(type);
  }
  if (type == "f32" && d.has("approx")) {
    if (d.has("ftz")) d.round = NEAREST | FTZ;
    if (op == "ex2") return one<f32, Ex2>;
    if (op == "lg2") return one<f32, Lg2>;
    if (op == "sin") return one<f32, Sin>;
    if (op == "cos") return one<f32, Cos>;
    if (op == "tanh") return one<f32, Tanh>;
  }
  if (op == "activemask" && type == "b32") return activemask;
  return nullptr;
}

}  // namespace

void decode(Decoder& d) {
  const std::string& op = d.parts[0];
  d.used.assign(d.parts.size(), false);
  std::string type = d.parts.size() > 1 ? d.parts.back() : "";
  bool typed = op != "bar" && op != "barrier" && op != "membar" && op != "fence" && op != "exit" && op != "trap" && op != "ret" &&
               op != "prefetch" && op != "prefetchu" && op != "isspacep";
  if (typed && type != "pred" && !numbers(type, [](auto) -> Handler { return exitThread; }) && !memoryTypes(type, [](auto) -> Handler { return exitThread; }))
    throw PtxError("unknown type");
  if (typed || (op == "bar" && type == "u32") || (op == "barrier" && (type == "u32" || type == "pred"))) d.used.back() = true;
  if ((op == "bar" || op == "barrier") && type == "pred") d.used.back() = true;
  d.used[0] = true;
  if (op == "exit" || op == "trap" || op == "ret") {
    if (!d.operands.empty()) throw PtxError("another number of operands");
    if (op == "ret") d.has("uni");
    d.ins.run = op == "exit" ? exitThread : op == "trap" ? trap : doReturn;
  } else if (op == "nanosleep") {
    if (d.operands.size() != 1) throw PtxError("another number of operands");
    d.ins.run = nothing;
  }
  else d.ins.run = select(d, op, type);
  if (!d.ins.run) throw PtxError("unknown instruction");
  for (size_t k = 0; k < d.parts.size(); ++k)
    if (!d.used[k]) throw PtxError("unknown modifier ." + d.parts[k]);
}

}  // namespace soft
