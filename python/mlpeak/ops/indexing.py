"""Selecting elements: basic indexing makes views, index tensors and masks make copies."""

# ruff: noqa: D102 - Op says what forward and backward are, each class says its formula
from __future__ import annotations

from typing import Any

import numpy as np

from mlpeak import kernels
from mlpeak._types import Array
from mlpeak.ops._axes import unbroadcast
from mlpeak.ops.registry import Context, Op, register


class Slice(Op):
    """``x[key]`` for a key of integers, slices, None and one Ellipsis: a view."""

    name, onnx, is_view = "slice", "Slice", True

    def forward(self, ctx: Context, x: Array, *, key: tuple[Any, ...]) -> Array:
        ctx.params["from"] = x.shape
        # with an Ellipsis the result is an array even where one element is selected
        return x[key if Ellipsis in key else (*key, Ellipsis)]

    def backward(self, ctx: Context, grad: Array) -> tuple[Array | None, ...]:
        whole = np.zeros_like(grad, order="C", shape=ctx.params["from"])
        whole[ctx.params["key"]] = grad
        return (whole,)


def _key(before: int, indices: tuple[Array | None, ...]) -> tuple[Any, ...]:
    """The NumPy key of index arrays for the dims from `before` on; None takes a dim whole."""
    return (slice(None),) * before + tuple(slice(None) if i is None else i for i in indices)


def _is_rows(indices: tuple[Array | None, ...]) -> bool:
    return len(indices) == 1 and indices[0] is not None and indices[0].dtype.kind in "iu"


def _rows_within(count: int, indices: Array) -> Array:
    """Return int64 row numbers in [0, count); negative ones count from the end."""
    rows: Array = indices.astype(np.int64, copy=False)
    if rows.size:
        low, high = int(rows.min()), int(rows.max())
        if low < -count or high >= count:
            bad = low if low < -count else high
            raise IndexError(f"index {bad} is out of bounds for dimension 0 with size {count}")
        if low < 0:
            rows = np.where(rows < 0, rows + count, rows)
    return rows


class Index(Op):
    """``x[..., i, j, ...]`` with integer or boolean index arrays, one a dim or None: a copy."""

    name, onnx = "index", "GatherND"

    def forward(self, ctx: Context, x: Array, *indices: Array | None) -> Array:
        ctx.params["from"] = x.shape
        ctx.save(*indices)
        if _is_rows(indices) and x.ndim:
            return kernels.gather_rows(x, _rows_within(len(x), np.asanyarray(indices[0])))
        selected: Array = x[_key(0, indices)].copy()
        return selected

    def backward(self, ctx: Context, grad: Array) -> tuple[Array | None, ...]:
        indices, shape = ctx.saved, ctx.params["from"]
        if _is_rows(indices) and grad.size:
            rows = _rows_within(shape[0], indices[0])
            sums = kernels.embedding_backward(grad.reshape(*rows.shape, -1), rows, shape[0])
            return sums.reshape(shape), None
        whole = np.zeros_like(grad, order="C", shape=shape)
        if all(i is None or i.dtype.kind == "b" for i in indices):
            whole[_key(0, indices)] = grad  # a mask selects nothing twice
        else:
            np.add.at(whole, _key(0, indices), grad)  # in index order
        return (whole, *(None for _ in indices))


class IndexPut(Op):
    """A copy of x with `values` at ``[..., i, j, ...]``; where indices repeat, the last wins."""

    name, onnx = "index_put", "ScatterND"

    def forward(
        self, ctx: Context, x: Array, values: Array, *indices: Array | None, accumulate: bool
    ) -> Array:
        ctx.save(*indices)
        ctx.params["values"] = values.shape
        y: Array = x.copy()
        if accumulate:
            np.add.at(y, _key(0, indices), values)
        else:
            y[_key(0, indices)] = values
        return y

    def backward(self, ctx: Context, grad: Array) -> tuple[Array | None, ...]:
        key = _key(0, ctx.saved)
        grad_values = unbroadcast(grad[key], ctx.params["values"]) if ctx.needs[1] else None
        if not ctx.params["accumulate"]:
            grad = grad.copy()
            grad[key] = 0
        return (grad, grad_values, *(None for _ in ctx.saved))


def _along(index: Array, dim: int) -> tuple[Array, ...]:
    """The NumPy key that selects ``index`` along `dim` and its own position in the others."""
    key = list(np.ogrid[tuple(slice(s) for s in index.shape)])
    key[dim] = index
    return tuple(key)


