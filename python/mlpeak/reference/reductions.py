"""Plain NumPy: sums and means."""

from __future__ import annotations

import numpy as np

from mlpeak._types import Array
from mlpeak.reference import _check

__all__ = ["mean", "sum"]

Axis = int | tuple[int, ...] | None


def _axes(function: str, x: Array, axis: Axis) -> tuple[int, ...]:
    """The axes to reduce, checked."""
    if axis is None:
        return tuple(range(x.ndim))
    chosen: list[int] = []
    for a in axis if isinstance(axis, (tuple, list)) else (axis,):
        if not hasattr(a, "__index__"):
            raise TypeError(
                f"{function}: axis is {type(a).__name__}; expected None, an integer or a tuple of "
                "integers"
            )
        a = _check.integer(function, "axis", a, -x.ndim, x.ndim - 1, f"{-x.ndim} to {x.ndim - 1}")
        if a % x.ndim in chosen:
            raise ValueError(f"{function}: axis names axis {a % x.ndim} twice")
        chosen.append(a % x.ndim)
    return tuple(chosen)


def _reduce(
    function: str, x: Array, axis: Axis, keepdims: bool, out: Array | None, average: bool
) -> Array:
    x = _check.read(function, "x", x)
    _check.flags(function, keepdims=keepdims)
    axes = _axes(function, x, axis)
    count = 1
    for a in axes:
        count *= x.shape[a]
    if average and count == 0:
        raise ValueError(f"{function}: x has no elements to average along axis")
    shape = tuple(1 if i in axes else d for i, d in enumerate(x.shape) if keepdims or i not in axes)
    y = _check.write(function, "out", out, x.dtype, shape, apart_from=(("x", x),))
    total = np.sum(x, axis=axes, keepdims=bool(keepdims), dtype=np.float64)
    y[...] = total / count if average else total
    return y


def sum(x: Array, axis: Axis = None, keepdims: bool = False, out: Array | None = None) -> Array:
    """Sum over the given axes."""
    return _reduce("sum", x, axis, keepdims, out, average=False)


def mean(x: Array, axis: Axis = None, keepdims: bool = False, out: Array | None = None) -> Array:
    """Average over the given axes."""
    return _reduce("mean", x, axis, keepdims, out, average=True)
