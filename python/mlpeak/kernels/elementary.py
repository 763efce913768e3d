"""Kernels: elementary functions.

Each takes ``x`` of any shape, float32 or float64, and returns an array of that shape and dtype:
``out`` where it is given, which may be ``x`` itself but not overlap it otherwise. Limits are in
units in the last place over all inputs, subnormals included; NaN gives NaN, and other special
values are those of C99. Results have the same bits on every tier and any number of threads, which
NumPy's own functions do not.
"""

from __future__ import annotations

from mlpeak import _backend
from mlpeak._docs import family
from mlpeak._types import Array

__all__ = ["erf", "exp", "expm1", "log", "log1p", "pow"]


_elementary = family(
    {
        "x": "ndarray of float32 or float64, any shape\n    The arguments.",
        "exponent": "float\n    One finite exponent for all.",
        "out": "ndarray, optional\n    Receives the result; may be `x` itself.",
    },
    "ndarray\n    `out`, or a new array, of the shape and dtype of `x`.",
)


@_elementary
def exp(x: Array, out: Array | None = None) -> Array:
    """Return e^x, within 1 ULP.

    Examples
    --------
    >>> import numpy as np
    >>> from mlpeak import kernels
    >>> kernels.exp(np.array([0.0, -np.inf]))
    array([1., 0.])
    """
    return _backend.impl.exp(x, out)


@_elementary
def log(x: Array, out: Array | None = None) -> Array:
    """Natural logarithm, within 1 ULP; -inf at 0 and NaN below."""
    return _backend.impl.log(x, out)


@_elementary
def log1p(x: Array, out: Array | None = None) -> Array:
    """Return log(1 + x), within 2 ULP also near 0; -inf at -1 and NaN below."""
    return _backend.impl.log1p(x, out)


@_elementary
def expm1(x: Array, out: Array | None = None) -> Array:
    """Return e^x - 1, within 2 ULP also near 0."""
    return _backend.impl.expm1(x, out)


@_elementary
def erf(x: Array, out: Array | None = None) -> Array:
    """Error function, 2/sqrt(pi) times the integral of exp(-t^2) from 0 to x, within 2 ULP."""
    return _backend.impl.erf(x, out)


@_elementary
def pow(x: Array, exponent: float, out: Array | None = None) -> Array:
    """x^exponent for one finite exponent.

    float32 is computed in float64 and rounded once, within 0.501 ULP. In float64 the exponents 0,
    1, 2, -1 and 0.5 are correctly rounded, other integers n up to 64 in magnitude are products,
    within 2 |n| ULP, and the rest is exp(exponent log |x|), within 1 + 3 |exponent log x| ULP: a
    few for moderate results, 2100 at the ends of the range. Special values are those of C99, but
    that 0.5 is the square root, so that -inf gives NaN.

    Examples
    --------
    >>> import numpy as np
    >>> from mlpeak import kernels
    >>> kernels.pow(np.array([1.0, 2.0, 3.0]), 2)
    array([1., 4., 9.])
    """
    return _backend.impl.pow(x, exponent, out)
