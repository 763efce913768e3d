// What a compiled program is made of: instructions on values.
//
// A value is an array of T. A row value has one row for each sample of the batch, `columns`
// elements of it in use and rows `ld` apart; any other value is one array for the whole step: a
// parameter, a constant, a sum over the batch. Integer values (classes, indices) have one int64 for
// each sample.
//
// A row instruction computes each row of its results from the same row of its operands, so any
// thread may run it on any block of rows. A whole instruction needs all rows, or makes something
// for all of them; it is cut into units that threads share. Neither allocates, throws or starts
// threads.
//
// A row instruction whose columns do not depend on each other may instead be shared by columns
// (engine/columns.h): each thread then computes some of them for all rows.
#pragma once

#include <cstdint>
#include <string>

#include "mlpeak/kernel_table.h"

namespace mlpeak {
namespace engine {

/// What one step works on; each thread has its own copy of the same.
template <class T>
struct Frame {
  int64_t batch;
  int threads;                     // of the team that runs it
  T* const* values;                // by value: its first element
  const int64_t* const* integers;  // by integer value
  const Update<T>* updates;        // by parameter group
  RandomKey random;                // of the step's first draw
  int64_t phase, accumulate;       // this is step `phase` of `accumulate` that share an update
  double penalty;                  // Run::penalties of this step, or 0
  T* scratch;                      // the thread's own, as large as any instruction asked for
};

struct Operand {
  int value;
  int64_t columns, ld;
};

/// Row r of a row value.
template <class T>
T* row(const Frame<T>& frame, const Operand& o, int64_t r) {
  return frame.values[o.value] + r * o.ld;
}

/// Work of an instruction, for explain() and for sharing it fairly.
struct Work {
  double flops;  // of a matrix product: 2 for each multiply-add
  double bytes;
  double nanoseconds;  // on one core
};

template <class T>
class Instruction {
 public:
  virtual ~Instruction() = default;
  virtual std::string text() const = 0;
  virtual Work work(int64_t batch) const = 0;
  /// Elements of scratch that a call on up to `rows` rows needs.
  virtual int64_t scratch(int64_t rows, int64_t batch) const {
    (void)rows, (void)batch;
    return 0;
  }
};

template <class T>
class RowInstruction : public Instruction<T> {
 public:
  /// Computes rows [begin, end), begin being a multiple of alignment().
  virtual void run(const Frame<T>& frame, int64_t begin, int64_t end) const = 0;
  virtual int64_t alignment() const { return 1; }
  /// Whether a team shares the columns of its results rather than the rows.
  virtual bool by_columns(int64_t batch, int threads) const {
    (void)batch, (void)threads;
    return false;
  }
  /// Computes the columns of `thread`, of Frame::threads, in rows [begin, end).
  virtual void run_columns(const Frame<T>& frame, int64_t begin, int64_t end, int thread) const {
    (void)frame, (void)begin, (void)end, (void)thread;
  }
};

template <class T>
class WholeInstruction : public Instruction<T> {
 public:
  /// How many units there are for a team of `threads`, which runs them with Frame::threads so.
  virtual int64_t units(int64_t batch, int threads) const = 0;
  virtual void run(const Frame<T>& frame, int64_t unit) const = 0;
  /// Whether its units belong to the threads in turn, an equal number to each: what they write is
  /// what the thread reads in the next step.
  virtual bool has_owners(int64_t batch, int threads) const {
    (void)batch, (void)threads;
    return false;
  }
};

}  // namespace engine
}  // namespace mlpeak
