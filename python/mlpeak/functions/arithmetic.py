"""Arithmetic and comparisons of tensors, with broadcasting and torch's mixing of dtypes."""

from __future__ import annotations

import builtins
from typing import TYPE_CHECKING, Any

import numpy as np

from mlpeak.autograd import apply, apply_inplace
from mlpeak.dtypes import DType, get_default_dtype, result_type
from mlpeak.functions._lift import cast, is_tensor, operand, pair, to_float, values
from mlpeak.ops import arithmetic as ops
from mlpeak.ops.registry import Op

if TYPE_CHECKING:
    from mlpeak._tensor import Tensor

Operand = Any  # a tensor, a NumPy array or a number


def add(input: Operand, other: Operand, *, alpha: float = 1) -> Tensor:
    """Return ``input + alpha * other``."""
    if alpha != 1:
        other = mul(other, alpha) if is_tensor(other) else other * alpha
    return apply(ops.ADD, *pair("add", input, other))


def sub(input: Operand, other: Operand, *, alpha: float = 1) -> Tensor:
    """Return ``input - alpha * other``."""
    if alpha != 1:
        other = mul(other, alpha) if is_tensor(other) else other * alpha
    a, b = pair("sub", input, other)
    if a.dtype.kind == "b":
        raise RuntimeError(
            "Subtraction, the `-` operator, with two bool tensors is not supported. Use the `^` "
            "or `logical_xor()` operator instead."
        )
    return apply(ops.SUB, a, b)


def mul(input: Operand, other: Operand) -> Tensor:
    """Return ``input * other``."""
    return apply(ops.MUL, *pair("mul", input, other))


def div(input: Operand, other: Operand, *, rounding_mode: str | None = None) -> Tensor:
    """Return ``input / other``; integers are divided as floats.

    Parameters
    ----------
    input, other : Tensor or number
        At least one is a tensor; they broadcast.
    rounding_mode : {None, "trunc", "floor"}
        None divides truly; the others round the quotient and keep the dtype of integers.

    Raises
    ------
    ValueError
        If `rounding_mode` is something else.
    RuntimeError
        If integers are divided by zero and rounded.
    """
    a, b = pair("div", input, other)
    if rounding_mode is None:
        return apply(ops.DIV, to_float(a), to_float(b))
    if rounding_mode not in ("trunc", "floor"):
        raise ValueError(
            f"div: rounding_mode is {rounding_mode!r}; expected None, 'trunc' or 'floor'"
        )
    return apply(ops.FLOOR_DIVIDE if rounding_mode == "floor" else ops.TRUNC_DIVIDE, a, b)


def floor_divide(input: Operand, other: Operand) -> Tensor:
    """Return the largest integers below ``input / other``, in the operands' dtype."""
    return apply(ops.FLOOR_DIVIDE, *pair("floor_divide", input, other))


def remainder(input: Operand, other: Operand) -> Tensor:
    """Return ``input - other * floor(input / other)``, which has the sign of `other`."""
    return apply(ops.REMAINDER, *pair("remainder", input, other))


def maximum(input: Operand, other: Operand) -> Tensor:
    """Return the larger of each two elements, NaN if either is."""
    return apply(ops.MAXIMUM, *pair("maximum", input, other))


def minimum(input: Operand, other: Operand) -> Tensor:
    """Return the smaller of each two elements, NaN if either is."""
    return apply(ops.MINIMUM, *pair("minimum", input, other))


def neg(input: Tensor) -> Tensor:
    """Return ``-input``."""
    if input.dtype.kind == "b":
        raise RuntimeError(
            "Negation, the `-` operator, on a bool tensor is not supported. Use the `~` or "
            "`logical_not()` operator instead."
        )
    return apply(ops.NEG, input)


def abs(input: Tensor) -> Tensor:
    """Return the absolute values."""
    return apply(ops.ABS, input)


def sign(input: Tensor) -> Tensor:
    """Return -1, 0 or 1 for each element."""
    return apply(ops.SIGN, input)


def floor(input: Tensor) -> Tensor:
    """Return the largest integers not above `input`."""
    return apply(ops.FLOOR, input)


def ceil(input: Tensor) -> Tensor:
    """Return the smallest integers not below `input`."""
    return apply(ops.CEIL, input)


def round(input: Tensor) -> Tensor:
    """Return the nearest integers; halves go to the even one."""
    return apply(ops.ROUND, input)


def trunc(input: Tensor) -> Tensor:
    """Return the integers next to `input` towards zero."""
    return apply(ops.TRUNC, input)


def square(input: Tensor) -> Tensor:
    """Return ``input * input``."""
    return apply(ops.SQUARE, input)


def sqrt(input: Tensor) -> Tensor:
    """Return the square roots; NaN below zero."""
    return apply(ops.SQRT, to_float(input))


def rsqrt(input: Tensor) -> Tensor:
    """Return ``1 / sqrt(input)``."""
    return apply(ops.RSQRT, to_float(input))


