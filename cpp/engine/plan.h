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

/// How the threads of a team share a stage.
struct StagePlan {
  /// Row instructions [begin, end), between barriers: several by rows, or one by columns.
  struct Pass {
    size_t begin, end;
    bool columns;
  };
  struct Unit {
    int instruction;  // of the whole ones
    int64_t unit;
  };
  std::vector<Pass> passes;
  std::vector<Unit> units;
  std::vector<int64_t> bounds;  // which units are a thread's own
  int64_t kept = 0;             // how many of those no other thread takes
};

template <class T>
struct Plan {
  int64_t batch = -1;
  int threads = 0;
  int64_t block = 0;      // rows that go through a stage together, so that they stay in L2
  int64_t alignment = 1;  // of the first row of a block
  std::vector<StagePlan> stages;
  std::vector<T*> pointers;  // by value
  std::vector<T> early;

  /// Lays out `batch` samples for `threads` threads. A sample's row values have `sample_bytes`
  /// bytes, the weights `weight_bytes`; `packs` if products pack them. Returns false if that is how
  /// the plan was already.
  bool lay_out(const std::vector<Stage<T>>& work, int64_t batch, int threads, int64_t sample_bytes,
               int64_t weight_bytes, bool packs);

  /// Whether a step's first instructions read samples that other threads gather.
  bool begins_with_all() const {
    if (stages.empty()) return false;
    return stages[0].passes.empty() || stages[0].passes[0].columns;
  }
  /// The rows of a thread.
  RowRange rows_of(int thread) const {
    const int64_t groups = (batch + alignment - 1) / alignment;
    return {groups * thread / threads * alignment,
            std::min(batch, groups * (thread + 1) / threads * alignment)};
  }
};

}  // namespace engine
}  // namespace mlpeak
