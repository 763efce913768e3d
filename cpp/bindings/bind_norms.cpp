// Normalisations: shapes of weights and statistics checked, then one call.
#include <pybind11/stl.h>

#include <cfloat>
#include <limits>
#include <optional>
#include <string>

#include "bindings/args.h"
#include "bindings/bindings.h"
#include "ops/norms.h"

namespace mlpeak {
namespace bindings {
namespace {

/// One value a feature, or nothing for None.
std::optional<In> vector_of(Arg arg, py::handle object, const In& x) {
  if (!given(object)) return std::nullopt;
  In vector(arg, object, x);
  vector.expect_shape({x.shape[-1]}, "(features,)");
  return vector;
}

template <class T>
const T* data_or_null(const std::optional<In>& in) {
  return in ? in->data<T>() : nullptr;
}

/// An array to normalise along its last axis.
In rows_of(const char* function, py::handle object) {
  In x({function, "x"}, object);
  if (x.shape.ndim == 0 || x.shape[-1] == 0)
    value_error(x.arg,
                "has shape " + x.shape.text() + "; expected (..., features) with features >= 1");
  return x;
}

Shape without_last(const Shape& shape) {
  Shape rest = shape;
  --rest.ndim;
  return rest;
}

In statistic(Arg arg, py::handle object, const In& x, const Shape& shape, const char* layout) {
  In in(arg, object, x);
  in.expect_shape(shape, layout);
  return in;
}

Out new_array(const In& like, const Shape& shape) {
  return Out(like.arg, py::none(), like.dtype, shape);
}

double checked_eps(const char* function, const Number& eps) {
  return expect_number({function, "eps"}, eps, 0, DBL_MAX, "a finite number >= 0");
}

py::object array_or_none(const std::optional<Out>& out) {
  return out ? py::object(out->array) : py::none();
}

template <class T>
T* data_or_null(const std::optional<Out>& out) {
  return out ? out->data<T>() : nullptr;
}

/// A vector like the weight, or nothing where there is no weight.
std::optional<Out> gradient_of(const std::optional<In>& weight) {
  if (!weight) return std::nullopt;
  return new_array(*weight, weight->shape);
}

py::tuple bind_layer_norm(py::handle x_object, py::handle weight_object, py::handle bias_object,
                          Number eps, py::handle out_object) {
  const char* f = "layer_norm";
  const In x = rows_of(f, x_object);
  const auto weight = vector_of({f, "weight"}, weight_object, x);
  const auto bias = vector_of({f, "bias"}, bias_object, x);
  checked_eps(f, eps);
  Out y({f, "out"}, out_object, x.dtype, x.shape);
  y.must_not_overlap(x);
  if (weight) y.must_not_overlap(*weight);
  if (bias) y.must_not_overlap(*bias);
  const Shape rows = without_last(x.shape);
  const Out mean = new_array(x, rows), rstd = new_array(x, rows);
  with_dtype(x.dtype, [&](auto tag) {
    using T = decltype(tag);
    py::gil_scoped_release release;
    layer_norm(rows.size(), x.shape[-1], x.data<T>(), data_or_null<T>(weight),
               data_or_null<T>(bias), eps, y.data<T>(), mean.data<T>(), rstd.data<T>());
  });
  return py::make_tuple(y.array, mean.array, rstd.array);
}

py::tuple bind_layer_norm_backward(py::handle grad_object, py::handle x_object,
                                   py::handle weight_object, py::handle mean_object,
                                   py::handle rstd_object) {
  const char* f = "layer_norm_backward";
  const In x = rows_of(f, x_object);
  const In grad = statistic({f, "grad_output"}, grad_object, x, x.shape, "the shape of x");
  const auto weight = vector_of({f, "weight"}, weight_object, x);
  const Shape rows = without_last(x.shape);
  const In mean = statistic({f, "mean"}, mean_object, x, rows, "x.shape[:-1]");
  const In rstd = statistic({f, "rstd"}, rstd_object, x, rows, "x.shape[:-1]");
  const Out grad_x = new_array(x, x.shape);
  const auto grad_weight = gradient_of(weight), grad_bias = gradient_of(weight);
  with_dtype(x.dtype, [&](auto tag) {
    using T = decltype(tag);
    py::gil_scoped_release release;
    layer_norm_backward(rows.size(), x.shape[-1], grad.data<T>(), x.data<T>(),
                        data_or_null<T>(weight), mean.data<T>(), rstd.data<T>(), grad_x.data<T>(),
                        data_or_null<T>(grad_weight), data_or_null<T>(grad_bias));
  });
  return py::make_tuple(grad_x.array, array_or_none(grad_weight), array_or_none(grad_bias));
}

py::tuple bind_rms_norm(py::handle x_object, py::handle weight_object,
                        std::optional<Number> given_eps, py::handle out_object) {
  const char* f = "rms_norm";
  const In x = rows_of(f, x_object);
  const auto weight = vector_of({f, "weight"}, weight_object, x);
  const double smallest_step = with_dtype(
      x.dtype, [](auto tag) { return double(std::numeric_limits<decltype(tag)>::epsilon()); });
  const double eps = checked_eps(f, given_eps.value_or(smallest_step));
  Out y({f, "out"}, out_object, x.dtype, x.shape);
  y.must_not_overlap(x);
  if (weight) y.must_not_overlap(*weight);
  const Shape rows = without_last(x.shape);
  const Out rstd = new_array(x, rows);
  with_dtype(x.dtype, [&](auto tag) {
    using T = decltype(tag);
    py::gil_scoped_release release;
    rms_norm(rows.size(), x.shape[-1], x.data<T>(), data_or_null<T>(weight), eps, y.data<T>(),
             rstd.data<T>());
  });
  return py::make_tuple(y.array, rstd.array);
}

py::tuple bind_rms_norm_backward(py::handle grad_object, py::handle x_object,
                                 py::handle weight_object, py::handle rstd_object) {
  const char* f = "rms_norm_backward";
  const In x = rows_of(f, x_object);
  const In grad = statistic({f, "grad_output"}, grad_object, x, x.shape, "the shape of x");
  const auto weight = vector_of({f, "weight"}, weight_object, x);
  const Shape rows = without_last(x.shape);
  const In rstd = statistic({f, "rstd"}, rstd_object, x, rows, "x.shape[:-1]");
  const Out grad_x = new_array(x, x.shape);
  const auto grad_weight = gradient_of(weight);
  with_dtype(x.dtype, [&](auto tag) {
    using T = decltype(tag);
    py::gil_scoped_release release;
    rms_norm_backward(rows.size(), x.shape[-1], grad.data<T>(), x.data<T>(),
                      data_or_null<T>(weight), rstd.data<T>(), grad_x.data<T>(),
                      data_or_null<T>(grad_weight));
  });
  return py::make_tuple(grad_x.array, array_or_none(grad_weight));
}

py::tuple bind_batch_norm(py::handle x_object, py::handle weight_object, py::handle bias_object,
                          py::handle mean_object, py::handle var_object, Flag training,
                          Number momentum, Number eps, py::handle out_object) {
  const char* f = "batch_norm";
  expect_flag({f, "training"}, training);
  const In x({f, "x"}, x_object);
  x.expect_ndim(2, "(batch, features)");
  const auto weight = vector_of({f, "weight"}, weight_object, x);
  const auto bias = vector_of({f, "bias"}, bias_object, x);
  const auto running_mean = vector_of({f, "running_mean"}, mean_object, x);
  const auto running_var = vector_of({f, "running_var"}, var_object, x);
  expect_number({f, "momentum"}, momentum, 0, 1, "a number in [0, 1]");
  checked_eps(f, eps);
  if (running_mean.has_value() != running_var.has_value())
    value_error({f, running_mean ? "running_var" : "running_mean"},
                "is None; expected both running statistics, or neither");
  if (!training && !running_mean)
    value_error({f, "running_mean"}, "is None; expected the statistics with training=False");
  if (training && x.shape[0] < 2)
    value_error(x.arg, "has shape " + x.shape.text() +
                           "; expected more than 1 value per channel when training");

  const std::optional<In>* const read[] = {&weight, &bias, &running_mean, &running_var};
  const Shape features = {x.shape[1]};
  std::optional<Out> new_mean, new_var;
  if (training && running_mean) {
    new_mean.emplace(running_mean->arg, mean_object, x.dtype, features);
    new_var.emplace(running_var->arg, var_object, x.dtype, features);
    for (Out* out : {&*new_mean, &*new_var}) {
      out->must_not_overlap(x);
      if (weight) out->must_not_overlap(*weight);
      if (bias) out->must_not_overlap(*bias);
    }
    new_var->must_not_overlap(*new_mean);
  }
  Out y({f, "out"}, out_object, x.dtype, x.shape);
  y.must_not_overlap(x);
  for (const auto* in : read)
    if (*in) y.must_not_overlap(**in);
  const Out mean = new_array(x, features), rstd = new_array(x, features);
  with_dtype(x.dtype, [&](auto tag) {
    using T = decltype(tag);
    const T* w = data_or_null<T>(weight);
    const T* b = data_or_null<T>(bias);
    py::gil_scoped_release release;
    if (training)
      batch_norm_training(x.shape[0], x.shape[1], x.data<T>(), w, b, data_or_null<T>(new_mean),
                          data_or_null<T>(new_var), momentum, eps, y.data<T>(), mean.data<T>(),
                          rstd.data<T>());
    else
      batch_norm_inference(x.shape[0], x.shape[1], x.data<T>(), w, b, running_mean->data<T>(),
                           running_var->data<T>(), eps, y.data<T>(), mean.data<T>(),
                           rstd.data<T>());
  });
  return py::make_tuple(y.array, mean.array, rstd.array);
}

py::tuple bind_batch_norm_backward(py::handle grad_object, py::handle x_object,
                                   py::handle weight_object, py::handle mean_object,
                                   py::handle rstd_object, Flag training) {
  const char* f = "batch_norm_backward";
  expect_flag({f, "training"}, training);
  const In x({f, "x"}, x_object);
  x.expect_ndim(2, "(batch, features)");
  const In grad = statistic({f, "grad_output"}, grad_object, x, x.shape, "the shape of x");
  const auto weight = vector_of({f, "weight"}, weight_object, x);
  const Shape features = {x.shape[1]};
  const In mean = statistic({f, "mean"}, mean_object, x, features, "(features,)");
  const In rstd = statistic({f, "rstd"}, rstd_object, x, features, "(features,)");
  const Out grad_x = new_array(x, x.shape);
  const auto grad_weight = gradient_of(weight), grad_bias = gradient_of(weight);
  with_dtype(x.dtype, [&](auto tag) {
    using T = decltype(tag);
    py::gil_scoped_release release;
    batch_norm_backward(x.shape[0], x.shape[1], grad.data<T>(), x.data<T>(),
                        data_or_null<T>(weight), mean.data<T>(), rstd.data<T>(), training,
                        grad_x.data<T>(), data_or_null<T>(grad_weight), data_or_null<T>(grad_bias));
  });
  return py::make_tuple(grad_x.array, array_or_none(grad_weight), array_or_none(grad_bias));
}

}  // namespace

void init_norms(py::module_& m) {
  using py::arg;
  const py::none none;
  m.def("layer_norm", &bind_layer_norm, arg("x"), arg("weight") = none, arg("bias") = none,
        arg("eps") = 1e-5, arg("out") = none);
  m.def("layer_norm_backward", &bind_layer_norm_backward, arg("grad_output"), arg("x"),
        arg("weight"), arg("mean"), arg("rstd"));
  m.def("rms_norm", &bind_rms_norm, arg("x"), arg("weight") = none, arg("eps") = none,
        arg("out") = none);
  m.def("rms_norm_backward", &bind_rms_norm_backward, arg("grad_output"), arg("x"), arg("weight"),
        arg("rstd"));
  m.def("batch_norm", &bind_batch_norm, arg("x"), arg("weight") = none, arg("bias") = none,
        arg("running_mean") = none, arg("running_var") = none, arg("training") = true,
        arg("momentum") = 0.1, arg("eps") = 1e-5, arg("out") = none);
  m.def("batch_norm_backward", &bind_batch_norm_backward, arg("grad_output"), arg("x"),
        arg("weight"), arg("mean"), arg("rstd"), arg("training") = true);
}

}  // namespace bindings
}  // namespace mlpeak
