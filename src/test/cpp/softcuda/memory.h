// Device memory in host memory: every allocation with its bounds, and for every byte whether it was ever written.
#pragma once
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace soft {

// CUresult values that softcuda itself gives.
enum Error {
  SUCCESS = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, NOT_INITIALIZED = 3, NO_DEVICE = 100, INVALID_DEVICE = 101, INVALID_CONTEXT = 201,
  NO_BINARY = 209, INVALID_PTX = 218, INVALID_HANDLE = 400, ILLEGAL_STATE = 401, NOT_FOUND = 500, NOT_READY = 600, ILLEGAL_ADDRESS = 700,
  TIMEOUT = 702, CONTEXT_IS_DESTROYED = 709, MISALIGNED = 716, LAUNCH_FAILED = 719, NOT_SUPPORTED = 801, STREAM_CAPTURE_UNSUPPORTED = 900,
  STREAM_CAPTURE_INVALIDATED, STREAM_CAPTURE_MERGE, STREAM_CAPTURE_UNMATCHED, STREAM_CAPTURE_UNJOINED, STREAM_CAPTURE_ISOLATION,
  STREAM_CAPTURE_IMPLICIT, CAPTURED_EVENT, STREAM_CAPTURE_WRONG_THREAD
};

// Windows of the generic address space. No host memory lies there, so a device address used on the host crashes, as it should.
constexpr uint64_t PARAM_BASE = 0x070000000000, SHARED_BASE = 0x080000000000, LOCAL_BASE = 0x090000000000, DEVICE_BASE = 0x100000000000;

enum class Kind { Device, Variable, Constant, Pinned };

struct Allocation {
  uint64_t base, size;
  Kind kind;
  std::string name;                    // a variable's, or "allocation 3 (cuMemAlloc_v2)"
  uint8_t* data;
  uint8_t* written = nullptr;          // one byte per byte; null: a variable or host memory, taken as written
  void* context = nullptr;
  bool contains(uint64_t a, uint64_t n) const { return a - base < size && n <= size - (a - base); }
};

// Seen from libcublas.so.12, too.
#define SHARED __attribute__((visibility("default")))

class SHARED Memory {
 public:
  Allocation* allocate(uint64_t size, Kind kind, const std::string& call, void* context);  // null: out of memory
  Allocation* adopt(void* host, uint64_t size, const std::string& call, void* context);    // pinned host memory, at its own address
  bool free(uint64_t base);
  Allocation* find(uint64_t address) const;  // the live allocation this address lies in, or null
  std::string describe(uint64_t address) const;  // for messages about an address in no live allocation
  uint64_t live() const { return liveBytes; }
  uint64_t liveCount() const;
  std::vector<const Allocation*> leftovers(void* context) const;  // device and pinned, not variables; null: of every context
  void freeAll(void* context);
  uint64_t total = 16ull << 30;

 private:
  std::map<uint64_t, std::unique_ptr<Allocation>> table;
  struct Freed { uint64_t base, size; std::string name; };
  std::deque<Freed> freed;   // addresses are never used twice, so that use after free is always seen
  uint64_t next = DEVICE_BASE, liveBytes = 0, number = 0;
};

SHARED extern Memory& memory;  // never destroyed: the report at exit looks at it

}  // namespace soft
