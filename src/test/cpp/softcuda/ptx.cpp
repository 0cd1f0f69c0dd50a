// Reads PTX text, statement by statement, into a Module.
#include "ptx.h"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <set>

namespace soft {

std::string Module::line(uint32_t number) const {
  if (!number || number > lines.size()) return "";
  const std::string& s = lines[number - 1];
  size_t a = s.find_first_not_of(" \t"), b = s.find_last_not_of(" \t\r");
  std::string result = a == std::string::npos ? "" : s.substr(a, b - a + 1);
  for (char& c : result) if (c == '\t') c = ' ';
  return result;
}

namespace {

struct Token { std::string text; uint32_t line; };

bool word(char c) { return isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '$' || c == '.' || c == '%'; }

std::vector<Token> tokenize(const std::string& s) {
  std::vector<Token> tokens;
  uint32_t line = 1;
  for (size_t k = 0; k < s.size();) {
    char c = s[k];
    if (c == '\n') { ++line; ++k; continue; }
    if (isspace(static_cast<unsigned char>(c))) { ++k; continue; }
    if (s.compare(k, 2, "//") == 0) { while (k < s.size() && s[k] != '\n') ++k; continue; }
    if (s.compare(k, 2, "/*") == 0) {
      for (k += 2; k < s.size() && s.compare(k, 2, "*/") != 0; ++k) line += s[k] == '\n';
      k += 2;
      continue;
    }
    size_t e = k + 1;
    if (c == '"') {
      while (e < s.size() && s[e] != '"') ++e;
      ++e;
    } else if (word(c)) {
      while (e < s.size() && (word(s[e]) || (s[e] == ':' && s.compare(e, 2, "::") == 0 && ++e))) ++e;
    }
    tokens.push_back({s.substr(k, e - k), line});
    k = e;
  }
  tokens.push_back({"", line});
  return tokens;
}

// In bytes, of ".f32"; 0: no type.
unsigned sizeOf(const std::string& type) {
  static const std::map<std::string, unsigned> sizes = {
      {".pred", 1}, {".b8", 1}, {".u8", 1}, {".s8", 1}, {".b16", 2}, {".u16", 2}, {".s16", 2}, {".f16", 2}, {".bf16", 2}, {".b32", 4}, {".u32", 4},
      {".s32", 4}, {".f32", 4}, {".f16x2", 4}, {".bf16x2", 4}, {".b64", 8}, {".u64", 8}, {".s64", 8}, {".f64", 8}, {".b128", 16}};
  auto it = sizes.find(type);
  return it == sizes.end() ? 0 : it->second;
}

uint64_t align(uint64_t x, uint64_t a) { return (x + a - 1) / a * a; }

bool number(const std::string& s) { return isdigit(static_cast<unsigned char>(s[0])); }
bool isFloat(const std::string& s) { return s.size() > 2 && s[0] == '0' && strchr("fFdD", s[1]); }

// An integer, or the bits of 0f3F800000 and 0d…; false: neither.
bool read(const std::string& s, uint64_t& value) {
  std::string digits = s;
  int base = 10;
  if (isFloat(s)) {
    if (s.size() != (strchr("fF", s[1]) ? 10 : 18)) return false;
    digits = s.substr(2);
    base = 16;
  } else {
    if (digits.size() > 1 && digits.back() == 'U') digits.pop_back();
    if (digits.size() > 1 && digits[0] == '0') {
      bool hex = strchr("xX", digits[1]), binary = strchr("bB", digits[1]);
      base = hex ? 16 : binary ? 2 : 8;
      digits = digits.substr(hex || binary ? 2 : 1);
    }
  }
  if (digits.empty() || !isxdigit(static_cast<unsigned char>(digits[0]))) return false;
  char* end = nullptr;
  errno = 0;
  value = std::strtoull(digits.c_str(), &end, base);
  return !*end && !errno;
}

// What a thread, a block and a launch have room for; a text that asks for more is wrong.
constexpr uint64_t MOST_REGISTERS = 100000, MOST_SHARED = 232448, MOST_LOCAL = 512 << 10, MOST_PARAMS = 1 << 20;

struct Parser {
  Module& m;
  void* context;
  std::vector<Token> tokens;
  size_t at = 0;

