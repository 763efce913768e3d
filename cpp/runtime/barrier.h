// A barrier for the threads of one parallel region, several times a step.
#pragma once

#include <sched.h>

#include <atomic>
#include <chrono>

namespace mlpeak {

/// Lets `threads` threads wait for each other, again and again. Waiting spins for some
/// microseconds, the time that shares of a step differ by, then yields: where a core is not free,
/// the thread that is waited for may need this one's.
class Barrier {
 public:
  /// A thread that keeps another waiting for `late_after` or more is late.
  explicit Barrier(int threads, std::chrono::nanoseconds late_after = std::chrono::milliseconds(1))
      : threads_(threads), late_after_(late_after) {}

  /// Returns whether another thread was late: it must have had no core.
  bool wait() {
    if (threads_ == 1) return false;
    const unsigned round = round_.load(std::memory_order_relaxed);
    if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == threads_) {
      arrived_.store(0, std::memory_order_relaxed);
      round_.store(round + 1, std::memory_order_release);
      return false;
    }
    for (int spin = 0; spin < kSpins; ++spin) {
      if (round_.load(std::memory_order_acquire) != round) return false;
      pause();
    }
    using Clock = std::chrono::steady_clock;
    const auto start = Clock::now();
    while (round_.load(std::memory_order_acquire) == round) sched_yield();
    return Clock::now() - start > late_after_;
  }

 private:
  static constexpr int kSpins = 4000;  // tens of microseconds

  static void pause() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
  }

  const int threads_;
  const std::chrono::nanoseconds late_after_;
  alignas(64) std::atomic<int> arrived_{0};
  alignas(64) std::atomic<unsigned> round_{0};
};

}  // namespace mlpeak
