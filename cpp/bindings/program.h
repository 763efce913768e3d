// The compiled program as a Python class, private to mlpeak.compiler: it is built instruction by
// instruction, bound to arrays, and run. The arrays are checked; what the lowering guarantees (that
// operands exist and fit) is not checked again.
#pragma once

#include <pybind11/stl.h>

#include <string>
#include <variant>
#include <vector>

#include "bindings/args.h"
#include "engine/program.h"

namespace mlpeak {
namespace bindings {

/// A program of either dtype with the Python objects whose memory it uses.
class PyProgram {
 public:
  explicit PyProgram(const std::string& dtype) {
    if (dtype == "float64") program_.emplace<engine::Program<double>>();
  }

  template <class F>
  auto visit(F&& f) {
    return std::visit(std::forward<F>(f), program_);
  }

  int add_rows(int64_t columns, int64_t ld) {
    return visit([&](auto& p) { return p.add_rows(columns, ld); });
  }
  int add_array(int64_t size) {
    return visit([&](auto& p) { return p.add_array(size); });
  }
  int add_early(int64_t size) {
    return visit([&](auto& p) { return p.add_early(size); });
  }
  int add_integers(int64_t columns) {
    return visit([&](auto& p) { return p.add_integers(columns); });
  }
  /// A run's batches must have as many samples.
  int64_t least_batch = 1;
  /// Whether it runs, in this thread or another; read and written with the GIL.
  bool busy = false;

  void expect_idle() const {
    if (busy)
      throw std::runtime_error(
          "step: is running in another thread; compile one step for each thread");
  }

  /// Lets a value stand in `array`, which is kept alive: C-contiguous, of the program's dtype and
  /// the value's size, and writeable if instructions write it. Else ValueError.
  void set_array(int value, const py::array& array, bool written) {
    visit([&](auto& p) {
      using T = typename std::decay_t<decltype(p)>::Element;
      const auto refuse = [&](const std::string& text) {
        throw py::value_error("set_array: the array of value " + std::to_string(value) + " " +
                              text);
      };
      if (value < 0 || value >= p.value_count()) refuse("has no such value");
      if (!py::isinstance<py::array_t<T>>(array))
        refuse("has dtype " + py::str(array.dtype()).template cast<std::string>() + "; expected " +
               dtype_name(sizeof(T) == 4 ? DType::f32 : DType::f64));
      if (int64_t(array.size()) != p.size(value))
        refuse("has " + std::to_string(array.size()) + " elements; expected " +
               std::to_string(p.size(value)));
      if (!(array.flags() & py::array::c_style)) refuse("is not C-contiguous");
      if (written && !array.writeable()) refuse("is read-only, but is written");
      if (size_t(value) >= arrays_.size()) arrays_.resize(size_t(value) + 1);
      arrays_[size_t(value)] = array;
      p.set_pointer(value, static_cast<T*>(const_cast<void*>(array.data())));
    });
  }

  /// Adds an instruction that fill(instruction, program) describes.
  template <template <class> class I, class F>
  void add(int stage, F&& fill) {
    visit([&](auto& p) {
      using T = typename std::decay_t<decltype(p)>::Element;
      auto instruction = std::make_unique<I<T>>();
      fill(*instruction, p);
      p.add(stage, std::move(instruction));
    });
  }

 private:
  std::variant<engine::Program<float>, engine::Program<double>> program_;
  std::vector<py::object> arrays_;
};

using ProgramClass = py::class_<PyProgram>;

void bind_program_layers(ProgramClass& c);
void bind_program_losses(ProgramClass& c);
void bind_program_norms(ProgramClass& c);
void bind_program_arrays(ProgramClass& c);
void bind_program_gradients(ProgramClass& c);

/// Where a gradient goes: into an array, or with a group of 0 or more into an update.
inline engine::Destination destination(int gradient, int group, int parameter,
                                       const std::vector<int>& states) {
  engine::Destination d;
  d.gradient = gradient;
  d.group = group;
  d.parameter = parameter;
  for (size_t i = 0; i < states.size() && i < 3; ++i) d.states[i] = states[i];
  return d;
}

inline double number(const py::dict& d, const char* key, double otherwise = 0) {
  return d.contains(key) ? d[key].cast<double>() : otherwise;
}
inline bool flag(const py::dict& d, const char* key) {
  return d.contains(key) && d[key].cast<bool>();
}

}  // namespace bindings
}  // namespace mlpeak
