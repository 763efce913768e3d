#include "mlpeak/kernels/norms.h"

#include "kernels/each_register.h"
#include "kernels/register.h"
#include "simd/lanes.h"

namespace mlpeak {
namespace MLPEAK_TIER {
namespace {

float square_root(float x) {
  return __builtin_sqrtf(x);
}
double square_root(double x) {
  return __builtin_sqrt(x);
}

template <class T>
void layer_norm(int64_t rows, int64_t features, const T* x, const T* weight, const T* bias, T eps,
                T* y, T* mean, T* rstd) {
  const T n = T(features);
  for (int64_t row = 0; row < rows; ++row, x += features, y += features) {
    const T m = sum_lanes<T>(features, [=](int64_t i, auto... mask)
                                           MLPEAK_LAMBDA_INLINE { return load(x + i, mask...); }) /
                n;
    const Vec<T> centre = set1(m);
    const T variance = sum_lanes<T>(features,
                                    [=](int64_t i, auto... mask) MLPEAK_LAMBDA_INLINE {
                                      const Vec<T> d = load(x + i, mask...) - centre;
                                      return d * d;
                                    }) /
                       n;
    const T r = T(1) / square_root(variance + eps);
    const Vec<T> scale = set1(r);
    each_register<T>(features, [=](int64_t i, auto... mask) MLPEAK_LAMBDA_INLINE {
      const Vec<T> h = (load(x + i, mask...) - centre) * scale;
      store(y + i, fma(h, load_or(weight, i, T(1), mask...), load_or(bias, i, T(0), mask...)),
            mask...);
    });
    mean[row] = m;
    rstd[row] = r;
  }
}

/// The row's h = (x - mean) * rstd; without a mean x * rstd.
template <class T, bool kMean>
struct Normalised {
  const T* x;
  Vec<T> mean, rstd;

