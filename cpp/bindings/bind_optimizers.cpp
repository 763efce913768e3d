// Optimizer updates, in place: one shape and dtype for all arrays, numbers in range, then one call.
#include <cfloat>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "bindings/args.h"
#include "bindings/bindings.h"
#include "ops/optimizers.h"

namespace mlpeak {
namespace bindings {
namespace {

/// The arrays of an update. Those that are written get indices in the order they are added; 0 is
/// param.
class Arrays {
 public:
  Arrays(const char* function, py::handle param, py::handle grad)
      : function_(function),
        param_({function, "param"}, param),
        grad_({function, "grad"}, grad, param_) {
    grad_.expect_shape(param_.shape, "the shape of param");
    add("param", param);
  }

  void add(const char* name, py::handle object) {
    const Arg arg = {function_, name};
    In(arg, object, param_).expect_shape(param_.shape, "the shape of param");
    Out out(arg, object, param_.dtype, param_.shape);
    out.must_not_overlap(grad_);
    for (const Out& other : written_) out.must_not_overlap(other);
    written_.push_back(std::move(out));
  }

  /// Adds an array that the option `when` calls for.
  void add_needed(const char* name, py::handle object, const char* when) {
    if (!given(object))
      value_error({function_, name}, std::string("is None; expected an array with ") + when);
    add(name, object);
  }

  int64_t size() const { return param_.shape.size(); }
  DType dtype() const { return param_.dtype; }
  template <class T>
  const T* grad() const {
    return grad_.data<T>();
  }
  /// Null for index -1.
  template <class T>
  T* written(int index) const {
    return index < 0 ? nullptr : written_[size_t(index)].data<T>();
  }
  int last() const { return int(written_.size()) - 1; }

