// The CUDA driver API. Work is queued in its stream and runs as late as the order of streams and events allows.
#include <sys/mman.h>

#include <algorithm>
#include <chrono>
#include <deque>
#include <functional>
#include <mutex>
#include <set>
#include <thread>

#include "library.h"

using namespace soft;

using u32 = uint32_t;
using u64 = uint64_t;

namespace {

using Clock = std::chrono::steady_clock;

struct Context;
struct Stream;
struct Capture;
using Nodes = std::set<size_t>;  // of a graph, by their numbers
struct Event {
  Context* context;
  u64 recorded = 0, completed = 0;  // tickets
  Stream* stream = nullptr;
  Clock::time_point time;
  bool captured = false;            // last recorded in a capture: this one, or one that has ended
  Capture* capture = nullptr;
  Nodes before;                     // in the capture, what it stands behind
};
using EventPtr = std::shared_ptr<Event>;

struct Op {
  std::function<Error()> run;
  std::function<void()> host = nullptr;  // instead: a function of somebody's, in a thread of its own and without our lock
};
struct Graph { Context* context; std::vector<Op> ops; };  // in the order of the calls; one that can be launched is a copy
enum Mode { GLOBAL, THREAD_LOCAL, RELAXED };
struct Capture {
  Stream* origin;
  int mode;
  std::thread::id thread = std::this_thread::get_id();
  bool broken = false;
  std::vector<Op> ops = {};
};
struct Context {                    // never deleted: a thread may still have it in its stack
  bool primary = false, destroyed = false;
  int device = 0;
  int uses = 0;
  Error lost = SUCCESS;             // a fault on the device: every later call answers it
  std::set<Stream*> streams;
  std::set<struct LoadedModule*> modules;
  std::set<struct LoadedFunction*> functions;
  Stream* null = nullptr;
};
struct Stream {
  Context* context;
  bool blocking;                    // waits for the null stream, and the null stream for it
  int priority = 0;
  std::deque<Op> ops = {};
  Capture* capture = nullptr;
  Nodes before = {};                // in the capture, what its next operation stands behind
  bool busy = false;                // its first operation is a function of the host's, which runs
};
struct LoadedFunction { struct LoadedModule* module; const Function* function; u32 maxDynamicShared; };
struct LoadedModule {
  std::shared_ptr<Module> module;   // null: the one whose globals are questions to softcuda
  std::map<std::string, std::unique_ptr<LoadedFunction>> functions;
  std::string answer;
  ~LoadedModule();
};

std::recursive_mutex& mutex = *new std::recursive_mutex;
thread_local int locked = 0;        // how often this thread has locked it
struct Lock {
  Lock() {
    mutex.lock();
    locked++;
  }
  ~Lock() {
    locked--;
    mutex.unlock();
  }
};
// Lets other threads in for a moment.
void yield() {
  int times = locked;
  for (int n = 0; n < times; n++) mutex.unlock();
  std::this_thread::sleep_for(std::chrono::microseconds(50));
  for (int n = 0; n < times; n++) mutex.lock();
}
bool initialized = false;
std::map<int, Context*>& primaries = *new std::map<int, Context*>;  // by device
std::set<Context*>& contexts = *new std::set<Context*>;
std::map<void*, EventPtr>& events = *new std::map<void*, EventPtr>;
std::set<Capture*>& captures = *new std::set<Capture*>;
std::set<Graph*>& graphs = *new std::set<Graph*>;
std::vector<std::string*>& answers = *new std::vector<std::string*>;  // host memory that cuMemcpyDtoH may read
// Whoever deletes a module, by itself or with its context, takes its answer back: a stale one would be read as somebody else's memory.
LoadedModule::~LoadedModule() { answers.erase(std::remove(answers.begin(), answers.end(), &answer), answers.end()); }
u64 tickets = 0;
thread_local std::vector<Context*> stack;
thread_local int threadMode = GLOBAL;  // of cuThreadExchangeStreamCaptureMode

Context* current() { return stack.empty() ? nullptr : stack.back(); }

// ---- queues ----

Error lose(Context* c, Error e) {
  if (c->lost == SUCCESS) c->lost = e;
  return e;
}

void runOne(Stream* s) {
  if (s->busy) return yield();
  if (s->ops.front().host && s->context->lost == SUCCESS) {
    s->busy = true;
    std::thread([s, host = s->ops.front().host] {
      host();
      Lock lock;
      s->ops.pop_front();
      s->busy = false;
    }).detach();
    return yield();
  }
  Op op = std::move(s->ops.front());
  s->ops.pop_front();
  if (s->context->lost != SUCCESS) return;
  Error e = op.run();
  if (e != SUCCESS) lose(s->context, e);
}
Error drain(Stream* s) {
  while (!s->ops.empty()) runOne(s);
  return s->context->lost;
}
void drainUntil(const EventPtr& e, u64 ticket) {
  while (e->completed < ticket && e->stream && !e->stream->ops.empty()) runOne(e->stream);
}
Error drainAll(Context* c) {
  for (Stream* s : std::set<Stream*>(c->streams)) drain(s);  // a copy: whoever waits lets others in
  return c->lost;
}
// The null stream starts after all blocking streams.
void drainBlocking(Context* c) {
  for (Stream* s : c->streams) if (s->blocking) drain(s);
}

Stream* streamOf(void* handle) {
  Context* c = current();
  if (!handle || handle == reinterpret_cast<void*>(1) || handle == reinterpret_cast<void*>(2)) return c->null;
  auto* s = static_cast<Stream*>(handle);
  return c->streams.count(s) ? s : nullptr;
}

// ---- captures. What CUDA prohibits breaks them: from then on their streams refuse everything, until the end of the capture does, too. ----

Error broken(Capture* c, Error e) {
  c->broken = true;
  return e;
}

// For calls that a replay would not repeat, such as cuMemAlloc, and that a capture prohibits as its mode and the thread's say.
Error unsafe() {
  Error result = SUCCESS;
  for (Capture* c : captures) {
    bool prohibits = c->thread == std::this_thread::get_id() ? c->mode != RELAXED : c->mode == GLOBAL && threadMode == GLOBAL;
    if (prohibits && threadMode != RELAXED) result = broken(c, STREAM_CAPTURE_UNSUPPORTED);
  }
  return result;
}

// For calls that would wait for streams of a context, or look how far they are. The null stream comprises those that are blocking.
Error waiting(Context* context, bool onlyBlocking) {
  Error result = SUCCESS;
  for (Stream* s : context->streams)
    if (s->capture && (s->blocking || !onlyBlocking)) result = broken(s->capture, onlyBlocking ? STREAM_CAPTURE_IMPLICIT : STREAM_CAPTURE_UNSUPPORTED);
  return result;
}
Error waiting(Stream* s) {
  if (s->capture) return broken(s->capture, STREAM_CAPTURE_UNSUPPORTED);
  Error e = s == s->context->null ? waiting(s->context, true) : SUCCESS;
  return e ? e : unsafe();
}
Error waiting(const EventPtr& e) {
  if (!e->captured) return unsafe();
  return e->capture ? broken(e->capture, CAPTURED_EVENT) : CAPTURED_EVENT;
}

void release(Capture* c) {
  for (Context* context : contexts)
    for (Stream* s : context->streams)
      if (s->capture == c) {
        s->capture = nullptr;
        s->before.clear();
      }
  for (auto& e : events)
    if (e.second->capture == c) e.second->capture = nullptr;
  captures.erase(c);
  delete c;
}

void drainIfThere(Context* c, Stream* s) {
  if (c->streams.count(s)) drain(s);
}

Error enqueue(Stream* s, std::function<Error()> run) {
  if (Capture* c = s->capture) {
    if (c->broken) return STREAM_CAPTURE_INVALIDATED;
    s->before.insert(c->ops.size());
    c->ops.push_back({std::move(run)});
    return SUCCESS;
  }
  Context* c = s->context;
  if (s == c->null) {  // order with blocking streams: what they hold comes first
    if (Error e = waiting(c, true)) return e;
    for (Stream* o : c->streams)
      if (o->blocking && o != s && !o->ops.empty()) s->ops.push_back({[c, o] { drainIfThere(c, o); return SUCCESS; }});
  } else if (s->blocking && !c->null->ops.empty()) {
    Stream* n = c->null;
    s->ops.push_back({[n] { drain(n); return SUCCESS; }});
  }
  s->ops.push_back({std::move(run)});
  return eager() ? drain(s) : SUCCESS;
}

// What a stream does with a kernel, or with work like one, when it comes to it.
Error run(const Launch& launch, const std::function<Outcome()>& work) {
  Error told = entering("run");  // "run:n:code": the n-th kernel fails when it runs, not when it is launched
  if (told) return told;
  auto start = Clock::now();
  Outcome o = work();
  record(launch, o, std::chrono::duration<double, std::milli>(Clock::now() - start).count());
  if (o.code) report(o.message);
  return o.code;
}

// ---- names of errors ----

struct Code { int code; const char *name, *text; };
const Code codes[] = {
    {0, "CUDA_SUCCESS", "no error"},
    {1, "CUDA_ERROR_INVALID_VALUE", "invalid argument"},
    {2, "CUDA_ERROR_OUT_OF_MEMORY", "out of memory"},
    {3, "CUDA_ERROR_NOT_INITIALIZED", "initialization error"},
    {46, "CUDA_ERROR_DEVICE_UNAVAILABLE", "CUDA-capable device(s) is/are busy or unavailable"},
    {100, "CUDA_ERROR_NO_DEVICE", "no CUDA-capable device is detected"},
    {101, "CUDA_ERROR_INVALID_DEVICE", "invalid device ordinal"},
    {201, "CUDA_ERROR_INVALID_CONTEXT", "invalid device context"},
    {209, "CUDA_ERROR_NO_BINARY_FOR_GPU", "no kernel image is available for execution on the device"},
    {214, "CUDA_ERROR_ECC_UNCORRECTABLE", "uncorrectable ECC error encountered"},
    {218, "CUDA_ERROR_INVALID_PTX", "a PTX JIT compilation failed"},
    {222, "CUDA_ERROR_UNSUPPORTED_PTX_VERSION", "the provided PTX was compiled with an unsupported toolchain."},
    {304, "CUDA_ERROR_OPERATING_SYSTEM", "OS call failed or operation not supported on this OS"},
    {400, "CUDA_ERROR_INVALID_HANDLE", "invalid resource handle"},
    {401, "CUDA_ERROR_ILLEGAL_STATE", "the operation cannot be performed in the present state"},
    {500, "CUDA_ERROR_NOT_FOUND", "named symbol not found"},
    {600, "CUDA_ERROR_NOT_READY", "device not ready"},
    {700, "CUDA_ERROR_ILLEGAL_ADDRESS", "an illegal memory access was encountered"},
    {701, "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES", "too many resources requested for launch"},
    {702, "CUDA_ERROR_LAUNCH_TIMEOUT", "the launch timed out and was terminated"},
    {709, "CUDA_ERROR_CONTEXT_IS_DESTROYED", "context is destroyed"},
    {716, "CUDA_ERROR_MISALIGNED_ADDRESS", "misaligned address"},
    {719, "CUDA_ERROR_LAUNCH_FAILED", "unspecified launch failure"},
    {801, "CUDA_ERROR_NOT_SUPPORTED", "operation not supported"},
    {803, "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH", "system has unsupported display driver / cuda driver combination"},
    {900, "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED", "operation not permitted when stream is capturing"},
    {901, "CUDA_ERROR_STREAM_CAPTURE_INVALIDATED", "operation failed due to a previous error during capture"},
    {902, "CUDA_ERROR_STREAM_CAPTURE_MERGE", "operation would result in a merge of separate capture sequences"},
    {903, "CUDA_ERROR_STREAM_CAPTURE_UNMATCHED", "capture was not initiated in this stream"},
    {904, "CUDA_ERROR_STREAM_CAPTURE_UNJOINED", "capturing stream has unjoined work"},
    {905, "CUDA_ERROR_STREAM_CAPTURE_ISOLATION", "dependency created on uncaptured work in another stream"},
    {906, "CUDA_ERROR_STREAM_CAPTURE_IMPLICIT", "operation would make the legacy stream depend on a capturing blocking stream"},
    {907, "CUDA_ERROR_CAPTURED_EVENT", "operation not permitted on an event last recorded in a capturing stream"},
    {908, "CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD", "attempt to terminate a thread-local capture sequence from another thread"},
    {999, "CUDA_ERROR_UNKNOWN", "unknown error"},
};
const Code* codeOf(int code) {
  for (auto& c : codes) if (c.code == code) return &c;
  return nullptr;
}

// ---- the frame of every call ----

enum Needs { NOTHING, INIT, CONTEXT, SOUND, SAFE };  // SOUND: a current context that is not lost; SAFE: and no capture that prohibits it

bool isLoss(int code) {
  return code == 214 || code == 700 || code == 702 || (code >= 713 && code <= 719);
}

template <class F> int api(const char* name, Needs needs, F body) {
  Lock lock;
  Error told = entering(name);
  if (told != SUCCESS) {
    if (isLoss(told) && current()) lose(current(), told);
    return told;
  }
  if (needs >= INIT && !initialized) return NOT_INITIALIZED;
  if (needs >= CONTEXT && !current()) return INVALID_CONTEXT;
  if (needs >= CONTEXT && current()->destroyed) return CONTEXT_IS_DESTROYED;
  if (needs >= SOUND && current()->lost != SUCCESS) return current()->lost;
  int code = needs >= SAFE ? unsafe() : SUCCESS;
  if (!code) code = body();
  if (code >= STREAM_CAPTURE_UNSUPPORTED && code <= STREAM_CAPTURE_WRONG_THREAD) report(std::string(name) + ": " + codeOf(code)->text);
  return code;
}

std::string hex(u64 x) {
  char text[32];
  snprintf(text, sizeof text, "0x%llx", (unsigned long long)x);
  return text;
}

// The allocation that holds n bytes from p, or null with a report.
Allocation* range(const char* name, u64 p, u64 n) {
  Allocation* a = memory.find(p);
  if (a && a->contains(p, n)) return a;
  report(std::string(name) + ": out of bounds: " + std::to_string(n) + " bytes at " + hex(p) + ", " +
         (a ? "across the end of " + a->name : memory.describe(p)));
  return nullptr;
}

// ---- copies ----

bool pinned(const void* host, u64 n) {
  Allocation* a = memory.find(reinterpret_cast<u64>(host));
  return a && a->kind == Kind::Pinned && a->contains(reinterpret_cast<u64>(host), n);
}
// A copy in a capture keeps the address, and at a replay the bytes there are others, or a Java array's are gone: nobody wants that, though a device takes it.
Error pageable(const char* name, Capture* c) {
  if (c->broken) return STREAM_CAPTURE_INVALIDATED;
  report(std::string(name) + ": pageable memory in a capture: each launch of the graph would use its address of now; use memory of cuMemAllocHost");
  return broken(c, STREAM_CAPTURE_UNSUPPORTED);
}
bool hostGone(const char* name, const void* host, u64 n) {
  if (pinned(host, n)) return false;
  report(std::string(name) + ": the pinned host memory was freed before the copy ran");
  return true;
}

Error runHtoD(const char* name, u64 to, const void* from, u64 n) {
  Allocation* a = range(name, to, n);
  if (!a) return ILLEGAL_ADDRESS;
  std::memcpy(a->data + (to - a->base), from, n);
  if (a->written) std::memset(a->written + (to - a->base), 1, n);
  return SUCCESS;
}
Error runDtoH(const char* name, void* to, u64 from, u64 n) {
  Allocation* a = range(name, from, n);
  if (!a) return ILLEGAL_ADDRESS;
  u64 offset = from - a->base;
  if (a->written)
    if (auto* hole = static_cast<uint8_t*>(std::memchr(a->written + offset, 0, n))) {
      report(std::string(name) + ": read of memory never written: byte " + std::to_string(hole - a->written) + " of " + a->name);
      return LAUNCH_FAILED;
    }
  std::memcpy(to, a->data + offset, n);
  return SUCCESS;
}
Error runDtoD(const char* name, u64 to, u64 from, u64 n) {
  Allocation *a = range(name, to, n), *b = range(name, from, n);
  if (!a || !b) return ILLEGAL_ADDRESS;
  std::memmove(a->data + (to - a->base), b->data + (from - b->base), n);
  if (a->written) {  // what was never written stays so
    if (b->written) std::memmove(a->written + (to - a->base), b->written + (from - b->base), n);
    else std::memset(a->written + (to - a->base), 1, n);
  }
  return SUCCESS;
}

int htod(const char* name, u64 to, const void* from, u64 n, void* handle, bool async) {
  return api(name, SOUND, [&]() -> int {
    Stream* s = streamOf(handle);
    if (!s) return INVALID_HANDLE;
    if (!n) return SUCCESS;
    if (!range(name, to, n)) return INVALID_VALUE;
    if (!async) {
      if (Error e = waiting(s)) return e;
      drainBlocking(s->context);
      if (s->context->lost) return s->context->lost;
      Error e = runHtoD(name, to, from, n);
      return e ? lose(s->context, e) : e;
    }
    if (pinned(from, n))  // read when it runs
      return enqueue(s, [=] { return hostGone(name, from, n) ? ILLEGAL_ADDRESS : runHtoD(name, to, from, n); });
    if (s->capture) return pageable(name, s->capture);
    auto staged = std::make_shared<std::vector<uint8_t>>(static_cast<const uint8_t*>(from), static_cast<const uint8_t*>(from) + n);
    return enqueue(s, [=] { return runHtoD(name, to, staged->data(), n); });
  });
}
int dtoh(const char* name, void* to, u64 from, u64 n, void* handle, bool async) {
  for (auto* a : answers)  // softcuda's own, whatever state the device is in
    if (from == reinterpret_cast<u64>(a->data()) && n <= a->size()) { std::memcpy(to, a->data(), n); return SUCCESS; }
  return api(name, SOUND, [&]() -> int {
    Stream* s = streamOf(handle);
    if (!s) return INVALID_HANDLE;
    if (!n) return SUCCESS;
    if (!range(name, from, n)) return INVALID_VALUE;
    if (async && pinned(to, n))
      return enqueue(s, [=] { return hostGone(name, to, n) ? ILLEGAL_ADDRESS : runDtoH(name, to, from, n); });
    if (async && s->capture) return pageable(name, s->capture);
    if (Error e = waiting(s)) return e;
    if (async) {  // to pageable memory: back only when done, as the driver
      enqueue(s, [=] { return runDtoH(name, to, from, n); });
      return drain(s);
    }
    drainBlocking(s->context);
    if (s->context->lost) return s->context->lost;
    Error e = runDtoH(name, to, from, n);
    return e ? lose(s->context, e) : e;
  });
}
int dtod(const char* name, u64 to, u64 from, u64 n, void* handle) {
  return api(name, SOUND, [&]() -> int {
    Stream* s = streamOf(handle);
    if (!s) return INVALID_HANDLE;
    if (!n) return SUCCESS;
    if (!range(name, to, n) || !range(name, from, n)) return INVALID_VALUE;
    return enqueue(s, [=] { return runDtoD(name, to, from, n); });
  });
}
int fill(const char* name, u64 to, u32 value, unsigned width, u64 n, void* handle) {
  return api(name, SOUND, [&]() -> int {
    Stream* s = streamOf(handle);
    if (!s) return INVALID_HANDLE;
    if (!n) return SUCCESS;
    if (to % width || !range(name, to, n * width)) return INVALID_VALUE;
    auto run = [=] {
      Allocation* a = range(name, to, n * width);
      if (!a) return ILLEGAL_ADDRESS;
      uint8_t* p = a->data + (to - a->base);
      if (width == 1 || value == 0) std::memset(p, int(value), n * width);
      else for (u64 k = 0; k < n; ++k) std::memcpy(p + k * width, &value, width);
      if (a->written) std::memset(a->written + (to - a->base), 1, n * width);
      return SUCCESS;
    };
    return enqueue(s, run);  // the call that is not Async, too: the driver only queues it
  });
}

int devices() { return int(setting("SOFTCUDA_DEVICES", 1)); }
bool isDevice(int device) { return device >= 0 && device < devices(); }

Context* makeContext(bool isPrimary, int device) {
  Context* c = isPrimary ? primaries[device] : nullptr;  // the same one again, for a thread may still have it in its stack
  if (!c) c = new Context;
  if (isPrimary) primaries[device] = c;
  c->destroyed = false;
  c->lost = SUCCESS;
  c->primary = isPrimary;
  c->device = device;
  contexts.insert(c);
  c->null = new Stream{c, true, 0};
  c->streams.insert(c->null);
  return c;
}
void destroyContext(Context* c) {
  for (Stream* s : c->streams)
    if (s->capture) {
      report("left when its context was destroyed: a capture that nobody ended");
      release(s->capture);
    }
  if (!c->lost) drainAll(c);
  if (!c->lost)  // nobody can free anything in a lost one
    for (auto* a : memory.leftovers(c))
      report("left when its context was destroyed: " + a->name + " of " + std::to_string(a->size) + " bytes");
  memory.freeAll(c);
  for (Stream* s : c->streams) delete s;
  for (auto* m : c->modules) delete m;
  c->streams.clear();
  c->modules.clear();
  c->functions.clear();
  c->uses = 0;
  for (auto e = events.begin(); e != events.end();) e = e->second->context == c ? events.erase(e) : std::next(e);
  for (auto g = graphs.begin(); g != graphs.end();) {
    if ((*g)->context != c) { ++g; continue; }
    if (!c->lost) report("left when its context was destroyed: a graph");
    delete *g;
    g = graphs.erase(g);
  }
  c->destroyed = true;
  contexts.erase(c);
}
Context* primaryOf(int device) {  // that is there, or null
  auto it = primaries.find(device);
  return it == primaries.end() || it->second->destroyed ? nullptr : it->second;
}
Context* context(void* handle) {  // that is there, or null
  auto* c = static_cast<Context*>(handle);
  return contexts.count(c) ? c : nullptr;
}

int load(const char* name, void** module, const void* image, u32 options, const int* keys, void** values) {
  return api(name, std::strcmp(static_cast<const char*>(image ? image : ""), "softcuda") ? SAFE : SOUND, [&]() -> int {
    const char* text = static_cast<const char*>(image);
    if (!text || !module) return INVALID_VALUE;
    auto loaded = std::make_unique<LoadedModule>();
    u32 magic;
    std::memcpy(&magic, text, text[0] && text[1] && text[2] ? 4 : 1);
    if (std::memcmp(text, "\x7f" "ELF", 4) == 0 || (uint8_t(text[0]) == 0x50 && uint8_t(text[1]) == 0xed)) return NO_BINARY;
    if (std::string(text) != "softcuda") {
      try {
        loaded->module = parse(text, current());
      } catch (PtxError& e) {
        report(e.what());
        for (u32 k = 0; k < options; ++k)
          if (keys[k] == 5) {  // CU_JIT_ERROR_LOG_BUFFER; its size is the option behind it
            u64 size = 0;
            for (u32 j = 0; j < options; ++j) if (keys[j] == 6) size = reinterpret_cast<u64>(values[j]);
            if (size && values[k]) snprintf(static_cast<char*>(values[k]), size, "%s", e.what());
          }
        return INVALID_PTX;
      }
      for (auto& f : loaded->module->functions)
        if (f.second->entry && f.second->defined)
          loaded->functions[f.first].reset(new LoadedFunction{loaded.get(), f.second.get(), 49152});
      for (auto& f : loaded->functions) current()->functions.insert(f.second.get());
    } else {
      answers.push_back(&loaded->answer);
    }
    current()->modules.insert(loaded.get());
    *module = loaded.release();
    return SUCCESS;
  });
}

const std::map<int, int>& attributes() {
  static const std::map<int, int> table = {
      {1, 1024}, {2, 1024}, {3, 1024}, {4, 64}, {5, 0x7fffffff}, {6, 65535}, {7, 65535}, {8, 49152}, {9, 65536}, {10, 32}, {11, 0x7fffffff},
      {12, 65536}, {13, 1000000}, {14, 512}, {15, 1}, {16, int(setting("SOFTCUDA_MULTIPROCESSORS", 4))}, {17, 0}, {18, 0}, {19, 1}, {20, 0},
      {31, 1}, {32, 0}, {33, 0}, {34, 0}, {35, 0}, {36, 1000000}, {37, 512}, {38, 32 << 20}, {39, 2048}, {40, 1}, {41, 1}, {50, 0},
      {75, int(setting("SOFTCUDA_CAPABILITY", 90) / 10)}, {76, int(setting("SOFTCUDA_CAPABILITY", 90) % 10)}, {78, 1}, {81, 233472}, {82, 65536},
      {83, 0}, {85, 0}, {89, 0}, {95, 0}, {97, 232448}, {106, 32}};
  return table;
}

}  // namespace

