#include "engine/elementwise.h"

#include <cstring>

#include "engine/arithmetic.h"
#include "mlpeak/tier.h"
#include "ops/random.h"

namespace mlpeak {
namespace engine {
namespace {

Work elementwise(int64_t batch, int64_t columns, size_t size, double nanoseconds) {
  const double elements = double(batch) * double(columns);
  return {0, elements * 2 * double(size), elements * nanoseconds};
}

/// body(first row, count of elements) for the rows of operands: all at once where they are adjacent
/// in each of them.
template <class Body>
void each_run(int64_t begin, int64_t end, std::initializer_list<Operand> operands, Body body) {
  bool adjacent = true;
  int64_t columns = 0;
  for (const Operand& o : operands) {
    adjacent = adjacent && o.ld == o.columns;
    columns = o.columns;
  }
  if (adjacent) return body(begin, (end - begin) * columns);
  for (int64_t r = begin; r < end; ++r) body(r, columns);
}

}  // namespace

// ---- activations --------------------------------------------------------------------------------

template <class T>
void ActivationInstruction<T>::run(const Frame<T>& frame, int64_t begin, int64_t end) const {
  const auto& k = kernels<T>().elementwise;
  if (backward)
    each_run(begin, end, {x, grad, y}, [&](int64_t r, int64_t n) {
      k.backward[int(activation.id)](row(frame, grad, r), row(frame, x, r), row(frame, y, r), n,
                                     activation.params);
    });
  else
    each_run(begin, end, {x, y}, [&](int64_t r, int64_t n) {
      k.forward[int(activation.id)](row(frame, x, r), row(frame, y, r), n, activation.params);
    });
}

template <class T>
std::string ActivationInstruction<T>::text() const {
  const ActivationInfo& a = info(activation.id);
  return std::string(backward ? a.backward_name : a.name) + " " + std::to_string(y.columns);
}

template <class T>
Work ActivationInstruction<T>::work(int64_t batch) const {
  return elementwise(batch, y.columns, sizeof(T), info(activation.id).nanoseconds);
}

template <class T>
void SoftmaxInstruction<T>::run(const Frame<T>& frame, int64_t begin, int64_t end) const {
  const RowKernels<T>& k = kernels<T>().rows;
  if (backward)
    (logarithm ? k.log_softmax_backward : k.softmax_backward)(
        row(frame, grad, begin), row(frame, x, begin), row(frame, y, begin), end - begin,
        y.columns);
  else
    (logarithm ? k.log_softmax : k.softmax)(row(frame, x, begin), row(frame, y, begin), end - begin,
                                            y.columns);
}

template <class T>
std::string SoftmaxInstruction<T>::text() const {
  return std::string(logarithm ? "log_softmax" : "softmax") + (backward ? "_backward " : " ") +
         std::to_string(y.columns);
}

template <class T>
Work SoftmaxInstruction<T>::work(int64_t batch) const {
  return elementwise(batch, y.columns, sizeof(T), 1.5);
}

// ---- dropout ------------------------------------------------------------------------------------

template <class T>
void DropoutInstruction<T>::run(const Frame<T>& frame, int64_t begin, int64_t end) const {
  RandomKey key = frame.random;
  key.step += uint64_t(draw);
  each_run(begin, end, {x, y}, [&](int64_t r, int64_t n) {
    dropout_range(n, r * x.columns, key, p, row(frame, x, r), row(frame, y, r));
  });
}

template <class T>
std::string DropoutInstruction<T>::text() const {
  return "dropout " + std::to_string(x.columns);
}

template <class T>
Work DropoutInstruction<T>::work(int64_t batch) const {
  return elementwise(batch, x.columns, sizeof(T), 1.0);
}

// ---- arithmetic ---------------------------------------------------------------------------------

namespace {

constexpr const char* kArithmetic[] = {
    "add",         "subtract",   "multiply",      "divide", "maximum",    "minimum",  "negative",
    "absolute",    "sign",       "square",        "sqrt",   "reciprocal", "copy",     "less",
    "less_equal",  "greater",    "greater_equal", "equal",  "not_equal",  "floor",    "ceil",
    "trunc",       "rint",       "remainder",     "isnan",  "isinf",      "isfinite", "signbit",
    "bitwise_and", "bitwise_or", "bitwise_xor",   "invert", "where"};

/// f on the elements x and y, spread over the rows of z.
template <class T, class F>
void spread_out(const Frame<T>& frame, const SpreadOperand& x, const SpreadOperand& y,
                const Operand& z, int64_t begin, int64_t end, F f) {
  struct Reader {
    const T* first;
    int64_t row, column;  // strides
  };
  const auto reader = [&](const SpreadOperand& o) -> Reader {
    switch (o.spread) {
      case Spread::rows:
        return {row(frame, o.operand, begin), o.operand.ld, 1};
      case Spread::row:
        return {frame.values[o.operand.value], 0, 1};
      case Spread::column:
        return {row(frame, o.operand, begin), o.operand.ld, 0};
      default:
        return {frame.values[o.operand.value], 0, 0};
    }
  };
  const Reader a = reader(x), b = reader(y);
  // Rows that follow one another in memory are one row, a single element goes on for ever.
  const auto flat = [&](const Reader& o) { return o.row == o.column * z.columns; };
  const bool one = z.ld == z.columns && flat(a) && flat(b);
  const int64_t n = one ? (end - begin) * z.columns : z.columns;
  for (int64_t r = begin; r < (one ? begin + 1 : end); ++r) {
    const T* p = a.first + (r - begin) * a.row;
    const T* q = b.first + (r - begin) * b.row;
    T* to = row(frame, z, r);
    if (a.column && b.column)
      for (int64_t c = 0; c < n; ++c) to[c] = f(p[c], q[c], T(0));
    else if (a.column)
      for (int64_t c = 0; c < n; ++c) to[c] = f(p[c], *q, T(0));
    else if (b.column)
      for (int64_t c = 0; c < n; ++c) to[c] = f(*p, q[c], T(0));
    else
      for (int64_t c = 0; c < n; ++c) to[c] = f(*p, *q, T(0));
  }
}

}  // namespace

Arithmetic find_arithmetic(const std::string& name) {
  int i = 0;
  for (const char* known : kArithmetic) {
    if (name == known) return Arithmetic(i);
    ++i;
  }
  return Arithmetic(-1);
}

const char* text_of(Arithmetic op) {
  return kArithmetic[int(op)];
}

template <class T>
void ArithmeticInstruction<T>::run(const Frame<T>& frame, int64_t begin, int64_t end) const {
  static_assert(int(Arithmetic::divide) == int(Combination::divide), "the first four are the same");
  const auto whole = [](const SpreadOperand& o) {
    return o.spread == Spread::rows || o.spread == Spread::row;
  };
  if (op <= Arithmetic::divide && whole(x) && whole(y)) {
    const auto combine = kernels<T>().elementwise.combine[int(op)];
    if (x.spread == Spread::rows && y.spread == Spread::rows)
      return each_run(begin, end, {x.operand, y.operand, z}, [&](int64_t r, int64_t n) {
        combine(row(frame, x.operand, r), row(frame, y.operand, r), row(frame, z, r), n);
      });
    const auto from = [&](const SpreadOperand& o, int64_t r) {
      return o.spread == Spread::rows ? row(frame, o.operand, r) : frame.values[o.operand.value];
    };
    for (int64_t r = begin; r < end; ++r)
      combine(from(x, r), from(y, r), row(frame, z, r), z.columns);
    return;
  }
  with_arithmetic<T>(op, [&](auto f) { spread_out(frame, x, y, z, begin, end, f); });
}

template <class T>
std::string ArithmeticInstruction<T>::text() const {
  return std::string(kArithmetic[int(op)]) + " " + std::to_string(z.columns);
}

template <class T>
Work ArithmeticInstruction<T>::work(int64_t batch) const {
  return elementwise(batch, z.columns, sizeof(T), 0.3);
}

template <class T>
void ElementaryInstruction<T>::run(const Frame<T>& frame, int64_t begin, int64_t end) const {
  const auto& k = kernels<T>().elementwise;
  each_run(begin, end, {x, y}, [&](int64_t r, int64_t n) {
    if (power)
      k.pow(row(frame, x, r), row(frame, y, r), n, exponent);
    else
      k.elementary[int(function)](row(frame, x, r), row(frame, y, r), n);
  });
}

template <class T>
std::string ElementaryInstruction<T>::text() const {
  constexpr const char* kNames[kElementaryCount] = {"exp", "log", "log1p", "expm1", "erf"};
  return std::string(power ? "pow" : kNames[int(function)]) + " " + std::to_string(y.columns);
}

template <class T>
Work ElementaryInstruction<T>::work(int64_t batch) const {
  return elementwise(batch, y.columns, sizeof(T), power ? 4.0 : 0.8);
}

#define MLPEAK_INSTANTIATE(T)               \
  template struct ActivationInstruction<T>; \
  template struct SoftmaxInstruction<T>;    \
  template struct DropoutInstruction<T>;    \
  template struct ArithmeticInstruction<T>; \
  template struct ElementaryInstruction<T>;
MLPEAK_INSTANTIATE(float)
MLPEAK_INSTANTIATE(double)
#undef MLPEAK_INSTANTIATE

}  // namespace engine
}  // namespace mlpeak
