#include <limits>
#include <vector>

#include "bindings/args.h"
#include "bindings/bindings.h"
#include "ops/random.h"

namespace mlpeak {
namespace bindings {
namespace {

/// The integer that Python's operator.index gives, in [0, limit]; `legal` says so in the error.
uint64_t expect_integer(Arg arg, py::handle object, uint64_t limit, const char* legal) {
  const std::string expected = std::string("; expected ") + legal;
  const py::object number = py::reinterpret_steal<py::object>(PyNumber_Index(object.ptr()));
  if (!number) {
    PyErr_Clear();
    type_error(arg, "is " + type_name(object) + expected);
  }
  const unsigned long long value = PyLong_AsUnsignedLongLong(number.ptr());
  if (PyErr_Occurred())
    PyErr_Clear();
  else if (value <= limit)
    return value;
  value_error(arg, "is " + py::str(number).cast<std::string>() + expected);
}

constexpr uint64_t kMaxSize = uint64_t(std::numeric_limits<int64_t>::max());
constexpr const char* k64 = "an integer in [0, 2**64)";
constexpr const char* k32 = "an integer in [0, 2**32)";
constexpr const char* kSize = "an integer in [0, 2**63)";

RandomKey expect_key(const char* f, py::handle seed, py::handle stream, py::handle step) {
  RandomKey key;
  key.seed = expect_integer({f, "seed"}, seed, UINT64_MAX, k64);
  key.stream = uint32_t(expect_integer({f, "stream"}, stream, UINT32_MAX, k32));
  key.step = expect_integer({f, "step"}, step, UINT64_MAX, k64);
  return key;
}

DType expect_dtype(const char* f, const py::object& object) {
  const py::dtype dtype = py::dtype::from_args(object);
  const char order = dtype.byteorder();
  if (order == '=' || order == '|') {
    if (dtype.num() == py::detail::npy_api::NPY_FLOAT_) return DType::f32;
    if (dtype.num() == py::detail::npy_api::NPY_DOUBLE_) return DType::f64;
  }
  type_error({f, "dtype"},
             "is " + py::str(dtype).cast<std::string>() + "; expected float32 or float64");
}

void word_limit(Arg arg, const std::string& words, bool within) {
  if (!within)
    value_error(
        arg, "takes " + words + " random words; one step has " + std::to_string(kMaxRandomWords));
}

Shape expect_random_shape(const char* f, py::handle object, int64_t words_each) {
  const char* legal = "an integer or a tuple of integers, each in [0, 2**63)";
  const Arg arg{f, "shape"};
  Shape shape;
  py::int_ words(words_each);  // of Python, so that no product overflows
  const auto append = [&](py::handle dim) {
    if (shape.ndim == Shape::kMaxDims)
      value_error(arg, "has more than " + std::to_string(Shape::kMaxDims) + " dimensions");
    shape.dim[shape.ndim] = int64_t(expect_integer(arg, dim, kMaxSize, legal));
    words = words * py::int_(shape.dim[shape.ndim++]);
  };
  if (py::isinstance<py::tuple>(object) || py::isinstance<py::list>(object))
    for (py::handle dim : object) append(dim);
  else
    append(object);
  word_limit(arg, py::str(words).cast<std::string>(), words <= py::int_(kMaxRandomWords));
  return shape;
}

/// A finite number of the dtype, rounded to it.
template <class T>
T expect_finite(Arg arg, const Number& value, double low, DType dtype, const char* also) {
  const double max = double(std::numeric_limits<T>::max());
  const std::string legal = std::string("a finite ") + dtype_name(dtype) + also;
  return T(expect_number(arg, value, low < -max ? -max : low, max, legal.c_str()));
}
constexpr double kLowest = -std::numeric_limits<double>::infinity();

py::array_t<uint32_t> bind_words(py::handle n_object, py::handle first_object, py::handle seed,
                                 py::handle stream, py::handle step) {
  const char* f = "random_words";
  const uint64_t n = expect_integer({f, "n"}, n_object, kMaxSize, kSize);
  const uint64_t first = expect_integer({f, "first"}, first_object, kMaxSize, kSize);
  const RandomKey key = expect_key(f, seed, stream, step);
  word_limit({f, "n"}, std::to_string(n + first), n + first <= uint64_t(kMaxRandomWords));
  py::array_t<uint32_t> out{py::ssize_t(n)};
  uint32_t* data = out.mutable_data();
  {
    py::gil_scoped_release release;
    random_words(int64_t(n), int64_t(first), key, data);
  }
  return out;
}

py::array bind_uniform(py::handle shape_object, Number low, Number high, py::handle seed,
                       py::handle stream, py::handle step, py::object dtype_object,
                       py::handle out_object) {
  const char* f = "random_uniform";
  const RandomKey key = expect_key(f, seed, stream, step);
  const DType dtype = expect_dtype(f, dtype_object);
  return with_dtype(dtype, [&](auto zero) {
    using T = decltype(zero);
    const Shape shape = expect_random_shape(f, shape_object, sizeof(T) / sizeof(uint32_t));
    const T lo = expect_finite<T>({f, "low"}, low, kLowest, dtype, "");
    const T hi = expect_finite<T>({f, "high"}, high, kLowest, dtype, "");
    const auto text = [](double x) { return py::repr(py::float_(x)).cast<std::string>(); };
    if (!(lo <= hi))
      value_error({f, "high"}, "is " + text(high) + "; expected at least low = " + text(low));
    if (hi - lo > std::numeric_limits<T>::max())
      value_error({f, "high"},
                  "is " + text(high) + "; expected high - low finite in " + dtype_name(dtype));
    Out out({f, "out"}, out_object, dtype, shape);
    T* data = out.data<T>();
    {
      py::gil_scoped_release release;
      random_uniform<T>(shape.size(), key, lo, hi, data);
    }
    return out.array;
  });
}

py::array bind_normal(py::handle shape_object, Number mean, Number std, py::handle seed,
                      py::handle stream, py::handle step, py::object dtype_object,
                      py::handle out_object) {
  const char* f = "random_normal";
  const RandomKey key = expect_key(f, seed, stream, step);
  const DType dtype = expect_dtype(f, dtype_object);
  return with_dtype(dtype, [&](auto zero) {
    using T = decltype(zero);
    const Shape shape = expect_random_shape(f, shape_object, sizeof(T) / sizeof(uint32_t));
    const T m = expect_finite<T>({f, "mean"}, mean, kLowest, dtype, "");
    const T s = expect_finite<T>({f, "std"}, std, 0.0, dtype, ", at least 0");
    Out out({f, "out"}, out_object, dtype, shape);
    T* data = out.data<T>();
    {
      py::gil_scoped_release release;
      random_normal<T>(shape.size(), key, m, s, data);
    }
    return out.array;
  });
}

py::array bind_dropout(Arg in, py::handle object, Number p, py::handle seed, py::handle stream,
                       py::handle step, py::handle out_object) {
  const In x(in, object);
  expect_number({in.function, "p"}, p, 0, 1, "a probability in [0, 1]");
  const RandomKey key = expect_key(in.function, seed, stream, step);
  const int64_t n = x.shape.size();
  word_limit(in, std::to_string(n), n <= kMaxRandomWords);
  Out out({in.function, "out"}, out_object, x.dtype, x.shape);
  out.may_equal(x);
  with_dtype(x.dtype, [&](auto zero) {
    using T = decltype(zero);
    const T* from = x.data<T>();
    T* to = out.data<T>();
    py::gil_scoped_release release;
    dropout<T>(n, key, p, from, to);
  });
  return out.array;
}

py::array_t<int64_t> bind_permutation(py::handle n_object, py::handle seed, py::handle stream,
                                      py::handle step) {
  const char* f = "permutation";
  const uint64_t n = expect_integer({f, "n"}, n_object, UINT32_MAX, k32);
  const RandomKey key = expect_key(f, seed, stream, step);
  py::array_t<int64_t> out{py::ssize_t(n)};
  int64_t* data = out.mutable_data();
  {
    py::gil_scoped_release release;
    permutation(int64_t(n), key, data);
  }
  return out;
}

}  // namespace

void init_random(py::module_& m) {
  using py::arg;
  const py::object float32 = py::dtype::of<float>();
  m.def("random_words", &bind_words, arg("n"), py::kw_only(), arg("first") = 0, arg("seed"),
        arg("stream") = 0, arg("step") = 0);
  m.def("random_uniform", &bind_uniform, arg("shape"), arg("low") = 0.0, arg("high") = 1.0,
        py::kw_only(), arg("seed"), arg("stream") = 0, arg("step") = 0, arg("dtype") = float32,
        arg("out") = py::none());
  m.def("random_normal", &bind_normal, arg("shape"), arg("mean") = 0.0, arg("std") = 1.0,
        py::kw_only(), arg("seed"), arg("stream") = 0, arg("step") = 0, arg("dtype") = float32,
        arg("out") = py::none());
  m.def(
      "dropout",
      [](py::handle x, Number p, py::handle seed, py::handle stream, py::handle step,
         py::handle out) { return bind_dropout({"dropout", "x"}, x, p, seed, stream, step, out); },
      arg("x"), arg("p"), py::kw_only(), arg("seed"), arg("stream") = 0, arg("step") = 0,
      arg("out") = py::none());
  m.def(
      "dropout_backward",
      [](py::handle grad_output, Number p, py::handle seed, py::handle stream, py::handle step,
         py::handle out) {
        return bind_dropout({"dropout_backward", "grad_output"}, grad_output, p, seed, stream, step,
                            out);
      },
      arg("grad_output"), arg("p"), py::kw_only(), arg("seed"), arg("stream") = 0, arg("step") = 0,
      arg("out") = py::none());
  m.def("permutation", &bind_permutation, arg("n"), py::kw_only(), arg("seed"), arg("stream") = 0,
        arg("step") = 0);
}

}  // namespace bindings
}  // namespace mlpeak