  // A name in a function: a register, or a place in the function's own memory.
  struct Name { enum { Register, Shared, SharedDynamic, Local, Param } what; int slot; uint64_t offset, size; };
  struct Body {
    Function* f;
    std::vector<std::map<std::string, Name>> scopes{1};
    std::map<std::string, int> labels, constants;
    std::map<std::string, std::vector<std::string>> tables;  // of brx.idx
    struct Use { int ins; std::string label; uint32_t line; };
    std::vector<Use> branches;
    struct Jump { int ins; std::string table; };
    std::vector<Jump> jumps;
    std::set<int> fixed;                                     // slots that nothing may write
    std::vector<std::pair<int, uint64_t>> immediates;        // slot, value
    int slots = 0, sink = -1;
    uint32_t line = 0;
  };
  std::map<std::string, Name> sharedNames;   // of the module
  uint64_t sharedBytes = 0;

  Parser(Module& module, void* ctx) : m(module), context(ctx), tokens(tokenize(module.text)) {}

  const Token& peek(size_t k = 0) const { return tokens[std::min(at + k, tokens.size() - 1)]; }
  Token next() { Token t = peek(); if (at + 1 < tokens.size()) ++at; return t; }
  bool accept(const std::string& s) { if (peek().text != s) return false; next(); return true; }
  [[noreturn]] void fail(const std::string& what, uint32_t line) {
    throw PtxError(what + "; PTX line " + std::to_string(line) + ": " + m.line(line));
  }
  void expect(const std::string& s) { if (!accept(s)) fail("'" + s + "' expected", peek().line); }
  void skipTo(const std::string& s) {
    uint32_t line = peek().line;
    while (!accept(s)) {
      if (peek().text.empty()) fail("the text ends where '" + s + "' is expected", line);
      next();
    }
  }
  uint64_t value() {
    Token t = next();
    uint64_t x = 0;
    if (!read(t.text, x)) fail("a number expected, got '" + t.text + "'", t.line);
    return x;
  }
  std::string name() {
    Token t = next();
    unsigned char c = static_cast<unsigned char>(t.text[0]);
    if (!isalpha(c) && (c == 0 || !strchr("_$%", c))) fail("a name expected, got '" + t.text + "'", t.line);
    return t.text;
  }
  void pragma() {  // "nounroll";
    do if (next().text[0] != '"') fail("a string expected", peek().line); while (accept(","));
    expect(";");
  }
  int newSlot(Body& b) {
    if (uint64_t(b.slots) >= MOST_REGISTERS) fail("more registers than there is room for", peek().line);
    return b.slots++;
  }
  void declare(std::map<std::string, Name>& scope, const std::string& name, const Name& what) {
    if (!scope.emplace(name, what).second) fail(name + " is declared twice", peek().line);
  }
  void skipLine() { uint32_t line = peek().line; while (!peek().text.empty() && peek().line == line) next(); }

  // .align 4 .b8 name[16]: type, name, size. The state space has been read.
  struct Variable { std::string name; uint64_t size = 0, alignment = 1, element = 1; bool open = false; };
  Variable variable() {
    Variable v;
    std::string type;
    bool aligned = false;
    unsigned vec = 1;
    while (peek().text[0] == '.') {
      Token t = next();
      if (t.text == ".align") {
        v.alignment = value();
        if (!v.alignment || v.alignment & (v.alignment - 1) || v.alignment > 4096) fail("an alignment that is none", t.line);
        aligned = true;
      }
      else if (t.text == ".ptr" || t.text == ".global" || t.text == ".shared" || t.text == ".const" || t.text == ".local") continue;
      else if (t.text == ".attribute") skipTo(")");
      else if (t.text == ".v2") vec = 2;
      else if (t.text == ".v4") vec = 4;
      else if (sizeOf(t.text)) type = t.text;
      else fail("'" + t.text + "' is not known in a variable", t.line);
    }
    v.element = sizeOf(type);
    if (!v.element) fail("a variable without a type", peek().line);
    v.size = v.element * vec;
    if (!aligned) v.alignment = v.size;
    v.name = name();
    while (accept("[")) {
      if (accept("]")) { v.open = true; continue; }
      uint64_t n = value();
      if (__builtin_mul_overflow(v.size, n, &v.size) || v.size > uint64_t(1) << 40) fail("a variable larger than any memory", peek().line);
      expect("]");
    }
    return v;
  }

