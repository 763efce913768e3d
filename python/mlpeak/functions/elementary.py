"""exp, log, pow and their kin, and the activations that are also tensor methods."""

from __future__ import annotations

import numbers
from typing import TYPE_CHECKING, Any

from mlpeak.autograd import apply, apply_inplace
from mlpeak.functions._lift import cast, is_tensor, pair, to_float
from mlpeak.functions.arithmetic import check_result, clamp, clone, reciprocal, sqrt, square
from mlpeak.ops import elementary as ops
from mlpeak.ops.activations import ACTIVATIONS
from mlpeak.ops.arithmetic import MUL, SQRT

if TYPE_CHECKING:
    from mlpeak._tensor import Tensor


def exp(input: Tensor) -> Tensor:
    """Return e to the power of each element."""
    return apply(ops.EXP, to_float(input))


def expm1(input: Tensor) -> Tensor:
    """Return ``exp(input) - 1``, accurate also near zero."""
    return apply(ops.EXPM1, to_float(input))


def log(input: Tensor) -> Tensor:
    """Return the natural logarithms; NaN below zero."""
    return apply(ops.LOG, to_float(input))


def log1p(input: Tensor) -> Tensor:
    """Return ``log(1 + input)``, accurate also near zero."""
    return apply(ops.LOG1P, to_float(input))


def erf(input: Tensor) -> Tensor:
    """Return the error function of each element."""
    return apply(ops.ERF, to_float(input))


def tanh(input: Tensor) -> Tensor:
    """Return the hyperbolic tangents."""
    return apply(ACTIVATIONS["tanh"], to_float(input))


def sigmoid(input: Tensor) -> Tensor:
    """Return ``1 / (1 + exp(-input))``."""
    return apply(ACTIVATIONS["sigmoid"], to_float(input))


def relu(input: Tensor) -> Tensor:
    """Return `input` where it is positive and zero elsewhere."""
    if input.dtype.kind == "f":
        return apply(ACTIVATIONS["relu"], input)
    if input.dtype.kind == "b":
        raise RuntimeError("Boolean inputs not supported for relu")
    return clamp(input, min=0)


def softmax(input: Tensor, dim: int, dtype: Any = None) -> Tensor:
    """Return ``exp(input)`` divided by its sum along `dim`."""
    from mlpeak.nn.functional import softmax as function

    return function(input if dtype is None else input.to(dtype), dim)


def log_softmax(input: Tensor, dim: int, dtype: Any = None) -> Tensor:
    """Return the logarithm of `softmax`, without its loss of digits."""
    from mlpeak.nn.functional import log_softmax as function

    return function(input if dtype is None else input.to(dtype), dim)


def pow(input: Any, exponent: Any) -> Tensor:
    """Return `input` to the power of `exponent`.

    Parameters
    ----------
    input, exponent : Tensor or number
        At least one is a tensor; they broadcast.

    Raises
    ------
    RuntimeError
        For negative powers of integers.
    """
    if isinstance(exponent, numbers.Real) and not isinstance(exponent, bool) and is_tensor(input):
        number = float(exponent)
        if input.dtype.kind == "f" or not isinstance(exponent, numbers.Integral):
            x = to_float(input)
            if number == 2:
                return square(x)
            if number == 1:
                return clone(x)
            if number == 0.5:
                return sqrt(x)
            return reciprocal(x) if number == -1 else apply(ops.POW, x, exponent=number)
    a, b = pair("pow", input, exponent)
    return apply(ops.POW_TENSOR if a.dtype.kind == "f" else ops.INTEGER_POW, a, b)


def rpow(input: Tensor, base: Any) -> Tensor:
    """Return ``base ** input``."""
    return pow(base, input)


def pow_(self: Tensor, exponent: Any) -> Tensor:
    """Raise to the power of `exponent` in place."""
    if isinstance(exponent, numbers.Real) and self.dtype.kind == "f":
        if exponent == 2:
            return apply_inplace(MUL, self, self)
        return apply_inplace(ops.POW, self, exponent=float(exponent))
    a, b = pair("pow_", self, exponent)
    check_result(self, a.dtype)
    op = ops.POW_TENSOR if self.dtype.kind == "f" else ops.INTEGER_POW
    return apply_inplace(op, self, cast(b, self.dtype))


def exp_(self: Tensor) -> Tensor:
    """Replace by `exp`, in place."""
    return apply_inplace(ops.EXP, self)


def sqrt_(self: Tensor) -> Tensor:
    """Replace by `sqrt`, in place."""
    return apply_inplace(SQRT, self)


def relu_(self: Tensor) -> Tensor:
    """Replace negative elements by zero, in place."""
    return apply_inplace(ACTIVATIONS["relu"], self)


def sigmoid_(self: Tensor) -> Tensor:
    """Replace by `sigmoid`, in place."""
    return apply_inplace(ACTIVATIONS["sigmoid"], self)


def tanh_(self: Tensor) -> Tensor:
    """Replace by `tanh`, in place."""
    return apply_inplace(ACTIVATIONS["tanh"], self)
