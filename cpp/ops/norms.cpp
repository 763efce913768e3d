#include "ops/norms.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "mlpeak/tier.h"
#include "ops/reduce.h"
#include "runtime/threads.h"

namespace mlpeak {
namespace {

// 64 rows of a few hundred features stay in L1, and a batch of 256 makes work for four threads.
constexpr int64_t kRowChunk = kNormChunk;
// Columns of one task of a column sum: 1 KB of fp32, so that chunk x block stays in L1 and wide
// layers split even where the batch is one chunk.
constexpr int64_t kColumnBlock = 256;

/// Cost of `passes` readings or writings of rows x features elements, in cache.
template <class T>
double cost(int64_t rows, int64_t features, int passes) {
  constexpr double kBytesPerNanosecond = 20;
  return double(rows) * double(features) * passes * sizeof(T) / kBytesPerNanosecond;
}

/// One row of `features` sums for each chunk of rows, all zero at first.
template <class T>
class ColumnSums {
 public:
  ColumnSums(int64_t rows, int64_t features)
      : features_(features),
        chunks_((rows + kRowChunk - 1) / kRowChunk),
        partial_(size_t(chunks_ * features)) {}

  int64_t chunks() const { return chunks_; }
  T* chunk(int64_t c) { return partial_.data() + c * features_; }
  /// The sum over all chunks, in order.
  double total(int64_t feature) const {
    double sum = 0;
    for (int64_t c = 0; c < chunks_; ++c) sum += double(partial_[size_t(c * features_ + feature)]);
    return sum;
  }
  void totals(T* out) const {
    for (int64_t j = 0; j < features_; ++j) out[j] = T(total(j));
  }

 private:
  int64_t features_, chunks_;
  std::vector<T> partial_;
};

/// Runs body(chunk, first row, rows) for each chunk of rows.
template <class Body>
void over_chunks(int64_t rows, double nanoseconds, Body&& body) {
  const int64_t chunks = (rows + kRowChunk - 1) / kRowChunk;
  parallel_for(chunks, 1, nanoseconds, [&](int64_t begin, int64_t end) {
    for (int64_t c = begin; c < end; ++c)
      body(c, c * kRowChunk, std::min(kRowChunk, rows - c * kRowChunk));
  });
}

/// Runs body(chunk, first row, rows, first column, columns) for each block of columns of each
/// chunk of rows.
template <class Body>
void over_blocks(int64_t rows, int64_t features, double nanoseconds, Body&& body) {
  const int64_t chunks = (rows + kRowChunk - 1) / kRowChunk;
  const int64_t blocks = (features + kColumnBlock - 1) / kColumnBlock;
  parallel_for(chunks * blocks, 1, nanoseconds, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      const int64_t c = t / blocks, column = t % blocks * kColumnBlock;
      body(c, c * kRowChunk, std::min(kRowChunk, rows - c * kRowChunk), column,
           std::min(kColumnBlock, features - column));
    }
  });
}

template <class T>
void normalise_columns(int64_t rows, int64_t features, const T* x, const T* weight, const T* bias,
                       const T* mean, const T* rstd, T* y) {
  const auto kernel = kernels<T>().norms.batch_norm;
  parallel_for(rows, 1, cost<T>(rows, features, 3), [&](int64_t begin, int64_t end) {
    kernel(end - begin, features, x + begin * features, weight, bias, mean, rstd,
           y + begin * features);
  });
}

}  // namespace

template <class T>
void finish_statistics(int64_t rows, double left, double squares, double momentum, double eps,
                       T* mean, T* rstd, T* running_mean, T* running_var) {
  const double n = double(rows);
  const double batch_mean = double(*mean) + left / n;
  const double square = std::max(squares - left * left / n, 0.0);
  *mean = T(batch_mean);
  *rstd = T(1 / std::sqrt(square / n + eps));
  if (!running_mean) return;
  *running_mean = T((1 - momentum) * double(*running_mean) + momentum * batch_mean);
  *running_var = T((1 - momentum) * double(*running_var) + momentum * square / (n - 1));
}

