// Instruction-set tiers: which were built, which this CPU can run, which one is in use.
#pragma once

#include <string>
#include <vector>

#include "mlpeak/kernel_table.h"

namespace mlpeak {

struct Tier {
  const char* name;
  bool supported;  // by this CPU and operating system
  const KernelTable& (*table)();
};

/// The tiers in this build, slowest first; the first is always "scalar".
const std::vector<Tier>& tiers();

/// Makes `name` the tier in use. Throws std::invalid_argument that lists the legal names when the
/// tier is unknown, was not built, or is one this CPU lacks.
void select_tier(const std::string& name);

/// The fastest tier this CPU supports.
const Tier& best_tier();

/// The tier in use: the one selected last, at first best_tier().
const Tier& current_tier();

/// The kernels for element type T in the tier in use.
const KernelTable& current_table();
template <class T>
const Kernels<T>& kernels() {
  return current_table().of(T());
}

}  // namespace mlpeak
