// What every benchmark shares: the machine's limits, arrays to work on, the counters to report.
#pragma once

#include <benchmark/benchmark.h>

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>

#include "runtime/threads.h"

namespace mlpeak {
namespace bench {

/// Measured by main before the first benchmark, on the tier and the threads that they use.
struct Machine {
  double flops_f32, flops_f64;  // a second
  double memory, level2;        // bytes a second, streaming through memory and within level 2
  int64_t level2_bytes;         // of the threads together

  double flops(float) const { return flops_f32; }
  double flops(double) const { return flops_f64; }
};
extern Machine g_machine;

template <class T>
const char* dtype_name() {
  return sizeof(T) == 4 ? "f32" : "f64";
}

/// An array on a cache line's boundary, filled with numbers between `low` and 1.
template <class T>
class Array {
 public:
  explicit Array(int64_t size, double low = -1) : size_(size) {
    const size_t bytes = (size_t(size) * sizeof(T) + 63) / 64 * 64;
    data_.reset(static_cast<T*>(std::aligned_alloc(64, bytes)));
    if (!data_) throw std::bad_alloc();
    uint32_t state = 1;
    for (int64_t i = 0; i < size; ++i) {
      state = state * 1664525u + 1013904223u;  // Knuth's and Lewis's "quick and dirty" generator
      data_.get()[i] = T(low + (1 - low) * (state >> 8) / double(1 << 24));
    }
  }
  T* data() { return data_.get(); }
  int64_t size() const { return size_; }

 private:
  struct Free {
    void operator()(T* p) const { std::free(p); }
  };
  std::unique_ptr<T, Free> data_;
  int64_t size_;
};

/// Registers body(state) under `name`. One thread is timed by its own CPU time, which leaves out
/// what other programs take of the core; several by the wall clock, for they work beside the
/// caller.
template <class Body>
void add(const std::string& name, Body body) {
  auto* registered = benchmark::RegisterBenchmark(name.c_str(), body);
  if (num_threads() > 1) registered->UseRealTime();
}

inline benchmark::Counter per_second(double amount) {
  return {amount, benchmark::Counter::kIsIterationInvariantRate};
}

/// GFLOP/s, and the share of the FMA peak of T, from an iteration's operations.
template <class T>
void report_flops(benchmark::State& state, double flops) {
  state.counters["GFLOP/s"] = per_second(flops * 1e-9);
  state.counters["%peak"] = per_second(100 * flops / g_machine.flops(T()));
}

/// GB/s and the share of the bandwidth, from the bytes that an iteration reads and writes. The
/// limit is that of level 2 where the arrays (`resident` bytes) fit there, else that of memory.
inline void report_bytes(benchmark::State& state, double bytes, double resident) {
  const bool fits = resident <= double(g_machine.level2_bytes);
  state.counters["GB/s"] = per_second(bytes * 1e-9);
  state.counters[fits ? "%level2" : "%memory"] =
      per_second(100 * bytes / (fits ? g_machine.level2 : g_machine.memory));
}

void register_gemm();
void register_elementwise();
void register_rows();
void register_optimizers();

}  // namespace bench
}  // namespace mlpeak
