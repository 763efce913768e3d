"""Shapes: views, joining, splitting, repeating."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mlpeak.autograd import apply
from mlpeak.dtypes import promote
from mlpeak.functions._lift import cast, normal_dim, normal_dims, numpy_names
from mlpeak.ops import shapes as ops
from mlpeak.ops.indexing import SLICE
from mlpeak.ops.registry import Op

if TYPE_CHECKING:
    from mlpeak._tensor import Tensor


def sizes_of(function: str, given: tuple[Any, ...]) -> tuple[int, ...]:
    """``f(2, 3)`` and ``f((2, 3))`` mean the same."""
    if len(given) == 1 and isinstance(given[0], Sequence):
        given = tuple(given[0])
    try:
        return tuple(int(n.__index__()) for n in given)
    except AttributeError:
        raise TypeError(f"{function}: sizes are {given}; expected integers") from None


def _fill_in(shape: tuple[int, ...], count: int) -> tuple[int, ...]:
    """Replace one -1 by the length that makes `count` elements."""
    known = math.prod(n for n in shape if n != -1)
    wrong = f"shape '{list(shape)}' is invalid for input of size {count}"
    if shape.count(-1) > 1:
        raise RuntimeError("only one dimension can be inferred")
    if any(n < -1 for n in shape):
        raise RuntimeError(f"invalid shape dimension {min(shape)}")
    if -1 in shape:
        if not known:
            raise RuntimeError(
                f"cannot reshape tensor of 0 elements into shape {list(shape)} because the "
                "unspecified dimension size -1 can be any value and is ambiguous"
            )
        if count % known:
            raise RuntimeError(wrong)
        return tuple(count // known if n == -1 else n for n in shape)
    if known != count:
        raise RuntimeError(wrong)
    return shape


def reshape(input: Tensor, *shape: Any) -> Tensor:
    """Return the elements in row-major order in another shape; one length may be -1.

    The result is a view where possible.

    Raises
    ------
    RuntimeError
        If the number of elements does not fit.
    """
    sizes = _fill_in(sizes_of("reshape", shape), input.numel())
    return apply(ops.RESHAPE, input, shape=sizes)


def view(input: Tensor, *shape: Any) -> Tensor:
    """Return a view of another shape; unlike `reshape` it never copies.

    ``view(dtype)`` is not supported.

    Raises
    ------
    RuntimeError
        If the number of elements does not fit, or the memory cannot be seen in this shape.
    """
    output = reshape(input, *shape)
    if output._view is None and output.numel():
        raise RuntimeError(
            "view size is not compatible with input tensor's size and stride (at least one "
            "dimension spans across two contiguous subspaces). Use .reshape(...) instead."
        )
    return output


def view_as(input: Tensor, other: Tensor) -> Tensor:
    """Return a view in the shape of `other`."""
    return view(input, other.shape)


def reshape_as(input: Tensor, other: Tensor) -> Tensor:
    """Return the elements in the shape of `other`."""
    return reshape(input, other.shape)


def flatten(input: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """Return the tensor with the dims from `start_dim` to `end_dim`, included, joined to one."""
    start = normal_dim(start_dim, input.ndim, "flatten")
    end = normal_dim(end_dim, input.ndim, "flatten")
    if start > end:
        raise RuntimeError("flatten() has invalid args: start_dim cannot come after end_dim")
    shape = input.shape
    joined = math.prod(shape[start : end + 1])
    return apply(ops.RESHAPE, input, shape=(*shape[:start], joined, *shape[end + 1 :]))


def unflatten(input: Tensor, dim: int, sizes: Sequence[int]) -> Tensor:
    """Return the tensor with one dim split into several; one of `sizes` may be -1."""
    d = normal_dim(dim, input.ndim, "unflatten")
    inner = _fill_in(sizes_of("unflatten", tuple(sizes)), input.shape[d])
    return apply(ops.RESHAPE, input, shape=input.shape[:d] + inner + input.shape[d + 1 :])


def squeeze(input: Tensor, dim: int | tuple[int, ...] | None = None) -> Tensor:
    """Return a view without the dims of length 1, or without those of `dim` that have length 1."""
    dims = normal_dims(dim, input.ndim, "squeeze")
    shape = tuple(
        n for d, n in enumerate(input.shape) if n != 1 or (dims is not None and d not in dims)
    )
    return apply(ops.RESHAPE, input, shape=shape)


def unsqueeze(input: Tensor, dim: int) -> Tensor:
    """Return a view with a new dim of length 1 at position `dim`."""
    d = normal_dim(dim, input.ndim + 1, "unsqueeze")
    return apply(ops.RESHAPE, input, shape=(*input.shape[:d], 1, *input.shape[d:]))


def permute(input: Tensor, *dims: Any) -> Tensor:
    """Return a view with the dims in the given order."""
    order = tuple(normal_dim(d, input.ndim, "permute") for d in sizes_of("permute", dims))
    if sorted(order) != list(range(input.ndim)):
        raise RuntimeError(f"permute: dims are {dims}; expected each of {input.ndim} dims once")
    return apply(ops.PERMUTE, input, dims=order)


def transpose(input: Tensor, dim0: int, dim1: int) -> Tensor:
    """Return a view with two dims swapped."""
    a = normal_dim(dim0, input.ndim, "transpose")
    b = normal_dim(dim1, input.ndim, "transpose")
    order = list(range(input.ndim))
    if order:
        order[a], order[b] = order[b], order[a]
    return apply(ops.PERMUTE, input, dims=tuple(order))


def t(input: Tensor) -> Tensor:
    """Return the transpose of a matrix; fewer dims stay as they are."""
    if input.ndim > 2:
        raise RuntimeError(f"t() expects a tensor with <= 2 dimensions, but self is {input.ndim}D")
    return apply(ops.PERMUTE, input, dims=tuple(range(input.ndim))[::-1])


def reverse_dims(input: Tensor) -> Tensor:
    """Return a view with all dims in reversed order; the property ``T``."""
    return apply(ops.PERMUTE, input, dims=tuple(range(input.ndim))[::-1])


def matrix_transpose(input: Tensor) -> Tensor:
    """Return a view with the last two dims swapped; the property ``mT``."""
    return transpose(input, -2, -1)


def movedim(input: Tensor, source: int, destination: int) -> Tensor:
    """Return a view with one dim moved to another position."""
    order = list(range(input.ndim))
    a = normal_dim(source, input.ndim, "movedim")
    b = normal_dim(destination, input.ndim, "movedim")
    if order:
        order.insert(b, order.pop(a))
    return apply(ops.PERMUTE, input, dims=tuple(order))


def expand(input: Tensor, *sizes: Any) -> Tensor:
    """Return a read-only view that repeats dims of length 1 without copying.

    -1 keeps a length; new dims come first.
    """
    wanted = sizes_of("expand", sizes)
    extra = len(wanted) - input.ndim
    if extra < 0:
        raise RuntimeError(f"expand: sizes are {wanted} for a tensor of {input.ndim} dimensions")
    shape = tuple(
        input.shape[d - extra] if n == -1 and d >= extra else n for d, n in enumerate(wanted)
    )
    for d, n in enumerate(shape[extra:]):
        if n < 0 or (input.shape[d] != 1 and input.shape[d] != n):
            raise RuntimeError(
                f"The expanded size of the tensor ({n}) must match the existing size "
                f"({input.shape[d]}) at non-singleton dimension {d + extra}.  Target sizes: "
                f"{list(wanted)}.  Tensor sizes: {list(input.shape)}"
            )
    return apply(ops.EXPAND, input, shape=shape)


def expand_as(input: Tensor, other: Tensor) -> Tensor:
    """Return `input` expanded to the shape of `other`."""
    return expand(input, other.shape)


def broadcast_to(input: Tensor, shape: Sequence[int]) -> Tensor:
    """Return `input` expanded to `shape`."""
    return expand(input, tuple(shape))


def repeat(input: Tensor, *repeats: Any) -> Tensor:
    """Return a copy laid out `repeats` times along each dim; new dims come first."""
    counts = sizes_of("repeat", repeats)
    if len(counts) < input.ndim:
        raise RuntimeError(
            "Number of dimensions of repeat dims can not be smaller than number of dimensions of "
            "tensor"
        )
    return apply(ops.REPEAT, input, repeats=counts)


def flip(input: Tensor, *dims: Any) -> Tensor:
    """Return a copy with the order of the elements reversed along `dims`."""
    found = tuple(normal_dim(d, input.ndim, "flip") for d in sizes_of("flip", dims))
    return apply(ops.FLIP, input, dims=found if input.ndim else ())


def tril(input: Tensor, diagonal: int = 0) -> Tensor:
    """Return the elements on and below a diagonal, zero above it."""
    return _triangle(ops.TRIL, input, diagonal)


def triu(input: Tensor, diagonal: int = 0) -> Tensor:
    """Return the elements on and above a diagonal, zero below it."""
    return _triangle(ops.TRIU, input, diagonal)


def _triangle(op: Op, input: Tensor, diagonal: int) -> Tensor:
    if input.ndim < 2:
        raise RuntimeError(f"{op.name}: input tensor must have at least 2 dimensions")
    return apply(op, input, diagonal=diagonal)


def _same_dtype(function: str, tensors: Sequence[Tensor]) -> list[Tensor]:
    parts = list(tensors)
    if not parts:
        raise RuntimeError(f"{function}: expected a non-empty list of Tensors")
    dtype = parts[0].dtype
    for x in parts[1:]:
        dtype = promote(dtype, x.dtype)
    return [cast(x, dtype) for x in parts]


@numpy_names
def cat(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Return the tensors one after the other along an existing dim.

    Raises
    ------
    RuntimeError
        If there is none, or their other dims differ.
    """
    parts = _same_dtype("cat", tensors)
    d = normal_dim(dim, parts[0].ndim, "cat")
    rest = {x.shape[:d] + x.shape[d + 1 :] for x in parts}
    if parts[0].ndim == 0:
        raise RuntimeError("zero-dimensional tensor cannot be concatenated; stack() joins numbers")
    if len(rest) > 1 or len({x.ndim for x in parts}) > 1:
        shapes = ", ".join(str(x.shape) for x in parts)
        raise RuntimeError(
            f"cat: sizes of tensors must match except in dimension {d}; got {shapes}"
        )
    return apply(ops.CAT, *parts, dim=d)