template <class T>
T running_rstd(T running_var, double eps) {
  return T(1 / std::sqrt(double(running_var) + eps));
}

template <class T>
void layer_norm(int64_t rows, int64_t features, const T* x, const T* weight, const T* bias,
                double eps, T* y, T* mean, T* rstd) {
  const auto kernel = kernels<T>().norms.layer_norm;
  parallel_for(rows, 1, cost<T>(rows, features, 6), [&](int64_t begin, int64_t end) {
    kernel(end - begin, features, x + begin * features, weight, bias, T(eps), y + begin * features,
           mean + begin, rstd + begin);
  });
}

template <class T>
void layer_norm_backward(int64_t rows, int64_t features, const T* grad_output, const T* x,
                         const T* weight, const T* mean, const T* rstd, T* grad_x, T* grad_weight,
                         T* grad_bias) {
  const auto kernel = kernels<T>().norms.layer_norm_backward;
  const int64_t rows_summed = weight ? rows : 0;
  ColumnSums<T> weight_sums(rows_summed, features), bias_sums(rows_summed, features);
  over_chunks(rows, cost<T>(rows, features, 12), [&](int64_t c, int64_t row, int64_t count) {
    kernel(count, features, grad_output + row * features, x + row * features, weight, mean + row,
           rstd + row, grad_x + row * features, weight ? weight_sums.chunk(c) : nullptr,
           weight ? bias_sums.chunk(c) : nullptr);
  });
  if (!weight) return;
  weight_sums.totals(grad_weight);
  bias_sums.totals(grad_bias);
}

template <class T>
void rms_norm(int64_t rows, int64_t features, const T* x, const T* weight, double eps, T* y,
              T* rstd) {
  const auto kernel = kernels<T>().norms.rms_norm;
  parallel_for(rows, 1, cost<T>(rows, features, 4), [&](int64_t begin, int64_t end) {
    kernel(end - begin, features, x + begin * features, weight, T(eps), y + begin * features,
           rstd + begin);
  });
}

template <class T>
void rms_norm_backward(int64_t rows, int64_t features, const T* grad_output, const T* x,
                       const T* weight, const T* rstd, T* grad_x, T* grad_weight) {
  const auto kernel = kernels<T>().norms.rms_norm_backward;
  ColumnSums<T> sums(weight ? rows : 0, features);
  over_chunks(rows, cost<T>(rows, features, 9), [&](int64_t c, int64_t row, int64_t count) {
    kernel(count, features, grad_output + row * features, x + row * features, weight, rstd + row,
           grad_x + row * features, weight ? sums.chunk(c) : nullptr);
  });
  if (weight) sums.totals(grad_weight);
}

template <class T>
void batch_norm_training(int64_t rows, int64_t features, const T* x, const T* weight, const T* bias,
                         T* running_mean, T* running_var, double momentum, double eps, T* y,
                         T* mean, T* rstd) {
  // The corrected two-pass algorithm (Chan, Golub, LeVeque, 1983, eq. 1.7): what is left of the sum
  // after a first mean is taken off corrects both the mean and the sum of squares, so that neither
  // loses digits to a mean far from 0.
  sum_axis(x, 1, rows, features, double(rows), mean);
  const auto kernel = kernels<T>().norms.centred_sums;
  ColumnSums<T> sums(rows, features), squares(rows, features);
  over_blocks(rows, features, cost<T>(rows, features, 3),
              [&](int64_t c, int64_t row, int64_t count, int64_t column, int64_t columns) {
                kernel(count, columns, features, x + row * features + column, mean + column,
                       sums.chunk(c) + column, squares.chunk(c) + column);
              });
  for (int64_t j = 0; j < features; ++j)
    finish_statistics(rows, sums.total(j), squares.total(j), momentum, eps, mean + j, rstd + j,
                      running_mean ? running_mean + j : nullptr,
                      running_mean ? running_var + j : nullptr);
  normalise_columns(rows, features, x, weight, bias, mean, rstd, y);
}

