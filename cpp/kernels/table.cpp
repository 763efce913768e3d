#include "kernels/register.h"

namespace mlpeak {
namespace MLPEAK_TIER {

const KernelTable& kernel_table() {
  static KernelTable table;
  static const bool filled = [] {
    register_gemm(table);
    register_elementwise(table);
    register_rows(table);
    register_reduce(table);
    register_losses(table);
    register_class_losses(table);
    register_norms(table);
    register_embedding(table);
    register_optimizers(table);
    register_weights(table);
    register_random(table);
    register_peak(table);
    return true;
  }();
  (void)filled;
  return table;
}

}  // namespace MLPEAK_TIER
}  // namespace mlpeak
