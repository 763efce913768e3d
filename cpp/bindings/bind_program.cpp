// The compiled program as a Python class, private to mlpeak.compiler: it is built instruction by
// instruction, bound to arrays, and run. Checks that every call needs are here; what the lowering
// guarantees (that operands exist and fit) is not checked again.
#include <optional>
#include <variant>
#include <vector>

#include <pybind11/stl.h>

#include "bindings/args.h"
#include "bindings/bindings.h"
#include "engine/elementwise.h"
#include "engine/losses.h"
#include "engine/program.h"

namespace mlpeak {
namespace bindings {
namespace {

using namespace engine;
using namespace py::literals;

SourceType source_type(Arg arg, const py::array& array) {
  const py::dtype dtype = array.dtype();
  const char kind = dtype.kind();
  const auto size = dtype.itemsize();
  if (dtype.attr("isnative").cast<bool>()) {
    if (kind == 'f' && size == 4) return SourceType::f32;
    if (kind == 'f' && size == 8) return SourceType::f64;
    if (kind == 'i' && size == 1) return SourceType::i8;
    if ((kind == 'u' || kind == 'b') && size == 1) return SourceType::u8;
    if (kind == 'i' && size == 2) return SourceType::i16;
    if (kind == 'u' && size == 2) return SourceType::u16;
    if (kind == 'i' && size == 4) return SourceType::i32;
    if (kind == 'u' && size == 4) return SourceType::u32;
    if (kind == 'i' && size == 8) return SourceType::i64;
  }
  type_error(arg, "has dtype " + py::str(dtype).cast<std::string>() +
                      "; expected float32, float64 or an integer type");
}

bool poll_signals(void*) {
  py::gil_scoped_acquire acquire;
  return PyErr_CheckSignals() != 0;
}

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

double number(const py::dict& d, const char* key, double otherwise = 0) {
  return d.contains(key) ? d[key].cast<double>() : otherwise;
}
bool flag(const py::dict& d, const char* key) {
  return d.contains(key) && d[key].cast<bool>();
}

/// An update's options from the fields of a parameter group.
UpdateOptions update_options(const std::string& rule, const py::dict& d) {
  UpdateOptions o;
  const auto step = int64_t(number(d, "step", 1));
  if (rule == "sgd") {
    o.sgd = {number(d, "lr"),           number(d, "momentum"), number(d, "dampening"),
             number(d, "weight_decay"), flag(d, "nesterov"),   flag(d, "maximize"),
             flag(d, "first")};
    o.rule = o.sgd.momentum != 0 ? Rule::sgd_momentum : Rule::sgd;
  } else if (rule == "adam") {
    o.adam = {step,
              number(d, "lr"),
              number(d, "beta1"),
              number(d, "beta2"),
              number(d, "eps"),
              number(d, "weight_decay"),
              flag(d, "decoupled"),
              flag(d, "maximize")};
    o.rule = flag(d, "amsgrad") ? Rule::amsgrad : Rule::adam;
  } else if (rule == "rmsprop") {
    o.rmsprop = {number(d, "lr"),           number(d, "alpha"),    number(d, "eps"),
                 number(d, "weight_decay"), number(d, "momentum"), flag(d, "maximize")};
    o.rule = Rule::rmsprop;
  } else {
    o.adagrad = {step,
                 number(d, "lr"),
                 number(d, "lr_decay"),
                 number(d, "weight_decay"),
                 number(d, "eps"),
                 flag(d, "maximize")};
    o.rule = Rule::adagrad;
  }
  return o;
}

/// A program of either dtype with the Python objects whose memory it uses.
class PyProgram {
 public:
  explicit PyProgram(const std::string& dtype) {
    if (dtype == "float64") program_.emplace<Program<double>>();
  }

  template <class F>
  auto visit(F&& f) {
    return std::visit(std::forward<F>(f), program_);
  }

  int add_rows(int64_t columns, int64_t ld) {
    return visit([&](auto& p) { return p.add_rows(columns, ld); });
  }
  int add_array(int64_t size) {
    return visit([&](auto& p) { return p.add_array(size); });
  }
  int add_integers() {
    return visit([&](auto& p) { return p.add_integers(); });
  }

