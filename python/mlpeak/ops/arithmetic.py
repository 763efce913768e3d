"""Arithmetic, comparisons and selection: exact or correctly rounded, so NumPy computes them."""

# ruff: noqa: D102 - Op says what forward and backward are, each class says its formula
from __future__ import annotations

from typing import Any

import numpy as np

from mlpeak._types import Array
from mlpeak.ops._axes import unbroadcast
from mlpeak.ops.registry import Context, Op, register


def masked(grad: Array, mask: Any) -> Array:
    """Return `grad` where `mask` holds and zero elsewhere, also where `grad` is not finite."""
    return np.where(mask, grad, grad.dtype.type(0))


def _no_broadcast(name: str, *arrays: Array) -> RuntimeError:
    shapes = " and ".join(str(a.shape) for a in arrays)
    return RuntimeError(f"{name}: tensors of shapes {shapes} do not broadcast")


class _Binary(Op):
    """``f(a, b)`` with broadcasting; both inputs have one dtype."""

    ufunc: Any

    def forward(self, ctx: Context, a: Array, b: Array) -> Array:
        ctx.params["shapes"] = a.shape, b.shape
        self.keep(ctx, a, b)
        try:
            return self.ufunc(a, b)  # type: ignore[no-any-return]
        except ValueError:
            raise _no_broadcast(self.name, a, b) from None

    def keep(self, ctx: Context, a: Array, b: Array) -> None:
        """Save what the derivatives need."""

    def derivatives(self, ctx: Context, grad: Array) -> tuple[Array | None, Array | None]:
        """Return the gradients of both inputs in the output's shape."""
        raise NotImplementedError

    def backward(self, ctx: Context, grad: Array) -> tuple[Array | None, ...]:
        shapes = ctx.params["shapes"]
        pairs = zip(self.derivatives(ctx, grad), shapes, strict=True)
        return tuple(None if g is None else unbroadcast(np.asanyarray(g), s) for g, s in pairs)


class Add(_Binary):
    """a + b."""

    name, onnx, ufunc = "add", "Add", np.add

    def derivatives(self, ctx: Context, grad: Array) -> tuple[Array | None, Array | None]:
        return grad if ctx.needs[0] else None, grad if ctx.needs[1] else None


class Sub(_Binary):
    """a - b."""

    name, onnx, ufunc = "sub", "Sub", np.subtract

    def derivatives(self, ctx: Context, grad: Array) -> tuple[Array | None, Array | None]:
        return grad if ctx.needs[0] else None, -grad if ctx.needs[1] else None


class _Product(_Binary):
    """The derivative of one input is a function of the other, so that one is saved."""

    def keep(self, ctx: Context, a: Array, b: Array) -> None:
        ctx.save(a if ctx.needs[1] else None, b if ctx.needs[0] else None)


class Mul(_Product):
    """a * b."""

    name, onnx, ufunc = "mul", "Mul", np.multiply

    def derivatives(self, ctx: Context, grad: Array) -> tuple[Array | None, Array | None]:
        a, b = ctx.saved
        return grad * b if ctx.needs[0] else None, grad * a if ctx.needs[1] else None


class Div(_Binary):
    """a / b, of floats. Both derivatives need b, and that of b needs a."""

    name, onnx, ufunc = "div", "Div", np.divide

    def keep(self, ctx: Context, a: Array, b: Array) -> None:
        ctx.save(a if ctx.needs[1] else None, b)

    def derivatives(self, ctx: Context, grad: Array) -> tuple[Array | None, Array | None]:
        a, b = ctx.saved
        return (
            grad / b if ctx.needs[0] else None,
            -grad * ((a / b) / b) if ctx.needs[1] else None,
        )


def _refuse_zero(name: str, b: Array) -> None:
    if b.dtype.kind != "f" and not b.all():
        raise RuntimeError(f"ZeroDivisionError: {name} of integers by zero")


