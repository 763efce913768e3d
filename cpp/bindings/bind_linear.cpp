// Matrix products and the fully connected layer.
#include <memory>
#include <optional>
#include <string>
#include <variant>

#include "bindings/args.h"
#include "bindings/bindings.h"
#include "ops/elementwise.h"
#include "ops/gemm.h"
#include "ops/linear.h"
#include "ops/reduce.h"

namespace mlpeak {
namespace bindings {
namespace {

const ActivationInfo& activation_named(Arg arg, py::handle name) {
  if (!py::isinstance<py::str>(name))
    type_error(arg, "is " + type_name(name) + "; expected one of " + activation_names());
  const std::string text = name.cast<std::string>();
  const ActivationInfo* found = find_activation(text);
  if (!found) value_error(arg, "is '" + text + "'; expected one of " + activation_names());
  return *found;
}

/// The precision of a product of arrays of `dtype`; None is native.
Precision precision_of(const char* function, py::handle name, DType dtype) {
  if (!given(name)) return Precision::native;
  const Arg arg{function, "precision"};
  if (!py::isinstance<py::str>(name))
    type_error(arg, "is " + type_name(name) + "; expected 'bf16' or None");
  const std::string text = name.cast<std::string>();
  if (text != "bf16") value_error(arg, "is '" + text + "'; expected 'bf16' or None");
  if (dtype != DType::f32)
    value_error(arg, "is 'bf16' for float64 arrays; expected None, or float32 arrays");
  return Precision::bf16;
}

constexpr char kWeightLayout[] = "(out_features, in_features)";

template <class T>
MatrixView<T> view(const In& x, bool transpose) {
  const int64_t ld = x.shape[1];
  return transpose ? MatrixView<T>{x.data<T>(), 1, ld} : MatrixView<T>{x.data<T>(), ld, 1};
}

py::array matmul(py::handle a_object, py::handle b_object, const Flag& transpose_a_flag,
                 const Flag& transpose_b_flag, py::handle out_object, py::handle precision_name) {
  const char* function = "matmul";
  const bool transpose_a = expect_flag({function, "transpose_a"}, transpose_a_flag);
  const bool transpose_b = expect_flag({function, "transpose_b"}, transpose_b_flag);
  In a({function, "a"}, a_object);
  In b({function, "b"}, b_object, a);
  a.expect_ndim(2, transpose_a ? "(k, m)" : "(m, k)");
  b.expect_ndim(2, transpose_b ? "(n, k)" : "(k, n)");
  const int64_t m = a.shape[transpose_a ? 1 : 0], k = a.shape[transpose_a ? 0 : 1];
  const int64_t n = b.shape[transpose_b ? 0 : 1];
  if (b.shape[transpose_b ? 1 : 0] != k)
    value_error(b.arg, "has shape " + b.shape.text() + "; expected " +
                           (transpose_b ? "(n, k)" : "(k, n)") + " with k = " + std::to_string(k));
  const Precision precision = precision_of(function, precision_name, a.dtype);
  Out out({function, "out"}, out_object, a.dtype, {m, n});
  out.must_not_overlap(a).must_not_overlap(b);
  with_dtype(a.dtype, [&](auto tag) {
    using T = decltype(tag);
    const MatrixView<T> left = view<T>(a, transpose_a), right = view<T>(b, transpose_b);
    T* c = out.data<T>();
    py::gil_scoped_release release;
    gemm(m, n, k, left, right, c, n, {}, precision);
  });
  return out.array;
}

/// kernels.pack's result: a weight of either dtype.
struct Packed {
  std::variant<PackedWeight<float>, PackedWeight<double>> weight;

