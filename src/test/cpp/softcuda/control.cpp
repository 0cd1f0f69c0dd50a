#include "control.h"

#include <cstdio>
#include <cstdlib>
#include <thread>

namespace soft {

std::atomic<bool> dropping{false};

namespace {

struct Failure { std::string call; long n; int code; };

// Never destroyed: it is read at exit.
struct Books {
  std::map<std::string, uint64_t> calls, instructions;
  std::vector<Failure> failures;
  std::vector<std::string> errors, launches;
  Traffic traffic;
  uint64_t launchCount = 0;
  std::string mode = "late";
  FILE* log = nullptr;
};

// "name:n:code,…": the n-th call from now on (0: every one) of this name fails with this code. Takes the books, for it is called while they are made.
void addFailures(Books& s, const std::string& list) {
  for (size_t k = 0; k < list.size();) {
    size_t e = std::min(list.find(',', k), list.size());
    char name[100];
    long n;
    int code;
    if (sscanf(list.substr(k, e - k).c_str(), " %99[^:]:%ld:%d", name, &n, &code) == 3) s.failures.push_back({name, n, code});
    else fprintf(stderr, "softcuda: '%s' is not call:n:code\n", list.substr(k, e - k).c_str());
    k = e + 1;
  }
}

bool chooseMode(Books& s, const std::string& mode) {
  if (mode != "late" && mode != "eager" && mode != "drop") return false;
  s.mode = mode;
  dropping = mode == "drop";
  return true;
}

Books& state() {
  static Books& s = *[] {
    auto* fresh = new Books;
    const char* mode = getenv("SOFTCUDA_MODE");
    if (mode && *mode) chooseMode(*fresh, mode);
    if (const char* path = getenv("SOFTCUDA_LOG")) fresh->log = fopen(path, "a");
    if (const char* list = getenv("SOFTCUDA_FAIL")) addFailures(*fresh, list);
    return fresh;
  }();
  return s;
}

std::string quote(const std::string& s) {
  std::string out = "\"";
  for (char c : s) {
    if (c == '"' || c == '\\') out += '\\';
    if (static_cast<unsigned char>(c) < ' ') { char u[8]; snprintf(u, sizeof u, "\\u%04x", c); out += u; continue; }
    out += c;
  }
  return out + "\"";
}

void line(const std::string& json) {
  if (!state().log) return;
  fprintf(state().log, "%s\n", json.c_str());
  fflush(state().log);
}

std::string json(const std::map<std::string, uint64_t>& m) {
  std::string s = "{";
  for (auto& e : m) s += (s.size() > 1 ? "," : "") + quote(e.first) + ":" + std::to_string(e.second);
  return s + "}";
}

std::string json(const std::vector<std::string>& items, bool quoted) {
  std::string s = "[";
  for (auto& i : items) s += (s.size() > 1 ? "," : "") + (quoted ? quote(i) : i);
  return s + "]";
}

// "bytes_read":…,"bytes_written":…,"reads":{"4":…},"writes":{…}: counts of accesses by their size.
std::string json(const Traffic& t) {
  uint64_t read = 0, written = 0;
  std::map<std::string, uint64_t> reads, writes;
  for (int k = 0; k < 5; ++k) {
    read += t.read[k] << k;
    written += t.written[k] << k;
    if (t.read[k]) reads[std::to_string(1 << k)] = t.read[k];
    if (t.written[k]) writes[std::to_string(1 << k)] = t.written[k];
  }
  return "\"bytes_read\":" + std::to_string(read) + ",\"bytes_written\":" + std::to_string(written) + ",\"reads\":" + json(reads) +
         ",\"writes\":" + json(writes);
}

void add(Traffic& sum, const Traffic& t) {
  for (int k = 0; k < 5; ++k) {
    sum.read[k] += t.read[k];
    sum.written[k] += t.written[k];
  }
}

const char* name(Kind k) {
  return k == Kind::Device ? "device" : k == Kind::Variable ? "variable" : k == Kind::Constant ? "constant" : "pinned";
}

std::string live() {
  std::string list;
  for (auto* a : memory.leftovers(nullptr))
    list += (list.empty() ? "" : ",") + ("{\"name\":" + quote(a->name)) + ",\"address\":" + std::to_string(a->base) +
            ",\"bytes\":" + std::to_string(a->size) + ",\"kind\":\"" + name(a->kind) + "\"}";
  return "[" + list + "]";
}

}  // namespace

long setting(const char* name, long otherwise) {
  const char* s = getenv(name);
  return s && *s ? strtol(s, nullptr, 10) : otherwise;
}

bool eager() { return state().mode == "eager"; }

int workers() {
  static int n = int(setting("SOFTCUDA_THREADS", long(std::max(1u, std::thread::hardware_concurrency()))));
  return n;
}

Error entering(const char* call) {
  Books& s = state();
  ++s.calls[call];
  std::string full = call, base = full.size() > 3 && full.compare(full.size() - 3, 3, "_v2") == 0 ? full.substr(0, full.size() - 3) : full;
  for (size_t k = 0; k < s.failures.size(); ++k) {
    Failure& f = s.failures[k];
    if (f.call != full && f.call != base) continue;
    if (f.n > 1) { --f.n; continue; }
    int code = f.code;
    if (f.n == 1) s.failures.erase(s.failures.begin() + long(k));
    fprintf(stderr, "softcuda: %s fails with %d, as told\n", call, code);
    return Error(code);
  }
  return SUCCESS;
}

void report(const std::string& message) {
  fprintf(stderr, "softcuda: %s\n", message.c_str());
  fflush(stderr);
  state().errors.push_back(message);
  line("{\"event\":\"error\",\"message\":" + quote(message) + "}");
}

void record(const Launch& l, const Outcome& o, double ms) {
  Books& s = state();
  ++s.launchCount;
  Traffic sum;
  std::string uses;
  for (auto& u : o.memory) {
    if (u.kind != Kind::Constant) add(sum, u.traffic);
    uses += (uses.empty() ? "" : ",") + ("{\"name\":" + quote(u.name)) + ",\"kind\":\"" + name(u.kind) + "\",\"address\":" +
            std::to_string(u.base) + ",\"bytes\":" + std::to_string(u.size) + "," + json(u.traffic) + "}";
  }
  add(s.traffic, sum);
  for (auto& i : o.instructions) s.instructions[i.first] += i.second;
  auto three = [](const uint32_t* x) {
    return "[" + std::to_string(x[0]) + "," + std::to_string(x[1]) + "," + std::to_string(x[2]) + "]";
  };
  char time[40];
  snprintf(time, sizeof time, "%.3f", ms);
  std::string text = "{\"event\":\"launch\",\"kernel\":" + quote(l.function->name) + ",\"grid\":" + three(l.grid) + ",\"block\":" +
                     three(l.block) + ",\"dynamic_shared\":" + std::to_string(l.dynamicShared) + ",\"ms\":" + time + ",\"code\":" +
                     std::to_string(o.code) + "," + json(sum) + ",\"instructions\":" + json(o.instructions) + ",\"memory\":[" + uses + "]}";
  line(text);
  if (s.launches.size() < 10000) s.launches.push_back(text);
}

std::string command(const std::string& text) {
  Books& s = state();
  auto begins = [&](const char* prefix) { return text.compare(0, strlen(prefix), prefix) == 0; };
  if (text == "stats")
    return "{\"launches\":" + std::to_string(s.launchCount) + "," + json(s.traffic) + ",\"instructions\":" + json(s.instructions) +
           ",\"calls\":" + json(s.calls) + ",\"live_bytes\":" + std::to_string(memory.live()) + ",\"live\":" +
           std::to_string(memory.liveCount()) + ",\"errors\":" + json(s.errors, true) + "}";
  if (text == "launches") return json(s.launches, false);
  if (text == "errors") return json(s.errors, true);
  if (text == "live") return live();
  if (text == "reset") {
    s.calls.clear();
    s.instructions.clear();
    s.failures.clear();
    s.errors.clear();
    s.launches.clear();
    s.traffic = Traffic();
    s.launchCount = 0;
    return "{}";
  }
  if (begins("fail ")) { addFailures(s, text.substr(5)); return "{}"; }
  if (begins("mode ") && chooseMode(s, text.substr(5))) return "{}";
  return "{\"error\":\"unknown command\"}";
}

namespace {
__attribute__((destructor)) void atExit() {
  Books& s = state();
  auto left = memory.leftovers(nullptr);
  for (auto* a : left) report("left at exit: " + a->name + " of " + std::to_string(a->size) + " bytes");
  line("{\"event\":\"exit\",\"left\":" + live() + ",\"launches\":" + std::to_string(s.launchCount) + ",\"calls\":" + json(s.calls) + "}");
}
}  // namespace

}  // namespace soft

// For C and C++. Strings live until the next call.
#define EXPORT extern "C" __attribute__((visibility("default")))
EXPORT const char* softcuda(const char* text) {
  static std::string& answer = *new std::string;
  answer = soft::command(text);
  return answer.c_str();
}
EXPORT const char* softcuda_stats() { return softcuda("stats"); }
EXPORT void softcuda_fail(const char* list) { softcuda((std::string("fail ") + list).c_str()); }
EXPORT uint64_t softcuda_live_bytes() { return soft::memory.live(); }
EXPORT void softcuda_reset() { softcuda("reset"); }