  // Where it lies in memory that ends at `end`.
  uint64_t place(const Variable& v, uint64_t& end, uint64_t most) {
    uint64_t at = align(end, v.alignment);
    end = at + v.size;
    if (end > most) fail("more memory than the " + std::to_string(most) + " bytes there are of its kind", peek().line);
    return at;
  }

  void initialize(Allocation& a, const Variable& v) {
    uint64_t offset = 0;
    auto put = [&] {
      bool minus = accept("-");
      Token t = next();
      uint64_t x = 0;
      bool generic = t.text == "generic" && accept("(");
      if (generic) t = next();
      if (read(t.text, x)) {}
      else if (m.variables.count(t.text)) x = m.variables[t.text]->base;
      else fail("an initial value it does not know", t.line);
      if (generic) expect(")");
      if (accept("+")) x += value();
      if (minus) x = 0 - x;
      if (offset + v.element > a.size) fail("more initial values than elements", t.line);
      std::memcpy(a.data + offset, &x, std::min<uint64_t>(v.element, 8));
      offset += v.element;
    };
    int depth = 0;
    do {
      while (accept("{")) ++depth;
      if (peek().text != "}") put();
      while (depth && accept("}")) --depth;
    } while (accept(",") || (depth && peek().text != ";"));
  }

  void moduleVariable(const std::string& space) {
    do {
      Variable v = variable();
      if (space == ".shared") {
        bool dynamic = v.open;
        uint64_t at = dynamic ? 0 : place(v, sharedBytes, MOST_SHARED);
        declare(sharedNames, v.name, {dynamic ? Name::SharedDynamic : Name::Shared, -1, at, v.size});
        continue;
      }
      if (m.variables.count(v.name)) fail(v.name + " is declared twice", peek().line);
      Allocation* a = memory.allocate(v.size, space == ".const" ? Kind::Constant : Kind::Variable, v.name, context);
      if (!a) fail("no memory for a variable", peek().line);
      m.variables[v.name] = a;
      if (accept("=")) initialize(*a, v);
    } while (accept(","));
    expect(";");
  }

  std::vector<Range> formals(Body& b) {
    std::vector<Range> result;
    if (!accept("(")) return result;
    if (accept(")")) return result;
    do {
      Token space = next();
      if (space.text != ".param") fail("a parameter in '" + space.text + "'", space.line);
      Variable v = variable();
      uint64_t at = place(v, b.f->paramBytes, MOST_PARAMS);
      result.push_back({at, v.size});
      declare(b.scopes[0], v.name, {Name::Param, -1, at, v.size});
    } while (accept(","));
    expect(")");
    return result;
  }

  void function(bool entry) {
    auto owned = std::make_unique<Function>();
    Body b;
    b.f = owned.get();
    Function& f = *owned;
    f.entry = entry;
    if (!entry && peek().text == "(") f.results = formals(b);
    f.name = name();
    f.params = formals(b);
    f.formalBytes = f.paramBytes;
    while (peek().text[0] == '.') {
      Token directive = next();
      static const std::set<std::string> known = {".maxntid", ".reqntid", ".minnctapersm", ".maxnctapersm", ".maxnreg", ".noreturn"};
      if (!known.count(directive.text)) fail("'" + directive.text + "' is not known here", directive.line);
      uint64_t product = 1;
      if (number(peek().text)) do product *= std::min<uint64_t>(value(), 1 << 20); while (product < 1 << 20 && accept(","));
      if (directive.text != ".maxntid" && directive.text != ".reqntid") continue;
      if (!product || product > 1024) fail("a block of no threads, or of more than 1024", directive.line);
      f.maxThreads = int(product);
    }
    auto& slot = m.functions[f.name];
    if (slot && slot->defined) fail(f.name + " is defined twice", peek().line);
    if (accept(";")) {  // a declaration
      if (!slot) slot = std::move(owned);
      return;
    }
    if (!slot) slot = std::make_unique<Function>();  // for calls of itself
    f.defined = true;
    f.sharedBytes = sharedBytes;
    b.sink = newSlot(b);
    expect("{");
    int depth = 1;
    while (depth) {
      if (accept("{")) { ++depth; b.scopes.emplace_back(); }
      else if (accept("}")) { --depth; b.scopes.pop_back(); if (b.scopes.empty()) b.scopes.emplace_back(); }
      else if (peek().text.empty()) fail("the text ends in a function", peek().line);
      else statement(b);
    }
    finish(b);
    *slot = std::move(f);
  }

