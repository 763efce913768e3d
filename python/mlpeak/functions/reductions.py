"""Sums, means, extrema and their kin over some or all dims."""

from __future__ import annotations

import builtins
from typing import TYPE_CHECKING, Any, NamedTuple

from numpy.typing import DTypeLike

from mlpeak.autograd import apply
from mlpeak.dtypes import check_dtype
from mlpeak.functions._lift import cast, is_tensor, normal_dim, normal_dims, numpy_names, to_float
from mlpeak.functions.arithmetic import maximum, minimum, square, sub
from mlpeak.functions.elementary import exp, log
from mlpeak.ops import reductions as ops
from mlpeak.ops.arithmetic import DIV, ROOT_OF_SQUARES
from mlpeak.ops.elementary import POW_OF_SIZE
from mlpeak.ops.indexing import GATHER
from mlpeak.ops.registry import Op

if TYPE_CHECKING:
    from mlpeak._tensor import Tensor

Dims = int | tuple[int, ...] | list[int] | None


class ValuesAndIndices(NamedTuple):
    """Elements and their positions along a dim."""

    values: Tensor
    indices: Tensor


@numpy_names
def sum(
    input: Tensor, dim: Dims = None, keepdim: bool = False, *, dtype: DTypeLike | None = None
) -> Tensor:
    """Return the sum over `dim`, an int, several, or None for all; of integers in int64."""
    if dtype is not None:
        input = cast(input, check_dtype(dtype, "sum"))
    return apply(ops.SUM, input, dim=normal_dims(dim, input.ndim, "sum"), keepdim=keepdim)


@numpy_names
def mean(
    input: Tensor, dim: Dims = None, keepdim: bool = False, *, dtype: DTypeLike | None = None
) -> Tensor:
    """Return the mean over `dim`, an int, several, or None for all.

    Raises
    ------
    RuntimeError
        If the elements are integers.
    """
    if dtype is not None:
        input = cast(input, check_dtype(dtype, "mean"))
    if input.dtype.kind != "f":
        raise RuntimeError(
            "mean(): could not infer output dtype. Input dtype must be either a floating point or "
            f"complex dtype. Got: {input.dtype}"
        )
    return apply(ops.MEAN, input, dim=normal_dims(dim, input.ndim, "mean"), keepdim=keepdim)


