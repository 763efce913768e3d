// Optimizer updates: they read and write each array once, so memory is their limit.
#include "ops/optimizers.h"

#include "bench.h"

namespace mlpeak {
namespace bench {
namespace {

template <class T>
void add_update(const std::string& name, const std::string& size, int64_t n, int arrays,
                int streams, void (*update)(int64_t, T*, T*, T*, T*)) {
  add("optimizer/" + name + "/" + dtype_name<T>() + "/" + size, [=](benchmark::State& state) {
    Array<T> param(n), grad(n), first(n, 0.0), second(arrays == 4 ? n : 1, 0.0);
    for (auto _ : state) {
      update(n, param.data(), grad.data(), first.data(), second.data());
      benchmark::ClobberMemory();
    }
    const double bytes = double(n) * sizeof(T);
    report_bytes(state, streams * bytes, arrays * bytes);
  });
}

template <class T>
void add_all(const std::string& size, int64_t n) {
  add_update<T>("sgd_momentum", size, n, 3, 5, [](int64_t count, T* p, T* g, T* m, T*) {
    SgdOptions o{};
    o.lr = 1e-6;
    o.momentum = 0.9;
    sgd(count, p, g, m, o);
  });
  add_update<T>("adam", size, n, 4, 7, [](int64_t count, T* p, T* g, T* m, T* v) {
    AdamOptions o{};
    o.step = 1000;
    o.lr = 1e-6;
    o.beta1 = 0.9;
    o.beta2 = 0.999;
    o.eps = 1e-8;
    adam<T>(count, p, g, m, v, nullptr, o);
  });
  add_update<T>("rmsprop", size, n, 3, 5, [](int64_t count, T* p, T* g, T* v, T*) {
    RmspropOptions o{};
    o.lr = 1e-6;
    o.alpha = 0.99;
    o.eps = 1e-8;
    rmsprop<T>(count, p, g, v, nullptr, nullptr, o);
  });
  add_update<T>("adagrad", size, n, 3, 5, [](int64_t count, T* p, T* g, T* s, T*) {
    AdagradOptions o{};
    o.step = 1000;
    o.lr = 1e-6;
    o.eps = 1e-10;
    adagrad(count, p, g, s, o);
  });
}

}  // namespace

void register_optimizers() {
  add_all<float>("100k", 100'000);
  add_all<float>("10M", 10'000'000);
  add_all<double>("100k", 100'000);
  add_all<double>("10M", 10'000'000);
}

}  // namespace bench
}  // namespace mlpeak