  void statement(Body& b) {
    Token t = peek();
    b.line = t.line;
    if (t.text == ".loc" || t.text == ".file") { skipLine(); return; }
    if (accept(".pragma")) { pragma(); return; }
    if (t.text == ".reg") { next(); registers(b); return; }
    if (t.text == ".shared" || t.text == ".local" || t.text == ".param") {
      next();
      Variable v = variable();
      expect(";");
      Function& f = *b.f;
      Name what{t.text == ".shared" ? Name::Shared : t.text == ".local" ? Name::Local : Name::Param, -1, 0, v.size};
      if (v.open) fail("an array without a size", t.line);
      if (t.text == ".shared") {
        what.offset = place(v, f.sharedBytes, MOST_SHARED);
        if (!f.entry) sharedBytes = f.sharedBytes;  // every kernel that calls it must leave it room
      } else if (t.text == ".local") {
        what.offset = place(v, f.localBytes, MOST_LOCAL);
      } else {
        what.offset = place(v, f.paramBytes, MOST_PARAMS);
      }
      declare(b.scopes.back(), v.name, what);
      return;
    }
    if (peek(1).text == ":") {
      std::string label = name();
      next();
      if (b.labels.count(label) || b.tables.count(label)) fail(label + " is declared twice", t.line);
      if (accept(".branchtargets")) {
        do b.tables[label].push_back(name()); while (accept(","));
        expect(";");
      } else {
        b.labels[label] = int(b.f->code.size());
      }
      return;
    }
    if (accept(";")) return;
    instruction(b);
  }

  void registers(Body& b) {
    Token type = next();  // every slot has 64 bits
    if (!sizeOf(type.text)) fail("registers of '" + type.text + "'", type.line);
    do {
      std::string register_ = name();
      auto declareOne = [&](const std::string& name) { declare(b.scopes.back(), name, {Name::Register, newSlot(b), 0, 0}); };
      if (accept("<")) {
        uint64_t n = value();
        expect(">");
        for (uint64_t k = 0; k < n; ++k) declareOne(register_ + std::to_string(k));
      } else {
        declareOne(register_);
      }
    } while (accept(","));
    expect(";");
  }

  const Name* find(Body& b, const std::string& name) {
    for (auto s = b.scopes.rbegin(); s != b.scopes.rend(); ++s) {
      auto it = s->find(name);
      if (it != s->end()) return &it->second;
    }
    auto it = sharedNames.find(name);
    return it == sharedNames.end() ? nullptr : &it->second;
  }

  int constant(Body& b, uint64_t bits) {
    auto [it, fresh] = b.constants.emplace("#" + std::to_string(bits), b.slots);
    if (!fresh) return it->second;
    b.immediates.push_back({newSlot(b), bits});
    b.fixed.insert(it->second);
    return it->second;
  }
  int special(Body& b, const std::string& name, Special what, int axis = 0, uint64_t offset = 0) {
    auto [it, fresh] = b.constants.emplace(name, b.slots);
    if (!fresh) return it->second;
    b.f->specials.push_back({newSlot(b), what, axis, offset});
    b.fixed.insert(it->second);
    return it->second;
  }

