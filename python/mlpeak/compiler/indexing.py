"""Indexing of traced arrays by integers, slices and constant index arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from mlpeak.compiler.record import current
from mlpeak.compiler.traced import Traced, plain, refuse_owned, value_of, view, write

__all__ = ["constant_key", "copy_into", "getitem"]


def constant_key(key: Any, shape: tuple[int, ...]) -> tuple[Any, ...]:
    """Return `key` as a tuple of int, slice, None and index arrays that takes all dims.

    Raises
    ------
    CompileError
        If a traced array is in it.
    """
    items = list(key) if isinstance(key, tuple) else [key]
    if any(isinstance(item, Traced) for item in items):
        raise current().error("indexing by a tensor asks for its values")
    if all(item is not Ellipsis for item in items):
        items.append(Ellipsis)
    free = len(shape) - sum(map(_dims_taken, items))
    found: list[Any] = []
    d = 0
    for item in items:
        if item is Ellipsis:
            found += [slice(None)] * free
            d += free
        elif isinstance(item, slice):
            whole = item.indices(shape[d]) == (0, shape[d], 1)
            found.append(slice(None) if whole else item)
            d += 1
        else:
            found.append(item if item is None or isinstance(item, int) else np.asarray(item))
            d += _dims_taken(item)
    return tuple(found)


def _dims_taken(item: Any) -> int:
    """How many dims of an array an item of a key takes; none by an Ellipsis."""
    if item is None or item is Ellipsis:
        return 0
    array = np.asarray(item) if isinstance(item, (np.ndarray, list)) else None
    return array.ndim if array is not None and array.dtype.kind == "b" else 1


def _is_whole(key: tuple[Any, ...]) -> bool:
    return all(isinstance(item, slice) and item == slice(None) for item in key)


def getitem(x: Traced, key: Any) -> Traced:
    """Return ``x[key]``."""
    key = constant_key(key, x.shape)
    selector = (*key, Ellipsis)  # the Ellipsis keeps a single element an array
    array = plain(x)[selector]
    if _is_whole(key):
        return view(x, "np.reshape", array, shape=array.shape)
    return view(x, "np.getitem", array, key=key)


def copy_into(target: Any, key: Any, source: Any) -> None:
    """``target[key] = source``, for what may be any array, number or list."""
    refuse_owned(target)
    key = constant_key(key, target.shape)
    data = plain(target)
    if not isinstance(source, (np.ndarray, np.generic)):
        source = np.asarray(source)
    source = source.astype(target.dtype, copy=False)
    if _is_whole(key):
        whole = np.broadcast_to(source, target.shape)
        # a constant is kept, so it must not be memory that can change
        value = value_of(whole if isinstance(whole, Traced) else whole.copy())
    else:
        inputs = (value_of(target), value_of(source))
        value = current().emit_one("np.setitem", inputs, data, key=key)
    data[key] = plain(source)
    write(target, value)
