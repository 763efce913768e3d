#include "bindings/expected.h"

#include <pybind11/stl.h>

namespace mlpeak {
namespace bindings {

using engine::SourceType;

namespace {

bool is_float(SourceType type) {
  return type == SourceType::f32 || type == SourceType::f64;
}

template <class I>
Scan scan(const I* x, int64_t n, const std::vector<int64_t>& uppers, int64_t ignore_index) {
  Scan found;
  const auto columns = int64_t(uppers.size());
  for (int64_t i = 0; i < n; ++i) {
    const auto v = int64_t(x[i]);
    const int64_t upper = uppers[size_t(columns == 1 ? 0 : i % columns)];
    if (upper == 0 || (v >= 0 && v < upper && v != ignore_index)) continue;
    if (v == ignore_index) {
      found.ignored = true;
    } else {
      found.illegal = i;
      return found;
    }
  }
  return found;
}

}  // namespace

std::optional<SourceType> source_type(const py::array& array) {
  const py::dtype dtype = array.dtype();
  const char order = dtype.byteorder();
  if (order != '=' && order != '|') return std::nullopt;
  const char kind = dtype.kind();
  switch (dtype.itemsize()) {
    case 1:
      if (kind == 'i') return SourceType::i8;
      if (kind == 'u' || kind == 'b') return SourceType::u8;
      break;
    case 2:
      if (kind == 'i') return SourceType::i16;
      if (kind == 'u') return SourceType::u16;
      break;
    case 4:
      if (kind == 'f') return SourceType::f32;
      if (kind == 'i') return SourceType::i32;
      if (kind == 'u') return SourceType::u32;
      break;
    case 8:
      if (kind == 'f') return SourceType::f64;
      if (kind == 'i') return SourceType::i64;
  }
  return std::nullopt;
}

std::optional<SourceType> rows_type(PyObject* object, const std::vector<int64_t>& shape,
                                    int64_t& batch) {
  if (!py::isinstance<py::array>(object)) return std::nullopt;
  const auto array = py::reinterpret_borrow<py::array>(object);
  if (!(array.flags() & py::array::c_style) || array.ndim() != int(shape.size()) + 1)
    return std::nullopt;
  for (size_t d = 0; d < shape.size(); ++d)
    if (array.shape(int(d) + 1) != shape[d]) return std::nullopt;
  if (batch >= 0 && array.shape(0) != batch) return std::nullopt;
  batch = array.shape(0);
  return source_type(array);
}

Scan scan(const py::array& array, const std::vector<int64_t>& uppers, int64_t ignore_index) {
  const auto run = [&](auto type) {
    return scan(static_cast<const decltype(type)*>(array.data()), array.size(), uppers,
                ignore_index);
  };
  switch (*source_type(array)) {
    case SourceType::i8:
      return run(int8_t());
    case SourceType::u8:
      return run(uint8_t());
    case SourceType::i16:
      return run(int16_t());
    case SourceType::u16:
      return run(uint16_t());
    case SourceType::i32:
      return run(int32_t());
    case SourceType::u32:
      return run(uint32_t());
    case SourceType::i64:
      return run(int64_t());
    default:
      return {};
  }
}

Expected::Expected(const py::dict& d)
    : value(d["value"].cast<int>()),
      integer(d["integer"].cast<bool>()),
      shape(d["shape"].cast<std::vector<int64_t>>()),
      columns(1),
      uppers(d["uppers"].cast<std::vector<int64_t>>()),
      ignores(d["ignores"].cast<bool>()),
      ignore_index(d["ignore_index"].cast<int64_t>()) {
  for (const int64_t n : shape) columns *= n;
}

bool Expected::accepts(PyObject* object, int64_t& batch) const {
  const auto type = rows_type(object, shape, batch);
  return type && !(integer && is_float(*type));
}

bool Expected::accepts_integers(const py::array& array) const {
  if (uppers.empty()) return true;
  const Scan found = scan(array, uppers, ignore_index);
  return found.illegal < 0 && (ignores || !found.ignored);
}

}  // namespace bindings
}  // namespace mlpeak
