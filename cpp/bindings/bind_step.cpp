// A program with all that one call of a step needs: which arrays to expect, whose options to read,
// which counters to move. The call of a small net is bound by this file, so it is written against
// Python's C interface where that is quicker, and gives up (returns None) whenever something is
// unusual: mlpeak.compiler then looks at it in Python, with an error or a new program.
#include <optional>

#include "bindings/changes.h"
#include "bindings/expected.h"
#include "bindings/group_options.h"
#include "bindings/program.h"

namespace mlpeak {
namespace bindings {
namespace {

using namespace engine;
using namespace py::literals;

struct Interned {
  PyObject* value = PyUnicode_InternFromString("value");
  PyObject* seed = PyUnicode_InternFromString("_seed");
  PyObject* step = PyUnicode_InternFromString("_step");
};
const Interned& interned() {
  static const Interned names;
  return names;
}

py::object get(PyObject* object, PyObject* name) {
  PyObject* found = PyObject_GetAttr(object, name);
  if (!found) throw py::error_already_set();
  return py::reinterpret_steal<py::object>(found);
}
void set(PyObject* object, PyObject* name, const py::object& value) {
  if (PyObject_SetAttr(object, name, value.ptr())) throw py::error_already_set();
}

struct Output {
  int value;
  bool rows;
  std::vector<int64_t> shape;  // of a sample, or of the whole
};

bool poll_signals(void*) {
  py::gil_scoped_acquire acquire;
  return PyErr_CheckSignals() != 0;
}

class Step {
 public:
  Step(py::object program, const py::list& expected, py::object generator, int64_t draws,
       uint32_t stream, int64_t accumulate)
      : program_(std::move(program)),
        native_(program_.cast<PyProgram&>()),
        generator_(std::move(generator)),
        draws_(draws),
        stream_(stream),
        accumulate_(accumulate) {
    for (const py::handle item : expected)
      expected_.emplace_back(py::reinterpret_borrow<py::dict>(item));
  }

  void add_group(const py::dict& group, const std::string& rule, int64_t step, bool first) {
    groups_.emplace_back(group, rule, step, first);
  }
  /// How many of the expected arrays `call` takes as x and as y; a weight may follow.
  void set_arguments(size_t inputs, size_t targets) {
    inputs_ = inputs;
    targets_ = targets;
  }
  void add_output(int value, bool rows, const std::vector<int64_t>& shape) {
    outputs_.push_back({value, rows, shape});
  }
  /// Whose `value` counts the changes of a tensor that the program reads; moved if it is `written`.
  void watch(py::object version, bool written) {
    watched_.push_back({std::move(version), py::none(), written});
  }

  /// An integer that grows by `increment` a step.
  void add_counter(const py::array_t<int64_t>& counter, int64_t increment) {
    counters_.push_back({counter, increment});
  }

  /// All is as the program was built for, from now on.
  void arm() {
    armed_ = change_count();
    for (Watched& w : watched_) w.seen = get(w.version.ptr(), interned().value);
  }
  /// Whether nothing changed since.
  bool is_armed() const {
    if (armed_ != change_count()) return false;
    for (const Watched& w : watched_)
      if (get(w.version.ptr(), interned().value).ptr() != w.seen.ptr()) return false;
    return true;
  }
  int64_t updates() const { return updates_; }
  /// The batch size of the last run, 0 before it.
  int64_t batch() const { return batch_; }
  void set_phase(int64_t phase) { phase_ = phase; }
  int64_t phase() const { return phase_; }