template <class T>
void batch_norm_inference(int64_t rows, int64_t features, const T* x, const T* weight,
                          const T* bias, const T* running_mean, const T* running_var, double eps,
                          T* y, T* mean, T* rstd) {
  for (int64_t j = 0; j < features; ++j) {
    mean[j] = running_mean[j];
    rstd[j] = running_rstd(running_var[j], eps);
  }
  normalise_columns(rows, features, x, weight, bias, mean, rstd, y);
}

template <class T>
void batch_norm_backward(int64_t rows, int64_t features, const T* grad_output, const T* x,
                         const T* weight, const T* mean, const T* rstd, bool training, T* grad_x,
                         T* grad_weight, T* grad_bias) {
  const NormKernels<T>& norms = kernels<T>().norms;
  std::vector<T> means;  // of grad_output and of grad_output * h
  if (training || grad_weight || grad_bias) {
    ColumnSums<T> weight_sums(rows, features), bias_sums(rows, features);
    over_blocks(rows, features, cost<T>(rows, features, 6),
                [&](int64_t c, int64_t row, int64_t count, int64_t column, int64_t columns) {
                  const int64_t first = row * features + column;
                  norms.batch_norm_sums(count, columns, features, grad_output + first, x + first,
                                        mean + column, rstd + column, weight_sums.chunk(c) + column,
                                        bias_sums.chunk(c) + column);
                });
    if (grad_weight) weight_sums.totals(grad_weight);
    if (grad_bias) bias_sums.totals(grad_bias);
    if (training && rows > 0) {
      means.resize(size_t(2 * features));
      for (int64_t j = 0; j < features; ++j) {
        means[size_t(j)] = T(bias_sums.total(j) / double(rows));
        means[size_t(features + j)] = T(weight_sums.total(j) / double(rows));
      }
    }
  }
  const T* mean_g = means.empty() ? nullptr : means.data();
  const T* mean_gh = means.empty() ? nullptr : means.data() + features;
  parallel_for(rows, 1, cost<T>(rows, features, 4), [&](int64_t begin, int64_t end) {
    norms.batch_norm_backward(end - begin, features, grad_output + begin * features,
                              x + begin * features, weight, mean, rstd, mean_g, mean_gh,
                              grad_x + begin * features);
  });
}

#define MLPEAK_INSTANTIATE(T)                                                                   \
  template void finish_statistics(int64_t, double, double, double, double, T*, T*, T*, T*);     \
  template T running_rstd(T, double);                                                           \
  template void layer_norm(int64_t, int64_t, const T*, const T*, const T*, double, T*, T*, T*); \
  template void layer_norm_backward(int64_t, int64_t, const T*, const T*, const T*, const T*,   \
                                    const T*, T*, T*, T*);                                      \
  template void rms_norm(int64_t, int64_t, const T*, const T*, double, T*, T*);                 \
  template void rms_norm_backward(int64_t, int64_t, const T*, const T*, const T*, const T*, T*, \
                                  T*);                                                          \
  template void batch_norm_training(int64_t, int64_t, const T*, const T*, const T*, T*, T*,     \
                                    double, double, T*, T*, T*);                                \
  template void batch_norm_inference(int64_t, int64_t, const T*, const T*, const T*, const T*,  \
                                     const T*, double, T*, T*, T*);                             \
  template void batch_norm_backward(int64_t, int64_t, const T*, const T*, const T*, const T*,   \
                                    const T*, bool, T*, T*, T*);
MLPEAK_INSTANTIATE(float)
MLPEAK_INSTANTIATE(double)
#undef MLPEAK_INSTANTIATE

}  // namespace mlpeak
