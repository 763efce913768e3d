"""How a tensor prints: as torch prints it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from mlpeak import dtypes
from mlpeak._types import Array

if TYPE_CHECKING:
    from mlpeak._tensor import Tensor

_DIGITS = 4
_SUMMARIZE_ABOVE = 1000  # elements
_EDGE = 3
_LINE_WIDTH = 80


def representation(x: Tensor) -> str:
    """Return ``tensor([...], dtype=..., requires_grad=...)``."""
    array = x._array
    suffixes = []
    if array.size == 0:
        body = "[]"
        if array.ndim != 1:
            suffixes.append(f"size={array.shape}")
    else:
        body = _values(array)
    inferred = (dtypes.get_default_dtype(), dtypes.int64, dtypes.bool)
    if array.dtype not in inferred or (array.size == 0 and array.dtype != inferred[0]):
        suffixes.append(f"dtype=mlpeak.{array.dtype}")
    if x.grad_fn is not None:
        suffixes.append(f"grad_fn={x.grad_fn}")
    elif x.requires_grad:
        suffixes.append("requires_grad=True")
    last_line = len(body) - body.rfind("\n") - 1 + ("\n" not in body) * len("tensor(")
    text = "tensor(" + body
    for suffix in suffixes:
        if last_line + len(suffix) + 2 > _LINE_WIDTH:
            text += ",\n       " + suffix
            last_line = len("tensor(") + len(suffix)
        else:
            text += ", " + suffix
            last_line += len(suffix) + 2
    return text + ")"


def _values(array: Array) -> str:
    shown = _shown(array)
    if array.dtype.kind == "f":
        one, width = _float_format(shown)
    else:
        one, width = str, max(len(str(v)) for v in shown.ravel().tolist())
    return _nested(array, array.size > _SUMMARIZE_ABOVE, len("tensor("), one, width)


def _nested(
    array: Array, summarize: bool, indent: int, one: Callable[[Any], str], width: int
) -> str:
    """Return brackets in brackets; the innermost lists are filled up to the line's end."""
    if not array.ndim:
        return one(array.item())
    count = len(array)
    cut = summarize and count > 2 * _EDGE
    rows = [*range(_EDGE), *range(count - _EDGE, count)] if cut else range(count)
    if array.ndim > 1:
        parts = [_nested(array[i], summarize, indent + 1, one, width) for i in rows]
        if cut:
            parts.insert(_EDGE, "...")
        return "[" + ("," + "\n" * (array.ndim - 1) + " " * (indent + 1)).join(parts) + "]"
    words = [one(array[i].item()).rjust(width) for i in rows]
    if cut:
        words.insert(_EDGE, " ...")
    a_line = max(1, (_LINE_WIDTH - indent) // (width + 2))
    lines = [", ".join(words[i : i + a_line]) for i in range(0, len(words), a_line)]
    return "[" + (",\n" + " " * (indent + 1)).join(lines) + "]"


def _shown(array: Array) -> Array:
    """The elements that are printed: all, or those near the edges of a large array."""
    if array.size > _SUMMARIZE_ABOVE:
        for axis, length in enumerate(array.shape):
            if length > 2 * _EDGE:
                edges = [*range(_EDGE), *range(length - _EDGE, length)]
                array = array.take(edges, axis)
    return array


def _float_format(array: Array) -> tuple[Callable[[Any], str], int]:
    """Return the function that prints one element, and the width of the widest."""
    finite = array[np.isfinite(array) & (array != 0)].astype(np.float64)
    if not finite.size:
        return lambda value: f"{value:.0f}." if np.isfinite(value) else str(value), 1
    low, high = np.abs(finite).min(), np.abs(finite).max()
    whole = bool((finite == np.ceil(finite)).all())
    scientific = high > 1e8 or high / low > 1000 or (not whole and low < 1e-4)

    def one(value: Any) -> str:
        if not np.isfinite(value):
            return str(value)
        if scientific:
            return f"{value:.{_DIGITS}e}"
        return f"{value:.0f}." if whole else f"{value:.{_DIGITS}f}"

    return one, max(len(one(v)) for v in finite)
