// What a PTX text becomes: functions of compact instructions over numbered slots, and variables in memory.
#pragma once
#include <cstdint>
#include <cstring>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "memory.h"

namespace soft {

struct Thread;
struct Function;

// A register, an immediate or a special register: all are slots of a thread's frame, so an instruction has only one kind of operand.
struct Slot {
  uint64_t bits = 0;
  template <class T> T get() const { T x; std::memcpy(&x, &bits, sizeof x); return x; }
  template <class T> void set(T x) { bits = widen(x); }
  static uint64_t widen(float x) { uint32_t u; std::memcpy(&u, &x, 4); return u; }
  static uint64_t widen(double x) { uint64_t u; std::memcpy(&u, &x, 8); return u; }
  template <class T> static uint64_t widen(T x) { return static_cast<uint64_t>(static_cast<int64_t>(x)); }
};

// Executes one instruction and returns the next, or null when the thread must wait or is done.
struct Ins;
using Handler = const Ins* (*)(Thread&, const Ins*);

struct Ins {
  Handler run = nullptr;
  int32_t d = -1, a = -1, b = -1, c = -1;  // slots: result and operands
  int64_t imm = 0;                         // address offset, branch distance, …: the handler knows
  int32_t v[4] = {-1, -1, -1, -1};         // slots of a vector; v[0] also the second result
  uint32_t line = 0, index = 0;            // of the text; of the function, for counting
  int32_t name = -1;                       // in Module::names, or -1: made by the decoder, not counted
};

enum class Special { Tid, Ntid, Ctaid, Nctaid, Lane, Warp, Warps, MaskEq, MaskLe, MaskLt, MaskGe, MaskGt, Zero, One, SharedDynamic,
                     SharedDynamicSize, LocalAddress, ParamAddress };

struct Range { uint64_t offset, size; };
struct Call { std::string name; const Function* callee; std::vector<Range> results, arguments; uint32_t line = 0; };

struct Function {
  std::string name;
  bool entry = false, defined = false, waits = false;  // waits: has barriers or warp operations, so its threads must interleave
  std::vector<Range> results, params;   // in the frame's parameter area
  uint64_t paramBytes = 0;              // formal parameters, then those of its own calls
  uint64_t formalBytes = 0;
  uint64_t localBytes = 0, sharedBytes = 0;
  int maxThreads = 1024;
  std::vector<Slot> slots;              // a frame at entry: registers 0, immediates in place
  struct SpecialSlot { int slot; Special what; int axis; uint64_t offset; };
  std::vector<SpecialSlot> specials;
  std::vector<Ins> code;
  std::vector<std::vector<int>> jumps;  // branch tables: instruction numbers
  std::vector<Call> calls;
};

struct Module {
  std::string text;
  std::vector<std::string> lines;
  std::vector<std::string> names;       // opcodes met
  std::map<std::string, std::unique_ptr<Function>> functions;
  std::map<std::string, Allocation*> variables;
  std::string line(uint32_t number) const;  // without surrounding blanks
};

// What is wrong with a text: an unknown instruction or a syntax error, with its line.
struct PtxError : std::runtime_error { using std::runtime_error::runtime_error; };

std::unique_ptr<Module> parse(const std::string& text, void* context);

// One operand as written. For decode.
struct Operand {
  enum Form { Plain, Memory, Vector, Label } form = Plain;
  int slot = -1, second = -1;  // second: of d|p
  int64_t offset = 0;
  std::string name;
  std::vector<Operand> items;
};

// What decode() sees of the parser.
struct Decoder {
  std::vector<std::string> parts;      // the opcode, split at its dots
  std::vector<Operand> operands;
  Ins ins;
  int round = 0;                       // processor flags around the instruction (MXCSR bits), 0: none
  bool waits = false;
  bool has(const std::string& modifier);  // and mark it as understood
  std::vector<bool> used;
};

// Chooses the handler; throws PtxError where the instruction, or a part of it, is not known. Branches and calls are the parser's.
void decode(Decoder& d);
extern const Handler branch, branchIf, branchUnless, skipIf, skipUnless, negate, setMode, jump, call, ret;

}  // namespace soft
