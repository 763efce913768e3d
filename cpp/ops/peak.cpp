#include "ops/peak.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <vector>

#include "mlpeak/tier.h"
#include "runtime/threads.h"

namespace mlpeak {
namespace {

constexpr double kSliceSeconds = 1e-3;  // starting a team, some 5 us, is below 1 % of it

double now() {
  using Clock = std::chrono::steady_clock;
  return std::chrono::duration<double>(Clock::now().time_since_epoch()).count();
}

/// Runs body(thread) on `threads` threads and returns the seconds until the last has ended.
template <class Body>
double team_seconds(int threads, Body body) {
  const double start = now();
  run_team(threads, [](void* p, int thread) { (*static_cast<Body*>(p))(thread); }, &body);
  return now() - start;
}

/// The least seconds of a call of `slice` among those made within `milliseconds`, two at least.
template <class Slice>
double least_seconds(double milliseconds, Slice slice) {
  const double end = now() + milliseconds * 1e-3;
  double least = slice();
  do least = std::min(least, slice());
  while (now() < end);
  return least;
}

}  // namespace

template <class T>
double fma_peak(double milliseconds) {
  const PeakKernels<T>& kernel = kernels<T>().peak;
  const int threads = num_threads();
  struct alignas(64) Slot {
    T value;
  };
  std::vector<Slot> ends(size_t(threads), Slot{});
  const auto seconds = [&](int64_t rounds, int team) {
    return team_seconds(team, [&](int thread) {
      ends[size_t(thread)].value = kernel.fma_chains(rounds, T(0.5), T(1));
    });
  };
  // Alone, and by the best of a few: a team that waits for a busy core, or a slice that another
  // process interrupts, would pass for a millisecond's work and leave slices of a few microseconds.
  int64_t rounds = 1000;
  while (least_seconds(0, [&] { return seconds(rounds, 1); }) < kSliceSeconds) rounds *= 2;
  const double least = least_seconds(milliseconds, [&] { return seconds(rounds, threads); });
  return double(rounds) * double(kernel.flops_per_round) * threads / least;
}

double memory_bandwidth(int64_t bytes, double milliseconds) {
  const PeakKernels<float>& kernel = kernels<float>().peak;
  const int threads = num_threads();
  constexpr int64_t kPage = 4096 / sizeof(float);
  const int64_t share = std::max<int64_t>(1, bytes / 2 / 4096 / threads) * kPage;
  std::vector<float> x(size_t(share * threads), 1.0f), y(x.size(), 0.0f);
  // Small arrays are passed over several times in a slice, so that starting a team costs nothing.
  const int64_t passes = std::max<int64_t>(1, (int64_t(4) << 20) / (2 * share * sizeof(float)));
  const double least = least_seconds(milliseconds, [&] {
    return team_seconds(threads, [&](int thread) {
      const int64_t first = share * thread;
      for (int64_t pass = 0; pass < passes; ++pass)
        kernel.update(share, 1e-6f, x.data() + first, y.data() + first);
    });
  });
  return double(passes) * 3 * double(share) * sizeof(float) * threads / least;
}

int64_t level2_cache_bytes() {
  long bytes = 0;
#ifdef _SC_LEVEL2_CACHE_SIZE
  bytes = sysconf(_SC_LEVEL2_CACHE_SIZE);
#endif
  return bytes > 0 ? bytes : int64_t(1) << 20;
}

template double fma_peak<float>(double);
template double fma_peak<double>(double);

}  // namespace mlpeak