@numpy_names
def var(
    input: Tensor,
    dim: Dims = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> Tensor:
    """Return the variance over `dim`: squared deviations from the mean over ``n - correction``.

    Parameters
    ----------
    input : Tensor
        Floats.
    dim : int, tuple of int, bool or None
        None takes all elements; so does a bool, which is then `unbiased`.
    unbiased : bool, optional
        True, as by default, is a `correction` of 1, False one of 0.
    keepdim : bool
        Keep the dims with length 1.
    correction : float, optional
        What is subtracted from the number of elements.

    Raises
    ------
    TypeError
        If `unbiased` is no bool, or is given twice or beside `correction`.
    """
    return _var("var", input, dim, unbiased, keepdim, correction)


@numpy_names
def std(
    input: Tensor,
    dim: Dims = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> Tensor:
    """Return the standard deviation over `dim`, the square root of `var`; its gradient at 0 is 0.

    The parameters are those of `var`.
    """
    return apply(ROOT_OF_SQUARES, _var("std", input, dim, unbiased, keepdim, correction))


def _var(
    name: str,
    input: Tensor,
    dim: Dims,
    unbiased: bool | None,
    keepdim: bool,
    correction: float | None,
) -> Tensor:
    if isinstance(dim, bool) and unbiased is None:
        dim, unbiased = None, dim
    if unbiased is not None:
        if not isinstance(unbiased, bool):
            raise TypeError(f"{name}(): unbiased is {type(unbiased).__name__}; expected a bool")
        if correction is not None:
            raise TypeError(f"{name}(): unbiased and correction are both given; expected one")
        correction = 1 if unbiased else 0
    elif correction is None:
        correction = 1
    dims = normal_dims(dim, input.ndim, name)
    centre = mean(input, dims, True)
    count = 1
    for n, kept in zip(input.shape, centre.shape, strict=True):
        count *= n // kept if kept else 1
    total = sum(square(sub(input, centre)), dims, keepdim)
    divisor = total._make(total._array.dtype.type(builtins.max(count - correction, 0)))
    return apply(DIV, total, divisor)


@numpy_names
def prod(
    input: Tensor, dim: int | None = None, keepdim: bool = False, *, dtype: DTypeLike | None = None
) -> Tensor:
    """Return the product over one dim or all; of integers in int64."""
    if dtype is not None:
        input = cast(input, check_dtype(dtype, "prod"))
    return apply(ops.PROD, input, dim=normal_dims(dim, input.ndim, "prod"), keepdim=keepdim)


@numpy_names
def cumsum(input: Tensor, dim: int) -> Tensor:
    """Return the running sums along `dim`; of integers in int64."""
    return apply(ops.CUMSUM, input, dim=normal_dim(dim, input.ndim, "cumsum"))


@numpy_names
def amax(input: Tensor, dim: Dims = None, keepdim: bool = False) -> Tensor:
    """Return the largest elements over `dim`; equal ones share the gradient."""
    return apply(ops.AMAX, input, dim=normal_dims(dim, input.ndim, "amax"), keepdim=keepdim)


@numpy_names
def amin(input: Tensor, dim: Dims = None, keepdim: bool = False) -> Tensor:
    """Return the smallest elements over `dim`; equal ones share the gradient."""
    return apply(ops.AMIN, input, dim=normal_dims(dim, input.ndim, "amin"), keepdim=keepdim)


@numpy_names
def argmax(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """Return the positions of the first largest elements along `dim`, or in the flat tensor."""
    d = None if dim is None else normal_dim(dim, input.ndim, "argmax")
    return apply(ops.ARGMAX, input, dim=d, keepdim=keepdim)


@numpy_names
def argmin(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """Return the positions of the first smallest elements along `dim`, or in the flat tensor."""
    d = None if dim is None else normal_dim(dim, input.ndim, "argmin")
    return apply(ops.ARGMIN, input, dim=d, keepdim=keepdim)


def _select(position: Op, input: Tensor, dim: int, keepdim: bool) -> ValuesAndIndices:
    d = normal_dim(dim, input.ndim, position.name)
    indices = apply(position, input, dim=d, keepdim=True)
    values = apply(GATHER, input, indices, dim=d)
    if keepdim or not input.ndim:
        return ValuesAndIndices(values, indices)
    return ValuesAndIndices(values.squeeze(d), indices.squeeze(d))


@numpy_names
def max(input: Tensor, dim: Any = None, keepdim: bool = False) -> Any:
    """Return the largest element, or along `dim` the largest ones.

    Parameters
    ----------
    input : Tensor
        Any shape.
    dim : int, Tensor or None
        None reduces everything; a tensor means `maximum`.
    keepdim : bool
        Keep `dim` with length 1.

    Returns
    -------
    Tensor or ValuesAndIndices
        With an int `dim`: ``values`` and the ``indices`` of the first of equal elements, which
        alone receive the gradient.
    """
    if dim is None:
        return amax(input)
    if is_tensor(dim):
        return maximum(input, dim)
    return _select(ops.ARGMAX, input, dim, keepdim)


@numpy_names
def min(input: Tensor, dim: Any = None, keepdim: bool = False) -> Any:
    """Return the smallest element, or along `dim` the smallest ones; see `max`."""
    if dim is None:
        return amin(input)
    if is_tensor(dim):
        return minimum(input, dim)
    return _select(ops.ARGMIN, input, dim, keepdim)


@numpy_names
def any(input: Tensor, dim: Dims = None, keepdim: bool = False) -> Tensor:
    """Return whether any element over `dim` is not zero."""
    return apply(ops.ANY, input, dim=normal_dims(dim, input.ndim, "any"), keepdim=keepdim)


@numpy_names
def all(input: Tensor, dim: Dims = None, keepdim: bool = False) -> Tensor:
    """Return whether all elements over `dim` are not zero."""
    return apply(ops.ALL, input, dim=normal_dims(dim, input.ndim, "all"), keepdim=keepdim)


def count_nonzero(input: Tensor, dim: Dims = None) -> Tensor:
    """Return the number of elements over `dim` that are not zero."""
    return sum(input.bool(), dim)


@numpy_names
def logsumexp(input: Tensor, dim: Dims, keepdim: bool = False) -> Tensor:
    """Return ``log(sum(exp(input)))`` over `dim` without overflow."""
    input = to_float(input)
    if not input.numel():  # has no peak, and the sum of nothing is 0
        return log(sum(input, dim, keepdim))
    peak = amax(input.detach(), dim, True)
    peak = peak.masked_fill(~peak.isfinite(), 0)
    result = log(sum(exp(input - peak), dim, True)) + peak
    dims = normal_dims(dim, input.ndim, "logsumexp")
    if keepdim:
        return result
    return result.reshape(()) if dims is None else result.squeeze(dims)


def norm(input: Tensor, p: float | str = 2, dim: Dims = None, keepdim: bool = False) -> Tensor:
    """Return the vector norm over `dim`: ``(sum |x|**p)**(1/p)``; its gradient at 0 is 0.

    Parameters
    ----------
    input : Tensor
        Floats.
    p : float or "fro"
        1, 2 (the same as "fro"), infinity or any positive number.
    dim : int, tuple of int or None
        None takes all elements.
    keepdim : bool
        Keep the dims with length 1.
    """
    if p in (2, "fro"):
        return apply(ROOT_OF_SQUARES, sum(square(input), dim, keepdim))
    if isinstance(p, str) or p <= 0:
        raise ValueError(f"norm: p is {p!r}; expected a positive number or 'fro'")
    size = input.abs()
    if p == float("inf"):
        return amax(size, dim, keepdim)
    if p == 1:
        return sum(size, dim, keepdim)
    total = sum(apply(POW_OF_SIZE, size, exponent=float(p)), dim, keepdim)
    return apply(POW_OF_SIZE, total, exponent=1 / p)


def argsort(input: Tensor, dim: int = -1, descending: bool = False, stable: bool = True) -> Tensor:
    """Return the order of the elements along `dim`; equal ones always keep their order."""
    d = normal_dim(dim, input.ndim, "argsort")
    return apply(ops.ARGSORT, input, dim=d, descending=descending)


def sort(
    input: Tensor, dim: int = -1, descending: bool = False, stable: bool = True
) -> ValuesAndIndices:
    """Return the elements in order along `dim`, and where each was."""
    d = normal_dim(dim, input.ndim, "sort")
    indices = argsort(input, d, descending)
    return ValuesAndIndices(apply(GATHER, input, indices, dim=d), indices)


def topk(input: Tensor, k: int, dim: int = -1, largest: bool = True) -> ValuesAndIndices:
    """Return the `k` largest (or smallest) elements along `dim`, in order, and where each was."""
    d = normal_dim(dim, input.ndim, "topk")
    if not 0 <= k <= (input.shape[d] if input.ndim else 1):
        raise RuntimeError(f"topk: k is {k}; selected index k out of range")
    indices = argsort(input, d, largest)
    if input.ndim:
        indices = indices.narrow(d, 0, k).contiguous()
    return ValuesAndIndices(apply(GATHER, input, indices, dim=d), indices)
