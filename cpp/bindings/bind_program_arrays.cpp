// Arithmetic, functions and movements as instructions of a program.
#include "bindings/program.h"
#include "engine/elementwise.h"

namespace mlpeak {
namespace bindings {
namespace {

using namespace engine;

void arithmetic(PyProgram& program, int stage, const std::string& name, int x, int x_spread, int y,
                int y_spread, int z) {
  program.add<ArithmeticInstruction>(stage, [&](auto& i, auto& p) {
    i.op = find_arithmetic(name);
    i.x = {Spread(x_spread), p.operand(x)};
    i.y = {Spread(y_spread), p.operand(y)};
    i.z = p.operand(z);
  });
}
void where(PyProgram& program, int stage, int c, int c_spread, int x, int x_spread, int y,
           int y_spread, int z) {
  program.add<WhereInstruction>(stage, [&](auto& i, auto& p) {
    i.condition = {Spread(c_spread), p.operand(c)};
    i.x = {Spread(x_spread), p.operand(x)};
    i.y = {Spread(y_spread), p.operand(y)};
    i.z = p.operand(z);
  });
}
void elementary(PyProgram& program, int stage, const std::string& name, double exponent, int x,
                int y) {
  program.add<ElementaryInstruction>(stage, [&](auto& i, auto& p) {
    i.power = name == "pow";
    constexpr const char* kNames[kElementaryCount] = {"exp", "log", "log1p", "expm1", "erf"};
    for (int k = 0; k < kElementaryCount; ++k)
      if (name == kNames[k]) i.function = Elementary(k);
    i.exponent = exponent;
    i.x = p.operand(x);
    i.y = p.operand(y);
  });
}
void copy_columns(PyProgram& program, int stage, int x, int64_t from, int y, int64_t to,
                  int64_t count) {
  program.add<CopyColumns>(stage, [&](auto& i, auto& p) {
    i.x = p.operand(x);
    i.y = p.operand(y);
    i.from = from;
    i.to = to;
    i.count = count;
  });
}
void row_sum(PyProgram& program, int stage, int x, int y, double divisor) {
  program.add<RowSum>(stage, [&](auto& i, auto& p) {
    i.x = p.operand(x);
    i.y = p.operand(y);
    i.divisor = divisor;
  });
}

}  // namespace

void bind_program_arrays(ProgramClass& c) {
  c.def("arithmetic", &arithmetic)
      .def("where", &where)
      .def("elementary", &elementary)
      .def("copy_columns", &copy_columns)
      .def("row_sum", &row_sum);
}

}  // namespace bindings
}  // namespace mlpeak
