// Reading the options of an optimizer's parameter group, a Python dict that anybody may change
// between two steps.
#pragma once

#include <pybind11/pybind11.h>

#include <string>

#include "engine/program.h"

namespace mlpeak {
namespace bindings {

namespace py = pybind11;

/// A group as the program sees it: parameters that have had the same number of updates.
class GroupOptions {
 public:
  GroupOptions(py::dict group, const std::string& rule, int64_t step, bool first);

  /// The options of the next update.
  void read(engine::UpdateOptions& options) const;
  /// Counts updates that were made.
  void advance(int64_t updates);

 private:
  double number(PyObject* key) const;
  bool flag(PyObject* key) const;

  py::dict group_;
  Rule rule_;
  int64_t step_;  // updates made
  bool first_;    // none was made with momentum
  // what torch.optim's groups do not have
  bool velocity_, uncorrected_eps_, penalised_;
};

}  // namespace bindings
}  // namespace mlpeak
