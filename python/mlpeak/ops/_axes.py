"""Sums and means over axes for floats and integers, and the sum that undoes broadcasting."""

from __future__ import annotations

import math

import numpy as np

from mlpeak import kernels
from mlpeak._types import Array
from mlpeak.ops.registry import is_float

Axes = tuple[int, ...] | None


def sum_axes(x: Array, axes: Axes = None, keepdims: bool = False) -> Array:
    """Sum over `axes`; integers and booleans exactly, in int64."""
    if not is_float(x):
        return np.asanyarray(np.sum(x, axis=axes, keepdims=keepdims, dtype=np.int64))
    return kernels.sum(x, axes, keepdims)


def mean_axes(x: Array, axes: Axes = None, keepdims: bool = False) -> Array:
    """Mean over `axes` of floats; NaN where there is nothing to average."""
    if count_axes(x.shape, axes) == 0:
        return sum_axes(x, axes, keepdims) + x.dtype.type(np.nan)  # type: ignore[no-any-return]
    return kernels.mean(x, axes, keepdims)


def count_axes(shape: tuple[int, ...], axes: Axes) -> int:
    """Return how many elements a reduction over `axes` takes together."""
    return math.prod(shape if axes is None else (shape[a] for a in axes))


def unbroadcast(grad: Array, shape: tuple[int, ...]) -> Array:
    """Sum `grad` over the axes along which broadcasting repeated an input of `shape`."""
    if grad.shape == shape:
        return grad
    extra = grad.ndim - len(shape)
    axes = tuple(
        a for a, s in enumerate(grad.shape) if a < extra or (shape[a - extra] == 1 and s != 1)
    )
    return (sum_axes(grad, axes) if axes else grad).reshape(shape)
