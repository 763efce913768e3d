#include "ops/losses.h"

#include <algorithm>
#include <vector>

#include "mlpeak/tier.h"
#include "runtime/threads.h"

namespace mlpeak {
namespace {

constexpr int64_t kChunkElements = 1024;
constexpr int64_t kChunkRows = 64;
constexpr int64_t kCheckElements = 16384;

// Cost of an element on one core in ns (float, AVX2), to decide whether threads pay.
constexpr double kPlainCost = 0.3;
constexpr double kLogCost = 2;
constexpr double kClassElementCost = 2;
constexpr double kClassRowCost = 60;
constexpr double kCheckCost = 0.1;

int64_t divide_up(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}

/// sum(c) over chunks c, computed in parallel and added in order.
template <class Sum>
double ordered_sum(int64_t chunks, double nanoseconds, Sum sum) {
  double total = 0;
  if (nanoseconds < kSerialNanoseconds || num_threads() <= 1) {  // no memory for parts
    for (int64_t c = 0; c < chunks; ++c) total += sum(c);
    return total;
  }
  std::vector<double> partial(size_t(chunks), 0.0);
  parallel_for(chunks, 1, nanoseconds, [&](int64_t begin, int64_t end) {
    for (int64_t c = begin; c < end; ++c) partial[size_t(c)] = sum(c);
  });
  for (double p : partial) total += p;
  return total;
}

/// Sum of the sample weights, in order.
template <class T>
double weight_sum(const T* weight, int64_t n) {
  if (!weight) return double(n);
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += double(weight[i]);
  return sum;
}

// ---- element-wise -------------------------------------------------------------------------------

template <class T>
const ElementwiseLoss<T>& kernel_of(const ElementwiseLossArgs<T>& args) {
  const LossKernels<T>& k = kernels<T>().losses;
  switch (args.kind) {
    case LossKind::mse:
      return k.mse;
    case LossKind::l1:
      return k.l1;
    case LossKind::smooth_l1:
      return k.smooth_l1;
    case LossKind::huber:
      return k.huber;
    case LossKind::binary_cross_entropy:
      return k.bce;
    case LossKind::binary_cross_entropy_with_logits:
      return k.bce_with_logits;
    case LossKind::gaussian_nll:
      return k.gaussian_nll;
    case LossKind::poisson_nll:
      break;
  }
  return args.options.log_input ? k.poisson_nll_log_input : k.poisson_nll;
}

template <class T>
LossParams<T> params_of(const ElementwiseLossArgs<T>& args) {
  constexpr double kHalfLog2Pi = 0.91893853320467274178;
  const LossOptions& o = args.options;
  return {T(o.threshold), T(o.eps), T(o.full ? kHalfLog2Pi : 0), o.full};
}

/// The elements as rows in which `extra` and the sample weight are either arrays beside the input
/// or one number, so that each row is a LossSpan. Long rows are cut into chunks, short rows share
/// one; without such arrays there is one row.
template <class T>
class Spans {
 public:
  explicit Spans(const ElementwiseLossArgs<T>& args) : args_(args) {
    size_ = args.batch * args.row_size;
    weight_is_array_ = args.sample_weight && args.row_size == 1;
    extra_is_column_ = args.extra_size > 1 && args.extra_size < size_;
    columns_ = size_;
    if (args.sample_weight && !weight_is_array_) columns_ = args.row_size;
    if (extra_is_column_) columns_ = args.extra_size;
    rows_ = size_ / columns_;
    chunks_a_row_ = divide_up(columns_, kChunkElements);
    rows_a_chunk_ = std::max<int64_t>(1, kChunkElements / columns_);
  }

  int64_t chunks() const {
    return chunks_a_row_ > 1 ? rows_ * chunks_a_row_ : divide_up(rows_, rows_a_chunk_);
  }

  double nanoseconds() const {
    const bool plain = args_.kind == LossKind::mse || args_.kind == LossKind::l1 ||
                       args_.kind == LossKind::smooth_l1 || args_.kind == LossKind::huber;
    return double(size_) * (plain ? kPlainCost : kLogCost);
  }

  /// body(span, offset of its first element) for each span of a chunk, in order.
  template <class Body>
  void each(int64_t chunk, Body body) const {
    if (chunks_a_row_ > 1) {
      const int64_t begin = chunk % chunks_a_row_ * kChunkElements;
      const int64_t row = chunk / chunks_a_row_;
      const int64_t n = std::min(kChunkElements, columns_ - begin);
      body(span(row, begin, n), row * columns_ + begin);
      return;
    }
    const int64_t last = std::min(rows_, (chunk + 1) * rows_a_chunk_);
    for (int64_t row = chunk * rows_a_chunk_; row < last; ++row)
      body(span(row, 0, columns_), row * columns_);
  }

