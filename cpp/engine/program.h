// A compiled program: instructions in stages, the memory of their values (program.cpp), and the
// loop that runs steps of it on a team of threads (program_run.cpp).
#pragma once

#include <atomic>
#include <chrono>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "engine/choice.h"
#include "engine/instruction.h"
#include "engine/linear.h"
#include "engine/plan.h"
#include "engine/shares.h"
#include "engine/source.h"
#include "mlpeak/tier.h"
#include "ops/optimizers.h"
#include "runtime/arena.h"

namespace mlpeak {
namespace engine {

inline int64_t round_up(int64_t x, int64_t to) {
  return (x + to - 1) / to * to;
}

/// The options of a parameter group's update for its next step; steps after it count on from there.
struct UpdateOptions {
  Rule rule = Rule::sgd;
  SgdOptions sgd = {};
  AdamOptions adam = {};
  RmspropOptions rmsprop = {};
  AdagradOptions adagrad = {};
  bool penalised = false;  // the step's penalty is added to the weight decay
};

/// A run of steps over data: step s works on the samples order[s * batch_size] and on; the last
/// step may be smaller.
struct Run {
  int64_t samples = 0;
  int64_t batch_size = 0;
  const int64_t* order = nullptr;  // (samples,) or null for 0, 1, 2 ...
  RandomKey random = {};           // of the first step's first draw
  int64_t draws = 0;               // that each step takes
  double* losses = nullptr;        // a step each, or null
  /// The factor p of an L2 penalty p/2 |w|^2 on the parameters of penalised groups, a step each.
  const double* penalties = nullptr;
  bool stop_unless_finite = false;
  int64_t accumulate = 1;  // steps that share an update
  int64_t phase = 0;       // how many of those were done before this run
  /// Asked by the calling thread every 20 ms; true ends the run after the step, or within a long
  /// one as long as nothing of it lasts, which then does not count.
  bool (*interrupted)(void*) = nullptr;
  void* context = nullptr;
};

template <class T>
class Program {
 public:
  using Element = T;
  /// A new value; the number that instructions call it by. A row value has `columns` elements a
  /// sample, any other `columns` in all.
  int add_rows(int64_t columns, int64_t ld);
  int add_array(int64_t size);
  int add_integers(int64_t columns);
  /// An array that stands once for each batch size: made by early instructions, from constants and
  /// the batch size alone, before the steps run.
  int add_early(int64_t size);
  Weight<T>* add_weight(int value, int64_t out, int64_t in, bool forward, bool backward,
                        Precision precision);
  Weight<T>* weight(int index) const { return weights_[size_t(index)].get(); }
  int weight_count() const { return int(weights_.size()); }
  /// Instructions run in the order of stages; in a stage, rows first and whole ones after a
  /// barrier. Whole instructions of stage -1 are early.
  void add(int stage, std::unique_ptr<RowInstruction<T>> instruction);
  void add(int stage, std::unique_ptr<WholeInstruction<T>> instruction);
  void set_loss(int value) { loss_ = value; }
  /// What is added from here on takes each row of a sample for `times` rows of its own.
  void set_repeat(int64_t times) { repeat_ = times; }
  /// Row instructions added from here on are whole ones: on an array as on one row (1), or on all
  /// rows at once (2); 0 ends this.
  void set_once(int once) { once_ = once; }
  /// Stages from this one on run once in Run::accumulate steps, in the last of them.
  void set_update_stage(int stage) { update_stage_ = stage; }

  Operand operand(int value) const;
  int value_count() const { return int(values_.size()); }
  /// The elements of a value: of a sample's row, or in all.
  int64_t size(int value) const { return values_[size_t(value)].columns; }
  /// Lets a value stand in memory of the caller's, which outlives every run.
  void set_pointer(int value, T* data) {
    pointers_[size_t(value)] = data;
    own_[size_t(value)] = false;
  }
  T* array(int value) const { return pointers_[size_t(value)]; }
  void set_group(int group, const UpdateOptions& options);
  /// Packs all weights again.
  void pack_weights();
  void pack_weight(int index);

