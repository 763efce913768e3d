#include "kernels/each_register.h"
#include "kernels/few_classes.h"
#include "kernels/register.h"
#include "mlpeak/kernels/losses.h"
#include "simd/lanes.h"
#include "simd/math.h"

namespace mlpeak {
namespace MLPEAK_TIER {
namespace {

/// One row of logits with what its loss and its gradient are made of.
template <class T>
struct ClassRow {
  const T* x;
  const T* q;  // null: all mass on `target`
  int64_t target;
  const ClassLossRows<T>& rows;

  MLPEAK_INLINE T target_weight() const {
    return rows.class_weight ? rows.class_weight[target] : T(1);
  }
  /// confidence w_t, what the target class has beyond the smoothing.
  MLPEAK_INLINE T hard_part() const { return rows.confidence * target_weight(); }
  /// a_c = w_c q_c, without the hard part.
  template <class... M>
  MLPEAK_INLINE Vec<T> coefficient(int64_t i, M... mask) const {
    const Vec<T> smoothing = set1(rows.smoothing);
    const Vec<T> mass = q ? fma(set1(rows.confidence), load(q + i, mask...), smoothing) : smoothing;
    return rows.class_weight ? load(rows.class_weight + i, mask...) * mass : mass;
  }
  MLPEAK_INLINE bool is_hard() const { return !q && rows.smoothing == T(0); }

  /// sum_c a_c
  MLPEAK_INLINE T coefficient_sum() const {
    if (!q) return hard_part() + rows.smoothing * rows.class_weight_sum;
    return sum_lanes<T>(rows.classes, [&](int64_t i, auto... mask)
                                          MLPEAK_LAMBDA_INLINE { return coefficient(i, mask...); });
  }
  /// sum_c a_c (x_c - max x); a class without mass adds nothing even where its logit is -inf.
  MLPEAK_INLINE T weighted_sum(T largest) const {
    T sum = 0;
    if (!is_hard())
      sum = sum_lanes<T>(rows.classes, [&](int64_t i, auto... mask) MLPEAK_LAMBDA_INLINE {
        const Vec<T> a = coefficient(i, mask...);
        const Vec<T> zero = set1(T(0));
        return select(eq(a, zero), zero, a * (load(x + i, mask...) - set1(largest)));
      });
    if (q || hard_part() == T(0)) return sum;
    return hard_part() * (x[target] - largest) + sum;
  }
};

/// What the losses of a block of rows are made of; the logarithms of a block are taken together.
template <class T>
struct LossTerms {
  static constexpr int kRows = kLaneCount<T>;
  T weight[kRows], coefficient_sum[kRows], sum[kRows], weighted_sum[kRows];

