#include "bindings/loss_args.h"

#include <string>

namespace mlpeak {
namespace bindings {
namespace {

template <class T>
void expect_numbers_of(const In& in, const Legal& legal) {
  const T largest = std::numeric_limits<T>::max();
  const T high = legal.high == DBL_MAX ? largest : T(legal.high);
  const T* data = in.data<T>();
  int64_t i;
  {
    py::gil_scoped_release release;
    i = find_outside(data, in.shape.size(), T(legal.low), high, legal.nan);
  }
  if (i >= 0)
    value_error(in.arg, "holds " + py::repr(py::float_(double(data[i]))).cast<std::string>() +
                            " at position " + std::to_string(i) + "; expected numbers " +
                            legal.text);
}

}  // namespace

Reduction read_reduction(const char* function, py::handle object) {
  const Arg arg{function, "reduction"};
  if (!py::isinstance<py::str>(object))
    type_error(arg, "is " + type_name(object) + "; expected a str");
  const std::string name = object.cast<std::string>();
  if (name == "none") return Reduction::none;
  if (name == "mean") return Reduction::mean;
  if (name == "sum") return Reduction::sum;
  value_error(arg,
              "is " + py::repr(object).cast<std::string>() + "; expected one of none, mean, sum");
}

void expect_numbers(const In& in, const Legal& legal) {
  with_dtype(in.dtype, [&](auto zero) { expect_numbers_of<decltype(zero)>(in, legal); });
}

void expect_not_empty(const In& input) {
  if (input.shape.size() == 0)
    value_error(input.arg, "has shape " + input.shape.text() + ": the batch is empty");
}

std::optional<In> read_weight(Arg arg, py::handle object, const In& like, int64_t count,
                              const char* layout) {
  if (!given(object)) return std::nullopt;
  In weight(arg, object, like);
  weight.expect_shape({count}, layout);
  expect_numbers(weight, kWeight);
  return weight;
}

In read_grad_output(const char* function, py::handle object, const In& input, Reduction reduction,
                    const Shape& unreduced) {
  In grad_output({function, "grad_output"}, object, input);
  if (reduction == Reduction::none)
    grad_output.expect_shape(unreduced, "the unreduced loss");
  else
    grad_output.expect_shape({}, "the reduced loss");
  return grad_output;
}

}  // namespace bindings
}  // namespace mlpeak
