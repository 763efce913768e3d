// The matrix product: the three products of an MLP's layers, squares, and few rows.
#include "ops/gemm.h"

#include "bench.h"
#include "ops/linear.h"

namespace mlpeak {
namespace bench {
namespace {

enum class Product { forward, grad_input, grad_weight };

/// Y = X Wᵀ, dX = dY W or dW = dYᵀ X of a layer with X (batch, in), W (out, in), Y (batch, out).
template <class T>
void add_product(const std::string& group, Product product, int64_t batch, int64_t in,
                 int64_t out) {
  static const char* const kNames[] = {"forward", "grad_input", "grad_weight"};
  const std::string name = "gemm/" + std::string(dtype_name<T>()) + "/" + group + "/" +
                           std::to_string(batch) + "x" + std::to_string(in) + "-" +
                           std::to_string(out) + "/" + kNames[int(product)];
  add(name, [=](benchmark::State& state) {
    Array<T> x(batch * in), w(out * in), y(batch * out);
    LinearForward<T> forward = {};
    forward.batch = batch;
    forward.in = in;
    forward.out = out;
    forward.x = x.data();
    forward.w = w.data();
    forward.y = y.data();
    for (auto _ : state) {
      switch (product) {
        case Product::forward:
          linear_forward(forward);
          break;
        case Product::grad_input:
          gemm<T>(batch, in, out, {y.data(), out, 1}, {w.data(), in, 1}, x.data(), in);
          break;
        case Product::grad_weight:
          gemm<T>(out, in, batch, {y.data(), 1, out}, {x.data(), in, 1}, w.data(), in);
      }
      benchmark::ClobberMemory();
    }
    report_flops<T>(state, 2.0 * double(batch) * double(in) * double(out));
  });
}

template <class T>
void add_square(int64_t n) {
  add("gemm/" + std::string(dtype_name<T>()) + "/square/" + std::to_string(n),
      [=](benchmark::State& state) {
        Array<T> a(n * n), b(n * n), c(n * n);
        for (auto _ : state) {
          gemm<T>(n, n, n, {a.data(), n, 1}, {b.data(), n, 1}, c.data(), n);
          benchmark::ClobberMemory();
        }
        report_flops<T>(state, 2.0 * double(n) * double(n) * double(n));
      });
}

template <class T>
void add_layers(int64_t batch, int64_t in, int64_t hidden, int64_t out) {
  const int64_t sizes[] = {in, hidden, hidden, out};
  for (int layer = 0; layer < 3; ++layer)
    for (Product product : {Product::forward, Product::grad_input, Product::grad_weight})
      add_product<T>("mlp", product, batch, sizes[layer], sizes[layer + 1]);
}

template <class T>
void add_all() {
  for (int64_t n : {256, 512, 1024, 2048}) add_square<T>(n);
  for (int64_t batch : {32, 128, 256}) add_layers<T>(batch, 784, 512, 10);
  add_layers<T>(256, 784, 2048, 10);
  for (int64_t batch : {1, 4, 16, 64})
    for (int64_t width : {64, 256, 1024})
      add_product<T>("skinny", Product::forward, batch, width, width);
}

}  // namespace

void register_gemm() {
  add_all<float>();
  add_all<double>();
}

}  // namespace bench
}  // namespace mlpeak