  /// Lets a value stand in `array`, which is kept alive.
  void set_array(int value, const py::array& array) {
    if (size_t(value) >= arrays_.size()) arrays_.resize(size_t(value) + 1);
    arrays_[size_t(value)] = array;
    visit([&](auto& p) {
      using T = typename std::decay_t<decltype(p)>::Element;
      p.set_pointer(value, static_cast<T*>(const_cast<void*>(array.data())));
    });
  }

  void set_source(int value, bool integer, const py::array& array, double scale,
                  const std::string& name, int64_t columns) {
    const Arg arg = {"step", name.c_str()};
    if (!(array.flags() & py::array::c_style))
      value_error(arg, "is not C-contiguous; expected a C-contiguous array");
    Source source;
    source.data = array.data();
    source.type = source_type(arg, array);
    source.columns = columns;
    source.scale = scale;
    visit([&](auto& p) {
      if (integer)
        p.set_integer_source(value, source);
      else
        p.set_source(value, source);
    });
  }

  int64_t run(int64_t samples, int64_t batch_size, const std::optional<py::array>& order,
              uint64_t seed, uint64_t step, uint32_t stream, int64_t draws,
              const std::optional<py::array>& losses, bool stop_unless_finite, bool poll) {
    Run run;
    run.samples = samples;
    run.batch_size = batch_size;
    run.order = order ? static_cast<const int64_t*>(order->data()) : nullptr;
    run.random = {seed, step, stream};
    run.draws = draws;
    run.losses = losses ? static_cast<double*>(const_cast<void*>(losses->data())) : nullptr;
    run.stop_unless_finite = stop_unless_finite;
    if (poll) run.interrupted = poll_signals;
    const int64_t completed = visit([&](auto& p) {
      py::gil_scoped_release release;
      return p.run(run);
    });
    if (PyErr_Occurred()) throw py::error_already_set();
    return completed;
  }

  py::list lines(int64_t batch) {
    py::list result;
    visit([&](auto& p) {
      for (const auto& line : p.lines(batch))
        result.append(py::make_tuple(line.stage, line.rows, line.text, line.flops, line.bytes,
                                     line.nanoseconds));
    });
    return result;
  }

  // ---- instructions ----

  template <template <class> class I, class F>
  void add(int stage, F&& fill) {
    visit([&](auto& p) {
      using T = typename std::decay_t<decltype(p)>::Element;
      auto instruction = std::make_unique<I<T>>();
      fill(*instruction, p);
      p.add(stage, std::move(instruction));
    });
  }

  int weight(int value, int64_t out, int64_t in, bool forward, bool backward) {
    return visit([&](auto& p) {
      p.add_weight(value, out, in, forward, backward);
      return p.weight_count() - 1;
    });
  }

  void linear(int stage, int weight, int x, int y, int bias, int pre, const std::string& activation,
              const std::vector<double>& params) {
    add<Linear>(stage, [&](auto& i, auto& p) {
      i.weight = p.weight(weight);
      i.x = p.operand(x);
      i.y = p.operand(y);
      i.bias = bias;
      i.pre = p.operand(pre);
      i.activation = activation_call(activation, params);
    });
  }
  void linear_backward_input(int stage, int weight, int grad, int grad_x, int saved,
                             const std::string& activation, const std::vector<double>& params) {
    add<LinearBackwardInput>(stage, [&](auto& i, auto& p) {
      i.weight = p.weight(weight);
      i.grad = p.operand(grad);
      i.grad_x = p.operand(grad_x);
      i.saved = p.operand(saved);
      i.activation = activation_call(activation, params);
    });
  }
  static Destination destination(int gradient, int group, int parameter,
                                 const std::vector<int>& states) {
    Destination d;
    d.gradient = gradient;
    d.group = group;
    d.parameter = parameter;
    for (size_t i = 0; i < states.size() && i < 3; ++i) d.states[i] = states[i];
    return d;
  }
  void linear_backward_weight(int stage, int weight, int grad, int x, int gradient, int group,
                              int parameter, const std::vector<int>& states) {
    add<LinearBackwardWeight>(stage, [&](auto& i, auto& p) {
      i.weight = p.weight(weight);
      i.grad = p.operand(grad);
      i.x = p.operand(x);
      i.destination = destination(gradient, group, parameter, states);
    });
  }
  void linear_backward_bias(int stage, int grad, int gradient, int group, int parameter,
                            const std::vector<int>& states) {
    add<LinearBackwardBias>(stage, [&](auto& i, auto& p) {
      i.grad = p.operand(grad);
      i.destination = destination(gradient, group, parameter, states);
    });
  }
  void activation(int stage, const std::string& name, const std::vector<double>& params,
                  bool backward, int x, int grad, int y) {
    if (name == "softmax" || name == "log_softmax") {
      add<SoftmaxInstruction>(stage, [&](auto& i, auto& p) {
        i.logarithm = name == "log_softmax";
        i.backward = backward;
        i.x = p.operand(x);
        i.grad = p.operand(grad);
        i.y = p.operand(y);
      });
      return;
    }
    add<ActivationInstruction>(stage, [&](auto& i, auto& p) {
      i.activation = activation_call(name, params);
      i.backward = backward;
      i.x = p.operand(x);
      i.grad = p.operand(grad);
      i.y = p.operand(y);
    });
  }
  void dropout(int stage, double probability, int draw, int x, int y) {
    add<DropoutInstruction>(stage, [&](auto& i, auto& p) {
      i.p = probability;
      i.draw = draw;
      i.x = p.operand(x);
      i.y = p.operand(y);
    });
  }

