"""The kernels against NumPy and PyTorch: the same arithmetic on the same shapes.

Each side is what a careful user of that library writes: preallocated results (``out=``) and
in-place updates wherever it has them; on PyTorch's side its operators without autograd.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from mlpeak.bench.workloads import Call, Workload

PICTURE = "rate"

QUICK = (
    "MLP layers, 32x784-512 forward, float32",
    "few rows, packed weight, 4x64-64 forward, float32",
    "activations 4Ki, tanh, float32",
    "optimizers, adam 100k, float32",
)

SIZES = {"4Ki": 4 << 10, "1Mi": 1 << 20}


def workloads() -> list[Workload]:
    """Return all workloads of the family."""
    found = []
    for batch, sizes in (
        (32, (784, 512, 512, 10)),
        (128, (784, 512, 512, 10)),
        (256, (784, 512, 512, 10)),
        (256, (784, 2048, 2048, 10)),
    ):
        for n_in, n_out in dict.fromkeys(pairwise(sizes)):
            for product in ("forward", "grad_input", "grad_weight"):
                found.append(layer_product("MLP layers", product, batch, n_in, n_out, "float32"))
    for dtype in ("float32", "float64"):
        found += [square(n, dtype) for n in (256, 512, 1024, 2048)]
    for batch in (1, 4, 16, 64):
        for width in (64, 256, 1024):
            found.append(
                layer_product(
                    "few rows, packed weight", "forward", batch, width, width, "float32", True
                )
            )
    for size in SIZES:
        for name in ("exp", "relu", "sigmoid", "tanh", "gelu", "silu"):
            found.append(activation(name, size))
            if name != "exp":
                found.append(activation_backward(name, size))
    found += [cross_entropy(256, classes) for classes in (10, 1000)]
    found += [layer_norm(256, 512), layer_norm_backward(256, 512)]
    found += [rms_norm(256, 512), batch_norm(256, 512)]
    for size, n in (("100k", 100_000), ("10M", 10_000_000)):
        found += [sgd(size, n), adam(size, n)]
    found += [total("1Mi"), column_sums(256, 1000)]
    return found


def normal(*shape: int, dtype: str = "float32") -> Any:
    """Return an array of standard normal numbers, the same ones in every process."""
    return np.random.default_rng(0).standard_normal(shape).astype(dtype)


def tensors(*arrays: Any) -> Any:
    """Return arrays as PyTorch's tensors, which share their memory."""
    import torch

    return [torch.from_numpy(array) for array in arrays]


def layer_product(
    group: str,
    product: str,
    batch: int,
    n_in: int,
    n_out: int,
    dtype: str,
    packed: bool = False,
) -> Workload:
    """One product of a linear layer: X Wᵀ, dY W or dYᵀ X; W is (n_out, n_in).

    `packed` lets mlpeak's forward use a weight that was laid out before (`kernels.pack`).
    """

    def arrays() -> tuple[Any, Any, Any]:
        x, w, y = (normal(*s, dtype=dtype) for s in ((batch, n_in), (n_out, n_in), (batch, n_out)))
        # left, right, result; a transpose is a view
        return {
            "forward": (x, w.T, y),
            "grad_input": (y, w, x),
            "grad_weight": (y.T, x, w),
        }[product]

    def with_numpy() -> Call:
        a, b, out = arrays()
        return lambda: np.matmul(a, b, out=out)

    def with_torch() -> Call:
        import torch

        a, b, out = tensors(*arrays())
        return lambda: torch.mm(a, b, out=out)

    def with_mlpeak() -> Call:
        from mlpeak import kernels

        a, b, out = arrays()
        if product == "forward":
            w = kernels.pack(b.T) if packed else b.T
            return lambda: kernels.linear(a, w, out=out)
        if product == "grad_input":
            return lambda: kernels.linear_backward_input(a, b, out=out)
        y = a.T
        return lambda: kernels.linear_backward_weight(y, b, out=out)

    return Workload(
        group,
        f"{batch}x{n_in}-{n_out} {product}",
        dtype,
        {"mlpeak": with_mlpeak, "numpy": with_numpy, "torch": with_torch},
        flops=2 * batch * n_in * n_out,
    )


