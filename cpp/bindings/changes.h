// How often something changed that a compiled step has to look at before it runs again: a tensor
// written in place, a flag, a module's attribute, an optimizer's state. The GIL guards it.
#pragma once

#include <cstdint>

namespace mlpeak {
namespace bindings {

inline int64_t& change_count() {
  static int64_t count = 0;
  return count;
}

}  // namespace bindings
}  // namespace mlpeak