def _check_index(name: str, x: Array, index: Array, dim: int) -> None:
    if index.dtype.kind not in "iu":
        raise RuntimeError(f"{name}(): Expected dtype int64 for index, got {index.dtype}")
    if index.ndim != x.ndim:
        raise RuntimeError(
            f"{name}(): Index tensor must have the same number of dimensions as input tensor, got "
            f"{index.ndim} and {x.ndim}"
        )
    for d, (short, long) in enumerate(zip(index.shape, x.shape, strict=True)):
        if d != dim and short > long:
            raise RuntimeError(
                f"{name}(): Size does not match at dimension {d} expected index {index.shape} to "
                f"be no larger than self {x.shape} apart from dimension {dim}"
            )
    if index.size and not (index.min() >= 0 and index.max() < x.shape[dim]):
        bad = index.min() if index.min() < 0 else index.max()
        raise RuntimeError(
            f"{name}(): index {bad} is out of bounds for dimension {dim} with size {x.shape[dim]}"
        )


class Gather(Op):
    """``y[i][j] = x[index[i][j]][j]`` for dim 0, and so on."""

    name, onnx = "gather", "GatherElements"

    def forward(self, ctx: Context, x: Array, index: Array, *, dim: int) -> Array:
        ctx.params["from"] = x.shape
        ctx.save(index)
        if not x.ndim:
            return np.copy(x)
        _check_index(self.name, x, index, dim)
        return x[_along(index, dim)]

    def backward(self, ctx: Context, grad: Array) -> tuple[Array | None, ...]:
        (index,) = ctx.saved
        if not index.ndim:
            return grad, None
        whole = np.zeros_like(grad, order="C", shape=ctx.params["from"])
        np.add.at(whole, _along(index, ctx.params["dim"]), grad)
        return whole, None


class Scatter(Op):
    """A copy of x with ``y[index[i][j]][j] = source[i][j]`` for dim 0, and so on; or ``+=``."""

    name, onnx = "scatter", "ScatterElements"

    def forward(
        self, ctx: Context, x: Array, index: Array, source: Array, *, dim: int, add: bool
    ) -> Array:
        _check_index(self.name, x, index, dim)
        ctx.save(index)
        ctx.params["source"] = source.shape
        if source.ndim:
            if any(n < i for n, i in zip(source.shape, index.shape, strict=True)):
                raise RuntimeError(
                    f"scatter(): source of shape {source.shape} is smaller than index of shape "
                    f"{index.shape}"
                )
            source = source[tuple(slice(n) for n in index.shape)]
        y: Array = x.copy()
        if add:
            np.add.at(y, _along(index, dim), source)
        else:
            y[_along(index, dim)] = source
        return y

    def backward(self, ctx: Context, grad: Array) -> tuple[Array | None, ...]:
        (index,) = ctx.saved
        key = _along(index, ctx.params["dim"])
        grad_source = None
        if ctx.needs[2]:
            part, shape = grad[key], ctx.params["source"]
            if shape:
                grad_source = np.zeros_like(grad, order="C", shape=shape)
                grad_source[tuple(slice(n) for n in index.shape)] = part
            else:
                grad_source = unbroadcast(part, ())
        if not ctx.params["add"]:
            grad = grad.copy()
            grad[key] = 0
        return grad, None, grad_source


class MaskedFill(Op):
    """A copy of x with `value`, a 0-d tensor, where `mask` holds; the mask broadcasts."""

    name = "masked_fill"

    def forward(self, ctx: Context, x: Array, mask: Array, value: Array) -> Array:
        ctx.save(mask)
        ctx.params["from"] = x.shape
        return np.where(mask, value, x)

    def backward(self, ctx: Context, grad: Array) -> tuple[Array | None, ...]:
        (mask,) = ctx.saved
        zero = grad.dtype.type(0)
        return (
            unbroadcast(np.where(mask, zero, grad), ctx.params["from"]) if ctx.needs[0] else None,
            None,
            unbroadcast(np.where(mask, grad, zero), ()) if ctx.needs[2] else None,
        )


SLICE = register(Slice())
INDEX = register(Index())
INDEX_PUT = register(IndexPut())
GATHER = register(Gather())
SCATTER = register(Scatter())
MASKED_FILL = register(MaskedFill())
