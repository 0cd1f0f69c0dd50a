// Instructions that no test kernel of ours makes NVRTC emit, in PTX by hand, and products of cuBLAS, against numbers by hand.
#include <dlfcn.h>

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

using u32 = uint32_t;
using u64 = uint64_t;

static void *library, *cublas;
static int failures = 0;

template <class... A> static int call(const char* name, A... a) {
  auto* f = reinterpret_cast<int (*)(A...)>(dlsym(strncmp(name, "cublas", 6) ? library : cublas, name));
  return f(a...);
}

static u32 bits(float x) { u32 u; std::memcpy(&u, &x, 4); return u; }

// Runs `body` in one block of threads. It finds in %ra the thread's number, and leaves its result in %rd0.
static int run(const std::string& body, u32 threads, std::vector<u64>& out) {
  std::string text =
      ".version 8.0\n.target sm_90\n.address_size 64\n.visible .entry k(.param .u64 out)\n{\n"
      ".reg .pred %p<8>;\n.reg .b16 %h<8>;\n.reg .b32 %r<16>;\n.reg .b32 %ra;\n.reg .f32 %f<16>;\n.reg .b64 %rd<16>;\n.reg .f64 %fd<8>;\n"
      ".reg .b64 %o<3>;\nmov.u32 %ra, %tid.x;\nmov.u64 %rd0, 0;\n" + body +
      "\nld.param.u64 %o0, [out];\nmul.wide.u32 %o1, %ra, 8;\nadd.s64 %o2, %o0, %o1;\nst.global.u64 [%o2], %rd0;\nret;\n}\n";
  out.assign(threads, 0);
  void *module = nullptr, *function = nullptr;
  int e = call("cuModuleLoadData", &module, text.c_str());
  if (e) return e;
  call("cuModuleGetFunction", &function, module, "k");
  u64 p = 0;
  call("cuMemAlloc_v2", &p, size_t(8 * threads));
  void* arguments[] = {&p};
  e = call("cuLaunchKernel", function, 1u, 1u, 1u, threads, 1u, 1u, 0u, (void*)nullptr, (void**)arguments, (void**)nullptr);
  if (!e) e = call("cuMemcpyDtoH_v2", (void*)out.data(), p, size_t(8 * threads));
  call("cuMemFree_v2", p);
  call("cuModuleUnload", module);
  return e;
}

static void expect(const char* what, const std::string& body, std::vector<u64> expected) {
  std::vector<u64> out;
  int e = run(body, u32(expected.size()), out);
  for (size_t k = 0; k < expected.size(); ++k)
    if (e || out[k] != expected[k]) {
      printf("FAILED %s: thread %zu has %llx, expected %llx (error %d)\n", what, k, (unsigned long long)out[k],
             (unsigned long long)expected[k], e);
      ++failures;
      return;
    }
}

// A result in %r0, of one thread.
static void word(const char* what, const std::string& body, u32 expected) { expect(what, body + "\ncvt.u64.u32 %rd0, %r0;", {expected}); }
static void real(const char* what, const std::string& body, float expected) { word(what, body + "\nmov.b32 %r0, %f0;", bits(expected)); }

// A text that is no PTX: refused, with a line in the log of the compiler.
static void text(const std::string& malformed) {
  void* module = nullptr;
  char log[1000] = "";
  int keys[] = {5, 6};  // the log of errors, and its size
  void* values[] = {log, reinterpret_cast<void*>(sizeof log)};
  int e = call("cuModuleLoadDataEx", &module, (".version 8.0\n.target sm_90\n.address_size 64\n" + malformed).c_str(), 2u, (int*)keys, (void**)values);
  if (e == 218 && strstr(log, "; PTX line ")) return;
  printf("FAILED '%s': error %d, log '%s'\n", malformed.c_str(), e, log);
  ++failures;
}
static void refused(const std::string& body) {
  text(".visible .entry k(.param .u64 out)\n{\n.reg .pred %p<4>;\n.reg .b32 %r<4>;\n.reg .f32 %f<4>;\n.reg .b64 %rd<4>;\n" + body + "\nret;\n}\n");
}

static u64 floats(const std::vector<float>& x) {
  u64 p = 0;
  call("cuMemAlloc_v2", &p, 4 * x.size());
  call("cuMemcpyHtoD_v2", p, (const void*)x.data(), 4 * x.size());
  return p;
}