  // The slot that holds what this name means, or -1.
  int slotOf(Body& b, const std::string& name) {
    if (name == "_") return b.sink;
    if (const Name* n = find(b, name)) switch (n->what) {
      case Name::Register: return n->slot;
      case Name::Shared: return constant(b, n->offset);
      case Name::SharedDynamic: return special(b, "dynamic shared", Special::SharedDynamic);
      case Name::Local: return special(b, "local " + std::to_string(n->offset), Special::LocalAddress, 0, n->offset);
      case Name::Param: return special(b, "param " + std::to_string(n->offset), Special::ParamAddress, 0, n->offset);
    }
    auto v = m.variables.find(name);
    if (v != m.variables.end()) return constant(b, v->second->base);
    if (name == "WARP_SZ") return constant(b, 32);
    static const std::map<std::string, Special> axes = {
        {"%tid", Special::Tid}, {"%ntid", Special::Ntid}, {"%ctaid", Special::Ctaid}, {"%nctaid", Special::Nctaid}};
    static const std::map<std::string, Special> plain = {
        {"%laneid", Special::Lane}, {"%warpid", Special::Warp}, {"%nwarpid", Special::Warps}, {"%lanemask_eq", Special::MaskEq},
        {"%lanemask_le", Special::MaskLe}, {"%lanemask_lt", Special::MaskLt}, {"%lanemask_ge", Special::MaskGe},
        {"%lanemask_gt", Special::MaskGt}, {"%smid", Special::Zero}, {"%nsmid", Special::One}, {"%gridid", Special::Zero},
        {"%dynamic_smem_size", Special::SharedDynamicSize}};
    auto p = plain.find(name);
    if (p != plain.end()) return special(b, name, p->second);
    if (name.size() > 2 && name[name.size() - 2] == '.' && name.back() >= 'x' && name.back() <= 'z') {
      auto a = axes.find(name.substr(0, name.size() - 2));
      if (a != axes.end()) return special(b, name, a->second, name.back() - 'x');
    }
    return -1;
  }

  int64_t offset() {  // "+4", "+-4", "-4", or nothing
    uint64_t x = 0;
    while (peek().text == "+" || peek().text == "-") {
      bool minus = next().text == "-";
      if (accept("-")) minus = !minus;
      uint64_t v = value();
      x += minus ? 0 - v : v;
    }
    return int64_t(x);
  }

  Operand operand(Body& b) {
    Operand o;
    if (accept("[")) {
      o.form = Operand::Memory;
      if (number(peek().text)) {
        o.slot = constant(b, value());
      } else {
        Token t = peek();
        o.slot = slotOf(b, name());
        if (o.slot < 0) fail("unknown name " + t.text, t.line);
      }
      o.offset = offset();
      expect("]");
      return o;
    }
    if (accept("{")) {
      o.form = Operand::Vector;
      do {
        Operand item = single(b);
        if (item.form == Operand::Label) fail("unknown name " + item.name, b.line);
        o.items.push_back(item);
      } while (accept(","));
      expect("}");
      return o;
    }
    return single(b);
  }

  Operand single(Body& b) {  // a number, a register, an address, or a label
    Operand o;
    if (accept("-")) {
      if (isFloat(peek().text)) fail("a sign before bits", peek().line);
      o.slot = constant(b, 0 - value());
      return o;
    }
    if (number(peek().text)) { o.slot = constant(b, value()); return o; }
    bool negated = accept("!");
    Token t = peek();
    o.name = name();
    o.slot = slotOf(b, t.text);
    if (negated && (o.slot < 0 || b.fixed.count(o.slot))) fail("no predicate: " + t.text, t.line);
    if (o.slot < 0) { o.form = Operand::Label; return o; }
    if (negated) {
      Ins i;
      i.run = negate;
      i.a = o.slot;
      i.d = o.slot = newSlot(b);
      emit(b, i, -1);
    }
    if (accept("|")) {
      Token second = peek();
      o.second = slotOf(b, name());
      if (o.second < 0 || b.fixed.count(o.second)) fail("no register: " + second.text, second.line);
    }
    o.offset = offset();
    return o;
  }

  void emit(Body& b, Ins i, int name) {
    for (int* s : {&i.d, &i.a, &i.b, &i.c, &i.v[0], &i.v[1], &i.v[2], &i.v[3]}) if (*s < 0) *s = b.sink;
    i.line = b.line;
    i.name = name;
    i.index = uint32_t(b.f->code.size());
    b.f->code.push_back(i);
  }

