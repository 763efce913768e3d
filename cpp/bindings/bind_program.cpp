// The program itself: its memory, sources of data, groups of parameters, and runs.
#include <algorithm>
#include <optional>

#include "bindings/bindings.h"
#include "bindings/program.h"

namespace mlpeak {
namespace bindings {
namespace {

using namespace engine;
using namespace py::literals;

SourceType source_type(Arg arg, const py::array& array) {
  const py::dtype dtype = array.dtype();
  const char kind = dtype.kind();
  const auto size = dtype.itemsize();
  if (dtype.attr("isnative").cast<bool>()) {
    if (kind == 'f' && size == 4) return SourceType::f32;
    if (kind == 'f' && size == 8) return SourceType::f64;
    if (kind == 'i' && size == 1) return SourceType::i8;
    if ((kind == 'u' || kind == 'b') && size == 1) return SourceType::u8;
    if (kind == 'i' && size == 2) return SourceType::i16;
    if (kind == 'u' && size == 2) return SourceType::u16;
    if (kind == 'i' && size == 4) return SourceType::i32;
    if (kind == 'u' && size == 4) return SourceType::u32;
    if (kind == 'i' && size == 8) return SourceType::i64;
  }
  type_error(arg, "has dtype " + py::str(dtype).cast<std::string>() +
                      "; expected float32, float64 or an integer type");
}

bool poll_signals(void*) {
  py::gil_scoped_acquire acquire;
  return PyErr_CheckSignals() != 0;
}

/// An update's options from the fields of a parameter group.
UpdateOptions update_options(const std::string& rule, const py::dict& d) {
  UpdateOptions o;
  const auto step = int64_t(number(d, "step", 1));
  if (rule == "sgd") {
    o.sgd = {number(d, "lr"),           number(d, "momentum"), number(d, "dampening"),
             number(d, "weight_decay"), flag(d, "nesterov"),   flag(d, "maximize"),
             flag(d, "first")};
    o.rule = o.sgd.momentum != 0 ? Rule::sgd_momentum : Rule::sgd;
  } else if (rule == "adam") {
    o.adam = {step,
              number(d, "lr"),
              number(d, "beta1"),
              number(d, "beta2"),
              number(d, "eps"),
              number(d, "weight_decay"),
              flag(d, "decoupled"),
              flag(d, "maximize")};
    o.rule = flag(d, "amsgrad") ? Rule::amsgrad : Rule::adam;
  } else if (rule == "rmsprop") {
    o.rmsprop = {number(d, "lr"),           number(d, "alpha"),    number(d, "eps"),
                 number(d, "weight_decay"), number(d, "momentum"), flag(d, "maximize")};
    o.rule = Rule::rmsprop;
  } else {
    o.adagrad = {step,
                 number(d, "lr"),
                 number(d, "lr_decay"),
                 number(d, "weight_decay"),
                 number(d, "eps"),
                 flag(d, "maximize")};
    o.rule = Rule::adagrad;
  }
  return o;
}

void set_source(PyProgram& program, int value, bool integer, const py::array& array, double scale,
                const std::string& name, int64_t columns) {
  const Arg arg = {"step", name.c_str()};
  if (!(array.flags() & py::array::c_style))
    value_error(arg, "is not C-contiguous; expected a C-contiguous array");
  Source source;
  source.data = array.data();
  source.type = source_type(arg, array);
  source.columns = columns;
  source.scale = scale;
  if (const auto* limits = integer ? program.limits(value) : nullptr) {
    const int64_t at = first_outside(source, array.size(), *limits);
    if (at < array.size()) {
      const int64_t limit = (*limits)[size_t(at % int64_t(limits->size()))];
      value_error(arg, "holds an index out of range at position " + std::to_string(at) +
                           "; rows of the table are in [0, " + std::to_string(limit) + ")");
    }
  }
  program.visit([&](auto& p) {
    if (integer)
      p.set_integer_source(value, source);
    else
      p.set_source(value, source);
  });
}

int64_t run(PyProgram& program, int64_t samples, int64_t batch_size,
            const std::optional<py::array>& order, uint64_t seed, uint64_t step, uint32_t stream,
            int64_t draws, const std::optional<py::array>& losses, bool stop_unless_finite,
            bool poll) {
  const int64_t rest = batch_size > 0 ? samples % batch_size : 0;
  const int64_t least = rest > 0 ? rest : std::min(samples, batch_size);
  if (samples > 0 && least < program.least_batch)
    value_error({"step", "x"}, "has a batch of " + std::to_string(least) + " samples; expected " +
                                   std::to_string(program.least_batch) +
                                   " or more for batch norm: drop it, or take another batch size");
  Run run;
  run.samples = samples;
  run.batch_size = batch_size;
  run.order = order ? static_cast<const int64_t*>(order->data()) : nullptr;
  run.random = {seed, step, stream};
  run.draws = draws;
  run.losses = losses ? static_cast<double*>(const_cast<void*>(losses->data())) : nullptr;
  run.stop_unless_finite = stop_unless_finite;
  if (poll) run.interrupted = poll_signals;
  const int64_t completed = program.visit([&](auto& p) {
    py::gil_scoped_release release;
    return p.run(run);
  });
  if (PyErr_Occurred()) throw py::error_already_set();
  return completed;
}

py::list lines(PyProgram& program, int64_t batch) {
  py::list result;
  program.visit([&](auto& p) {
    for (const auto& line : p.lines(batch))
      result.append(py::make_tuple(line.stage, line.rows, line.text, line.flops, line.bytes,
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
      .def("add_integers", &PyProgram::add_integers, "columns"_a = 1)
      .def("set_limits", &PyProgram::set_limits, "value"_a, "limits"_a)
      .def(
          "set_least_batch", [](PyProgram& self, int64_t rows) { self.least_batch = rows; },
          "rows"_a)
      .def("set_array", &PyProgram::set_array, "value"_a, "array"_a)
      .def("set_source", &set_source, "value"_a, "integer"_a, "array"_a, "scale"_a, "name"_a,
           "columns"_a)
      .def("set_result",
           [](PyProgram& self, int value, const py::array& out) {
             self.visit([&](auto& p) {
               using T = typename std::decay_t<decltype(p)>::Element;
               p.set_result(value, static_cast<T*>(const_cast<void*>(out.data())));
             });
           })
      .def("set_loss",
           [](PyProgram& self, int value) { self.visit([&](auto& p) { p.set_loss(value); }); })
      .def("set_repeat", [](PyProgram& self,
                            int64_t times) { self.visit([&](auto& p) { p.set_repeat(times); }); })
      .def("set_once",
           [](PyProgram& self, int once) { self.visit([&](auto& p) { p.set_once(once); }); })
      .def("set_group",
           [](PyProgram& self, int group, const std::string& rule, const py::dict& options) {
             const UpdateOptions o = update_options(rule, options);
             self.visit([&](auto& p) { p.set_group(group, o); });
           })
      .def("pack_weights", [](PyProgram& self) { self.visit([](auto& p) { p.pack_weights(); }); })
      .def("run", &run, "samples"_a, "batch_size"_a, "order"_a, "seed"_a, "step"_a, "stream"_a,
           "draws"_a, "losses"_a, "stop_unless_finite"_a, "poll"_a)
      .def("threads_for",
           [](PyProgram& self, int64_t batch) {
             return self.visit([&](auto& p) { return p.threads_for(batch); });
           })
      .def("lines", &lines, "batch"_a)
      .def("set_profiling",
           [](PyProgram& self, bool on) { self.visit([&](auto& p) { p.set_profiling(on); }); })
      .def("set_block_rows", [](PyProgram& self, int64_t rows) {
        self.visit([&](auto& p) { p.set_block_rows(rows); });
      });
  bind_program_layers(c);
  bind_program_losses(c);
  bind_program_norms(c);
  bind_program_arrays(c);
}

}  // namespace bindings
}  // namespace mlpeak
