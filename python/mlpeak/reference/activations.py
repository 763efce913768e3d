"""Plain NumPy: activations and row-wise softmax.

Formulas are evaluated in float64 and rounded once to the input's dtype. A backward takes what its
forward saved: the output `y` where the derivative is a formula in it, else the input `x`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np

from mlpeak._types import Array
from mlpeak.reference import _check
from mlpeak.reference.elementary import MAX, elementwise, erf64

__all__ = [
    "elu",
    "elu_backward",
    "gelu",
    "gelu_backward",
    "gelu_tanh",
    "gelu_tanh_backward",
    "identity",
    "identity_backward",
    "leaky_relu",
    "leaky_relu_backward",
    "log_sigmoid",
    "log_sigmoid_backward",
    "log_softmax",
    "log_softmax_backward",
    "mish",
    "mish_backward",
    "relu",
    "relu_backward",
    "selu",
    "selu_backward",
    "sigmoid",
    "sigmoid_backward",
    "silu",
    "silu_backward",
    "softmax",
    "softmax_backward",
    "softplus",
    "softplus_backward",
    "tanh",
    "tanh_backward",
]

TINY = sys.float_info.min * sys.float_info.epsilon  # the smallest positive float64

SELU_ALPHA = 1.6732632423543772
SELU_SCALE = 1.0507009873554805
GELU_TANH_CUBIC = 0.044715


def _backward(
    function: str,
    grad_output: Array,
    name: str,
    saved: Array,
    out: Array | None,
    formula: Callable[[Array, Array], Array],
) -> Array:
    """`formula(grad_output, saved)` in float64; `name` is what `saved` is called: y or x."""
    g = _check.read(function, "grad_output", grad_output)
    s = _check.read(function, name, saved, like=("grad_output", g))
    _check.shape(function, name, s, g.shape, "the shape of grad_output")
    both = (("grad_output", g), (name, s))
    out = _check.write(function, "out", out, g.dtype, g.shape, may_equal=both)
    with np.errstate(all="ignore"):
        out[...] = formula(g.astype(np.float64), s.astype(np.float64))
    return out


def _sigmoid(x: Array) -> Array:
    """Return 1 / (1 + e^-x), with no overflow on either side."""
    e = np.exp(-np.abs(x))
    return np.where(x < 0, e, 1.0) / (1.0 + e)


def identity(x: Array, out: Array | None = None) -> Array:
    """Return x."""
    return elementwise("identity", x, out, lambda x: x)


def identity_backward(grad_output: Array, y: Array, out: Array | None = None) -> Array:
    """Return grad_output."""
    return _backward("identity_backward", grad_output, "y", y, out, lambda g, y: g)


def relu(x: Array, out: Array | None = None) -> Array:
    """Return max(x, 0)."""
    return elementwise("relu", x, out, lambda x: np.maximum(x, 0.0))


def relu_backward(grad_output: Array, y: Array, out: Array | None = None) -> Array:
    """Return grad_output where y > 0, else 0."""
    return _backward(
        "relu_backward", grad_output, "y", y, out, lambda g, y: np.where(y > 0, g, 0.0)
    )


def _slope(function: str, negative_slope: float) -> None:
    _check.number(function, "negative_slope", negative_slope, 0.0, MAX, "a finite number >= 0")


def leaky_relu(x: Array, negative_slope: float = 0.01, out: Array | None = None) -> Array:
    """Return x where x > 0, else negative_slope x."""
    _slope("leaky_relu", negative_slope)
    return elementwise("leaky_relu", x, out, lambda x: np.where(x > 0, x, negative_slope * x))


def leaky_relu_backward(
    grad_output: Array, y: Array, negative_slope: float = 0.01, out: Array | None = None
) -> Array:
    """Return grad_output where y > 0, else negative_slope grad_output."""
    _slope("leaky_relu_backward", negative_slope)
    return _backward(
        "leaky_relu_backward",
        grad_output,
        "y",
        y,
        out,
        lambda g, y: np.where(y > 0, g, negative_slope * g),
    )


def _alpha(function: str, alpha: float) -> None:
    _check.number(function, "alpha", alpha, TINY, MAX, "a finite number > 0")


def elu(x: Array, alpha: float = 1.0, out: Array | None = None) -> Array:
    """Return x where x > 0, else alpha (e^x - 1)."""
    _alpha("elu", alpha)
    return elementwise("elu", x, out, lambda x: np.where(x > 0, x, alpha * np.expm1(x)))


def elu_backward(
    grad_output: Array, y: Array, alpha: float = 1.0, out: Array | None = None
) -> Array:
    """Return grad_output where y > 0, else grad_output (y + alpha)."""
    _alpha("elu_backward", alpha)
    return _backward(
        "elu_backward", grad_output, "y", y, out, lambda g, y: np.where(y > 0, g, g * (y + alpha))
    )


def selu(x: Array, out: Array | None = None) -> Array:
    """Return scale elu(x, alpha), with the constants of the paper."""
    return elementwise(
        "selu",
        x,
        out,
        lambda x: SELU_SCALE * np.where(x > 0, x, SELU_ALPHA * np.expm1(x)),
    )


def selu_backward(grad_output: Array, y: Array, out: Array | None = None) -> Array:
    """Return scale grad_output where y > 0, else grad_output (y + scale alpha)."""
    return _backward(
        "selu_backward",
        grad_output,
        "y",
        y,
        out,
        lambda g, y: np.where(y > 0, SELU_SCALE * g, g * (y + SELU_SCALE * SELU_ALPHA)),
    )


def gelu(x: Array, out: Array | None = None) -> Array:
    """Return x times the normal distribution function: x (1 + erf(x / sqrt 2)) / 2."""

    def formula(x: Array) -> Array:
        x = np.maximum(x, -40.0)  # the limit at -inf is 0
        return x * (0.5 + 0.5 * erf64(x / np.sqrt(2.0)))

    return elementwise("gelu", x, out, formula)


def gelu_backward(grad_output: Array, x: Array, out: Array | None = None) -> Array:
    """Return grad_output (Phi(x) + x phi(x)), with the normal distribution Phi and density phi."""

    def formula(g: Array, x: Array) -> Array:
        x = np.clip(x, -40.0, 40.0)  # where the derivative is 0 or 1 to the last bit
        distribution = 0.5 + 0.5 * erf64(x / np.sqrt(2.0))
        density = np.exp(-0.5 * x * x) / np.sqrt(2.0 * np.pi)
        result: Array = g * (distribution + x * density)
        return result

    return _backward("gelu_backward", grad_output, "x", x, out, formula)


def gelu_tanh(x: Array, out: Array | None = None) -> Array:
    """Return x (1 + tanh u) / 2 = x sigmoid(2 u), u = sqrt(2/pi) (x + 0.044715 x^3)."""

    def formula(x: Array) -> Array:
        return x * _sigmoid(x * np.sqrt(8.0 / np.pi) * (1.0 + GELU_TANH_CUBIC * x * x))

    return elementwise("gelu_tanh", x, out, formula)


def gelu_tanh_backward(grad_output: Array, x: Array, out: Array | None = None) -> Array:
    """Return grad_output (s + x s (1 - s) 2 u'), s = sigmoid(2 u), u as in gelu_tanh."""

    def formula(g: Array, x: Array) -> Array:
        x = np.clip(x, -24.0, 24.0)  # where the derivative is 0 or 1 to the last bit
        c = np.sqrt(8.0 / np.pi)
        v = x * c * (1.0 + GELU_TANH_CUBIC * x * x)
        slope = c * (1.0 + 3.0 * GELU_TANH_CUBIC * x * x)
        result: Array = g * (_sigmoid(v) + x * slope * _sigmoid(v) * _sigmoid(-v))
        return result

    return _backward("gelu_tanh_backward", grad_output, "x", x, out, formula)


def silu(x: Array, out: Array | None = None) -> Array:
    """Return x sigmoid(x)."""
    return elementwise("silu", x, out, lambda x: x * _sigmoid(x))


def silu_backward(grad_output: Array, x: Array, out: Array | None = None) -> Array:
    """Return grad_output s (1 + x (1 - s)), s = sigmoid(x)."""

    def formula(g: Array, x: Array) -> Array:
        x = np.clip(x, -800.0, 800.0)
        return g * (_sigmoid(x) * (1.0 + x * _sigmoid(-x)))

    return _backward("silu_backward", grad_output, "x", x, out, formula)


def mish(x: Array, out: Array | None = None) -> Array:
    """Return x tanh(log(1 + e^x))."""
    return elementwise("mish", x, out, lambda x: x * np.tanh(np.logaddexp(0.0, x)))


def mish_backward(grad_output: Array, x: Array, out: Array | None = None) -> Array:
    """Return grad_output (t + x (1 - t^2) sigmoid(x)), t = tanh(log(1 + e^x))."""

    def formula(g: Array, x: Array) -> Array:
        x = np.clip(x, -800.0, 30.0)  # where the derivative is 0 or 1 to the last bit
        s = np.logaddexp(0.0, x)
        result: Array = g * (np.tanh(s) + x * _sigmoid(x) / np.cosh(s) ** 2)
        return result

    return _backward("mish_backward", grad_output, "x", x, out, formula)


def sigmoid(x: Array, out: Array | None = None) -> Array:
    """Return 1 / (1 + e^-x)."""
    return elementwise("sigmoid", x, out, _sigmoid)


def sigmoid_backward(grad_output: Array, y: Array, out: Array | None = None) -> Array:
    """Return grad_output y (1 - y)."""
    return _backward("sigmoid_backward", grad_output, "y", y, out, lambda g, y: g * (y * (1.0 - y)))


def log_sigmoid(x: Array, out: Array | None = None) -> Array:
    """Return log(1 / (1 + e^-x))."""
    return elementwise("log_sigmoid", x, out, lambda x: -np.logaddexp(0.0, -x))


def log_sigmoid_backward(grad_output: Array, x: Array, out: Array | None = None) -> Array:
    """Return grad_output sigmoid(-x)."""
    return _backward(
        "log_sigmoid_backward", grad_output, "x", x, out, lambda g, x: g * _sigmoid(-x)
    )


def tanh(x: Array, out: Array | None = None) -> Array:
    """Hyperbolic tangent."""
    return elementwise("tanh", x, out, np.tanh)


def tanh_backward(grad_output: Array, y: Array, out: Array | None = None) -> Array:
    """Return grad_output (1 - y^2)."""
    return _backward("tanh_backward", grad_output, "y", y, out, lambda g, y: g * (1.0 - y * y))


def _softplus_params(function: str, beta: float, threshold: float) -> None:
    _check.number(function, "beta", beta, TINY, MAX, "a finite number > 0")
    _check.number(function, "threshold", threshold, -MAX, MAX, "a finite number")


def softplus(
    x: Array, beta: float = 1.0, threshold: float = 20.0, out: Array | None = None
) -> Array:
    """Return log(1 + e^(beta x)) / beta, or x where beta x > threshold."""
    _softplus_params("softplus", beta, threshold)
    return elementwise(
        "softplus",
        x,
        out,
        lambda x: np.where(beta * x > threshold, x, np.logaddexp(0.0, beta * x) / beta),
    )


def softplus_backward(
    grad_output: Array,
    x: Array,
    beta: float = 1.0,
    threshold: float = 20.0,
    out: Array | None = None,
) -> Array:
    """Return grad_output sigmoid(beta x), or grad_output where beta x > threshold."""
    _softplus_params("softplus_backward", beta, threshold)
    return _backward(
        "softplus_backward",
        grad_output,
        "x",
        x,
        out,
        lambda g, x: np.where(beta * x > threshold, g, g * _sigmoid(beta * x)),
    )


def _rows(function: str, name: str, array: Array) -> None:
    if array.ndim == 0:
        raise ValueError(f"{function}: {name} has shape (); expected at least one dimension")


def _shifted(x: Array) -> Array:
    """Return x less the largest of its row."""
    result: Array = x - x.max(axis=-1, keepdims=True, initial=-np.inf)
    return result


def softmax(x: Array, out: Array | None = None) -> Array:
    """Return e^x / sum(e^x) over the last axis."""

    def formula(x: Array) -> Array:
        e = np.exp(_shifted(x))
        result: Array = e / e.sum(axis=-1, keepdims=True)
        return result

    _rows("softmax", "x", _check.read("softmax", "x", x))
    return elementwise("softmax", x, out, formula)


def softmax_backward(grad_output: Array, y: Array, out: Array | None = None) -> Array:
    """Return y (grad_output - sum(grad_output y)) over the last axis."""
    g = _check.read("softmax_backward", "grad_output", grad_output)
    _rows("softmax_backward", "grad_output", g)
    return _backward(
        "softmax_backward",
        g,
        "y",
        y,
        out,
        lambda g, y: y * (g - (g * y).sum(axis=-1, keepdims=True)),
    )


def log_softmax(x: Array, out: Array | None = None) -> Array:
    """Return x - log(sum(e^x)) over the last axis."""

    def formula(x: Array) -> Array:
        shifted = _shifted(x)
        result: Array = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
        return result

    _rows("log_softmax", "x", _check.read("log_softmax", "x", x))
    return elementwise("log_softmax", x, out, formula)


def log_softmax_backward(grad_output: Array, y: Array, out: Array | None = None) -> Array:
    """Return grad_output - e^y sum(grad_output) over the last axis."""
    g = _check.read("log_softmax_backward", "grad_output", grad_output)
    _rows("log_softmax_backward", "grad_output", g)
    return _backward(
        "log_softmax_backward",
        g,
        "y",
        y,
        out,
        lambda g, y: g - np.exp(y) * g.sum(axis=-1, keepdims=True),
    )
