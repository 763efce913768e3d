#include "bindings/args.h"
#include "bindings/bindings.h"

namespace mlpeak {
namespace bindings {

void init_random(py::module_& m) {
  (void)m;
}

}  // namespace bindings
}  // namespace mlpeak
