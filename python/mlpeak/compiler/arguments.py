"""The arrays that a caller hands to a compiled step: one or several, and what may be in them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np

from mlpeak._tensor import Tensor
from mlpeak._types import Array
from mlpeak.compiler.graph import Spec

__all__ = ["arrays_of", "check_batch", "interpretations", "kind_of"]

#: Integers that are bytes or little more are numbers (pixels); wider ones are indices, if the model
#: takes indices.
_INDEX_KINDS = ("i4", "i8", "u4", "u8")


def arrays_of(function: str, name: str, value: Any) -> tuple[Array, ...]:
    """Return the arrays of an argument: a tuple is several, anything else is one.

    Errors begin with `function`, what was called, and `name`, the argument.

    Raises
    ------
    TypeError
        If an array's dtype is neither a float nor an integer that the engine reads.
    ValueError
        If an array has no batch dimension.
    """
    parts = value if isinstance(value, tuple) else (value,)
    return tuple(_array(function, name, part) for part in parts)


def _array(function: str, name: str, value: Any) -> Array:
    array = value._array if isinstance(value, Tensor) else np.asarray(value)
    if array.dtype.kind not in "fiub" or (array.dtype.kind == "f" and array.itemsize not in (4, 8)):
        raise TypeError(
            f"{function}: {name} has dtype {array.dtype}; expected float32, float64 or an integer "
            "type"
        )
    if array.dtype == np.uint64:
        raise TypeError(f"{function}: {name} has dtype uint64; expected int64")
    if array.ndim == 0:
        raise ValueError(f"{function}: {name} has shape (); expected (batch, ...)")
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    return array if array.flags.c_contiguous else np.ascontiguousarray(array)


def check_batch(function: str, named: Sequence[tuple[str, Array]]) -> int:
    """Return how many samples all the arrays have, at least one.

    Raises
    ------
    ValueError
        If they differ, or there are none.
    """
    first, array = named[0]
    samples = array.shape[0]
    for name, other in named[1:]:
        if other.shape[0] != samples:
            raise ValueError(
                f"{function}: {name} has {other.shape[0]} samples; expected {samples}, "
                f"as {first} has"
            )
    if samples == 0:
        raise ValueError(f"{function}: {first} has no samples; expected at least one")
    return int(samples)


def kind_of(array: Array) -> tuple[tuple[int, ...], str]:
    """Return what a program depends on: the shape of a sample, and what its elements may be."""
    if array.dtype.kind == "f":
        return array.shape[1:], "float"
    return array.shape[1:], "index" if array.dtype.str[1:] in _INDEX_KINDS else "byte"


def interpretations(
    inputs: Sequence[Array], targets: Sequence[Array], dtype: np.dtype[Any]
) -> Iterator[tuple[list[Spec], list[Spec]]]:
    """Iterate over what integers may mean, the likelier first: indices and classes, or numbers.

    Wide integers among the inputs are first taken as indices, bytes as numbers; integers among the
    targets are first taken as classes.
    """
    meanings = [_meanings(a, dtype, kind_of(a)[1] == "index") for a in inputs]
    meanings += [_meanings(a, dtype, True) for a in targets]
    for chosen in product(*meanings):
        yield list(chosen[: len(inputs)]), list(chosen[len(inputs) :])


def _meanings(array: Array, dtype: np.dtype[Any], index_first: bool) -> list[Spec]:
    number = Spec(array.shape[1:], dtype)
    if array.dtype.kind == "f":
        return [number]
    index = Spec(array.shape[1:], np.dtype(np.int64))
    return [index, number] if index_first else [number, index]