def square(n: int, dtype: str) -> Workload:
    """The product of two square matrices."""

    def with_numpy() -> Call:
        a, b = normal(n, n, dtype=dtype), normal(n, n, dtype=dtype)
        out = np.empty_like(a)
        return lambda: np.matmul(a, b, out=out)

    def with_torch() -> Call:
        import torch

        a, b = tensors(normal(n, n, dtype=dtype), normal(n, n, dtype=dtype))
        out = torch.empty_like(a)
        return lambda: torch.mm(a, b, out=out)

    def with_mlpeak() -> Call:
        from mlpeak import kernels

        a, b = normal(n, n, dtype=dtype), normal(n, n, dtype=dtype)
        out = np.empty_like(a)
        return lambda: kernels.matmul(a, b, out=out)

    return Workload(
        f"squares {dtype}",
        str(n),
        dtype,
        {"mlpeak": with_mlpeak, "numpy": with_numpy, "torch": with_torch},
        flops=2 * n**3,
    )


def numpy_activation(name: str, x: Any, y: Any) -> Call:
    """Return y = f(x) in NumPy, without a temporary array where that can be."""

    def sigmoid(scale: float = 1.0) -> None:
        np.multiply(x, np.float32(-scale), out=y)
        np.exp(y, out=y)
        np.add(y, np.float32(1), out=y)
        np.divide(np.float32(1), y, out=y)

    def silu() -> None:
        sigmoid()
        np.multiply(y, x, out=y)

    def gelu() -> None:  # NumPy has no erf: Hendrycks & Gimpel's sigmoid form of it
        sigmoid(1.702)
        np.multiply(y, x, out=y)

    calls: dict[str, Call] = {
        "exp": lambda: np.exp(x, out=y),
        "relu": lambda: np.maximum(x, 0, out=y),
        "tanh": lambda: np.tanh(x, out=y),
        "sigmoid": sigmoid,
        "silu": silu,
        "gelu": gelu,
    }
    return calls[name]


def activation(name: str, size: str) -> Workload:
    """An activation, y = f(x)."""
    n = SIZES[size]

    def with_numpy() -> Call:
        return numpy_activation(name, normal(n), np.empty(n, np.float32))

    def with_torch() -> Call:
        import torch

        x, y = tensors(normal(n), np.empty(n, np.float32))
        aten = torch.ops.aten
        operator = getattr(aten, name).out
        return lambda: operator(x, out=y)

    def with_mlpeak() -> Call:
        from mlpeak import kernels

        x, y = normal(n), np.empty(n, np.float32)
        kernel = getattr(kernels, name)
        return lambda: kernel(x, out=y)

    return Workload(
        f"activations {size}",
        name,
        "float32",
        {"mlpeak": with_mlpeak, "numpy": with_numpy, "torch": with_torch},
        bytes=2 * 4 * n,
    )


def activation_backward(name: str, size: str) -> Workload:
    """The backward of an activation; `saved` is its output, or its input for gelu and silu."""
    n = SIZES[size]

    def arrays() -> tuple[Any, Any, Any]:
        return normal(n), np.tanh(normal(n)), np.empty(n, np.float32)

    def with_numpy() -> Call:
        g, saved, out = arrays()
        other = np.empty_like(out)
        one = np.float32(1)

        def relu() -> None:
            np.multiply(g, saved > 0, out=out)

        def tanh() -> None:
            np.multiply(saved, saved, out=out)
            np.subtract(one, out, out=out)
            np.multiply(out, g, out=out)

        def sigmoid() -> None:
            np.subtract(one, saved, out=out)
            np.multiply(out, saved, out=out)
            np.multiply(out, g, out=out)

        def silu(scale: float = 1.0) -> None:  # s + scale x s (1 - s), s = sigmoid(scale x)
            np.multiply(saved, np.float32(-scale), out=out)
            np.exp(out, out=out)
            np.add(out, one, out=out)
            np.divide(one, out, out=out)
            np.subtract(one, out, out=other)
            np.multiply(other, saved, out=other)
            np.multiply(other, np.float32(scale), out=other)
            np.add(other, one, out=other)
            np.multiply(out, other, out=out)
            np.multiply(out, g, out=out)

        calls: dict[str, Call] = {
            "relu": relu,
            "tanh": tanh,
            "sigmoid": sigmoid,
            "silu": silu,
            "gelu": lambda: silu(1.702),
        }
        return calls[name]

    def with_torch() -> Call:
        import torch

        g, saved, out = tensors(*arrays())
        aten = torch.ops.aten
        if name == "relu":
            return lambda: aten.threshold_backward.grad_input(g, saved, 0, grad_input=out)
        operator = getattr(aten, f"{name}_backward").grad_input
        return lambda: operator(g, saved, grad_input=out)

    def with_mlpeak() -> Call:
        from mlpeak import kernels

        g, saved, out = arrays()
        kernel = getattr(kernels, f"{name}_backward")
        return lambda: kernel(g, saved, out=out)

    return Workload(
        f"activations {size}",
        f"{name} backward",
        "float32",
        {"mlpeak": with_mlpeak, "numpy": with_numpy, "torch": with_torch},
        bytes=3 * 4 * n,
    )


