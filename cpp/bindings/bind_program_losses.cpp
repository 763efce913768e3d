// Losses as instructions of a program.
#include "bindings/program.h"
#include "engine/losses.h"
#include "engine/penalty.h"

namespace mlpeak {
namespace bindings {
namespace {

using namespace engine;

Mean mean(const std::string& reduction, int divisor, int64_t row_size, int upstream) {
  Mean m;
  m.reduction = reduction == "none"  ? Reduction::none
                : reduction == "sum" ? Reduction::sum
                                     : Reduction::mean;
  m.divisor = divisor;
  m.row_size = row_size;
  m.upstream = upstream;
  return m;
}
template <class I, class P>
void fill_class_loss(I& i, P& p, const py::dict& d) {
  i.kind = d["name"].cast<std::string>() == "nll_loss" ? ClassLossKind::nll
                                                       : ClassLossKind::cross_entropy;
  const auto operand = [&](const char* key) { return p.operand(d[key].template cast<int>()); };
  i.input = operand("input");
  i.target = d["target"].template cast<int>();
  i.probabilities = operand("probabilities");
  i.class_weight = d["class_weight"].template cast<int>();
  i.sample_weight = operand("sample_weight");
  i.ignore_index = d["ignore_index"].template cast<int64_t>();
  i.label_smoothing = d["label_smoothing"].template cast<double>();
  i.mean = mean(d["reduction"].template cast<std::string>(), d["divisor"].template cast<int>(), 1,
                d["upstream"].template cast<int>());
  i.grad_output = operand("grad_output");
  i.loss = operand("loss");
  i.grad = operand("grad");
}
void class_loss(PyProgram& program, int stage, const py::dict& d) {
  program.add<ClassLossInstruction>(stage, [&](auto& i, auto& p) { fill_class_loss(i, p, d); });
}
void class_loss_total(PyProgram& program, int stage, int loss, const std::string& reduction,
                      int divisor, int out) {
  program.add<ClassLossTotal>(stage, [&](auto& i, auto& p) {
    i.loss = p.operand(loss);
    i.mean = mean(reduction, divisor, 1, -1);
    i.out = out;
  });
}
template <class O, class P>
void fill_operands(O& o, P& p, const py::dict& d) {
  const std::string name = d["name"].cast<std::string>();
  constexpr const char* kNames[] = {"mse_loss",
                                    "l1_loss",
                                    "smooth_l1_loss",
                                    "huber_loss",
                                    "binary_cross_entropy",
                                    "binary_cross_entropy_with_logits",
                                    "gaussian_nll_loss",
                                    "poisson_nll_loss"};
  for (int k = 0; k < 8; ++k)
    if (name == kNames[k]) o.kind = LossKind(k);
  o.options.threshold = number(d, "threshold", 1);
  o.options.eps = number(d, "eps");
  o.options.full = flag(d, "full");
  o.options.log_input = flag(d, "log_input");
  o.input = p.operand(d["input"].cast<int>());
  o.target = p.operand(d["target"].cast<int>());
  o.extra = p.operand(d["extra"].cast<int>());
  o.extra_array = d["extra_array"].cast<int>();
  o.extra_size = d["extra_size"].cast<int64_t>();
  o.sample_weight = p.operand(d["sample_weight"].cast<int>());
}
void elementwise_loss(PyProgram& program, int stage, const py::dict& d) {
  program.add<ElementwiseLossInstruction>(stage, [&](auto& i, auto& p) {
    fill_operands(i.operands, p, d);
    i.mean = mean(d["reduction"].cast<std::string>(), d["divisor"].cast<int>(),
                  i.operands.input.columns, d["upstream"].cast<int>());
    i.grad_output = p.operand(d["grad_output"].cast<int>());
    i.values = p.operand(d["values"].cast<int>());
    i.grad = p.operand(d["grad"].cast<int>());
    i.grad_extra = p.operand(d["grad_extra"].cast<int>());
  });
}
void elementwise_loss_total(PyProgram& program, int stage, const py::dict& d, int out) {
  program.add<ElementwiseLossTotal>(stage, [&](auto& i, auto& p) {
    fill_operands(i.operands, p, d);
    i.mean = mean(d["reduction"].cast<std::string>(), -1, i.operands.input.columns, -1);
    i.out = out;
  });
}
void class_loss_divisor(PyProgram& program, int stage, const py::dict& d, int out) {
  program.visit([&](auto& p) {
    using T = typename std::decay_t<decltype(p)>::Element;
    auto i = std::make_unique<LossDivisor<T>>();
    i->classes = std::make_shared<ClassLossInstruction<T>>();
    fill_class_loss(*i->classes, p, d);
    i->out = out;
    p.add(stage, std::move(i));
  });
}
void elementwise_loss_divisor(PyProgram& program, int stage, const py::dict& d, int out) {
  program.add<LossDivisor>(stage, [&](auto& i, auto& p) {
    fill_operands(i.operands, p, d);
    i.out = out;
  });
}

void penalised_loss(PyProgram& program, int stage, int loss, int divisor, double scale,
                    const std::vector<int>& partials, const std::vector<int64_t>& sizes, int out) {
  program.add<PenalisedLoss>(stage, [&](auto& i, auto& p) {
    i.loss = p.operand(loss);
    i.mean = mean("mean", divisor, 1, -1);
    i.scale = scale;
    for (size_t k = 0; k < partials.size(); ++k)
      i.partials.push_back({partials[k], sizes[k], sizes[k]});
    i.out = out;
  });
}

}  // namespace

void bind_program_losses(ProgramClass& c) {
  c.def("class_loss", &class_loss)
      .def("class_loss_total", &class_loss_total)
      .def("class_loss_divisor", &class_loss_divisor)
      .def("elementwise_loss", &elementwise_loss)
      .def("elementwise_loss_total", &elementwise_loss_total)
      .def("elementwise_loss_divisor", &elementwise_loss_divisor)
      .def("penalised_loss", &penalised_loss);
}

}  // namespace bindings
}  // namespace mlpeak
