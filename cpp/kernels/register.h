// One register function per topic: each fills its part of the tier's table.
#pragma once

#include "mlpeak/kernel_table.h"

namespace mlpeak {
namespace MLPEAK_TIER {

void register_gemm(KernelTable& table);
void register_elementwise(KernelTable& table);
void register_rows(KernelTable& table);
void register_reduce(KernelTable& table);
void register_losses(KernelTable& table);
void register_class_losses(KernelTable& table);
void register_norms(KernelTable& table);
void register_embedding(KernelTable& table);
void register_optimizers(KernelTable& table);
void register_weights(KernelTable& table);
void register_random(KernelTable& table);
void register_peak(KernelTable& table);

/// The tier's complete table (table.cpp).
const KernelTable& kernel_table();

}  // namespace MLPEAK_TIER
}  // namespace mlpeak
