// The calls of NCCL that Kudari makes, between threads and processes of one machine, over softcuda. Nothing of it is NVIDIA's.
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <mutex>
#include <set>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

extern "C" {
int cuCtxGetDevice(int*);
int cuMemAllocHost_v2(void**, size_t);
int cuMemFreeHost(void*);
int cuMemcpyDtoHAsync_v2(void*, uint64_t, size_t, void*);
int cuMemcpyHtoDAsync_v2(uint64_t, const void*, size_t, void*);
int cuLaunchHostFunc(void*, void (*)(void*), void*);
}

#define API extern "C" __attribute__((visibility("default")))

namespace {

enum Result { SUCCESS, CUDA, SYSTEM, INTERNAL, ARGUMENT, USAGE, REMOTE, IN_PROGRESS };

struct Id { char bytes[128]; };
struct Config {  // as of 2.14; later versions have more behind it
  size_t size;
  unsigned magic, version;
  int blocking;
};

// Ranks meet in a folder: a file for each, which says its device, and one for each message under way.
struct Comm {
  std::filesystem::path folder;
  int size, rank;
  std::map<int, long> sent = {}, received = {};  // messages, by peer
  std::atomic<bool> aborted{false};
  bool met = false, twice = false;  // all ranks are there; two of them on one device
  Result error = SUCCESS;
  std::string last = {};
  int settling = 0;  // so many answers more that the last group is in progress
  std::filesystem::path file(int of) const { return folder / std::to_string(of); }
  std::filesystem::path message(int from, int to, long number) const {
    return folder / (std::to_string(from) + "-" + std::to_string(to) + "-" + std::to_string(number));
  }
};
struct Transfer {
  bool sends;
  uint64_t address;
  size_t bytes;
  int peer;
  Comm* comm;
  void* stream;
  void* page = nullptr;  // pinned memory, where the bytes are between the device and the mail
};
struct Group {  // on its way through a stream
  std::vector<Transfer> transfers;
  bool drops = false;
  std::atomic<bool> done{false};
};

std::mutex& mutex = *new std::mutex;
thread_local int depth = 0;
thread_local std::vector<Transfer> open;
thread_local Result wrong = SUCCESS;
thread_local std::vector<Group*> groups;  // whose pages are still to be freed

// ---- what it is told to do wrong ----

struct Orders {
  int version = 22304, init = 0, async = 0;
  bool hangsInit = false, drops = false;
};
Orders told() {
  Orders orders;
  const char* text = getenv("SOFTNCCL");
  std::istringstream words(text ? text : "");
  std::string word;
  while (words >> word) {
    if (word == "version") words >> orders.version;
    else if (word == "init") words >> orders.init;
    else if (word == "async") words >> orders.async;
    else if (word == "hang-init") orders.hangsInit = true;
    else if (word == "drop") orders.drops = true;
    else fprintf(stderr, "softnccl: what is '%s'?\n", word.c_str());
  }
  return orders;
}
Orders& orders() {
  static Orders& all = *new Orders(told());
  return all;
}

// ---- transfers ----

void freePages() {
  for (size_t n = 0; n < groups.size();) {
    Group* group = groups[n];
    if (!group->done) {
      n++;
      continue;
    }
    for (Transfer& t : group->transfers) if (t.page) cuMemFreeHost(t.page);
    delete group;
    groups.erase(groups.begin() + long(n));
  }
}
// Files are whole when they have their name.
void write(const std::filesystem::path& path, const char* bytes, size_t count) {
  std::filesystem::path unfinished = path;
  unfinished += ".unfinished";
  std::ofstream(unfinished, std::ios::binary).write(bytes, std::streamsize(count));
  std::error_code gone;  // the folder, where the peers have left
  std::filesystem::rename(unfinished, path, gone);
}
bool awaitFile(const Comm* comm, const std::filesystem::path& path) {
  while (!comm->aborted && access(path.c_str(), F_OK)) std::this_thread::sleep_for(std::chrono::microseconds(100));
  return !comm->aborted;
}
// Says that this rank does no more. The last one of all takes the folder away.
void leave(const Comm* comm) {
  write(comm->folder / (std::to_string(comm->rank) + ".left"), "", 0);
  for (int r = 0; r < comm->size; r++)
    if (access((comm->folder / (std::to_string(r) + ".left")).c_str(), F_OK)) return;
  std::error_code another;  // which does the same
  std::filesystem::remove_all(comm->folder, another);
}
// What the stream does when it has copied to the host all that is sent.
void exchange(void* data) {
  auto* group = static_cast<Group*>(data);
  for (Transfer& t : group->transfers)
    if (t.sends && !group->drops) write(t.comm->message(t.comm->rank, t.peer, t.comm->sent[t.peer]++), static_cast<char*>(t.page), t.bytes);
  for (Transfer& t : group->transfers) {
    if (t.sends) continue;
    auto path = t.comm->message(t.peer, t.comm->rank, t.comm->received[t.peer]++);
    if (!awaitFile(t.comm, path)) return;
    std::ifstream message(path, std::ios::binary | std::ios::ate);
    auto bytes = size_t(message.tellg());
    if (bytes != t.bytes) {
      std::unique_lock<std::mutex> lock(mutex);
      t.comm->error = INTERNAL;
      t.comm->last = "rank " + std::to_string(t.peer) + " sent " + std::to_string(bytes) + " bytes, rank " + std::to_string(t.comm->rank) + " receives " +
                     std::to_string(t.bytes);
      lock.unlock();
      while (!t.comm->aborted) std::this_thread::sleep_for(std::chrono::milliseconds(1));  // a device would wait, too
      return;
    }
    message.seekg(0).read(static_cast<char*>(t.page), std::streamsize(bytes));
    unlink(path.c_str());
  }
}
void finish(void* data) {
  static_cast<Group*>(data)->done = true;
}
// All of one stream: Kudari has no more.
Result start(std::vector<Transfer> transfers) {
  if (transfers.empty()) return SUCCESS;
  Comm* comm = transfers[0].comm;
  void* stream = transfers[0].stream;
  auto* group = new Group;
  group->transfers = std::move(transfers);
  group->drops = orders().drops;
  for (Transfer& t : group->transfers)
    if (cuMemAllocHost_v2(&t.page, t.bytes)) return CUDA;
  for (Transfer& t : group->transfers)
    if (t.sends && cuMemcpyDtoHAsync_v2(t.page, t.address, t.bytes, stream)) return CUDA;
  if (cuLaunchHostFunc(stream, exchange, group)) return CUDA;
  for (Transfer& t : group->transfers)
    if (!t.sends && cuMemcpyHtoDAsync_v2(t.address, t.page, t.bytes, stream)) return CUDA;
  if (cuLaunchHostFunc(stream, finish, group)) return CUDA;
  groups.push_back(group);
  std::lock_guard<std::mutex> lock(mutex);
  comm->settling = 1;
  return IN_PROGRESS;
}
Result transfer(Transfer t, int type) {
  if (!t.comm || type != 0 || t.peer < 0 || t.peer >= t.comm->size || t.bytes == 0) return wrong = ARGUMENT;
  if (t.comm->aborted) return wrong = USAGE;
  if (!depth) return wrong = USAGE;  // Kudari groups all it sends
  open.push_back(t);
  return SUCCESS;
}
Result state(Comm* comm) {  // with the lock
  if (comm->error) return comm->error;
  if (orders().hangsInit) return IN_PROGRESS;
  if (!comm->met) {
    std::set<int> devices;
    for (int r = 0; r < comm->size; r++) {
      int device;
      if (!(std::ifstream(comm->file(r)) >> device)) return IN_PROGRESS;
      if (!devices.insert(device).second) comm->twice = true;
    }
    comm->met = true;
  }
  if (comm->twice) {
    comm->last = "Duplicate GPU detected: two ranks on one CUDA device";
    return comm->error = USAGE;
  }
  if (orders().async) {
    comm->last = "as softnccl was told";
    return comm->error = Result(orders().async);
  }
  return comm->settling-- > 0 ? IN_PROGRESS : (comm->settling = 0, SUCCESS);
}

}  // namespace

