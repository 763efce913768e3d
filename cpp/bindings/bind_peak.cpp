// The machine's limits, for `python -m mlpeak bench`. Private: names start with an underscore.
#include "bindings/args.h"
#include "bindings/bindings.h"
#include "ops/peak.h"

namespace mlpeak {
namespace bindings {
namespace {

void check_milliseconds(Arg arg, double milliseconds) {
  if (!(milliseconds >= 0 && milliseconds <= 60000))
    value_error(arg, "is " + std::to_string(milliseconds) + "; expected 0 to 60000");
}

}  // namespace

void init_peak(py::module_& m) {
  m.def(
      "_fma_peak",
      [](const std::string& dtype, double milliseconds) {
        if (dtype != "float32" && dtype != "float64")
          value_error({"_fma_peak", "dtype"}, "is '" + dtype + "'; expected float32, float64");
        check_milliseconds({"_fma_peak", "milliseconds"}, milliseconds);
        py::gil_scoped_release release;
        return dtype == "float32" ? fma_peak<float>(milliseconds) : fma_peak<double>(milliseconds);
      },
      py::arg("dtype"), py::arg("milliseconds") = 100.0,
      "Floating-point operations a second of the tier in use on get_num_threads() threads.");
  m.def(
      "_memory_bandwidth",
      [](int64_t bytes, double milliseconds) {
        if (bytes < 1)
          value_error({"_memory_bandwidth", "bytes"},
                      "is " + std::to_string(bytes) + "; expected at least 1");
        check_milliseconds({"_memory_bandwidth", "milliseconds"}, milliseconds);
        py::gil_scoped_release release;
        return memory_bandwidth(bytes, milliseconds);
      },
      py::arg("bytes"), py::arg("milliseconds") = 100.0,
      "Bytes a second read and written by y = y + s x over arrays of `bytes` bytes in all.");
  m.def("_level2_cache_bytes", &level2_cache_bytes, "Bytes of a core's second-level cache.");
}

}  // namespace bindings
}  // namespace mlpeak
