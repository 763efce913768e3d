"""Plain NumPy: elementary functions, computed in float64 and rounded once to the input's dtype."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable

import numpy as np

from mlpeak._types import Array
from mlpeak.reference import _check

__all__ = ["erf", "exp", "expm1", "log", "log1p", "pow"]

MAX = sys.float_info.max

_erf = np.frompyfunc(math.erf, 1, 1)


def erf64(x: Array) -> Array:
    """2/sqrt(pi) times the integral of exp(-t^2) from 0 to x; NumPy has none of its own."""
    return np.asarray(_erf(x), np.float64)


def elementwise(
    function: str, x: Array, out: Array | None, formula: Callable[[Array], Array]
) -> Array:
    """Return `formula(x)` from float64, in a new array or in `out`, which may be `x` itself."""
    x = _check.read(function, "x", x)
    out = _check.write(function, "out", out, x.dtype, x.shape, may_equal=(("x", x),))
    with np.errstate(all="ignore"):
        out[...] = formula(x.astype(np.float64))
    return out


def exp(x: Array, out: Array | None = None) -> Array:
    """Return e^x."""
    return elementwise("exp", x, out, np.exp)


def log(x: Array, out: Array | None = None) -> Array:
    """Natural logarithm."""
    return elementwise("log", x, out, np.log)


def log1p(x: Array, out: Array | None = None) -> Array:
    """Return log(1 + x)."""
    return elementwise("log1p", x, out, np.log1p)


def expm1(x: Array, out: Array | None = None) -> Array:
    """Return e^x - 1."""
    return elementwise("expm1", x, out, np.expm1)


def erf(x: Array, out: Array | None = None) -> Array:
    """Error function."""
    return elementwise("erf", x, out, erf64)


def pow(x: Array, exponent: float, out: Array | None = None) -> Array:
    """x^exponent; an exponent of 0.5 is the square root."""
    _check.number("pow", "exponent", exponent, -MAX, MAX, "a finite number")
    if exponent == 0.5:
        return elementwise("pow", x, out, np.sqrt)
    return elementwise("pow", x, out, lambda x: np.power(x, float(exponent)))