@numpy_names
def stack(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Return tensors of one shape along a new dim."""
    parts = _same_dtype("stack", tensors)
    if len({x.shape for x in parts}) > 1:
        shapes = ", ".join(str(x.shape) for x in parts)
        raise RuntimeError(f"stack expects each tensor to be equal size, but got {shapes}")
    return apply(ops.STACK, *parts, dim=normal_dim(dim, parts[0].ndim + 1, "stack"))


def hstack(tensors: Sequence[Tensor]) -> Tensor:
    """Return the tensors side by side: along dim 1, or dim 0 for vectors."""
    return cat(tensors, 0 if next(iter(tensors)).ndim < 2 else 1)


def vstack(tensors: Sequence[Tensor]) -> Tensor:
    """Return the tensors below each other; vectors become rows."""
    return cat([x if x.ndim > 1 else reshape(x, 1, -1) for x in tensors], 0)


def narrow(input: Tensor, dim: int, start: int, length: int) -> Tensor:
    """Return the view of `length` elements along `dim` from `start` on."""
    d = normal_dim(dim, input.ndim, "narrow")
    if not 0 <= start <= start + length <= input.shape[d]:
        raise RuntimeError(
            f"start ({start}) + length ({length}) exceeds dimension size ({input.shape[d]})."
        )
    key = (slice(None),) * d + (slice(start, start + length),)
    return apply(SLICE, input, key=key)


def split(
    tensor: Tensor, split_size_or_sections: int | Sequence[int], dim: int = 0
) -> tuple[Tensor, ...]:
    """Return views of consecutive parts along `dim`.

    Parameters
    ----------
    tensor : Tensor
        What to split.
    split_size_or_sections : int or sequence of int
        The length of each part (the last may be shorter), or all lengths.
    dim : int
        Along which dim.

    Raises
    ------
    RuntimeError
        If the lengths do not add up.
    """
    d = normal_dim(dim, tensor.ndim, "split")
    total = tensor.shape[d]
    if isinstance(split_size_or_sections, int):
        size = split_size_or_sections
        if size <= 0:
            raise RuntimeError(f"split: split_size is {size}; expected a positive integer")
        lengths = [min(size, total - i) for i in range(0, total, size)] or [0]
    else:
        lengths = list(split_size_or_sections)
        if sum(lengths) != total:
            raise RuntimeError(
                f"split_with_sizes expects split_sizes to sum exactly to {total} (input tensor's "
                f"size at dimension {d}), but got split_sizes={lengths}"
            )
    starts = [sum(lengths[:i]) for i in range(len(lengths))]
    return tuple(narrow(tensor, d, s, n) for s, n in zip(starts, lengths, strict=True))


def chunk(input: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """Return at most `chunks` views of equal length along `dim`; the last may be shorter."""
    if chunks <= 0:
        raise RuntimeError(f"chunk expects `chunks` to be greater than 0, got: {chunks}")
    d = normal_dim(dim, input.ndim, "chunk")
    return split(input, max(1, -(-input.shape[d] // chunks)), d)


def unbind(input: Tensor, dim: int = 0) -> tuple[Tensor, ...]:
    """Return the views along `dim` one by one."""
    d = normal_dim(dim, input.ndim, "unbind")
    before = (slice(None),) * d
    return tuple(apply(SLICE, input, key=(*before, i)) for i in range(input.shape[d]))