#define API extern "C" __attribute__((visibility("default"))) int

// ---- device, context ----

API cuInit(u32) {
  return api("cuInit", NOTHING, []() -> int {
    if (devices() < 1) return NO_DEVICE;
    if (!initialized) fprintf(stderr, "softcuda: this is the software GPU; no figure of its speed means anything\n");
    memory.total = uint64_t(setting("SOFTCUDA_MEMORY", long(memory.total)));
    initialized = true;
    return SUCCESS;
  });
}
// NVRTC looks for the driver, calls cuInit and this, and crashes where there is the one and not the other.
API cuGetExportTable(const void** table, const void*) {
  *table = nullptr;
  return NOT_FOUND;
}
API cuDriverGetVersion(int* v) {
  return api("cuDriverGetVersion", NOTHING, [&]() -> int { *v = int(setting("SOFTCUDA_VERSION", 12060)); return SUCCESS; });
}
API cuDeviceGetCount(int* n) { return api("cuDeviceGetCount", INIT, [&]() -> int { *n = devices(); return SUCCESS; }); }
API cuDeviceGet(int* device, int ordinal) {
  return api("cuDeviceGet", INIT, [&]() -> int { *device = ordinal; return isDevice(ordinal) ? SUCCESS : INVALID_DEVICE; });
}
API cuDeviceGetName(char* name, int n, int device) {
  return api("cuDeviceGetName", INIT, [&]() -> int {
    if (!isDevice(device)) return INVALID_DEVICE;
    snprintf(name, size_t(n), "Kudari software GPU");
    return SUCCESS;
  });
}
API cuDeviceGetAttribute(int* x, int attribute, int device) {
  return api("cuDeviceGetAttribute", INIT, [&]() -> int {
    if (!isDevice(device)) return INVALID_DEVICE;
    if (attribute < 1 || attribute > 200) return INVALID_VALUE;
    auto it = attributes().find(attribute);
    *x = it == attributes().end() ? 0 : it->second;
    return SUCCESS;
  });
}
API cuDeviceComputeCapability(int* major, int* minor, int) {
  return api("cuDeviceComputeCapability", INIT, [&]() -> int { *major = attributes().at(75); *minor = attributes().at(76); return SUCCESS; });
}
API cuDeviceTotalMem_v2(size_t* bytes, int device) {
  return api("cuDeviceTotalMem_v2", INIT, [&]() -> int { *bytes = memory.total; return isDevice(device) ? SUCCESS : INVALID_DEVICE; });
}
API cuDeviceGetUuid(char* uuid, int) {
  return api("cuDeviceGetUuid", INIT, [&]() -> int { std::memcpy(uuid, "softcuda-softcud", 16); return SUCCESS; });
}
API cuDeviceGetPCIBusId(char* id, int n, int) {
  return api("cuDeviceGetPCIBusId", INIT, [&]() -> int { snprintf(id, size_t(n), "0000:00:00.0"); return SUCCESS; });
}
API cuDevicePrimaryCtxRetain(void** c, int device) {
  return api("cuDevicePrimaryCtxRetain", INIT, [&]() -> int {
    if (!isDevice(device)) return INVALID_DEVICE;
    Context* primary = primaryOf(device);
    if (!primary) primary = makeContext(true, device);
    ++primary->uses;
    *c = primary;
    return SUCCESS;
  });
}
API cuDevicePrimaryCtxRelease_v2(int device) {  // pops it from no stack
  return api("cuDevicePrimaryCtxRelease_v2", INIT, [&]() -> int {
    Context* primary = primaryOf(device);
    if (!primary) return INVALID_CONTEXT;
    if (--primary->uses == 0) destroyContext(primary);
    return SUCCESS;
  });
}
API cuDevicePrimaryCtxReset_v2(int device) {
  return api("cuDevicePrimaryCtxReset_v2", INIT, [&]() -> int {
    if (Context* primary = primaryOf(device)) destroyContext(primary);
    return SUCCESS;
  });
}
API cuDevicePrimaryCtxGetState(int device, u32* flags, int* active) {
  return api("cuDevicePrimaryCtxGetState", INIT, [&]() -> int {
    *flags = 0;
    *active = primaryOf(device) != nullptr;
    return SUCCESS;
  });
}
API cuDevicePrimaryCtxSetFlags_v2(int, u32) { return api("cuDevicePrimaryCtxSetFlags_v2", INIT, []() -> int { return SUCCESS; }); }
API cuCtxCreate_v2(void** c, u32, int device) {
  return api("cuCtxCreate_v2", INIT, [&]() -> int {
    if (!isDevice(device)) return INVALID_DEVICE;
    auto* fresh = makeContext(false, device);
    stack.push_back(fresh);
    *c = fresh;
    return SUCCESS;
  });
}
API cuCtxDestroy_v2(void* handle) {  // popped where it is current to this thread; in other stacks, and deeper in this one, it stays, destroyed
  return api("cuCtxDestroy_v2", INIT, [&]() -> int {
    Context* c = context(handle);
    if (!c || c->primary) {
      report(std::string("cuCtxDestroy_v2: ") + (c ? "a primary context is released, not destroyed" : "no context, or one that was destroyed"));
      return INVALID_CONTEXT;
    }
    destroyContext(c);
    if (current() == c) stack.pop_back();
    return SUCCESS;
  });
}
API cuCtxSetCurrent(void* handle) {
  return api("cuCtxSetCurrent", INIT, [&]() -> int {
    Context* c = context(handle);
    if (handle && !c) return INVALID_CONTEXT;
    if (!stack.empty()) stack.pop_back();
    if (c) stack.push_back(c);
    return SUCCESS;
  });
}
API cuCtxGetCurrent(void** c) { return api("cuCtxGetCurrent", INIT, [&]() -> int { *c = current(); return SUCCESS; }); }
API cuCtxPushCurrent_v2(void* handle) {
  return api("cuCtxPushCurrent_v2", INIT, [&]() -> int {
    Context* c = context(handle);
    if (!c) return INVALID_CONTEXT;
    stack.push_back(c);
    return SUCCESS;
  });
}
API cuCtxPopCurrent_v2(void** c) {
  return api("cuCtxPopCurrent_v2", INIT, [&]() -> int {
    if (stack.empty()) return INVALID_CONTEXT;
    if (c) *c = current();
    stack.pop_back();
    return SUCCESS;
  });
}
API cuCtxSynchronize() {
  return api("cuCtxSynchronize", SOUND, []() -> int {
    Error e = waiting(current(), false);
    return e ? e : drainAll(current());
  });
}
API cuCtxGetDevice(int* device) { return api("cuCtxGetDevice", CONTEXT, [&]() -> int { *device = current()->device; return SUCCESS; }); }
API cuCtxGetApiVersion(void*, u32* v) { return api("cuCtxGetApiVersion", CONTEXT, [&]() -> int { *v = 12060; return SUCCESS; }); }
API cuCtxGetStreamPriorityRange(int* least, int* greatest) {
  return api("cuCtxGetStreamPriorityRange", CONTEXT, [&]() -> int {
    if (least) *least = 0;
    if (greatest) *greatest = -5;
    return SUCCESS;
  });
}

