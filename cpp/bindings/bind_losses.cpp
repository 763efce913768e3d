#include <cfloat>
#include <cmath>
#include <limits>
#include <optional>

#include "bindings/args.h"
#include "bindings/bindings.h"
#include "ops/losses.h"

namespace mlpeak {
namespace bindings {
namespace {

using namespace py::literals;

// ---- checks -------------------------------------------------------------------------------------

Reduction read_reduction(const char* function, py::handle object) {
  const Arg arg{function, "reduction"};
  if (!py::isinstance<py::str>(object))
    type_error(arg, "is " + type_name(object) + "; expected a str");
  const std::string name = object.cast<std::string>();
  if (name == "none") return Reduction::none;
  if (name == "mean") return Reduction::mean;
  if (name == "sum") return Reduction::sum;
  value_error(arg,
              "is " + py::repr(object).cast<std::string>() + "; expected one of none, mean, sum");
}

/// What the numbers of an array must be.
struct Legal {
  double low, high;
  bool nan;
  const char* text;
};
constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr Legal kAnyNumber{-kInfinity, kInfinity, false, "(no NaN)"};
constexpr Legal kProbability{0, 1, false, "in [0, 1]"};
constexpr Legal kVariance{0, kInfinity, true, ">= 0"};  // a NaN is the model's, not a wrong call
constexpr Legal kWeight{0, DBL_MAX, false, ">= 0 and finite"};

template <class T>
void expect_numbers_of(const In& in, const Legal& legal) {
  const T largest = std::numeric_limits<T>::max();
  const T high = legal.high == DBL_MAX ? largest : T(legal.high);
  const T* data = in.data<T>();
  int64_t i;
  {
    py::gil_scoped_release release;
    i = find_outside(data, in.shape.size(), T(legal.low), high, legal.nan);
  }
  if (i >= 0)
    value_error(in.arg, "holds " + py::repr(py::float_(double(data[i]))).cast<std::string>() +
                            " at position " + std::to_string(i) + "; expected numbers " +
                            legal.text);
}

void expect_numbers(const In& in, const Legal& legal) {
  with_dtype(in.dtype, [&](auto zero) { expect_numbers_of<decltype(zero)>(in, legal); });
}

void expect_not_empty(const In& input) {
  if (input.shape.size() == 0)
    value_error(input.arg, "has shape " + input.shape.text() + ": the batch is empty");
}

/// An optional vector of finite weights >= 0.
std::optional<In> read_weight(Arg arg, py::handle object, const In& like, int64_t count,
                              const char* layout) {
  if (!given(object)) return std::nullopt;
  In weight(arg, object, like);
  weight.expect_shape({count}, layout);
  expect_numbers(weight, kWeight);
  return weight;
}

In read_grad_output(const char* function, py::handle object, const In& input, Reduction reduction,
                    const Shape& unreduced) {
  In grad_output({function, "grad_output"}, object, input);
  if (reduction == Reduction::none)
    grad_output.expect_shape(unreduced, "the unreduced loss");
  else
    grad_output.expect_shape({}, "the reduced loss");
  return grad_output;
}

template <class T>
const T* data_or_null(const std::optional<In>& in) {
  return in ? in->data<T>() : nullptr;
}

// ---- element-wise losses ------------------------------------------------------------------------

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

// ---- losses over classes ------------------------------------------------------------------------

bool is_float_array(py::handle object) {
  return py::isinstance<py::array>(object) &&
         py::reinterpret_borrow<py::array>(object).dtype().kind() == 'f';
}

/// The checked arguments of cross_entropy and nll_loss.
class ClassCall {
 public:
  ClassCall(const char* function, ClassLossKind kind, py::handle input_object,
            py::handle target_object, py::handle weight_object, Integer ignore_index,
            Number label_smoothing, py::handle sample_weight_object, py::handle reduction_object)
      : input_({function, "input"}, input_object),
        function_(function),
        kind_(kind),
        ignore_index_(expect_integer(
            {function, "ignore_index"}, ignore_index, std::numeric_limits<int64_t>::min(),
            std::numeric_limits<int64_t>::max(), "an integer in [-2**63, 2**63)")) {
    input_.expect_ndim(2, "(batch, classes)");
    const Arg target{function, "target"};
    if (kind == ClassLossKind::cross_entropy && is_float_array(target_object)) {
      probabilities_.emplace(target, target_object, input_);
      probabilities_->expect_shape(input_.shape, "the shape of input");
      if (ignore_index_ >= 0)
        value_error({function, "ignore_index"},
                    "is " + std::to_string(ignore_index_) +
                        "; expected a negative number, as probability targets cannot be ignored");
      expect_not_empty(input_);
      expect_numbers(*probabilities_, kAnyNumber);
    } else {
      expect_not_empty(input_);
      target_.emplace(target, target_object);
      target_->expect_range(classes(), "classes", ignore_index_);
      if (target_->shape != Shape{batch()})
        value_error(target, "has shape " + target_->shape.text() +
                                "; expected (batch,) = " + Shape{batch()}.text());
    }
    weight_ = read_weight({function, "weight"}, weight_object, input_, classes(), "(classes,)");
    sample_weight_ =
        read_weight({function, "sample_weight"}, sample_weight_object, input_, batch(), "(batch,)");
    smoothing_ =
        expect_number({function, "label_smoothing"}, label_smoothing, 0, 1, "a number in [0, 1]");
    reduction_ = read_reduction(function, reduction_object);
  }

