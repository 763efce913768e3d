"""Plain NumPy: matrix products and the fully connected layer."""

from __future__ import annotations

from typing import Any

import numpy as np

from mlpeak._types import Array, PackedWeight
from mlpeak.reference import _check, activations

__all__ = [
    "linear",
    "linear_backward",
    "linear_backward_bias",
    "linear_backward_input",
    "linear_backward_weight",
    "matmul",
    "pack",
]

# The element-wise activations that a linear layer can apply.
ACTIVATIONS = (
    "identity",
    "relu",
    "leaky_relu",
    "elu",
    "selu",
    "gelu",
    "gelu_tanh",
    "silu",
    "mish",
    "sigmoid",
    "log_sigmoid",
    "tanh",
    "softplus",
)
BATCH_IN, BATCH_OUT = "(batch, in_features)", "(batch, out_features)"
WEIGHT = "(out_features, in_features)"


def _bf16(x: Array) -> Array:
    """Round to the nearest bfloat16, ties to even; subnormal numbers become zero."""
    bits = np.ascontiguousarray(x).view(np.uint32)
    rounded = (bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000
    rounded = np.where(bits & 0x7FFFFFFF > 0x7F800000, bits | 0x400000, rounded)  # NaN stays one
    rounded = np.where(bits & 0x7F800000 == 0, bits & 0x80000000, rounded)
    return rounded.astype(np.uint32).view(np.float32)


def _product(a: Array, b: Array, out: Array, precision: str | None = None) -> Array:
    """Write a @ b, summed in float64, to `out`."""
    if precision is not None:
        a, b = _bf16(a), _bf16(b)
    with np.errstate(over="ignore", invalid="ignore"):
        out[...] = a.astype(np.float64) @ b.astype(np.float64)
    return out


def _precision(function: str, name: str | None, dtype: np.dtype[Any]) -> None:
    if name is None:
        return
    if not isinstance(name, str):
        raise TypeError(f"{function}: precision is {type(name).__name__}; expected 'bf16' or None")
    if name != "bf16":
        raise ValueError(f"{function}: precision is '{name}'; expected 'bf16' or None")
    if dtype != np.float32:
        raise ValueError(
            f"{function}: precision is 'bf16' for float64 arrays; expected None, or float32 arrays"
        )


def matmul(
    a: Array,
    b: Array,
    transpose_a: bool = False,
    transpose_b: bool = False,
    out: Array | None = None,
    precision: str | None = None,
) -> Array:
    """``op(a) @ op(b)``, where op transposes if asked to."""
    f = "matmul"
    _check.flags(f, transpose_a=transpose_a, transpose_b=transpose_b)
    a = _check.read(f, "a", a)
    b = _check.read(f, "b", b, like=("a", a))
    _check.ndim(f, "a", a, 2, "(k, m)" if transpose_a else "(m, k)")
    _check.ndim(f, "b", b, 2, "(n, k)" if transpose_b else "(k, n)")
    left, right = (a.T if transpose_a else a), (b.T if transpose_b else b)
    if right.shape[0] != left.shape[1]:
        layout = "(n, k)" if transpose_b else "(k, n)"
        raise ValueError(f"{f}: b has shape {b.shape}; expected {layout} with k = {left.shape[1]}")
    _precision(f, precision, a.dtype)
    shape = (left.shape[0], right.shape[1])
    c = _check.write(f, "out", out, a.dtype, shape, apart_from=(("a", a), ("b", b)))
    return _product(left, right, c, precision)


def _activation(function: str, name: str) -> None:
    legal = ", ".join(ACTIVATIONS)
    if not isinstance(name, str):
        raise TypeError(f"{function}: activation is {type(name).__name__}; expected one of {legal}")
    if name not in ACTIVATIONS:
        raise ValueError(f"{function}: activation is '{name}'; expected one of {legal}")


class _Copy:
    """The PackedWeight of this backend: a copy, laid out as it was."""

    def __init__(self, weight: Array, precision: str | None) -> None:
        self.weight, self.precision = weight, precision
        self.shape: tuple[int, int] = (weight.shape[0], weight.shape[1])
        self.dtype = weight.dtype


def pack(w: Array, precision: str | None = None) -> PackedWeight:
    """Keep a copy of `w`."""
    w = _check.read("pack", "w", w)
    _check.ndim("pack", "w", w, 2, WEIGHT)
    _precision("pack", precision, w.dtype)
    return _Copy(w.copy(), precision)


def linear(
    x: Array,
    w: Array | PackedWeight,
    b: Array | None = None,
    activation: str = "identity",
    out: Array | None = None,
    pre: Array | None = None,
    precision: str | None = None,
) -> Array:
    """``activation(x @ w.T + b)``."""
    f = "linear"
    _activation(f, activation)
    x = _check.read(f, "x", x)
    _check.ndim(f, "x", x, 2, BATCH_IN)
    _precision(f, precision, x.dtype)
    packed = w
    w = _check.read(f, "w", w.weight if isinstance(w, _Copy) else w, like=("x", x))
    _check.ndim(f, "w", w, 2, WEIGHT)
    _check.shape(f, "w", w, (w.shape[0], x.shape[1]), WEIGHT)
    if isinstance(packed, _Copy) and packed.precision != precision:
        raise ValueError(
            f"{f}: precision is not that of w, packed with {packed.precision!r}; "
            "expected the same as for pack"
        )
    shape = (x.shape[0], w.shape[0])
    inputs: tuple[tuple[str, Array | None], ...] = (("x", x), ("w", w))
    if b is not None:
        b = _check.read(f, "b", b, like=("x", x))
        _check.shape(f, "b", b, (w.shape[0],), "(out_features,)")
        inputs += (("b", b),)
    y = _check.write(f, "out", out, x.dtype, shape, apart_from=inputs)
    if pre is not None:
        pre = _check.write(f, "pre", pre, x.dtype, shape, apart_from=(*inputs, ("out", y)))
    z = _product(x, w.T, y, precision)
    if b is not None:
        z += b
    if pre is not None:
        pre[...] = z
    y[...] = getattr(activations, activation)(z)
    return y


def linear_backward_input(
    grad_output: Array, w: Array, out: Array | None = None, precision: str | None = None
) -> Array:
    """``grad_output @ w``."""
    f = "linear_backward_input"
    g = _check.read(f, "grad_output", grad_output)
    w = _check.read(f, "w", w, like=("grad_output", g))
    _check.ndim(f, "grad_output", g, 2, BATCH_OUT)
    _check.ndim(f, "w", w, 2, WEIGHT)
    _check.shape(f, "w", w, (g.shape[1], w.shape[1]), WEIGHT)
    _precision(f, precision, g.dtype)
    apart = (("grad_output", g), ("w", w))
    dx = _check.write(f, "out", out, g.dtype, (g.shape[0], w.shape[1]), apart_from=apart)
    return _product(g, w, dx, precision)


def linear_backward_weight(
    grad_output: Array, x: Array, out: Array | None = None, precision: str | None = None
) -> Array:
    """``grad_output.T @ x``."""
    f = "linear_backward_weight"
    g = _check.read(f, "grad_output", grad_output)
    x = _check.read(f, "x", x, like=("grad_output", g))
    _check.ndim(f, "grad_output", g, 2, BATCH_OUT)
    _check.ndim(f, "x", x, 2, BATCH_IN)
    _check.shape(f, "x", x, (g.shape[0], x.shape[1]), BATCH_IN)
    _precision(f, precision, g.dtype)
    apart = (("grad_output", g), ("x", x))
    dw = _check.write(f, "out", out, g.dtype, (g.shape[1], x.shape[1]), apart_from=apart)
    return _product(g.T, x, dw, precision)


def linear_backward_bias(grad_output: Array, out: Array | None = None) -> Array:
    """``grad_output.sum(0)``."""
    f = "linear_backward_bias"
    g = _check.read(f, "grad_output", grad_output)
    _check.ndim(f, "grad_output", g, 2, BATCH_OUT)
    db = _check.write(f, "out", out, g.dtype, (g.shape[1],), apart_from=(("grad_output", g),))
    db[...] = g.sum(axis=0, dtype=np.float64)
    return db


def linear_backward(
    grad_output: Array,
    x: Array,
    w: Array,
    saved: Array | None = None,
    activation: str = "identity",
    precision: str | None = None,
) -> tuple[Array, Array, Array]:
    """Gradients of x, w and b through ``activation(x @ w.T + b)``."""
    f = "linear_backward"
    _activation(f, activation)
    g = _check.read(f, "grad_output", grad_output)
    x = _check.read(f, "x", x, like=("grad_output", g))
    w = _check.read(f, "w", w, like=("grad_output", g))
    _check.ndim(f, "grad_output", g, 2, BATCH_OUT)
    _check.ndim(f, "x", x, 2, BATCH_IN)
    _check.ndim(f, "w", w, 2, WEIGHT)
    _check.shape(f, "x", x, (g.shape[0], x.shape[1]), BATCH_IN)
    _check.shape(f, "w", w, (g.shape[1], x.shape[1]), WEIGHT)
    _precision(f, precision, g.dtype)
    backward = getattr(activations, activation + "_backward")
    if saved is not None:
        saved = _check.read(f, "saved", saved, like=("grad_output", g))
        _check.shape(f, "saved", saved, g.shape, BATCH_OUT)
        if activation != "identity":
            g = backward(g, saved)
    elif activation != "identity":
        needed = "output" if "y" in backward.__code__.co_varnames[:2] else "pre-activation"
        raise ValueError(
            f"{f}: saved is None; the backward of {activation} needs the layer's {needed}"
        )
    return (
        linear_backward_input(g, w, precision=precision),
        linear_backward_weight(g, x, precision=precision),
        linear_backward_bias(g),
    )