class _RoundedQuotient(_Binary):
    """Constant but for its jumps: the derivatives are 0."""

    def forward(self, ctx: Context, a: Array, b: Array) -> Array:
        _refuse_zero(self.name, b)
        return super().forward(ctx, a, b)

    def derivatives(self, ctx: Context, grad: Array) -> tuple[Array | None, Array | None]:
        zeros = np.zeros_like(grad)
        return zeros if ctx.needs[0] else None, zeros if ctx.needs[1] else None


class FloorDivide(_RoundedQuotient):
    """floor(a / b)."""

    name, ufunc = "floor_divide", np.floor_divide


class TruncDivide(_RoundedQuotient):
    """a / b without its fraction; of integers exactly."""

    name = "trunc_divide"

    @staticmethod
    def ufunc(a: Array, b: Array) -> Any:
        if a.dtype.kind == "f":
            return np.trunc(a / b)
        floor = np.floor_divide(a, b)
        return floor + ((floor < 0) & (floor * b != a))


class Remainder(_Binary):
    """a - b * floor(a / b): the sign is that of b. Only the derivative of b needs either."""

    name, ufunc = "remainder", np.remainder

    def keep(self, ctx: Context, a: Array, b: Array) -> None:
        if ctx.needs[1]:
            ctx.save(a, b)

    def forward(self, ctx: Context, a: Array, b: Array) -> Array:
        _refuse_zero(self.name, b)
        return super().forward(ctx, a, b)

    def derivatives(self, ctx: Context, grad: Array) -> tuple[Array | None, Array | None]:
        grad_b = None
        if ctx.needs[1]:
            a, b = ctx.saved
            grad_b = -grad * np.floor_divide(a, b)
        return grad if ctx.needs[0] else None, grad_b


class _Extremum(_Binary):
    """Of two equal inputs each gets half the gradient."""

    wins: Any

    def keep(self, ctx: Context, a: Array, b: Array) -> None:
        ctx.save(a, b)

    def derivatives(self, ctx: Context, grad: Array) -> tuple[Array | None, Array | None]:
        a, b = ctx.saved
        half = np.where(a == b, grad * grad.dtype.type(0.5), grad)
        return masked(half, ~self.wins(b, a)), masked(half, ~self.wins(a, b))


class Maximum(_Extremum):
    """The larger of a and b; NaN if either is."""

    name, onnx, ufunc, wins = "maximum", "Max", np.maximum, np.greater


class Minimum(_Extremum):
    """The smaller of a and b; NaN if either is."""

    name, onnx, ufunc, wins = "minimum", "Min", np.minimum, np.less


ADD = register(Add())
SUB = register(Sub())
MUL = register(Mul())
DIV = register(Div())
FLOOR_DIVIDE = register(FloorDivide())
TRUNC_DIVIDE = register(TruncDivide())
REMAINDER = register(Remainder())
MAXIMUM = register(Maximum())
MINIMUM = register(Minimum())


class _Compare(_Binary):
    """A truth value for each element."""

    differentiable = False

    def __init__(self, name: str, onnx: str | None, ufunc: Any) -> None:
        self.name, self.onnx, self.ufunc = name, onnx, ufunc


EQ = register(_Compare("eq", "Equal", np.equal))
NE = register(_Compare("ne", None, np.not_equal))
LT = register(_Compare("lt", "Less", np.less))
LE = register(_Compare("le", "LessOrEqual", np.less_equal))
GT = register(_Compare("gt", "Greater", np.greater))
GE = register(_Compare("ge", "GreaterOrEqual", np.greater_equal))
LOGICAL_AND = register(_Compare("logical_and", "And", np.logical_and))
LOGICAL_OR = register(_Compare("logical_or", "Or", np.logical_or))
LOGICAL_XOR = register(_Compare("logical_xor", "Xor", np.logical_xor))
BITWISE_AND = register(_Compare("bitwise_and", "BitwiseAnd", np.bitwise_and))
BITWISE_OR = register(_Compare("bitwise_or", "BitwiseOr", np.bitwise_or))
BITWISE_XOR = register(_Compare("bitwise_xor", "BitwiseXor", np.bitwise_xor))


