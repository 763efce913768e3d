// Who runs which unit of a stage's whole instructions.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

namespace mlpeak {
namespace engine {

/// A range of units for each thread of a team. A thread takes its own from the front, the same ones
/// in every step, so that their weights stay in its cache; one that is done takes the others' from
/// the back, so that nobody waits for a thread that lost its core. Which thread runs a unit changes
/// no result.
class Shares {
 public:
  /// Allocates room for `ranges` ranges; throws std::bad_alloc.
  void reserve(int64_t ranges) {
    if (ranges > capacity_) ranges_ = std::make_unique<Range[]>(size_t(ranges));
    capacity_ = ranges > capacity_ ? ranges : capacity_;
  }
  /// Only while no thread takes from the range.
  void set(int64_t range, int64_t begin, int64_t end) {
    ranges_[range].bounds.store(packed(begin, end), std::memory_order_relaxed);
  }
  /// The next unit for `thread` from the ranges of a team, which begin at `first`; -1 if none.
  /// Nobody takes the last `kept` units of another thread.
  int64_t take(int64_t first, int thread, int threads, int64_t kept) {
    const int64_t own = take_from(first + thread, true, 0);
    for (int i = 1; own < 0 && i < threads; ++i) {
      const int64_t other = take_from(first + (thread + i) % threads, false, kept);
      if (other >= 0) return other;
    }
    return own;
  }

 private:
  struct alignas(64) Range {
    std::atomic<uint64_t> bounds{0};
  };
  static uint64_t packed(int64_t begin, int64_t end) {
    return uint64_t(begin) << 32 | uint64_t(end);
  }
  int64_t take_from(int64_t range, bool front, int64_t kept) {
    std::atomic<uint64_t>& bounds = ranges_[range].bounds;
    uint64_t found = bounds.load(std::memory_order_relaxed);
    for (;;) {
      const int64_t begin = int64_t(found >> 32), end = int64_t(uint32_t(found));
      if (end - begin <= kept) return -1;
      const uint64_t left = front ? packed(begin + 1, end) : packed(begin, end - 1);
      if (bounds.compare_exchange_weak(found, left, std::memory_order_relaxed))
        return front ? begin : end - 1;
    }
  }

  std::unique_ptr<Range[]> ranges_;
  int64_t capacity_ = 0;
};

}  // namespace engine
}  // namespace mlpeak
