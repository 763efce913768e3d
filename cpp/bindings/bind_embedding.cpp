// Table look-ups: indices in range, then one call.
#include <pybind11/stl.h>

#include <limits>
#include <new>
#include <optional>
#include <string>
#include <vector>

#include "bindings/args.h"
#include "bindings/bindings.h"
#include "ops/embedding.h"

namespace mlpeak {
namespace bindings {
namespace {

/// The array that `object` is, of any dtype.
py::array any_array(Arg arg, py::handle object) {
  if (!py::isinstance<py::array>(object))
    type_error(arg, "is " + type_name(object) + "; expected a numpy.ndarray");
  return py::reinterpret_borrow<py::array>(object);
}

void must_not_share(Arg arg, py::handle array, const char* other_name, py::handle other) {
  if (py::module_::import("numpy").attr("may_share_memory")(array, other).cast<bool>())
    value_error(arg,
                std::string("shares memory with ") + other_name + "; expected an array of its own");
}

Shape shape_of(const py::array& array) {
  Shape shape;
  for (py::ssize_t i = 0; i < array.ndim() && i < Shape::kMaxDims; ++i)
    shape.dim[shape.ndim++] = array.shape(i);
  return shape;
}

/// The shape of indices, then the shape of one row.
Shape shape_of_result(Arg arg, const Shape& indices, const Shape& x) {
  Shape shape = indices;
  if (indices.ndim + x.ndim - 1 > Shape::kMaxDims)
    value_error(arg, "has " + std::to_string(indices.ndim) +
                         " dimensions; with those of a row at most " +
                         std::to_string(Shape::kMaxDims) + " are supported");
  for (int i = 1; i < x.ndim; ++i) shape.dim[shape.ndim++] = x.dim[i];
  return shape;
}

py::array bind_embedding(py::handle indices_object, py::handle weight_object,
                         py::handle out_object) {
  const char* f = "embedding";
  const In weight({f, "weight"}, weight_object);
  weight.expect_ndim(2, "(num_embeddings, embedding_dim)");
  const Indices indices({f, "indices"}, indices_object);
  indices.expect_range(weight.shape[0], "rows of weight");
  const Out out({f, "out"}, out_object, weight.dtype,
                shape_of_result(indices.arg, indices.shape, weight.shape));
  if (given(out_object)) {
    must_not_share(out.arg, out.array, "indices", indices_object);
    must_not_share(out.arg, out.array, "weight", weight_object);
  }
  with_dtype(weight.dtype, [&](auto tag) {
    using T = decltype(tag);
    py::gil_scoped_release release;
    gather_rows(indices.shape.size(), weight.shape[1] * int64_t(sizeof(T)), indices.data,
                weight.data<T>(), out.data<T>());
  });
  return out.array;
}

py::array bind_embedding_backward(py::handle grad_object, py::handle indices_object,
                                  Integer rows_object, std::optional<Integer> padding_idx,
                                  py::handle out_object) {
  const char* f = "embedding_backward";
  const In grad({f, "grad_output"}, grad_object);
  const int64_t num_embeddings =
      expect_integer({f, "num_embeddings"}, rows_object, 0, std::numeric_limits<int64_t>::max(),
                     "an integer >= 0");
  const std::string rows = std::to_string(num_embeddings);
  const Indices indices({f, "indices"}, indices_object);
  indices.expect_range(num_embeddings, "rows of weight");
  bool same = grad.shape.ndim == indices.shape.ndim + 1;
  for (int i = 0; same && i < indices.shape.ndim; ++i)
    same = grad.shape.dim[i] == indices.shape.dim[i];
  if (!same)
    value_error(grad.arg, "has shape " + grad.shape.text() + "; expected the shape of indices = " +
                              indices.shape.text() + " and embedding_dim");
  int64_t padding = -1;
  if (padding_idx) {
    padding = expect_integer({f, "padding_idx"}, *padding_idx, -num_embeddings, num_embeddings - 1,
                             "None or an integer in [-" + rows + ", " + rows + ")");
    if (padding < 0) padding += num_embeddings;
  }
  Out out({f, "out"}, out_object, grad.dtype, {num_embeddings, grad.shape[-1]});
  out.must_not_overlap(grad);
  if (given(out_object)) must_not_share(out.arg, out.array, "indices", indices_object);
  with_dtype(grad.dtype, [&](auto tag) {
    using T = decltype(tag);
    py::gil_scoped_release release;
    embedding_backward(indices.shape.size(), num_embeddings, grad.shape[-1], indices.data, padding,
                       grad.data<T>(), out.data<T>());
  });
  return out.array;
}

py::array bind_gather_rows(py::handle x_object, py::handle indices_object, py::handle out_object) {
  const Arg x_arg = {"gather_rows", "x"}, out_arg = {"gather_rows", "out"};
  py::array x = any_array(x_arg, x_object);
  py::array out;
  if (given(out_object)) out = any_array(out_arg, out_object);
  const py::dtype dtype = x.dtype();
  const std::string dtype_text = py::str(dtype);
  if (dtype.attr("hasobject").cast<bool>())
    type_error(x_arg, "has dtype " + dtype_text + "; expected one without Python objects");
  const Shape x_shape = shape_of(x);
  if (x.ndim() == 0 || x.ndim() > Shape::kMaxDims)
    value_error(x_arg, "has shape " + py::str(x.attr("shape")).cast<std::string>() +
                           "; expected (rows, ...)");
  const Indices indices({"gather_rows", "indices"}, indices_object);
  indices.expect_range(x_shape[0], "rows of x");
  const Shape shape = shape_of_result(indices.arg, indices.shape, x_shape);
  const std::vector<py::ssize_t> dims(shape.dim, shape.dim + shape.ndim);
  if (!given(out_object)) {
    out = py::array(dtype, dims);
  } else {
    if (!out.dtype().equal(dtype))
      type_error(out_arg, "has dtype " + py::str(out.dtype()).cast<std::string>() + "; expected " +
                              dtype_text);
    if (out.ndim() != shape.ndim || shape_of(out) != shape)
      value_error(out_arg, "has shape " + py::str(out.attr("shape")).cast<std::string>() +
                               "; expected " + shape.text());
    if (!out.writeable()) value_error(out_arg, "is read-only; expected a writeable array");
    const int needed =
        py::detail::npy_api::NPY_ARRAY_C_CONTIGUOUS_ | py::detail::npy_api::NPY_ARRAY_ALIGNED_;
    if ((out.flags() & needed) != needed)
      value_error(out_arg, "is not C-contiguous and aligned; an array that is written must be");
    must_not_share(out_arg, out, "x", x);
    must_not_share(out_arg, out, "indices", indices_object);
  }
  x = py::array::ensure(x, py::array::c_style);
  if (!x) throw std::bad_alloc();  // ensure() has swallowed NumPy's error; the checks passed
  int64_t row_bytes = x.itemsize();
  for (int i = 1; i < x_shape.ndim; ++i) row_bytes *= x_shape.dim[i];
  const void* from = x.data();
  void* to = out.mutable_data();
  {
    py::gil_scoped_release release;
    gather_rows(indices.shape.size(), row_bytes, indices.data, from, to);
  }
  return out;
}

}  // namespace

void init_embedding(py::module_& m) {
  using py::arg;
  const py::none none;
  m.def("embedding", &bind_embedding, arg("indices"), arg("weight"), arg("out") = none);
  m.def("embedding_backward", &bind_embedding_backward, arg("grad_output"), arg("indices"),
        arg("num_embeddings"), arg("padding_idx") = none, arg("out") = none);
  m.def("gather_rows", &bind_gather_rows, arg("x"), arg("indices"), arg("out") = none);
}

}  // namespace bindings
}  // namespace mlpeak
