// Reads PTX text, statement by statement, into a Module.
#include "ptx.h"

#include <cstdlib>

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

unsigned sizeOf(const std::string& type) {  // of ".f32"
  unsigned bits = 0;
  for (char c : type) if (isdigit(static_cast<unsigned char>(c))) bits = bits * 10 + unsigned(c - '0');
  return type == ".pred" ? 1 : bits / 8;
}

uint64_t align(uint64_t x, uint64_t a) { return (x + a - 1) / a * a; }

bool number(const std::string& s) { return isdigit(static_cast<unsigned char>(s[0])); }

// 0f3F800000 and 0d…: the bits; 1.5: as a double's; else an integer.
uint64_t value(const std::string& s) {
  if (s.size() > 2 && s[0] == '0' && strchr("fFdD", s[1])) return std::strtoull(s.c_str() + 2, nullptr, 16);
  if (s.find('.') != std::string::npos) return Slot::widen(std::strtod(s.c_str(), nullptr));
  if (s.size() > 2 && s[0] == '0' && strchr("bB", s[1])) return std::strtoull(s.c_str() + 2, nullptr, 2);
  return std::strtoull(s.c_str(), nullptr, 0);
}

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
    std::vector<std::pair<int, std::string>> jumps;
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
  void skipLine() { uint32_t line = peek().line; while (!peek().text.empty() && peek().line == line) next(); }

  // .align 4 .b8 name[16]: type, name, size. The state space has been read.
  struct Variable { std::string name; uint64_t size = 0, alignment = 1, element = 1; bool open = false; };
  Variable variable() {
    Variable v;
    std::string type;
    bool aligned = false;
    unsigned vec = 1;
    while (peek().text[0] == '.') {
      std::string t = next().text;
      if (t == ".align") { v.alignment = value(next().text); aligned = true; }
      else if (t == ".ptr" || t == ".global" || t == ".shared" || t == ".const" || t == ".local") continue;
      else if (t == ".attribute") while (next().text != ")") {}
      else if (t == ".v2") vec = 2;
      else if (t == ".v4") vec = 4;
      else type = t;
    }
    v.element = sizeOf(type);
    v.size = v.element * vec;
    if (!aligned || v.alignment < v.size) v.alignment = aligned ? v.alignment : v.size;
    if (!v.alignment) v.alignment = 1;
    v.name = next().text;
    while (accept("[")) {
      if (accept("]")) { v.open = true; continue; }
      v.size *= value(next().text);
      expect("]");
    }
    return v;
  }

  void initialize(Allocation& a, const Variable& v) {
    uint64_t offset = 0;
    auto put = [&] {
      bool minus = accept("-");
      Token t = next();
      uint64_t x;
      bool generic = t.text == "generic" && accept("(");
      if (generic) t = next();
      if (number(t.text)) x = value(t.text);
      else if (m.variables.count(t.text)) x = m.variables[t.text]->base;
      else fail("an initial value it does not know", t.line);
      if (generic) expect(")");
      if (accept("+")) x += value(next().text);
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
        if (v.open) { sharedNames[v.name] = {Name::SharedDynamic, -1, 0, 0}; continue; }
        sharedBytes = align(sharedBytes, v.alignment);
        sharedNames[v.name] = {Name::Shared, -1, sharedBytes, v.size};
        sharedBytes += v.size;
        continue;
      }
      Allocation* a = memory.allocate(v.size, space == ".const" ? Kind::Constant : Kind::Variable, v.name, context);
      if (!a) fail("no memory for a variable", peek().line);
      std::memset(a->written, 1, v.size);  // variables start at zero
      m.variables[v.name] = a;
      if (accept("=")) initialize(*a, v);
    } while (accept(","));
    expect(";");
  }

  std::vector<Range> formals(Body& b) {
    std::vector<Range> result;
    if (!accept("(")) return result;
    while (!accept(")")) {
      std::string space = next().text;
      if (space != ".param") fail("a parameter in " + space, peek().line);
      Variable v = variable();
      Function& f = *b.f;
      f.paramBytes = align(f.paramBytes, v.alignment);
      result.push_back({f.paramBytes, v.size});
      b.scopes[0][v.name] = {Name::Param, -1, f.paramBytes, v.size};
      f.paramBytes += v.size;
      accept(",");
    }
    return result;
  }

  void function(bool entry) {
    auto owned = std::make_unique<Function>();
    Body b;
    b.f = owned.get();
    Function& f = *owned;
    f.entry = entry;
    if (!entry && peek().text == "(") f.results = formals(b);
    f.name = next().text;
    f.params = formals(b);
    f.formalBytes = f.paramBytes;
    while (peek().text[0] == '.') {
      std::string directive = next().text;
      int product = 1;
      while (number(peek().text)) { product *= int(value(next().text)); if (!accept(",")) break; }
      if (directive == ".maxntid" || directive == ".reqntid") f.maxThreads = product;
    }
    if (accept(";")) {  // a declaration
      if (!m.functions.count(f.name)) m.functions[f.name] = std::move(owned);
      return;
    }
    f.defined = true;
    f.sharedBytes = sharedBytes;
    b.sink = b.slots++;
    expect("{");
    int depth = 1;
    while (depth) {
      if (accept("{")) { ++depth; b.scopes.emplace_back(); }
      else if (accept("}")) { --depth; b.scopes.pop_back(); if (b.scopes.empty()) b.scopes.emplace_back(); }
      else if (peek().text.empty()) fail("the text ends in a function", peek().line);
      else statement(b);
    }
    finish(b);
    auto& slot = m.functions[f.name];
    if (slot) *slot = std::move(f);
    else slot = std::move(owned);
  }

  void statement(Body& b) {
    Token t = peek();
    b.line = t.line;
    if (t.text == ".loc" || t.text == ".file") { skipLine(); return; }
    if (t.text == ".pragma") { while (next().text != ";") {} return; }
    if (t.text == ".reg") { next(); registers(b); return; }
    if (t.text == ".shared" || t.text == ".local" || t.text == ".param") {
      next();
      Variable v = variable();
      expect(";");
      Function& f = *b.f;
      if (t.text == ".shared") {
        f.sharedBytes = align(f.sharedBytes, v.alignment);
        b.scopes.back()[v.name] = {Name::Shared, -1, f.sharedBytes, v.size};
        f.sharedBytes += v.size;
        if (!f.entry) sharedBytes = f.sharedBytes;  // every kernel that calls it must leave it room
      } else if (t.text == ".local") {
        f.localBytes = align(f.localBytes, v.alignment);
        b.scopes.back()[v.name] = {Name::Local, -1, f.localBytes, v.size};
        f.localBytes += v.size;
      } else {
        f.paramBytes = align(f.paramBytes, v.alignment);
        b.scopes.back()[v.name] = {Name::Param, -1, f.paramBytes, v.size};
        f.paramBytes += v.size;
      }
      return;
    }
    if (peek(1).text == ":") {
      next();
      next();
      if (accept(".branchtargets")) {
        do b.tables[t.text].push_back(next().text); while (accept(","));
        expect(";");
      } else {
        b.labels[t.text] = int(b.f->code.size());
      }
      return;
    }
    if (accept(";")) return;
    instruction(b);
  }

  void registers(Body& b) {
    next();  // the type: every slot has 64 bits
    do {
      std::string name = next().text;
      if (accept("<")) {
        int n = int(value(next().text));
        expect(">");
        for (int k = 0; k < n; ++k) b.scopes.back()[name + std::to_string(k)] = {Name::Register, b.slots++, 0, 0};
      } else {
        b.scopes.back()[name] = {Name::Register, b.slots++, 0, 0};
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
    if (fresh) b.immediates.push_back({b.slots++, bits});
    return it->second;
  }
  int special(Body& b, const std::string& name, Special what, int axis = 0, uint64_t offset = 0) {
    auto [it, fresh] = b.constants.emplace(name, b.slots);
    if (fresh) b.f->specials.push_back({b.slots++, what, axis, offset});
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
    if (name.size() > 2 && name[name.size() - 2] == '.') {
      auto a = axes.find(name.substr(0, name.size() - 2));
      if (a != axes.end()) return special(b, name, a->second, name.back() - 'x');
    }
    return -1;
  }

  int64_t offset() {  // "+4", "+-4", "-4", or nothing
    int64_t x = 0;
    while (peek().text == "+" || peek().text == "-") {
      bool minus = next().text == "-";
      if (accept("-")) minus = !minus;
      int64_t v = int64_t(value(next().text));
      x += minus ? -v : v;
    }
    return x;
  }

  Operand operand(Body& b) {
    Operand o;
    if (accept("[")) {
      o.form = Operand::Memory;
      Token t = next();
      o.slot = number(t.text) ? constant(b, value(t.text)) : slotOf(b, t.text);
      if (o.slot < 0) fail("unknown name " + t.text, t.line);
      o.offset = offset();
      expect("]");
      return o;
    }
    if (peek().text == "{" || peek().text == "(") {
      bool vector = next().text == "{";
      o.form = vector ? Operand::Vector : Operand::Parens;
      while (!accept(vector ? "}" : ")")) {
        o.items.push_back(operand(b));
        accept(",");
      }
      return o;
    }
    if (accept("-")) { o.slot = constant(b, 0 - value(next().text)); return o; }
    bool negated = accept("!");
    Token t = next();
    o.name = t.text;
    if (number(t.text)) { o.slot = constant(b, value(t.text)); return o; }
    o.slot = slotOf(b, t.text);
    if (o.slot < 0) { o.form = Operand::Label; return o; }
    if (negated) {
      Ins i;
      i.run = negate;
      i.a = o.slot;
      i.d = o.slot = b.slots++;
      emit(b, i, -1);
    }
    if (accept("|")) o.second = slotOf(b, next().text);
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
      Token t = next();
      guard = slotOf(b, t.text);
      if (guard < 0) fail("unknown predicate " + t.text, t.line);
    }
    b.line = peek().line;
    std::string opcode = next().text;
    Decoder d;
    for (size_t k = 0; k <= opcode.size();) {
      size_t e = std::min(opcode.find('.', k), opcode.size());
      d.parts.push_back(opcode.substr(k, e - k));
      k = e + 1;
    }
    const std::string& op = d.parts[0];
    if (op == "call") { callOf(b, guard, unless, opcode); return; }
    while (!accept(";")) {
      d.operands.push_back(operand(b));
      if (peek().text != ";") expect(",");
    }
    int name = nameOf(opcode);
    if (op == "bra") {
      Ins i;
      i.run = guard < 0 ? branch : unless ? branchUnless : branchIf;
      i.a = guard;
      b.branches.push_back({int(b.f->code.size()), d.operands.at(0).name, b.line});
      emit(b, i, name);
      return;
    }
    int skip = int(b.f->code.size());
    if (guard >= 0) emitSkip(b, guard, unless);
    if (op == "brx") {
      Ins i;
      i.run = jump;
      i.a = d.operands.at(0).slot;
      b.jumps.push_back({int(b.f->code.size()), d.operands.at(1).name});
      emit(b, i, name);
    } else {
      for (auto& o : d.operands)
        if (o.form == Operand::Label) fail("unknown name " + o.name, b.line);
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

  void emitSkip(Body& b, int guard, bool unless) {
    Ins i;
    i.run = unless ? skipIf : skipUnless;
    i.a = guard;
    emit(b, i, -1);
  }

  // call (result), name, (arguments);  with either list missing
  void callOf(Body& b, int guard, bool unless, const std::string& opcode) {
    Call c;
    auto ranges = [&] {
      std::vector<Range> result;
      expect("(");
      while (!accept(")")) {
        Token t = next();
        const Name* n = find(b, t.text);
        if (!n || n->what != Name::Param) fail("an argument that is no .param", t.line);
        result.push_back({n->offset, n->size});
        accept(",");
      }
      return result;
    };
    if (peek().text == "(") { c.results = ranges(); expect(","); }
    c.name = next().text;
    if (accept(",") && peek().text == "(") c.arguments = ranges();
    if (!accept(";")) fail("an indirect call", b.line);
    if (!m.functions.count(c.name) && c.name != b.f->name) fail("call of " + c.name + ", which the text does not declare", b.line);
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
      f.code[j.first].imm = int64_t(f.jumps.size());
      std::vector<int> table;
      for (auto& label : b.tables[j.second]) table.push_back(target(label, f.code[j.first].line));
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
        while (peek().text == ".attribute") { next(); while (next().text != ")") {} }
        function(t.text == ".entry");
      } else if (t.text == ".global" || t.text == ".const" || t.text == ".shared") {
        moduleVariable(t.text);
      } else if (t.text == ".section") {
        while (next().text != "}") {}
      } else if (t.text == ".pragma") {
        while (next().text != ";") {}
      } else if (t.text != ";") {
        fail("'" + t.text + "' is not known here", t.line);
      }
    }
    for (auto& entry : m.functions)
      for (auto& c : entry.second->calls) {
        c.callee = m.functions[c.name].get();
        if (!c.callee->defined) throw PtxError("call of " + c.name + ", which the text does not define");
        if (c.arguments.size() != c.callee->params.size() || c.results.size() != c.callee->results.size())
          throw PtxError("call of " + c.name + " with another number of arguments");
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
