"""Tensors from numbers and arrays that are there already."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from mlpeak._device import check_device
from mlpeak._tensor import Tensor
from mlpeak._types import Array
from mlpeak.dtypes import check_dtype
from mlpeak.functions import conversion

__all__ = ["as_tensor", "from_numpy", "is_tensor", "tensor"]


def tensor(
    data: Any, *, dtype: DTypeLike | None = None, device: object = None, requires_grad: bool = False
) -> Tensor:
    """Return a new tensor with a copy of `data`.

    Parameters
    ----------
    data : array_like
        Numbers, nested lists, an array or a tensor.
    dtype : dtype, optional
        By default that of an array; for Python numbers bool, int64 or the default dtype.
    device : optional
        ``"cpu"`` or None.
    requires_grad : bool
        Record operations on the tensor.

    Returns
    -------
    Tensor
        A leaf of the shape of `data`.

    Raises
    ------
    TypeError
        If the elements are no numbers, or `dtype` is none a tensor can have.

    Examples
    --------
    >>> import mlpeak
    >>> mlpeak.tensor([[1, 2], [3, 4]]).dtype
    dtype('int64')
    """
    check_device(device)
    return Tensor(conversion.to_array("tensor", data, dtype, copy=True), requires_grad)


def as_tensor(data: Any, dtype: DTypeLike | None = None, device: object = None) -> Tensor:
    """Return `data` as a tensor, on the same memory where it is an array or a tensor already."""
    check_device(device)
    if isinstance(data, Tensor):
        return data if dtype is None else data.to(dtype)
    return Tensor(conversion.to_array("as_tensor", data, dtype, copy=False))


def from_numpy(array: Array) -> Tensor:
    """Return a tensor on the memory of `array`; a change of either is seen in the other.

    Raises
    ------
    TypeError
        If `array` is no NumPy array or has a dtype that no tensor has.
    """
    if not isinstance(array, np.ndarray):
        raise TypeError(f"from_numpy: array is {type(array).__name__}; expected a numpy.ndarray")
    check_dtype(array.dtype, "from_numpy")
    return Tensor(array)


def is_tensor(x: object) -> bool:
    """Return whether `x` is a tensor."""
    return isinstance(x, Tensor)
