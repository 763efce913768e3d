#include "engine/losses.h"

#include <cstring>

#include "mlpeak/tier.h"

namespace mlpeak {
namespace engine {

// ---- means --------------------------------------------------------------------------------------

template <class T>
double Mean::total(const Frame<T>& frame) const {
  if (reduction != Reduction::mean) return 1;
  if (divisor < 0) return double(frame.batch) * double(row_size);
  double number;
  std::memcpy(&number, frame.values[divisor], sizeof(number));
  return number;
}

template <class T>
T Mean::scale(const Frame<T>& frame) const {
  if (reduction == Reduction::none) return T(1);
  const double above = upstream < 0 ? 1.0 : double(frame.values[upstream][0]);
  return T(above / total(frame));
}

namespace {

/// Row r, or null where there is no such operand.
template <class T>
T* row_or_null(const Frame<T>& frame, const Operand& o, int64_t r) {
  return o.value < 0 ? nullptr : row(frame, o, r);
}

}  // namespace

// ---- over classes -------------------------------------------------------------------------------

template <class T>
ClassLossRows<T> ClassLossInstruction<T>::rows(const Frame<T>& frame, int64_t begin,
                                               int64_t end) const {
  ClassLossRows<T> r = {};
  r.input = row(frame, input, begin);
  r.target = target < 0 ? nullptr : frame.integers[target] + begin;
  r.probabilities = row_or_null(frame, probabilities, begin);
  r.class_weight = class_weight < 0 ? nullptr : frame.values[class_weight];
  r.sample_weight = row_or_null(frame, sample_weight, begin);
  r.rows = end - begin;
  r.classes = input.columns;
  r.ignore_index = ignore_index;
  r.confidence = T(1 - label_smoothing);
  r.smoothing = T(label_smoothing / double(input.columns));
  return r;
}

template <class T>
void ClassLossInstruction<T>::run(const Frame<T>& frame, int64_t begin, int64_t end) const {
  const LossKernels<T>& k = kernels<T>().losses;
  const auto kernel = kind == ClassLossKind::nll ? k.nll : k.cross_entropy;
  kernel(with_class_weight_sum(rows(frame, begin, end)), mean.scale(frame),
         row_or_null(frame, grad_output, begin), row_or_null(frame, loss, begin),
         row_or_null(frame, grad, begin));
}

template <class T>
std::string ClassLossInstruction<T>::text() const {
  std::string s = kind == ClassLossKind::nll ? "nll_loss " : "cross_entropy ";
  s += std::to_string(input.columns);
  return s + (grad.value < 0 ? "" : loss.value < 0 ? " backward" : " + backward");
}

template <class T>
Work ClassLossInstruction<T>::work(int64_t batch) const {
  const double elements = double(batch) * double(input.columns);
  return {0, elements * 2 * sizeof(T), double(batch) * 20 + elements * 1.5};
}

template <class T>
void ClassLossTotal<T>::run(const Frame<T>& frame, int64_t) const {
  frame.values[out][0] = T(class_loss_sum<T>(row(frame, loss, 0), frame.batch) / mean.total(frame));
}

template <class T>
std::string ClassLossTotal<T>::text() const {
  return mean.reduction == Reduction::mean ? "mean of losses" : "sum of losses";
}

template <class T>
Work ClassLossTotal<T>::work(int64_t batch) const {
  return {0, double(batch) * sizeof(T), double(batch)};
}

// ---- element-wise -------------------------------------------------------------------------------

template <class T>
ElementwiseLossArgs<T> LossOperands<T>::args(const Frame<T>& frame, int64_t begin,
                                             int64_t end) const {
  ElementwiseLossArgs<T> a = {};
  a.kind = kind;
  a.options = options;
  a.input = row(frame, input, begin);
  a.target = row(frame, target, begin);
  a.batch = end - begin;
  a.row_size = input.columns;
  if (extra.value >= 0) {
    a.extra = row(frame, extra, begin);
    a.extra_size = a.batch * a.row_size;
  } else if (extra_array >= 0) {
    a.extra = frame.values[extra_array];
    a.extra_size = extra_size;
  }
  a.sample_weight = row_or_null(frame, sample_weight, begin);
  return a;
}

template <class T>
double LossOperands<T>::nanoseconds(int64_t batch) const {
  return 1.0 * double(batch) * double(input.columns);
}

template <class T>
void ElementwiseLossInstruction<T>::run(const Frame<T>& frame, int64_t begin, int64_t end) const {
  const ElementwiseLossArgs<T> args = operands.args(frame, begin, end);
  if (values.value >= 0)
    elementwise_loss(args, Reduction::none, row(frame, values, begin));
  else
    elementwise_loss_gradient(args, mean.scale(frame),
                              static_cast<const T*>(row_or_null(frame, grad_output, begin)),
                              row(frame, grad, begin), row_or_null(frame, grad_extra, begin));
}

namespace {

const char* name(LossKind kind) {
  constexpr const char* kNames[] = {"mse_loss",
                                    "l1_loss",
                                    "smooth_l1_loss",
                                    "huber_loss",
                                    "binary_cross_entropy",
                                    "binary_cross_entropy_with_logits",
                                    "gaussian_nll_loss",
                                    "poisson_nll_loss"};
  return kNames[int(kind)];
}

}  // namespace

template <class T>
std::string ElementwiseLossInstruction<T>::text() const {
  return std::string(name(operands.kind)) + (values.value >= 0 ? "" : " backward");
}

template <class T>
Work ElementwiseLossInstruction<T>::work(int64_t batch) const {
  return {0, double(batch) * double(operands.input.columns) * 3 * sizeof(T),
          operands.nanoseconds(batch)};
}

template <class T>
void ElementwiseLossTotal<T>::run(const Frame<T>& frame, int64_t) const {
  const ElementwiseLossArgs<T> args = operands.args(frame, 0, frame.batch);
  // The mean's own divisor is the eager one's: the same sum of weights in the same order.
  elementwise_loss(args, mean.reduction, frame.values[out]);
}

template <class T>
std::string ElementwiseLossTotal<T>::text() const {
  return std::string(name(operands.kind)) + " total";
}

template <class T>
Work ElementwiseLossTotal<T>::work(int64_t batch) const {
  return {0, double(batch) * double(operands.input.columns) * 2 * sizeof(T),
          operands.nanoseconds(batch)};
}

template <class T>
void LossDivisor<T>::run(const Frame<T>& frame, int64_t) const {
  const double number =
      classes ? class_loss_divisor(classes->rows(frame, 0, frame.batch))
              : elementwise_divisor(operands.args(frame, 0, frame.batch), Reduction::mean);
  std::memcpy(frame.values[out], &number, sizeof(number));
}

#define MLPEAK_INSTANTIATE(T)                         \
  template double Mean::total(const Frame<T>&) const; \
  template T Mean::scale(const Frame<T>&) const;      \
  template struct ClassLossInstruction<T>;            \
  template struct ClassLossTotal<T>;                  \
  template struct LossOperands<T>;                    \
  template struct ElementwiseLossInstruction<T>;      \
  template struct ElementwiseLossTotal<T>;            \
  template struct LossDivisor<T>;
MLPEAK_INSTANTIATE(float)
MLPEAK_INSTANTIATE(double)
#undef MLPEAK_INSTANTIATE

}  // namespace engine
}  // namespace mlpeak