// One command, as in the variable SOFTNCCL; an empty one for nothing wrong any more.
API void softnccl(const char* command) {
  std::lock_guard<std::mutex> lock(mutex);
  setenv("SOFTNCCL", command, 1);
  orders() = told();
}
API int ncclGetVersion(int* version) {
  *version = orders().version;
  return SUCCESS;
}
API int ncclGetUniqueId(Id* id) {
  std::lock_guard<std::mutex> lock(mutex);
  memset(id->bytes, 0x80, sizeof id->bytes);
  static int ids = 0;
  std::string folder = std::filesystem::temp_directory_path() / ("softnccl-" + std::to_string(getpid()) + "-" + std::to_string(ids++));
  if (folder.size() > 126) return SYSTEM;
  memcpy(id->bytes, folder.c_str(), folder.size() + 1);
  return SUCCESS;
}
API int ncclCommInitRankConfig(Comm** comm, int size, Id id, int rank, const Config* config) {
  std::lock_guard<std::mutex> lock(mutex);
  *comm = nullptr;
  if (orders().init) return orders().init;
  if (config->size < sizeof(Config) || config->magic != 0xcafebeef || config->version < 21400) return ARGUMENT;
  if (config->blocking != 0) return USAGE;  // Kudari must never wait here
  if (rank < 0 || rank >= size || id.bytes[127] != char(0x80)) return ARGUMENT;
  int device;
  if (cuCtxGetDevice(&device)) return CUDA;
  auto* fresh = new Comm{id.bytes, size, rank};
  std::error_code there;
  std::filesystem::create_directory(fresh->folder, there);
  if (!access(fresh->file(rank).c_str(), F_OK)) return ARGUMENT;  // somebody else is it
  std::string text = std::to_string(device);
  write(fresh->file(rank), text.data(), text.size());
  *comm = fresh;
  return IN_PROGRESS;
}
API int ncclCommGetAsyncError(Comm* comm, int* error) {
  std::lock_guard<std::mutex> lock(mutex);
  *error = state(comm);
  return SUCCESS;
}
API int ncclGroupStart() {
  depth++;
  return SUCCESS;
}
API int ncclGroupEnd() {
  if (depth == 0) return USAGE;
  if (--depth) return SUCCESS;
  std::vector<Transfer> transfers = std::move(open);
  open.clear();
  Result result = wrong;
  wrong = SUCCESS;
  freePages();
  return result ? result : start(std::move(transfers));
}
API int ncclSend(uint64_t from, size_t count, int type, int peer, Comm* comm, void* stream) {
  return transfer({true, from, count, peer, comm, stream}, type);
}
API int ncclRecv(uint64_t into, size_t count, int type, int peer, Comm* comm, void* stream) {
  return transfer({false, into, count, peer, comm, stream}, type);
}
API int ncclCommFinalize(Comm* comm) {
  std::lock_guard<std::mutex> lock(mutex);
  return comm->error ? comm->error : SUCCESS;
}
// A communicator is never freed: a stream may still come to a group of it.
API int ncclCommDestroy(Comm* comm) {
  freePages();
  leave(comm);
  return SUCCESS;
}
API int ncclCommAbort(Comm* comm) {
  comm->aborted = true;
  leave(comm);
  return SUCCESS;
}
API const char* ncclGetErrorString(int result) {
  static const char* texts[] = {"no error", "unhandled cuda error", "unhandled system error", "internal error", "invalid argument", "invalid usage",
                                "remote process exited or there was a network error", "NCCL operation in progress"};
  return result >= 0 && result < 8 ? texts[result] : "unknown result code";
}
API const char* ncclGetLastError(Comm* comm) {
  static thread_local std::string text;
  std::lock_guard<std::mutex> lock(mutex);
  text = comm ? comm->last : "";
  return text.c_str();
}
