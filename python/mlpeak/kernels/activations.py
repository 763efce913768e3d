"""Kernels: activations and row-wise softmax.

A forward takes ``x`` of any shape, float32 or float64, and returns an array of that shape and
dtype. Its ``_backward`` twin takes ``grad_output`` and what the forward saved, both of that shape:
the output ``y`` where the derivative is a formula in it, else the input ``x``; it returns the
gradient of the input. Both write into ``out`` where it is given, which may be one of the inputs but
not overlap one otherwise. Softmax and log_softmax work along the last axis and need one.

Results have the same bits on every tier and any number of threads.
"""

from __future__ import annotations

from mlpeak import _backend
from mlpeak._docs import family
from mlpeak._types import Array

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


_activation = family(
    {
        "x": "ndarray of float32 or float64, any shape\n    The input of the forward.",
        "y": "ndarray, shape and dtype of `grad_output`\n    The output of the forward.",
        "grad_output": "ndarray of float32 or float64\n    Gradient with respect to the output.",
        "negative_slope": "float, default 0.01\n    Slope below 0, at least 0.",
        "alpha": "float, default 1.0\n    The limit far below 0 is -alpha; above 0.",
        "beta": "float, default 1.0\n    Sharpness, above 0.",
        "threshold": "float, default 20.0\n    Where beta x is above it, the function is x.",
        "out": "ndarray, optional\n    Receives the result; may be one of the inputs.",
    },
    "ndarray\n    `out`, or a new array, of the input's shape and dtype.",
)


@_activation
def identity(x: Array, out: Array | None = None) -> Array:
    """Return x: the activation of a linear output layer."""
    return _backend.impl.identity(x, out)


@_activation
def identity_backward(grad_output: Array, y: Array, out: Array | None = None) -> Array:
    """Return grad_output."""
    return _backend.impl.identity_backward(grad_output, y, out)


@_activation
def relu(x: Array, out: Array | None = None) -> Array:
    """Return max(x, 0).

    Examples
    --------
    >>> import numpy as np
    >>> from mlpeak import kernels
    >>> kernels.relu(np.array([-1.0, 0.0, 2.0]))
    array([0., 0., 2.])
    """
    return _backend.impl.relu(x, out)


@_activation
def relu_backward(grad_output: Array, y: Array, out: Array | None = None) -> Array:
    """Return grad_output where y > 0, else 0: the derivative at 0 is taken as 0."""
    return _backend.impl.relu_backward(grad_output, y, out)


@_activation
def leaky_relu(x: Array, negative_slope: float = 0.01, out: Array | None = None) -> Array:
    """Return x where x > 0, else negative_slope x; `negative_slope` is at least 0.

    References
    ----------
    Maas, Hannun, Ng (2013), Rectifier nonlinearities improve neural network acoustic models.
    """
    return _backend.impl.leaky_relu(x, negative_slope, out)


@_activation
def leaky_relu_backward(
    grad_output: Array, y: Array, negative_slope: float = 0.01, out: Array | None = None
) -> Array:
    """Return grad_output where y > 0, else negative_slope grad_output."""
    return _backend.impl.leaky_relu_backward(grad_output, y, negative_slope, out)


@_activation
def elu(x: Array, alpha: float = 1.0, out: Array | None = None) -> Array:
    """Return x where x > 0, else alpha (e^x - 1); `alpha` is above 0.

    References
    ----------
    Clevert, Unterthiner, Hochreiter (2015), arXiv:1511.07289, eq. 15.
    """
    return _backend.impl.elu(x, alpha, out)


@_activation
def elu_backward(
    grad_output: Array, y: Array, alpha: float = 1.0, out: Array | None = None
) -> Array:
    """Return grad_output where y > 0, else grad_output (y + alpha)."""
    return _backend.impl.elu_backward(grad_output, y, alpha, out)


@_activation
def selu(x: Array, out: Array | None = None) -> Array:
    """Return scale elu(x, alpha) with the constants that keep mean 0 and variance 1.

    References
    ----------
    Klambauer et al. (2017), arXiv:1706.02515, eq. 2 and 14.
    """
    return _backend.impl.selu(x, out)


@_activation
def selu_backward(grad_output: Array, y: Array, out: Array | None = None) -> Array:
    """Return scale grad_output where y > 0, else grad_output (y + scale alpha)."""
    return _backend.impl.selu_backward(grad_output, y, out)


@_activation
def gelu(x: Array, out: Array | None = None) -> Array:
    """Return x (1 + erf(x / sqrt 2)) / 2.

    The absolute error is a few epsilon times |x|: far left, where the result is tiny against x,
    its relative error is not small.

    References
    ----------
    Hendrycks, Gimpel (2016), arXiv:1606.08415, section 2.
    """
    return _backend.impl.gelu(x, out)


@_activation
def gelu_backward(grad_output: Array, x: Array, out: Array | None = None) -> Array:
    """Return grad_output (Phi(x) + x phi(x)), with the normal distribution Phi and density phi."""
    return _backend.impl.gelu_backward(grad_output, x, out)