def reciprocal(input: Tensor) -> Tensor:
    """Return ``1 / input``."""
    return apply(ops.RECIPROCAL, to_float(input))


def clamp(input: Tensor, min: Any = None, max: Any = None) -> Tensor:
    """Return `input` moved into ``[min, max]``.

    Parameters
    ----------
    input : Tensor
        Any shape.
    min, max : number, Tensor or None
        The bounds; tensors broadcast against `input`. Where ``min > max`` the result is `max`;
        where a bound is NaN it is NaN.

    Raises
    ------
    ValueError
        If both bounds are None.
    """
    if min is None and max is None:
        raise ValueError("clamp: min and max are both None; expected at least one bound")
    if not (is_tensor(min) or is_tensor(max)):
        for bound in (min, max):
            if isinstance(bound, builtins.float) and input.dtype.kind != "f":
                input = cast(input, get_default_dtype())
        return apply(ops.CLAMP, input, min=min, max=max)
    if min is not None:
        input = where(logical_or(ge(input, min), isnan(input)), input, min)
    if max is not None:
        input = where(logical_or(le(input, max), isnan(input)), input, max)
    return input


def where(condition: Tensor, input: Operand = None, other: Operand = None) -> Any:
    """Return `input` where `condition` holds and `other` elsewhere.

    With `condition` alone, return its non-zero positions as a tuple of index tensors.
    """
    if not is_tensor(condition):
        raise TypeError(f"where: condition is {type(condition).__name__}; expected a Tensor")
    if input is None and other is None:
        return tuple(condition._make(i) for i in np.nonzero(np.atleast_1d(condition._array)))
    if condition.dtype.kind != "b":
        raise TypeError(f"where: condition has dtype {condition.dtype}; expected bool")
    return apply(ops.WHERE, condition, *pair("where", input, other, like=condition))


def eq(input: Operand, other: Operand) -> Tensor:
    """Return where the elements are equal."""
    return apply(ops.EQ, *pair("eq", input, other))


def equals(input: Tensor, other: object) -> Any:
    """Return `eq` of what can be compared, for ``==``: other objects are different ones."""
    return eq(input, other) if operand("eq", other) else NotImplemented


def differs(input: Tensor, other: object) -> Any:
    """Return `ne` of what can be compared, for ``!=``."""
    return ne(input, other) if operand("ne", other) else NotImplemented


def ne(input: Operand, other: Operand) -> Tensor:
    """Return where the elements differ."""
    return apply(ops.NE, *pair("ne", input, other))


def lt(input: Operand, other: Operand) -> Tensor:
    """Return where `input` is less than `other`."""
    return apply(ops.LT, *pair("lt", input, other))


def le(input: Operand, other: Operand) -> Tensor:
    """Return where `input` is less than or equal to `other`."""
    return apply(ops.LE, *pair("le", input, other))


def gt(input: Operand, other: Operand) -> Tensor:
    """Return where `input` is greater than `other`."""
    return apply(ops.GT, *pair("gt", input, other))


def ge(input: Operand, other: Operand) -> Tensor:
    """Return where `input` is greater than or equal to `other`."""
    return apply(ops.GE, *pair("ge", input, other))


def logical_and(input: Operand, other: Operand) -> Tensor:
    """Return where both are non-zero."""
    return apply(ops.LOGICAL_AND, *pair("logical_and", input, other))


def logical_or(input: Operand, other: Operand) -> Tensor:
    """Return where either is non-zero."""
    return apply(ops.LOGICAL_OR, *pair("logical_or", input, other))


def logical_xor(input: Operand, other: Operand) -> Tensor:
    """Return where exactly one is non-zero."""
    return apply(ops.LOGICAL_XOR, *pair("logical_xor", input, other))


def logical_not(input: Tensor) -> Tensor:
    """Return where `input` is zero."""
    return apply(ops.LOGICAL_NOT, input)


def _bitwise(op: Op, a: Operand, b: Operand) -> Tensor:
    a, b = pair(op.name, a, b)
    if a.dtype.kind == "f":
        raise TypeError(f"{op.name}: dtype is {a.dtype}; expected integers or bool")
    return apply(op, a, b)


def bitwise_and(input: Operand, other: Operand) -> Tensor:
    """Return ``input & other`` of integers or booleans."""
    return _bitwise(ops.BITWISE_AND, input, other)


def bitwise_or(input: Operand, other: Operand) -> Tensor:
    """Return ``input | other`` of integers or booleans."""
    return _bitwise(ops.BITWISE_OR, input, other)


def bitwise_xor(input: Operand, other: Operand) -> Tensor:
    """Return ``input ^ other`` of integers or booleans."""
    return _bitwise(ops.BITWISE_XOR, input, other)


def bitwise_not(input: Tensor) -> Tensor:
    """Return ``~input`` of integers or booleans."""
    if input.dtype.kind == "f":
        raise TypeError(f"bitwise_not: dtype is {input.dtype}; expected integers or bool")
    return apply(ops.BITWISE_NOT, input)


