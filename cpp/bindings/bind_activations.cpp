// Elementary functions, activations and softmax: checks, and the call.
#include <limits>
#include <optional>
#include <string>

#include "bindings/args.h"
#include "bindings/bindings.h"
#include "ops/elementwise.h"
#include "ops/rows.h"

namespace mlpeak {
namespace bindings {
namespace {

constexpr double kMax = std::numeric_limits<double>::max();
constexpr double kTiny = std::numeric_limits<double>::denorm_min();

void expect_rows(const In& in) {
  if (in.shape.ndim == 0) value_error(in.arg, "has shape (); expected at least one dimension");
}

/// Lets other threads of Python run meanwhile, unless the call is over before they would notice.
class ReleaseGil {
 public:
  explicit ReleaseGil(int64_t elements) {
    constexpr int64_t kBrief = 4096;  // a few microseconds
    if (elements > kBrief) release_.emplace();
  }

 private:
  std::optional<py::gil_scoped_release> release_;
};

/// out = op(x), elementwise or by rows: call(T*, const T*) gets the pointers.
template <class Call>
py::array unary(const char* function, py::handle x_object, py::handle out_object, Call call,
                bool by_rows = false) {
  In x({function, "x"}, x_object);
  if (by_rows) expect_rows(x);
  Out out({function, "out"}, out_object, x.dtype, x.shape);
  out.may_equal(x);
  with_dtype(x.dtype, [&](auto zero) {
    using T = decltype(zero);
    const ReleaseGil release(x.shape.size());
    call(x.data<T>(), out.data<T>(), x.shape);
  });
  return out.array;
}

/// out = op(grad_output, saved); saved is called "x" or "y".
template <class Call>
py::array binary(const char* function, py::handle grad_object, const char* saved_name,
                 py::handle saved_object, py::handle out_object, Call call, bool by_rows = false) {
  In grad({function, "grad_output"}, grad_object);
  if (by_rows) expect_rows(grad);
  In saved({function, saved_name}, saved_object, grad);
  saved.expect_shape(grad.shape, "the shape of grad_output");
  Out out({function, "out"}, out_object, grad.dtype, grad.shape);
  out.may_equal(grad).may_equal(saved);
  with_dtype(grad.dtype, [&](auto zero) {
    using T = decltype(zero);
    const ReleaseGil release(grad.shape.size());
    call(grad.data<T>(), saved.data<T>(), out.data<T>(), grad.shape);
  });
  return out.array;
}

int64_t columns_of(const Shape& shape) {
  return shape[-1];
}
int64_t rows_of(const Shape& shape) {
  return shape[-1] == 0 ? 0 : shape.size() / shape[-1];
}

// ---- elementary ---------------------------------------------------------------------------------

void define_elementary(py::module_& m, const char* name, Elementary f) {
  m.def(
      name,
      [name, f](py::handle x, py::handle out) {
        return unary(name, x, out, [f](auto* from, auto* to, const Shape& shape) {
          elementary(f, from, to, shape.size());
        });
      },
      py::arg("x"), py::arg("out") = py::none());
}

py::array bind_pow(py::handle x, Number exponent, py::handle out) {
  expect_number({"pow", "exponent"}, exponent, -kMax, kMax, "a finite number");
  return unary("pow", x, out,
               [exponent = exponent.value](auto* from, auto* to, const Shape& shape) {
                 pow(from, to, shape.size(), exponent);
               });
}

// ---- activations --------------------------------------------------------------------------------

py::array forward(const ActivationInfo& a, py::handle x, py::handle out, const double* params) {
  return unary(a.name, x, out, [&](auto* from, auto* to, const Shape& shape) {
    activation_forward(a.id, from, to, shape.size(), params);
  });
}

const char* saved_name(const ActivationInfo& a) {
  return a.saves == Saves::output ? "y" : "x";
}

py::array backward(const ActivationInfo& a, py::handle grad_output, py::handle saved,
                   py::handle out, const double* params) {
  return binary(a.backward_name, grad_output, saved_name(a), saved, out,
                [&](auto* grad, auto* kept, auto* to, const Shape& shape) {
                  activation_backward(a.id, grad, kept, to, shape.size(), params);
                });
}

/// An activation without parameters.
void define(py::module_& m, const ActivationInfo& a) {
  m.def(
      a.name, [&a](py::handle x, py::handle out) { return forward(a, x, out, a.params); },
      py::arg("x"), py::arg("out") = py::none());
  m.def(
      a.backward_name,
      [&a](py::handle grad_output, py::handle saved, py::handle out) {
        return backward(a, grad_output, saved, out, a.params);
      },
      py::arg("grad_output"), py::arg(saved_name(a)), py::arg("out") = py::none());
}

/// An activation with one parameter in [low, max].
void define(py::module_& m, const ActivationInfo& a, const char* parameter, double low,
            const char* legal) {
  m.def(
      a.name,
      [&a, parameter, low, legal](py::handle x, Number value, py::handle out) {
        expect_number({a.name, parameter}, value, low, kMax, legal);
        return forward(a, x, out, &value.value);
      },
      py::arg("x"), py::arg(parameter) = a.params[0], py::arg("out") = py::none());
  m.def(
      a.backward_name,
      [&a, parameter, low, legal](py::handle grad_output, py::handle saved, Number value,
                                  py::handle out) {
        expect_number({a.backward_name, parameter}, value, low, kMax, legal);
        return backward(a, grad_output, saved, out, &value.value);
      },
      py::arg("grad_output"), py::arg(saved_name(a)), py::arg(parameter) = a.params[0],
      py::arg("out") = py::none());
}

void expect_softplus(const char* function, const Number& beta, const Number& threshold) {
  expect_number({function, "beta"}, beta, kTiny, kMax, "a finite number > 0");
  expect_number({function, "threshold"}, threshold, -kMax, kMax, "a finite number");
}

void define_softplus(py::module_& m) {
  static const ActivationInfo& a = info(Activation::softplus);
  m.def(
      a.name,
      [](py::handle x, Number beta, Number threshold, py::handle out) {
        expect_softplus(a.name, beta, threshold);
        const double params[] = {beta, threshold};
        return forward(a, x, out, params);
      },
      py::arg("x"), py::arg("beta") = a.params[0], py::arg("threshold") = a.params[1],
      py::arg("out") = py::none());
  m.def(
      a.backward_name,
      [](py::handle grad_output, py::handle x, Number beta, Number threshold, py::handle out) {
        expect_softplus(a.backward_name, beta, threshold);
        const double params[] = {beta, threshold};
        return backward(a, grad_output, x, out, params);
      },
      py::arg("grad_output"), py::arg("x"), py::arg("beta") = a.params[0],
      py::arg("threshold") = a.params[1], py::arg("out") = py::none());
}

// ---- rows ---------------------------------------------------------------------------------------

void define_rows(py::module_& m) {
  m.def(
      "softmax",
      [](py::handle x, py::handle out) {
        return unary(
            "softmax", x, out,
            [](auto* from, auto* to, const Shape& shape) {
              softmax(from, to, rows_of(shape), columns_of(shape));
            },
            true);
      },
      py::arg("x"), py::arg("out") = py::none());
  m.def(
      "softmax_backward",
      [](py::handle grad_output, py::handle y, py::handle out) {
        return binary(
            "softmax_backward", grad_output, "y", y, out,
            [](auto* grad, auto* kept, auto* to, const Shape& shape) {
              softmax_backward(grad, kept, to, rows_of(shape), columns_of(shape));
            },
            true);
      },
      py::arg("grad_output"), py::arg("y"), py::arg("out") = py::none());
  m.def(
      "log_softmax",
      [](py::handle x, py::handle out) {
        return unary(
            "log_softmax", x, out,
            [](auto* from, auto* to, const Shape& shape) {
              log_softmax(from, to, rows_of(shape), columns_of(shape));
            },
            true);
      },
      py::arg("x"), py::arg("out") = py::none());
  m.def(
      "log_softmax_backward",
      [](py::handle grad_output, py::handle y, py::handle out) {
        return binary(
            "log_softmax_backward", grad_output, "y", y, out,
            [](auto* grad, auto* kept, auto* to, const Shape& shape) {
              log_softmax_backward(grad, kept, to, rows_of(shape), columns_of(shape));
            },
            true);
      },
      py::arg("grad_output"), py::arg("y"), py::arg("out") = py::none());
}

}  // namespace

void init_activations(py::module_& m) {
  define_elementary(m, "exp", Elementary::exp);
  define_elementary(m, "log", Elementary::log);
  define_elementary(m, "log1p", Elementary::log1p);
  define_elementary(m, "expm1", Elementary::expm1);
  define_elementary(m, "erf", Elementary::erf);
  m.def("pow", &bind_pow, py::arg("x"), py::arg("exponent"), py::arg("out") = py::none());

  for (const ActivationInfo& a : kActivations) {
    if (a.id == Activation::leaky_relu)
      define(m, a, "negative_slope", 0.0, "a finite number >= 0");
    else if (a.id == Activation::elu)
      define(m, a, "alpha", kTiny, "a finite number > 0");
    else if (a.id == Activation::softplus)
      define_softplus(m);
    else
      define(m, a);
  }
  define_rows(m);
}

}  // namespace bindings
}  // namespace mlpeak