class _Test(Op):
    """A function of one input without a gradient."""

    differentiable = False

    def __init__(self, name: str, onnx: str | None, ufunc: Any) -> None:
        self.name, self.onnx, self._ufunc = name, onnx, ufunc

    def forward(self, ctx: Context, x: Array) -> Array:
        return self._ufunc(x)  # type: ignore[no-any-return]


ISNAN = register(_Test("isnan", "IsNaN", np.isnan))
ISINF = register(_Test("isinf", "IsInf", np.isinf))
ISFINITE = register(_Test("isfinite", None, np.isfinite))
LOGICAL_NOT = register(_Test("logical_not", "Not", np.logical_not))
BITWISE_NOT = register(_Test("bitwise_not", "BitwiseNot", np.invert))


class Neg(Op):
    """-x."""

    name, onnx = "neg", "Neg"

    def forward(self, ctx: Context, x: Array) -> Array:
        return np.negative(x)

    def backward(self, ctx: Context, grad: Array) -> tuple[Array | None, ...]:
        return (-grad,)


class Abs(Op):
    """|x|, with the derivative 0 at 0."""

    name, onnx = "abs", "Abs"

    def forward(self, ctx: Context, x: Array) -> Array:
        ctx.save(x)
        return np.abs(x)

    def backward(self, ctx: Context, grad: Array) -> tuple[Array | None, ...]:
        (x,) = ctx.saved
        return (grad * np.sign(x),)


class _Step(Op):
    """Constant but for its jumps: the derivative is 0."""

    def __init__(self, name: str, onnx: str | None, ufunc: Any) -> None:
        self.name, self.onnx, self._ufunc = name, onnx, ufunc

    def forward(self, ctx: Context, x: Array) -> Array:
        y: Array = x.copy() if x.dtype.kind == "b" else self._ufunc(x)
        return y

    def backward(self, ctx: Context, grad: Array) -> tuple[Array | None, ...]:
        return (np.zeros_like(grad),)


class _Rounding(_Step):
    """Integers stay what they are."""

    def forward(self, ctx: Context, x: Array) -> Array:
        return x.copy() if x.dtype.kind in "iu" else super().forward(ctx, x)


class Square(Op):
    """x * x."""

    name = "square"

    def forward(self, ctx: Context, x: Array) -> Array:
        ctx.save(x)
        return x * x

    def backward(self, ctx: Context, grad: Array) -> tuple[Array | None, ...]:
        (x,) = ctx.saved
        return (grad * (x + x),)


class Sqrt(Op):
    """The square root; NaN below 0."""

    name, onnx = "sqrt", "Sqrt"

    def forward(self, ctx: Context, x: Array) -> Array:
        y = np.sqrt(x)
        ctx.save(y)
        return y

    def backward(self, ctx: Context, grad: Array) -> tuple[Array | None, ...]:
        (y,) = ctx.saved
        return (grad / (y + y),)


class RootOfSquares(Sqrt):
    """The square root of a sum of squares: a norm, whose derivative at 0 is 0, as in torch."""

    name = "root_of_squares"

    def backward(self, ctx: Context, grad: Array) -> tuple[Array | None, ...]:
        (y,) = ctx.saved
        (slope,) = super().backward(ctx, grad)
        assert slope is not None
        return (masked(slope, y != 0),)


class Rsqrt(Op):
    """1 / sqrt(x), as a division: an approximation would differ between CPUs."""

    name = "rsqrt"

    def forward(self, ctx: Context, x: Array) -> Array:
        y = np.reciprocal(np.sqrt(x))
        ctx.save(y)
        return y

    def backward(self, ctx: Context, grad: Array) -> tuple[Array | None, ...]:
        (y,) = ctx.saved
        return (grad * (y * y * y * y.dtype.type(-0.5)),)


class Reciprocal(Op):
    """1 / x."""

    name, onnx = "reciprocal", "Reciprocal"

    def forward(self, ctx: Context, x: Array) -> Array:
        y = np.reciprocal(x)
        ctx.save(y)
        return y

    def backward(self, ctx: Context, grad: Array) -> tuple[Array | None, ...]:
        (y,) = ctx.saved
        return (-grad * (y * y),)


