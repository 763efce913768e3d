// In what a matrix product computes.
#pragma once

namespace mlpeak {

/// native: in the dtype of its arrays. bf16: float32 arrays whose elements are rounded to bfloat16
/// as they enter the product, and summed in float32.
enum class Precision { native, bf16 };

}  // namespace mlpeak
