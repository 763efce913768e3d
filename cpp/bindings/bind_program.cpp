// The program itself: its values, weights and threads.
#include "bindings/bindings.h"
#include "bindings/program.h"

namespace mlpeak {
namespace bindings {
namespace {

using namespace engine;
using namespace py::literals;

py::list lines(PyProgram& program, int64_t batch) {
  py::list result;
  program.visit([&](auto& p) {
    for (const auto& line : p.lines(batch))
      result.append(py::make_tuple(line.stage, line.works_on, line.text, line.flops, line.bytes,
                                   line.nanoseconds));
  });
  return result;
}

}  // namespace

void init_program(py::module_& m) {
  ProgramClass c(m, "Program", "A compiled program; see mlpeak.compiler.");
  c.def(py::init<const std::string&>(), "dtype"_a)
      .def("add_rows", &PyProgram::add_rows, "columns"_a, "ld"_a)
      .def("add_array", &PyProgram::add_array, "size"_a)
      .def("add_early", &PyProgram::add_early, "size"_a)
      .def("add_integers", &PyProgram::add_integers, "columns"_a)
      .def(
          "set_least_batch", [](PyProgram& self, int64_t rows) { self.least_batch = rows; },
          "rows"_a)
      .def("set_array", &PyProgram::set_array, "value"_a, "array"_a, "written"_a)
      .def("set_loss",
           [](PyProgram& self, int value) { self.visit([&](auto& p) { p.set_loss(value); }); })
      .def("set_repeat", [](PyProgram& self,
                            int64_t times) { self.visit([&](auto& p) { p.set_repeat(times); }); })
      .def("set_once",
           [](PyProgram& self, int once) { self.visit([&](auto& p) { p.set_once(once); }); })
      .def("set_update_stage",
           [](PyProgram& self, int stage) {
             self.visit([&](auto& p) { p.set_update_stage(stage); });
           })
      .def("pack_weights",
           [](PyProgram& self) {
             self.expect_idle();  // a run renews the packed weights
             self.visit([](auto& p) { p.pack_weights(); });
           })
      .def("threads_for",
           [](PyProgram& self, int64_t batch) {
             return self.visit([&](auto& p) { return p.threads_for(batch); });
           })
      .def("lines", &lines, "batch"_a)
      .def("set_profiling",
           [](PyProgram& self, bool on) { self.visit([&](auto& p) { p.set_profiling(on); }); })
      .def("profiled_steps",
           [](PyProgram& self) { return self.visit([](auto& p) { return p.profiled_steps(); }); });
  bind_program_layers(c);
  bind_program_losses(c);
  bind_program_norms(c);
  bind_program_arrays(c);
  bind_program_gradients(c);
}

}  // namespace bindings
}  // namespace mlpeak
