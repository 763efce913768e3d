"""Arrays that begin with a cache line."""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike

from mlpeak._types import Array

__all__ = ["aligned_copy", "aligned_empty", "aligned_full"]

_LINE = 64  # bytes of a cache line, and of the widest register


def aligned_empty(shape: tuple[int, ...], dtype: DTypeLike) -> Array:
    """Return an uninitialised array whose first element begins a cache line.

    NumPy aligns to 16 bytes. A register of 64 bytes then lies in two lines, each access to it is
    two, and a row lies in one line more. What is updated in every step is worth the few bytes.
    """
    dtype = np.dtype(dtype)
    size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    memory = np.empty(size + _LINE, np.uint8)
    begin = -memory.ctypes.data % _LINE
    return memory[begin : begin + size].view(dtype).reshape(shape)


def aligned_full(shape: tuple[int, ...], value: float, dtype: DTypeLike) -> Array:
    """Return such an array, filled with `value`."""
    array = aligned_empty(shape, dtype)
    array.fill(value)
    return array


def aligned_copy(array: Array, dtype: DTypeLike) -> Array:
    """Return a copy in C order in such an array."""
    copy = aligned_empty(array.shape, dtype)
    np.copyto(copy, array, casting="unsafe")
    return copy
