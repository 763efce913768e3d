// Sums and means: the axes become (outer, count, inner), then one call.
#include <pybind11/stl.h>

#include <string>
#include <vector>

#include "bindings/args.h"
#include "bindings/bindings.h"
#include "ops/reduce.h"

namespace mlpeak {
namespace bindings {
namespace {

/// Which axes are summed over; an axis out of range or given twice is a ValueError.
std::vector<bool> chosen_axes(Arg arg, py::handle object, int ndim) {
  std::vector<bool> chosen(size_t(ndim), !given(object));
  if (!given(object)) return chosen;
  const auto choose = [&](const Integer& integer) {
    if (integer.kind == Integer::wrong_type)
      type_error(arg, "is " + type_name(integer.object) +
                          "; expected None, an integer or a tuple of integers");
    int64_t axis = expect_integer(arg, integer, -ndim, ndim - 1,
                                  std::to_string(-ndim) + " to " + std::to_string(ndim - 1));
    if (axis < 0) axis += ndim;
    if (chosen[size_t(axis)]) value_error(arg, "names axis " + std::to_string(axis) + " twice");
    chosen[size_t(axis)] = true;
  };
  if (py::isinstance<py::tuple>(object) || py::isinstance<py::list>(object))
    for (py::handle axis : object) choose(Integer(axis));
  else
    choose(Integer(object));
  return chosen;
}

py::array reduce(const char* function, py::handle x_object, py::handle axes, const Flag& keepdims,
                 py::handle out_object, bool mean) {
  In x({function, "x"}, x_object);
  expect_flag({function, "keepdims"}, keepdims);
  const int ndim = x.shape.ndim;
  const std::vector<bool> chosen = chosen_axes({function, "axis"}, axes, ndim);

  Shape result;
  int64_t outer = 1, count = 1, inner = 1;
  bool together = true;  // the chosen axes are neighbours
  bool seen = false, ended = false;
  for (int i = 0; i < ndim; ++i) {
    if (chosen[size_t(i)]) {
      together = together && !ended;
      seen = true;
      count *= x.shape[i];
    } else {
      ended = seen;
      (seen ? inner : outer) *= x.shape[i];
    }
    if (!chosen[size_t(i)] || keepdims)
      result.dim[result.ndim++] = chosen[size_t(i)] ? 1 : x.shape[i];
  }
  if (!together) {  // bring them to the end; In copies what is no longer contiguous
    std::vector<int> order;
    for (int pass = 0; pass < 2; ++pass)
      for (int i = 0; i < ndim; ++i)
        if (chosen[size_t(i)] == (pass == 1)) order.push_back(i);
    outer *= inner;
    inner = 1;
    Out({function, "out"}, out_object, x.dtype, result).must_not_overlap(x);
    x = In(x.arg, x_object.attr("transpose")(order));
  }
  if (mean && count == 0) value_error(x.arg, "has no elements to average along axis");
  Out out({function, "out"}, out_object, x.dtype, result);
  out.must_not_overlap(x);
  with_dtype(x.dtype, [&](auto tag) {
    using T = decltype(tag);
    const T* in = x.data<T>();
    T* to = out.data<T>();
    py::gil_scoped_release release;
    sum_axis(in, outer, count, inner, mean ? double(count) : 1.0, to);
  });
  return out.array;
}

}  // namespace

void init_reduce(py::module_& m) {
  m.def(
      "sum",
      [](py::handle x, py::handle axis, Flag keepdims, py::handle out) {
        return reduce("sum", x, axis, keepdims, out, false);
      },
      py::arg("x"), py::arg("axis") = py::none(), py::arg("keepdims") = false,
      py::arg("out") = py::none());
  m.def(
      "mean",
      [](py::handle x, py::handle axis, Flag keepdims, py::handle out) {
        return reduce("mean", x, axis, keepdims, out, true);
      },
      py::arg("x"), py::arg("axis") = py::none(), py::arg("keepdims") = false,
      py::arg("out") = py::none());
}

}  // namespace bindings
}  // namespace mlpeak