  void set_zero(int64_t i) {
    weight[i] = coefficient_sum[i] = weighted_sum[i] = T(0);
    sum[i] = T(1);
  }
  void write(int64_t rows, T* loss) const {
    each_register<T>(rows, [&](int64_t i, auto... mask) MLPEAK_LAMBDA_INLINE {
      const Vec<T> mass = load(coefficient_sum + i, mask...) * log(load(sum + i, mask...));
      store(loss + i, load(weight + i, mask...) * (mass - load(weighted_sum + i, mask...)),
            mask...);
    });
  }
};

/// Three passes over a row that stays in L1: largest logit, sum of exponentials (kept in grad),
/// gradient. The logits are not read after the first store, so grad may be the logits.
template <class T>
MLPEAK_INLINE void cross_entropy_row(const ClassRow<T>& row, T weight, T scale, int64_t i,
                                     LossTerms<T>* loss, T* grad) {
  const int64_t n = row.rows.classes;
  const T largest = max_lanes<T>(
      n, [&](int64_t c, auto... mask) MLPEAK_LAMBDA_INLINE { return load(row.x + c, mask...); });
  const T coefficient_sum = row.coefficient_sum();
  const T weighted_sum = loss ? row.weighted_sum(largest) : T(0);
  const T sum = sum_lanes<T>(n, [&](int64_t c, auto... mask) MLPEAK_LAMBDA_INLINE {
    const Vec<T> e = exp(load(row.x + c, mask...) - set1(largest));
    if (grad) store(grad + c, e, mask...);
    return e;
  });
  if (loss) {
    loss->weight[i] = weight;
    loss->coefficient_sum[i] = coefficient_sum;
    loss->sum[i] = sum;
    loss->weighted_sum[i] = weighted_sum;
  }
  if (!grad) return;
  const T softmax_factor = scale * coefficient_sum / sum;
  const bool is_hard = row.is_hard();
  each_register<T>(n, [&](int64_t c, auto... mask) MLPEAK_LAMBDA_INLINE {
    const Vec<T> p = load(grad + c, mask...) * set1(softmax_factor);
    const Vec<T> g = is_hard ? p : fnma(set1(scale), row.coefficient(c, mask...), p);
    store(grad + c, g, mask...);
  });
  if (!row.q) grad[row.target] -= scale * row.hard_part();
}

/// row(i, ClassRow, weight, scale, gradient row) for every row that is not ignored; else
/// ignored(i), and a gradient of 0.
template <class T, class Row, class Ignored>
MLPEAK_INLINE void each_row(const ClassLossRows<T>& r, T scale, const T* grad_output, T* grad,
                            Row row, Ignored ignored) {
  for (int64_t i = 0; i < r.rows; ++i) {
    T* const grad_row = grad ? grad + i * r.classes : nullptr;
    if (r.target && r.target[i] == r.ignore_index) {
      ignored(i);
      if (grad)
        for (int64_t c = 0; c < r.classes; ++c) grad_row[c] = T(0);
      continue;
    }
    const T weight = r.sample_weight ? r.sample_weight[i] : T(1);
    const T upstream = scale * weight * (grad_output ? grad_output[i] : T(1));
    const ClassRow<T> terms = {r.input + i * r.classes,
                               r.probabilities ? r.probabilities + i * r.classes : nullptr,
                               r.target ? r.target[i] : 0, r};
    row(i, terms, weight, upstream, grad_row);
  }
}

template <class T>
void many_classes(const ClassLossRows<T>& rows, T scale, const T* grad_output, T* loss, T* grad) {
  LossTerms<T> terms;
  const auto write = [&](int64_t i) {
    constexpr int64_t kRows = LossTerms<T>::kRows;
    if (loss && (i % kRows == kRows - 1 || i == rows.rows - 1))
      terms.write(i % kRows + 1, loss + i / kRows * kRows);
  };
  each_row(
      rows, scale, grad_output, grad,
      [&](int64_t i, const ClassRow<T>& row, T weight, T upstream, T* grad_row) {
        const int64_t at = i % LossTerms<T>::kRows;
        cross_entropy_row(row, weight, upstream, at, loss ? &terms : nullptr, grad_row);
        write(i);
      },
      [&](int64_t i) {
        terms.set_zero(i % LossTerms<T>::kRows);
        write(i);
      });
}

template <class T>
void cross_entropy(const ClassLossRows<T>& rows, T scale, const T* grad_output, T* loss, T* grad) {
  const bool hard = !rows.probabilities && rows.smoothing == T(0);
  const int64_t classes = hard ? rows.classes : kFewClasses + 1;
  const auto compute = classes > kFewClasses ? many_classes<T>
                       : classes > 10        ? few_classes<16, T>
                       : classes > 8         ? few_classes<10, T>
                       : classes > 4         ? few_classes<8, T>
                       : classes > 2         ? few_classes<4, T>
                                             : few_classes<2, T>;
  compute(rows, scale, grad_output, loss, grad);
}

template <class T>
void nll(const ClassLossRows<T>& rows, T scale, const T* grad_output, T* loss, T* grad) {
  each_row(
      rows, scale, grad_output, grad,
      [&](int64_t i, const ClassRow<T>& row, T weight, T upstream, T* grad_row) {
        const T a = row.target_weight();
        if (loss) loss[i] = a == T(0) ? T(0) : weight * (a * -row.x[row.target]);
        if (!grad) return;
        for (int64_t c = 0; c < rows.classes; ++c) grad_row[c] = T(0);
        grad_row[row.target] = -(upstream * a);
      },
      [&](int64_t i) {
        if (loss) loss[i] = T(0);
      });
}

template <class T>
void fill(LossKernels<T>& k) {
  k.cross_entropy = cross_entropy<T>;
  k.nll = nll<T>;
}

}  // namespace

void register_class_losses(KernelTable& table) {
  fill(table.f32.losses);
  fill(table.f64.losses);
}

}  // namespace MLPEAK_TIER
}  // namespace mlpeak