// ---- streams, events ----

API cuStreamCreateWithPriority(void** s, u32 flags, int priority) {
  return api("cuStreamCreateWithPriority", SOUND, [&]() -> int {
    auto* fresh = new Stream{current(), !(flags & 1), priority};
    current()->streams.insert(fresh);
    *s = fresh;
    return SUCCESS;
  });
}
API cuStreamCreate(void** s, u32 flags) {
  return api("cuStreamCreate", SOUND, [&]() -> int {
    auto* fresh = new Stream{current(), !(flags & 1), 0};
    current()->streams.insert(fresh);
    *s = fresh;
    return SUCCESS;
  });
}
API cuStreamDestroy_v2(void* handle) {
  return api("cuStreamDestroy_v2", CONTEXT, [&]() -> int {
    Stream* s = handle ? streamOf(handle) : nullptr;
    if (!s || s == current()->null) return INVALID_HANDLE;
    if (s->capture) return broken(s->capture, STREAM_CAPTURE_UNSUPPORTED);
    drain(s);
    for (auto& e : events) if (e.second->stream == s) e.second->stream = nullptr;
    s->context->streams.erase(s);
    delete s;
    return current()->lost;
  });
}
API cuStreamSynchronize(void* handle) {
  return api("cuStreamSynchronize", SOUND, [&]() -> int {
    Stream* s = streamOf(handle);
    if (!s) return INVALID_HANDLE;
    if (Error e = waiting(s)) return e;
    if (s == current()->null) drainBlocking(current());
    return drain(s);
  });
}
API cuStreamQuery(void* handle) {  // lets one operation run, so that whoever polls gets on
  return api("cuStreamQuery", SOUND, [&]() -> int {
    Stream* s = streamOf(handle);
    if (!s) return INVALID_HANDLE;
    if (Error e = waiting(s)) return e;
    if (s->ops.empty()) return SUCCESS;
    runOne(s);
    return current()->lost ? current()->lost : NOT_READY;
  });
}
API cuStreamGetPriority(void* handle, int* priority) {
  return api("cuStreamGetPriority", CONTEXT, [&]() -> int {
    Stream* s = streamOf(handle);
    if (!s) return INVALID_HANDLE;
    *priority = s->priority;
    return SUCCESS;
  });
}
API cuStreamGetFlags(void* handle, u32* flags) {
  return api("cuStreamGetFlags", CONTEXT, [&]() -> int {
    Stream* s = streamOf(handle);
    if (!s) return INVALID_HANDLE;
    *flags = !s->blocking;
    return SUCCESS;
  });
}
API cuStreamGetCtx(void* handle, void** c) {
  return api("cuStreamGetCtx", CONTEXT, [&]() -> int {
    Stream* s = streamOf(handle);
    for (Context* other : contexts)  // whatever context is current
      if (other->streams.count(static_cast<Stream*>(handle))) s = static_cast<Stream*>(handle);
    if (!s) return INVALID_HANDLE;
    *c = s->context;
    return SUCCESS;
  });
}
API cuStreamWaitEvent(void* handle, void* event, u32 flags) {
  return api("cuStreamWaitEvent", SOUND, [&]() -> int {
    Stream* s = streamOf(handle);
    auto it = events.find(event);
    if (!s || it == events.end()) return INVALID_HANDLE;
    if (flags) return NOT_SUPPORTED;  // an event node of a graph
    EventPtr e = it->second;
    if (e->captured) {
      Capture* c = e->capture;
      if (!c) return s->capture ? broken(s->capture, STREAM_CAPTURE_ISOLATION) : CAPTURED_EVENT;
      if (c->broken) return STREAM_CAPTURE_INVALIDATED;
      if (s == s->context->null) return broken(c, STREAM_CAPTURE_IMPLICIT);
      if (s->capture && s->capture != c) {
        broken(s->capture, STREAM_CAPTURE_MERGE);
        return broken(c, STREAM_CAPTURE_MERGE);
      }
      s->capture = c;  // joins it
      s->before.insert(e->before.begin(), e->before.end());
      return SUCCESS;
    }
    if (s->capture) return broken(s->capture, STREAM_CAPTURE_ISOLATION);
    if (!e->recorded) return SUCCESS;
    u64 ticket = e->recorded;
    return enqueue(s, [e, ticket] { drainUntil(e, ticket); return SUCCESS; });
  });
}
API cuLaunchHostFunc(void* handle, void (*function)(void*), void* data) {
  return api("cuLaunchHostFunc", SOUND, [&]() -> int {
    Stream* s = streamOf(handle);
    if (!s || !function) return INVALID_HANDLE;
    if (s->capture) return broken(s->capture, STREAM_CAPTURE_UNSUPPORTED);  // a graph of ours has no such nodes
    s->ops.push_back({nullptr, [=] { function(data); }});
    return SUCCESS;
  });
}
API cuEventCreate(void** event, u32) {
  return api("cuEventCreate", SOUND, [&]() -> int {
    auto e = std::make_shared<Event>();
    e->context = current();
    *event = e.get();
    events[e.get()] = e;
    return SUCCESS;
  });
}
API cuEventDestroy_v2(void* event) {
  return api("cuEventDestroy_v2", CONTEXT, [&]() -> int { return events.erase(event) ? SUCCESS : INVALID_HANDLE; });
}
API cuEventRecord(void* event, void* handle) {
  return api("cuEventRecord", SOUND, [&]() -> int {
    Stream* s = streamOf(handle);
    auto it = events.find(event);
    if (!s || it == events.end() || it->second->context != s->context) return INVALID_HANDLE;
    EventPtr e = it->second;
    if (s->capture && s->capture->broken) return STREAM_CAPTURE_INVALIDATED;
    if (s == s->context->null)
      if (Error i = waiting(s->context, true)) return i;
    e->captured = s->capture;
    e->capture = s->capture;
    e->before = s->before;
    if (s->capture) return SUCCESS;
    u64 ticket = e->recorded = ++tickets;
    e->stream = s;
    return enqueue(s, [e, ticket] {
      e->completed = ticket;
      e->time = Clock::now();
      return SUCCESS;
    });
  });
}
API cuEventSynchronize(void* event) {
  return api("cuEventSynchronize", SOUND, [&]() -> int {
    auto it = events.find(event);
    if (it == events.end()) return INVALID_HANDLE;
    if (Error e = waiting(it->second)) return e;
    drainUntil(it->second, it->second->recorded);
    return current()->lost;
  });
}
API cuEventQuery(void* event) {
  return api("cuEventQuery", SOUND, [&]() -> int {
    auto it = events.find(event);
    if (it == events.end()) return INVALID_HANDLE;
    EventPtr e = it->second;
    if (Error w = waiting(e)) return w;
    if (e->completed >= e->recorded) return SUCCESS;
    if (e->stream && !e->stream->ops.empty()) runOne(e->stream);
    return current()->lost ? current()->lost : NOT_READY;
  });
}
API cuEventElapsedTime(float* ms, void* from, void* to) {
  return api("cuEventElapsedTime", SOUND, [&]() -> int {
    auto a = events.find(from), b = events.find(to);
    if (a == events.end() || b == events.end()) return INVALID_HANDLE;
    if (a->second->captured || b->second->captured) return CAPTURED_EVENT;
    if (!a->second->recorded || !b->second->recorded) return INVALID_HANDLE;
    if (a->second->completed < a->second->recorded || b->second->completed < b->second->recorded) return NOT_READY;
    *ms = std::chrono::duration<float, std::milli>(b->second->time - a->second->time).count();
    return SUCCESS;
  });
}

