#include "mlpeak/kernels/optimizers.h"

#include "kernels/register.h"
#include "simd/vec.h"

namespace mlpeak {
namespace MLPEAK_TIER {

void register_optimizers(KernelTable& table) {
  (void)table;
}

}  // namespace MLPEAK_TIER
}  // namespace mlpeak