 private:
  const char* function_;
  In param_, grad_;
  std::vector<Out> written_;
};

double non_negative(const char* function, const char* name, const Number& value) {
  return expect_number({function, name}, value, 0, DBL_MAX, "a finite number >= 0");
}

double below_one(const char* function, const char* name, const Number& value) {
  return expect_number({function, name}, value, 0, 1 - DBL_EPSILON / 2, "a number in [0, 1)");
}

void expect_step(const char* function, const Integer& step) {
  expect_integer({function, "step"}, step, 1, std::numeric_limits<int64_t>::max(),
                 "1 for the first update, 2, 3 ...");
}

std::pair<double, double> read_betas(const char* function, py::handle object) {
  if (!(py::isinstance<py::tuple>(object) || py::isinstance<py::list>(object)))
    type_error({function, "betas"}, "is " + type_name(object) + "; expected a pair of numbers");
  if (py::len(object) != 2)
    value_error({function, "betas"},
                "has length " + std::to_string(py::len(object)) + "; expected a pair of numbers");
  const py::object first = object[py::int_(0)], second = object[py::int_(1)];
  return {below_one(function, "betas[0]", Number(first)),
          below_one(function, "betas[1]", Number(second))};
}

void bind_sgd(py::handle param, py::handle grad, py::handle momentum_buffer, Number lr,
              Number momentum, Number dampening, Number weight_decay, Flag nesterov, Flag maximize,
              Flag first) {
  const char* f = "sgd";
  expect_flag({f, "nesterov"}, nesterov);
  expect_flag({f, "maximize"}, maximize);
  expect_flag({f, "first"}, first);
  non_negative(f, "lr", lr);
  non_negative(f, "momentum", momentum);
  non_negative(f, "weight_decay", weight_decay);
  expect_number({f, "dampening"}, dampening, -DBL_MAX, DBL_MAX, "a finite number");
  if (nesterov && (momentum == 0 || dampening != 0))
    value_error({f, "nesterov"}, "is True; expected momentum > 0 and dampening 0 with it");
  Arrays arrays(f, param, grad);
  if (momentum > 0) arrays.add_needed("momentum_buffer", momentum_buffer, "momentum > 0");
  const SgdOptions options = {lr, momentum, dampening, weight_decay, nesterov, maximize, first};
  with_dtype(arrays.dtype(), [&](auto tag) {
    using T = decltype(tag);
    py::gil_scoped_release release;
    sgd(arrays.size(), arrays.written<T>(0), arrays.grad<T>(),
        arrays.written<T>(momentum > 0 ? 1 : -1), options);
  });
}

void bind_adam(py::handle param, py::handle grad, py::handle exp_avg, py::handle exp_avg_sq,
               py::handle max_exp_avg_sq, Integer step, Number lr, py::handle betas_object,
               Number eps, Number weight_decay, Flag decoupled, Flag maximize) {
  const char* f = "adam";
  expect_flag({f, "decoupled"}, decoupled);
  expect_flag({f, "maximize"}, maximize);
  non_negative(f, "lr", lr);
  non_negative(f, "eps", eps);
  non_negative(f, "weight_decay", weight_decay);
  const auto betas = read_betas(f, betas_object);
  expect_step(f, step);
  Arrays arrays(f, param, grad);
  arrays.add("exp_avg", exp_avg);
  arrays.add("exp_avg_sq", exp_avg_sq);
  const bool amsgrad = given(max_exp_avg_sq);
  if (amsgrad) arrays.add("max_exp_avg_sq", max_exp_avg_sq);
  const AdamOptions options = {step, lr,           betas.first, betas.second,
                               eps,  weight_decay, decoupled,   maximize};
  with_dtype(arrays.dtype(), [&](auto tag) {
    using T = decltype(tag);
    py::gil_scoped_release release;
    adam(arrays.size(), arrays.written<T>(0), arrays.grad<T>(), arrays.written<T>(1),
         arrays.written<T>(2), arrays.written<T>(amsgrad ? 3 : -1), options);
  });
}

void bind_rmsprop(py::handle param, py::handle grad, py::handle square_avg,
                  py::handle momentum_buffer, py::handle grad_avg, Number lr, Number alpha,
                  Number eps, Number weight_decay, Number momentum, Flag maximize) {
  const char* f = "rmsprop";
  expect_flag({f, "maximize"}, maximize);
  non_negative(f, "lr", lr);
  non_negative(f, "eps", eps);
  non_negative(f, "weight_decay", weight_decay);
  non_negative(f, "momentum", momentum);
  expect_number({f, "alpha"}, alpha, 0, 1, "a number in [0, 1]");
  Arrays arrays(f, param, grad);
  arrays.add("square_avg", square_avg);
  int buffer = -1, average = -1;
  if (momentum > 0) {
    arrays.add_needed("momentum_buffer", momentum_buffer, "momentum > 0");
    buffer = arrays.last();
  }
  if (given(grad_avg)) {
    arrays.add("grad_avg", grad_avg);
    average = arrays.last();
  }
  const RmspropOptions options = {lr, alpha, eps, weight_decay, momentum, maximize};
  with_dtype(arrays.dtype(), [&](auto tag) {
    using T = decltype(tag);
    py::gil_scoped_release release;
    rmsprop(arrays.size(), arrays.written<T>(0), arrays.grad<T>(), arrays.written<T>(1),
            arrays.written<T>(buffer), arrays.written<T>(average), options);
  });
}

void bind_adagrad(py::handle param, py::handle grad, py::handle state_sum, Integer step, Number lr,
                  Number lr_decay, Number weight_decay, Number eps, Flag maximize) {
  const char* f = "adagrad";
  expect_flag({f, "maximize"}, maximize);
  non_negative(f, "lr", lr);
  non_negative(f, "lr_decay", lr_decay);
  non_negative(f, "weight_decay", weight_decay);
  non_negative(f, "eps", eps);
  expect_step(f, step);
  Arrays arrays(f, param, grad);
  arrays.add("state_sum", state_sum);
  const AdagradOptions options = {step, lr, lr_decay, weight_decay, eps, maximize};
  with_dtype(arrays.dtype(), [&](auto tag) {
    using T = decltype(tag);
    py::gil_scoped_release release;
    adagrad(arrays.size(), arrays.written<T>(0), arrays.grad<T>(), arrays.written<T>(1), options);
  });
}

}  // namespace

void init_optimizers(py::module_& m) {
  using py::arg;
  const py::none none;
  m.def("sgd", &bind_sgd, arg("param"), arg("grad"), arg("momentum_buffer") = none, py::kw_only(),
        arg("lr"), arg("momentum") = 0.0, arg("dampening") = 0.0, arg("weight_decay") = 0.0,
        arg("nesterov") = false, arg("maximize") = false, arg("first") = false);
  m.def("adam", &bind_adam, arg("param"), arg("grad"), arg("exp_avg"), arg("exp_avg_sq"),
        arg("max_exp_avg_sq") = none, py::kw_only(), arg("step"), arg("lr"),
        arg("betas") = std::pair<double, double>(0.9, 0.999), arg("eps") = 1e-8,
        arg("weight_decay") = 0.0, arg("decoupled") = false, arg("maximize") = false);
  m.def("rmsprop", &bind_rmsprop, arg("param"), arg("grad"), arg("square_avg"),
        arg("momentum_buffer") = none, arg("grad_avg") = none, py::kw_only(), arg("lr"),
        arg("alpha") = 0.99, arg("eps") = 1e-8, arg("weight_decay") = 0.0, arg("momentum") = 0.0,
        arg("maximize") = false);
  m.def("adagrad", &bind_adagrad, arg("param"), arg("grad"), arg("state_sum"), py::kw_only(),
        arg("step"), arg("lr"), arg("lr_decay") = 0.0, arg("weight_decay") = 0.0,
        arg("eps") = 1e-10, arg("maximize") = false);
}

}  // namespace bindings
}  // namespace mlpeak
