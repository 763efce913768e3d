// The probe: what this CPU and operating system can run.
#include <atomic>
#include <stdexcept>

#include "mlpeak/tier.h"

namespace mlpeak {

#define MLPEAK_DECLARE(tier)         \
  namespace tier {                   \
  const KernelTable& kernel_table(); \
  }
MLPEAK_DECLARE(scalar)
#ifdef MLPEAK_HAS_AVX2
MLPEAK_DECLARE(avx2)
#endif
#ifdef MLPEAK_HAS_AVX512
MLPEAK_DECLARE(avx512)
#endif
#ifdef MLPEAK_HAS_AVX512_BF16
MLPEAK_DECLARE(avx512_bf16)
#endif
#ifdef MLPEAK_HAS_NEON
MLPEAK_DECLARE(neon)
#endif
#undef MLPEAK_DECLARE

namespace {

std::vector<Tier> probe() {
  std::vector<Tier> found = {{"scalar", true, scalar::kernel_table}};
#if defined(__x86_64__)
  __builtin_cpu_init();
  [[maybe_unused]] const bool has_avx2 =
      __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#ifdef MLPEAK_EMULATE_AVX512
  [[maybe_unused]] const bool has_avx512 = has_avx2, has_bf16 = has_avx2;
#else
  [[maybe_unused]] const bool has_avx512 =
      has_avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  [[maybe_unused]] const bool has_bf16 = has_avx512 && __builtin_cpu_supports("avx512bf16");
#endif
#endif
#ifdef MLPEAK_HAS_AVX2
  found.push_back({"avx2", has_avx2, avx2::kernel_table});
#endif
#ifdef MLPEAK_HAS_AVX512
  found.push_back({"avx512", has_avx512, avx512::kernel_table});
#endif
#ifdef MLPEAK_HAS_AVX512_BF16
  found.push_back({"avx512_bf16", has_bf16, avx512_bf16::kernel_table});
#endif
#ifdef MLPEAK_HAS_NEON
  found.push_back({"neon", true, neon::kernel_table});  // part of every AArch64
#endif
  return found;
}

std::atomic<const Tier*> g_tier{nullptr};
std::atomic<const KernelTable*> g_table{nullptr};

void use(const Tier& tier) {
  g_table.store(&tier.table());
  g_tier.store(&tier);
}

}  // namespace

const std::vector<Tier>& tiers() {
  static const std::vector<Tier> all = probe();
  return all;
}

const Tier& best_tier() {
  const Tier* best = &tiers().front();
  for (const Tier& tier : tiers())
    if (tier.supported) best = &tier;
  return *best;
}

void select_tier(const std::string& name) {
  std::string legal;
  for (const Tier& tier : tiers()) {
    if (tier.supported && tier.name == name) return use(tier);
    if (tier.supported) legal += (legal.empty() ? "" : ", ") + std::string(tier.name);
  }
  for (const Tier& tier : tiers())
    if (tier.name == name)
      throw std::invalid_argument("MLPEAK_ISA: this CPU cannot run '" + name +
                                  "'; it can run: " + legal);
  throw std::invalid_argument("MLPEAK_ISA: unknown tier '" + name + "'; legal here: " + legal);
}

const Tier& current_tier() {
  if (!g_tier.load(std::memory_order_relaxed)) use(best_tier());
  return *g_tier.load(std::memory_order_relaxed);
}

const KernelTable& current_table() {
  const KernelTable* table = g_table.load(std::memory_order_relaxed);
  return table ? *table : (use(best_tier()), *g_table.load());
}

}  // namespace mlpeak