  /// The loss of one step, or None.
  py::object call(const py::handle& x, const py::handle& y, const py::handle& sample_weight) {
    if (!is_armed()) return py::none();
    const size_t most = expected_.size();
    PyObject* few[kFew];
    std::vector<PyObject*> many(most > kFew ? most : 0);
    PyObject** const found = most > kFew ? many.data() : few;
    size_t count = 0;
    const auto append_one = [&](PyObject* object) {
      if (count < most) found[count] = object;
      ++count;  // those beyond are counted too: they are too many
    };
    const auto append = [&](const py::handle& h) {
      if (!PyTuple_CheckExact(h.ptr())) return append_one(h.ptr());
      for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(h.ptr()); ++i)
        append_one(PyTuple_GET_ITEM(h.ptr(), i));
    };
    append(x);
    if (count != inputs_) return py::none();
    append(y);
    if (count != inputs_ + targets_) return py::none();
    if (!sample_weight.is_none()) append(sample_weight);
    if (count != most) return py::none();
    int64_t batch = -1;
    for (size_t i = 0; i < count; ++i)
      if (!expected_[i].accepts(found[i], batch)) return py::none();
    if (batch < 1) return py::none();
    for (size_t i = 0; i < count; ++i)
      if (!expected_[i].accepts_integers(py::reinterpret_borrow<py::array>(found[i])))
        return py::none();
    Busy busy(*this);
    for (size_t i = 0; i < count; ++i)
      bind(expected_[i], py::reinterpret_borrow<py::array>(found[i]), 1.0);
    double loss = 0;
    Run run;
    run.samples = run.batch_size = batch;
    run.losses = &loss;
    execute(run);
    return py::float_(loss);
  }

  /// Steps over whole arrays that were checked, or compressed rows (see bind_sparse); returns how
  /// many were completed.
  int64_t run(const py::tuple& arrays, const std::vector<double>& scales, int64_t samples,
              int64_t batch_size, const std::optional<py::array>& order,
              const std::optional<py::array>& losses, bool stop_unless_finite, bool poll,
              const std::optional<py::array>& penalties) {
    Busy busy(*this);
    bind_all(arrays, scales);
    Run run;
    run.samples = samples;
    run.batch_size = batch_size;
    run.order = order ? static_cast<const int64_t*>(order->data()) : nullptr;
    run.losses = losses ? static_cast<double*>(const_cast<void*>(losses->data())) : nullptr;
    run.penalties = penalties ? static_cast<const double*>(penalties->data()) : nullptr;
    run.stop_unless_finite = stop_unless_finite;
    return execute_polling(run, poll);
  }

  /// The outputs for x, new arrays or `out`; None if something is unusual.
  py::object forward(const py::handle& x, const py::handle& out) {
    if (!is_armed() || expected_.size() != 1 || outputs_.size() != 1) return py::none();
    int64_t batch = -1;
    if (!expected_[0].accepts(x.ptr(), batch) || batch < 1 ||
        !expected_[0].accepts_integers(py::reinterpret_borrow<py::array>(x)))
      return py::none();
    const Output& o = outputs_[0];
    if (!o.rows) return py::none();
    py::object result;
    if (out.is_none()) {
      result = new_array(o, batch);
    } else {
      int64_t rows = batch;
      if (!rows_type(out.ptr(), o.shape, rows)) return py::none();
      const auto array = py::reinterpret_borrow<py::array>(out);
      if (array.itemsize() != itemsize() || array.dtype().kind() != 'f' || !array.writeable() ||
          overlaps(array, py::reinterpret_borrow<py::array>(x)))
        return py::none();
      result = py::reinterpret_borrow<py::object>(out);
    }
    Busy busy(*this);
    bind(expected_[0], py::reinterpret_borrow<py::array>(x), 1.0);
    set_result(o.value, py::reinterpret_borrow<py::array>(result));
    Run run;
    run.samples = run.batch_size = batch;
    execute(run);
    return result;
  }

  /// Forward over whole arrays that were checked, in batches, into one array an output.
  void predict(const py::tuple& arrays, const std::vector<double>& scales, int64_t samples,
               int64_t batch_size, const py::list& results, bool poll) {
    Busy busy(*this);  // first: a run of another thread's would write to these results
    bind_all(arrays, scales);
    for (size_t i = 0; i < outputs_.size(); ++i)
      set_result(outputs_[i].value, py::reinterpret_borrow<py::array>(results[i]));
    Run run;
    run.samples = samples;
    run.batch_size = batch_size;
    execute_polling(run, poll);
  }

 private:
  static constexpr size_t kFew = 16;  // arrays: on the stack

