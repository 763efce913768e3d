#include "engine/linear.h"

#include <algorithm>

#include "mlpeak/tier.h"
#include "ops/reduce.h"

namespace mlpeak {
namespace engine {
namespace {

// A multiply-add of fp32 on AVX2 or AVX-512, to weigh the parts of a step against each other.
constexpr double kMultiplyAdd = 1.0 / 50;  // ns
constexpr double kByte = 1.0 / 20;         // ns, in cache
constexpr double kUpdated = 0.4;           // ns an element of Adam

template <class T>
Work product(double m, double n, double k) {
  const double flops = 2 * m * n * k;
  return {flops, (m * k + n * k + m * n) * sizeof(T), flops / 2 * kMultiplyAdd * sizeof(T) / 4};
}

std::string shape(int64_t out, int64_t in, Precision precision) {
  const char* suffix = precision == Precision::bf16 ? " bf16" : "";
  return std::to_string(in) + " -> " + std::to_string(out) + suffix;
}

}  // namespace

// ---- weight -------------------------------------------------------------------------------------

template <class T>
Weight<T>::Weight(int value, int64_t out, int64_t in, bool forward, bool backward,
                  Precision precision)
    : value(value), out(out), in(in), precision(precision) {
  const auto& gemm = kernels<T>().products(precision);
  if (forward && !has_few_outputs(out, in, precision))
    forward_ = AlignedMemory(size_t(gemm.packed_size(out, in)) * sizeof(T));
  if (backward) backward_ = AlignedMemory(size_t(gemm.packed_size(in, out)) * sizeof(T));
}

template <class T>
void Weight<T>::set_updated() {
  if (kernels<T>().gradients(precision).renews_copies) return;
  forward_ = AlignedMemory();
  backward_ = AlignedMemory();
}

template <class T>
void Weight<T>::pack_forward(const T* weight) {
  if (forward()) kernels<T>().products(precision).pack(out, in, {weight, 1, in}, forward());
}

template <class T>
void Weight<T>::pack_backward(const T* weight) {
  if (backward()) kernels<T>().products(precision).pack(in, out, {weight, in, 1}, backward());
}

template <class T>
void Weight<T>::pack(const T* weight) {
  pack_forward(weight);
  pack_backward(weight);
}

// ---- forward ------------------------------------------------------------------------------------

template <class T>
void Linear<T>::run(const Frame<T>& frame, int64_t begin, int64_t end) const {
  run_part(frame, begin, end, 0, weight->out);
}

template <class T>
bool Linear<T>::by_columns(int64_t batch, int threads) const {
  return weight->by_columns(batch, threads);
}

template <class T>
void Linear<T>::run_columns(const Frame<T>& frame, int64_t begin, int64_t end, int thread) const {
  run_part(frame, begin, end, first_column(weight->out, thread, frame.threads),
           first_column(weight->out, thread + 1, frame.threads));
}

template <class T>
void Linear<T>::run_part(const Frame<T>& frame, int64_t begin, int64_t end, int64_t first,
                         int64_t last) const {
  Epilogue<T> epilogue;
  epilogue.bias = bias < 0 ? nullptr : frame.values[bias] + first;
  epilogue.pre = pre.value < 0 ? nullptr : row(frame, pre, begin) + first;
  epilogue.activation = activation.id;
  epilogue.params = activation.params;
  const GemmKernels<T>& gemm = kernels<T>().products(weight->precision);
  const int64_t m = end - begin, n = last - first, k = weight->in;
  const MatrixView<T> a = {row(frame, x, begin), x.ld, 1};
  T* const c = row(frame, y, begin) + first;
  if (has_few_outputs(weight->out, k, weight->precision))
    gemm.multiply_few(m, n, k, a.data, a.row, frame.values[weight->value] + first * k, c, y.ld,
                      epilogue);
  else if (weight->forward())
    gemm.multiply_packed(m, n, k, a, {weight->forward(), weight->out, first}, c, y.ld, epilogue,
                         frame.scratch);
  else
    gemm.multiply(m, n, k, a, {frame.values[weight->value] + first * k, 1, k}, c, y.ld, epilogue,
                  frame.scratch);
}

template <class T>
std::string Linear<T>::text() const {
  std::string s = "linear " + shape(weight->out, weight->in, weight->precision);
  if (bias >= 0) s += " + bias";
  if (activation.id != Activation::identity) s += std::string(" + ") + info(activation.id).name;
  return s;
}

template <class T>
Work Linear<T>::work(int64_t batch) const {
  Work w = product<T>(double(batch), double(weight->out), double(weight->in));
  w.nanoseconds += info(activation.id).nanoseconds * double(batch) * double(weight->out);
  return w;
}

template <class T>
int64_t Linear<T>::scratch(int64_t rows, int64_t) const {
  return kernels<T>().products(weight->precision).workspace_size(rows, y.columns, x.columns);
}

// ---- gradient of x ------------------------------------------------------------------------------

template <class T>
void LinearBackwardInput<T>::run(const Frame<T>& frame, int64_t begin, int64_t end) const {
  run_part(frame, begin, end, 0, weight->in);
}

template <class T>
bool LinearBackwardInput<T>::by_columns(int64_t batch, int threads) const {
  return weight->by_columns(batch, threads) && has_columns(weight->in, threads);
}

template <class T>
void LinearBackwardInput<T>::run_columns(const Frame<T>& frame, int64_t begin, int64_t end,
                                         int thread) const {
  run_part(frame, begin, end, first_column(weight->in, thread, frame.threads),
           first_column(weight->in, thread + 1, frame.threads));
}

template <class T>
void LinearBackwardInput<T>::run_part(const Frame<T>& frame, int64_t begin, int64_t end,
                                      int64_t first, int64_t last) const {
  Epilogue<T> epilogue;
  if (saved.value >= 0) {
    epilogue.activation = activation.id;
    epilogue.params = activation.params;
    epilogue.saved = row(frame, saved, begin) + first;
    epilogue.saved_ld = saved.ld;
  }
  const GemmKernels<T>& gemm = kernels<T>().products(weight->precision);
  const int64_t m = end - begin, n = last - first, k = weight->out;
  const MatrixView<T> a = {row(frame, grad, begin), grad.ld, 1};
  T* const c = row(frame, grad_x, begin) + first;
  if (weight->backward())
    gemm.multiply_packed(m, n, k, a, {weight->backward(), weight->in, first}, c, grad_x.ld,
                         epilogue, frame.scratch);
  else
    gemm.multiply(m, n, k, a, {frame.values[weight->value] + first, weight->in, 1}, c, grad_x.ld,
                  epilogue, frame.scratch);
}

template <class T>
std::string LinearBackwardInput<T>::text() const {
  std::string s = "linear_backward_input " + shape(weight->in, weight->out, weight->precision);
  if (saved.value >= 0) s += std::string(" + ") + info(activation.id).backward_name;
  return s;
}

template <class T>
Work LinearBackwardInput<T>::work(int64_t batch) const {
  Work w = product<T>(double(batch), double(weight->in), double(weight->out));
  w.nanoseconds += 0.2 * double(batch) * double(weight->in);
  return w;
}

template <class T>
int64_t LinearBackwardInput<T>::scratch(int64_t rows, int64_t) const {
  return kernels<T>()
      .products(weight->precision)
      .workspace_size(rows, grad_x.columns, grad.columns);
}

// ---- gradient of W ------------------------------------------------------------------------------

namespace {

/// W in parts, the units that threads share.
template <class T>
class Parts {
 public:
  Parts(const Weight<T>& weight, int64_t batch, int threads)
      : weight_(weight), owners_(weight.by_columns(batch, threads) ? threads : 1) {
    const int64_t out = weight.out, in = weight.in, tile = kernels<T>().gemm.tile_columns;
    const auto parts = [](int64_t n, int64_t size) { return (n + size - 1) / size; };
    const bool large = kernels<T>().gradients(weight.precision).by_row_blocks;
    constexpr int64_t kMostRows = 1024, kMostColumns = 1024;  // of a large part
    int64_t down = 1;
    if (large) {  // no more than the threads need
      across_ = parts(in, kMostColumns);
      const int64_t wanted = threads > 1 ? parts(2 * threads, across_) : 1;
      down = std::max(parts(out, kMostRows), std::min(parts(out, 3 * tile), wanted));
    } else if (owners_ > 1) {  // few: the others take one only from a thread that is late
      constexpr int64_t kMost = 4;
      across_ = std::min(parts(in, tile), kMost);
    } else {  // narrow, a few dozen in a large layer, at least two in a small one
      constexpr int64_t kMost = 32;
      across_ = threads > 1 ? std::min(parts(in, tile), kMost) : 1;
      down = threads > 1 && across_ < 8 ? std::min(parts(out, tile), int64_t(2)) : 1;
    }
    columns_ = parts(in, tile * across_) * tile;
    rows_ = parts(out, tile * down) * tile;
    across_ = parts(in, columns_);
    down_ = owners_ > 1 ? owners_ : parts(out, rows_);
  }

