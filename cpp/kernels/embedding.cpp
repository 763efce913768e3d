#include "mlpeak/kernels/embedding.h"

#include "kernels/each_register.h"
#include "kernels/register.h"

namespace mlpeak {
namespace MLPEAK_TIER {
namespace {

template <class T>
void scatter_add(int64_t count, int64_t dim, const int64_t* indices, int64_t first, int64_t last,
                 const T* grad_output, T* grad_weight) {
  for (int64_t i = 0; i < count; ++i, grad_output += dim) {
    if (indices[i] < first || indices[i] >= last) continue;
    T* row = grad_weight + indices[i] * dim;
    each_register<T>(dim, [=](int64_t j, auto... mask) MLPEAK_LAMBDA_INLINE {
      store(row + j, load(row + j, mask...) + load(grad_output + j, mask...), mask...);
    });
  }
}

}  // namespace

void register_embedding(KernelTable& table) {
  table.f32.embedding = {scatter_add<float>};
  table.f64.embedding = {scatter_add<double>};
}

}  // namespace MLPEAK_TIER
}  // namespace mlpeak