// 2 x 2 matrices, column after column: a = (1 2; 3 4), b = (5 6; 7 8), c = (1 1; 1 1), all as the operations have them.
static void product(const char* what, int left, int right, std::vector<float> expected) {
  void* handle = nullptr;
  float two = 2, minusOne = -1;
  u64 a = floats({1, 3, 2, 4}), b = floats({5, 7, 6, 8}), c = floats({1, 1, 1, 1});
  std::vector<float> out(4);
  int e = call("cublasCreate_v2", &handle);
  if (!e) e = call("cublasSgemm_v2", handle, left, right, 2, 2, 2, &two, a, 2, b, 2, &minusOne, c, 2);
  if (!e) e = call("cuMemcpyDtoH_v2", (void*)out.data(), c, size_t(16));
  if (!e) e = call("cublasDestroy_v2", handle);
  for (u64 p : {a, b, c}) call("cuMemFree_v2", p);
  if (!e && out == expected) return;
  printf("FAILED %s: (%g %g; %g %g), error %d\n", what, out[0], out[2], out[1], out[3], e);
  ++failures;
}

// The same of bfloat16, which the upper halves of the floats are, into float32.
static void product16(const char* what, std::vector<float> expected) {
  void* handle = nullptr;
  float two = 2, minusOne = -1;
  auto halves = [](const std::vector<float>& x) {
    std::vector<uint16_t> upper;
    for (float f : x) upper.push_back(uint16_t(bits(f) >> 16));
    u64 p = 0;
    call("cuMemAlloc_v2", &p, 2 * x.size());
    call("cuMemcpyHtoD_v2", p, (const void*)upper.data(), 2 * x.size());
    return p;
  };
  u64 a = halves({1, 3, 2, 4}), b = halves({5, 7, 6, 8}), c = floats({1, 1, 1, 1});
  std::vector<float> out(4);
  int e = call("cublasCreate_v2", &handle);
  if (!e) e = call("cublasGemmEx", handle, 0, 0, 2, 2, 2, (const void*)&two, a, 14, 2, b, 14, 2, (const void*)&minusOne, c, 0, 2, 68, -1);
  if (!e) e = call("cuMemcpyDtoH_v2", (void*)out.data(), c, size_t(16));
  if (!e) e = call("cublasDestroy_v2", handle);
  for (u64 p : {a, b, c}) call("cuMemFree_v2", p);
  if (!e && out == expected) return;
  printf("FAILED %s: (%g %g; %g %g), error %d\n", what, out[0], out[2], out[1], out[3], e);
  ++failures;
}