  struct Watched {
    py::object version, seen;
    bool written;
  };
  struct Counter {
    py::array_t<int64_t> array;
    int64_t increment;
  };
  /// Marks the program as running; its memory is one thread's at a time.
  struct Busy {
    explicit Busy(Step& step) : program(step.native_) {
      program.expect_idle();
      program.busy = true;
    }
    ~Busy() { program.busy = false; }
    PyProgram& program;
  };

  void bind(const Expected& e, const py::array& array, double scale) {
    Source source;
    source.data = array.data();
    source.type = *source_type(array);
    source.columns = e.columns;
    source.scale = scale;
    native_.visit([&](auto& p) {
      if (e.integer)
        p.set_integer_source(e.value, source);
      else
        p.set_source(e.value, source);
    });
  }

  void bind_all(const py::tuple& arrays, const std::vector<double>& scales) {
    for (size_t i = 0; i < expected_.size(); ++i) {
      if (PyTuple_CheckExact(py::object(arrays[i]).ptr()))
        bind_sparse(expected_[i], arrays[i].cast<py::tuple>(), scales[i]);
      else
        bind(expected_[i], py::reinterpret_borrow<py::array>(arrays[i]), scales[i]);
    }
  }

  /// Compressed rows (data, starts, positions), the latter two int64, that were checked.
  void bind_sparse(const Expected& e, const py::tuple& rows, double scale) {
    const auto data = rows[0].cast<py::array>();
    Source source;
    source.data = data.data();
    source.type = *source_type(data);
    source.columns = e.columns;
    source.scale = scale;
    source.starts = rows[1].cast<py::array_t<int64_t>>().data();
    source.positions = rows[2].cast<py::array_t<int64_t>>().data();
    native_.visit([&](auto& p) { p.set_source(e.value, source); });
  }

  /// Whether contiguous arrays share memory but are not the same: a thread's results would then be
  /// written over another's samples.
  static bool overlaps(const py::array& one, const py::array& other) {
    const char* const a = static_cast<const char*>(one.data());
    const char* const b = static_cast<const char*>(other.data());
    if (a == b && one.nbytes() == other.nbytes()) return false;
    return a < b + other.nbytes() && b < a + one.nbytes();
  }

  py::ssize_t itemsize() {
    return native_.visit(
        [](auto& p) { return py::ssize_t(sizeof(typename std::decay_t<decltype(p)>::Element)); });
  }
  py::array new_array(const Output& o, int64_t batch) {
    std::vector<py::ssize_t> shape;
    if (o.rows) shape.push_back(batch);
    shape.insert(shape.end(), o.shape.begin(), o.shape.end());
    return native_.visit([&](auto& p) -> py::array {
      return py::array_t<typename std::decay_t<decltype(p)>::Element>(shape);
    });
  }
  void set_result(int value, const py::array& out) {
    native_.visit([&](auto& p) {
      using T = typename std::decay_t<decltype(p)>::Element;
      p.set_result(value, static_cast<T*>(const_cast<void*>(out.data())));
    });
  }

  /// Runs with the options of the groups and the state of the generator, and moves all counters.
  int64_t execute(Run& run) {
    const int64_t rest = run.samples % run.batch_size;
    const int64_t least = rest > 0 ? rest : run.batch_size;
    if (least < native_.least_batch)
      throw py::value_error("step: x has a batch of " + std::to_string(least) +
                            " samples; expected " + std::to_string(native_.least_batch) +
                            " or more for batch norm");
    UpdateOptions options;
    for (size_t g = 0; g < groups_.size(); ++g) {
      groups_[g].read(options);
      native_.visit([&](auto& p) { p.set_group(int(g), options); });
    }
    batch_ = run.batch_size;
    run.accumulate = accumulate_;
    run.phase = phase_;
    run.draws = draws_;
    py::object step;
    if (draws_) {
      step = get(generator_.ptr(), interned().step);
      run.random = {get(generator_.ptr(), interned().seed).cast<uint64_t>(), step.cast<uint64_t>(),
                    stream_};
    }
    const int64_t completed = native_.visit([&](auto& p) {
      py::gil_scoped_release release;
      return p.run(run);
    });
    py::error_scope interrupted;  // what a signal's handler raised is raised when all is counted
    if (draws_)
      set(generator_.ptr(), interned().step,
          py::int_(step.cast<uint64_t>() + uint64_t(completed * draws_)));
    const int64_t done = (phase_ + completed) / accumulate_;
    phase_ = (phase_ + completed) % accumulate_;
    updates_ += done;
    for (GroupOptions& group : groups_) group.advance(done);
    for (Counter& c : counters_) *c.array.mutable_data() += c.increment * completed;
    for (Watched& w : watched_)
      if (w.written) {
        w.seen = py::int_(w.seen.cast<int64_t>() + completed);
        set(w.version.ptr(), interned().value, w.seen);
      }
    return completed;
  }

