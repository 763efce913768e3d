// Instructions on several rows a sample: a value (batch, n, columns) is, to a layer, one of n *
// batch rows.
#pragma once

#include <memory>

#include "engine/instruction.h"

namespace mlpeak {
namespace engine {

template <class T>
struct RepeatedRows : RowInstruction<T> {
  RepeatedRows(std::unique_ptr<RowInstruction<T>> inner, int64_t times)
      : inner(std::move(inner)), times(times) {}

  std::unique_ptr<RowInstruction<T>> inner;
  int64_t times;

  void run(const Frame<T>& frame, int64_t begin, int64_t end) const override {
    Frame<T> own = frame;
    own.batch *= times;
    inner->run(own, begin * times, end * times);
  }
  bool by_columns(int64_t batch, int threads) const override {
    return inner->by_columns(batch * times, threads);
  }
  void run_columns(const Frame<T>& frame, int64_t begin, int64_t end, int thread) const override {
    Frame<T> own = frame;
    own.batch *= times;
    inner->run_columns(own, begin * times, end * times, thread);
  }
  int64_t alignment() const override { return inner->alignment(); }
  std::string text() const override { return inner->text(); }
  Work work(int64_t batch) const override { return inner->work(batch * times); }
  int64_t scratch(int64_t rows, int64_t batch) const override {
    return inner->scratch(rows * times, batch * times);
  }
};

template <class T>
struct RepeatedWhole : WholeInstruction<T> {
  RepeatedWhole(std::unique_ptr<WholeInstruction<T>> inner, int64_t times)
      : inner(std::move(inner)), times(times) {}

  std::unique_ptr<WholeInstruction<T>> inner;
  int64_t times;

  int64_t units(int64_t batch, int threads) const override {
    return inner->units(batch * times, threads);
  }
  void run(const Frame<T>& frame, int64_t unit) const override {
    Frame<T> own = frame;
    own.batch *= times;
    inner->run(own, unit);
  }
  bool has_owners(int64_t batch, int threads) const override {
    return inner->has_owners(batch * times, threads);
  }
  std::string text() const override { return inner->text(); }
  Work work(int64_t batch) const override { return inner->work(batch * times); }
  int64_t scratch(int64_t rows, int64_t batch) const override {
    return inner->scratch(rows * times, batch * times);
  }
};

/// A row instruction on all rows at once, or on an array as on one row.
template <class T>
struct AtOnce : WholeInstruction<T> {
  AtOnce(std::unique_ptr<RowInstruction<T>> inner, bool rows)
      : inner(std::move(inner)), rows(rows) {}

  std::unique_ptr<RowInstruction<T>> inner;
  bool rows;

  int64_t units(int64_t, int) const override { return 1; }
  void run(const Frame<T>& frame, int64_t) const override {
    inner->run(frame, 0, rows ? frame.batch : 1);
  }
  std::string text() const override { return inner->text(); }
  Work work(int64_t batch) const override { return inner->work(rows ? batch : 1); }
  int64_t scratch(int64_t most, int64_t batch) const override {
    return inner->scratch(most, batch);
  }
};

}  // namespace engine
}  // namespace mlpeak
