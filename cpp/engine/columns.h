// Which layers a team shares by columns, and which column is whose.
//
// By rows, each thread takes its samples through all layers and reads every weight, of which the
// others have just updated their parts: each line that one thread writes and another reads costs
// the reader a transfer and the writer, in the next step, as much again or several times more. By
// columns, each thread computes its columns of a layer's output for all samples, from rows of the
// weight that it updates itself. It then needs the other threads' columns of the layer before,
// which by rows it would need only for the gradient of the weight; and all threads meet before and
// after. So it pays where the weight is not small and activations are no larger than weights.
#pragma once

#include <algorithm>
#include <cstdint>

namespace mlpeak {
namespace engine {

/// Whether `threads` threads share a layer (in -> out) over a batch by columns: its forward
/// product, and the gradient of its input if has_columns().
inline bool shared_by_columns(int64_t batch, int64_t out, int64_t in, int threads) {
  constexpr int64_t kWeights = 6 * 1024;        // fewer are not worth two meetings
  constexpr int64_t kColumns = 64;              // of a thread, for tiles of many sums
  constexpr int64_t kActivations = 128 * 1024;  // elements that stay in L2
  const int64_t weights = out * in, activations = batch * (out + in);
  return threads > 1 && out >= kColumns * threads && weights >= kWeights &&
         activations <= std::max(kActivations, 2 * weights);
}

/// Whether an input has enough columns for all threads to share its gradient.
inline bool has_columns(int64_t in, int threads) {
  return in >= 32 * threads;
}

/// The first column of a thread among n, which begins a cache line; of the thread after the last,
/// n.
inline int64_t first_column(int64_t n, int thread, int threads) {
  constexpr int64_t kLine = 16;  // floats
  return thread == threads ? n : (n * thread / threads + kLine / 2) / kLine * kLine;
}

}  // namespace engine
}  // namespace mlpeak
