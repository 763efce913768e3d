// Arithmetic, functions and movements as instructions of a program.
#include <tuple>
#include <utility>

#include "bindings/program.h"
#include "engine/axes.h"
#include "engine/elementwise.h"
#include "engine/maps.h"

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

// A length is (fixed, per sample), a view (value, offset, strides).

using PyLength = std::pair<int64_t, int64_t>;
using PyLengths = std::vector<PyLength>;
using PyView = std::tuple<int, PyLength, PyLengths>;

Length length(const PyLength& l) {
  return {l.first, l.second};
}
Lengths lengths(const PyLengths& all) {
  Lengths result;
  for (const PyLength& l : all) result.push_back(length(l));
  return result;
}
View view(const PyView& v) {
  return {std::get<0>(v), length(std::get<1>(v)), lengths(std::get<2>(v))};
}

void map(PyProgram& program, int stage, bool rows, const std::string& name, const PyLengths& shape,
         const PyView& out, const std::vector<PyView>& in) {
  const auto fill = [&](auto& i, auto&) {
    i.map.op = find_arithmetic(name);
    i.map.shape = lengths(shape);
    i.map.out = view(out);
    for (const PyView& v : in) i.map.in.push_back(view(v));
  };
  if (rows)
    program.add<RowMap>(stage, fill);
  else
    program.add<WholeMap>(stage, fill);
}

void along(PyProgram& program, int stage, bool rows, const std::string& name, PyLength outer,
           PyLength count, PyLength inner, const std::vector<int64_t>& indices, int x, int second,
           int y) {
  const auto describe = [&](auto& call) {
    call.what = find_along(name);
    call.outer = length(outer);
    call.count = length(count);
    call.inner = length(inner);
    call.indices = indices;
  };
  if (rows)
    program.add<RowAxis>(stage, [&](auto& i, auto& p) {
      describe(i.call);
      i.x = p.operand(x);
      i.second = p.operand(second);
      i.y = p.operand(y);
    });
  else
    program.add<WholeAxis>(stage, [&](auto& i, auto&) {
      describe(i.call);
      i.x = x;
      i.second = second;
      i.y = y;
    });
}

void matmul(PyProgram& program, int stage, PyLength m, PyLength n, PyLength k, int a, int b,
            bool transpose_a, bool transpose_b, bool layer, int c) {
  program.add<MatrixProduct>(stage, [&](auto& i, auto&) {
    i.m = length(m);
    i.n = length(n);
    i.k = length(k);
    i.a = a;
    i.b = b;
    i.c = c;
    i.transpose_a = transpose_a;
    i.transpose_b = transpose_b;
    i.layer = layer;
  });
}

}  // namespace

void bind_program_arrays(ProgramClass& c) {
  c.def("arithmetic", &arithmetic)
      .def("elementary", &elementary)
      .def("map", &map)
      .def("along", &along)
      .def("matmul", &matmul);
}

}  // namespace bindings
}  // namespace mlpeak
