#include "engine/plan.h"

namespace mlpeak {
namespace engine {

namespace {

template <class T>
void lay_out_rows(const Stage<T>& stage, int64_t batch, int threads, StagePlan& plan) {
  for (size_t i = 0; i < stage.rows.size(); ++i) {
    const bool columns = stage.rows[i]->by_columns(batch, threads);
    if (columns || plan.passes.empty() || plan.passes.back().columns)
      plan.passes.push_back({i, i + 1, columns});
    else
      plan.passes.back().end = i + 1;
  }
}

template <class T>
void share_units(const Stage<T>& stage, int64_t batch, int threads, StagePlan& plan) {
  std::vector<std::vector<StagePlan::Unit>> own(static_cast<size_t>(threads));
  std::vector<double> load(size_t(threads), 0.0);
  double total = 0;
  for (const auto& i : stage.whole) total += i->work(batch).nanoseconds;
  // First the units that have owners, then the others, which fill up the threads one by one: a
  // thread takes those whose middle falls into what is left of its share.
  for (const bool owned : {true, false}) {
    size_t filled = 0;
    for (size_t i = 0; i < stage.whole.size(); ++i) {
      const WholeInstruction<T>& whole = *stage.whole[i];
      if (whole.has_owners(batch, threads) != owned) continue;
      const int64_t count = whole.units(batch, threads);
      const double cost = whole.work(batch).nanoseconds / double(count);
      for (int64_t u = 0; u < count; ++u) {
        while (!owned && filled + 1 < own.size() && load[filled] + cost / 2 > total / threads)
          ++filled;
        const size_t thread = owned ? size_t(u * threads / count) : filled;
        own[thread].push_back({int(i), u});
        load[thread] += cost;
      }
      if (owned) plan.kept = 1;
    }
  }
  plan.bounds = {0};
  for (const auto& units : own) {
    plan.units.insert(plan.units.end(), units.begin(), units.end());
    plan.bounds.push_back(int64_t(plan.units.size()));
  }
}

}  // namespace

template <class T>
bool Plan<T>::lay_out(const std::vector<Stage<T>>& work, int64_t new_batch, int new_threads,
                      int64_t sample_bytes, int64_t weight_bytes, bool packs) {
  if (batch == new_batch && threads == new_threads) return false;
  batch = -1;     // until all memory is there
  alignment = 4;  // Philox draws four numbers at a time
  for (const Stage<T>& stage : work)
    for (const auto& i : stage.rows) alignment = std::max(alignment, i->alignment());
  // A block's values stay in L2, but each weight is read once a block: not too few rows, more where
  // weights come from L3 or memory, and still more where products pack them.
  constexpr int64_t kBlockBytes = 256 * 1024, kLargeWeights = 4 * 1024 * 1024;
  const int64_t least = packs ? 256 : weight_bytes > kLargeWeights ? 128 : 64;
  const int64_t rows = std::max(least, kBlockBytes / std::max<int64_t>(sample_bytes, 1));
  block = (rows + alignment - 1) / alignment * alignment;
  stages.assign(work.size(), {});
  for (size_t s = 0; s < work.size(); ++s) {
    lay_out_rows(work[s], new_batch, new_threads, stages[s]);
    share_units(work[s], new_batch, new_threads, stages[s]);
  }
  batch = new_batch;
  threads = new_threads;
  return true;
}

template struct Plan<float>;
template struct Plan<double>;

}  // namespace engine
}  // namespace mlpeak