  /// Where the rows of a value come from in the next run, and of an integer value.
  void set_source(int value, const Source& source);
  void set_integer_source(int value, const Source& source);
  /// Results that the caller reads: rows of `value` are written to `out` (samples, columns), an
  /// array as it is after the last step.
  void set_result(int value, T* out);

  /// Runs the steps; returns how many were completed. Allocates only if memory for this batch size
  /// or number of threads is not there yet: throws std::bad_alloc before anything runs.
  int64_t run(const Run& run);

  /// Threads that a step of this batch size is worth, at most num_threads().
  int threads_for(int64_t batch) const;
  /// One line an instruction: stage, what the threads share (samples, columns of them, or all that
  /// is made from them), what, flops, bytes, and with profiling nanoseconds.
  struct Line {
    int stage;
    const char* works_on;
    std::string text;
    double flops, bytes, nanoseconds;
  };
  std::vector<Line> lines(int64_t batch) const;
  /// Starts to measure the time in each instruction, from 0, or stops.
  void set_profiling(bool on);
  int64_t profiled_steps() const { return profiled_steps_; }

 private:
  struct Value {
    int64_t columns, ld;
    bool rows;
    int64_t offset;  // in memory_, for rows a sample of capacity
  };
  using Stage = engine::Stage<T>;
  using Plan = engine::Plan<T>;
  struct Gather {
    int value;
    bool integer;
    Source source;
    bool copied;  // through the value's own memory; else the source's memory is the value
  };
  struct Team;

  void reserve(int64_t batch, int threads);
  bool make_plan(Plan& plan, int64_t batch, int threads) const;
  /// Points a plan's values to their memory and runs the early instructions.
  void prepare(Plan& plan) const;
  void run_thread(Team& team, int thread);
  /// Runs some of the steps that are left, on the team or on one thread, as choice_ says.
  void run_stretch(Team& team, int worth);
  void run_rows(Team& team, const Frame<T>& frame, size_t at, const Plan& plan, int thread,
                double* times) const;
  /// Where in shares_ a team's ranges of a stage begin.
  int64_t first_share(int64_t step, size_t stage, int threads) const {
    return (step % 2 * int64_t(stages_.size()) + int64_t(stage)) * threads;
  }
  /// Hands out the units of step `step` anew, `thread`'s own of each stage.
  void share_units(const Plan& plan, int64_t step, int thread, int threads);
  void run_whole(const Frame<T>& frame, const Plan& plan, size_t stage, int64_t step, int thread,
                 int threads, double* times);
  double nanoseconds(int64_t batch) const;

  std::vector<Value> values_;
  std::vector<T*> pointers_;
  std::vector<char> own_;                              // whether a value stands in memory_
  std::vector<std::pair<int, int64_t>> early_values_;  // and where in Plan::early
  int64_t early_size_ = 0;
  std::vector<std::unique_ptr<WholeInstruction<T>>> early_;
  std::vector<int64_t*> integers_;
  std::vector<int64_t> integer_columns_;
  std::vector<std::unique_ptr<Weight<T>>> weights_;
  std::vector<Stage> stages_;
  std::vector<UpdateOptions> groups_;
  std::vector<Gather> gathers_;
  std::vector<std::pair<int, T*>> results_;
  int loss_ = -1;
  int64_t repeat_ = 1;
  int once_ = 0;
  int update_stage_ = std::numeric_limits<int>::max();

  int64_t capacity_ = 0, scratch_size_ = 0;
  int capacity_threads_ = 0;
  AlignedMemory memory_, integer_memory_, scratch_;
  // Of the full batches and of the last one: a team's, and those of one thread.
  Plan plans_[2], alone_[2];
  Choice choice_;
  Shares shares_;  // by parity of the step, stage and thread
  bool profiling_ = false;
  std::vector<double> times_;  // by thread and line
  int64_t profiled_steps_ = 0;
  int line_count_ = 0;
};

}  // namespace engine
}  // namespace mlpeak
