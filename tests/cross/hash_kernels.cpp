// Prints a hash of each operation's result on every tier this program was built with, a line each:
// "float gemm 0123456789abcdef". Equal bits are equal lines, whatever machine printed them.
#include <cstdio>
#include <vector>

#include "mlpeak/tier.h"
#include "ops/elementwise.h"
#include "ops/gemm.h"
#include "ops/losses.h"
#include "ops/norms.h"
#include "ops/optimizers.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/rows.h"

namespace {

using namespace mlpeak;

/// FNV-1a over the bytes of an array.
template <class T>
uint64_t hash(const std::vector<T>& values, uint64_t h = 14695981039346656037u) {
  const auto* bytes = reinterpret_cast<const unsigned char*>(values.data());
  for (size_t i = 0; i < values.size() * sizeof(T); ++i) h = (h ^ bytes[i]) * 1099511628211u;
  return h;
}

template <class T>
struct Cases {
  const char* dtype;

  void line(const char* name, uint64_t h) const {
    std::printf("%s %s %016llx\n", dtype, name, static_cast<unsigned long long>(h));
  }

  static std::vector<T> uniform(size_t n, T low, T high, uint32_t stream) {
    std::vector<T> x(n);
    random_uniform<T>(int64_t(n), RandomKey{1, stream, 0}, low, high, x.data());
    return x;
  }

  void products() const {
    for (const auto& [m, n, k] : {Size{7, 70, 300}, Size{65, 17, 33}, Size{1, 129, 257}}) {
      const auto a = uniform(size_t(m * k), -1, 1, 1), b = uniform(size_t(n * k), -1, 1, 2);
      std::vector<T> c(size_t(m * n));
      gemm<T>(m, n, k, {a.data(), k, 1}, {b.data(), 1, k}, c.data(), n);
      uint64_t h = hash(c);
      gemm<T>(m, n, k, {a.data(), 1, m}, {b.data(), n, 1}, c.data(), n);
      line("gemm", hash(c, h));
      gemm_few<T>(m, n, k, a.data(), b.data(), c.data());
      line("gemm_few", hash(c));
    }
  }

  void functions() const {
    constexpr size_t kCount = 4099;
    const auto x = uniform(kCount, -20, 20, 3), g = uniform(kCount, -1, 1, 4);
    const auto positive = uniform(kCount, 0, 90, 5);
    std::vector<T> y(kCount), dx(kCount);
    for (int f = 0; f < kElementaryCount; ++f) {
      elementary<T>(Elementary(f), positive.data(), y.data(), kCount);
      line("elementary", hash(y));
    }
    for (const ActivationInfo& a : kActivations) {
      activation_forward<T>(a.id, x.data(), y.data(), kCount, a.params);
      const T* saved = a.saves == Saves::output ? y.data() : x.data();
      activation_backward<T>(a.id, g.data(), saved, dx.data(), kCount, a.params);
      line(a.name, hash(dx, hash(y)));
    }
  }

  void rows() const {
    constexpr int64_t kRows = 77, kColumns = 53;
    const auto x = uniform(kRows * kColumns, -5, 5, 6), g = uniform(kRows * kColumns, -1, 1, 7);
    const auto w = uniform(kColumns, 0, 1, 8), b = uniform(kColumns, -1, 1, 9);
    std::vector<T> y(x.size()), dx(x.size()), mean(kRows), rstd(kRows), dw(kColumns), db(kColumns);
    softmax(x.data(), y.data(), kRows, kColumns);
    softmax_backward(g.data(), y.data(), dx.data(), kRows, kColumns);
    line("softmax", hash(dx, hash(y)));
    sum_axis(x.data(), 1, kRows * kColumns, 1, 1.0, mean.data());
    sum_axis(x.data(), 1, kRows, kColumns, 3.0, dw.data());
    line("sum", hash(dw, hash(mean)));
    layer_norm(kRows, kColumns, x.data(), w.data(), b.data(), 1e-5, y.data(), mean.data(),
               rstd.data());
    layer_norm_backward(kRows, kColumns, g.data(), x.data(), w.data(), mean.data(), rstd.data(),
                        dx.data(), dw.data(), db.data());
    line("layer_norm", hash(dw, hash(dx, hash(y))));
    std::vector<T> column_mean(kColumns), column_rstd(kColumns), ones(kColumns, 1);
    batch_norm_training(kRows, kColumns, x.data(), w.data(), b.data(), db.data(), ones.data(), 0.1,
                        1e-5, y.data(), column_mean.data(), column_rstd.data());
    line("batch_norm", hash(ones, hash(y)));
  }

  void losses() const {
    constexpr int64_t kBatch = 129, kSize = 7;
    const auto x = uniform(kBatch * kSize, T(0.01), T(0.99), 10);
    const auto t = uniform(kBatch * kSize, T(0.01), T(0.99), 11);
    const T one = 1;
    for (int kind = 0; kind <= int(LossKind::poisson_nll); ++kind) {
      ElementwiseLossArgs<T> args{};
      args.kind = LossKind(kind);
      args.options.eps = 1e-6;
      args.input = x.data();
      args.target = t.data();
      if (args.kind == LossKind::gaussian_nll) {
        args.extra = t.data();
        args.extra_size = kBatch * kSize;
      }
      args.batch = kBatch;
      args.row_size = kSize;
      std::vector<T> loss(1), grad(x.size()), grad_extra(x.size());
      elementwise_loss(args, Reduction::mean, loss.data());
      elementwise_loss_backward(args, Reduction::mean, &one, grad.data(), grad_extra.data());
      line("loss", hash(grad_extra, hash(grad, hash(loss))));
    }
  }

  void updates() const {
    constexpr size_t kCount = 1003;
    const auto g = uniform(kCount, -1, 1, 12);
    auto p = uniform(kCount, -1, 1, 13), m = uniform(kCount, -1, 1, 14);
    auto v = uniform(kCount, 0, 1, 15);
    adam<T>(kCount, p.data(), g.data(), m.data(), v.data(), nullptr,
            {3, 1e-3, 0.9, 0.999, 1e-8, 0.01, true, false});
    line("adam", hash(v, hash(m, hash(p))));
    sgd<T>(kCount, p.data(), g.data(), m.data(), {0.1, 0.9, 0, 1e-4, true, false, false});
    line("sgd", hash(m, hash(p)));
    rmsprop<T>(kCount, p.data(), g.data(), v.data(), nullptr, nullptr,
               {1e-2, 0.99, 1e-8, 0, 0, false});
    line("rmsprop", hash(v, hash(p)));
    adagrad<T>(kCount, p.data(), g.data(), v.data(), {2, 1e-2, 0.1, 0, 1e-10, false});
    line("adagrad", hash(v, hash(p)));
    std::vector<T> normal(kCount);
    random_normal<T>(kCount, RandomKey{5, 6, 7}, 0, 1, normal.data());
    dropout<T>(kCount, RandomKey{5, 6, 8}, 0.3, g.data(), p.data());
    line("random", hash(p, hash(normal)));
  }

  void all() const {
    products();
    functions();
    rows();
    losses();
    updates();
  }

 private:
  struct Size {
    int64_t m, n, k;
  };
};

}  // namespace

int main() {
  for (const Tier& tier : tiers()) {
    if (!tier.supported) continue;
    select_tier(tier.name);
    std::fprintf(stderr, "tier %s\n", tier.name);
    Cases<float>{"float"}.all();
    Cases<double>{"double"}.all();
  }
}
