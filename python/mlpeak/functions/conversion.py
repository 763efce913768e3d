"""From data to arrays, and from one dtype to another."""

from __future__ import annotations

import builtins
import functools
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike

from mlpeak import dtypes
from mlpeak._device import check_device
from mlpeak._types import Array
from mlpeak.autograd import Variable, apply
from mlpeak.functions._lift import cast, is_tensor
from mlpeak.ops.arithmetic import CLONE

if TYPE_CHECKING:
    from mlpeak._tensor import Tensor


def ordinary(array: Array) -> Array:
    """Return a matrix, a masked array and the like as an ordinary array on the same memory.

    Their operators mean other things. The arrays of a captured step stay what they are.
    """
    if type(array) is np.ndarray or getattr(type(array), "stays_in_tensors", False):
        return array
    return array.view(np.ndarray)


def to_array(function: str, data: Any, dtype: DTypeLike | None, copy: bool) -> Array:
    """Return numbers, nested lists, tensors or arrays as an array that a tensor can hold.

    The array is C-contiguous if it is new.
    """
    wanted = None if dtype is None else dtypes.check_dtype(dtype, function)
    if isinstance(data, Variable):
        return data._array.astype(wanted or data._array.dtype, "C" if copy else "K", copy=copy)
    if isinstance(data, (np.ndarray, np.generic)):
        array = np.asarray(data)
        wanted = wanted or dtypes.check_dtype(array.dtype, function)
    else:
        array = np.asarray(_plain(data))
        if array.dtype.kind not in "biuf":
            raise TypeError(f"{function}: data holds {array.dtype} elements; expected numbers")
        if wanted is None:
            found = _dtypes(data) or {dtypes.get_default_dtype()}
            wanted = dtypes.check_dtype(functools.reduce(dtypes.promote, found), function)
        dtypes.check_range(array, wanted)
    if copy:
        return np.array(array, wanted, order="C")
    return np.asarray(array, wanted)


def _plain(data: Any) -> Any:
    """Lists of tensors as lists of arrays."""
    if isinstance(data, (list, tuple)):
        return [_plain(x) for x in data]
    return data._array if isinstance(data, Variable) else data


_NUMBERS = frozenset((builtins.bool, builtins.int, builtins.float))


def _dtypes(data: Any) -> set[dtypes.DType]:
    """The dtypes of all numbers, tensors and arrays in nested lists, which count alike."""
    if isinstance(data, (list, tuple)):
        kinds = set(map(type, data))
        found = {dtypes.scalar_dtype(kind()) for kind in kinds & _NUMBERS}
        found |= {np.dtype(kind) for kind in kinds if issubclass(kind, np.generic)}
        rest = {kind for kind in kinds - _NUMBERS if not issubclass(kind, np.generic)}
        return found.union(*(_dtypes(x) for x in data if type(x) in rest)) if rest else found
    if isinstance(data, (Variable, np.ndarray, np.generic)):
        return {(data._array if isinstance(data, Variable) else data).dtype}
    if type(data) in _NUMBERS:
        return {dtypes.scalar_dtype(data)}
    dtype = np.asarray(data).dtype
    return {dtypes.get_default_dtype() if dtype.kind == "f" else dtype}


def to(input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """Return the tensor in another dtype, as ``to(dtype)``, ``to("cpu")`` or ``to(tensor)``.

    Keywords are `dtype`, `device`, `copy` and `non_blocking`; the last has no meaning on a CPU.
    The result is the tensor itself where nothing changes and `copy` is false.
    """
    dtype = kwargs.pop("dtype", None)
    device = kwargs.pop("device", None)
    copy = kwargs.pop("copy", False)
    kwargs.pop("non_blocking", None)
    if kwargs:
        raise TypeError(f"to() got an unexpected keyword argument {next(iter(kwargs))!r}")
    for arg in args:
        if is_tensor(arg):
            dtype = arg.dtype
        elif isinstance(arg, (np.dtype, type)):
            dtype = arg
        elif arg is not None and not isinstance(arg, bool):
            device = arg
    check_device(device)
    new = input if dtype is None else cast(input, dtypes.check_dtype(dtype, "to"))
    return apply(CLONE, input) if copy and new is input else new


def type_(input: Tensor, dtype: DTypeLike | None = None) -> Any:
    """Return the tensor in `dtype`, or the name of its dtype."""
    return f"mlpeak.{input.dtype}" if dtype is None else to(input, np.dtype(dtype))


def float_(input: Tensor) -> Tensor:
    """Return the tensor in float32."""
    return cast(input, dtypes.float32)


def double(input: Tensor) -> Tensor:
    """Return the tensor in float64."""
    return cast(input, dtypes.float64)


def int_(input: Tensor) -> Tensor:
    """Return the tensor in int32."""
    return cast(input, dtypes.int32)


def long(input: Tensor) -> Tensor:
    """Return the tensor in int64."""
    return cast(input, dtypes.int64)


def bool_(input: Tensor) -> Tensor:
    """Return where the elements are not zero."""
    return cast(input, dtypes.bool)


def type_as(input: Tensor, other: Tensor) -> Tensor:
    """Return the tensor in the dtype of `other`."""
    return cast(input, other.dtype)


def cpu(input: Tensor) -> Tensor:
    """Return the tensor itself."""
    return input


def contiguous(input: Tensor) -> Tensor:
    """Return the tensor itself if its memory is in row-major order, else a copy that is."""
    return input if input._array.flags.c_contiguous else apply(CLONE, input)


def is_floating_point(input: Tensor) -> builtins.bool:
    """Return whether the dtype is float32 or float64."""
    return input._array.dtype.kind == "f"
