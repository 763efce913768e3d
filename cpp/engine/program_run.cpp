// The loop that runs a program's steps on a team of threads.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>

#include "engine/program.h"
#include "runtime/barrier.h"
#include "runtime/threads.h"

namespace mlpeak {
namespace engine {
namespace {

using Clock = std::chrono::steady_clock;

/// Steps beyond this ask within whether to go on: Ctrl-C is to be answered in a tenth of a second.
constexpr double kLongStep = 2e7;  // ns on one core

template <class T>
Update<T> scalars(UpdateOptions o, int64_t step, double penalty) {
  Update<T> u = {};
  u.rule = o.rule;
  if (!o.penalised) penalty = 0;
  switch (o.rule) {
    case Rule::sgd:
    case Rule::sgd_momentum:
      o.sgd.first = o.sgd.first && step == 0;
      o.sgd.weight_decay += penalty;
      u.sgd = sgd_scalars<T>(o.sgd);
      break;
    case Rule::adam:
    case Rule::amsgrad:
      o.adam.step += step;
      u.adam = adam_scalars<T>(o.adam);
      u.adam.weight_decay += T(penalty);  // beside a decay that is decoupled
      break;
    case Rule::rmsprop:
      o.rmsprop.weight_decay += penalty;
      u.rmsprop = rmsprop_scalars<T>(o.rmsprop);
      break;
    case Rule::adagrad:
      o.adagrad.step += step;
      o.adagrad.weight_decay += penalty;
      u.adagrad = adagrad_scalars<T>(o.adagrad);
      break;
  }
  return u;
}

}  // namespace

/// A run, and the threads that work on a stretch of its steps.
template <class T>
struct Program<T>::Team {
  Program* program;
  const Run& run;
  const int64_t steps, batch, rest;  // of the run: how many, samples of a full one and of the last
  const bool is_long;                // whether to ask within a step whether to go on
  Clock::time_point polled;          // when the caller was last asked that
  int64_t completed = 0;             // steps
  bool stopped = false;              // for good, before the last step
  // of the stretch
  int64_t begin = 0, end = 0;  // its steps
  int threads = 1;
  const Plan* plans = nullptr;  // of a full step and of the last one
  Barrier* barrier = nullptr;
  std::atomic<bool> leave{false};  // the stretch ends with the first stage's rows
  std::atomic<bool> late{false};   // a thread kept the others waiting

  /// Asks the caller, if the last time is a while ago; only in thread 0.
  bool is_interrupted() {
    constexpr auto kInterval = std::chrono::milliseconds(20);
    if (!run.interrupted) return false;
    const auto now = Clock::now();
    if (now - polled <= kInterval) return false;
    polled = now;
    return run.interrupted(run.context);
  }

  void wait() {
    if (barrier->wait()) late.store(true, std::memory_order_relaxed);
  }