// ---- memory ----

static int allocate(const char* name, Needs needs, u64* p, size_t n) {
  return api(name, needs, [&]() -> int {
    if (!n || !p) return INVALID_VALUE;
    Allocation* a = memory.allocate(n, Kind::Device, name, current());
    if (!a) return OUT_OF_MEMORY;
    *p = a->base;
    return SUCCESS;
  });
}
API cuMemAlloc_v2(u64* p, size_t n) { return allocate("cuMemAlloc_v2", SAFE, p, n); }
API cuMemAllocAsync(u64* p, size_t n, void* handle) {
  Stream* s = current() ? streamOf(handle) : nullptr;
  if (s && s->capture) return api("cuMemAllocAsync", SOUND, [s]() -> int { return broken(s->capture, STREAM_CAPTURE_UNSUPPORTED); });
  return allocate("cuMemAllocAsync", SOUND, p, n);
}
// Queued work is not run first: work that still uses the memory is reported, when it runs, as the use after free it is.
API cuMemFree_v2(u64 p) {
  return api("cuMemFree_v2", SAFE, [&]() -> int {
    if (!p) return SUCCESS;
    Allocation* a = memory.find(p);
    if (!a || a->base != p || a->kind != Kind::Device) {
      report("cuMemFree_v2: " + hex(p) + " is not the start of an allocation: " + (a ? "inside " + a->name : memory.describe(p)));
      return INVALID_VALUE;
    }
    memory.free(p);
    return SUCCESS;
  });
}
API cuMemFreeAsync(u64 p, void* handle) {
  return api("cuMemFreeAsync", SOUND, [&]() -> int {
    Stream* s = streamOf(handle);
    if (!s) return INVALID_HANDLE;
    if (s->capture) return broken(s->capture, STREAM_CAPTURE_UNSUPPORTED);
    return enqueue(s, [p] { return memory.free(p) ? SUCCESS : ILLEGAL_ADDRESS; });
  });
}
static int allocateHost(const char* name, void** p, size_t n) {
  return api(name, SAFE, [&]() -> int {
    if (!n || !p) return INVALID_VALUE;
    void* host = mmap(nullptr, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (host == MAP_FAILED) return OUT_OF_MEMORY;
    memory.adopt(host, n, name, current());
    *p = host;
    return SUCCESS;
  });
}
API cuMemAllocHost_v2(void** p, size_t n) { return allocateHost("cuMemAllocHost_v2", p, n); }
API cuMemHostAlloc(void** p, size_t n, u32) { return allocateHost("cuMemHostAlloc", p, n); }
API cuMemFreeHost(void* p) {
  return api("cuMemFreeHost", SAFE, [&]() -> int {
    if (!p) return SUCCESS;
    Allocation* a = memory.find(reinterpret_cast<u64>(p));
    if (!a || a->data != p || a->kind != Kind::Pinned) return INVALID_VALUE;
    u64 n = a->size;
    memory.free(a->base);
    munmap(p, n);
    return SUCCESS;
  });
}
API cuMemHostRegister_v2(void* p, size_t n, u32) {
  return api("cuMemHostRegister_v2", SAFE, [&]() -> int { memory.adopt(p, n, "cuMemHostRegister_v2", current()); return SUCCESS; });
}
API cuMemHostUnregister(void* p) {
  return api("cuMemHostUnregister", SAFE, [&]() -> int { return memory.free(reinterpret_cast<u64>(p)) ? SUCCESS : INVALID_VALUE; });
}
API cuMemHostGetDevicePointer_v2(u64* d, void* p, u32) {
  return api("cuMemHostGetDevicePointer_v2", SOUND, [&]() -> int { *d = reinterpret_cast<u64>(p); return pinned(p, 1) ? SUCCESS : INVALID_VALUE; });
}
API cuMemGetInfo_v2(size_t* left, size_t* total) {
  return api("cuMemGetInfo_v2", SOUND, [&]() -> int { *total = memory.total; *left = memory.total - memory.live() - u64(setting("SOFTCUDA_USED", 0)); return SUCCESS; });
}
API cuMemGetAddressRange_v2(u64* base, size_t* size, u64 p) {
  return api("cuMemGetAddressRange_v2", SOUND, [&]() -> int {
    Allocation* a = memory.find(p);
    if (!a) return NOT_FOUND;
    if (base) *base = a->base;
    if (size) *size = a->size;
    return SUCCESS;
  });
}
// Of memory that is there; of all else, and of what it has not, INVALID_VALUE.
static int pointerAttribute(void* result, int attribute, u64 p) {
  Allocation* a = memory.find(p);
  if (!a) return INVALID_VALUE;
  bool host = a->kind == Kind::Pinned;
  auto put = [&](auto x) { std::memcpy(result, &x, sizeof x); return SUCCESS; };
  switch (attribute) {
    case 1: return put(a->context);
    case 2: return put(u32(host ? 1 : 2));
    case 3: return put(p);
    case 4: return host ? put(p) : INVALID_VALUE;
    case 7: return put(a->base);
    case 8: return put(u32(0));
    case 9: return put(static_cast<Context*>(a->context)->device);
    case 11: return put(a->base);
    case 12: return put(a->size);
    case 13: return put(uint8_t(1));
    default: return NOT_SUPPORTED;
  }
}
API cuPointerGetAttribute(void* result, int attribute, u64 p) {
  return api("cuPointerGetAttribute", SOUND, [&]() -> int { return result ? pointerAttribute(result, attribute, p) : INVALID_VALUE; });
}
API cuPointerGetAttributes(u32 n, const int* attributes, void** results, u64 p) {  // what is not there is 0, or an ordinal of -2
  return api("cuPointerGetAttributes", SOUND, [&]() -> int {
    for (u32 k = 0; k < n; ++k) {
      int code = pointerAttribute(results[k], attributes[k], p);
      if (code == NOT_SUPPORTED) return code;
      if (code == SUCCESS) continue;
      if (attributes[k] == 9) *static_cast<int*>(results[k]) = -2;
      else std::memset(results[k], 0, attributes[k] == 2 || attributes[k] == 8 ? 4 : attributes[k] == 13 ? 1 : 8);
    }
    return SUCCESS;
  });
}

API cuMemcpyHtoD_v2(u64 to, const void* from, size_t n) { return htod("cuMemcpyHtoD_v2", to, from, n, nullptr, false); }
API cuMemcpyHtoDAsync_v2(u64 to, const void* from, size_t n, void* s) { return htod("cuMemcpyHtoDAsync_v2", to, from, n, s, true); }
API cuMemcpyDtoH_v2(void* to, u64 from, size_t n) { return dtoh("cuMemcpyDtoH_v2", to, from, n, nullptr, false); }
API cuMemcpyDtoHAsync_v2(void* to, u64 from, size_t n, void* s) { return dtoh("cuMemcpyDtoHAsync_v2", to, from, n, s, true); }
API cuMemcpyDtoD_v2(u64 to, u64 from, size_t n) { return dtod("cuMemcpyDtoD_v2", to, from, n, nullptr); }
API cuMemcpyDtoDAsync_v2(u64 to, u64 from, size_t n, void* s) { return dtod("cuMemcpyDtoDAsync_v2", to, from, n, s); }
API cuMemsetD8_v2(u64 p, uint8_t x, size_t n) { return fill("cuMemsetD8_v2", p, x, 1, n, nullptr); }
API cuMemsetD8Async(u64 p, uint8_t x, size_t n, void* s) { return fill("cuMemsetD8Async", p, x, 1, n, s); }
API cuMemsetD16_v2(u64 p, uint16_t x, size_t n) { return fill("cuMemsetD16_v2", p, x, 2, n, nullptr); }
API cuMemsetD16Async(u64 p, uint16_t x, size_t n, void* s) { return fill("cuMemsetD16Async", p, x, 2, n, s); }
API cuMemsetD32_v2(u64 p, u32 x, size_t n) { return fill("cuMemsetD32_v2", p, x, 4, n, nullptr); }
API cuMemsetD32Async(u64 p, u32 x, size_t n, void* s) { return fill("cuMemsetD32Async", p, x, 4, n, s); }

// ---- modules, launches ----

API cuModuleLoadData(void** m, const void* image) { return load("cuModuleLoadData", m, image, 0, nullptr, nullptr); }
API cuModuleLoadDataEx(void** m, const void* image, u32 n, int* keys, void** values) {
  return load("cuModuleLoadDataEx", m, image, n, keys, values);
}
API cuModuleUnload(void* handle) {
  return api("cuModuleUnload", SAFE, [&]() -> int {
    auto* m = static_cast<LoadedModule*>(handle);
    if (!current()->modules.count(m)) return INVALID_HANDLE;
    drainAll(current());  // queued launches point into it
    if (m->module) for (auto& v : m->module->variables) memory.free(v.second->base);
    for (auto& f : m->functions) current()->functions.erase(f.second.get());
    current()->modules.erase(m);
    delete m;
    return current()->lost;
  });
}
API cuModuleGetFunction(void** f, void* handle, const char* name) {
  return api("cuModuleGetFunction", SOUND, [&]() -> int {
    auto* m = static_cast<LoadedModule*>(handle);
    if (!current()->modules.count(m)) return INVALID_HANDLE;
    auto it = m->functions.find(name);
    if (it == m->functions.end()) return NOT_FOUND;
    *f = it->second.get();
    return SUCCESS;
  });
}
API cuModuleGetGlobal_v2(u64* p, size_t* n, void* handle, const char* name) {
  auto* m = static_cast<LoadedModule*>(handle);
  Lock lock;
  if (current() && current()->modules.count(m) && !m->module) {
    m->answer = command(name);
    if (p) *p = reinterpret_cast<u64>(m->answer.data());
    if (n) *n = m->answer.size();
    return SUCCESS;
  }
  return api("cuModuleGetGlobal_v2", SOUND, [&]() -> int {
    if (!current()->modules.count(m)) return INVALID_HANDLE;
    auto it = m->module->variables.find(name);
    if (it == m->module->variables.end()) return NOT_FOUND;
    if (p) *p = it->second->base;
    if (n) *n = it->second->size;
    return SUCCESS;
  });
}
API cuFuncGetAttribute(int* x, int attribute, void* handle) {
  return api("cuFuncGetAttribute", SOUND, [&]() -> int {
    auto* f = static_cast<LoadedFunction*>(handle);
    switch (attribute) {
      case 0: *x = f->function->maxThreads; return SUCCESS;
      case 1: *x = int(f->function->sharedBytes); return SUCCESS;
      case 2: *x = 0; return SUCCESS;
      case 3: *x = int(f->function->localBytes); return SUCCESS;
      case 4: *x = 32; return SUCCESS;  // registers are allotted by ptxas; this is no measurement
      case 5: case 6: *x = attributes().at(75) * 10 + attributes().at(76); return SUCCESS;
      case 7: *x = 0; return SUCCESS;
      case 8: *x = int(f->maxDynamicShared); return SUCCESS;
      case 9: *x = -1; return SUCCESS;
      default: return INVALID_VALUE;
    }
  });
}
API cuFuncSetAttribute(void* handle, int attribute, int x) {
  return api("cuFuncSetAttribute", SOUND, [&]() -> int {
    if (attribute == 8) {
      if (x < 0 || x > 232448) return INVALID_VALUE;
      static_cast<LoadedFunction*>(handle)->maxDynamicShared = u32(x);
    }
    return attribute == 8 || attribute == 9 ? SUCCESS : INVALID_VALUE;
  });
}
API cuFuncSetCacheConfig(void*, int) { return api("cuFuncSetCacheConfig", SOUND, []() -> int { return SUCCESS; }); }
static int occupancy(int* blocks, void* handle, int threads, size_t shared) {
  auto* f = static_cast<LoadedFunction*>(handle);
  if (threads < 1) return INVALID_VALUE;
  if (threads > f->function->maxThreads) { *blocks = 0; return SUCCESS; }
  u64 each = f->function->sharedBytes + shared;
  *blocks = int(std::min<u64>({u64(2048 / ((threads + 31) / 32 * 32)), 32, each ? 233472 / each : 32}));
  return SUCCESS;
}
API cuOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, void* f, int threads, size_t shared) {
  return api("cuOccupancyMaxActiveBlocksPerMultiprocessor", SOUND, [&]() -> int { return occupancy(blocks, f, threads, shared); });
}
API cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int* blocks, void* f, int threads, size_t shared, u32) {
  return api("cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags", SOUND, [&]() -> int { return occupancy(blocks, f, threads, shared); });
}
API cuLaunchKernel(void* handle, u32 gx, u32 gy, u32 gz, u32 bx, u32 by, u32 bz, u32 shared, void* stream, void** params, void** extra) {
  if (dropping) return SUCCESS;  // uncounted, too, for whoever times what comes before the driver
  return api("cuLaunchKernel", SOUND, [&]() -> int {
    Stream* s = streamOf(stream);
    auto* f = static_cast<LoadedFunction*>(handle);
    if (!s || !current()->functions.count(f)) return INVALID_HANDLE;
    u64 threads = u64(bx) * by * bz;
    if (!gx || !gy || !gz || !threads || gx > 0x7fffffff || gy > 65535 || gz > 65535 || bx > 1024 || by > 1024 || bz > 64 ||
        threads > u64(f->function->maxThreads) || f->function->sharedBytes + shared > std::max(f->maxDynamicShared, 49152u)) {
      report("cuLaunchKernel: kernel " + f->function->name + " with a grid of (" + std::to_string(gx) + "," + std::to_string(gy) + "," +
             std::to_string(gz) + ") blocks of (" + std::to_string(bx) + "," + std::to_string(by) + "," + std::to_string(bz) + ") threads and " +
             std::to_string(shared) + " bytes of shared memory: beyond the limits");
      return INVALID_VALUE;
    }
    auto launch = std::make_shared<Launch>(
        Launch{f->module->module.get(), f->function, current(), {gx, gy, gz}, {bx, by, bz}, shared, std::vector<uint8_t>(f->function->formalBytes)});
    if (params) {  // values are read now, as the driver does
      for (size_t k = 0; k < f->function->params.size(); ++k) {
        if (!params[k]) return INVALID_VALUE;
        std::memcpy(&launch->params[f->function->params[k].offset], params[k], f->function->params[k].size);
      }
    } else if (extra) {
      const void* buffer = nullptr;
      size_t size = 0;
      for (void** e = extra; *e; e += 2) {
        if (*e == reinterpret_cast<void*>(1)) buffer = e[1];
        if (*e == reinterpret_cast<void*>(2)) size = *static_cast<size_t*>(e[1]);
      }
      if (!buffer || size < launch->params.size()) return INVALID_VALUE;
      std::memcpy(launch->params.data(), buffer, launch->params.size());
    } else if (!launch->params.empty()) {
      return INVALID_VALUE;
    }
    return enqueue(s, [launch, module = std::weak_ptr<Module>(f->module->module), name = f->function->name] {
      auto held = module.lock();
      if (held) return run(*launch, [&] { return execute(*launch, workers()); });
      report("kernel " + name + ": its module was unloaded before it ran");  // by a graph
      return ILLEGAL_ADDRESS;
    });
  });
}

