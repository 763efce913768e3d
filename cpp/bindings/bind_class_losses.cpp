#include <limits>
#include <optional>
#include <string>

#include "bindings/bindings.h"
#include "bindings/loss_args.h"

namespace mlpeak {
namespace bindings {
namespace {

using namespace py::literals;

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
      probabilities_.emplace(target, target_object);
      if (probabilities_->shape.ndim == 1)
        type_error(target, std::string("has dtype ") + dtype_name(probabilities_->dtype) +
                               "; expected integers, or probabilities (batch, classes)");
      probabilities_->expect_dtype(input_).expect_shape(input_.shape, "the shape of input");
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

void init_class_losses(py::module_& m) {
  def_cross_entropy(m);
  def_nll(m);
}

}  // namespace bindings
}  // namespace mlpeak
