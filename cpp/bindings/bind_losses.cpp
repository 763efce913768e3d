#include <cfloat>
#include <optional>

#include "bindings/bindings.h"
#include "bindings/loss_args.h"

namespace mlpeak {
namespace bindings {
namespace {

using namespace py::literals;

/// The checked arguments that all element-wise losses share.
class ElementwiseCall {
 public:
  ElementwiseCall(const char* function, LossKind kind, py::handle input_object,
                  py::handle target_object, py::handle weight_object, py::handle reduction_object)
      : input({function, "input"}, input_object),
        target({function, "target"}, target_object, input),
        function_(function),
        kind_(kind) {
    target.expect_shape(input.shape, "the shape of input");
    expect_not_empty(input);
    batch_ = input.shape.ndim ? input.shape[0] : 1;
    sample_weight_ =
        read_weight({function, "sample_weight"}, weight_object, input, batch_, "(batch,)");
    reduction_ = read_reduction(function, reduction_object);
    if (kind == LossKind::binary_cross_entropy) expect_numbers(input, kProbability);
    const bool probabilities = kind == LossKind::binary_cross_entropy ||
                               kind == LossKind::binary_cross_entropy_with_logits;
    expect_numbers(target, probabilities ? kProbability : kAnyNumber);
  }

  void read_variance(py::handle object) {
    extra_.emplace(Arg{function_, "var"}, object, input);
    extra_->expect_shape(input.shape, "the shape of input");
    expect_numbers(*extra_, kVariance);
  }

  void read_pos_weight(py::handle object) {
    if (!given(object)) return;
    const Arg arg{function_, "pos_weight"};
    extra_.emplace(arg, object, input);
    const Shape& shape = extra_->shape;
    const int64_t last = input.shape.ndim ? input.shape[-1] : 1;
    if (shape != Shape{} && shape != Shape{1} && shape != Shape{last})
      value_error(arg, "has shape " + shape.text() +
                           "; expected () or the last axis of input = " + Shape{last}.text());
    expect_numbers(*extra_, kWeight);
  }

  py::array forward(py::handle out_object) {
    Out out({function_, "out"}, out_object, input.dtype,
            reduction_ == Reduction::none ? input.shape : Shape{});
    keep_apart(out);
    with_dtype(input.dtype, [&](auto zero) {
      using T = decltype(zero);
      py::gil_scoped_release release;
      elementwise_loss<T>(args<T>(), reduction_, out.data<T>());
    });
    return out.array;
  }

  py::array backward(py::handle grad_object, py::handle out_object) {
    const In grad_output = read_grad_output(function_, grad_object, input, reduction_, input.shape);
    Out out({function_, "out"}, out_object, input.dtype, input.shape);
    keep_apart(out);
    out.must_not_overlap(grad_output);
    run_backward(grad_output, out, nullptr);
    return out.array;
  }

  py::tuple backward_pair(py::handle grad_object, py::handle out_object) {
    const In grad_output = read_grad_output(function_, grad_object, input, reduction_, input.shape);
    py::object first = py::none(), second = py::none();
    if (given(out_object)) {
      if (!py::isinstance<py::tuple>(out_object) || py::len(out_object) != 2)
        type_error(
            {function_, "out"},
            "is " + py::str(py::type::handle_of(out_object).attr("__name__")).cast<std::string>() +
                "; expected (grad_input, grad_var)");
      first = out_object[py::int_(0)];
      second = out_object[py::int_(1)];
    }
    Out grad_input({function_, "out[0]"}, first, input.dtype, input.shape);
    Out grad_var({function_, "out[1]"}, second, input.dtype, input.shape);
    for (Out* out : {&grad_input, &grad_var}) {
      keep_apart(*out);
      out->must_not_overlap(grad_output);
    }
    grad_var.must_not_overlap(grad_input);
    run_backward(grad_output, grad_input, &grad_var);
    return py::make_tuple(grad_input.array, grad_var.array);
  }

  LossOptions options;
  In input, target;

 private:
  template <class T>
  ElementwiseLossArgs<T> args() const {
    return {kind_,
            options,
            input.data<T>(),
            target.data<T>(),
            data_or_null<T>(extra_),
            extra_ ? extra_->shape.size() : 0,
            data_or_null<T>(sample_weight_),
            batch_,
            input.shape.size() / batch_};
  }

  void keep_apart(Out& out) const {
    out.must_not_overlap(input);
    out.must_not_overlap(target);
    if (extra_) out.must_not_overlap(*extra_);
    if (sample_weight_) out.must_not_overlap(*sample_weight_);
  }