def cross_entropy(rows: int, classes: int) -> Workload:
    """Softmax cross-entropy, the mean loss and its gradient."""

    def arrays() -> tuple[Any, Any]:
        return normal(rows, classes), np.random.default_rng(1).integers(0, classes, rows)

    def with_numpy() -> Call:
        x, target = arrays()
        index = np.arange(rows)

        def call() -> Any:
            grad = x - x.max(axis=1, keepdims=True)
            right = grad[index, target]
            np.exp(grad, out=grad)
            sums = grad.sum(axis=1, keepdims=True)
            loss = (np.log(sums[:, 0]) - right).mean()
            grad /= sums
            grad[index, target] -= 1
            grad /= rows
            return loss, grad

        return call

    def with_torch() -> Call:
        import torch

        x, target = tensors(*arrays())
        one, aten = torch.ones(()), torch.ops.aten

        def call() -> Any:
            log_p = aten._log_softmax(x, 1, False)
            loss, weight = aten.nll_loss_forward(log_p, target, None, 1, -100)
            grad = aten.nll_loss_backward(one, log_p, target, None, 1, -100, weight)
            return loss, aten._log_softmax_backward_data(grad, log_p, 1, torch.float32)

        return call

    def with_mlpeak() -> Call:
        from mlpeak import kernels

        x, target = arrays()
        grad = np.empty_like(x)
        return lambda: kernels.cross_entropy_forward_backward(x, target, out=grad)

    return Workload(
        "rows",
        f"cross-entropy + gradient {rows}x{classes}",
        "float32",
        {"mlpeak": with_mlpeak, "numpy": with_numpy, "torch": with_torch},
        bytes=2 * 4 * rows * classes,
    )


def layer_norm(rows: int, features: int) -> Workload:
    """Layer normalisation over the last axis, with weight and bias."""

    def with_numpy() -> Call:
        x, w, b = normal(rows, features), normal(features), normal(features)
        y, squares = np.empty_like(x), np.empty_like(x)

        def call() -> None:
            np.subtract(x, x.mean(axis=1, keepdims=True), out=y)
            np.multiply(y, y, out=squares)
            rstd = 1 / np.sqrt(squares.mean(axis=1, keepdims=True) + np.float32(1e-5))
            np.multiply(y, rstd, out=y)
            np.multiply(y, w, out=y)
            np.add(y, b, out=y)

        return call

    def with_torch() -> Call:
        import torch

        x, w, b = tensors(normal(rows, features), normal(features), normal(features))
        return lambda: torch.native_layer_norm(x, [features], w, b, 1e-5)

    def with_mlpeak() -> Call:
        from mlpeak import kernels

        x, w, b = normal(rows, features), normal(features), normal(features)
        y = np.empty_like(x)
        return lambda: kernels.layer_norm(x, w, b, out=y)

    return Workload(
        "rows",
        f"layer_norm {rows}x{features}",
        "float32",
        {"mlpeak": with_mlpeak, "numpy": with_numpy, "torch": with_torch},
        bytes=2 * 4 * rows * features,
    )


