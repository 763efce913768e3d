#include "runtime/threads.h"

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <set>
#include <utility>

#if defined(__SANITIZE_THREAD__)
#include <thread>
#include <vector>
#endif

#if defined(__linux__)
#include <sched.h>
#endif
#include <pthread.h>

#ifdef _OPENMP
#include <omp.h>
#endif

namespace mlpeak {
namespace {

std::atomic<int> g_requested{0};   // set_num_threads; 0: no override
thread_local int t_requested = 0;  // set_local_threads
std::atomic<bool> g_forked{false};
std::atomic<bool> g_pool_started{false};

#ifdef _OPENMP
void after_fork_in_child() {
  if (g_pool_started.load()) g_forked.store(true);
}

/// CPUs per period from cgroup v2 or v1, rounded up; a large number where there is no quota.
int cgroup_quota() {
  double quota = -1, period = -1;
  if (FILE* f = std::fopen("/sys/fs/cgroup/cpu.max", "r")) {
    if (std::fscanf(f, "%lf %lf", &quota, &period) != 2) quota = -1;  // "max 100000"
    std::fclose(f);
  } else {
    if (FILE* q = std::fopen("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "r")) {
      if (std::fscanf(q, "%lf", &quota) != 1) quota = -1;
      std::fclose(q);
    }
    if (FILE* p = std::fopen("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "r")) {
      if (std::fscanf(p, "%lf", &period) != 1) period = -1;
      std::fclose(p);
    }
  }
  if (quota <= 0 || period <= 0) return 1 << 20;
  const int cpus = int((quota + period - 1) / period);
  return cpus > 1 ? cpus : 1;
}

#if defined(__linux__)
/// Physical cores among the CPUs in `set`: pairs (package, core) seen; CPUs if sysfs has none.
int physical_cores(const cpu_set_t& set) {
  std::set<std::pair<int, int>> cores;
  int cpus = 0;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (!CPU_ISSET(cpu, &set)) continue;
    ++cpus;
    int id[2] = {-1, -1};
    const char* const names[2] = {"physical_package_id", "core_id"};
    for (int k = 0; k < 2; ++k) {
      char path[96];
      std::snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%d/topology/%s", cpu, names[k]);
      if (FILE* f = std::fopen(path, "r")) {
        if (std::fscanf(f, "%d", &id[k]) != 1) id[k] = -1;
        std::fclose(f);
      }
    }
    if (id[1] >= 0) cores.insert({id[0], id[1]});
  }
  return cores.empty() ? cpus : int(cores.size());
}
#endif

/// min(affinity, cgroup quota, physical cores). The affinity is asked each time; the walk through
/// sysfs is repeated only when the affinity has changed.
int usable_cores() {
  static const int quota = cgroup_quota();
#if defined(__linux__)
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof(set), &set) != 0) return 1;
  static thread_local cpu_set_t last;
  static thread_local int last_cores = 0;
  if (last_cores == 0 || !CPU_EQUAL(&set, &last)) {
    last = set;
    last_cores = physical_cores(set);
  }
  const int cores = last_cores;
#else
  const int cores = omp_get_num_procs();
#endif
  return cores < quota ? cores : quota;
}

const int g_openmp_at_import = omp_get_max_threads();
#endif

}  // namespace

int num_threads() {
#ifdef _OPENMP
  if (g_forked.load(std::memory_order_relaxed) || omp_in_parallel()) return 1;
  if (t_requested > 0) return t_requested;
  const int requested = g_requested.load(std::memory_order_relaxed);
  if (requested > 0) return requested;
  const int openmp = omp_get_max_threads();
  if (openmp != g_openmp_at_import) return openmp;
  const char* env = std::getenv("OMP_NUM_THREADS");
  if (env && std::atoi(env) > 0) return std::atoi(env);
  return usable_cores();
#else
  return 1;
#endif
}

void set_num_threads(int threads) {
  g_requested.store(threads);
}

int set_local_threads(int threads) {
  return std::exchange(t_requested, threads);
}

std::string openmp_runtime() {
#if defined(_OPENMP) && defined(__clang__)
  return "libomp " + std::to_string(_OPENMP);
#elif defined(_OPENMP)
  return "libgomp " + std::to_string(_OPENMP);
#else
  return "none";
#endif
}

#ifdef _OPENMP
namespace {
/// Runs body(thread, count) on `threads` threads, or as many as the runtime grants.
template <class Body>
void in_parallel(int threads, const Body& body) {
#if defined(__SANITIZE_THREAD__)  // which does not see how libgomp's threads wait for each other
  std::vector<std::thread> others;
  for (int thread = 1; thread < threads; ++thread) others.emplace_back(body, thread, threads);
  body(0, threads);
  for (std::thread& other : others) other.join();
#else
  if (!g_pool_started.exchange(true)) pthread_atfork(nullptr, nullptr, after_fork_in_child);
#pragma omp parallel num_threads(threads)
  body(omp_get_thread_num(), omp_get_num_threads());
#endif
}
}  // namespace
#endif

void run_together(int threads, void (*body)(void*, int, int), void* context) {
#ifdef _OPENMP
  if (threads > 1)
    return in_parallel(threads, [=](int thread, int count) { body(context, thread, count); });
#endif
  (void)threads;
  body(context, 0, 1);
}

void run_team(int threads, void (*body)(void*, int), void* context) {
#ifdef _OPENMP
  if (threads > 1) {
    // A runtime may grant fewer threads than asked for; each takes the shares left over.
    return in_parallel(threads, [=](int thread, int count) {
      for (int share = thread; share < threads; share += count) body(context, share);
    });
  }
#endif
  for (int share = 0; share < threads; ++share) body(context, share);
}

}  // namespace mlpeak