  static Mean mean(const std::string& reduction, int divisor, int64_t row_size, int upstream) {
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
  static void fill_class_loss(I& i, P& p, const py::dict& d) {
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
  void class_loss(int stage, const py::dict& d) {
    add<ClassLossInstruction>(stage, [&](auto& i, auto& p) { fill_class_loss(i, p, d); });
  }
  void class_loss_total(int stage, int loss, const std::string& reduction, int divisor, int out) {
    add<ClassLossTotal>(stage, [&](auto& i, auto& p) {
      i.loss = p.operand(loss);
      i.mean = mean(reduction, divisor, 1, -1);
      i.out = out;
    });
  }
  template <class O, class P>
  static void fill_operands(O& o, P& p, const py::dict& d) {
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
  void elementwise_loss(int stage, const py::dict& d) {
    add<ElementwiseLossInstruction>(stage, [&](auto& i, auto& p) {
      fill_operands(i.operands, p, d);
      i.mean = mean(d["reduction"].cast<std::string>(), d["divisor"].cast<int>(),
                    i.operands.input.columns, d["upstream"].cast<int>());
      i.grad_output = p.operand(d["grad_output"].cast<int>());
      i.values = p.operand(d["values"].cast<int>());
      i.grad = p.operand(d["grad"].cast<int>());
      i.grad_extra = p.operand(d["grad_extra"].cast<int>());
    });
  }
  void elementwise_loss_total(int stage, const py::dict& d, int out) {
    add<ElementwiseLossTotal>(stage, [&](auto& i, auto& p) {
      fill_operands(i.operands, p, d);
      i.mean = mean(d["reduction"].cast<std::string>(), -1, i.operands.input.columns, -1);
      i.out = out;
    });
  }
  void class_loss_divisor(int stage, const py::dict& d, int out) {
    visit([&](auto& p) {
      using T = typename std::decay_t<decltype(p)>::Element;
      auto i = std::make_unique<LossDivisor<T>>();
      i->classes = std::make_shared<ClassLossInstruction<T>>();
      fill_class_loss(*i->classes, p, d);
      i->out = out;
      p.add(stage, std::move(i));
    });
  }
  void elementwise_loss_divisor(int stage, const py::dict& d, int out) {
    add<LossDivisor>(stage, [&](auto& i, auto& p) {
      fill_operands(i.operands, p, d);
      i.out = out;
    });
  }

  void arithmetic(int stage, const std::string& name, int x, int x_spread, int y, int y_spread,
                  int z) {
    add<ArithmeticInstruction>(stage, [&](auto& i, auto& p) {
      i.op = find_arithmetic(name);
      i.x = {Spread(x_spread), p.operand(x)};
      i.y = {Spread(y_spread), p.operand(y)};
      i.z = p.operand(z);
    });
  }
  void where(int stage, int c, int c_spread, int x, int x_spread, int y, int y_spread, int z) {
    add<WhereInstruction>(stage, [&](auto& i, auto& p) {
      i.condition = {Spread(c_spread), p.operand(c)};
      i.x = {Spread(x_spread), p.operand(x)};
      i.y = {Spread(y_spread), p.operand(y)};
      i.z = p.operand(z);
    });
  }
  void elementary(int stage, const std::string& name, double exponent, int x, int y) {
    add<ElementaryInstruction>(stage, [&](auto& i, auto& p) {
      i.power = name == "pow";
      constexpr const char* kNames[kElementaryCount] = {"exp", "log", "log1p", "expm1", "erf"};
      for (int k = 0; k < kElementaryCount; ++k)
        if (name == kNames[k]) i.function = Elementary(k);
      i.exponent = exponent;
      i.x = p.operand(x);
      i.y = p.operand(y);
    });
  }
  void copy_columns(int stage, int x, int64_t from, int y, int64_t to, int64_t count) {
    add<CopyColumns>(stage, [&](auto& i, auto& p) {
      i.x = p.operand(x);
      i.y = p.operand(y);
      i.from = from;
      i.to = to;
      i.count = count;
    });
  }
  void row_sum(int stage, int x, int y, double divisor) {
    add<RowSum>(stage, [&](auto& i, auto& p) {
      i.x = p.operand(x);
      i.y = p.operand(y);
      i.divisor = divisor;
    });
  }

 private:
  std::variant<Program<float>, Program<double>> program_;
  std::vector<py::object> arrays_;
};

}  // namespace

void init_program(py::module_& m) {
  py::class_<PyProgram>(m, "Program", "A compiled program; see mlpeak.compiler.")
      .def(py::init<const std::string&>(), "dtype"_a)
      .def("add_rows", &PyProgram::add_rows, "columns"_a, "ld"_a)
      .def("add_array", &PyProgram::add_array, "size"_a)
      .def("add_integers", &PyProgram::add_integers)
      .def("set_array", &PyProgram::set_array, "value"_a, "array"_a)
      .def("set_source", &PyProgram::set_source, "value"_a, "integer"_a, "array"_a, "scale"_a,
           "name"_a, "columns"_a)
      .def("set_result",
           [](PyProgram& self, int value, const py::array& out) {
             self.visit([&](auto& p) {
               using T = typename std::decay_t<decltype(p)>::Element;
               p.set_result(value, static_cast<T*>(const_cast<void*>(out.data())));
             });
           })
      .def("set_loss",
           [](PyProgram& self, int value) { self.visit([&](auto& p) { p.set_loss(value); }); })
      .def("set_group",
           [](PyProgram& self, int group, const std::string& rule, const py::dict& options) {
             const UpdateOptions o = update_options(rule, options);
             self.visit([&](auto& p) { p.set_group(group, o); });
           })
      .def("pack_weights", [](PyProgram& self) { self.visit([](auto& p) { p.pack_weights(); }); })
      .def("run", &PyProgram::run, "samples"_a, "batch_size"_a, "order"_a, "seed"_a, "step"_a,
           "stream"_a, "draws"_a, "losses"_a, "stop_unless_finite"_a, "poll"_a)
      .def("threads_for",
           [](PyProgram& self, int64_t batch) {
             return self.visit([&](auto& p) { return p.threads_for(batch); });
           })
      .def("lines", &PyProgram::lines, "batch"_a)
      .def("set_profiling",
           [](PyProgram& self, bool on) { self.visit([&](auto& p) { p.set_profiling(on); }); })
      .def("set_block_rows",
           [](PyProgram& self, int64_t rows) {
             self.visit([&](auto& p) { p.set_block_rows(rows); });
           })
      .def("weight", &PyProgram::weight)
      .def("linear", &PyProgram::linear)
      .def("linear_backward_input", &PyProgram::linear_backward_input)
      .def("linear_backward_weight", &PyProgram::linear_backward_weight)
      .def("linear_backward_bias", &PyProgram::linear_backward_bias)
      .def("activation", &PyProgram::activation)
      .def("dropout", &PyProgram::dropout)
      .def("class_loss", &PyProgram::class_loss)
      .def("class_loss_total", &PyProgram::class_loss_total)
      .def("class_loss_divisor", &PyProgram::class_loss_divisor)
      .def("elementwise_loss", &PyProgram::elementwise_loss)
      .def("elementwise_loss_total", &PyProgram::elementwise_loss_total)
      .def("elementwise_loss_divisor", &PyProgram::elementwise_loss_divisor)
      .def("arithmetic", &PyProgram::arithmetic)
      .def("where", &PyProgram::where)
      .def("elementary", &PyProgram::elementary)
      .def("copy_columns", &PyProgram::copy_columns)
      .def("row_sum", &PyProgram::row_sum);
}

}  // namespace bindings
}  // namespace mlpeak
