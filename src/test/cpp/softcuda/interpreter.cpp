#include "interpreter.h"

#include <mutex>
#include <thread>

namespace soft {

namespace {

std::string hex(uint64_t x) {
  char text[32];
  snprintf(text, sizeof text, "0x%llx", (unsigned long long)x);
  return text;
}

int sizeClass(unsigned bytes) { return bytes == 4 ? 2 : bytes == 16 ? 4 : bytes == 8 ? 3 : bytes == 2 ? 1 : 0; }

bool allSet(const uint8_t* p, unsigned n) {
  if (n == 4) { uint32_t x; std::memcpy(&x, p, 4); return x == 0x01010101u; }
  for (; n >= 8; n -= 8, p += 8) { uint64_t x; std::memcpy(&x, p, 8); if (x != 0x0101010101010101u) return false; }
  for (; n; --n, ++p) if (!*p) return false;
  return true;
}

std::string at(uint32_t x, uint32_t y, uint32_t z) {
  return "(" + std::to_string(x) + "," + std::to_string(y) + "," + std::to_string(z) + ")";
}

std::string verb(bool reads, bool writes) { return reads && writes ? "reads and writes " : writes ? "writes " : "reads "; }

[[noreturn]] void misaligned(const Ins* i, uint64_t address, unsigned bytes, bool reads, bool writes) {
  throw Fault{MISALIGNED, "misaligned access: " + verb(reads, writes) + std::to_string(bytes) + " bytes at " + hex(address), i};
}

}  // namespace

void Thread::enter(const Function* f, const Ins* back) {
  Frame frame{f, back, slots.size(), local.size(), params.size()};
  if (!frames.empty()) frame.slots = frames.back().slots + frames.back().function->slots.size();
  slots.resize(frame.slots + f->slots.size());
  r = slots.data() + frame.slots;
  std::memcpy(static_cast<void*>(r), f->slots.data(), f->slots.size() * sizeof(Slot));
  frame.local = (frame.local + 15) / 16 * 16;
  local.resize(frame.local + f->localBytes);
  localWritten.resize(local.size());
  if (f->localBytes) std::memset(&localWritten[frame.local], 0, f->localBytes);
  frame.params = (frame.params + 15) / 16 * 16;
  params.resize(frame.params + f->paramBytes);
  const Launch& l = *worker->launch;
  for (auto& s : f->specials) {
    uint64_t x = 0;
    switch (s.what) {
      case Special::Tid: x = position[s.axis]; break;
      case Special::Ntid: x = l.block[s.axis]; break;
      case Special::Ctaid: x = worker->ctaid[s.axis]; break;
      case Special::Nctaid: x = l.grid[s.axis]; break;
      case Special::Lane: x = lane(); break;
      case Special::Warp: x = id / 32; break;
      case Special::Warps: x = (worker->count + 31) / 32; break;
      case Special::MaskEq: x = 1u << lane(); break;
      case Special::MaskLt: x = (1u << lane()) - 1; break;
      case Special::MaskLe: x = (2u << lane()) - 1; break;
      case Special::MaskGe: x = ~((1u << lane()) - 1); break;
      case Special::MaskGt: x = ~((2u << lane()) - 1); break;
      case Special::Zero: x = 0; break;
      case Special::One: x = 1; break;
      case Special::SharedDynamic: x = (l.function->sharedBytes + 15) / 16 * 16; break;
      case Special::SharedDynamicSize: x = l.dynamicShared; break;
      case Special::LocalAddress: x = frame.local + s.offset; break;
      case Special::ParamAddress: x = PARAM_BASE + frame.params + s.offset; break;
    }
    if (s.what >= Special::MaskEq && s.what <= Special::MaskGt) x = uint32_t(x);
    r[s.slot].bits = x;
  }
  frames.push_back(frame);
  worker->use(f);
}

void Worker::use(const Function* f) {
  auto& e = executed[f];
  if (e.size() < f->code.size()) e.resize(f->code.size());
  counts = e.data();
  auto& c = caches[f];
  if (c.size() < f->code.size()) c.resize(f->code.size());
  cache = c.data();
}

uint8_t* Worker::global(const Ins* i, uint64_t address, unsigned bytes, bool reads, bool writes) {
  if (address & (bytes - 1)) misaligned(i, address, bytes, reads, writes);
  Cached& c = cache[i->index];
  uint64_t offset = address - c.base;
  if (offset >= c.size || c.size - offset < bytes) {
    Allocation* a = memory.find(address);
    if (!a || !a->contains(address, bytes))
      throw Fault{ILLEGAL_ADDRESS, "out of bounds: " + verb(reads, writes) + std::to_string(bytes) + " bytes at " + hex(address) + ", " +
                  (a ? "across the end of " + a->name : memory.describe(address)), i};
    if (a->context != launch->context && a->kind != Kind::Pinned)
      throw Fault{ILLEGAL_ADDRESS, "memory of another context: " + verb(reads, writes) + std::to_string(bytes) + " bytes at " + hex(address) +
                  ", in " + a->name, i};
    c = {a->base, a->size, a, &traffic[a]};
    offset = address - c.base;
  }
  Allocation& a = *c.allocation;
  if (reads) {
    ++c.traffic->read[sizeClass(bytes)];
    if (a.written && !allSet(a.written + offset, bytes))
      throw Fault{LAUNCH_FAILED, "read of memory never written: " + std::to_string(bytes) + " bytes, " + std::to_string(offset) +
                  " bytes into " + a.name, i};
  }
  if (writes) {
    ++c.traffic->written[sizeClass(bytes)];
    if (a.kind == Kind::Constant) throw Fault{ILLEGAL_ADDRESS, "write to constant memory: " + a.name, i};
    if (a.written) std::memset(a.written + offset, 1, bytes);
  }
  return a.data + offset;
}

uint8_t* Worker::sharedAt(Thread& t, const Ins* i, uint64_t address, unsigned bytes, bool reads, bool writes, bool atomic) {
  if (address & (bytes - 1)) misaligned(i, address, bytes, reads, writes);
  if (address >= shared.size() || shared.size() - address < bytes)
    throw Fault{ILLEGAL_ADDRESS, "out of bounds: " + verb(reads, writes) + std::to_string(bytes) + " bytes at offset " +
                std::to_string(address) + " of shared memory of " + std::to_string(shared.size()) + " bytes", i};
  Access now{epoch, warpEpoch[t.id / 32], uint16_t(t.id), atomic};
  auto races = [&](const Access& x) {  // not ordered by a barrier of the block or of the warp since
    return x.epoch == epoch && x.thread != t.id && !(x.atomic && atomic) && (x.thread / 32 != t.id / 32 || x.warpEpoch == now.warpEpoch);
  };
  auto race = [&](const Access& x, const char* did, uint64_t byte) {
    const Thread& o = threads[x.thread];
    throw Fault{LAUNCH_FAILED, "race in shared memory: " + verb(reads, writes) + "byte " + std::to_string(byte) + ", which thread " +
                at(o.position[0], o.position[1], o.position[2]) + " has " + did + " since the last barrier", i};
  };
  for (uint64_t k = address; k < address + bytes; ++k) {
    SharedByte& s = sharedBytes[k];
    if (races(s.writer)) race(s.writer, "written", k);
    if (reads) {
      if (s.writtenInBlock != block && !unwritten) {
        unwritten.reset(new Fault{LAUNCH_FAILED, "read of memory never written: byte " + std::to_string(k) + " of shared memory", i});
        std::copy(t.position, t.position + 3, unwrittenBy);
      }
      if (!writes) {
        if (s.reader.thread != now.thread || s.reader.epoch != epoch) s.otherReader = s.reader;
        s.reader = now;
      }
    }
    if (writes) {
      if (races(s.reader)) race(s.reader, "read", k);
      if (races(s.otherReader)) race(s.otherReader, "read", k);
      s.writtenInBlock = block;
      s.writer = now;
    }
  }
  return &shared[address];
}

uint8_t* Worker::localAt(Thread& t, const Ins* i, uint64_t address, unsigned bytes, bool reads, bool writes) {
  if (address & (bytes - 1)) misaligned(i, address, bytes, reads, writes);
  if (address >= t.local.size() || t.local.size() - address < bytes)
    throw Fault{ILLEGAL_ADDRESS, "out of bounds: " + verb(reads, writes) + std::to_string(bytes) + " bytes at offset " +
                std::to_string(address) + " of local memory of " + std::to_string(t.local.size()) + " bytes", i};
  if (reads && !allSet(&t.localWritten[address], bytes))
    throw Fault{LAUNCH_FAILED, "read of memory never written: offset " + std::to_string(address) + " of local memory", i};
  if (writes) std::memset(&t.localWritten[address], 1, bytes);
  return &t.local[address];
}

uint8_t* Worker::paramAt(Thread& t, const Ins* i, uint64_t address, unsigned bytes) {
  if (address & (bytes - 1)) misaligned(i, address, bytes, true, false);
  uint64_t offset = address - PARAM_BASE;
  if (offset >= t.params.size() || t.params.size() - offset < bytes)
    throw Fault{ILLEGAL_ADDRESS, "out of bounds of the parameters", i};
  return &t.params[offset];
}

void Worker::run(Thread& t) {
  const Ins* i = t.next;
  use(t.frames.back().function);
  while (i) {
    ++counts[i->index];
    i = i->run(t, i);
  }
}

// Runs the threads of the block in turn. A thread stops at a barrier, at a warp operation, or for good.
void Worker::runBlock() {
  const Function* f = launch->function;
  ++block;
  ++epoch;
  bool together = f->waits;
  uint32_t current = 0;
  Thread* culprit = nullptr;
  try {
    auto start = [&](Thread& t, uint32_t id) {
      t.worker = this;
      t.id = id;
      t.position[0] = id % launch->block[0];
      t.position[1] = id / launch->block[0] % launch->block[1];
      t.position[2] = id / launch->block[0] / launch->block[1];
      t.frames.clear();
      t.slots.clear();
      t.local.clear();
      t.params.clear();
      t.backwards = 200'000'000;
      t.state = State::Ready;
      t.enter(f, nullptr);
      if (!launch->params.empty()) std::memcpy(t.params.data(), launch->params.data(), launch->params.size());
      t.next = f->code.data();
    };
    if (!together) {
      // Thread by thread. Positions of all are kept for messages about races; one thread's storage serves all.
      for (current = 0; current < count; ++current) {
        threads[current].position[0] = current % launch->block[0];
        threads[current].position[1] = current / launch->block[0] % launch->block[1];
        threads[current].position[2] = current / launch->block[0] / launch->block[1];
        Thread& t = threads[count];
        culprit = &t;
        start(t, current);
        run(t);
      }
      if (unwritten) throw *unwritten;
      return;
    }
    for (uint32_t k = 0; k < count; ++k) start(threads[k], k);
    for (;;) {
      bool stuck = false;
      for (uint32_t first = 0; first < count; first += 32) {
        for (bool progress = true; progress;) {
          progress = false;
          uint32_t last = std::min(first + 32, count);
          for (uint32_t k = first; k < last; ++k)
            if (threads[k].state == State::Ready) {
              culprit = &threads[k];
              run(threads[k]);
              progress = true;
            }
          for (uint32_t k = first; k < last; ++k) {
            Thread& t = threads[k];
            if (t.state != State::AtWarp) continue;
            const Ins* i = t.next;
            culprit = &t;
            Lanes lanes;
            lanes.warp = first / 32;
            lanes.mask = warpMask(t, i);
            if (!(lanes.mask >> t.lane() & 1)) throw Fault{LAUNCH_FAILED, "warp operation by a lane that its own mask leaves out", i};
            bool complete = true;
            for (uint32_t l = 0; l < 32; ++l) {
              if (!(lanes.mask >> l & 1) || first + l >= last || threads[first + l].state == State::Done) continue;
              Thread& o = threads[first + l];
              if (o.state == State::AtWarp && o.next == i && warpMask(o, i) == lanes.mask) lanes.lane[l] = &o;
              else complete = false;
            }
            if (!complete) continue;
            runWarpOperation(*this, lanes, i);
            for (auto* o : lanes.lane)
              if (o) { o->next = i + 1; o->state = State::Ready; }
            progress = true;
          }
        }
        for (uint32_t k = first; k < std::min(first + 32, count); ++k)
          if (threads[k].state == State::AtWarp) stuck = true;
      }
      if (unwritten) throw *unwritten;
      Thread *waiting = nullptr, *gone = nullptr;
      for (uint32_t k = 0; k < count; ++k) {
        Thread& t = threads[k];
        if (stuck && t.state == State::AtWarp) {
          culprit = &t;
          throw Fault{LAUNCH_FAILED, "warp operation not reached by all lanes of its mask " + hex(warpMask(t, t.next)), t.next};
        }
        if (t.state == State::AtBarrier && !waiting) waiting = &t;
        if (t.state == State::Done && !gone) gone = &t;
      }
      if (!waiting) return;
      culprit = waiting;
      if (gone)
        throw Fault{LAUNCH_FAILED, "barrier not met by all threads: thread " + at(gone->position[0], gone->position[1], gone->position[2]) +
                    " has ended", waiting->next};
      for (uint32_t k = 0; k < count; ++k) {
        Thread& t = threads[k];
        if (t.next != waiting->next && (isAligned(waiting->next) || isAligned(t.next) || t.r[t.next->b].bits != waiting->r[waiting->next->b].bits))
          throw Fault{LAUNCH_FAILED, "barrier not met by all threads: thread " + at(t.position[0], t.position[1], t.position[2]) +
                      " waits at another, PTX line " + std::to_string(t.next->line), waiting->next};
      }
      finishBarrier(*this, waiting->next);
      ++epoch;
      for (uint32_t k = 0; k < count; ++k) {
        threads[k].state = State::Ready;
        ++threads[k].next;
      }
    }
  } catch (Fault& fault) {
    const uint32_t* thread = culprit->position;
    if (unwritten && fault.what.compare(0, 4, "race") != 0) {  // what came after it may be its consequence
      fault = *unwritten;
      thread = unwrittenBy;
    }
    fault.what = "kernel " + f->name + ", block " + at(ctaid[0], ctaid[1], ctaid[2]) + ", thread " +
                 at(thread[0], thread[1], thread[2]) + ": " + fault.what;
    if (fault.at) fault.what += "; PTX line " + std::to_string(fault.at->line) + ": " + launch->module->line(fault.at->line);
    throw;
  }
}

Outcome execute(const Launch& launch, int wanted) {
  Outcome outcome;
  uint64_t blocks = uint64_t(launch.grid[0]) * launch.grid[1] * launch.grid[2];
  std::atomic<uint64_t> nextBlock{0};
  std::mutex mutex;
  std::map<uint64_t, Fault> faults;
  std::map<const Function*, std::vector<uint64_t>> executed;
  std::map<Allocation*, Traffic> traffic;
  auto work = [&] {
    Worker w;
    w.launch = &launch;
    w.count = launch.block[0] * launch.block[1] * launch.block[2];
    w.threads.resize(w.count + 1);
    w.warpEpoch.resize((w.count + 31) / 32);
    w.shared.resize((launch.function->sharedBytes + 15) / 16 * 16 + launch.dynamicShared);
    if (!launch.dynamicShared) w.shared.resize(launch.function->sharedBytes);
    w.sharedBytes.resize(w.shared.size());
    for (uint64_t b; (b = nextBlock++) < blocks;) {
      w.ctaid[0] = b % launch.grid[0];
      w.ctaid[1] = b / launch.grid[0] % launch.grid[1];
      w.ctaid[2] = b / launch.grid[0] / launch.grid[1];
      try {
        w.runBlock();
      } catch (Fault& fault) {
        std::lock_guard<std::mutex> lock(mutex);
        faults.emplace(b, fault);
        nextBlock = blocks;
      }
    }
    std::lock_guard<std::mutex> lock(mutex);
    for (auto& e : w.executed) {
      auto& sum = executed[e.first];
      sum.resize(e.second.size());
      for (size_t k = 0; k < sum.size(); ++k) sum[k] += e.second[k];
    }
    for (auto& e : w.traffic)
      for (int k = 0; k < 5; ++k) {
        traffic[e.first].read[k] += e.second.read[k];
        traffic[e.first].written[k] += e.second.written[k];
      }
  };
  std::vector<std::thread> others;
  for (int k = 1; k < wanted && blocks >= 4; ++k) others.emplace_back(work);
  work();
  for (auto& t : others) t.join();
  for (auto& e : executed)
    for (auto& i : e.first->code)
      if (i.name >= 0 && e.second[i.index]) outcome.instructions[launch.module->names[i.name]] += e.second[i.index];
  for (auto& e : traffic) outcome.memory.push_back({e.first->name, e.first->kind, e.first->base, e.first->size, e.second});
  if (!faults.empty()) {
    outcome.code = faults.begin()->second.code;
    outcome.message = faults.begin()->second.what;
  }
  return outcome;
}

}  // namespace soft