def layer_norm_backward(rows: int, features: int) -> Workload:
    """The three gradients of layer normalisation."""

    def arrays() -> tuple[Any, ...]:
        x = normal(rows, features)
        mean = x.mean(axis=1, keepdims=True)
        rstd = 1 / np.sqrt(x.var(axis=1, keepdims=True) + np.float32(1e-5))
        return normal(rows, features), x, normal(features), normal(features), mean, rstd

    def with_numpy() -> Call:
        g, x, w, _, mean, rstd = arrays()

        def call() -> Any:
            h = (x - mean) * rstd
            gh = g * h
            grad_w, grad_b = gh.sum(axis=0), g.sum(axis=0)
            gw = g * w
            np.multiply(gw, h, out=gh)
            h *= gh.mean(axis=1, keepdims=True)
            h += gw.mean(axis=1, keepdims=True)
            gw -= h
            gw *= rstd
            return gw, grad_w, grad_b

        return call

    def with_torch() -> Call:
        import torch

        g, x, w, b, mean, rstd = tensors(*arrays())
        backward = torch.ops.aten.native_layer_norm_backward
        return lambda: backward(g, x, [features], mean, rstd, w, b, [True, True, True])

    def with_mlpeak() -> Call:
        from mlpeak import kernels

        g, x, w, _, mean, rstd = arrays()
        mean, rstd = mean[:, 0].copy(), rstd[:, 0].copy()
        return lambda: kernels.layer_norm_backward(g, x, w, mean, rstd)

    return Workload(
        "rows",
        f"layer_norm backward {rows}x{features}",
        "float32",
        {"mlpeak": with_mlpeak, "numpy": with_numpy, "torch": with_torch},
        bytes=3 * 4 * rows * features,
    )


def rms_norm(rows: int, features: int) -> Workload:
    """Root-mean-square normalisation over the last axis, with weight."""

    def with_numpy() -> Call:
        x, w = normal(rows, features), normal(features)
        y = np.empty_like(x)

        def call() -> None:
            np.multiply(x, x, out=y)
            rstd = 1 / np.sqrt(y.mean(axis=1, keepdims=True) + np.float32(1e-6))
            np.multiply(x, rstd, out=y)
            np.multiply(y, w, out=y)

        return call

    def with_torch() -> Call:
        import torch

        x, w = tensors(normal(rows, features), normal(features))
        return lambda: torch.rms_norm(x, [features], w, 1e-6)

    def with_mlpeak() -> Call:
        from mlpeak import kernels

        x, w = normal(rows, features), normal(features)
        y = np.empty_like(x)
        return lambda: kernels.rms_norm(x, w, 1e-6, out=y)

    return Workload(
        "rows",
        f"rms_norm {rows}x{features}",
        "float32",
        {"mlpeak": with_mlpeak, "numpy": with_numpy, "torch": with_torch},
        bytes=2 * 4 * rows * features,
    )


def batch_norm(rows: int, features: int) -> Workload:
    """Batch normalisation in training, without running statistics."""

    def with_numpy() -> Call:
        x, w, b = normal(rows, features), normal(features), normal(features)
        y, squares = np.empty_like(x), np.empty_like(x)

        def call() -> None:
            np.subtract(x, x.mean(axis=0), out=y)
            np.multiply(y, y, out=squares)
            np.multiply(y, w / np.sqrt(squares.mean(axis=0) + np.float32(1e-5)), out=y)
            np.add(y, b, out=y)

        return call

    def with_torch() -> Call:
        import torch

        x, w, b = tensors(normal(rows, features), normal(features), normal(features))
        return lambda: torch.native_batch_norm(x, w, b, None, None, True, 0.1, 1e-5)

    def with_mlpeak() -> Call:
        from mlpeak import kernels

        x, w, b = normal(rows, features), normal(features), normal(features)
        y = np.empty_like(x)
        return lambda: kernels.batch_norm(x, w, b, out=y)

    return Workload(
        "rows",
        f"batch_norm {rows}x{features}",
        "float32",
        {"mlpeak": with_mlpeak, "numpy": with_numpy, "torch": with_torch},
        bytes=2 * 4 * rows * features,
    )


