"""The dtypes of tensors, which are NumPy's, and the rules for mixing them, which are torch's."""

from __future__ import annotations

import builtins
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

DType = np.dtype[Any]

float32: DType = np.dtype(np.float32)
float64: DType = np.dtype(np.float64)
int8: DType = np.dtype(np.int8)
int16: DType = np.dtype(np.int16)
int32: DType = np.dtype(np.int32)
int64: DType = np.dtype(np.int64)
uint8: DType = np.dtype(np.uint8)
bool: DType = np.dtype(np.bool_)
float: DType = float32
double: DType = float64
int: DType = int32
long: DType = int64

__all__ = [
    "bool",
    "double",
    "float",
    "float32",
    "float64",
    "get_default_dtype",
    "int",
    "int16",
    "int32",
    "int64",
    "int8",
    "long",
    "result_type",
    "set_default_dtype",
    "uint8",
]

LEGAL = frozenset((float32, float64, int8, int16, int32, int64, uint8, bool))
_NAMES = "float32, float64, int8, int16, int32, int64, uint8 or bool"
# torch's order of kinds: a mixture has the highest kind of its parts
_RANK = {"b": 0, "u": 1, "i": 1, "f": 2}

_default = float32


def get_default_dtype() -> DType:
    """Return the dtype of tensors made from Python floats: float32 unless set otherwise."""
    return _default


def set_default_dtype(dtype: DTypeLike) -> None:
    """Make Python floats become `dtype`, float32 or float64, in tensors made from now on.

    Raises
    ------
    TypeError
        If `dtype` is neither.
    """
    global _default
    new = np.dtype(dtype)
    if new not in (float32, float64):
        raise TypeError(f"set_default_dtype: dtype is {new}; expected float32 or float64")
    _default = new


def check_dtype(dtype: DTypeLike, function: str) -> DType:
    """Return `dtype` as a NumPy dtype that a tensor can have."""
    new = np.dtype(dtype)
    if new not in LEGAL:
        raise TypeError(f"{function}: dtype is {new}; expected {_NAMES}")
    return new


def check_range(values: Any, dtype: DType) -> None:
    """Refuse numbers that the integer `dtype` cannot hold; unsigned ones take negative ones, too.

    Raises
    ------
    RuntimeError
        If one is too large or not finite.
    """
    if dtype.kind not in "iu":
        return
    numbers = np.asarray(values)
    if not numbers.size or numbers.dtype.kind not in "iufO" or np.can_cast(numbers.dtype, dtype):
        return
    limits = np.iinfo(dtype)
    low = -limits.max if dtype.kind == "u" else limits.min
    least, most = (np.asarray(x).item() for x in (numbers.min(), numbers.max()))
    # a NaN passes no comparison; a float's fraction is cut, and limits.max + 1 is a float
    if not (low - 1 < least and most < limits.max + 1):
        raise RuntimeError(f"value cannot be converted to type {dtype} without overflow")


def scalar_dtype(value: object) -> DType:
    """Return what a Python or NumPy number becomes on its own."""
    if isinstance(value, (builtins.bool, np.bool_)):
        return bool
    if isinstance(value, (builtins.int, np.integer)):
        return int64
    if isinstance(value, (builtins.float, np.floating)):
        return _default
    raise TypeError(f"expected a number, got {type(value).__name__}")


def promote(a: DType, b: DType) -> DType:
    """Return the dtype of two of equal standing: the higher kind, and within it the wider type."""
    if a == b:
        return a
    if _RANK[a.kind] != _RANK[b.kind]:
        return a if _RANK[a.kind] > _RANK[b.kind] else b
    return np.promote_types(a, b)


def mix_with_scalar(dtype: DType, scalar: DType) -> DType:
    """Return the dtype of a tensor and a lesser thing (a number, a 0-d tensor).

    Only a higher kind changes the tensor's dtype.
    """
    return scalar if _RANK[scalar.kind] > _RANK[dtype.kind] else dtype


def result_type(a: Any, b: Any) -> DType:
    """Return the dtype of ``a + b`` for tensors, arrays and numbers.

    Examples
    --------
    >>> import mlpeak
    >>> mlpeak.result_type(mlpeak.ones(2), 2.5), mlpeak.result_type(mlpeak.arange(2), 2.5)
    (dtype('float32'), dtype('float32'))
    """
    a_dtype, a_rank = _standing(a)
    b_dtype, b_rank = _standing(b)
    if a_rank == b_rank:
        return promote(a_dtype, b_dtype)
    if a_rank > b_rank:
        return mix_with_scalar(a_dtype, b_dtype)
    return mix_with_scalar(b_dtype, a_dtype)


def _standing(x: Any) -> tuple[DType, builtins.int]:
    """A tensor with dimensions outranks one without, which outranks a number."""
    if hasattr(x, "ndim") and not isinstance(x, np.generic):
        return x.dtype, 2 if x.ndim else 1
    return scalar_dtype(x), 0
