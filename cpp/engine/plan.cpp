#include "engine/plan.h"

namespace mlpeak {
namespace engine {

template <class T>
bool Plan<T>::lay_out(const std::vector<Stage<T>>& stages, int64_t new_batch, int new_threads,
                      int64_t sample_bytes, int64_t weight_bytes, bool packs) {
  if (batch == new_batch && threads == new_threads) return false;
  batch = -1;     // until all memory is there
  alignment = 4;  // Philox draws four numbers at a time
  for (const Stage<T>& stage : stages)
    for (const auto& i : stage.rows) alignment = std::max(alignment, i->alignment());
  // A block's values stay in L2, but each weight is read once a block: not too few rows, more where
  // weights come from L3 or memory, and still more where products pack them.
  constexpr int64_t kBlockBytes = 256 * 1024, kLargeWeights = 4 * 1024 * 1024;
  const int64_t least = packs ? 256 : weight_bytes > kLargeWeights ? 128 : 64;
  const int64_t rows = std::max(least, kBlockBytes / std::max<int64_t>(sample_bytes, 1));
  block = (rows + alignment - 1) / alignment * alignment;
  units.assign(stages.size(), {});
  bounds.assign(stages.size(), {});
  for (size_t s = 0; s < stages.size(); ++s) {
    std::vector<double> cost;
    double total = 0;
    const auto& whole = stages[s].whole;
    for (size_t i = 0; i < whole.size(); ++i) {
      const int64_t count = whole[i]->units(new_batch, new_threads);
      for (int64_t u = 0; u < count; ++u) {
        units[s].push_back({int(i), u});
        cost.push_back(whole[i]->work(new_batch).nanoseconds / double(count));
        total += cost.back();
      }
    }
    // thread t takes the units whose middle falls into its share of the total
    bounds[s].assign(size_t(new_threads) + 1, int64_t(cost.size()));
    bounds[s][0] = 0;
    double before = 0;
    int thread = 1;
    for (size_t u = 0; u < cost.size(); ++u) {
      while (thread < new_threads && before + cost[u] / 2 > total * thread / new_threads)
        bounds[s][size_t(thread++)] = int64_t(u);
      before += cost[u];
    }
  }
  batch = new_batch;
  threads = new_threads;
  return true;
}

template struct Plan<float>;
template struct Plan<double>;

}  // namespace engine
}  // namespace mlpeak