  /// The same; with `poll`, a signal ends the run, and what its handler raised is raised.
  int64_t execute_polling(Run& run, bool poll) {
    if (poll) run.interrupted = poll_signals;
    const int64_t completed = execute(run);
    if (PyErr_Occurred()) throw py::error_already_set();
    return completed;
  }

  py::object program_;
  PyProgram& native_;
  py::object generator_;
  int64_t draws_;
  uint32_t stream_;
  int64_t accumulate_, phase_ = 0, updates_ = 0;
  std::vector<Expected> expected_;
  size_t inputs_ = 0, targets_ = 0;
  int64_t batch_ = 0;
  std::vector<Output> outputs_;
  std::vector<GroupOptions> groups_;
  std::vector<Watched> watched_;
  std::vector<Counter> counters_;
  int64_t armed_ = -1;
};

}  // namespace

void init_step(py::module_& m) {
  m.def("changes", [] { return change_count(); });
  m.def(
      "scan_integers",
      [](const py::array& array, const std::vector<int64_t>& uppers, int64_t ignore_index) {
        const Scan s = scan(array, uppers, ignore_index);
        return py::make_tuple(s.illegal, s.ignored);
      },
      "array"_a, "uppers"_a, "ignore_index"_a,
      "(position of the first integer outside [0, upper of its column) or -1, whether any is "
      "ignore_index)");
  py::class_<Step>(m, "Step", "A bound program; see mlpeak.compiler.")
      .def(py::init<py::object, py::list, py::object, int64_t, uint32_t, int64_t>(), "program"_a,
           "expected"_a, "generator"_a, "draws"_a, "stream"_a, "accumulate"_a)
      .def("add_group", &Step::add_group, "group"_a, "rule"_a, "step"_a, "first"_a)
      .def("set_arguments", &Step::set_arguments, "inputs"_a, "targets"_a)
      .def("add_output", &Step::add_output, "value"_a, "rows"_a, "shape"_a)
      .def("watch", &Step::watch, "version"_a, "written"_a)
      .def("add_counter", &Step::add_counter, "counter"_a, "increment"_a)
      .def("arm", &Step::arm)
      .def_property_readonly("armed", &Step::is_armed)
      .def_property_readonly("updates", &Step::updates)
      .def_property_readonly("batch", &Step::batch)
      .def_property("phase", &Step::phase, &Step::set_phase)
      .def("call", &Step::call, "x"_a, "y"_a, "sample_weight"_a)
      .def("forward", &Step::forward, "x"_a, "out"_a)
      .def("run", &Step::run, "arrays"_a, "scales"_a, "samples"_a, "batch_size"_a, "order"_a,
           "losses"_a, "stop_unless_finite"_a, "poll"_a, "penalties"_a = py::none())
      .def("predict", &Step::predict, "arrays"_a, "scales"_a, "samples"_a, "batch_size"_a,
           "results"_a, "poll"_a);
  // counted so often by eager code that pybind11's dispatch would be felt
  static PyMethodDef functions[] = {
      {"note_change",
       [](PyObject*, PyObject*) -> PyObject* {
         ++change_count();
         Py_RETURN_NONE;
       },
       METH_NOARGS, "Count a change that compiled steps must look at."},
      {nullptr, nullptr, 0, nullptr}};
  if (PyModule_AddFunctions(m.ptr(), functions)) throw py::error_already_set();
}

}  // namespace bindings
}  // namespace mlpeak
