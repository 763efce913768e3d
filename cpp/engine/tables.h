// Tables of rows picked by index: the embedding, the gradient of its table, and random numbers.
#pragma once

#include "engine/instruction.h"

namespace mlpeak {
namespace engine {

/// The integers of each sample that are indices: `count` of `width` from `offset` on.
struct Picks {
  int value = -1;
  int64_t width = 1, offset = 0, count = 1;

  template <class T>
  const int64_t* at(const Frame<T>& frame, int64_t sample) const {
    return frame.integers[value] + sample * width + offset;
  }
};

/// y[i] = the rows of the table that sample i picks, one after the other; picks are in range.
template <class T>
struct Embedding : RowInstruction<T> {
  int table = -1;  // array value
  Picks picks;
  Operand y;

  void run(const Frame<T>& frame, int64_t begin, int64_t end) const override;
  std::string text() const override { return "embedding " + std::to_string(y.columns); }
  Work work(int64_t batch) const override;
};

/// grad_table = 0, then each sample's gradients are added to the rows it picks, in order; row
/// `padding` stays 0 (-1: none). Units are parts of the table's rows.
template <class T>
struct EmbeddingBackward : WholeInstruction<T> {
  Operand grad;  // adjacent rows
  Picks picks;
  int64_t rows = 0, padding = -1;
  int grad_table = -1;

  int64_t units(int64_t batch, int threads) const override;
  void run(const Frame<T>& frame, int64_t unit) const override;
  std::string text() const override { return "embedding_backward " + std::to_string(rows); }
  Work work(int64_t batch) const override;
};

/// y = random numbers of a draw, normal with mean and std or uniform in [low, high). Rows are
/// adjacent, and blocks begin at multiples of four rows.
template <class T>
struct RandomInstruction : RowInstruction<T> {
  bool normal = false;
  double first = 0, second = 1;  // mean and std, or low and high
  int draw = 0;                  // offset from the step's first draw
  uint32_t stream = 0;
  Operand y;

  void run(const Frame<T>& frame, int64_t begin, int64_t end) const override;
  std::string text() const override { return normal ? "random_normal" : "random_uniform"; }
  Work work(int64_t batch) const override;
};

}  // namespace engine
}  // namespace mlpeak