  int64_t count() const { return down_ * across_; }
  bool has_owners() const { return owners_ > 1; }

  struct Part {
    int64_t o0, o1, j0, j1;  // rows and columns
  };
  Part part(int64_t unit) const {
    const auto columns = [&](int64_t j) { return std::min(weight_.in, j * columns_); };
    if (has_owners()) {
      const int thread = int(unit / across_);
      const int64_t j = unit % across_;
      return {first_column(weight_.out, thread, owners_),
              first_column(weight_.out, thread + 1, owners_), columns(j), columns(j + 1)};
    }
    const int64_t o = unit % down_ * rows_, j = unit / down_;
    return {o, std::min(weight_.out, o + rows_), columns(j), columns(j + 1)};
  }

 private:
  const Weight<T>& weight_;
  int owners_;              // threads that each have rows of their own, or 1
  int64_t rows_, columns_;  // of a part
  int64_t down_, across_;   // how many
};

template <class T>
T* pointer(const Frame<T>& frame, int value) {
  return value < 0 ? nullptr : frame.values[value];
}

}  // namespace

template <class T>
int64_t LinearBackwardWeight<T>::units(int64_t batch, int threads) const {
  return Parts<T>(*weight, batch, threads).count();
}

template <class T>
bool LinearBackwardWeight<T>::has_owners(int64_t batch, int threads) const {
  return Parts<T>(*weight, batch, threads).has_owners();
}

template <class T>
void LinearBackwardWeight<T>::run(const Frame<T>& frame, int64_t unit) const {
  const auto part = Parts<T>(*weight, frame.batch, frame.threads).part(unit);
  WeightGradient<T> w = {};
  w.batch = frame.batch;
  w.out = weight->out;
  w.in = weight->in;
  w.grad = row(frame, grad, 0);
  w.grad_ld = grad.ld;
  w.x = row(frame, x, 0);
  w.x_ld = x.ld;
  if (destination.group < 0) {
    w.gradient = frame.values[destination.gradient];
  } else {
    w.update = &frame.updates[destination.group];
    w.weight = frame.values[destination.parameter];
    for (int i = 0; i < 3; ++i) w.states[i] = pointer(frame, destination.states[i]);
    w.forward = weight->forward();
    w.backward = weight->backward();
  }
  kernels<T>()
      .gradients(weight->precision)
      .gradient(w, part.o0, part.o1, part.j0, part.j1, frame.scratch);
}

template <class T>
std::string LinearBackwardWeight<T>::text() const {
  return "linear_backward_weight " + shape(weight->out, weight->in, weight->precision) +
         (destination.group < 0 ? "" : " + update");
}

template <class T>
Work LinearBackwardWeight<T>::work(int64_t batch) const {
  Work w = product<T>(double(weight->out), double(weight->in), double(batch));
  if (destination.group >= 0) w.nanoseconds += kUpdated * double(weight->out) * double(weight->in);
  return w;
}

template <class T>
int64_t LinearBackwardWeight<T>::scratch(int64_t, int64_t batch) const {
  return kernels<T>().gradients(weight->precision).workspace_size(batch, weight->out);
}

// ---- gradient of b ------------------------------------------------------------------------------

template <class T>
int64_t LinearBackwardBias<T>::units(int64_t, int) const {
  return 1;
}

template <class T>
void LinearBackwardBias<T>::run(const Frame<T>& frame, int64_t) const {
  T* const sums = destination.group < 0 ? frame.values[destination.gradient] : frame.scratch;
  column_sums(row(frame, grad, 0), frame.batch, grad.columns, grad.ld, sums,
              frame.scratch + grad.columns);
  if (destination.group < 0) return;
  T* states[3];
  for (int i = 0; i < 3; ++i) states[i] = pointer(frame, destination.states[i]);
  kernels<T>().optimizers.update(frame.updates[destination.group], 1, grad.columns, grad.columns,
                                 frame.values[destination.parameter], sums, grad.columns, states);
}

template <class T>
std::string LinearBackwardBias<T>::text() const {
  return "linear_backward_bias " + std::to_string(grad.columns) +
         (destination.group < 0 ? "" : " + update");
}

template <class T>
Work LinearBackwardBias<T>::work(int64_t batch) const {
  const double bytes = double(batch) * double(grad.columns) * sizeof(T);
  return {0, bytes, bytes * kByte + kUpdated * double(grad.columns)};
}

template <class T>
int64_t LinearBackwardBias<T>::scratch(int64_t, int64_t) const {
  return 2 * grad.columns;
}

#define MLPEAK_INSTANTIATE(T)              \
  template class Weight<T>;                \
  template struct Linear<T>;               \
  template struct LinearBackwardInput<T>;  \
  template struct LinearBackwardWeight<T>; \
  template struct LinearBackwardBias<T>;
MLPEAK_INSTANTIATE(float)
MLPEAK_INSTANTIATE(double)
#undef MLPEAK_INSTANTIATE

}  // namespace engine
}  // namespace mlpeak
