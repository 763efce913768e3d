#include "bindings/group_options.h"

namespace mlpeak {
namespace bindings {
namespace {

/// The names of torch.optim's options, interned: a dict finds such keys by their address.
struct Keys {
  static PyObject* intern(const char* name) { return PyUnicode_InternFromString(name); }
  PyObject* lr = intern("lr");
  PyObject* momentum = intern("momentum");
  PyObject* dampening = intern("dampening");
  PyObject* weight_decay = intern("weight_decay");
  PyObject* nesterov = intern("nesterov");
  PyObject* maximize = intern("maximize");
  PyObject* betas = intern("betas");
  PyObject* eps = intern("eps");
  PyObject* amsgrad = intern("amsgrad");
  PyObject* decoupled = intern("decoupled_weight_decay");
  PyObject* alpha = intern("alpha");
  PyObject* lr_decay = intern("lr_decay");
};
const Keys& keys() {
  static const Keys k;
  return k;
}

Rule rule_of(const std::string& name, const py::dict& group) {
  if (name == "sgd")
    return py::float_(group["momentum"]).cast<double>() != 0 ? Rule::sgd_momentum : Rule::sgd;
  if (name == "adam") return group["amsgrad"].cast<bool>() ? Rule::amsgrad : Rule::adam;
  return name == "rmsprop" ? Rule::rmsprop : Rule::adagrad;
}

PyObject* find(const py::dict& group, PyObject* key) {
  PyObject* found = PyDict_GetItemWithError(group.ptr(), key);
  if (!found) {
    if (!PyErr_Occurred()) PyErr_SetObject(PyExc_KeyError, key);
    throw py::error_already_set();
  }
  return found;
}

double as_double(PyObject* object) {
  if (PyFloat_CheckExact(object)) return PyFloat_AS_DOUBLE(object);
  const double value = PyFloat_AsDouble(object);
  if (value == -1 && PyErr_Occurred()) throw py::error_already_set();
  return value;
}

bool has(const py::dict& group, const char* key) {
  return group.contains(key) && group[key].cast<bool>();
}

}  // namespace

GroupOptions::GroupOptions(py::dict group, const std::string& rule, int64_t step, bool first)
    : group_(std::move(group)),
      rule_(rule_of(rule, group_)),
      step_(step),
      first_(first),
      velocity_(has(group_, "velocity")),
      uncorrected_eps_(has(group_, "uncorrected_eps")),
      penalised_(has(group_, "penalised")) {}

double GroupOptions::number(PyObject* key) const {
  return as_double(find(group_, key));
}

bool GroupOptions::flag(PyObject* key) const {
  PyObject* const found = find(group_, key);
  if (found == Py_False || found == Py_True) return found == Py_True;
  const int truth = PyObject_IsTrue(found);
  if (truth < 0) throw py::error_already_set();
  return truth != 0;
}

void GroupOptions::read(engine::UpdateOptions& o) const {
  const Keys& k = keys();
  o.rule = rule_;
  o.penalised = penalised_;
  switch (rule_) {
    case Rule::sgd:
    case Rule::sgd_momentum:
      o.sgd = {number(k.lr),
               number(k.momentum),
               number(k.dampening),
               number(k.weight_decay),
               flag(k.nesterov),
               flag(k.maximize),
               first_,
               velocity_};
      return;
    case Rule::adam:
    case Rule::amsgrad: {
      double beta[2];
      for (int i = 0; i < 2; ++i) {
        PyObject* item = PySequence_GetItem(find(group_, k.betas), i);
        if (!item) throw py::error_already_set();
        beta[i] = as_double(py::reinterpret_steal<py::object>(item).ptr());
      }
      o.adam = {step_ + 1,         number(k.lr),     beta[0],
                beta[1],           number(k.eps),    number(k.weight_decay),
                flag(k.decoupled), flag(k.maximize), uncorrected_eps_};
      return;
    }
    case Rule::rmsprop:
      o.rmsprop = {number(k.lr),           number(k.alpha),    number(k.eps),
                   number(k.weight_decay), number(k.momentum), flag(k.maximize)};
      return;
    case Rule::adagrad:
      o.adagrad = {step_ + 1,     number(k.lr),    number(k.lr_decay), number(k.weight_decay),
                   number(k.eps), flag(k.maximize)};
  }
}

void GroupOptions::advance(int64_t updates) {
  step_ += updates;
  if (updates > 0) first_ = false;
}

}  // namespace bindings
}  // namespace mlpeak
