// How the threads of a team share a step of one batch size.
#pragma once

#include <algorithm>
#include <memory>
#include <vector>

#include "engine/instruction.h"

namespace mlpeak {
namespace engine {

/// Instructions that run between two barriers: rows first, whole ones after a barrier.
template <class T>
struct Stage {
  std::vector<std::unique_ptr<RowInstruction<T>>> rows;
  std::vector<std::unique_ptr<WholeInstruction<T>>> whole;
};

struct RowRange {
  int64_t begin, end;
};

template <class T>
struct Plan {
  struct Unit {
    int instruction;  // of the stage's whole ones
    int64_t unit;
  };
  int64_t batch = -1;
  int threads = 0;
  int64_t block = 0;      // rows that go through a stage together, so that they stay in L2
  int64_t alignment = 1;  // of the first row of a block
  std::vector<std::vector<Unit>> units;      // by stage
  std::vector<std::vector<int64_t>> bounds;  // by stage: which units are a thread's own
  std::vector<T*> pointers;                  // by value
  std::vector<T> early;

  /// Lays out `batch` samples for `threads` threads. A sample's row values have `sample_bytes`
  /// bytes, the weights `weight_bytes`; `packs` if products pack them. Returns false if that is how
  /// the plan was already.
  bool lay_out(const std::vector<Stage<T>>& stages, int64_t batch, int threads,
               int64_t sample_bytes, int64_t weight_bytes, bool packs);

  /// The rows of a thread.
  RowRange rows_of(int thread) const {
    const int64_t groups = (batch + alignment - 1) / alignment;
    return {groups * thread / threads * alignment,
            std::min(batch, groups * (thread + 1) / threads * alignment)};
  }
};

}  // namespace engine
}  // namespace mlpeak