class Clamp(Op):
    """x moved into [min, max], numbers or None; the derivative is 1 inside, bounds included."""

    name, onnx = "clamp", "Clip"

    def forward(self, ctx: Context, x: Array, *, min: float | None, max: float | None) -> Array:
        ctx.save(x)
        y: Array = x.copy() if min is None else np.maximum(x, x.dtype.type(min))
        return y if max is None else np.minimum(y, x.dtype.type(max))

    def backward(self, ctx: Context, grad: Array) -> tuple[Array | None, ...]:
        (x,) = ctx.saved
        low, high = ctx.params["min"], ctx.params["max"]
        if low is not None:
            grad = masked(grad, x >= x.dtype.type(low))
        if high is not None:
            grad = masked(grad, x <= x.dtype.type(high))
        return (grad,)


class Where(Op):
    """a where `condition` holds, else b."""

    name, onnx = "where", "Where"

    def forward(self, ctx: Context, condition: Array, a: Array, b: Array) -> Array:
        ctx.params["shapes"] = a.shape, b.shape
        ctx.save(condition)
        try:
            return np.where(condition, a, b)
        except ValueError:
            raise _no_broadcast(self.name, condition, a, b) from None

    def backward(self, ctx: Context, grad: Array) -> tuple[Array | None, ...]:
        (condition,) = ctx.saved
        a_shape, b_shape = ctx.params["shapes"]
        return (
            None,
            unbroadcast(masked(grad, condition), a_shape) if ctx.needs[1] else None,
            unbroadcast(masked(grad, ~condition), b_shape) if ctx.needs[2] else None,
        )


class Cast(Op):
    """x in another dtype; floats are cut towards zero when they become integers."""

    name, onnx = "cast", "Cast"

    def forward(self, ctx: Context, x: Array, *, dtype: Any) -> Array:
        ctx.params["from"] = x.dtype
        return x.astype(dtype)

    def backward(self, ctx: Context, grad: Array) -> tuple[Array | None, ...]:
        return (grad.astype(ctx.params["from"]),)


class Clone(Op):
    """A copy in memory of its own."""

    name, onnx = "clone", "Identity"

    def forward(self, ctx: Context, x: Array) -> Array:
        y: Array = x.copy()
        return y

    def backward(self, ctx: Context, grad: Array) -> tuple[Array | None, ...]:
        return (grad,)


class Copy(Op):
    """What `x` becomes when `source` is copied into it: the source in x's shape and dtype."""

    name = "copy"

    def forward(self, ctx: Context, x: Array, source: Array) -> Array:
        ctx.params["from"] = source.shape, source.dtype
        y = np.empty_like(x)
        try:
            y[...] = source
        except ValueError:
            raise _no_broadcast("copy_", x, source) from None
        return y

    def backward(self, ctx: Context, grad: Array) -> tuple[Array | None, ...]:
        shape, dtype = ctx.params["from"]
        grad_source = unbroadcast(grad, shape).astype(dtype) if ctx.needs[1] else None
        return np.zeros_like(grad) if ctx.needs[0] else None, grad_source


NEG = register(Neg())
ABS = register(Abs())
SIGN = register(_Step("sign", "Sign", np.sign))
FLOOR = register(_Rounding("floor", "Floor", np.floor))
CEIL = register(_Rounding("ceil", "Ceil", np.ceil))
ROUND = register(_Rounding("round", "Round", np.rint))
TRUNC = register(_Rounding("trunc", None, np.trunc))
SQUARE = register(Square())
SQRT = register(Sqrt())
ROOT_OF_SQUARES = register(RootOfSquares())
RSQRT = register(Rsqrt())
RECIPROCAL = register(Reciprocal())
CLAMP = register(Clamp())
WHERE = register(Where())
CAST = register(Cast())
CLONE = register(Clone())
COPY = register(Copy())
