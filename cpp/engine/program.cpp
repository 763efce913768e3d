#include "engine/program.h"

#include <algorithm>
#include <cstring>

#include "engine/repeated.h"
#include "runtime/threads.h"

namespace mlpeak {
namespace engine {
namespace {

/// Steps below this run on one thread: beside the barriers, the threads of a step read each other's
/// gradients and weights, from the caches of other cores.
constexpr double kSerialStep = 50000;  // ns on one core

constexpr int64_t kLine = 64;  // bytes: no two threads write to the same cache line

}  // namespace

// ---- building -----------------------------------------------------------------------------------

template <class T>
int Program<T>::add_rows(int64_t columns, int64_t ld) {
  values_.push_back({columns, ld, true, 0});
  pointers_.push_back(nullptr);
  own_.push_back(true);
  return int(values_.size()) - 1;
}

template <class T>
int Program<T>::add_array(int64_t size) {
  values_.push_back({size, size, false, 0});
  pointers_.push_back(nullptr);
  own_.push_back(true);
  return int(values_.size()) - 1;
}

template <class T>
int Program<T>::add_early(int64_t size) {
  early_values_.push_back({add_array(0), early_size_});
  early_size_ += size;
  return early_values_.back().first;
}

template <class T>
int Program<T>::add_integers(int64_t columns) {
  integer_columns_.push_back(columns);
  integers_.push_back(nullptr);
  return int(integers_.size()) - 1;
}

template <class T>
Weight<T>* Program<T>::add_weight(int value, int64_t out, int64_t in, bool forward, bool backward,
                                  Precision precision) {
  weights_.push_back(std::make_unique<Weight<T>>(value, out, in, forward, backward, precision));
  return weights_.back().get();
}

template <class T>
void Program<T>::add(int stage, std::unique_ptr<RowInstruction<T>> instruction) {
  if (once_ > 0) {
    std::unique_ptr<WholeInstruction<T>> whole =
        std::make_unique<AtOnce<T>>(std::move(instruction), once_ == 2);
    return add(stage, std::move(whole));
  }
  if (int(stages_.size()) <= stage) stages_.resize(size_t(stage) + 1);
  if (repeat_ > 1) instruction = std::make_unique<RepeatedRows<T>>(std::move(instruction), repeat_);
  stages_[size_t(stage)].rows.push_back(std::move(instruction));
  ++line_count_;
}

template <class T>
void Program<T>::add(int stage, std::unique_ptr<WholeInstruction<T>> instruction) {
  if (stage < 0) {
    early_.push_back(std::move(instruction));
    return;
  }
  if (int(stages_.size()) <= stage) stages_.resize(size_t(stage) + 1);
  if (repeat_ > 1)
    instruction = std::make_unique<RepeatedWhole<T>>(std::move(instruction), repeat_);
  stages_[size_t(stage)].whole.push_back(std::move(instruction));
  ++line_count_;
}

template <class T>
Operand Program<T>::operand(int value) const {
  if (value < 0) return {-1, 0, 0};
  return {value, values_[size_t(value)].columns / repeat_, values_[size_t(value)].ld / repeat_};
}

template <class T>
void Program<T>::set_group(int group, const UpdateOptions& options) {
  if (int(groups_.size()) <= group) groups_.resize(size_t(group) + 1);
  groups_[size_t(group)] = options;
}

template <class T>
void Program<T>::pack_weight(int index) {
  Weight<T>& w = *weights_[size_t(index)];
  if (w.value < 0) return;  // a gradient's shape alone
  w.pack(pointers_[size_t(w.value)]);
}

template <class T>
void Program<T>::pack_weights() {
  for (size_t i = 0; i < weights_.size(); ++i) pack_weight(int(i));
}

template <class T>
void Program<T>::set_source(int value, const Source& source) {
  for (Gather& g : gathers_)
    if (!g.integer && g.value == value) {
      g.source = source;
      return;
    }
  gathers_.push_back({value, false, source, true});
}

template <class T>
void Program<T>::set_integer_source(int value, const Source& source) {
  for (Gather& g : gathers_)
    if (g.integer && g.value == value) {
      g.source = source;
      return;
    }
  gathers_.push_back({value, true, source, true});
}

template <class T>
void Program<T>::set_result(int value, T* out) {
  for (auto& result : results_)
    if (result.first == value) {
      result.second = out;
      return;
    }
  results_.push_back({value, out});
}

// ---- memory and plan ----------------------------------------------------------------------------

template <class T>
double Program<T>::nanoseconds(int64_t batch) const {
  double total = 0;
  for (const Stage& stage : stages_) {
    for (const auto& i : stage.rows) total += i->work(batch).nanoseconds;
    for (const auto& i : stage.whole) total += i->work(batch).nanoseconds;
  }
  return total;
}

template <class T>
int Program<T>::threads_for(int64_t batch) const {
  const int threads = num_threads();
  return threads > 1 && nanoseconds(batch) >= kSerialStep ? threads : 1;
}

template <class T>
void Program<T>::reserve(int64_t batch, int threads) {
  int64_t scratch = 64;
  for (const Stage& stage : stages_) {
    for (const auto& i : stage.rows) scratch = std::max(scratch, i->scratch(batch, batch));
    for (const auto& i : stage.whole) scratch = std::max(scratch, i->scratch(batch, batch));
  }
  scratch = team_stride<T>(scratch);
  if (batch <= capacity_ && threads <= capacity_threads_ && scratch <= scratch_size_) return;
  batch = round_up(std::max(batch, capacity_), 8);
  threads = std::max(threads, capacity_threads_);
  capacity_ = 0;
  int64_t size = 0;
  std::vector<int64_t> offsets;
  for (const Value& v : values_) {
    offsets.push_back(size);
    size += round_up(v.rows ? batch * v.ld : v.columns, kLine) + kLine;
  }
  AlignedMemory memory(size_t(size) * sizeof(T));
  std::memset(memory.data(), 0, size_t(size) * sizeof(T));
  AlignedMemory scratch_memory(size_t(scratch * threads) * sizeof(T));
  guard_parts(scratch_memory.data(), scratch * int64_t(sizeof(T)), threads);
  int64_t integers = 0;
  for (const int64_t columns : integer_columns_) integers += batch * columns;
  AlignedMemory integer_memory(size_t(integers) * sizeof(int64_t));
  memory_ = std::move(memory);
  scratch_ = std::move(scratch_memory);
  integer_memory_ = std::move(integer_memory);
  scratch_size_ = scratch;
  for (size_t v = 0; v < values_.size(); ++v) values_[v].offset = offsets[v];
  times_.assign(size_t(threads * line_count_), 0.0);
  capacity_ = batch;
  capacity_threads_ = threads;
}

template <class T>
bool Program<T>::make_plan(Plan& plan, int64_t batch, int threads) const {
  int64_t sample_bytes = 0, weight_bytes = 0;
  for (const Value& v : values_)
    if (v.rows) sample_bytes += v.ld * int64_t(sizeof(T));
  bool packs = false;
  for (const auto& w : weights_) {
    weight_bytes += w->out * w->in * int64_t(sizeof(T));
    packs |= w->value >= 0 && !w->has_copies();
  }
  return plan.lay_out(stages_, batch, threads, sample_bytes, weight_bytes, packs);
}

template <class T>
void Program<T>::prepare(Plan& plan) const {
  plan.pointers = pointers_;
  plan.early.resize(size_t(early_size_));
  for (const auto& [value, offset] : early_values_)
    plan.pointers[size_t(value)] = plan.early.data() + offset;
  Frame<T> frame = {};
  frame.batch = plan.batch;
  frame.threads = plan.threads;
  frame.values = plan.pointers.data();
  for (const auto& instruction : early_)
    for (int64_t u = 0; u < instruction->units(plan.batch, plan.threads); ++u)
      instruction->run(frame, u);
}

// ---- profile ------------------------------------------------------------------------------------

template <class T>
void Program<T>::set_profiling(bool on) {
  profiling_ = on;
  if (!on) return;
  std::fill(times_.begin(), times_.end(), 0.0);
  profiled_steps_ = 0;
}

template <class T>
std::vector<typename Program<T>::Line> Program<T>::lines(int64_t batch) const {
  std::vector<Line> lines;
  const int threads = threads_for(batch);
  const auto add = [&](int stage, const char* works_on, const Instruction<T>& i) {
    double nanoseconds = 0;
    for (int t = 0; t < capacity_threads_; ++t)
      nanoseconds += times_[size_t(t * line_count_) + lines.size()];
    const Work w = i.work(batch);
    lines.push_back({stage, works_on, i.text(), w.flops, w.bytes, nanoseconds});
  };
  for (size_t s = 0; s < stages_.size(); ++s) {
    for (const auto& i : stages_[s].rows)
      add(int(s), i->by_columns(batch, threads) ? "columns" : "samples", *i);
    for (const auto& i : stages_[s].whole) add(int(s), "all", *i);
  }
  return lines;
}

template class Program<float>;
template class Program<double>;

}  // namespace engine
}  // namespace mlpeak
