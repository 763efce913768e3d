// Configuration: tiers, threads, and how this build was made.
#include <pybind11/stl.h>

#include "bindings/args.h"
#include "bindings/bindings.h"
#include "mlpeak/tier.h"
#include "runtime/threads.h"

namespace mlpeak {
namespace bindings {

void init_config(py::module_& m) {
  m.attr("version") = MLPEAK_VERSION;
  m.attr("compiler") = MLPEAK_COMPILER;
  m.attr("flags") = MLPEAK_FLAGS_TEXT;
  m.attr("openmp") = openmp_runtime();
  m.def("tier", [] { return current_tier().name; }, "The tier in use.");
  m.def(
      "tiers",
      [] {
        std::vector<std::string> names;
        for (const Tier& tier : tiers())
          if (tier.supported) names.push_back(tier.name);
        return names;
      },
      "The tiers that were built and that this CPU can run, slowest first.");
  m.def("select_tier", &select_tier, py::arg("name"),
        "Use another tier from now on. ValueError names the legal ones.");
  m.def("get_num_threads", &num_threads, "The number of threads that a parallel call may use now.");
  m.def(
      "set_num_threads",
      [](int threads) {
        if (threads < 0 || threads > 4096)
          value_error(
              {"set_num_threads", "threads"},
              "is " + std::to_string(threads) + "; expected 1 to 4096, or 0 for the default");
        set_num_threads(threads);
      },
      py::arg("threads"), "Override the number of threads; 0 returns to the default.");
  m.def("set_local_threads", &set_local_threads, py::arg("threads"),
        "Override the number of threads for calls of this thread alone, 0 for no override; return "
        "what it was.");
}

}  // namespace bindings
}  // namespace mlpeak