// ---- for libraries over the driver ----

Error soft::prohibited() { return unsafe(); }
int soft::enter(const char* name, const std::function<int(Error, void*)>& body) {
  return api(name, NOTHING, [&] { return body(!current() ? INVALID_CONTEXT : current()->destroyed ? CONTEXT_IS_DESTROYED : current()->lost, current()); });
}
Error soft::submit(const char* kernel, void* stream, const std::function<Outcome()>& work) {
  Stream* s = streamOf(stream);
  if (!s) return INVALID_HANDLE;
  return enqueue(s, [name = std::string(kernel), work] {
    Function f;
    f.name = name;
    return run({nullptr, &f, nullptr, {1, 1, 1}, {1, 1, 1}, 0, {}}, work);
  });
}

// ---- captures and graphs ----

API cuStreamBeginCapture_v2(void* handle, int mode) {
  return api("cuStreamBeginCapture_v2", SOUND, [&]() -> int {
    Stream* s = streamOf(handle);
    if (!s) return INVALID_HANDLE;
    if (mode < GLOBAL || mode > RELAXED) return INVALID_VALUE;
    if (s == current()->null) return STREAM_CAPTURE_UNSUPPORTED;
    if (s->capture) return broken(s->capture, ILLEGAL_STATE);
    s->capture = new Capture{s, mode};
    captures.insert(s->capture);
    return SUCCESS;
  });
}
API cuThreadExchangeStreamCaptureMode(int* mode) {
  return api("cuThreadExchangeStreamCaptureMode", INIT, [&]() -> int {
    if (!mode || *mode < GLOBAL || *mode > RELAXED) return INVALID_VALUE;
    std::swap(*mode, threadMode);
    return SUCCESS;
  });
}
API cuStreamEndCapture(void* handle, void** graph) {
  return api("cuStreamEndCapture", SOUND, [&]() -> int {
    Stream* s = streamOf(handle);
    if (!s) return INVALID_HANDLE;
    *graph = nullptr;
    Capture* c = s->capture;
    if (!c) return ILLEGAL_STATE;
    if (c->origin != s) return broken(c, STREAM_CAPTURE_UNMATCHED);
    if (c->mode != RELAXED && c->thread != std::this_thread::get_id()) return broken(c, STREAM_CAPTURE_WRONG_THREAD);
    Error e = c->broken ? STREAM_CAPTURE_INVALIDATED : s->before.size() < c->ops.size() ? STREAM_CAPTURE_UNJOINED : SUCCESS;
    if (!e) *graph = *graphs.insert(new Graph{s->context, std::move(c->ops)}).first;
    release(c);
    return e;
  });
}
API cuStreamIsCapturing(void* handle, int* status) {
  return api("cuStreamIsCapturing", SOUND, [&]() -> int {
    Stream* s = streamOf(handle);
    if (!s) return INVALID_HANDLE;
    if (s == current()->null)  // asking breaks nothing
      for (Stream* o : current()->streams) if (o->capture && o->blocking) return STREAM_CAPTURE_IMPLICIT;
    *status = s->capture ? (s->capture->broken ? 2 : 1) : 0;
    return SUCCESS;
  });
}
static Graph* graph(void* handle) {
  auto* g = static_cast<Graph*>(handle);
  return graphs.count(g) ? g : nullptr;
}
API cuGraphGetNodes(void* handle, void** nodes, size_t* n) {
  return api("cuGraphGetNodes", CONTEXT, [&]() -> int {
    Graph* g = graph(handle);
    if (!g || !n) return INVALID_VALUE;
    *n = nodes ? std::min(*n, g->ops.size()) : g->ops.size();
    for (size_t k = 0; nodes && k < *n; ++k) nodes[k] = &g->ops[k];
    return SUCCESS;
  });
}
API cuGraphInstantiateWithFlags(void** exec, void* handle, u64) {
  return api("cuGraphInstantiateWithFlags", SOUND, [&]() -> int {
    Graph* g = graph(handle);
    if (!g) return INVALID_VALUE;
    *exec = *graphs.insert(new Graph{current(), g->ops}).first;
    return SUCCESS;
  });
}
API cuGraphUpload(void* exec, void* handle) {
  return api("cuGraphUpload", SOUND, [&]() -> int { return !graph(exec) ? INVALID_VALUE : streamOf(handle) ? SUCCESS : INVALID_HANDLE; });
}
API cuGraphLaunch(void* exec, void* handle) {  // one operation: in a capture, one node
  return api("cuGraphLaunch", SOUND, [&]() -> int {
    Stream* s = streamOf(handle);
    Graph* g = graph(exec);
    if (!g) return INVALID_VALUE;
    if (!s) return INVALID_HANDLE;
    return enqueue(s, [ops = g->ops] {
      for (auto& op : ops)
        if (Error e = op.run()) return e;
      return SUCCESS;
    });
  });
}
static int destroyGraph(const char* name, void* handle) {
  return api(name, CONTEXT, [&]() -> int {
    if (!graphs.erase(graph(handle))) return INVALID_VALUE;
    delete static_cast<Graph*>(handle);
    return SUCCESS;
  });
}
API cuGraphDestroy(void* g) { return destroyGraph("cuGraphDestroy", g); }
API cuGraphExecDestroy(void* g) { return destroyGraph("cuGraphExecDestroy", g); }

// ---- names of errors ----

API cuGetErrorName(int code, const char** text) {
  const Code* c = codeOf(code);
  *text = c ? c->name : nullptr;
  return c ? SUCCESS : INVALID_VALUE;
}
API cuGetErrorString(int code, const char** text) {
  const Code* c = codeOf(code);
  *text = c ? c->text : nullptr;
  return c ? SUCCESS : INVALID_VALUE;
}
