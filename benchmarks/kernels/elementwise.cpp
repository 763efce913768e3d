// Functions of one element, forward and backward, in a first-level cache and out of it; sums.
#include "ops/elementwise.h"

#include "bench.h"
#include "ops/reduce.h"

namespace mlpeak {
namespace bench {
namespace {

const struct {
  const char* name;
  int64_t elements;
} kSizes[] = {{"4Ki", 4 << 10}, {"1Mi", 1 << 20}};

template <class T>
void add_all() {
  const std::string dtype = dtype_name<T>();
  for (const auto& size : kSizes) {
    const int64_t n = size.elements;
    const double bytes = double(n) * sizeof(T);
    const std::string suffix = "/" + dtype + "/" + size.name;
    add("elementary/exp" + suffix, [=](benchmark::State& state) {
      Array<T> x(n), y(n);
      for (auto _ : state) {
        elementary(Elementary::exp, x.data(), y.data(), n);
        benchmark::ClobberMemory();
      }
      report_bytes(state, 2 * bytes, 2 * bytes);
    });
    for (const ActivationInfo& activation : kActivations) {
      const ActivationInfo* a = &activation;
      add("activation/" + std::string(a->name) + suffix, [=](benchmark::State& state) {
        Array<T> x(n), y(n);
        for (auto _ : state) {
          activation_forward(a->id, x.data(), y.data(), n, a->params);
          benchmark::ClobberMemory();
        }
        report_bytes(state, 2 * bytes, 2 * bytes);
      });
      add("activation/" + std::string(a->backward_name) + suffix, [=](benchmark::State& state) {
        Array<T> grad_output(n), saved(n), grad_input(n);
        for (auto _ : state) {
          activation_backward(a->id, grad_output.data(), saved.data(), grad_input.data(), n,
                              a->params);
          benchmark::ClobberMemory();
        }
        report_bytes(state, 3 * bytes, 3 * bytes);
      });
    }
    add("sum/all" + suffix, [=](benchmark::State& state) {
      Array<T> x(n);
      T out;
      for (auto _ : state) {
        sum_axis(x.data(), 1, n, 1, 1.0, &out);
        benchmark::DoNotOptimize(out);
      }
      report_bytes(state, bytes, bytes);
    });
  }
  add("sum/columns/" + dtype + "/256x1000", [](benchmark::State& state) {
    Array<T> x(256 * 1000), out(1000);
    for (auto _ : state) {
      sum_axis(x.data(), 1, 256, 1000, 1.0, out.data());
      benchmark::ClobberMemory();
    }
    const double bytes = double(x.size()) * sizeof(T);
    report_bytes(state, bytes, bytes);
  });
}

}  // namespace

void register_elementwise() {
  add_all<float>();
  add_all<double>();
}

}  // namespace bench
}  // namespace mlpeak
