// Rows: softmax, cross-entropy with its gradient, normalisations.
#include "ops/rows.h"

#include <vector>

#include "bench.h"
#include "ops/losses.h"
#include "ops/norms.h"

namespace mlpeak {
namespace bench {
namespace {

template <class T>
void add_losses(int64_t rows, int64_t classes) {
  const std::string suffix = "/" + std::string(dtype_name<T>()) + "/" + std::to_string(rows) + "x" +
                             std::to_string(classes);
  const double bytes = double(rows * classes) * sizeof(T);
  add("softmax/forward" + suffix, [=](benchmark::State& state) {
    Array<T> x(rows * classes), y(rows * classes);
    for (auto _ : state) {
      softmax(x.data(), y.data(), rows, classes);
      benchmark::ClobberMemory();
    }
    report_bytes(state, 2 * bytes, 2 * bytes);
  });
  add("cross_entropy/value_and_gradient" + suffix, [=](benchmark::State& state) {
    Array<T> x(rows * classes), grad(rows * classes);
    std::vector<int64_t> target(static_cast<size_t>(rows));
    for (int64_t i = 0; i < rows; ++i) target[size_t(i)] = i * 7919 % classes;
    ClassLossRows<T> args{};
    args.input = x.data();
    args.target = target.data();
    args.rows = rows;
    args.classes = classes;
    args.ignore_index = -100;
    args.confidence = T(1);
    const T one = T(1);
    T loss;
    for (auto _ : state) {
      class_loss(ClassLossKind::cross_entropy, args, Reduction::mean, &loss);
      class_loss_backward(ClassLossKind::cross_entropy, args, Reduction::mean, &one, grad.data());
      benchmark::DoNotOptimize(loss);
      benchmark::ClobberMemory();
    }
    report_bytes(state, 2 * bytes, 2 * bytes);
  });
}

template <class T>
void add_norms(int64_t rows, int64_t features) {
  const std::string suffix = "/" + std::string(dtype_name<T>()) + "/" + std::to_string(rows) + "x" +
                             std::to_string(features);
  struct Arrays {
    Arrays(int64_t r, int64_t f)
        : x(r * f),
          y(r * f),
          g(r * f),
          weight(f),
          bias(f),
          grad_weight(f),
          grad_bias(f),
          mean(r > f ? r : f),
          rstd(r > f ? r : f, 0.5) {}
    Array<T> x, y, g, weight, bias, grad_weight, grad_bias, mean, rstd;
  };
  const auto add_norm = [&](const std::string& name, int arrays, auto call) {
    add("norm/" + name + suffix, [=](benchmark::State& state) {
      Arrays a(rows, features);
      for (auto _ : state) {
        call(a);
        benchmark::ClobberMemory();
      }
      const double bytes = double(arrays) * double(rows * features) * sizeof(T);
      report_bytes(state, bytes, bytes);
    });
  };
  add_norm("layer_norm", 2, [=](Arrays& a) {
    layer_norm(rows, features, a.x.data(), a.weight.data(), a.bias.data(), 1e-5, a.y.data(),
               a.mean.data(), a.rstd.data());
  });
  add_norm("layer_norm_backward", 3, [=](Arrays& a) {
    layer_norm_backward(rows, features, a.g.data(), a.x.data(), a.weight.data(), a.mean.data(),
                        a.rstd.data(), a.y.data(), a.grad_weight.data(), a.grad_bias.data());
  });
  add_norm("rms_norm", 2, [=](Arrays& a) {
    rms_norm(rows, features, a.x.data(), a.weight.data(), 1e-5, a.y.data(), a.rstd.data());
  });
  add_norm("rms_norm_backward", 3, [=](Arrays& a) {
    rms_norm_backward(rows, features, a.g.data(), a.x.data(), a.weight.data(), a.rstd.data(),
                      a.y.data(), a.grad_weight.data());
  });
  add_norm("batch_norm", 2, [=](Arrays& a) {
    batch_norm_training<T>(rows, features, a.x.data(), a.weight.data(), a.bias.data(), nullptr,
                           nullptr, 0.1, 1e-5, a.y.data(), a.mean.data(), a.rstd.data());
  });
  add_norm("batch_norm_backward", 3, [=](Arrays& a) {
    batch_norm_backward(rows, features, a.g.data(), a.x.data(), a.weight.data(), a.mean.data(),
                        a.rstd.data(), true, a.y.data(), a.grad_weight.data(), a.grad_bias.data());
  });
}

template <class T>
void add_all() {
  add_losses<T>(256, 10);
  add_losses<T>(256, 1000);
  add_norms<T>(256, 512);
}

}  // namespace

void register_rows() {
  add_all<float>();
  add_all<double>();
}

}  // namespace bench
}  // namespace mlpeak
