// Running a launch: blocks on the processor's cores, the threads of a block one after the other between barriers.
#pragma once
#include <atomic>
#include <unordered_map>

#include "ptx.h"

namespace soft {

// What a thread did wrong, and the CUDA error that answers it.
struct Fault { Error code; std::string what; const Ins* at; };

// Accesses to one allocation, by size: 1, 2, 4, 8, 16 bytes.
struct Traffic { uint64_t read[5] = {}, written[5] = {}; };

struct Launch {
  const Module* module;
  const Function* function;
  void* context;  // whose memory it may touch, beside pinned memory
  uint32_t grid[3], block[3], dynamicShared;
  std::vector<uint8_t> params;
};

// What was counted while it ran, and what went wrong, if anything did.
struct Outcome {
  Error code = SUCCESS;
  std::string message;
  std::map<std::string, uint64_t> instructions;
  struct Use { std::string name; Kind kind; uint64_t base, size; Traffic traffic; };
  std::vector<Use> memory;
};

Outcome execute(const Launch& launch, int workers);

// From here on: for the instructions.

// One access to a byte of shared memory, and when, in barriers of the block and of the warp.
struct Access { uint32_t epoch = 0, warpEpoch = 0; uint16_t thread = 0; bool atomic = false; };
struct SharedByte { uint32_t writtenInBlock = 0; Access writer, reader, otherReader; };

struct Worker;

enum class State { Ready, AtBarrier, AtWarp, Done };

struct Thread {
  Slot* r = nullptr;        // the frame's slots
  Worker* worker = nullptr;
  const Ins* next = nullptr;
  State state = State::Ready;
  uint32_t id = 0, position[3] = {};  // in the block
  int64_t backwards = 0;              // jumps left before this counts as an endless loop
  struct Frame { const Function* function; const Ins* back; size_t slots, local, params; };
  std::vector<Frame> frames;
  std::vector<Slot> slots;
  std::vector<uint8_t> local, localWritten, params;
  void enter(const Function* f, const Ins* back);
  uint32_t lane() const { return id & 31; }
};

struct Worker {
  const Launch* launch;
  uint32_t ctaid[3] = {};
  std::vector<Thread> threads;
  uint32_t count = 0;                 // threads in a block
  uint32_t block = 0, epoch = 0;      // numbers that only grow
  std::vector<uint32_t> warpEpoch;
  std::vector<uint8_t> shared;
  std::vector<SharedByte> sharedBytes;
  // The first read of shared memory never written. It waits for the next barrier: if another thread writes there first, it is a race.
  std::unique_ptr<Fault> unwritten;
  uint32_t unwrittenBy[3] = {};
  uint64_t* counts = nullptr;         // of the function that runs
  std::unordered_map<const Function*, std::vector<uint64_t>> executed;
  struct Cached { uint64_t base = 0, size = 0; Allocation* allocation = nullptr; Traffic* traffic = nullptr; };
  std::unordered_map<const Function*, std::vector<Cached>> caches;
  Cached* cache = nullptr;            // of the function that runs: where each instruction went last
  std::unordered_map<Allocation*, Traffic> traffic;
  void use(const Function* f);
  uint8_t* global(const Ins* i, uint64_t address, unsigned bytes, bool reads, bool writes);
  uint8_t* sharedAt(Thread& t, const Ins* i, uint64_t address, unsigned bytes, bool reads, bool writes, bool atomic);
  uint8_t* localAt(Thread& t, const Ins* i, uint64_t address, unsigned bytes, bool reads, bool writes);
  uint8_t* paramAt(Thread& t, const Ins* i, uint64_t address, unsigned bytes);
  void runBlock();
  void run(Thread& t);
};

// Warp operations: called once for all lanes that wait at the same one.
struct Lanes { Thread* lane[32] = {}; uint32_t mask = 0; uint32_t warp = 0; };
uint32_t warpMask(const Thread& t, const Ins* i);
void runWarpOperation(Worker& w, Lanes& lanes, const Ins* i);  // sets results; threads go on behind i
bool isAligned(const Ins* i);                                // a barrier all threads of a warp must meet at the same place
void finishBarrier(Worker& w, const Ins* i);                   // results of bar.red

}  // namespace soft