  void run_backward(const In& grad_output, const Out& grad, const Out* grad_extra) const {
    with_dtype(input.dtype, [&](auto zero) {
      using T = decltype(zero);
      py::gil_scoped_release release;
      elementwise_loss_backward<T>(args<T>(), reduction_, grad_output.data<T>(), grad.data<T>(),
                                   grad_extra ? grad_extra->data<T>() : nullptr);
    });
  }

  const char* function_;
  LossKind kind_;
  Reduction reduction_;
  int64_t batch_;
  std::optional<In> extra_, sample_weight_;
};

double expect_not_negative(const char* function, const char* name, const Number& value) {
  return expect_number({function, name}, value, 0, DBL_MAX, "a finite number >= 0");
}

double expect_positive(const char* function, const char* name, const Number& value) {
  return expect_number({function, name}, value, DBL_MIN, DBL_MAX, "a finite number > 0");
}

/// A loss without options and its gradient.
template <LossKind kKind>
void def_plain(py::module_& m, const char* name, const char* name_backward) {
  m.def(
      name,
      [name](py::handle input, py::handle target, py::handle sample_weight, py::handle reduction,
             py::handle out) {
        return ElementwiseCall(name, kKind, input, target, sample_weight, reduction).forward(out);
      },
      "input"_a, "target"_a, py::kw_only(), "sample_weight"_a = py::none(), "reduction"_a = "mean",
      "out"_a = py::none());
  m.def(
      name_backward,
      [name_backward](py::handle grad_output, py::handle input, py::handle target,
                      py::handle sample_weight, py::handle reduction, py::handle out) {
        return ElementwiseCall(name_backward, kKind, input, target, sample_weight, reduction)
            .backward(grad_output, out);
      },
      "grad_output"_a, "input"_a, "target"_a, py::kw_only(), "sample_weight"_a = py::none(),
      "reduction"_a = "mean", "out"_a = py::none());
}

/// smooth_l1 and huber: one threshold, checked by `expect`.
template <LossKind kKind>
void def_threshold(py::module_& m, const char* name, const char* name_backward, const char* option,
                   double (*expect)(const char*, const char*, const Number&)) {
  m.def(
      name,
      [=](py::handle input, py::handle target, Number threshold, py::handle sample_weight,
          py::handle reduction, py::handle out) {
        ElementwiseCall call(name, kKind, input, target, sample_weight, reduction);
        call.options.threshold = expect(name, option, threshold);
        return call.forward(out);
      },
      "input"_a, "target"_a, py::kw_only(), py::arg(option) = 1.0, "sample_weight"_a = py::none(),
      "reduction"_a = "mean", "out"_a = py::none());
  m.def(
      name_backward,
      [=](py::handle grad_output, py::handle input, py::handle target, Number threshold,
          py::handle sample_weight, py::handle reduction, py::handle out) {
        ElementwiseCall call(name_backward, kKind, input, target, sample_weight, reduction);
        call.options.threshold = expect(name_backward, option, threshold);
        return call.backward(grad_output, out);
      },
      "grad_output"_a, "input"_a, "target"_a, py::kw_only(), py::arg(option) = 1.0,
      "sample_weight"_a = py::none(), "reduction"_a = "mean", "out"_a = py::none());
}

void def_with_logits(py::module_& m) {
  m.def(
      "binary_cross_entropy_with_logits",
      [](py::handle input, py::handle target, py::handle pos_weight, py::handle sample_weight,
         py::handle reduction, py::handle out) {
        ElementwiseCall call("binary_cross_entropy_with_logits",
                             LossKind::binary_cross_entropy_with_logits, input, target,
                             sample_weight, reduction);
        call.read_pos_weight(pos_weight);
        return call.forward(out);
      },
      "input"_a, "target"_a, py::kw_only(), "pos_weight"_a = py::none(),
      "sample_weight"_a = py::none(), "reduction"_a = "mean", "out"_a = py::none());
  m.def(
      "binary_cross_entropy_with_logits_backward",
      [](py::handle grad_output, py::handle input, py::handle target, py::handle pos_weight,
         py::handle sample_weight, py::handle reduction, py::handle out) {
        ElementwiseCall call("binary_cross_entropy_with_logits_backward",
                             LossKind::binary_cross_entropy_with_logits, input, target,
                             sample_weight, reduction);
        call.read_pos_weight(pos_weight);
        return call.backward(grad_output, out);
      },
      "grad_output"_a, "input"_a, "target"_a, py::kw_only(), "pos_weight"_a = py::none(),
      "sample_weight"_a = py::none(), "reduction"_a = "mean", "out"_a = py::none());
}

ElementwiseCall gaussian_call(const char* function, py::handle input, py::handle target,
                              py::handle var, Flag full, Number eps, py::handle sample_weight,
                              py::handle reduction) {
  ElementwiseCall call(function, LossKind::gaussian_nll, input, target, sample_weight, reduction);
  call.options.full = expect_flag({function, "full"}, full);
  call.options.eps = expect_not_negative(function, "eps", eps);
  call.read_variance(var);
  return call;
}

void def_gaussian(py::module_& m) {
  m.def(
      "gaussian_nll_loss",
      [](py::handle input, py::handle target, py::handle var, Flag full, Number eps,
         py::handle sample_weight, py::handle reduction, py::handle out) {
        return gaussian_call("gaussian_nll_loss", input, target, var, full, eps, sample_weight,
                             reduction)
            .forward(out);
      },
      "input"_a, "target"_a, "var"_a, py::kw_only(), "full"_a = false, "eps"_a = 1e-6,
      "sample_weight"_a = py::none(), "reduction"_a = "mean", "out"_a = py::none());
  m.def(
      "gaussian_nll_loss_backward",
      [](py::handle grad_output, py::handle input, py::handle target, py::handle var, Flag full,
         Number eps, py::handle sample_weight, py::handle reduction, py::handle out) {
        return gaussian_call("gaussian_nll_loss_backward", input, target, var, full, eps,
                             sample_weight, reduction)
            .backward_pair(grad_output, out);
      },
      "grad_output"_a, "input"_a, "target"_a, "var"_a, py::kw_only(), "full"_a = false,
      "eps"_a = 1e-6, "sample_weight"_a = py::none(), "reduction"_a = "mean", "out"_a = py::none());
}

ElementwiseCall poisson_call(const char* function, py::handle input, py::handle target,
                             Flag log_input, Flag full, Number eps, py::handle sample_weight,
                             py::handle reduction) {
  ElementwiseCall call(function, LossKind::poisson_nll, input, target, sample_weight, reduction);
  call.options.log_input = expect_flag({function, "log_input"}, log_input);
  call.options.full = expect_flag({function, "full"}, full);
  call.options.eps = expect_not_negative(function, "eps", eps);
  return call;
}

void def_poisson(py::module_& m) {
  m.def(
      "poisson_nll_loss",
      [](py::handle input, py::handle target, Flag log_input, Flag full, Number eps,
         py::handle sample_weight, py::handle reduction, py::handle out) {
        return poisson_call("poisson_nll_loss", input, target, log_input, full, eps, sample_weight,
                            reduction)
            .forward(out);
      },
      "input"_a, "target"_a, py::kw_only(), "log_input"_a = true, "full"_a = false, "eps"_a = 1e-8,
      "sample_weight"_a = py::none(), "reduction"_a = "mean", "out"_a = py::none());
  m.def(
      "poisson_nll_loss_backward",
      [](py::handle grad_output, py::handle input, py::handle target, Flag log_input, Flag full,
         Number eps, py::handle sample_weight, py::handle reduction, py::handle out) {
        return poisson_call("poisson_nll_loss_backward", input, target, log_input, full, eps,
                            sample_weight, reduction)
            .backward(grad_output, out);
      },
      "grad_output"_a, "input"_a, "target"_a, py::kw_only(), "log_input"_a = true, "full"_a = false,
      "eps"_a = 1e-8, "sample_weight"_a = py::none(), "reduction"_a = "mean", "out"_a = py::none());
}

}  // namespace

void init_losses(py::module_& m) {
  def_plain<LossKind::mse>(m, "mse_loss", "mse_loss_backward");
  def_plain<LossKind::l1>(m, "l1_loss", "l1_loss_backward");
  def_threshold<LossKind::smooth_l1>(m, "smooth_l1_loss", "smooth_l1_loss_backward", "beta",
                                     expect_not_negative);
  def_threshold<LossKind::huber>(m, "huber_loss", "huber_loss_backward", "delta", expect_positive);
  def_plain<LossKind::binary_cross_entropy>(m, "binary_cross_entropy",
                                            "binary_cross_entropy_backward");
  def_with_logits(m);
  def_gaussian(m);
  def_poisson(m);
}

}  // namespace bindings
}  // namespace mlpeak