def isnan(input: Tensor) -> Tensor:
    """Return where `input` is NaN."""
    return apply(ops.ISNAN, input)


def isinf(input: Tensor) -> Tensor:
    """Return where `input` is an infinity."""
    return apply(ops.ISINF, input)


def isfinite(input: Tensor) -> Tensor:
    """Return where `input` is neither NaN nor an infinity."""
    return apply(ops.ISFINITE, input)


def isclose(
    input: Tensor, other: Operand, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> Tensor:
    """Return where ``|input - other| <= atol + rtol * |other|``."""
    a, b = pair("isclose", input, other)
    with np.errstate(all="ignore"):
        return a._make(np.isclose(a._array, b._array, rtol, atol, equal_nan))


def allclose(
    input: Tensor, other: Operand, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> bool:
    """Return whether `isclose` holds everywhere."""
    return bool(isclose(input, other, rtol, atol, equal_nan)._array.all())


def equal(input: Tensor, other: Tensor) -> bool:
    """Return whether both have the same shape and the same elements."""
    return bool(np.array_equal(input._array, other._array))


def rsub(input: Tensor, other: Operand) -> Tensor:
    """Return ``other - input``."""
    return sub(other, input)


def rdiv(input: Tensor, other: Operand) -> Tensor:
    """Return ``other / input``."""
    return div(other, input)


def rfloor_divide(input: Tensor, other: Operand) -> Tensor:
    """Return ``other // input``."""
    return floor_divide(other, input)


def rremainder(input: Tensor, other: Operand) -> Tensor:
    """Return ``other % input``."""
    return remainder(other, input)


def clone(input: Tensor) -> Tensor:
    """Return a copy in memory of its own, through which gradients flow."""
    return apply(ops.CLONE, input)


def add_(self: Tensor, other: Operand, *, alpha: float = 1) -> Tensor:
    """Add ``alpha * other`` in place."""
    if alpha != 1:
        other = mul(other, alpha) if is_tensor(other) else other * alpha
    return _inplace(ops.ADD, self, other)


def sub_(self: Tensor, other: Operand, *, alpha: float = 1) -> Tensor:
    """Subtract ``alpha * other`` in place."""
    if alpha != 1:
        other = mul(other, alpha) if is_tensor(other) else other * alpha
    return _inplace(ops.SUB, self, other)


def mul_(self: Tensor, other: Operand) -> Tensor:
    """Multiply in place."""
    return _inplace(ops.MUL, self, other)


def div_(self: Tensor, other: Operand) -> Tensor:
    """Divide in place."""
    if self.dtype.kind != "f":
        check_result(self, get_default_dtype())
    return _inplace(ops.DIV, self, other)


def floor_divide_(self: Tensor, other: Operand) -> Tensor:
    """Replace by the floor of the quotient, in place."""
    return _inplace(ops.FLOOR_DIVIDE, self, other)


def remainder_(self: Tensor, other: Operand) -> Tensor:
    """Replace by the remainder, in place."""
    return _inplace(ops.REMAINDER, self, other)


def _inplace(op: Op, self: Tensor, other: Operand) -> Tensor:
    a, b = pair(op.name + "_", self, other)
    if a is not self:  # the result has another dtype than self
        check_result(self, a.dtype)
        b = cast(b, self.dtype)
    return apply_inplace(op, self, b)


def check_result(self: Tensor, dtype: DType) -> None:
    """Raise if an in-place operation's result of `dtype` cannot become elements of `self`."""
    if not np.can_cast(dtype, self.dtype, "same_kind"):
        raise RuntimeError(
            f"result type {dtype} can't be cast to the desired output type {self.dtype}"
        )


def neg_(self: Tensor) -> Tensor:
    """Change the sign in place."""
    return apply_inplace(ops.NEG, self)


def clamp_(self: Tensor, min: Any = None, max: Any = None) -> Tensor:
    """Move into ``[min, max]`` in place; the bounds are those of `clamp`."""
    if min is None and max is None:
        raise ValueError("clamp_: min and max are both None; expected at least one bound")
    for bound in (min, max):
        if bound is not None:
            check_result(self, result_type(self, bound))
    if is_tensor(min) or is_tensor(max):
        return apply_inplace(ops.COPY, self, clamp(self, min, max))
    return apply_inplace(ops.CLAMP, self, min=min, max=max)


def copy_(self: Tensor, source: Operand) -> Tensor:
    """Copy `source` into the tensor, broadcast and converted to its shape and dtype."""
    return apply_inplace(ops.COPY, self, values("copy_", source, self))


def fill_(self: Tensor, value: Any) -> Tensor:
    """Set every element to `value`, a number or a 0-d tensor."""
    value = values("fill_", value, self)
    if value.ndim:
        raise RuntimeError(
            "fill_ only supports 0-dimension value tensor but got tensor with "
            f"{value.ndim} dimensions."
        )
    return apply_inplace(ops.COPY, self, value)


def zero_(self: Tensor) -> Tensor:
    """Set every element to zero."""
    return fill_(self, 0)