  DType dtype() const { return weight.index() == 0 ? DType::f32 : DType::f64; }
  int64_t out() const {
    return std::visit([](const auto& w) { return w.out(); }, weight);
  }
  int64_t in() const {
    return std::visit([](const auto& w) { return w.in(); }, weight);
  }
  Precision precision() const {
    return std::visit([](const auto& w) { return w.precision(); }, weight);
  }
  const Tier& tier() const {
    return std::visit([](const auto& w) -> const Tier& { return w.tier(); }, weight);
  }
};

Packed pack(py::handle w_object, py::handle precision_name) {
  In w({"pack", "w"}, w_object);
  w.expect_ndim(2, kWeightLayout);
  const Precision precision = precision_of("pack", precision_name, w.dtype);
  return with_dtype(w.dtype, [&](auto tag) {
    using T = decltype(tag);
    return Packed{PackedWeight<T>(w.shape[0], w.shape[1], w.data<T>(), precision)};
  });
}

py::array linear(py::handle x_object, py::handle w_object, py::handle b_object,
                 py::handle activation_name, py::handle out_object, py::handle pre_object,
                 py::handle precision_name) {
  const char* function = "linear";
  const Arg w_arg{function, "w"};
  const Activation activation = activation_named({function, "activation"}, activation_name).id;
  In x({function, "x"}, x_object);
  x.expect_ndim(2, "(batch, in_features)");
  const int64_t batch = x.shape[0], in = x.shape[1];

  const Precision precision = precision_of(function, precision_name, x.dtype);
  const Packed* packed = nullptr;
  std::optional<In> w;
  int64_t out_features;
  if (py::isinstance<Packed>(w_object)) {
    packed = w_object.cast<const Packed*>();
    out_features = packed->out();
    if (packed->dtype() != x.dtype)
      type_error(w_arg, std::string("has dtype ") + dtype_name(packed->dtype()) + "; expected " +
                            dtype_name(x.dtype) + " like x");
    if (packed->in() != in)
      value_error(w_arg, "has shape " + Shape{out_features, packed->in()}.text() + "; expected " +
                             kWeightLayout + " = " + Shape{out_features, in}.text());
    if (packed->precision() != precision)
      value_error({function, "precision"}, std::string("is not that of w, packed with ") +
                                               (precision == Precision::bf16 ? "None" : "'bf16'") +
                                               "; expected the same as for pack");
    if (&packed->tier() != &current_tier())
      value_error(w_arg, std::string("was packed on tier ") + packed->tier().name +
                             "; expected one packed on " + current_tier().name);
  } else {
    w.emplace(w_arg, w_object, x);
    w->expect_ndim(2, kWeightLayout);
    out_features = w->shape[0];
    w->expect_shape({out_features, in}, kWeightLayout);
  }

  Out out({function, "out"}, out_object, x.dtype, {batch, out_features});
  std::optional<In> b;
  if (given(b_object)) {
    b.emplace(Arg{function, "b"}, b_object, x);
    b->expect_shape({out_features}, "(out_features,)");
  }
  std::optional<Out> pre;
  if (given(pre_object)) {
    pre.emplace(Arg{function, "pre"}, pre_object, x.dtype, Shape{batch, out_features});
    pre->must_not_overlap(out);
  }
  for (Out* written : {&out, pre ? &*pre : nullptr}) {
    if (!written) continue;
    written->must_not_overlap(x);
    if (w) written->must_not_overlap(*w);
    if (b) written->must_not_overlap(*b);
  }

  with_dtype(x.dtype, [&](auto tag) {
    using T = decltype(tag);
    const LinearForward<T> call{batch,
                                in,
                                out_features,
                                x.data<T>(),
                                w ? w->data<T>() : nullptr,
                                packed ? std::get_if<PackedWeight<T>>(&packed->weight) : nullptr,
                                b ? b->data<T>() : nullptr,
                                activation,
                                out.data<T>(),
                                pre ? pre->data<T>() : nullptr,
                                precision};
    py::gil_scoped_release release;
    linear_forward(call);
  });
  return out.array;
}

py::array linear_backward_input(py::handle grad_object, py::handle w_object, py::handle out_object,
                                py::handle precision_name) {
  const char* function = "linear_backward_input";
  In g({function, "grad_output"}, grad_object);
  In w({function, "w"}, w_object, g);
  g.expect_ndim(2, "(batch, out_features)");
  w.expect_ndim(2, kWeightLayout);
  const int64_t batch = g.shape[0], out_features = g.shape[1], in = w.shape[1];
  w.expect_shape({out_features, in}, kWeightLayout);
  const Precision precision = precision_of(function, precision_name, g.dtype);
  Out out({function, "out"}, out_object, g.dtype, {batch, in});
  out.must_not_overlap(g).must_not_overlap(w);
  with_dtype(g.dtype, [&](auto tag) {
    using T = decltype(tag);
    const MatrixView<T> left = view<T>(g, false), right = view<T>(w, false);
    T* c = out.data<T>();
    py::gil_scoped_release release;
    gemm(batch, in, out_features, left, right, c, in, {}, precision);
  });
  return out.array;
}

py::array linear_backward_weight(py::handle grad_object, py::handle x_object, py::handle out_object,
                                 py::handle precision_name) {
  const char* function = "linear_backward_weight";
  In g({function, "grad_output"}, grad_object);
  In x({function, "x"}, x_object, g);
  g.expect_ndim(2, "(batch, out_features)");
  x.expect_ndim(2, "(batch, in_features)");
  const int64_t batch = g.shape[0], out_features = g.shape[1], in = x.shape[1];
  x.expect_shape({batch, in}, "(batch, in_features)");
  const Precision precision = precision_of(function, precision_name, g.dtype);
  Out out({function, "out"}, out_object, g.dtype, {out_features, in});
  out.must_not_overlap(g).must_not_overlap(x);
  with_dtype(g.dtype, [&](auto tag) {
    using T = decltype(tag);
    const MatrixView<T> left = view<T>(g, true), right = view<T>(x, false);
    T* c = out.data<T>();
    py::gil_scoped_release release;
    gemm(out_features, in, batch, left, right, c, in, {}, precision);
  });
  return out.array;
}

py::array linear_backward_bias(py::handle grad_object, py::handle out_object) {
  const char* function = "linear_backward_bias";
  In g({function, "grad_output"}, grad_object);
  g.expect_ndim(2, "(batch, out_features)");
  Out out({function, "out"}, out_object, g.dtype, {g.shape[1]});
  out.must_not_overlap(g);
  with_dtype(g.dtype, [&](auto tag) {
    using T = decltype(tag);
    const T* data = g.data<T>();
    T* sums = out.data<T>();
    py::gil_scoped_release release;
    sum_axis(data, 1, g.shape[0], g.shape[1], 1.0, sums);
  });
  return out.array;
}

py::tuple linear_backward(py::handle grad_object, py::handle x_object, py::handle w_object,
                          py::handle saved_object, py::handle activation_name,
                          py::handle precision_name) {
  const char* function = "linear_backward";
  const ActivationInfo& named = activation_named({function, "activation"}, activation_name);
  const Activation activation = named.id;
  In g({function, "grad_output"}, grad_object);
  In x({function, "x"}, x_object, g);
  In w({function, "w"}, w_object, g);
  g.expect_ndim(2, "(batch, out_features)");
  x.expect_ndim(2, "(batch, in_features)");
  w.expect_ndim(2, kWeightLayout);
  const int64_t batch = g.shape[0], out_features = g.shape[1], in = x.shape[1];
  x.expect_shape({batch, in}, "(batch, in_features)");
  w.expect_shape({out_features, in}, kWeightLayout);
  const Precision precision = precision_of(function, precision_name, g.dtype);
  std::unique_ptr<In> saved;
  if (given(saved_object)) {
    saved = std::make_unique<In>(Arg{function, "saved"}, saved_object, g);
    saved->expect_shape({batch, out_features}, "(batch, out_features)");
  } else if (activation != Activation::identity) {
    value_error({function, "saved"},
                std::string("is None; the backward of ") + named.name + " needs the layer's " +
                    (named.saves == Saves::output ? "output" : "pre-activation"));
  }
  const Arg grad_arg{function, "grad"};
  Out grad_z(grad_arg, py::none(), g.dtype, {batch, out_features});
  Out grad_x(grad_arg, py::none(), g.dtype, {batch, in});
  Out grad_w(grad_arg, py::none(), g.dtype, {out_features, in});
  Out grad_b(grad_arg, py::none(), g.dtype, {out_features});
  with_dtype(g.dtype, [&](auto tag) {
    using T = decltype(tag);
    LinearBackward<T> call{batch,
                           in,
                           out_features,
                           g.data<T>(),
                           x.data<T>(),
                           w.data<T>(),
                           saved ? saved->data<T>() : nullptr,
                           activation,
                           grad_z.data<T>(),
                           grad_x.data<T>(),
                           grad_w.data<T>(),
                           grad_b.data<T>(),
                           precision};
    py::gil_scoped_release release;
    linear_backward(call);
  });
  return py::make_tuple(grad_x.array, grad_w.array, grad_b.array);
}

}  // namespace

void init_linear(py::module_& m) {
  using py::arg;
  const py::none none;
  m.def("matmul", &matmul, arg("a"), arg("b"), arg("transpose_a") = false,
        arg("transpose_b") = false, arg("out") = none, arg("precision") = none);
  py::class_<Packed>(m, "PackedWeight", "A weight packed by `mlpeak.kernels.pack`.")
      .def_property_readonly("shape",
                             [](const Packed& p) { return py::make_tuple(p.out(), p.in()); })
      .def_property_readonly("dtype",
                             [](const Packed& p) { return py::dtype(dtype_name(p.dtype())); })
      .def("__repr__", [](const Packed& p) {
        return "PackedWeight(shape=" + Shape{p.out(), p.in()}.text() +
               ", dtype=" + dtype_name(p.dtype()) + ")";
      });
  m.def("pack", &pack, arg("w"), arg("precision") = none);
  m.def("linear", &linear, arg("x"), arg("w"), arg("b") = none, arg("activation") = "identity",
        arg("out") = none, arg("pre") = none, arg("precision") = none);
  m.def("linear_backward_input", &linear_backward_input, arg("grad_output"), arg("w"),
        arg("out") = none, arg("precision") = none);
  m.def("linear_backward_weight", &linear_backward_weight, arg("grad_output"), arg("x"),
        arg("out") = none, arg("precision") = none);
  m.def("linear_backward_bias", &linear_backward_bias, arg("grad_output"), arg("out") = none);
  m.def("linear_backward", &linear_backward, arg("grad_output"), arg("x"), arg("w"),
        arg("saved") = none, arg("activation") = "identity", arg("precision") = none);
}

}  // namespace bindings
}  // namespace mlpeak
