"""Selecting and replacing elements."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mlpeak.autograd import Variable, apply, apply_inplace
from mlpeak.functions._lift import cast, is_tensor, normal_dim, values
from mlpeak.ops import indexing as ops
from mlpeak.ops.arithmetic import COPY

if TYPE_CHECKING:
    from mlpeak._tensor import Tensor

Key = Any
_WHOLE = slice(None)


def _split_key(x: Tensor, key: Key) -> tuple[tuple[Any, ...] | None, list[Tensor | None]]:
    """Split a key into basic indexing and the index tensors that follow it.

    The first part is None where it would select everything as it is; the second has an entry for
    each dim that is left, up to the last index tensor.
    """
    items = list(key) if isinstance(key, tuple) else [key]
    items = [_normal_item(x, item) for item in items]
    used = sum(_dims_taken(item) for item in items)
    if used > x.ndim:
        raise IndexError(f"too many indices for tensor of dimension {x.ndim}")
    if sum(item is Ellipsis for item in items) > 1:
        raise IndexError("an index can only have a single ellipsis ('...')")
    basic: list[Any] = []
    advanced: list[Tensor | None] = []
    for item in items:
        if isinstance(item, Variable):
            count = _dims_taken(item)
            basic += [_WHOLE] * count
            advanced.append(item)  # type: ignore[arg-type]
            if count == 0:  # a 0-d mask adds a dim, which it then keeps or empties
                basic.append(None)
                advanced[-1] = item._make(item._array.reshape(1))
        elif item is Ellipsis:
            basic.append(item)
            advanced += [None] * (x.ndim - used)
        else:
            basic.append(item)
            if not isinstance(item, int):
                advanced.append(None)
    while advanced and advanced[-1] is None:
        advanced.pop()
    trivial = all(
        item is Ellipsis or (isinstance(item, slice) and item == _WHOLE) for item in basic
    )
    return (None if trivial else tuple(basic)), advanced


def _normal_item(x: Tensor, item: Any) -> Any:
    """Return an int, slice, None, Ellipsis, or a tensor of integers or booleans."""
    if item is None or item is Ellipsis:
        return item
    if isinstance(item, slice):
        parts = (item.start, item.stop, item.step)
        return slice(*(None if p is None else p.__index__() for p in parts))
    if isinstance(item, bool):
        return x._make(np.asarray(item))
    if isinstance(item, (int, np.integer)):
        return int(item)
    if isinstance(item, range):
        item = list(item)
    if not is_tensor(item):
        if not isinstance(item, (list, np.ndarray, np.bool_)):
            raise TypeError(
                "only integers, slices (`:`), ellipsis (`...`), None and long or bool tensors are "
                f"valid indices (got {type(item).__name__})"
            )
        array = np.asarray(item)
        if isinstance(item, list) and not array.size:
            array = array.astype(np.int64)
        item = x._make(array)
    if item.dtype.kind not in "ib":  # torch takes uint8 for a mask, NumPy for positions
        raise IndexError(
            f"tensors used as indices must be long, int or bool tensors, got {item.dtype}"
        )
    if item.dtype.kind != "b" and item.ndim == 0:
        return int(item._array)
    return item


def _dims_taken(item: Any) -> int:
    """How many dims of the tensor an item of a key takes."""
    if item is None or item is Ellipsis:
        return 0
    if isinstance(item, Variable) and item._array.dtype.kind == "b":
        return item._array.ndim
    return 1


def getitem(input: Tensor, key: Key) -> Tensor:
    """Return ``input[key]``: a view for integers and slices, a copy for index tensors and masks."""
    basic, advanced = _split_key(input, key)
    if basic is not None or not advanced:
        input = apply(ops.SLICE, input, key=basic or (Ellipsis,))
    if not advanced:
        return input
    _check_masks(input, advanced)
    return apply(ops.INDEX, input, *advanced)


def setitem(input: Tensor, key: Key, value: Any) -> None:
    """Replace ``input[key]`` by `value`, which broadcasts."""
    basic, advanced = _split_key(input, key)
    target = input
    if basic is not None:
        target = apply(ops.SLICE, input, key=basic)
    value = values("index_put_", value, input)
    if not advanced:
        apply_inplace(COPY, target, value)
        return
    _check_masks(target, advanced)
    if value.ndim > 1 and value.shape[0] == 1:  # NumPy takes no leading ones beside a mask
        ones = next((d for d, n in enumerate(value.shape) if n != 1), value.ndim - 1)
        value = value.reshape(value.shape[ones:])
    apply_inplace(ops.INDEX_PUT, target, cast(value, input.dtype), *advanced, accumulate=False)


def _check_masks(x: Tensor, indices: list[Tensor | None]) -> None:
    d = 0
    for index in indices:
        if index is not None and index.dtype.kind == "b":
            if index.shape != x.shape[d : d + index.ndim]:
                raise IndexError(
                    f"The shape of the mask {list(index.shape)} at index {d} does not match the "
                    f"shape of the indexed tensor {list(x.shape)} at index {d}"
                )
            d += index.ndim
        else:
            d += 1


def gather(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """Return the elements of `input` at positions `index` along `dim`.

    Parameters
    ----------
    input : Tensor
        Any shape.
    dim : int
        Along which dim `index` counts.
    index : Tensor
        int64, with as many dims; the result has its shape:
        ``result[i][j] = input[index[i][j]][j]`` for dim 0.

    Raises
    ------
    RuntimeError
        If `index` has another dtype, shape or range.
    """
    return apply(ops.GATHER, input, index, dim=normal_dim(dim, input.ndim, "gather"))


def take_along_dim(input: Tensor, indices: Tensor, dim: int | None = None) -> Tensor:
    """Return the elements at `indices` along `dim`, as `argsort` and `argmax` give them.

    Parameters
    ----------
    input : Tensor
        Any shape.
    indices : Tensor
        int64, with as many dims; the dims but `dim` broadcast against those of `input`.
    dim : int, optional
        Along which dim; None takes from all elements in row-major order.

    Raises
    ------
    RuntimeError
        If `indices` has another dtype, shape or range.
    """
    if dim is None:
        return gather(input.reshape(-1), 0, indices.reshape(-1))
    if input.ndim != indices.ndim:
        raise RuntimeError(
            "take_along_dim(): input and indices should have the same number of dimensions, but "
            f"got {input.ndim} dimensions for input, and {indices.ndim} dimensions for indices"
        )
    d = normal_dim(dim, input.ndim, "take_along_dim")
    try:
        shape = list(
            np.broadcast_shapes(
                input.shape[:d] + input.shape[d + 1 :], indices.shape[:d] + indices.shape[d + 1 :]
            )
        )
    except ValueError:
        raise RuntimeError(
            f"take_along_dim(): indices of shape {indices.shape} do not broadcast against an "
            f"input of shape {input.shape} apart from dimension {d}"
        ) from None
    if input.ndim:
        sizes = [(*shape[:d], x.shape[d], *shape[d:]) for x in (input, indices)]
        input, indices = input.expand(sizes[0]), indices.expand(sizes[1])
    return apply(ops.GATHER, input, indices, dim=d)


def index_select(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """Return the slices of `input` along `dim` that the vector `index` names."""
    if index.ndim > 1:
        raise IndexError("index_select(): Index is supposed to be a vector")
    d = normal_dim(dim, input.ndim, "index_select")
    return apply(ops.INDEX, input, *(None,) * d, index.reshape(-1))


def masked_select(input: Tensor, mask: Tensor) -> Tensor:
    """Return the elements where `mask` holds, as a vector; both broadcast."""
    shape = np.broadcast_shapes(input.shape, mask.shape)
    return getitem(input.expand(shape), mask.expand(shape))


def masked_fill(input: Tensor, mask: Tensor, value: Any) -> Tensor:
    """Return `input` with `value`, a number or a 0-d tensor, where `mask` holds."""
    return apply(ops.MASKED_FILL, input, *_mask_and_value(input, mask, value))


def masked_fill_(self: Tensor, mask: Tensor, value: Any) -> Tensor:
    """Put `value` where `mask` holds, in place."""
    return apply_inplace(ops.MASKED_FILL, self, *_mask_and_value(self, mask, value))


def _mask_and_value(x: Tensor, mask: Tensor, value: Any) -> tuple[Tensor, Tensor]:
    if mask.dtype.kind != "b":
        raise RuntimeError(f"masked_fill: mask has dtype {mask.dtype}; expected bool")
    value = values("masked_fill", value, x)
    if value.ndim:
        raise RuntimeError(
            "masked_fill only supports a 0-dimensional value tensor, but got tensor with "
            f"{value.ndim} dimension(s)."
        )
    return mask, cast(value, x.dtype)


def scatter(input: Tensor, dim: int, index: Tensor, src: Any) -> Tensor:
    """Return a copy of `input` with `src`, a tensor or a number, at positions `index` along `dim`.

    Where positions repeat, the last one wins.
    """
    d = normal_dim(dim, input.ndim, "scatter")
    return apply(ops.SCATTER, input, index, _source(input, src), dim=d, add=False)


def scatter_add(input: Tensor, dim: int, index: Tensor, src: Tensor) -> Tensor:
    """Return a copy of `input` with `src` added at positions `index` along `dim`."""
    d = normal_dim(dim, input.ndim, "scatter_add")
    return apply(ops.SCATTER, input, index, _source(input, src), dim=d, add=True)


def scatter_(self: Tensor, dim: int, index: Tensor, src: Any) -> Tensor:
    """Put `src`, a tensor or a number, at positions `index` along `dim`, in place."""
    d = normal_dim(dim, self.ndim, "scatter_")
    return apply_inplace(ops.SCATTER, self, index, _source(self, src), dim=d, add=False)


def scatter_add_(self: Tensor, dim: int, index: Tensor, src: Tensor) -> Tensor:
    """Add `src` at positions `index` along `dim`, in place."""
    d = normal_dim(dim, self.ndim, "scatter_add_")
    return apply_inplace(ops.SCATTER, self, index, _source(self, src), dim=d, add=True)


def _source(x: Tensor, src: Any) -> Tensor:
    if is_tensor(src):
        if src.dtype != x.dtype:
            raise RuntimeError(
                f"scatter(): Expected self.dtype to be equal to src.dtype, got "
                f"{x.dtype} and {src.dtype}"
            )
        return src
    return cast(values("scatter", src, x), x.dtype)


def nonzero(input: Tensor) -> Tensor:
    """Return the positions of the elements that are not zero, one row each."""
    return input._make(np.argwhere(input._array))