  template <class... M>
  MLPEAK_INLINE Vec<T> operator()(int64_t i, M... mask) const {
    const Vec<T> value = load(x + i, mask...);
    return kMean ? (value - mean) * rstd : value * rstd;
  }
};

/// The backward of both row norms. kMean: layer_norm; else rms_norm, with no mean and no bias.
template <class T, bool kMean>
MLPEAK_INLINE void backward(int64_t rows, int64_t features, const T* grad_output, const T* x,
                            const T* weight, const T* mean, const T* rstd, T* grad_x,
                            T* grad_weight, T* grad_bias) {
  const T n = T(features);
  for (int64_t row = 0; row < rows; ++row) {
    const int64_t offset = row * features;
    const T* dy = grad_output + offset;
    T* dx = grad_x + offset;
    const Vec<T> scale = set1(rstd[row]);
    const Normalised<T, kMean> h = {x + offset, set1(kMean ? mean[row] : T(0)), scale};
    const auto g = [=](int64_t i, auto... mask) MLPEAK_LAMBDA_INLINE {
      return load(dy + i, mask...) * load_or(weight, i, T(1), mask...);
    };
    T mean_g = 0;
    if (kMean)
      mean_g = sum_lanes<T>(features, [=](int64_t i, auto... mask)
                                          MLPEAK_LAMBDA_INLINE { return g(i, mask...); }) /
               n;
    const T mean_gh =
        sum_lanes<T>(features, [=](int64_t i, auto... mask)
                                   MLPEAK_LAMBDA_INLINE { return g(i, mask...) * h(i, mask...); }) /
        n;
    const Vec<T> c1 = set1(mean_g), c2 = set1(mean_gh);
    each_register<T>(features, [=](int64_t i, auto... mask) MLPEAK_LAMBDA_INLINE {
      const Vec<T> hat = h(i, mask...);
      const Vec<T> centred = kMean ? g(i, mask...) - c1 : g(i, mask...);
      store(dx + i, scale * fnma(hat, c2, centred), mask...);
      if (grad_weight) {
        const Vec<T> d = load(dy + i, mask...);
        store(grad_weight + i, fma(d, hat, load(grad_weight + i, mask...)), mask...);
        if (kMean) store(grad_bias + i, load(grad_bias + i, mask...) + d, mask...);
      }
    });
  }
}

template <class T>
void layer_norm_backward(int64_t rows, int64_t features, const T* grad_output, const T* x,
                         const T* weight, const T* mean, const T* rstd, T* grad_x, T* grad_weight,
                         T* grad_bias) {
  backward<T, true>(rows, features, grad_output, x, weight, mean, rstd, grad_x, grad_weight,
                    grad_bias);
}

template <class T>
void rms_norm(int64_t rows, int64_t features, const T* x, const T* weight, T eps, T* y, T* rstd) {
  for (int64_t row = 0; row < rows; ++row, x += features, y += features) {
    const T square = sum_lanes<T>(features,
                                  [=](int64_t i, auto... mask) MLPEAK_LAMBDA_INLINE {
                                    const Vec<T> value = load(x + i, mask...);
                                    return value * value;
                                  }) /
                     T(features);
    const T r = T(1) / square_root(square + eps);
    const Vec<T> scale = set1(r);
    each_register<T>(features, [=](int64_t i, auto... mask) MLPEAK_LAMBDA_INLINE {
      store(y + i, load(x + i, mask...) * scale * load_or(weight, i, T(1), mask...), mask...);
    });
    rstd[row] = r;
  }
}

template <class T>
void rms_norm_backward(int64_t rows, int64_t features, const T* grad_output, const T* x,
                       const T* weight, const T* rstd, T* grad_x, T* grad_weight) {
  backward<T, false>(rows, features, grad_output, x, weight, nullptr, rstd, grad_x, grad_weight,
                     nullptr);
}

template <class T, bool kMean>
MLPEAK_INLINE void add_rows(int64_t rows, int64_t features, int64_t ld, const T* grad_output,
                            const T* x, const T* mean, const T* rstd, T* grad_weight,
                            T* grad_bias) {
  for (int64_t row = 0; row < rows; ++row) {
    const T* dy = grad_output + row * ld;
    const Normalised<T, kMean> h = {x + row * ld, set1(kMean ? mean[row] : T(0)), set1(rstd[row])};
    each_register<T>(features, [=](int64_t i, auto... mask) MLPEAK_LAMBDA_INLINE {
      const Vec<T> d = load(dy + i, mask...);
      store(grad_weight + i, fma(d, h(i, mask...), load(grad_weight + i, mask...)), mask...);
      if (kMean) store(grad_bias + i, load(grad_bias + i, mask...) + d, mask...);
    });
  }
}

template <class T>
void row_norm_sums(int64_t rows, int64_t features, int64_t ld, const T* grad_output, const T* x,
                   const T* mean, const T* rstd, T* grad_weight, T* grad_bias) {
  if (mean)
    add_rows<T, true>(rows, features, ld, grad_output, x, mean, rstd, grad_weight, grad_bias);
  else
    add_rows<T, false>(rows, features, ld, grad_output, x, mean, rstd, grad_weight, grad_bias);
}

template <class T>
void centred_sums(int64_t rows, int64_t features, int64_t ld, const T* x, const T* centre, T* sums,
                  T* squares) {
  for (int64_t row = 0; row < rows; ++row, x += ld)
    each_register<T>(features, [=](int64_t i, auto... mask) MLPEAK_LAMBDA_INLINE {
      const Vec<T> d = load(x + i, mask...) - load(centre + i, mask...);
      store(sums + i, load(sums + i, mask...) + d, mask...);
      store(squares + i, fma(d, d, load(squares + i, mask...)), mask...);
    });
}

template <class T>
void batch_norm_sums(int64_t rows, int64_t features, int64_t ld, const T* grad_output, const T* x,
                     const T* mean, const T* rstd, T* grad_weight, T* grad_bias) {
  for (int64_t row = 0; row < rows; ++row, x += ld, grad_output += ld)
    each_register<T>(features, [=](int64_t i, auto... mask) MLPEAK_LAMBDA_INLINE {
      const Vec<T> g = load(grad_output + i, mask...);
      const Vec<T> h = (load(x + i, mask...) - load(mean + i, mask...)) * load(rstd + i, mask...);
      store(grad_weight + i, fma(g, h, load(grad_weight + i, mask...)), mask...);
      store(grad_bias + i, load(grad_bias + i, mask...) + g, mask...);
    });
}

template <class T>
void batch_norm(int64_t rows, int64_t features, const T* x, const T* weight, const T* bias,
                const T* mean, const T* rstd, T* y) {
  for (int64_t row = 0; row < rows; ++row, x += features, y += features)
    each_register<T>(features, [=](int64_t i, auto... mask) MLPEAK_LAMBDA_INLINE {
      const Vec<T> h = (load(x + i, mask...) - load(mean + i, mask...)) * load(rstd + i, mask...);
      store(y + i, fma(h, load_or(weight, i, T(1), mask...), load_or(bias, i, T(0), mask...)),
            mask...);
    });
}

template <class T>
void batch_norm_backward(int64_t rows, int64_t features, const T* grad_output, const T* x,
                         const T* weight, const T* mean, const T* rstd, const T* mean_g,
                         const T* mean_gh, T* grad_x) {
  for (int64_t row = 0; row < rows; ++row) {
    const int64_t offset = row * features;
    each_register<T>(features, [=](int64_t i, auto... mask) MLPEAK_LAMBDA_INLINE {
      const Vec<T> r = load(rstd + i, mask...);
      Vec<T> g = load(grad_output + offset + i, mask...);
      if (mean_g) {
        const Vec<T> h = (load(x + offset + i, mask...) - load(mean + i, mask...)) * r;
        g = fnma(h, load(mean_gh + i, mask...), g - load(mean_g + i, mask...));
      }
      store(grad_x + offset + i, load_or(weight, i, T(1), mask...) * r * g, mask...);
    });
  }
}

template <class T>
NormKernels<T> norm_kernels() {
  return {layer_norm<T>,        layer_norm_backward<T>, rms_norm<T>,
          rms_norm_backward<T>, row_norm_sums<T>,       centred_sums<T>,
          batch_norm_sums<T>,   batch_norm<T>,          batch_norm_backward<T>};
}

}  // namespace

void register_norms(KernelTable& table) {
  table.f32.norms = norm_kernels<float>();
  table.f64.norms = norm_kernels<double>();
}

}  // namespace MLPEAK_TIER
}  // namespace mlpeak
