"""What the functions on tensors share: bringing operands to tensors of one dtype."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from mlpeak.autograd import Variable, apply
from mlpeak.dtypes import DType, check_dtype, check_range, get_default_dtype, result_type
from mlpeak.grad_mode import mode
from mlpeak.ops.arithmetic import CAST

if TYPE_CHECKING:
    from typing_extensions import TypeIs

    from mlpeak._tensor import Tensor

Function = TypeVar("Function", bound=Callable[..., Any])

NUMBERS = (bool, int, float, np.generic)


def is_tensor(x: object) -> TypeIs[Tensor]:
    """Return whether `x` is a tensor."""
    return isinstance(x, Variable)


def cast(x: Tensor, dtype: DType) -> Tensor:
    """Return `x` in `dtype`: itself if it is so already."""
    return x if x._array.dtype == dtype else apply(CAST, x, dtype=dtype)


def lift(value: Any, like: Tensor, dtype: DType) -> Tensor:
    """Return a tensor, an array or a number as a tensor of `dtype`."""
    if isinstance(value, Variable):
        return cast(value, dtype)  # type: ignore[arg-type]
    return like._make(np.asarray(value, dtype))


def values(function: str, value: Any, like: Tensor) -> Tensor:
    """Return what is to be written into `like` as a tensor; it keeps its dtype.

    Raises
    ------
    TypeError
        If it holds something else than numbers.
    RuntimeError
        If it is a number that the dtype of `like` cannot hold.
    """
    if is_tensor(value):
        return value
    array = np.asarray(value)
    if array.dtype.kind not in "biuf":
        raise TypeError(
            f"{function}: the value is {type(value).__name__}; expected a number, an array or a "
            "tensor"
        )
    if isinstance(value, NUMBERS):
        check_range(array, like.dtype)
    return like._make(array)


def operand(function: str, x: Any) -> bool:
    """Whether `x` can stand beside a tensor in an operation."""
    if isinstance(x, (Variable, *NUMBERS)):
        return True
    if isinstance(x, np.ndarray):
        check_dtype(x.dtype, function)
        return True
    return False


def pair(function: str, a: Any, b: Any, like: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Return both operands as tensors of their common dtype; one or `like` is a tensor already."""
    if isinstance(a, Variable) and isinstance(b, Variable) and a._array.dtype is b._array.dtype:
        return a, b  # type: ignore[return-value]
    if type(b) in (float, int) and is_tensor(a) and a._array.dtype.kind == "f":
        return a, a._make(np.asarray(b, a._array.dtype))
    if not operand(function, a) or not operand(function, b):
        bad = b if operand(function, a) else a
        raise TypeError(
            f"{function}: an operand is {type(bad).__name__}; expected a tensor, an array or a "
            "number"
        )
    made_by = a if is_tensor(a) else b if is_tensor(b) else like
    if made_by is None:
        raise TypeError(f"{function}: neither operand is a tensor; at least one must be")
    dtype = result_type(a, b)
    return lift(a, made_by, dtype), lift(b, made_by, dtype)


def to_float(x: Tensor) -> Tensor:
    """Return integers and booleans in the default dtype, floats as they are."""
    return x if x._array.dtype.kind == "f" else cast(x, get_default_dtype())


def refuse_gradient(function: str, **arguments: Tensor | None) -> None:
    """Raise if one of the named arguments requires a gradient, which `function` does not give.

    Raises
    ------
    RuntimeError
        While operations are recorded, as in torch.
    """
    for name, x in arguments.items():
        if x is not None and mode.enabled and x.requires_grad:
            raise RuntimeError(
                f"The function '{function}' is not differentiable with respect to argument "
                f"'{name}'. This input cannot have requires_grad True; detach() it."
            )


def numpy_names(function: Function) -> Function:
    """Let `function` also take NumPy's keywords ``axis`` and ``keepdims``, as torch does."""

    @functools.wraps(function)
    def renamed(*args: Any, **kwargs: Any) -> Any:
        for name, other in (("dim", "axis"), ("keepdim", "keepdims")):
            if other in kwargs:
                kwargs[name] = kwargs.pop(other)
        return function(*args, **kwargs)

    return renamed  # type: ignore[return-value]


def normal_dim(dim: int, ndim: int, function: str) -> int:
    """Return `dim` counted from the front; a 0-d tensor has the dims 0 and -1, as in torch."""
    if type(dim) is not int:
        dim = _whole(dim, function)
    count = max(ndim, 1)
    if not -count <= dim < count:
        raise IndexError(
            f"{function}: Dimension out of range (expected to be in range of [{-count}, "
            f"{count - 1}], but got {dim})"
        )
    return dim % count


def _whole(dim: object, function: str) -> int:
    """Return a NumPy integer or an integer tensor as an int; a bool is none, as in torch."""
    if not isinstance(dim, (bool, np.bool_)):
        try:
            return operator.index(dim)  # type: ignore[arg-type]
        except TypeError:
            pass
    raise TypeError(f"{function}(): argument 'dim' must be int, not {type(dim).__name__}")


def normal_dims(
    dim: int | tuple[int, ...] | list[int] | None, ndim: int, function: str
) -> tuple[int, ...] | None:
    """Return distinct dims counted from the front in ascending order; None for all."""
    if dim is None:
        return None
    dims = tuple(dim) if isinstance(dim, (tuple, list)) else (dim,)
    if not dims:
        return None
    normal = sorted(normal_dim(d, ndim, function) for d in dims)
    if len(set(normal)) != len(normal):
        raise RuntimeError(f"{function}: a dim appears multiple times in the list of dims {dims}")
    return tuple(normal) if ndim else None