 private:
  LossSpan<T> span(int64_t row, int64_t begin, int64_t n) const {
    const int64_t offset = row * columns_ + begin;
    LossSpan<T> s{args_.input + offset, args_.target + offset, nullptr, T(1), nullptr, T(1), n};
    if (args_.extra_size == 1)
      s.extra_value = args_.extra[0];
    else if (args_.extra_size > 1)
      s.extra = args_.extra + (extra_is_column_ ? begin : offset);
    if (weight_is_array_)
      s.weight = args_.sample_weight + offset;
    else if (args_.sample_weight)
      s.weight_value = args_.sample_weight[offset / args_.row_size];
    return s;
  }

  const ElementwiseLossArgs<T>& args_;
  int64_t size_, rows_, columns_, chunks_a_row_, rows_a_chunk_;
  bool weight_is_array_, extra_is_column_;
};

}  // namespace

template <class T>
double elementwise_divisor(const ElementwiseLossArgs<T>& args, Reduction reduction) {
  if (reduction != Reduction::mean) return 1;
  return weight_sum(args.sample_weight, args.batch) * double(args.row_size);
}

template <class T>
void elementwise_loss(const ElementwiseLossArgs<T>& args, Reduction reduction, T* out) {
  const Spans<T> spans(args);
  const ElementwiseLoss<T>& kernel = kernel_of(args);
  const LossParams<T> params = params_of(args);
  if (reduction == Reduction::none) {
    parallel_for(spans.chunks(), 1, spans.nanoseconds(), [&](int64_t begin, int64_t end) {
      for (int64_t c = begin; c < end; ++c)
        spans.each(c, [&](const LossSpan<T>& s, int64_t offset) {
          kernel.values(s, params, out + offset);
        });
    });
    return;
  }
  const double total = ordered_sum(spans.chunks(), spans.nanoseconds(), [&](int64_t c) {
    double sum = 0;
    spans.each(c, [&](const LossSpan<T>& s, int64_t) { sum += double(kernel.sum(s, params)); });
    return sum;
  });
  *out = T(total / elementwise_divisor(args, reduction));
}

template <class T>
void elementwise_loss_gradient(const ElementwiseLossArgs<T>& args, T scale, const T* grad_output,
                               T* grad, T* grad_extra) {
  const Spans<T> spans(args);
  const ElementwiseLoss<T>& kernel = kernel_of(args);
  const LossParams<T> params = params_of(args);
  parallel_for(spans.chunks(), 1, spans.nanoseconds(), [&](int64_t begin, int64_t end) {
    for (int64_t c = begin; c < end; ++c)
      spans.each(c, [&](const LossSpan<T>& s, int64_t offset) {
        kernel.backward(s, params, scale, grad_output ? grad_output + offset : nullptr,
                        grad + offset, grad_extra ? grad_extra + offset : nullptr);
      });
  });
}

template <class T>
void elementwise_loss_backward(const ElementwiseLossArgs<T>& args, Reduction reduction,
                               const T* grad_output, T* grad, T* grad_extra) {
  if (reduction == Reduction::none)
    return elementwise_loss_gradient(args, T(1), grad_output, grad, grad_extra);
  const T scale = T(double(*grad_output) / elementwise_divisor(args, reduction));
  elementwise_loss_gradient<T>(args, scale, nullptr, grad, grad_extra);
}

// ---- over classes -------------------------------------------------------------------------------

namespace {

template <class T>
ClassLoss<T> kernel_of(ClassLossKind kind) {
  const LossKernels<T>& k = kernels<T>().losses;
  return kind == ClassLossKind::nll ? k.nll : k.cross_entropy;
}

}  // namespace

template <class T>
ClassLossRows<T> with_class_weight_sum(ClassLossRows<T> rows) {
  rows.class_weight_sum = T(weight_sum(rows.class_weight, rows.classes));
  return rows;
}

namespace {

/// Rows begin .. end - 1.
template <class T>
ClassLossRows<T> slice(ClassLossRows<T> r, int64_t begin, int64_t end) {
  r.input += begin * r.classes;
  if (r.target) r.target += begin;
  if (r.probabilities) r.probabilities += begin * r.classes;
  if (r.sample_weight) r.sample_weight += begin;
  r.rows = end - begin;
  return r;
}

/// The total of a chunk's losses, in order.
template <class T>
double chunk_sum(const T* losses, int64_t rows) {
  double sum = 0;
  for (int64_t i = 0; i < rows; ++i) sum += double(losses[i]);
  return sum;
}

template <class T>
double class_nanoseconds(const ClassLossRows<T>& r) {
  return double(r.rows) * (kClassRowCost + kClassElementCost * double(r.classes));
}

}  // namespace

template <class T>
double class_loss_divisor(const ClassLossRows<T>& r) {
  if (r.probabilities) return weight_sum(r.sample_weight, r.rows);
  double sum = 0;
  for (int64_t i = 0; i < r.rows; ++i) {
    if (r.target[i] == r.ignore_index) continue;
    const double sample = r.sample_weight ? double(r.sample_weight[i]) : 1;
    sum += r.class_weight ? sample * double(r.class_weight[r.target[i]]) : sample;
  }
  return sum;
}

template <class T>
void class_loss_with_gradient(ClassLossKind kind, const ClassLossRows<T>& args, Reduction reduction,
                              T* out, T* grad) {
  const ClassLoss<T> kernel = kernel_of<T>(kind);
  const ClassLossRows<T> rows = with_class_weight_sum(args);
  const double nanoseconds = class_nanoseconds(rows);
  const auto gradient_at = [=](int64_t row) { return grad ? grad + row * rows.classes : nullptr; };
  if (reduction == Reduction::none) {
    parallel_for(rows.rows, 1, nanoseconds, [&](int64_t begin, int64_t end) {
      kernel(slice(rows, begin, end), T(1), nullptr, out + begin, gradient_at(begin));
    });
    return;
  }
  const double divisor = reduction == Reduction::mean ? class_loss_divisor(rows) : 1;
  const int64_t chunks = divide_up(rows.rows, kChunkRows);
  const double total = ordered_sum(chunks, nanoseconds, [&](int64_t c) {
    T loss[kChunkRows];
    const int64_t begin = c * kChunkRows;
    const int64_t end = std::min(rows.rows, begin + kChunkRows);
    kernel(slice(rows, begin, end), T(1 / divisor), nullptr, loss, gradient_at(begin));
    return chunk_sum(loss, end - begin);
  });
  *out = T(total / divisor);
}

template <class T>
double class_loss_sum(const T* losses, int64_t rows) {
  return ordered_sum(divide_up(rows, kChunkRows), 0, [&](int64_t c) {
    return chunk_sum(losses + c * kChunkRows, std::min(kChunkRows, rows - c * kChunkRows));
  });
}

template <class T>
void class_loss(ClassLossKind kind, const ClassLossRows<T>& rows, Reduction reduction, T* out) {
  class_loss_with_gradient<T>(kind, rows, reduction, out, nullptr);
}

template <class T>
void class_loss_backward(ClassLossKind kind, const ClassLossRows<T>& args, Reduction reduction,
                         const T* grad_output, T* grad) {
  const ClassLoss<T> kernel = kernel_of<T>(kind);
  const ClassLossRows<T> rows = with_class_weight_sum(args);
  const bool each = reduction == Reduction::none;
  const double divisor = reduction == Reduction::mean ? class_loss_divisor(rows) : 1;
  const T scale = each ? T(1) : T(double(*grad_output) / divisor);
  parallel_for(rows.rows, 1, class_nanoseconds(rows), [&](int64_t begin, int64_t end) {
    kernel(slice(rows, begin, end), scale, each ? grad_output + begin : nullptr, nullptr,
           grad + begin * rows.classes);
  });
}

// ---- range check --------------------------------------------------------------------------------

template <class T>
int64_t find_outside(const T* x, int64_t n, T low, T high, bool nan_legal) {
  const int64_t chunks = divide_up(n, kCheckElements);
  std::vector<int64_t> first(size_t(chunks), -1);
  parallel_for(chunks, 1, kCheckCost * double(n), [&](int64_t begin, int64_t end) {
    for (int64_t c = begin; c < end; ++c) {
      const int64_t offset = c * kCheckElements;
      const int64_t i = kernels<T>().losses.find_outside(
          x + offset, std::min(kCheckElements, n - offset), low, high, nan_legal);
      if (i < 0) continue;
      first[size_t(c)] = offset + i;
      return;
    }
  });
  for (int64_t i : first)
    if (i >= 0) return i;
  return -1;
}

#define MLPEAK_LOSSES(T)                                                                          \
  template void elementwise_loss(const ElementwiseLossArgs<T>&, Reduction, T*);                   \
  template void elementwise_loss_backward(const ElementwiseLossArgs<T>&, Reduction, const T*, T*, \
                                          T*);                                                    \
  template void class_loss_with_gradient(ClassLossKind, const ClassLossRows<T>&, Reduction, T*,   \
                                         T*);                                                     \
  template void class_loss(ClassLossKind, const ClassLossRows<T>&, Reduction, T*);                \
  template void class_loss_backward(ClassLossKind, const ClassLossRows<T>&, Reduction, const T*,  \
                                    T*);                                                          \
  template double class_loss_divisor(const ClassLossRows<T>&);                                    \
  template double class_loss_sum(const T*, int64_t);                                              \
  template double elementwise_divisor(const ElementwiseLossArgs<T>&, Reduction);                  \
  template void elementwise_loss_gradient(const ElementwiseLossArgs<T>&, T, const T*, T*, T*);    \
  template ClassLossRows<T> with_class_weight_sum(ClassLossRows<T>);                              \
  template int64_t find_outside(const T*, int64_t, T, T, bool);

MLPEAK_LOSSES(float)
MLPEAK_LOSSES(double)

#undef MLPEAK_LOSSES

}  // namespace mlpeak