def sgd(size: str, n: int) -> Workload:
    """Gradient descent with momentum, in place."""

    def with_numpy() -> Call:
        p, g, m = normal(n), normal(n), np.zeros(n, np.float32)
        scaled = np.empty_like(p)

        def call() -> None:
            np.multiply(m, np.float32(0.9), out=m)
            np.add(m, g, out=m)
            np.multiply(m, np.float32(1e-6), out=scaled)
            np.subtract(p, scaled, out=p)

        return call

    def with_torch() -> Call:
        import torch

        p, g = tensors(normal(n), normal(n))
        p.grad = g
        optimizer = torch.optim.SGD([p], lr=1e-6, momentum=0.9, fused=True)
        return lambda: optimizer.step()

    def with_mlpeak() -> Call:
        from mlpeak import kernels

        p, g, m = normal(n), normal(n), np.zeros(n, np.float32)
        return lambda: kernels.sgd(p, g, m, lr=1e-6, momentum=0.9)

    return Workload(
        "optimizers",
        f"sgd momentum {size}",
        "float32",
        {"mlpeak": with_mlpeak, "numpy": with_numpy, "torch": with_torch},
        bytes=5 * 4 * n,
    )


def adam(size: str, n: int) -> Workload:
    """Adam, in place, at a step where its corrections are near 1."""

    def with_numpy() -> Call:
        p, g, m, v = normal(n), normal(n), np.zeros(n, np.float32), np.zeros(n, np.float32)
        one, other = np.empty_like(p), np.empty_like(p)

        def call() -> None:
            np.subtract(g, m, out=one)
            np.multiply(one, np.float32(0.1), out=one)
            np.add(m, one, out=m)
            np.multiply(g, g, out=one)
            np.multiply(one, np.float32(0.001), out=one)
            np.multiply(v, np.float32(0.999), out=v)
            np.add(v, one, out=v)
            np.sqrt(v, out=one)
            np.add(one, np.float32(1e-8), out=one)
            np.multiply(m, np.float32(1e-6), out=other)
            np.divide(other, one, out=other)
            np.subtract(p, other, out=p)

        return call

    def with_torch() -> Call:
        import torch

        p, g = tensors(normal(n), normal(n))
        p.grad = g
        optimizer = torch.optim.Adam([p], lr=1e-6, fused=True)
        return lambda: optimizer.step()

    def with_mlpeak() -> Call:
        from mlpeak import kernels

        p, g, m, v = normal(n), normal(n), np.zeros(n, np.float32), np.zeros(n, np.float32)
        return lambda: kernels.adam(p, g, m, v, step=1000, lr=1e-6)

    return Workload(
        "optimizers",
        f"adam {size}",
        "float32",
        {"mlpeak": with_mlpeak, "numpy": with_numpy, "torch": with_torch},
        bytes=7 * 4 * n,
    )


def total(size: str) -> Workload:
    """The sum of all elements."""
    n = SIZES[size]

    def with_numpy() -> Call:
        x = normal(n)
        return lambda: x.sum()

    def with_torch() -> Call:
        (x,) = tensors(normal(n))
        return lambda: x.sum()

    def with_mlpeak() -> Call:
        from mlpeak import kernels

        x = normal(n)
        return lambda: kernels.sum(x)

    return Workload(
        "sums",
        f"all {size}",
        "float32",
        {"mlpeak": with_mlpeak, "numpy": with_numpy, "torch": with_torch},
        bytes=4 * n,
    )


def column_sums(rows: int, columns: int) -> Workload:
    """The sums over the first axis: a bias's gradient."""

    def with_numpy() -> Call:
        x, out = normal(rows, columns), np.empty(columns, np.float32)
        return lambda: np.sum(x, axis=0, out=out)

    def with_torch() -> Call:
        import torch

        x, out = tensors(normal(rows, columns), np.empty(columns, np.float32))
        return lambda: torch.sum(x, 0, out=out)

    def with_mlpeak() -> Call:
        from mlpeak import kernels

        x, out = normal(rows, columns), np.empty(columns, np.float32)
        return lambda: kernels.sum(x, axis=0, out=out)

    return Workload(
        "sums",
        f"columns {rows}x{columns}",
        "float32",
        {"mlpeak": with_mlpeak, "numpy": with_numpy, "torch": with_torch},
        bytes=4 * rows * columns,
    )