  /// Whether to leave a long step whose first rows run: they write nothing that lasts.
  bool leaves(int thread) {
    if (!is_long) return false;
    if (thread == 0 && !stopped && is_interrupted()) {
      stopped = true;
      leave.store(true);
    }
    return leave.load(std::memory_order_relaxed);
  }
};

template <class T>
void Program<T>::run_rows(Team& team, const Frame<T>& frame, size_t at, const Plan& plan,
                          int thread, double* times) const {
  const auto& rows = stages_[at].rows;
  const auto& passes = plan.stages[at].passes;
  for (size_t p = 0; p < passes.size(); ++p) {
    const bool columns = passes[p].columns;
    if (p > 0) team.wait();  // even to leave: all threads come to the same barriers
    const auto [first, last] = columns ? RowRange{0, frame.batch} : plan.rows_of(thread);
    if (first >= last) continue;
    // blocks of nearly equal height
    const int64_t blocks = (last - first + plan.block - 1) / plan.block;
    const int64_t height = round_up((last - first + blocks - 1) / blocks, plan.alignment);
    for (int64_t begin = first; begin < last; begin += height) {
      const int64_t end = std::min(last, begin + height);
      for (size_t i = passes[p].begin; i < passes[p].end; ++i) {
        if (at == 0 && team.leaves(thread)) break;
        const auto start = times ? Clock::now() : Clock::time_point();
        if (columns)
          rows[i]->run_columns(frame, begin, end, thread);
        else
          rows[i]->run(frame, begin, end);
        if (times)
          times[i] += std::chrono::duration<double, std::nano>(Clock::now() - start).count();
      }
    }
  }
}

template <class T>
void Program<T>::share_units(const Plan& plan, int64_t step, int thread, int threads) {
  for (size_t s = 0; s < stages_.size(); ++s)
    shares_.set(first_share(step, s, threads) + thread, plan.stages[s].bounds[size_t(thread)],
                plan.stages[s].bounds[size_t(thread) + 1]);
}

template <class T>
void Program<T>::run_whole(const Frame<T>& frame, const Plan& plan, size_t stage, int64_t step,
                           int thread, int threads, double* times) {
  const StagePlan& shared = plan.stages[stage];
  const auto& whole = stages_[stage].whole;
  const int64_t first = first_share(step, stage, threads);
  for (int64_t u; (u = shares_.take(first, thread, threads, shared.kept)) >= 0;) {
    const auto& unit = shared.units[size_t(u)];
    if (!times) {
      whole[size_t(unit.instruction)]->run(frame, unit.unit);
      continue;
    }
    const auto start = Clock::now();
    whole[size_t(unit.instruction)]->run(frame, unit.unit);
    times[size_t(unit.instruction)] +=
        std::chrono::duration<double, std::nano>(Clock::now() - start).count();
  }
}

template <class T>
void Program<T>::run_thread(Team& team, int thread) {
  constexpr int kMost = 64;  // values, groups: on the stack where they are few
  const Run& run = team.run;
  Update<T> updates_on_stack[kMost];
  std::vector<Update<T>> many;
  Update<T>* updates = updates_on_stack;
  if (int(groups_.size()) > kMost) {
    many.resize(groups_.size());
    updates = many.data();
  }
  T* const scratch = static_cast<T*>(scratch_.data()) + int64_t(thread) * scratch_size_;
  double* const times = profiling_ ? times_.data() + thread * line_count_ : nullptr;
  for (int64_t s = team.begin; s < team.end; ++s) {
    const int64_t first = s * run.batch_size;
    const int64_t batch = std::min(run.batch_size, run.samples - first);
    const auto plan_of = [&](int64_t samples) -> const Plan& {
      return samples == team.plans[0].batch ? team.plans[0] : team.plans[1];
    };
    const Plan& plan = plan_of(batch);
    // Nobody takes the next step's units yet, nor any longer those of the step before, whose place
    // they have: the barriers of the steps between keep it so.
    const int64_t coming = std::min(run.batch_size, run.samples - first - batch);
    if (coming > 0) share_units(plan_of(coming), s + 1, thread, team.threads);
    const std::vector<T*>& values = plan.pointers;
    const int64_t phase = (run.phase + s) % run.accumulate;
    const int64_t updated = (run.phase + s) / run.accumulate;
    const double penalty = run.penalties ? run.penalties[s] : 0;
    for (size_t g = 0; g < groups_.size(); ++g)
      updates[g] = scalars<T>(groups_[g], updated, penalty);
    Frame<T> frame = {
        batch,
        plan.threads,
        values.data(),
        integers_.data(),
        updates,
        {run.random.seed, run.random.step + uint64_t(s * run.draws), run.random.stream},
        phase,
        run.accumulate,
        penalty,
        scratch};
    {
      const auto [begin, end] = plan.rows_of(thread);
      const int64_t* const index = run.order ? run.order + first + begin : nullptr;
      for (const Gather& g : gathers_) {
        if (!g.copied || begin >= end) continue;
        if (g.integer)
          gather_integers(g.source, index, first + begin, end - begin,
                          integers_[size_t(g.value)] + begin * g.source.columns);
        else
          gather_rows(g.source, index, first + begin, end - begin,
                      values[size_t(g.value)] + begin * values_[size_t(g.value)].ld,
                      values_[size_t(g.value)].ld);
      }
    }
    // Whole instructions, and those shared by columns, read the samples of other threads, and the
    // results of the step before are still to be copied: where they come first, they wait for all.
    if (plan.begins_with_all()) {
      team.wait();
      if (team.leave.load(std::memory_order_relaxed)) return;
    }
    int line = 0;
    const size_t stages = phase + 1 < run.accumulate
                              ? std::min(stages_.size(), size_t(update_stage_))
                              : stages_.size();
    for (size_t i = 0; i < stages; ++i) {
      const Stage& stage = stages_[i];
      if (!stage.rows.empty()) {
        run_rows(team, frame, i, plan, thread, times ? times + line : nullptr);
        line += int(stage.rows.size());
        if (!stage.whole.empty() || i + 1 < stages_.size() || plan.stages[i].passes.back().columns)
          team.wait();
        if (i == 0 && team.leave.load(std::memory_order_relaxed)) return;
      }
      if (!stage.whole.empty()) {
        run_whole(frame, plan, i, s, thread, team.threads, times ? times + line : nullptr);
        line += int(stage.whole.size());
        team.wait();
      }
    }
    if (!results_.empty()) {
      const auto [begin, end] = plan.rows_of(thread);
      for (const auto& [value, out] : results_) {
        const Value& v = values_[size_t(value)];
        if (!v.rows && thread == 0)
          std::memcpy(out, values[size_t(value)], size_t(v.columns) * sizeof(T));
        for (int64_t r = begin; v.rows && r < end; ++r)
          std::memcpy(out + (first + r) * v.columns, values[size_t(value)] + r * v.ld,
                      size_t(v.columns) * sizeof(T));
      }
    }
    if (thread != 0) continue;
    team.completed = s + 1;
    if (loss_ >= 0) {
      const double loss = double(values[size_t(loss_)][0]);
      if (run.losses) run.losses[s] = loss;
      if (run.stop_unless_finite && !std::isfinite(loss)) team.stopped = true;
    }
    if (s + 1 < team.steps && team.is_interrupted()) team.stopped = true;
    if (team.stopped || team.late.load(std::memory_order_relaxed)) team.leave.store(true);
  }
}

template <class T>
int64_t Program<T>::run(const Run& run) {
  if (run.samples <= 0) return 0;
  const int64_t batch = std::min(run.batch_size, run.samples);
  const int64_t steps = (run.samples + run.batch_size - 1) / run.batch_size;
  const int64_t rest = run.samples - (steps - 1) * run.batch_size;
  const int worth = threads_for(batch);
  reserve(batch, worth);
  // Values without memory of the caller's stand in the program's own.
  for (size_t v = 0; v < values_.size(); ++v)
    if (own_[v]) pointers_[v] = static_cast<T*>(memory_.data()) + values_[v].offset;
  int64_t* integers = static_cast<int64_t*>(integer_memory_.data());
  for (size_t i = 0; i < integers_.size(); ++i) {
    integers_[i] = integers;
    integers += capacity_ * integer_columns_[i];
  }
  for (Gather& g : gathers_) {
    const bool same = g.source.type == (sizeof(T) == 4 ? SourceType::f32 : SourceType::f64);
    g.copied = g.integer
                   ? run.order || steps > 1 || g.source.type != SourceType::i64
                   : run.order || steps > 1 || !same || g.source.scale != 1 || g.source.starts;
    if (g.copied) continue;
    if (g.integer)
      integers_[size_t(g.value)] = const_cast<int64_t*>(static_cast<const int64_t*>(g.source.data));
    else
      pointers_[size_t(g.value)] = const_cast<T*>(static_cast<const T*>(g.source.data));
  }
  // A run may change between a team and one thread after any step, without allocating.
  for (const int count : {worth, 1}) {
    Plan* const plans = count > 1 ? plans_ : alone_;
    if (make_plan(plans[0], batch, count)) prepare(plans[0]);
    if (rest != batch && make_plan(plans[1], rest, count)) prepare(plans[1]);
  }
  shares_.reserve(2 * int64_t(stages_.size()) * worth);
  const bool is_long = run.interrupted && nanoseconds(batch) > kLongStep;
  Team team{this, run, steps, batch, rest, is_long, Clock::now()};
  while (team.completed < steps && !team.stopped) run_stretch(team, worth);
  if (profiling_) profiled_steps_ += team.completed;
  return team.completed;
}

template <class T>
void Program<T>::run_stretch(Team& team, int worth) {
  const double predicted = worth > 1 ? nanoseconds(team.batch) : 0;
  const int64_t first = team.completed;
  team.begin = first;
  team.end = worth > 1 ? std::min(team.steps, first + choice_.steps(predicted)) : team.steps;
  // Without a barrier at a step's end, threads that share a smaller last step in another way would
  // write rows that others still read: it is a stretch of its own.
  const bool meet = !stages_.empty() && !stages_.back().whole.empty();
  if (!meet && team.rest != team.batch && first + 1 < team.steps)
    team.end = std::min(team.end, team.steps - 1);
  team.threads = choice_.team() ? worth : 1;
  Plan* const plans = team.threads > 1 ? plans_ : alone_;
  team.plans = plans;
  prepare(plans[0]);
  if (team.rest != team.batch) prepare(plans[1]);
  const bool full = first + 1 < team.steps || team.rest == team.batch;
  for (int t = 0; t < team.threads; ++t) share_units(plans[full ? 0 : 1], first, t, team.threads);
  // In time for a thread's part of a whole step, nobody is late.
  const int64_t late_after = std::max(int64_t(1000000), int64_t(predicted) / team.threads);
  Barrier barrier(team.threads, std::chrono::nanoseconds(late_after));
  team.barrier = &barrier;
  team.leave.store(false);
  team.late.store(false);
  const auto begin = Clock::now();
  if (team.threads == 1)
    run_thread(team, 0);
  else
    run_together(
        team.threads,
        [](void* context, int thread, int granted) {
          Team& team = *static_cast<Team*>(context);
          if (granted == team.threads)
            team.program->run_thread(team, thread);
          else
            team.late.store(true);  // all shares at once need all threads
        },
        &team);
  if (worth == 1) return;
  if (team.late.load()) return choice_.late();
  const int64_t steps = team.completed - first;
  double work = predicted * double(steps);
  if (team.completed == team.steps && team.rest != team.batch)
    work += nanoseconds(team.rest) - predicted;
  choice_.note(steps, work, std::chrono::duration<double, std::nano>(Clock::now() - begin).count());
}

template int64_t Program<float>::run(const Run& run);
template int64_t Program<double>::run(const Run& run);

}  // namespace engine
}  // namespace mlpeak