  py::array forward(py::handle out_object) {
    Out out({function_, "out"}, out_object, input_.dtype, loss_shape());
    keep_apart(out);
    with_dtype(input_.dtype, [&](auto zero) {
      using T = decltype(zero);
      py::gil_scoped_release release;
      class_loss<T>(kind_, rows<T>(), reduction_, out.data<T>());
    });
    return out.array;
  }

  /// (loss, gradient); out_object is the gradient's.
  py::tuple forward_backward(py::handle out_object) {
    Out loss({function_, "loss"}, py::none(), input_.dtype, loss_shape());
    Out out({function_, "out"}, out_object, input_.dtype, input_.shape);
    keep_apart(out);
    with_dtype(input_.dtype, [&](auto zero) {
      using T = decltype(zero);
      py::gil_scoped_release release;
      class_loss_with_gradient<T>(kind_, rows<T>(), reduction_, loss.data<T>(), out.data<T>());
    });
    return py::make_tuple(loss.array, out.array);
  }

  py::array backward(py::handle grad_object, py::handle out_object) {
    const In grad_output =
        read_grad_output(function_, grad_object, input_, reduction_, Shape{batch()});
    Out out({function_, "out"}, out_object, input_.dtype, input_.shape);
    keep_apart(out);
    out.must_not_overlap(grad_output);
    with_dtype(input_.dtype, [&](auto zero) {
      using T = decltype(zero);
      py::gil_scoped_release release;
      class_loss_backward<T>(kind_, rows<T>(), reduction_, grad_output.data<T>(), out.data<T>());
    });
    return out.array;
  }

 private:
  int64_t batch() const { return input_.shape[0]; }
  int64_t classes() const { return input_.shape[1]; }
  Shape loss_shape() const { return reduction_ == Reduction::none ? Shape{batch()} : Shape{}; }

  template <class T>
  ClassLossRows<T> rows() const {
    return {input_.data<T>(),
            target_ ? target_->data : nullptr,
            data_or_null<T>(probabilities_),
            data_or_null<T>(weight_),
            T(0),  // class_weight_sum: the operation's to fill
            data_or_null<T>(sample_weight_),
            batch(),
            classes(),
            ignore_index_,
            T(1 - smoothing_),
            T(smoothing_ / double(classes()))};
  }

