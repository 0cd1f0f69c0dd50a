#include "memory.h"

#include <sys/mman.h>

#include <cstdio>

namespace soft {

Memory& memory = *new Memory;

// Fresh pages from the system are zero and cost nothing until touched; with `written` all 0 this is memory nobody has written.
static uint8_t* pages(uint64_t size) {
  void* p = mmap(nullptr, size ? size : 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return p == MAP_FAILED ? nullptr : static_cast<uint8_t*>(p);
}

static void unmap(const Allocation& a) {
  if (a.kind == Kind::Pinned) return;  // adopted
  munmap(a.data, a.size ? a.size : 1);
  if (a.written) munmap(a.written, a.size ? a.size : 1);
}

Allocation* Memory::allocate(uint64_t size, Kind kind, const std::string& call, void* context) {
  if (size > total || liveBytes > total - size) return nullptr;
  bool watched = kind == Kind::Device;  // variables start at zero
  uint8_t *data = pages(size), *written = watched ? pages(size) : nullptr;
  if (!data || (watched && !written)) {
    if (data) munmap(data, size ? size : 1);
    return nullptr;
  }
  std::string name = kind == Kind::Device ? "allocation " + std::to_string(++number) + " (" + call + ")" : call;
  uint64_t base = next;
  next += (size + 255) / 256 * 256 + 4096;  // a gap no overrun by a few elements crosses
  liveBytes += size;
  auto& slot = table[base];
  slot.reset(new Allocation{base, size, kind, name, data, written, context});
  return slot.get();
}

Allocation* Memory::adopt(void* host, uint64_t size, const std::string& call, void* context) {
  uint64_t base = reinterpret_cast<uint64_t>(host);
  auto& slot = table[base];
  slot.reset(new Allocation{base, size, Kind::Pinned, "allocation " + std::to_string(++number) + " (" + call + ")",
                            static_cast<uint8_t*>(host), nullptr, context});
  return slot.get();
}

bool Memory::free(uint64_t base) {
  auto it = table.find(base);
  if (it == table.end()) return false;
  Allocation& a = *it->second;
  if (a.kind != Kind::Pinned) {
    liveBytes -= a.size;
    freed.push_back({a.base, a.size, a.name});
    if (freed.size() > 100000) freed.pop_front();
  }
  unmap(a);
  table.erase(it);
  return true;
}

Allocation* Memory::find(uint64_t address) const {
  auto it = table.upper_bound(address);
  if (it == table.begin()) return nullptr;
  Allocation* a = std::prev(it)->second.get();
  return a->contains(address, 1) ? a : nullptr;
}

std::string Memory::describe(uint64_t address) const {
  char text[400];
  for (auto it = freed.rbegin(); it != freed.rend(); ++it)
    if (address - it->base < it->size) {
      snprintf(text, sizeof text, "use after free: %llu bytes into %s of %llu bytes", (unsigned long long)(address - it->base),
               it->name.c_str(), (unsigned long long)it->size);
      return text;
    }
  auto it = table.upper_bound(address);
  if (it != table.begin()) {
    const Allocation& a = *std::prev(it)->second;
    if (address - (a.base + a.size) < 1 << 20) {
      snprintf(text, sizeof text, "%llu bytes behind the end of %s of %llu bytes", (unsigned long long)(address - a.base - a.size),
               a.name.c_str(), (unsigned long long)a.size);
      return text;
    }
  }
  if (it != table.end() && it->second->base - address < 1 << 20) {
    snprintf(text, sizeof text, "%llu bytes before %s", (unsigned long long)(it->second->base - address), it->second->name.c_str());
    return text;
  }
  return "in no allocation";
}

uint64_t Memory::liveCount() const { return leftovers(nullptr).size(); }

std::vector<const Allocation*> Memory::leftovers(void* context) const {
  std::vector<const Allocation*> result;
  for (auto& entry : table) {
    const Allocation& a = *entry.second;
    if ((a.kind == Kind::Device || a.kind == Kind::Pinned) && (!context || a.context == context)) result.push_back(&a);
  }
  return result;
}

void Memory::freeAll(void* context) {
  std::vector<uint64_t> bases;
  for (auto& entry : table)
    if (entry.second->context == context) bases.push_back(entry.first);
  for (uint64_t base : bases) free(base);
}

}  // namespace soft
