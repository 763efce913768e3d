// Matrix products and the fully connected layer.
#include <memory>
#include <string>

#include "bindings/args.h"
#include "bindings/bindings.h"
#include "ops/elementwise.h"
#include "ops/gemm.h"
#include "ops/linear.h"
#include "ops/reduce.h"

namespace mlpeak {
namespace bindings {
namespace {

Activation activation_named(Arg arg, const std::string& name) {
  const ActivationInfo* found = find_activation(name);
  if (!found) value_error(arg, "is '" + name + "'; expected one of " + activation_names());
  return found->id;
}

template <class T>
MatrixView<T> view(const In& x, bool transpose) {
  const int64_t ld = x.shape[1];
  return transpose ? MatrixView<T>{x.data<T>(), 1, ld} : MatrixView<T>{x.data<T>(), ld, 1};
}

py::array matmul(py::handle a_object, py::handle b_object, bool transpose_a, bool transpose_b,
                 py::handle out_object) {
  const char* function = "matmul";
  In a({function, "a"}, a_object);
  In b({function, "b"}, b_object, a);
  a.expect_ndim(2, transpose_a ? "(k, m)" : "(m, k)");
  b.expect_ndim(2, transpose_b ? "(n, k)" : "(k, n)");
  const int64_t m = a.shape[transpose_a ? 1 : 0], k = a.shape[transpose_a ? 0 : 1];
  const int64_t n = b.shape[transpose_b ? 0 : 1];
  if (b.shape[transpose_b ? 1 : 0] != k)
    value_error(b.arg, "has shape " + b.shape.text() + "; expected " +
                           (transpose_b ? "(n, k)" : "(k, n)") + " with k = " + std::to_string(k));
  Out out({function, "out"}, out_object, a.dtype, {m, n});
  out.must_not_overlap(a).must_not_overlap(b);
  with_dtype(a.dtype, [&](auto tag) {
    using T = decltype(tag);
    const MatrixView<T> left = view<T>(a, transpose_a), right = view<T>(b, transpose_b);
    T* c = out.data<T>();
    py::gil_scoped_release release;
    gemm(m, n, k, left, right, c, n);
  });
  return out.array;
}

py::array linear(py::handle x_object, py::handle w_object, py::handle b_object,
                 const std::string& activation_name, py::handle out_object, py::handle pre_object) {
  const char* function = "linear";
  const Activation activation = activation_named({function, "activation"}, activation_name);
  In x({function, "x"}, x_object);
  In w({function, "w"}, w_object, x);
  x.expect_ndim(2, "(batch, in_features)");
  w.expect_ndim(2, "(out_features, in_features)");
  const int64_t batch = x.shape[0], in = x.shape[1], out_features = w.shape[0];
  w.expect_shape({out_features, in}, "(out_features, in_features)");
  Out out({function, "out"}, out_object, x.dtype, {batch, out_features});
  out.must_not_overlap(x).must_not_overlap(w);
  std::unique_ptr<In> b;
  if (given(b_object)) {
    b = std::make_unique<In>(Arg{function, "b"}, b_object, x);
    b->expect_shape({out_features}, "(out_features,)");
    out.must_not_overlap(*b);
  }
  std::unique_ptr<Out> pre;
  if (given(pre_object)) {
    pre = std::make_unique<Out>(Arg{function, "pre"}, pre_object, x.dtype,
                                Shape{batch, out_features});
    pre->must_not_overlap(x).must_not_overlap(w).must_not_overlap(out);
    if (b) pre->must_not_overlap(*b);
  }
  with_dtype(x.dtype, [&](auto tag) {
    using T = decltype(tag);
    const T *x_data = x.data<T>(), *w_data = w.data<T>(), *b_data = b ? b->data<T>() : nullptr;
    T *y = out.data<T>(), *pre_data = pre ? pre->data<T>() : nullptr;
    py::gil_scoped_release release;
    linear_forward(batch, in, out_features, x_data, w_data, b_data, activation, y, pre_data);
  });
  return out.array;
}

py::array linear_backward_input(py::handle grad_object, py::handle w_object,
                                py::handle out_object) {
  const char* function = "linear_backward_input";
  In g({function, "grad_output"}, grad_object);
  In w({function, "w"}, w_object, g);
  g.expect_ndim(2, "(batch, out_features)");
  w.expect_ndim(2, "(out_features, in_features)");
  const int64_t batch = g.shape[0], out_features = g.shape[1], in = w.shape[1];
  w.expect_shape({out_features, in}, "(out_features, in_features)");
  Out out({function, "out"}, out_object, g.dtype, {batch, in});
  out.must_not_overlap(g).must_not_overlap(w);
  with_dtype(g.dtype, [&](auto tag) {
    using T = decltype(tag);
    const MatrixView<T> left = view<T>(g, false), right = view<T>(w, false);
    T* c = out.data<T>();
    py::gil_scoped_release release;
    gemm(batch, in, out_features, left, right, c, in);
  });
  return out.array;
}

py::array linear_backward_weight(py::handle grad_object, py::handle x_object,
                                 py::handle out_object) {
  const char* function = "linear_backward_weight";
  In g({function, "grad_output"}, grad_object);
  In x({function, "x"}, x_object, g);
  g.expect_ndim(2, "(batch, out_features)");
  x.expect_ndim(2, "(batch, in_features)");
  const int64_t batch = g.shape[0], out_features = g.shape[1], in = x.shape[1];
  x.expect_shape({batch, in}, "(batch, in_features)");
  Out out({function, "out"}, out_object, g.dtype, {out_features, in});
  out.must_not_overlap(g).must_not_overlap(x);
  with_dtype(g.dtype, [&](auto tag) {
    using T = decltype(tag);
    const MatrixView<T> left = view<T>(g, true), right = view<T>(x, false);
    T* c = out.data<T>();
    py::gil_scoped_release release;
    gemm(out_features, in, batch, left, right, c, in);
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
                          py::handle saved_object, const std::string& activation_name) {
  const char* function = "linear_backward";
  const Activation activation = activation_named({function, "activation"}, activation_name);
  In g({function, "grad_output"}, grad_object);
  In x({function, "x"}, x_object, g);
  In w({function, "w"}, w_object, g);
  g.expect_ndim(2, "(batch, out_features)");
  x.expect_ndim(2, "(batch, in_features)");
  w.expect_ndim(2, "(out_features, in_features)");
  const int64_t batch = g.shape[0], out_features = g.shape[1], in = x.shape[1];
  x.expect_shape({batch, in}, "(batch, in_features)");
  w.expect_shape({out_features, in}, "(out_features, in_features)");
  std::unique_ptr<In> saved;
  if (given(saved_object)) {
    saved = std::make_unique<In>(Arg{function, "saved"}, saved_object, g);
    saved->expect_shape({batch, out_features}, "(batch, out_features)");
  } else if (activation != Activation::identity) {
    value_error({function, "saved"},
                std::string("is None; the backward of ") + activation_name + " needs the layer's " +
                    (info(activation).saves == Saves::output ? "output" : "pre-activation"));
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
                           grad_b.data<T>()};
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
        arg("transpose_b") = false, arg("out") = none);
  m.def("linear", &linear, arg("x"), arg("w"), arg("b") = none, arg("activation") = "identity",
        arg("out") = none, arg("pre") = none);
  m.def("linear_backward_input", &linear_backward_input, arg("grad_output"), arg("w"),
        arg("out") = none);
  m.def("linear_backward_weight", &linear_backward_weight, arg("grad_output"), arg("x"),
        arg("out") = none);
  m.def("linear_backward_bias", &linear_backward_bias, arg("grad_output"), arg("out") = none);
  m.def("linear_backward", &linear_backward, arg("grad_output"), arg("x"), arg("w"),
        arg("saved") = none, arg("activation") = "identity");
}

}  // namespace bindings
}  // namespace mlpeak
