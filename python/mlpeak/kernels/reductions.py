"""Kernels: sums and means."""

from __future__ import annotations

from mlpeak import _backend
from mlpeak._types import Array

__all__ = ["mean", "sum"]

Axis = int | tuple[int, ...] | None


def sum(x: Array, axis: Axis = None, keepdims: bool = False, out: Array | None = None) -> Array:
    """Sum over the given axes, in an order fixed by the shape alone.

    Parameters
    ----------
    x : ndarray of float32 or float64
        Any shape.
    axis : int or tuple of int, optional
        The axes to sum over; all by default.
    keepdims : bool, default False
        Keep the summed axes with length 1.
    out : ndarray, optional
        Receives the result; the dtype of `x`, no memory shared with it.

    Returns
    -------
    ndarray
        `out`, or a new array. The sum of no elements is 0.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.

    Examples
    --------
    >>> import numpy as np
    >>> sum(np.ones((2, 3), np.float32), axis=0)
    array([2., 2., 2.], dtype=float32)
    """
    return _backend.impl.sum(x, axis, keepdims, out)


def mean(x: Array, axis: Axis = None, keepdims: bool = False, out: Array | None = None) -> Array:
    """Average over the given axes; the total is divided before it is rounded.

    Parameters
    ----------
    x : ndarray of float32 or float64
        Any shape, with at least one element along `axis`.
    axis : int or tuple of int, optional
        The axes to average over; all by default.
    keepdims : bool, default False
        Keep the averaged axes with length 1.
    out : ndarray, optional
        Receives the result; the dtype of `x`, no memory shared with it.

    Returns
    -------
    ndarray
        `out`, or a new array.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.

    Examples
    --------
    >>> import numpy as np
    >>> mean(np.array([1.0, 2.0, 6.0]))
    array(3.)
    """
    return _backend.impl.mean(x, axis, keepdims, out)
