// Layers, activations and updates as instructions of a program.
#include "bindings/program.h"
#include "engine/elementwise.h"
#include "engine/linear.h"
#include "engine/updates.h"

namespace mlpeak {
namespace bindings {
namespace {

using namespace engine;

ActivationCall activation_call(const std::string& name, const std::vector<double>& params) {
  ActivationCall call;
  for (const ActivationInfo& a : kActivations)
    if (name == a.name) {
      call.id = a.id;
      for (int i = 0; i < 2; ++i)
        call.params[i] = i < int(params.size()) ? params[size_t(i)] : a.params[i];
    }
  return call;
}

int weight(PyProgram& program, int value, int64_t out, int64_t in, bool forward, bool backward,
           const std::string& precision) {
  return program.visit([&](auto& p) {
    p.add_weight(value, out, in, forward, backward,
                 precision == "bf16" ? Precision::bf16 : Precision::native);
    return p.weight_count() - 1;
  });
}

void linear(PyProgram& program, int stage, int weight, int x, int y, int bias, int pre,
            const std::string& activation, const std::vector<double>& params) {
  program.add<Linear>(stage, [&](auto& i, auto& p) {
    i.weight = p.weight(weight);
    i.x = p.operand(x);
    i.y = p.operand(y);
    i.bias = bias;
    i.pre = p.operand(pre);
    i.activation = activation_call(activation, params);
  });
}
void linear_backward_input(PyProgram& program, int stage, int weight, int grad, int grad_x,
                           int saved, const std::string& activation,
                           const std::vector<double>& params) {
  program.add<LinearBackwardInput>(stage, [&](auto& i, auto& p) {
    i.weight = p.weight(weight);
    i.grad = p.operand(grad);
    i.grad_x = p.operand(grad_x);
    i.saved = p.operand(saved);
    i.activation = activation_call(activation, params);
  });
}
void linear_backward_weight(PyProgram& program, int stage, int weight, int grad, int x,
                            int gradient, int group, int parameter,
                            const std::vector<int>& states) {
  program.add<LinearBackwardWeight>(stage, [&](auto& i, auto& p) {
    i.weight = p.weight(weight);
    i.grad = p.operand(grad);
    i.x = p.operand(x);
    i.destination = destination(gradient, group, parameter, states);
    if (group >= 0) i.weight->set_updated();
  });
}
void linear_backward_bias(PyProgram& program, int stage, int grad, int gradient, int group,
                          int parameter, const std::vector<int>& states) {
  program.add<LinearBackwardBias>(stage, [&](auto& i, auto& p) {
    i.grad = p.operand(grad);
    i.destination = destination(gradient, group, parameter, states);
  });
}
void activation(PyProgram& program, int stage, const std::string& name,
                const std::vector<double>& params, bool backward, int x, int grad, int y) {
  if (name == "softmax" || name == "log_softmax") {
    program.add<SoftmaxInstruction>(stage, [&](auto& i, auto& p) {
      i.logarithm = name == "log_softmax";
      i.backward = backward;
      i.x = p.operand(x);
      i.grad = p.operand(grad);
      i.y = p.operand(y);
    });
    return;
  }
  program.add<ActivationInstruction>(stage, [&](auto& i, auto& p) {
    i.activation = activation_call(name, params);
    i.backward = backward;
    i.x = p.operand(x);
    i.grad = p.operand(grad);
    i.y = p.operand(y);
  });
}
void dropout(PyProgram& program, int stage, double probability, int draw, int x, int y) {
  program.add<DropoutInstruction>(stage, [&](auto& i, auto& p) {
    i.p = probability;
    i.draw = draw;
    i.x = p.operand(x);
    i.y = p.operand(y);
  });
}

void update(PyProgram& program, int stage, int gradient, int group, int parameter,
            const std::vector<int>& states, int64_t size) {
  program.add<UpdateInstruction>(stage, [&](auto& i, auto&) {
    i.destination = destination(gradient, group, parameter, states);
    i.size = size;
  });
}
void pack(PyProgram& program, int stage, int weight) {
  const bool has_copies = program.visit([&](auto& p) {
    p.weight(weight)->set_updated();
    return p.weight(weight)->has_copies();
  });
  if (!has_copies) return;
  program.add<PackInstruction>(stage, [&](auto& i, auto& p) { i.weight = p.weight(weight); });
}
void batch_number(PyProgram& program, int out, double scale, int power, double divisor) {
  program.add<BatchNumber>(-1, [&](auto& i, auto&) {
    i.scale = scale;
    i.inverse = power != 1;
    i.divisor = divisor;
    i.out = out;
  });
}

}  // namespace

void bind_program_layers(ProgramClass& c) {
  c.def("weight", &weight, py::arg("value"), py::arg("out"), py::arg("into"), py::arg("forward"),
        py::arg("backward"), py::arg("precision") = "fp32")
      .def("linear", &linear)
      .def("linear_backward_input", &linear_backward_input)
      .def("linear_backward_weight", &linear_backward_weight)
      .def("linear_backward_bias", &linear_backward_bias)
      .def("activation", &activation)
      .def("dropout", &dropout)
      .def("update", &update)
      .def("pack", &pack)
      .def("batch_number", &batch_number);
}

}  // namespace bindings
}  // namespace mlpeak