  int nameOf(const std::string& opcode) {
    for (size_t k = 0; k < m.names.size(); ++k) if (m.names[k] == opcode) return int(k);
    m.names.push_back(opcode);
    return int(m.names.size()) - 1;
  }

  void instruction(Body& b) {
    int guard = -1;
    bool unless = false;
    if (accept("@")) {
      unless = accept("!");
      Token t = peek();
      guard = slotOf(b, name());
      if (guard < 0 || b.fixed.count(guard)) fail("unknown predicate " + t.text, t.line);
    }
    b.line = peek().line;
    std::string opcode = name();
    Decoder d;
    for (size_t k = 0; k <= opcode.size();) {
      size_t e = std::min(opcode.find('.', k), opcode.size());
      d.parts.push_back(opcode.substr(k, e - k));
      k = e + 1;
    }
    const std::string& op = d.parts[0];
    if (op == "call") { callOf(b, guard, unless, opcode); return; }
    if (!accept(";")) {
      do d.operands.push_back(operand(b)); while (accept(","));
      expect(";");
    }
    int name = nameOf(opcode);
    auto isLabel = [&](size_t k) { return d.operands[k].form == Operand::Label; };
    if (op == "bra") {
      if (d.operands.size() != 1 || !isLabel(0)) fail("a branch to no label", b.line);
      Ins i;
      i.run = guard < 0 ? branch : unless ? branchUnless : branchIf;
      i.a = guard;
      b.branches.push_back({int(b.f->code.size()), d.operands[0].name, b.line});
      emit(b, i, name);
      return;
    }
    int skip = int(b.f->code.size());
    if (guard >= 0) emitSkip(b, guard, unless);
    if (op == "brx") {
      if (d.operands.size() != 2 || d.operands[0].form != Operand::Plain || !isLabel(1)) fail("a branch by no table", b.line);
      Ins i;
      i.run = jump;
      i.a = d.operands[0].slot;
      b.jumps.push_back({int(b.f->code.size()), d.operands[1].name});
      emit(b, i, name);
    } else {
      for (auto& o : d.operands)
        if (o.form == Operand::Label) fail("unknown name " + o.name, b.line);
      if (hasResult(d) && !d.operands.empty()) checkResult(b, d.operands[0]);
      try {
        decode(d);
      } catch (PtxError& e) {
        fail(std::string(e.what()) + " in " + opcode, b.line);
      }
      b.f->waits |= d.waits;
      Ins mode;
      mode.run = setMode;
      if (d.round) { mode.imm = d.round; emit(b, mode, -1); }
      emit(b, d.ins, name);
      if (d.round) { mode.imm = 0x1f80; emit(b, mode, -1); }
    }
    if (guard >= 0) b.f->code[skip].imm = int64_t(b.f->code.size()) - skip;
  }

  static bool hasResult(const Decoder& d) {
    static const std::set<std::string> none = {"st", "red", "membar", "fence", "prefetch", "prefetchu", "exit", "trap", "ret", "nanosleep"};
    bool barrier = d.parts[0] == "bar" || d.parts[0] == "barrier";
    return barrier ? std::count(d.parts.begin(), d.parts.end(), "red") : !none.count(d.parts[0]);
  }
  void checkResult(Body& b, const Operand& o) {
    if (o.form == Operand::Vector) for (auto& item : o.items) checkResult(b, item);
    else if (o.form != Operand::Plain || b.fixed.count(o.slot)) fail("a result that goes to no register", b.line);
  }

  void emitSkip(Body& b, int guard, bool unless) {
    Ins i;
    i.run = unless ? skipIf : skipUnless;
    i.a = guard;
    emit(b, i, -1);
  }

