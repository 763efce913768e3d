// What happens between gradients and updates, as instructions of a program.
#include "bindings/program.h"
#include "engine/gradients.h"

namespace mlpeak {
namespace bindings {
namespace {

using namespace engine;

void gradient_sum(PyProgram& program, int stage, int gradient, int64_t size, int sum) {
  program.add<GradientSum>(stage, [&](auto& i, auto&) {
    i.array = {gradient, size, size};
    i.sum = sum;
  });
}
void square_sums(PyProgram& program, int stage, int gradient, int64_t size, int partial) {
  program.add<SquareSums>(stage, [&](auto& i, auto&) {
    i.array = {gradient, size, size};
    i.partial = partial;
  });
}
void clip_factor(PyProgram& program, int stage, const std::vector<int>& partials,
                 const std::vector<int64_t>& sizes, double max_norm, int factor) {
  program.add<ClipFactor>(stage, [&](auto& i, auto&) {
    for (size_t g = 0; g < partials.size(); ++g)
      i.partials.push_back({partials[g], sizes[g], sizes[g]});
    i.max_norm = max_norm;
    i.factor = factor;
  });
}
void scale(PyProgram& program, int stage, int gradient, int64_t size, int factor) {
  program.add<Scale>(stage, [&](auto& i, auto&) {
    i.array = {gradient, size, size};
    i.factor = factor;
  });
}
void moving_average(PyProgram& program, int stage, int parameter, int64_t size, int average,
                    double decay) {
  program.add<MovingAverage>(stage, [&](auto& i, auto&) {
    i.array = {parameter, size, size};
    i.average = average;
    i.decay = decay;
  });
}

}  // namespace

void bind_program_gradients(ProgramClass& c) {
  c.def("gradient_sum", &gradient_sum)
      .def("square_sums", &square_sums)
      .def("clip_factor", &clip_factor)
      .def("scale", &scale)
      .def("moving_average", &moving_average);
}

}  // namespace bindings
}  // namespace mlpeak
