// Checking what Python hands over, before anything is written.
//
// A binding builds one In, Indices or Out per array argument, then releases the GIL and calls the
// operation. Every refusal is a TypeError or ValueError that names the function, the argument, what
// came and what is legal. Arrays that are only read may be strided (one copy is made); arrays that
// are written must be C-contiguous, aligned and writeable, and are never copied.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>

namespace mlpeak {
namespace bindings {

namespace py = pybind11;

enum class DType { f32, f64 };
const char* dtype_name(DType dtype);

/// Calls f(float()) or f(double()).
template <class F>
auto with_dtype(DType dtype, F&& f) {
  return dtype == DType::f32 ? f(float()) : f(double());
}

struct Shape {
  static constexpr int kMaxDims = 16;
  int ndim = 0;
  int64_t dim[kMaxDims];

  Shape() = default;
  Shape(std::initializer_list<int64_t> dims);
  int64_t size() const;
  int64_t operator[](int i) const { return dim[i < 0 ? ndim + i : i]; }  // -1 is the last
  bool operator==(const Shape& other) const;
  bool operator!=(const Shape& other) const { return !(*this == other); }
  std::string text() const;  // as Python prints it: "(3, 4)"
};

/// Where an error is raised: the public function's name and its argument's.
struct Arg {
  const char* function;
  const char* name;
};
/// "function: argument ..." as ValueError or TypeError.
[[noreturn]] void value_error(Arg arg, const std::string& text);
[[noreturn]] void type_error(Arg arg, const std::string& text);

/// A float32 or float64 array that is only read.
class In {
 public:
  In(Arg arg, py::handle object);
  /// The same dtype as `like`, or TypeError.
  In(Arg arg, py::handle object, const In& like);

  Arg arg;
  DType dtype;
  Shape shape;
  template <class T>
  const T* data() const {
    return static_cast<const T*>(data_);
  }
  const In& expect_dtype(const In& like) const;
  const In& expect_ndim(int ndim, const char* layout) const;  // layout: "(batch, in_features)"
  const In& expect_shape(const Shape& legal, const char* layout) const;

 private:
  friend class Out;
  const void* data_;
  const char *low_, *high_;  // bytes of the caller's array, for overlap checks
  py::object keep_;
};

/// A one-dimensional or n-dimensional array of integers that is only read, as int64.
class Indices {
 public:
  Indices(Arg arg, py::handle object);

  Arg arg;
  Shape shape;
  const int64_t* data;
  /// Every element is in [0, count) or equals `ignored`; else ValueError with the first offender.
  const Indices& expect_range(int64_t count, const char* what,
                              std::optional<int64_t> ignored = std::nullopt) const;

 private:
  friend class Out;
  const char *low_, *high_;
  py::object keep_;
};

/// An array that is written: the caller's, checked, or a new one where `object` is None.
class Out {
 public:
  Out(Arg arg, py::handle object, DType dtype, const Shape& shape);

  Arg arg;
  py::array array;
  template <class T>
  T* data() const {
    return static_cast<T*>(data_);
  }
  /// ValueError if this array shares memory with `in`.
  Out& must_not_overlap(const In& in);
  Out& must_not_overlap(const Indices& indices);
  Out& must_not_overlap(const Out& other);
  /// The very same array is fine (element-wise work in place); any other overlap is a ValueError.
  Out& may_equal(const In& in);

 private:
  void* data_;
  const char *low_, *high_;
};

/// An optional array argument: None or an In.
inline bool given(py::handle object) {
  return !object.is_none();
}

/// The name of an object's type, for errors.
std::string type_name(py::handle object);

/// A scalar argument: its value, or why there is none. Conversion never fails, so that pybind11
/// does not refuse the call with words of its own; the expect_ functions know the argument's name.
template <class T>
struct Scalar {
  enum Kind { ok, wrong_type, too_large };
  T value = T();
  Kind kind = ok;
  py::handle object;  // the caller's; null for a value of ours

  Scalar() = default;
  Scalar(T value) : value(value) {}
  explicit Scalar(py::handle object);
  operator T() const { return value; }
};
template <>
Scalar<double>::Scalar(py::handle object);
template <>
Scalar<int64_t>::Scalar(py::handle object);
template <>
Scalar<bool>::Scalar(py::handle object);
using Number = Scalar<double>;    // what has __float__ or __index__
using Integer = Scalar<int64_t>;  // what has __index__
using Flag = Scalar<bool>;        // bool, numpy.bool or int

/// A number in [low, high], or ValueError. NaN is refused.
double expect_number(Arg arg, const Number& number, double low, double high, const char* legal);
/// An integer in [low, high], or ValueError.
int64_t expect_integer(Arg arg, const Integer& integer, int64_t low, int64_t high,
                       const std::string& legal);
bool expect_flag(Arg arg, const Flag& flag);

}  // namespace bindings
}  // namespace mlpeak

namespace pybind11 {
namespace detail {

template <class T>
struct type_caster<mlpeak::bindings::Scalar<T>> {
  PYBIND11_TYPE_CASTER(mlpeak::bindings::Scalar<T>, make_caster<T>::name);
  bool load(handle object, bool) {
    value = mlpeak::bindings::Scalar<T>(object);
    return true;
  }
};

}  // namespace detail
}  // namespace pybind11