  // call (result), name, (arguments);  with either list missing
  void callOf(Body& b, int guard, bool unless, const std::string& opcode) {
    if (opcode != "call" && opcode != "call.uni") fail("unknown instruction in " + opcode, b.line);
    Call c;
    c.line = b.line;
    auto ranges = [&] {
      std::vector<Range> result;
      expect("(");
      if (accept(")")) return result;
      do {
        Token t = peek();
        const Name* n = find(b, name());
        if (!n || n->what != Name::Param) fail("an argument that is no .param", t.line);
        result.push_back({n->offset, n->size});
      } while (accept(","));
      expect(")");
      return result;
    };
    if (peek().text == "(") { c.results = ranges(); expect(","); }
    c.name = name();
    if (accept(",") && peek().text == "(") c.arguments = ranges();
    if (!accept(";")) fail("an indirect call", b.line);
    if (!m.functions.count(c.name)) fail("call of " + c.name + ", which the text does not declare", b.line);
    int skip = int(b.f->code.size());
    if (guard >= 0) emitSkip(b, guard, unless);
    Ins i;
    i.run = call;
    i.imm = int64_t(b.f->calls.size());
    c.callee = nullptr;
    b.f->calls.push_back(c);
    emit(b, i, nameOf(opcode));
    if (guard >= 0) b.f->code[skip].imm = int64_t(b.f->code.size()) - skip;
  }

  void finish(Body& b) {
    Function& f = *b.f;
    Ins end;
    end.run = ret;
    emit(b, end, -1);
    auto target = [&](const std::string& label, uint32_t line) {
      auto it = b.labels.find(label);
      if (it == b.labels.end()) fail("unknown label " + label, line);
      return it->second;
    };
    for (auto& u : b.branches) f.code[u.ins].imm = target(u.label, u.line) - u.ins;
    for (auto& j : b.jumps) {
      Ins& i = f.code[j.ins];
      i.imm = int64_t(f.jumps.size());
      if (!b.tables.count(j.table)) fail("unknown table " + j.table, i.line);
      std::vector<int> table;
      for (auto& label : b.tables[j.table]) table.push_back(target(label, i.line));
      f.jumps.push_back(table);
    }
    f.slots.resize(b.slots);
    for (auto& c : b.immediates) f.slots[c.first].bits = c.second;
  }

  void run() {
    while (!peek().text.empty()) {
      Token t = next();
      if (t.text == ".version" || t.text == ".target" || t.text == ".address_size" || t.text == ".file" || t.text == ".loc") {
        if (peek().line == t.line) skipLine();
      } else if (t.text == ".visible" || t.text == ".extern" || t.text == ".weak" || t.text == ".common") {
      } else if (t.text == ".entry" || t.text == ".func") {
        while (peek().text == ".attribute") skipTo(")");
        function(t.text == ".entry");
      } else if (t.text == ".global" || t.text == ".const" || t.text == ".shared") {
        moduleVariable(t.text);
      } else if (t.text == ".section") {
        skipTo("}");
      } else if (t.text == ".pragma") {
        pragma();
      } else if (t.text != ";") {
        fail("'" + t.text + "' is not known here", t.line);
      }
    }
    for (auto& entry : m.functions)
      for (auto& c : entry.second->calls) {
        c.callee = m.functions[c.name].get();
        if (!c.callee->defined || c.callee->entry) fail("call of " + c.name + ", which the text does not define as a function", c.line);
        if (c.arguments.size() != c.callee->params.size() || c.results.size() != c.callee->results.size())
          fail("call of " + c.name + " with another number of arguments", c.line);
      }
    // A kernel waits, and needs shared memory, if a function it may reach does. One pass per level of calls settles it.
    for (size_t k = 0; k < m.functions.size(); ++k)
      for (auto& entry : m.functions)
        for (auto& c : entry.second->calls) entry.second->waits |= c.callee->waits;
    for (auto& entry : m.functions)
      if (entry.second->sharedBytes < sharedBytes) entry.second->sharedBytes = sharedBytes;
  }
};

}  // namespace

std::unique_ptr<Module> parse(const std::string& text, void* context) {
  auto m = std::make_unique<Module>();
  m->text = text;
  for (size_t k = 0; k <= text.size();) {
    size_t e = std::min(text.find('\n', k), text.size());
    m->lines.push_back(text.substr(k, e - k));
    k = e + 1;
  }
  try {
    Parser(*m, context).run();
  } catch (...) {
    for (auto& v : m->variables) memory.free(v.second->base);
    throw;
  }
  return m;
}

}  // namespace soft
