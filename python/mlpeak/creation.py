"""New tensors: filled, counted, random."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from mlpeak import _random, kernels
from mlpeak._device import check_device
from mlpeak._from_data import as_tensor, from_numpy, is_tensor, tensor
from mlpeak._tensor import Tensor
from mlpeak.dtypes import DType, check_dtype, check_range, get_default_dtype, int64, scalar_dtype
from mlpeak.functions.shapes import sizes_of

__all__ = [
    "arange",
    "as_tensor",
    "empty",
    "empty_like",
    "eye",
    "from_numpy",
    "full",
    "full_like",
    "is_tensor",
    "linspace",
    "normal",
    "ones",
    "ones_like",
    "rand",
    "rand_like",
    "randint",
    "randint_like",
    "randn",
    "randn_like",
    "randperm",
    "tensor",
    "zeros",
    "zeros_like",
]


def _dtype(function: str, dtype: DTypeLike | None, device: object) -> DType:
    check_device(device)
    return get_default_dtype() if dtype is None else check_dtype(dtype, function)


def _shape(function: str, size: tuple[Any, ...]) -> tuple[int, ...]:
    shape = sizes_of(function, size)
    if any(n < 0 for n in shape):
        raise RuntimeError(f"{function}: size is {shape}; a length is negative")
    return shape


def empty(
    *size: Any,
    dtype: DTypeLike | None = None,
    device: object = None,
    requires_grad: bool = False,
) -> Tensor:
    """Return a tensor whose elements are whatever the memory holds.

    Parameters
    ----------
    *size : int
        The shape, also as one sequence.
    dtype : dtype, optional
        The default dtype unless given.
    device : optional
        ``"cpu"`` or None.
    requires_grad : bool
        Record operations on the tensor.
    """
    return Tensor(np.empty(_shape("empty", size), _dtype("empty", dtype, device)), requires_grad)


def zeros(
    *size: Any,
    dtype: DTypeLike | None = None,
    device: object = None,
    requires_grad: bool = False,
) -> Tensor:
    """Return a tensor of zeros; the parameters are those of `empty`.

    Examples
    --------
    >>> import mlpeak
    >>> mlpeak.zeros(2, 3)
    tensor([[0., 0., 0.],
            [0., 0., 0.]])
    """
    return Tensor(np.zeros(_shape("zeros", size), _dtype("zeros", dtype, device)), requires_grad)


def ones(
    *size: Any,
    dtype: DTypeLike | None = None,
    device: object = None,
    requires_grad: bool = False,
) -> Tensor:
    """Return a tensor of ones; the parameters are those of `empty`."""
    return Tensor(np.ones(_shape("ones", size), _dtype("ones", dtype, device)), requires_grad)


def full(
    size: Any,
    fill_value: float,
    *,
    dtype: DTypeLike | None = None,
    device: object = None,
    requires_grad: bool = False,
) -> Tensor:
    """Return a tensor of the shape `size` with `fill_value` everywhere.

    The dtype is that of a Python number of this type unless given.

    Raises
    ------
    TypeError
        If `fill_value` is no number.
    RuntimeError
        If the dtype cannot hold it.
    """
    value = fill_value.item() if isinstance(fill_value, Tensor) else fill_value
    own = scalar_dtype(value)
    chosen = _dtype("full", own if dtype is None else dtype, device)
    check_range(value, chosen)
    array = np.full(_shape("full", (size,)), value, chosen)
    return Tensor(array, requires_grad)


def eye(
    n: int,
    m: int | None = None,
    *,
    dtype: DTypeLike | None = None,
    device: object = None,
    requires_grad: bool = False,
) -> Tensor:
    """Return an (n, m) matrix, square by default, with ones on the diagonal."""
    return Tensor(np.eye(n, m, dtype=_dtype("eye", dtype, device)), requires_grad)


def arange(
    start: float,
    end: float | None = None,
    step: float = 1,
    *,
    dtype: DTypeLike | None = None,
    device: object = None,
    requires_grad: bool = False,
) -> Tensor:
    """Return ``start + i * step`` below `end`; ``arange(end)`` starts at 0.

    int64 if all arguments are integers, else the default dtype.

    Raises
    ------
    RuntimeError
        If `step` is zero or leads away from `end`.

    Examples
    --------
    >>> import mlpeak
    >>> mlpeak.arange(1, 7, 2)
    tensor([1, 3, 5])
    """
    if end is None:
        start, end = 0, start
    start, end, step = (x.item() if isinstance(x, Tensor) else x for x in (start, end, step))
    if step == 0:
        raise RuntimeError("step must be nonzero")
    if (end - start) * step < 0:
        raise RuntimeError("upper bound and lower bound inconsistent with step sign")
    if dtype is None and all(scalar_dtype(x) == int64 for x in (start, end, step)):
        dtype = int64
    count = math.ceil((end - start) / step)
    if all(isinstance(x, (int, np.integer)) for x in (start, end, step)):
        count = -((start - end) // step)  # type: ignore[assignment]
        values: Any = start + np.arange(count, dtype=np.int64) * step
    else:
        values = start + np.arange(count, dtype=np.float64) * step
    return Tensor(values.astype(_dtype("arange", dtype, device)), requires_grad)


def linspace(
    start: float,
    end: float,
    steps: int,
    *,
    dtype: DTypeLike | None = None,
    device: object = None,
    requires_grad: bool = False,
) -> Tensor:
    """Return `steps` evenly spaced numbers from `start` to `end`, both included."""
    if steps < 0:
        raise RuntimeError("number of steps must be non-negative")
    values = np.linspace(float(start), float(end), steps)
    return Tensor(values.astype(_dtype("linspace", dtype, device)), requires_grad)


def rand(
    *size: Any,
    generator: _random.Generator | None = None,
    dtype: DTypeLike | None = None,
    device: object = None,
    requires_grad: bool = False,
) -> Tensor:
    """Return uniform random numbers in [0, 1).

    They depend on the seed and on how many random calls came before, on nothing else.
    """
    shape = _shape("rand", size)
    seed, step = (generator or _random.default_generator).next()
    array = kernels.random_uniform(
        shape, seed=seed, stream=_random.TENSOR, step=step, dtype=_float("rand", dtype, device)
    )
    return Tensor(array, requires_grad)


def randn(
    *size: Any,
    generator: _random.Generator | None = None,
    dtype: DTypeLike | None = None,
    device: object = None,
    requires_grad: bool = False,
) -> Tensor:
    """Return random numbers from the normal distribution with mean 0 and variance 1."""
    shape = _shape("randn", size)
    seed, step = (generator or _random.default_generator).next()
    array = kernels.random_normal(
        shape, seed=seed, stream=_random.TENSOR, step=step, dtype=_float("randn", dtype, device)
    )
    return Tensor(array, requires_grad)


def _float(function: str, dtype: DTypeLike | None, device: object) -> Any:
    new = _dtype(function, dtype, device)
    if new.kind != "f":
        raise TypeError(f"{function}: dtype is {new}; expected float32 or float64")
    return new


def normal(
    mean: float,
    std: float,
    size: Sequence[int],
    *,
    generator: _random.Generator | None = None,
    dtype: DTypeLike | None = None,
    device: object = None,
    requires_grad: bool = False,
) -> Tensor:
    """Return normal random numbers of the given mean and standard deviation."""
    if std < 0:
        raise RuntimeError(f"normal expects std >= 0.0, but found std {std}")
    shape = _shape("normal", (size,))
    seed, step = (generator or _random.default_generator).next()
    array = kernels.random_normal(
        shape,
        mean,
        std,
        seed=seed,
        stream=_random.TENSOR,
        step=step,
        dtype=_float("normal", dtype, device),
    )
    return Tensor(array, requires_grad)


def randint(
    low: int,
    high: Any = None,
    size: Any = None,
    *,
    generator: _random.Generator | None = None,
    dtype: DTypeLike | None = None,
    device: object = None,
    requires_grad: bool = False,
) -> Tensor:
    """Return random integers in [low, high), or in [0, high) as ``randint(high, size)``.

    Raises
    ------
    RuntimeError
        If the range is empty, or longer than 2**53.
    """
    if size is None:
        low, high, size = 0, low, high
    if not low < high:
        raise RuntimeError(
            f"random_ expects 'from' to be less than 'to', but got from={low} >= to={high}"
        )
    if high - low > 1 << 53:
        raise RuntimeError(f"randint: the range [{low}, {high}) is longer than 2**53")
    shape = _shape("randint", (size,))
    seed, step = (generator or _random.default_generator).next()
    uniform = kernels.random_uniform(
        shape, seed=seed, stream=_random.TENSOR, step=step, dtype=np.float64
    )
    # floor(u * n) < n for u < 1: the product rounds to at most n * (1 - 2**-53)
    values = np.floor(uniform * (high - low)).astype(np.int64) + low
    dtype = int64 if dtype is None else dtype
    return Tensor(values.astype(_dtype("randint", dtype, device)), requires_grad)


def randperm(
    n: int,
    *,
    generator: _random.Generator | None = None,
    dtype: DTypeLike | None = None,
    device: object = None,
) -> Tensor:
    """Return the integers from 0 to n - 1 in random order."""
    if n < 0:
        raise RuntimeError(f"n must be non-negative, got {n}")
    seed, step = (generator or _random.default_generator).next()
    values = kernels.permutation(n, seed=seed, stream=_random.TENSOR, step=step)
    return Tensor(values.astype(_dtype("randperm", dtype or int64, device), copy=False))


def empty_like(input: Tensor, *, dtype: DTypeLike | None = None, **kwargs: Any) -> Tensor:
    """Return an `empty` tensor of the shape and dtype of `input`."""
    return empty(input.shape, dtype=dtype or input.dtype, **kwargs)


def zeros_like(input: Tensor, *, dtype: DTypeLike | None = None, **kwargs: Any) -> Tensor:
    """Return `zeros` of the shape and dtype of `input`."""
    return zeros(input.shape, dtype=dtype or input.dtype, **kwargs)


def ones_like(input: Tensor, *, dtype: DTypeLike | None = None, **kwargs: Any) -> Tensor:
    """Return `ones` of the shape and dtype of `input`."""
    return ones(input.shape, dtype=dtype or input.dtype, **kwargs)


def full_like(
    input: Tensor, fill_value: float, *, dtype: DTypeLike | None = None, **kwargs: Any
) -> Tensor:
    """Return `full` of the shape and dtype of `input`."""
    return full(input.shape, fill_value, dtype=dtype or input.dtype, **kwargs)


def rand_like(input: Tensor, *, dtype: DTypeLike | None = None, **kwargs: Any) -> Tensor:
    """Return `rand` of the shape and dtype of `input`."""
    return rand(input.shape, dtype=dtype or input.dtype, **kwargs)


def randn_like(input: Tensor, *, dtype: DTypeLike | None = None, **kwargs: Any) -> Tensor:
    """Return `randn` of the shape and dtype of `input`."""
    return randn(input.shape, dtype=dtype or input.dtype, **kwargs)


def randint_like(
    input: Tensor,
    low: int,
    high: int | None = None,
    *,
    dtype: DTypeLike | None = None,
    **kwargs: Any,
) -> Tensor:
    """Return `randint` of the shape and dtype of `input`."""
    bounds = (0, low) if high is None else (low, high)
    return randint(*bounds, input.shape, dtype=dtype or input.dtype, **kwargs)
