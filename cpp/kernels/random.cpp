#include "mlpeak/kernels/random.h"

#include "kernels/register.h"
#include "simd/vec.h"

namespace mlpeak {
namespace MLPEAK_TIER {

void register_random(KernelTable& table) {
  (void)table;
}

}  // namespace MLPEAK_TIER
}  // namespace mlpeak
