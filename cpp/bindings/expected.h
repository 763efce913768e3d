// What a step expects of the arrays that a caller hands over, and what it can read.
#pragma once

#include <pybind11/numpy.h>

#include <optional>
#include <vector>

#include "engine/source.h"

namespace mlpeak {
namespace bindings {

namespace py = pybind11;

/// The type of an array's elements, if a program can read it.
std::optional<engine::SourceType> source_type(const py::array& array);

/// The type of the elements of an array (batch, *shape) whose memory is in order; none if `object`
/// is no such array. A batch of -1 is any, and receives the array's.
std::optional<engine::SourceType> rows_type(PyObject* object, const std::vector<int64_t>& shape,
                                            int64_t& batch);

/// What is wrong with integers: where the first illegal one stands, whether any is ignored.
struct Scan {
  int64_t illegal = -1;
  bool ignored = false;
};
/// Integers are in [0, upper of their column), 0 for any, or ignore_index.
Scan scan(const py::array& array, const std::vector<int64_t>& uppers, int64_t ignore_index);

/// An array that the caller hands over: (batch, *shape).
struct Expected {
  int value;
  bool integer;
  std::vector<int64_t> shape;
  int64_t columns;
  std::vector<int64_t> uppers;  // as `scan` takes them; none if integers need no check
  bool ignores;                 // whether the program was built for ignored integers
  int64_t ignore_index;

  explicit Expected(const py::dict& d);
  bool accepts(PyObject* object, int64_t& batch) const;
  bool accepts_integers(const py::array& array) const;
};

}  // namespace bindings
}  // namespace mlpeak
