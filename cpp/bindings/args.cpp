#include "bindings/args.h"

#include <new>

namespace mlpeak {
namespace bindings {
namespace {

using py::detail::npy_api;

std::string dtype_text(const py::array& array) {
  return py::str(array.dtype()).cast<std::string>();
}

py::array as_ndarray(Arg arg, py::handle object) {
  if (!py::isinstance<py::array>(object))
    type_error(arg, "is " + type_name(object) + "; expected a numpy.ndarray");
  return py::reinterpret_borrow<py::array>(object);
}

DType float_dtype(Arg arg, const py::array& array) {
  const py::dtype dtype = array.dtype();
  const char order = dtype.byteorder();
  if (order == '=' || order == '|') {
    if (dtype.num() == npy_api::NPY_FLOAT_) return DType::f32;
    if (dtype.num() == npy_api::NPY_DOUBLE_) return DType::f64;
  }
  type_error(arg, "has dtype " + dtype_text(array) + "; expected float32 or float64");
}

Shape shape_of(Arg arg, const py::array& array) {
  if (array.ndim() > Shape::kMaxDims)
    value_error(arg, "has " + std::to_string(array.ndim()) + " dimensions; at most " +
                         std::to_string(Shape::kMaxDims) + " are supported");
  Shape shape;
  shape.ndim = int(array.ndim());
  for (int i = 0; i < shape.ndim; ++i) shape.dim[i] = array.shape(i);
  return shape;
}

constexpr int kReadable = npy_api::NPY_ARRAY_C_CONTIGUOUS_ | npy_api::NPY_ARRAY_ALIGNED_;

/// The first and one past the last byte that any element of the (maybe strided) array occupies.
void byte_range(const py::array& array, const char*& low, const char*& high) {
  low = high = static_cast<const char*>(array.data());
  if (array.size() == 0) return;
  for (py::ssize_t i = 0; i < array.ndim(); ++i) {
    const py::ssize_t span = (array.shape(i) - 1) * array.strides(i);
    (span < 0 ? low : high) += span;
  }
  high += array.itemsize();
}

bool overlap(const char* low, const char* high, const char* other_low, const char* other_high) {
  return low < other_high && other_low < high;
}

}  // namespace

std::string type_name(py::handle object) {
  return py::str(py::type::handle_of(object).attr("__name__")).cast<std::string>();
}

const char* dtype_name(DType dtype) {
  return dtype == DType::f32 ? "float32" : "float64";
}

Shape::Shape(std::initializer_list<int64_t> dims) {
  for (int64_t d : dims) dim[ndim++] = d;
}

int64_t Shape::size() const {
  int64_t n = 1;
  for (int i = 0; i < ndim; ++i) n *= dim[i];
  return n;
}

bool Shape::operator==(const Shape& other) const {
  if (ndim != other.ndim) return false;
  for (int i = 0; i < ndim; ++i)
    if (dim[i] != other.dim[i]) return false;
  return true;
}

std::string Shape::text() const {
  std::string s = "(";
  for (int i = 0; i < ndim; ++i) s += (i ? ", " : "") + std::to_string(dim[i]);
  return s + (ndim == 1 ? ",)" : ")");
}

void value_error(Arg arg, const std::string& text) {
  throw py::value_error(std::string(arg.function) + ": " + arg.name + " " + text);
}

void type_error(Arg arg, const std::string& text) {
  throw py::type_error(std::string(arg.function) + ": " + arg.name + " " + text);
}

In::In(Arg arg, py::handle object) : arg(arg) {
  py::array array = as_ndarray(arg, object);
  dtype = float_dtype(arg, array);
  shape = shape_of(arg, array);
  byte_range(array, low_, high_);
  if ((array.flags() & kReadable) != kReadable)
    array = py::array::ensure(array, kReadable | npy_api::NPY_ARRAY_ENSUREARRAY_);
  if (!array) throw std::bad_alloc();
  data_ = array.data();
  keep_ = std::move(array);
}

In::In(Arg arg, py::handle object, const In& like) : In(arg, object) {
  expect_dtype(like);
}

const In& In::expect_dtype(const In& like) const {
  if (dtype != like.dtype)
    type_error(arg, std::string("has dtype ") + dtype_name(dtype) + "; expected " +
                        dtype_name(like.dtype) + " like " + like.arg.name);
  return *this;
}

const In& In::expect_ndim(int ndim, const char* layout) const {
  if (shape.ndim != ndim) value_error(arg, "has shape " + shape.text() + "; expected " + layout);
  return *this;
}

const In& In::expect_shape(const Shape& legal, const char* layout) const {
  if (shape != legal)
    value_error(arg, "has shape " + shape.text() + "; expected " + layout + " = " + legal.text());
  return *this;
}

Indices::Indices(Arg arg, py::handle object) : arg(arg) {
  py::array array = as_ndarray(arg, object);
  const char kind = array.dtype().kind();
  if (kind != 'i' && kind != 'u')
    type_error(arg, "has dtype " + dtype_text(array) + "; expected integers");
  shape = shape_of(arg, array);
  byte_range(array, low_, high_);
  auto converted = py::array_t<int64_t, py::array::c_style | py::array::forcecast>::ensure(array);
  if (!converted) throw std::bad_alloc();
  data = converted.data();
  keep_ = std::move(converted);
}

const Indices& Indices::expect_range(int64_t count, const char* what,
                                     std::optional<int64_t> ignored) const {
  const int64_t n = shape.size();
  for (int64_t i = 0; i < n; ++i)
    if ((data[i] < 0 || data[i] >= count) && data[i] != ignored)
      value_error(arg, "holds " + std::to_string(data[i]) + " at position " + std::to_string(i) +
                           "; " + what + " are in [0, " + std::to_string(count) + ")");
  return *this;
}

namespace {

py::array new_array(DType dtype, const Shape& shape) {
  const py::dtype np_dtype = dtype == DType::f32 ? py::dtype::of<float>() : py::dtype::of<double>();
  return py::array(np_dtype, std::vector<py::ssize_t>(shape.dim, shape.dim + shape.ndim));
}

/// The caller's array, if results of this type and shape can be written to it.
py::array written_array(Arg arg, py::handle object, DType dtype, const Shape& shape) {
  py::array array = as_ndarray(arg, object);
  const DType got = float_dtype(arg, array);
  if (got != dtype)
    type_error(arg,
               std::string("has dtype ") + dtype_name(got) + "; expected " + dtype_name(dtype));
  const Shape got_shape = shape_of(arg, array);
  if (got_shape != shape)
    value_error(arg, "has shape " + got_shape.text() + "; expected " + shape.text());
  if (!array.writeable()) value_error(arg, "is read-only; expected a writeable array");
  if ((array.flags() & kReadable) != kReadable)
    value_error(arg, "is not C-contiguous and aligned; an array that is written must be");
  return array;
}

}  // namespace

// A py::array made without a value is a new NumPy array: so it gets its value at once.
Out::Out(Arg arg, py::handle object, DType dtype, const Shape& shape)
    : arg(arg),
      array(object.is_none() ? new_array(dtype, shape) : written_array(arg, object, dtype, shape)),
      data_(array.mutable_data()) {
  byte_range(array, low_, high_);
}

Out& Out::must_not_overlap(const In& in) {
  if (overlap(low_, high_, in.low_, in.high_))
    value_error(
        arg, std::string("shares memory with ") + in.arg.name + "; expected an array of its own");
  return *this;
}

Out& Out::must_not_overlap(const Indices& indices) {
  if (overlap(low_, high_, indices.low_, indices.high_))
    value_error(arg, std::string("shares memory with ") + indices.arg.name +
                         "; expected an array of its own");
  return *this;
}

Out& Out::must_not_overlap(const Out& other) {
  if (overlap(low_, high_, other.low_, other.high_))
    value_error(arg, std::string("shares memory with ") + other.arg.name +
                         "; expected an array of its own");
  return *this;
}

Out& Out::may_equal(const In& in) {
  if (data_ == in.data_ && high_ == in.high_) return *this;
  return must_not_overlap(in);
}

template <>
Scalar<double>::Scalar(py::handle object) : object(object) {
  value = PyFloat_AsDouble(object.ptr());
  if (value != -1 || !PyErr_Occurred()) return;
  kind = PyErr_ExceptionMatches(PyExc_OverflowError) ? too_large : wrong_type;
  PyErr_Clear();
}

template <>
Scalar<int64_t>::Scalar(py::handle object) : object(object) {
  const py::object index = py::reinterpret_steal<py::object>(PyNumber_Index(object.ptr()));
  if (index) value = PyLong_AsLongLong(index.ptr());
  if (!PyErr_Occurred()) return;
  kind = index ? too_large : wrong_type;
  PyErr_Clear();
}

template <>
Scalar<bool>::Scalar(py::handle object) : object(object) {
  py::detail::make_caster<bool> caster;  // without conversion: bool and numpy.bool
  if (caster.load(object, false))
    value = caster;
  else if (PyLong_Check(object.ptr()))
    value = PyObject_IsTrue(object.ptr()) == 1;
  else
    kind = wrong_type;
}

namespace {

template <class T>
void expect_kind(Arg arg, const Scalar<T>& scalar, const std::string& legal) {
  if (scalar.kind == Scalar<T>::wrong_type)
    type_error(arg, "is " + type_name(scalar.object) + "; expected " + legal);
  if (scalar.kind == Scalar<T>::too_large)
    value_error(
        arg, "is " + py::repr(scalar.object).template cast<std::string>() + "; expected " + legal);
}

}  // namespace

double expect_number(Arg arg, const Number& number, double low, double high, const char* legal) {
  if (number.kind != Number::ok) expect_kind(arg, number, legal);
  const double value = number;
  if (!(value >= low && value <= high))
    value_error(arg,
                "is " + py::repr(py::float_(value)).cast<std::string>() + "; expected " + legal);
  return value;
}

int64_t expect_integer(Arg arg, const Integer& integer, int64_t low, int64_t high,
                       const std::string& legal) {
  if (integer.kind != Integer::ok) expect_kind(arg, integer, legal);
  if (integer.value < low || integer.value > high)
    value_error(arg, "is " + std::to_string(integer.value) + "; expected " + legal);
  return integer;
}

bool expect_flag(Arg arg, const Flag& flag) {
  if (flag.kind != Flag::ok) expect_kind(arg, flag, "a bool");
  return flag;
}

}  // namespace bindings
}  // namespace mlpeak
