"""Arrays that begin with a cache line, each at another place of a page."""

from __future__ import annotations

from itertools import count

import numpy as np
from numpy.typing import DTypeLike

from mlpeak._types import Array

__all__ = ["aligned_copy", "aligned_empty", "aligned_full"]

_LINE = 64  # bytes of a cache line, and of the widest register
_PAGE = 4096  # bytes after which the sets of a level 1 cache repeat
_LARGE = 8 * _PAGE

_places = count()


def aligned_empty(shape: tuple[int, ...], dtype: DTypeLike) -> Array:
    """Return an uninitialised array whose first element begins a cache line.

    NumPy aligns to 16 bytes. A register of 64 bytes then lies in two lines, each access to it is
    two, and a row lies in one line more. What is updated in every step is worth the few bytes.

    Large blocks from the system begin at the same place of a page. A weight and its optimizer's
    states, whose rows are walked together, would meet in the same sets of the caches; so large
    arrays begin at places that go round.
    """
    dtype = np.dtype(dtype)
    size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    room, place = _LINE, 0
    if size >= _LARGE:
        # 25 of a page's 64 lines, the golden section: the places that follow each other are apart
        room, place = _PAGE, next(_places) * 25 * _LINE
    memory = np.empty(size + room, np.uint8)
    begin = (place - memory.ctypes.data) % room
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