  void keep_apart(Out& out) const {
    out.must_not_overlap(input_);
    if (target_) out.must_not_overlap(*target_);
    for (const std::optional<In>* in : {&probabilities_, &weight_, &sample_weight_})
      if (*in) out.must_not_overlap(**in);
  }

  In input_;
  const char* function_;
  ClassLossKind kind_;
  int64_t ignore_index_;
  double smoothing_;
  Reduction reduction_;
  std::optional<Indices> target_;
  std::optional<In> probabilities_, weight_, sample_weight_;
};

void def_cross_entropy(py::module_& m) {
  m.def(
      "cross_entropy",
      [](py::handle input, py::handle target, py::handle weight, Integer ignore_index,
         Number label_smoothing, py::handle sample_weight, py::handle reduction, py::handle out) {
        return ClassCall("cross_entropy", ClassLossKind::cross_entropy, input, target, weight,
                         ignore_index, label_smoothing, sample_weight, reduction)
            .forward(out);
      },
      "input"_a, "target"_a, py::kw_only(), "weight"_a = py::none(), "ignore_index"_a = -100,
      "label_smoothing"_a = 0.0, "sample_weight"_a = py::none(), "reduction"_a = "mean",
      "out"_a = py::none());
  m.def(
      "cross_entropy_backward",
      [](py::handle grad_output, py::handle input, py::handle target, py::handle weight,
         Integer ignore_index, Number label_smoothing, py::handle sample_weight,
         py::handle reduction, py::handle out) {
        return ClassCall("cross_entropy_backward", ClassLossKind::cross_entropy, input, target,
                         weight, ignore_index, label_smoothing, sample_weight, reduction)
            .backward(grad_output, out);
      },
      "grad_output"_a, "input"_a, "target"_a, py::kw_only(), "weight"_a = py::none(),
      "ignore_index"_a = -100, "label_smoothing"_a = 0.0, "sample_weight"_a = py::none(),
      "reduction"_a = "mean", "out"_a = py::none());
  m.def(
      "cross_entropy_forward_backward",
      [](py::handle input, py::handle target, py::handle weight, Integer ignore_index,
         Number label_smoothing, py::handle sample_weight, py::handle reduction, py::handle out) {
        return ClassCall("cross_entropy_forward_backward", ClassLossKind::cross_entropy, input,
                         target, weight, ignore_index, label_smoothing, sample_weight, reduction)
            .forward_backward(out);
      },
      "input"_a, "target"_a, py::kw_only(), "weight"_a = py::none(), "ignore_index"_a = -100,
      "label_smoothing"_a = 0.0, "sample_weight"_a = py::none(), "reduction"_a = "mean",
      "out"_a = py::none());
}

void def_nll(py::module_& m) {
  m.def(
      "nll_loss",
      [](py::handle input, py::handle target, py::handle weight, Integer ignore_index,
         py::handle sample_weight, py::handle reduction, py::handle out) {
        return ClassCall("nll_loss", ClassLossKind::nll, input, target, weight, ignore_index, 0.0,
                         sample_weight, reduction)
            .forward(out);
      },
      "input"_a, "target"_a, py::kw_only(), "weight"_a = py::none(), "ignore_index"_a = -100,
      "sample_weight"_a = py::none(), "reduction"_a = "mean", "out"_a = py::none());
  m.def(
      "nll_loss_backward",
      [](py::handle grad_output, py::handle input, py::handle target, py::handle weight,
         Integer ignore_index, py::handle sample_weight, py::handle reduction, py::handle out) {
        return ClassCall("nll_loss_backward", ClassLossKind::nll, input, target, weight,
                         ignore_index, 0.0, sample_weight, reduction)
            .backward(grad_output, out);
      },
      "grad_output"_a, "input"_a, "target"_a, py::kw_only(), "weight"_a = py::none(),
      "ignore_index"_a = -100, "sample_weight"_a = py::none(), "reduction"_a = "mean",
      "out"_a = py::none());
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
  def_cross_entropy(m);
  def_nll(m);
}

}  // namespace bindings
}  // namespace mlpeak
