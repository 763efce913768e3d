"""exp, log, pow and their kin, through the kernels; sigmoid, tanh and relu are activations."""

# ruff: noqa: D102 - Op says what forward and backward are, each class says its formula
from __future__ import annotations

from typing import Any

import numpy as np

from mlpeak import kernels
from mlpeak._types import Array
from mlpeak.ops._axes import unbroadcast
from mlpeak.ops.arithmetic import masked
from mlpeak.ops.registry import Context, Op, register


class Exp(Op):
    """e**x."""

    name, onnx = "exp", "Exp"

    def forward(self, ctx: Context, x: Array) -> Array:
        y = kernels.exp(x)
        ctx.save(y)
        return y

    def backward(self, ctx: Context, grad: Array) -> tuple[Array | None, ...]:
        (y,) = ctx.saved
        return (grad * y,)


class Expm1(Op):
    """e**x - 1, also for tiny x."""

    name = "expm1"

    def forward(self, ctx: Context, x: Array) -> Array:
        y = kernels.expm1(x)
        ctx.save(y)
        return y

    def backward(self, ctx: Context, grad: Array) -> tuple[Array | None, ...]:
        (y,) = ctx.saved
        return (grad * (y + y.dtype.type(1)),)


class Log(Op):
    """The natural logarithm."""

    name, onnx = "log", "Log"

    def forward(self, ctx: Context, x: Array) -> Array:
        ctx.save(x)
        return kernels.log(x)

    def backward(self, ctx: Context, grad: Array) -> tuple[Array | None, ...]:
        (x,) = ctx.saved
        return (grad / x,)


class Log1p(Op):
    """log(1 + x), also for tiny x."""

    name = "log1p"

    def forward(self, ctx: Context, x: Array) -> Array:
        ctx.save(x)
        return kernels.log1p(x)

    def backward(self, ctx: Context, grad: Array) -> tuple[Array | None, ...]:
        (x,) = ctx.saved
        return (grad / (x + x.dtype.type(1)),)


class Erf(Op):
    """The error function; its derivative is 2 / sqrt(pi) * exp(-x**2)."""

    name, onnx = "erf", "Erf"

    def forward(self, ctx: Context, x: Array) -> Array:
        ctx.save(x)
        return kernels.erf(x)

    def backward(self, ctx: Context, grad: Array) -> tuple[Array | None, ...]:
        (x,) = ctx.saved
        two_over_root_pi = x.dtype.type(1.1283791670955126)
        return (grad * (kernels.exp(np.asanyarray(-(x * x))) * two_over_root_pi),)


class Pow(Op):
    """x**exponent for one number."""

    name = "pow"

    def forward(self, ctx: Context, x: Array, *, exponent: float) -> Array:
        ctx.save(x)
        return kernels.pow(x, exponent)

    def backward(self, ctx: Context, grad: Array) -> tuple[Array | None, ...]:
        (x,) = ctx.saved
        exponent = ctx.params["exponent"]
        if exponent == 0:
            return (np.zeros_like(x),)
        return (grad * (kernels.pow(x, exponent - 1) * x.dtype.type(exponent)),)


class PowOfSize(Pow):
    """x**exponent of sizes x >= 0, with the derivative 0 at 0: what a norm is made of."""

    name = "pow_of_size"

    def backward(self, ctx: Context, grad: Array) -> tuple[Array | None, ...]:
        (x,) = ctx.saved
        (slope,) = super().backward(ctx, grad)
        assert slope is not None
        return (masked(slope, x != 0),)


def _power(a: Array, b: Array) -> Array:
    """a**b = exp(b log a) in float64, rounded once; with the sign rules of IEEE 754's pow."""
    a, b = np.broadcast_arrays(a.astype(np.float64), b.astype(np.float64))
    size = np.asanyarray(kernels.exp(np.asanyarray(b * kernels.log(np.asanyarray(np.abs(a))))))
    whole = np.floor(b) == b
    odd = whole & (np.remainder(b, 2) == 1)
    y = np.where(np.signbit(a) & odd, -size, size)
    y = np.where((a < 0) & ~whole & np.isfinite(a) & np.isfinite(b), np.nan, y)
    return np.where((b == 0) | (a == 1) | ((a == -1) & np.isinf(b)), 1.0, y)


class PowTensor(Op):
    """a**b for each pair of elements.

    In float64 the error grows with the size of b log a, to about ``|b log a|`` epsilon.
    """

    name, onnx = "pow_tensor", "Pow"

    def forward(self, ctx: Context, a: Array, b: Array) -> Array:
        y = _power(a, b).astype(a.dtype)
        ctx.save(a, b, y if ctx.needs[1] else None)
        return y

    def backward(self, ctx: Context, grad: Array) -> tuple[Array | None, ...]:
        a, b, y = ctx.saved
        one = a.dtype.type(1)
        grads: list[Any] = [None, None]
        if ctx.needs[0]:
            slope = b * _power(a, b - one).astype(a.dtype)
            grads[0] = unbroadcast(masked(grad * slope, b != 0), a.shape)
        if ctx.needs[1]:
            # 0**b is 0 for b > 0, so its derivative is 0 and not 0 * log(0)
            slope = masked(y * kernels.log(a), ~((a == 0) & (b >= 0)))
            grads[1] = unbroadcast(grad * slope, b.shape)
        return tuple(grads)


class IntegerPow(Op):
    """a**b of integers, exact as far as int64 goes."""

    name, differentiable = "integer_pow", False

    def forward(self, ctx: Context, a: Array, b: Array) -> Array:
        if (b < 0).any():
            raise RuntimeError("Integers to negative integer powers are not allowed.")
        return np.power(a, b)


EXP = register(Exp())
EXPM1 = register(Expm1())
LOG = register(Log())
LOG1P = register(Log1p())
ERF = register(Erf())
POW = register(Pow())
POW_OF_SIZE = register(PowOfSize())
POW_TENSOR = register(PowTensor())
INTEGER_POW = register(IntegerPow())