int main(int, char** arguments) {
  library = dlopen(arguments[1], RTLD_NOW);
  cublas = dlopen(arguments[2], RTLD_NOW);
  if (!library || !cublas) { printf("%s\n", dlerror()); return 1; }
  void* context;
  call("cuInit", 0u);
  call("cuCtxCreate_v2", &context, 0u, 0);

  word("prmt", "mov.u32 %r1, 0x03020100; mov.u32 %r2, 0x87060504; prmt.b32 %r0, %r1, %r2, 0xF471;", 0xff048701);
  word("bfe.u32", "mov.u32 %r1, 0x12345678; bfe.u32 %r0, %r1, 8, 12;", 0x456);
  word("bfe.s32", "mov.u32 %r1, 0x00000800; bfe.s32 %r0, %r1, 8, 4;", 0xfffffff8);
  word("bfi", "mov.u32 %r1, 0xab; mov.u32 %r2, 0xffffffff; bfi.b32 %r0, %r1, %r2, 4, 8;", 0xfffffabf);
  word("lop3", "mov.u32 %r1, 0xf0; mov.u32 %r2, 0xcc; mov.u32 %r3, 0xaa; lop3.b32 %r0, %r1, %r2, %r3, 0x96;", 0xf0 ^ 0xcc ^ 0xaa);
  word("bfind", "mov.u32 %r1, 0x00010000; bfind.u32 %r0, %r1;", 16);
  word("shf.l.wrap", "mov.u32 %r1, 0x80000001; mov.u32 %r2, 0x3; shf.l.wrap.b32 %r0, %r1, %r2, 33;", 7);
  word("shf.r.clamp", "mov.u32 %r1, 1; mov.u32 %r2, 2; shf.r.clamp.b32 %r0, %r1, %r2, 40;", 2);
  word("shl beyond", "mov.u32 %r1, 1; shl.b32 %r0, %r1, 32;", 0);
  word("shr.s32 beyond", "mov.u32 %r1, 0x80000000; shr.s32 %r0, %r1, 40;", 0xffffffff);
  word("mad.hi", "mov.u32 %r1, 0x80000000; mad.hi.u32 %r0, %r1, 6, 5;", 8);
  word("mul24", "mov.u32 %r1, 0x01000003; mul24.lo.u32 %r0, %r1, 5;", 15);
  word("slct", "mov.s32 %r1, -1; slct.b32.s32 %r0, 7, 8, %r1;", 8);
  word("set", "set.lt.u32.f32 %r0, 0f3F800000, 0f40000000;", 0xffffffff);
  word("setp.and, second result", "mov.u32 %r1, 3; setp.eq.u32 %p1, %r1, 3; setp.lt.and.s32 %p2|%p3, %r1, 2, %p1; selp.u32 %r0, 1, 0, %p3;", 1);
  word("setp.nan", "setp.nan.f32 %p1, 0f7FC00000, 0f00000000; selp.u32 %r0, 1, 0, %p1;", 1);
  word("negated operand", "mov.u32 %r1, 3; setp.eq.u32 %p1, %r1, 3; setp.eq.or.u32 %p2, %r1, 4, !%p1; selp.u32 %r0, 1, 0, %p2;", 0);
  word("guard", "mov.u32 %r0, 1; setp.eq.u32 %p1, %r0, 1; @!%p1 mov.u32 %r0, 5; @%p1 add.u32 %r0, %r0, 8;", 9);
  word("cvt.sat", "mov.u32 %r1, 300; cvt.sat.u8.u32 %r0, %r1;", 255);
  word("cvt to a full integer", "cvt.rzi.s32.f32 %r0, 0f7149F2CA;", 0x7fffffff);  // 1e30
  word("cvt of NaN", "cvt.rni.s32.f32 %r0, 0f7FC00000;", 0);
  word("cvt of a half integer", "cvt.rni.s32.f32 %r0, 0f40200000;", 2);
  word("cvt.rn.bf16", "cvt.rn.bf16.f32 %h1, 0f3F808000; cvt.u32.u16 %r0, %h1;", 0x3f80);
  word("cvt.rn.bf16 of NaN", "cvt.rn.bf16.f32 %h1, 0fFF800001; cvt.u32.u16 %r0, %h1;", 0x7fff);
  word("cvt.rn.bf16x2", "cvt.rn.bf16x2.f32 %r0, 0fC0200000, 0f3DCCCCCD;", 0xc0203dcd);  // -2.5 and 0.1
  word("cvt.rn.f16x2", "cvt.rn.f16x2.f32 %r0, 0fC0200000, 0f3DCCCCCD;", 0xc1002e66);
  word("cvt.rn.f16 of the largest", "cvt.rn.f16.f32 %h1, 0f477FEFFF; cvt.u32.u16 %r0, %h1;", 0x7bff);      // below 65520
  word("cvt.rn.f16 beyond", "cvt.rn.f16.f32 %h1, 0fC77FF000; cvt.u32.u16 %r0, %h1;", 0xfc00);              // -65520
  word("cvt.rn.f16 of a tie", "cvt.rn.f16.f32 %h1, 0f33000000; cvt.u32.u16 %r0, %h1;", 0);                 // 2^-25
  word("cvt.rn.f16 of a subnormal", "cvt.rn.f16.f32 %h1, 0f33C00000; cvt.u32.u16 %r0, %h1;", 2);           // 1.5 * 2^-24
  word("cvt.rn.f16 up to a normal", "cvt.rn.f16.f32 %h1, 0f387FFFFF; cvt.u32.u16 %r0, %h1;", 0x400);       // below 2^-14
  word("cvt.rn.f16 of NaN", "cvt.rn.f16.f32 %h1, 0f7F800001; cvt.u32.u16 %r0, %h1;", 0x7fff);
  word("cvt.f32.f16", "mov.b16 %h1, 0xc100; cvt.f32.f16 %f0, %h1; mov.b32 %r0, %f0;", 0xc0200000);
  word("cvt.f32.f16 of a subnormal", "mov.b16 %h1, 3; cvt.f32.f16 %f0, %h1; mov.b32 %r0, %f0;", 0x34400000);  // 3 * 2^-24
  word("cvt.f32.f16 of infinity", "mov.b16 %h1, 0xfc00; cvt.f32.f16 %f0, %h1; mov.b32 %r0, %f0;", 0xff800000);
  word("packing", "mov.b64 %rd1, 0x1122334455667788; mov.b64 {%r1, %r2}, %rd1; mov.b32 {%h1, %h2}, %r2; cvt.u32.u16 %r0, %h2;", 0x1122);
  word("brx.idx",
       "mov.u32 %r1, 2; T: .branchtargets A, B, C; brx.idx %r1, T;\nA: mov.u32 %r0, 10; bra E;\nB: mov.u32 %r0, 11; bra E;\n"
       "C: mov.u32 %r0, 12;\nE:", 12);
  real("add.rz", "mov.f32 %f1, 0f3F800000; add.rz.f32 %f0, %f1, 0f337FFFFF;", 1.0f);
  real("add.rp", "mov.f32 %f1, 0f3F800000; add.rp.f32 %f0, %f1, 0f00000001;", std::nextafter(1.0f, 2.0f));
  real("add afterwards to nearest", "mov.f32 %f1, 0f3F800000; add.rp.f32 %f2, %f1, 0f00000001; add.f32 %f0, %f1, 0f00000001;", 1.0f);
  real("mul.ftz", "mov.f32 %f1, 0f80000001; mul.ftz.f32 %f0, %f1, 0f40000000;", -0.0f);
  real("mul of a subnormal", "mov.f32 %f1, 0f80000001; mul.f32 %f0, %f1, 0f40000000;", -0x1p-148f);
  real("fma, rounded once", "mov.f32 %f1, 0f3F800001; fma.rn.f32 %f0, %f1, %f1, 0fBF800002;", 0x1p-46f);
  real("min of zeros", "min.f32 %f0, 0f00000000, 0f80000000;", -0.0f);
  real("max with NaN", "max.f32 %f0, 0f7FC00000, 0f40000000;", 2.0f);
  word("max.NaN", "max.NaN.f32 %f0, 0f7FC00000, 0f40000000; mov.b32 %r0, %f0;", 0x7fffffff);
  word("canonical NaN", "mov.f32 %f1, 0f7F800000; sub.f32 %f0, %f1, %f1; mov.b32 %r0, %f0;", 0x7fffffff);
  real("cvt.sat of floats", "cvt.sat.f32.f32 %f0, 0fC0000000;", 0.0f);
  real("sqrt.rn", "sqrt.rn.f32 %f0, 0f40000000;", std::sqrt(2.0f));

  std::vector<u64> lanes(32), result(32);
  for (u32 k = 0; k < 32; ++k) result[k] = 0xaaaaaaaa;
  expect("vote.ballot", "and.b32 %r1, %ra, 1; setp.eq.u32 %p1, %r1, 1; vote.sync.ballot.b32 %r0, %p1, -1; cvt.u64.u32 %rd0, %r0;", result);
  for (u32 k = 0; k < 32; ++k) result[k] = k % 8 == 0 ? k : k - 1;
  expect("shfl.up in segments of 8", "shfl.sync.up.b32 %r0, %ra, 1, 0x1800, -1; cvt.u64.u32 %rd0, %r0;", result);
  for (u32 k = 0; k < 32; ++k) result[k] = k ^ 5;
  expect("shfl.bfly", "shfl.sync.bfly.b32 %r0|%p1, %ra, 5, 31, -1; cvt.u64.u32 %rd0, %r0;", result);
  for (u32 k = 0; k < 32; ++k) result[k] = 7;
  expect("shfl.idx", "shfl.sync.idx.b32 %r0, %ra, 7, 31, -1; cvt.u64.u32 %rd0, %r0;", result);
  for (u32 k = 0; k < 32; ++k) result[k] = 0x11111111u << (k % 4);
  expect("match.any", "and.b32 %r1, %ra, 3; match.sync.any.b32 %r0, %r1, -1; cvt.u64.u32 %rd0, %r0;", result);
  for (u32 k = 0; k < 32; ++k) result[k] = 496;
  expect("redux.add", "redux.sync.add.u32 %r0, %ra, -1; cvt.u64.u32 %rd0, %r0;", result);
  for (u32 k = 0; k < 32; ++k) result[k] = 31;
  expect("redux.max", "redux.sync.max.s32 %r0, %ra, -1; cvt.u64.u32 %rd0, %r0;", result);
  result.assign(64, 40);
  expect("bar.red.popc", "setp.lt.u32 %p1, %ra, 40; bar.red.popc.u32 %r0, 0, %p1; cvt.u64.u32 %rd0, %r0;", result);
  result.assign(64, 2016);
  expect("shared atomics",
         ".shared .align 4 .u32 sum; setp.ne.u32 %p1, %ra, 0; @!%p1 st.shared.u32 [sum], 0; bar.sync 0; red.shared.add.u32 [sum], %ra; bar.sync 0; "
         "ld.shared.u32 %r0, [sum]; cvt.u64.u32 %rd0, %r0;", result);
  expect("lanes and warps", "mov.u32 %r0, %lanemask_lt; cvt.u64.u32 %rd0, %r0;", {0, 1, 3, 7});

  for (const char* body : {"bra ;", "bra 5;", "bra A, B; A: B:", "bra nowhere;", "brx.idx ;", "brx.idx %r1, T;", "brx.idx T, %r1; T: .branchtargets A; A:",
                           "A: A:", "mov.u32( %r1, 1;", "mov.u32 %r1, {1, 2", "mov.u32 %r1, {{%r1}};", "mov.u32 %r1", "mov.u32 %r1, 1,;", "mov.u32 5, %r1;",
                           "mov.u32 %tid.x, 1;", "mov.u32 %r1, %tid.w;", "mov.u32 %r1, %tid;", "mov.u32 %r1, 99999999999999999999;", "mov.u32 %r1, 0x;",
                           "mov.u32 %r1, 12x;", "mov.u32 %r1, 08;", "mov.f32 %f1, 0f3F8;", "mov.f32 %f1, 1.5;", "mov.f32 %f1, -0f3F800000;", "mov.u32 %r1, [out];",
                           "mov.u33 %r1, 1;", "mov %r1, 1;", "cvt %r1, %r2;", "cvt.u32 %r1, %r2;", "slct %r1, 1, 2, 3;", "sqrt.rn.f32 ;", "sqrt.rn.f32 %f1;", "neg.f32;",
                           "and.b32 %r1, %r2;", "add.u32 %r1, %r2;", "add.u32 %r1, %r2, %r3+4;", "add.u32 %r1|%r2, %r2, %r3;", "setp.eq.u32 %p1|5, 1, 2;",
                           "ld.global.u32 %r1, %rd1;", "ld.global.v2.u32 %r1, [%rd1];", "ld.global.u32 {%r1, %r2}, [%rd1];", "st.global.u32 [%rd1], [%rd2];",
                           "st.global.u32 [%rd1+], %r1;", "bar.sync;", "bar.sync 0, 32;", "ret 5;", "exit 1;", "membar.gl 1;", "@5 ret;", "@!%tid.x ret;", "@ ret;", "call ;",
                           "call f, (;", "call f, (a);", "call k;", ".pragma \"nounroll\"", ".reg .b32 %q<4000000000>;", ".reg .b32 %q<99999999999999999999>;",
                           ".reg .b32 %q<-1>;", ".reg .b33 %q;", ".reg .b32 5;", ".shared .b8 s[4000000000];", ".local .b8 s[99999999999];", ".local .b8 s[];",
                           ".local .align 3 .b8 s[4];", ".local .align 0 .b8 s[4];", ".param .b8 s[4000000000][4000000000];", ".local s[4];", ".local .b8 s; .local .b8 s;",
                           ".local .attribute(.managed .b8 s", "; : ;", "}", "{"})
    refused(body);
  for (const char* malformed : {".global .b8 g[99999999999999];", ".global .b8 g[2] = {1, 2, 3};", ".global .b8 g[2] = {1, 2", ".global .b8 g = ;", ".global .b8 g",
                                ".global .attribute(", ".section .debug {", ".pragma \"x\"", ".func .attribute(", ".entry", ".entry 5()", ".entry k(", ".entry k(.param",
                                ".entry k(.param .u64 a .param .u64 b) { ret; }", ".entry k() .maxntid 0 { ret; }", ".entry k() .maxntid 1024, 1024, 1024 { ret; }",
                                ".entry k() .maxn { ret; }", ".entry k() { ret; } .entry k() { ret; }", ".func f() ; .entry k() { call f; ret; }",
                                ".func f(.param .b32 a) { ret; } .entry k() { call f; ret; }", ".shared .b8 s[999999];", ".global .b8 g; .global .b8 g;", "nonsense"})
    text(malformed);

  std::vector<u64> out;
  if (run("mma.sync.aligned.m8n8k4.row.col.f32.f16.f16.f32 %r0, %r0, %r0, %r0;", 1, out) != 218) { printf("FAILED mma was taken\n"); ++failures; }

  product("2·ab - c", 0, 0, {37, 85, 43, 99});    // ab = (19 22; 43 50)
  product("2·aᵀb - c", 1, 0, {51, 75, 59, 87});   // aᵀb = (26 30; 38 44)
  product("2·abᵀ - c", 0, 1, {33, 77, 45, 105});  // abᵀ = (17 23; 39 53)
  product("2·aᵀbᵀ - c", 1, 1, {45, 67, 61, 91});  // aᵀbᵀ = (23 31; 34 46)

  product16("2·ab - c of bfloat16", {37, 85, 43, 99});

  call("cuCtxDestroy_v2", context);
  printf(failures ? "%d failures\n" : "softcuda: all instructions and products as by hand\n", failures);
  return failures != 0;
}
