// Threads: how many, and the one place that starts them.
#pragma once

#include <cstdint>
#include <string>
#include <type_traits>

namespace mlpeak {

/// How many threads a parallel call may use now, at least 1. In order of precedence:
/// set_local_threads; set_num_threads; omp_set_num_threads (threadpoolctl calls it) when it changed
/// the value since import; OMP_NUM_THREADS; else min(CPU affinity, cgroup quota, physical cores).
/// 1 inside another parallel region, in a forked child (libgomp's threads did not survive the fork)
/// and in a build without OpenMP.
int num_threads();

/// Overrides the default; 0 returns to it.
void set_num_threads(int threads);

/// Overrides num_threads for calls of this thread alone; 0 for no override. Returns what it was.
int set_local_threads(int threads);

/// "libgomp 201511", "none" ...: the OpenMP version macro of the compiler.
std::string openmp_runtime();

/// Runs body(context, thread) on `threads` threads and waits for all. body must not throw.
void run_team(int threads, void (*body)(void*, int), void* context);

/// Runs body(context, thread, count) at once on `count` threads that may wait for each other, count
/// being `threads` or what the runtime grants, and waits for all. body must not throw.
void run_together(int threads, void (*body)(void*, int, int), void* context);

/// Work below this many nanoseconds on one core runs serially: starting and joining two threads
/// costs 2-6 us warm, and a call must never be slower on two threads than on one.
constexpr double kSerialNanoseconds = 25000;

/// Splits [0, count) into contiguous ranges, one a thread, and runs body(begin, end) on each.
/// Bounds are multiples of `align` (but for the last end). `nanoseconds` is the whole call's cost
/// on one core: below kSerialNanoseconds it runs on the caller alone. The body's result must not
/// depend on where the bounds fall.
template <class Body>
void parallel_for(int64_t count, int64_t align, double nanoseconds, Body&& body) {
  const int64_t blocks = (count + align - 1) / align;
  int threads = nanoseconds < kSerialNanoseconds || blocks < 2 ? 1 : num_threads();
  if (threads > blocks) threads = int(blocks);
  if (threads <= 1) {
    if (count > 0) body(int64_t(0), count);
    return;
  }
  struct Context {
    std::remove_reference_t<Body>* body;
    int64_t count, align, blocks;
    int threads;
  } context{&body, count, align, blocks, threads};
  run_team(
      threads,
      [](void* p, int thread) {
        const Context& c = *static_cast<Context*>(p);
        const int64_t begin = c.blocks * thread / c.threads * c.align;
        int64_t end = c.blocks * (thread + 1) / c.threads * c.align;
        if (end > c.count) end = c.count;
        if (begin < end) (*c.body)(begin, end);
      },
      &context);
}

}  // namespace mlpeak
