// The arguments that all losses have, checked: reduction, weights, numbers in a range, grad_output.
#pragma once

#include <cfloat>
#include <limits>
#include <optional>

#include "bindings/args.h"
#include "ops/losses.h"

namespace mlpeak {
namespace bindings {

/// "none", "mean" or "sum".
Reduction read_reduction(const char* function, py::handle object);

/// What the numbers of an array must be.
struct Legal {
  double low, high;
  bool nan;
  const char* text;
};
constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr Legal kAnyNumber{-kInfinity, kInfinity, false, "(no NaN)"};
constexpr Legal kProbability{0, 1, false, "in [0, 1]"};
constexpr Legal kVariance{0, kInfinity, true, ">= 0"};  // a NaN is the model's, not a wrong call
constexpr Legal kWeight{0, DBL_MAX, false, ">= 0 and finite"};

/// Every element is legal, or ValueError with the first offender.
void expect_numbers(const In& in, const Legal& legal);
void expect_not_empty(const In& input);

/// An optional vector of finite weights >= 0.
std::optional<In> read_weight(Arg arg, py::handle object, const In& like, int64_t count,
                              const char* layout);

/// The gradient with respect to the loss, whose shape is `unreduced` for Reduction::none.
In read_grad_output(const char* function, py::handle object, const In& input, Reduction reduction,
                    const Shape& unreduced);

template <class T>
const T* data_or_null(const std::optional<In>& in) {
  return in ? in->data<T>() : nullptr;
}

}  // namespace bindings
}  // namespace mlpeak
