"""What `Module` does to its tensors: converting them, clearing gradients, loading a state."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mlpeak._device import check_device
from mlpeak._from_data import from_numpy
from mlpeak._memory import aligned_empty
from mlpeak._tensor import Tensor
from mlpeak.dtypes import get_default_dtype
from mlpeak.nn.parameter import Parameter

if TYPE_CHECKING:
    from mlpeak.nn.module import Member


class IncompatibleKeys(NamedTuple):
    """What `Module.load_state_dict` returns: keys missing in the state, keys it had beyond."""

    missing_keys: list[str]
    unexpected_keys: list[str]

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return (
            f"IncompatibleKeys(missing_keys={self.missing_keys}, "
            f"unexpected_keys={self.unexpected_keys})"
        )


def empty_parameter(shape: tuple[int, ...], device: object, dtype: Any) -> Parameter:
    """Return a parameter yet to be filled.

    Raises
    ------
    RuntimeError
        If a length is negative.
    """
    check_device(device)
    if any(n < 0 for n in shape):
        raise RuntimeError(
            f"Trying to create tensor with negative dimension {min(shape)}: {list(shape)}"
        )
    return Parameter(from_numpy(aligned_empty(shape, dtype or get_default_dtype())))


def overwrite(tensor: Tensor, value: Any) -> Tensor:
    """Write `value` (an array or a number) over the tensor's memory, unrecorded; return it."""
    np.copyto(tensor._array, value, casting="unsafe")
    tensor.bump_version()
    return tensor


def zero_grad(tensor: Tensor, set_to_none: bool) -> None:
    """Drop the gradient, or fill it with zeros."""
    if set_to_none:
        tensor.grad = None
    elif tensor.grad is not None:
        overwrite(tensor.grad, 0)


def parse_to(*args: Any, **kwargs: Any) -> Any:
    """Return the dtype named by the arguments of ``to``, or None; refuse devices but the CPU."""
    dtype = kwargs.pop("dtype", None)
    device = kwargs.pop("device", None)
    kwargs.pop("non_blocking", None)
    if kwargs:
        raise TypeError(f"to() got an unexpected keyword argument {next(iter(kwargs))!r}")
    for arg in args:
        if isinstance(arg, Tensor):
            dtype = arg.dtype
        elif isinstance(arg, np.dtype) or (isinstance(arg, type) and issubclass(arg, np.generic)):
            dtype = arg
        elif not isinstance(arg, bool):  # a bool is non_blocking, without meaning on a CPU
            device = arg
    check_device(device)
    if dtype is not None and np.dtype(dtype) not in (np.float32, np.float64):
        raise TypeError(
            "nn.Module.to only accepts floating point dtypes (float32, float64), "
            f"but got desired dtype={np.dtype(dtype)}"
        )
    return dtype


def convert(tensor: Tensor, dtype: Any) -> None:
    """Convert a floating tensor and its gradient in place; integers stay as they are."""
    if not tensor.is_floating_point():
        return
    tensor.data = tensor.detach().to(dtype)
    if tensor.grad is not None:
        tensor.grad = tensor.grad.detach().to(dtype)


def as_array(value: object) -> np.ndarray[Any, Any] | None:
    """The NumPy array behind a tensor, an array or what converts to one (a PyTorch tensor)."""
    if isinstance(value, Tensor):
        return value._array
    return np.asarray(value) if hasattr(value, "__array__") else None


def _quoted(keys: Iterable[str]) -> str:
    return ", ".join(f'"{key}"' for key in keys)


def load(
    name: str, members: Sequence[Member], state: Mapping[str, Any], strict: bool, assign: bool
) -> IncompatibleKeys:
    """Copy `state` into `members`; on any error nothing is written."""
    wanted = {member.name for member in members}
    missing = [member.name for member in members if member.name not in state]
    unexpected = [key for key in state if key not in wanted]
    errors = []
    if strict and missing:
        errors.append(f"Missing key(s) in state_dict: {_quoted(missing)}. ")
    if strict and unexpected:
        errors.append(f"Unexpected key(s) in state_dict: {_quoted(unexpected)}. ")
    found = []
    for member in members:
        if member.name not in state:
            continue
        array = as_array(state[member.name])
        if array is None:
            errors.append(
                f'While copying the parameter named "{member.name}", expected mlpeak.Tensor or '
                f"array from checkpoint object but received {type(state[member.name])}"
            )
        elif array.shape != member.value.shape:
            errors.append(
                f"size mismatch for {member.name}: copying a param with shape {array.shape} from "
                f"checkpoint, the shape in current model is {member.value.shape}."
            )
        else:
            found.append((member, array))
    if errors:
        lines = "\n\t".join(errors)
        raise RuntimeError(f"Error(s) in loading state_dict for {name}:\n\t{lines}")
    for member, array in found:
        if assign:
            _assign(member, array)
        else:
            overwrite(member.value, array)
    return IncompatibleKeys(missing, unexpected)


def _assign(member: Member, array: np.ndarray[Any, Any]) -> None:
    if isinstance(member.value, Parameter):
        value: Tensor = Parameter(from_numpy(array), member.value.requires_grad)
    else:
        value = from_numpy(array)
    setattr(member.owner, member.key, value)