@_activation
def gelu_tanh(x: Array, out: Array | None = None) -> Array:
    """Return x (1 + tanh u) / 2 with u = sqrt(2/pi) (x + 0.044715 x^3), computed as x sigmoid(2 u).

    References
    ----------
    Hendrycks, Gimpel (2016), arXiv:1606.08415, section 2.
    """
    return _backend.impl.gelu_tanh(x, out)


@_activation
def gelu_tanh_backward(grad_output: Array, x: Array, out: Array | None = None) -> Array:
    """Return grad_output (s + x s (1 - s) 2 u'), with s = sigmoid(2 u) and u as in `gelu_tanh`."""
    return _backend.impl.gelu_tanh_backward(grad_output, x, out)


@_activation
def silu(x: Array, out: Array | None = None) -> Array:
    """Return x sigmoid(x), also called swish.

    References
    ----------
    Elfwing, Uchibe, Doya (2017), arXiv:1702.03118, eq. 10.
    """
    return _backend.impl.silu(x, out)


@_activation
def silu_backward(grad_output: Array, x: Array, out: Array | None = None) -> Array:
    """Return grad_output s (1 + x (1 - s)), with s = sigmoid(x)."""
    return _backend.impl.silu_backward(grad_output, x, out)


@_activation
def mish(x: Array, out: Array | None = None) -> Array:
    """Return x tanh(log(1 + e^x)).

    References
    ----------
    Misra (2019), arXiv:1908.08681, eq. 1.
    """
    return _backend.impl.mish(x, out)


@_activation
def mish_backward(grad_output: Array, x: Array, out: Array | None = None) -> Array:
    """Return grad_output (t + x (1 - t^2) sigmoid(x)), with t = tanh(log(1 + e^x))."""
    return _backend.impl.mish_backward(grad_output, x, out)


@_activation
def sigmoid(x: Array, out: Array | None = None) -> Array:
    """Return 1 / (1 + e^-x), within 2 ULP."""
    return _backend.impl.sigmoid(x, out)


@_activation
def sigmoid_backward(grad_output: Array, y: Array, out: Array | None = None) -> Array:
    """Return grad_output y (1 - y)."""
    return _backend.impl.sigmoid_backward(grad_output, y, out)


@_activation
def log_sigmoid(x: Array, out: Array | None = None) -> Array:
    """Return log(1 / (1 + e^-x)), computed as min(x, 0) - log1p(e^-|x|)."""
    return _backend.impl.log_sigmoid(x, out)


@_activation
def log_sigmoid_backward(grad_output: Array, x: Array, out: Array | None = None) -> Array:
    """Return grad_output sigmoid(-x)."""
    return _backend.impl.log_sigmoid_backward(grad_output, x, out)


@_activation
def tanh(x: Array, out: Array | None = None) -> Array:
    """Hyperbolic tangent, within 2 ULP."""
    return _backend.impl.tanh(x, out)


@_activation
def tanh_backward(grad_output: Array, y: Array, out: Array | None = None) -> Array:
    """Return grad_output (1 - y^2)."""
    return _backend.impl.tanh_backward(grad_output, y, out)


@_activation
def softplus(
    x: Array, beta: float = 1.0, threshold: float = 20.0, out: Array | None = None
) -> Array:
    """Return log(1 + e^(beta x)) / beta, or x where beta x > threshold; `beta` is above 0.

    References
    ----------
    Dugas et al. (2001), Incorporating second-order functional knowledge for better option pricing.
    """
    return _backend.impl.softplus(x, beta, threshold, out)


@_activation
def softplus_backward(
    grad_output: Array,
    x: Array,
    beta: float = 1.0,
    threshold: float = 20.0,
    out: Array | None = None,
) -> Array:
    """Return grad_output sigmoid(beta x), or grad_output where beta x > threshold."""
    return _backend.impl.softplus_backward(grad_output, x, beta, threshold, out)


@_activation
def softmax(x: Array, out: Array | None = None) -> Array:
    """Return e^x / sum(e^x) over the last axis; `x` is (..., classes).

    A row of which the largest element is infinite, or that holds a NaN, gives NaN.

    Examples
    --------
    >>> import numpy as np
    >>> from mlpeak import kernels
    >>> kernels.softmax(np.array([[0.0, 0.0], [1000.0, 0.0]]))
    array([[0.5, 0.5],
           [1. , 0. ]])
    """
    return _backend.impl.softmax(x, out)


@_activation
def softmax_backward(grad_output: Array, y: Array, out: Array | None = None) -> Array:
    """Return y (grad_output - sum(grad_output y)) over the last axis."""
    return _backend.impl.softmax_backward(grad_output, y, out)


@_activation
def log_softmax(x: Array, out: Array | None = None) -> Array:
    """Return x - log(sum(e^x)) over the last axis; `x` is (..., classes)."""
    return _backend.impl.log_softmax(x, out)


@_activation
def log_softmax_backward(grad_output: Array, y: Array, out: Array | None = None) -> Array:
    """Return grad_output - e^y sum(grad_output) over the last axis."""
    return _backend.impl.log_softmax_backward(grad_output, y, out)
