"""Element-wise functions: activations, exp, and the backward passes."""

from __future__ import annotations

from typing import Any

import numpy as np

from mlpeak.bench.kernels.arrays import SIZES, normal, tensors
from mlpeak.bench.workloads import Call, Workload


def workloads() -> list[Workload]:
    """Return the workloads of activations."""
    found = []
    for size in SIZES:
        for name in ("exp", "relu", "sigmoid", "tanh", "gelu", "silu"):
            found.append(activation(name, size))
            if name != "exp":
                found.append(activation_backward(name, size))
    return found


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
