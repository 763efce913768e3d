"""The checks of the compiled bindings (cpp/bindings/args.h), for the NumPy backend.

Same refusals, same words: an error names the function, the argument, what came and what is legal,
and is raised before anything is written.
"""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlpeak._types import Array


def _ndarray(function: str, name: str, array: object) -> Array:
    if not isinstance(array, np.ndarray):
        raise TypeError(f"{function}: {name} is {type(array).__name__}; expected a numpy.ndarray")
    return array


def plain(array: NDArray[Any]) -> NDArray[Any]:
    """Return `array` without its subclass: numpy.matrix has other shapes and another ``*``."""
    return array if type(array) is np.ndarray else array.view(np.ndarray)


def _floating(function: str, name: str, array: Array) -> None:
    if array.dtype not in (np.float32, np.float64) or not array.dtype.isnative:
        raise TypeError(f"{function}: {name} has dtype {array.dtype}; expected float32 or float64")


def read(function: str, name: str, array: object, like: tuple[str, Array] | None = None) -> Array:
    """A float32 or float64 array that is only read; `like` is the (name, array) to match."""
    a = _ndarray(function, name, array)
    _floating(function, name, a)
    if like is not None and a.dtype != like[1].dtype:
        raise TypeError(
            f"{function}: {name} has dtype {a.dtype}; expected {like[1].dtype} like {like[0]}"
        )
    return plain(a)


def ndim(function: str, name: str, array: Array, expected: int, layout: str) -> None:
    """`array` has `expected` dimensions; `layout` names them, as in ``(batch, in_features)``."""
    if array.ndim != expected:
        raise ValueError(f"{function}: {name} has shape {array.shape}; expected {layout}")


def shape(function: str, name: str, array: Array, expected: tuple[int, ...], layout: str) -> None:
    """`array` has exactly the shape `expected`; `layout` names its dimensions."""
    if array.shape != expected:
        raise ValueError(
            f"{function}: {name} has shape {array.shape}; expected {layout} = {expected}"
        )


def indices(
    function: str, name: str, array: object, count: int, what: str, ignored: int | None = None
) -> NDArray[np.int64]:
    """Integers in [0, count), or equal to `ignored` if given; `what` names them in the error."""
    a = _ndarray(function, name, array)
    if a.dtype.kind not in "iu":
        raise TypeError(f"{function}: {name} has dtype {a.dtype}; expected integers")
    values = plain(a).astype(np.int64)
    flat = values.ravel()
    outside = (flat < 0) | (flat >= count)
    if ignored is not None:
        outside &= flat != ignored
    bad = np.flatnonzero(outside)
    if bad.size:
        i = int(bad[0])
        raise ValueError(
            f"{function}: {name} holds {flat[i]} at position {i}; {what} are in [0, {count})"
        )
    return values


def write(
    function: str,
    name: str,
    array: object,
    dtype: np.dtype[Any],
    expected: tuple[int, ...],
    apart_from: tuple[tuple[str, Array | None], ...] = (),
    may_equal: tuple[tuple[str, Array | None], ...] = (),
) -> Array:
    """An array to write: a new one for None, else the caller's, checked.

    It must not share memory with any of `apart_from`; it may be the very same array as one of
    `may_equal`, but not overlap it otherwise.
    """
    if array is None:
        return np.empty(expected, dtype)
    a = _ndarray(function, name, array)
    _floating(function, name, a)
    if a.dtype != dtype:
        raise TypeError(f"{function}: {name} has dtype {a.dtype}; expected {dtype}")
    if a.shape != expected:
        raise ValueError(f"{function}: {name} has shape {a.shape}; expected {expected}")
    if not a.flags.writeable:
        raise ValueError(f"{function}: {name} is read-only; expected a writeable array")
    if not (a.flags.c_contiguous and a.flags.aligned):
        raise ValueError(
            f"{function}: {name} is not C-contiguous and aligned; an array that is written must be"
        )
    for other_name, other in apart_from + may_equal:
        if other is None or not np.may_share_memory(a, other):
            continue
        same = a.__array_interface__["data"][0] == other.__array_interface__["data"][0]
        if (
            (other_name, id(other)) in {(n, id(o)) for n, o in may_equal}
            and same
            and (a.nbytes == other.nbytes)
        ):
            continue
        raise ValueError(
            f"{function}: {name} shares memory with {other_name}; expected an array of its own"
        )
    return a


def number(function: str, name: str, value: object, low: float, high: float, legal: str) -> float:
    """`value` is a number in [low, high]; NaN is refused. `legal` says so in the error."""
    try:
        found = math.ldexp(value, 0)  # type: ignore[arg-type]  # float(value), but not of text
    except TypeError:
        raise TypeError(f"{function}: {name} is {type(value).__name__}; expected {legal}") from None
    except OverflowError:
        raise ValueError(f"{function}: {name} is {value!r}; expected {legal}") from None
    if not low <= found <= high:
        raise ValueError(f"{function}: {name} is {found!r}; expected {legal}")
    return found


def integer(function: str, name: str, value: object, low: int, high: int, legal: str) -> int:
    """`value` is an integer in [low, high]; `legal` says so in the error."""
    try:
        found = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"{function}: {name} is {type(value).__name__}; expected {legal}") from None
    if not low <= found <= high:
        raise ValueError(f"{function}: {name} is {found}; expected {legal}")
    return found


def flags(function: str, **values: object) -> None:
    """Every one of `values` is a bool (or an int, which Python takes for one)."""
    for name, value in values.items():
        if not isinstance(value, (int, np.bool_)):
            raise TypeError(f"{function}: {name} is {type(value).__name__}; expected a bool")
