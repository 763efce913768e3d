// mlpeak_bench [--tier=NAME] [--threads=N] [--benchmark_...]: measures the machine, then the
// kernels.
#include <cstdio>
#include <cstring>
#include <exception>
#include <stdexcept>
#include <string>

#include "bench.h"
#include "mlpeak/tier.h"
#include "ops/peak.h"
#include "runtime/threads.h"

namespace mlpeak {
namespace bench {

Machine g_machine;

namespace {

constexpr double kPeakMilliseconds = 200;
constexpr double kBandwidthMilliseconds = 500;
// The arrays of Adam with 10 M floats: beyond every level 2, and where a level 3 is larger still, a
// share of this figure is a share of what such an update can get.
constexpr int64_t kMemoryBytes = 160'000'000;

void measure_machine() {
  const int64_t level2 = level2_cache_bytes() * num_threads();
  g_machine.flops_f32 = fma_peak<float>(kPeakMilliseconds);
  g_machine.flops_f64 = fma_peak<double>(kPeakMilliseconds);
  g_machine.memory = memory_bandwidth(kMemoryBytes, kBandwidthMilliseconds);
  g_machine.level2 = memory_bandwidth(level2 / 2, kPeakMilliseconds);
  g_machine.level2_bytes = level2;
}

void add_context(const char* key, double value, const char* unit) {
  char text[64];
  std::snprintf(text, sizeof text, "%.1f %s", value * 1e-9, unit);
  benchmark::AddCustomContext(key, text);
}

void describe_machine() {
  benchmark::AddCustomContext("tier", current_tier().name);
  benchmark::AddCustomContext("threads", std::to_string(num_threads()));
  benchmark::AddCustomContext("compiler", MLPEAK_COMPILER);
  benchmark::AddCustomContext("flags", MLPEAK_FLAGS_TEXT);
  add_context("fma_peak_f32", g_machine.flops_f32, "GFLOP/s");
  add_context("fma_peak_f64", g_machine.flops_f64, "GFLOP/s");
  add_context("memory_160_MB", g_machine.memory, "GB/s");
  add_context("memory_half_of_level2", g_machine.level2, "GB/s");
}

/// The text after `flag` in `argument`, or null.
const char* value_of(const char* flag, const char* argument) {
  const size_t length = std::strlen(flag);
  return std::strncmp(flag, argument, length) == 0 ? argument + length : nullptr;
}

/// Takes our own flags out of argv; what is left is google-benchmark's.
void parse_own_flags(int* argc, char** argv) {
  int kept = 1;
  for (int i = 1; i < *argc; ++i) {
    if (const char* tier = value_of("--tier=", argv[i])) {
      select_tier(tier);
    } else if (const char* threads = value_of("--threads=", argv[i])) {
      char* end = nullptr;
      const long count = std::strtol(threads, &end, 10);
      if (*end || count < 1 || count > 4096)
        throw std::invalid_argument("--threads: is '" + std::string(threads) +
                                    "'; expected 1 to 4096");
      set_num_threads(int(count));
    } else {
      argv[kept++] = argv[i];
    }
  }
  *argc = kept;
}

}  // namespace
}  // namespace bench
}  // namespace mlpeak

int main(int argc, char** argv) {
  using namespace mlpeak::bench;
  try {
    mlpeak::set_num_threads(1);
    parse_own_flags(&argc, argv);
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
    measure_machine();
    describe_machine();
    register_gemm();
    register_elementwise();
    register_rows();
    register_optimizers();
    benchmark::RunSpecifiedBenchmarks();
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "mlpeak_bench: %s\n", error.what());
    return 2;
  }
}
