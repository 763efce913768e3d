"""Sums, means, products, extrema and truth values over some or all dims."""

# ruff: noqa: D102 - Op says what forward and backward are, each class says its formula
from __future__ import annotations

from typing import Any

import numpy as np

from mlpeak._types import Array
from mlpeak.ops._axes import Axes, count_axes, mean_axes, sum_axes
from mlpeak.ops.arithmetic import masked
from mlpeak.ops.registry import Context, Op, register


def _restore(reduced: Array, shape: tuple[int, ...], dims: Axes) -> Array:
    """Return a result without the reduced dims with those dims back, of length 1."""
    if dims is None:
        dims = tuple(range(len(shape)))
    return reduced.reshape(tuple(1 if d in dims else s for d, s in enumerate(shape)))


class _Reduction(Op):
    """``f(x, dim, keepdim)``: `dim` is a tuple of ascending dims, or None for all."""

    def forward(
        self,
        ctx: Context,
        x: Array,
        *,
        dim: Axes,
        keepdim: bool,
    ) -> Array:
        ctx.params["shape"] = x.shape
        return self.reduce(ctx, x, dim, keepdim)

    def reduce(self, ctx: Context, x: Array, dim: Axes, keepdim: bool) -> Array:
        """Compute the result."""
        raise NotImplementedError

    @staticmethod
    def spread(ctx: Context, reduced: Array) -> Array:
        """Return a result in the input's number of dims, ready to broadcast."""
        return _restore(reduced, ctx.params["shape"], ctx.params["dim"])


class Sum(_Reduction):
    """The sum; of integers and booleans in int64."""

    name, onnx = "sum", "ReduceSum"

    def reduce(self, ctx: Context, x: Array, dim: Axes, keepdim: bool) -> Array:
        return sum_axes(x, dim, keepdim)

    def backward(self, ctx: Context, grad: Array) -> tuple[Array | None, ...]:
        return (np.broadcast_to(self.spread(ctx, grad), ctx.params["shape"]),)


class Mean(_Reduction):
    """The mean of floats."""

    name, onnx = "mean", "ReduceMean"

    def reduce(self, ctx: Context, x: Array, dim: Axes, keepdim: bool) -> Array:
        return mean_axes(x, dim, keepdim)

    def backward(self, ctx: Context, grad: Array) -> tuple[Array | None, ...]:
        shape = ctx.params["shape"]
        share = np.asanyarray(grad / grad.dtype.type(count_axes(shape, ctx.params["dim"])))
        return (np.broadcast_to(self.spread(ctx, share), shape),)


class _Extremum(_Reduction):
    """The largest or smallest element; equal ones share the gradient evenly, as in torch."""

    def __init__(self, name: str, onnx: str, ufunc: Any) -> None:
        self.name, self.onnx, self._ufunc = name, onnx, ufunc

    def reduce(self, ctx: Context, x: Array, dim: Axes, keepdim: bool) -> Array:
        if x.size == 0 and count_axes(x.shape, dim) == 0:
            raise RuntimeError(f"{self.name}: an empty tensor of shape {x.shape} has no extremum")
        y: Array = np.asanyarray(self._ufunc.reduce(x, axis=dim, keepdims=keepdim))
        ctx.save(x, y)
        return y

    def backward(self, ctx: Context, grad: Array) -> tuple[Array | None, ...]:
        x, y = ctx.saved
        y = self.spread(ctx, y)
        chosen = (x == y) | (np.isnan(x) & np.isnan(y))
        count = np.sum(chosen, axis=ctx.params["dim"], keepdims=True).astype(grad.dtype)
        return (masked(self.spread(ctx, grad) / count, chosen),)


class Prod(_Reduction):
    """The product, one factor after the other."""

    name, onnx = "prod", "ReduceProd"

    def reduce(self, ctx: Context, x: Array, dim: Axes, keepdim: bool) -> Array:
        ctx.save(x)
        rows = self._rows(x, dim)
        if x.dtype.kind in "bui":
            rows = rows.astype(np.int64)
        y = np.ones(rows.shape[:-1], rows.dtype)
        if rows.shape[-1]:  # accumulate has a fixed order, which reduce has not
            y = np.multiply.accumulate(rows, axis=-1)[..., -1]
        return _restore(y, x.shape, dim) if keepdim else y

    def backward(self, ctx: Context, grad: Array) -> tuple[Array | None, ...]:
        (x,) = ctx.saved
        rows = self._rows(x, ctx.params["dim"])
        # the product of all other factors, without a division, so zeros are no special case
        before, after = np.ones_like(rows), np.ones_like(rows)
        before[..., 1:] = np.multiply.accumulate(rows[..., :-1], axis=-1)
        after[..., :-1] = np.multiply.accumulate(rows[..., :0:-1], axis=-1)[..., ::-1]
        others = before * after
        if ctx.params["dim"] is None:
            return (grad.reshape(()) * others.reshape(x.shape),)
        (d,) = ctx.params["dim"]
        return (self.spread(ctx, grad) * np.moveaxis(others, -1, d),)

    @staticmethod
    def _rows(x: Array, dim: Axes) -> Array:
        return x.reshape(-1) if dim is None else np.moveaxis(x, dim[0], -1)


class CumSum(Op):
    """The running sum along one dim."""

    name, onnx = "cumsum", "CumSum"

    def forward(self, ctx: Context, x: Array, *, dim: int) -> Array:
        dtype = x.dtype if x.dtype.kind == "f" else np.int64
        return np.add.accumulate(x, axis=dim, dtype=dtype) if x.ndim else x.astype(dtype)

    def backward(self, ctx: Context, grad: Array) -> tuple[Array | None, ...]:
        if not grad.ndim:
            return (grad,)
        d = ctx.params["dim"]
        return (np.flip(np.add.accumulate(np.flip(grad, d), axis=d), d),)


class _Position(Op):
    """The position of the first extremum; of the flattened input where dim is None."""

    differentiable = False

    def __init__(self, name: str, onnx: str, function: Any) -> None:
        self.name, self.onnx, self._function = name, onnx, function

    def forward(self, ctx: Context, x: Array, *, dim: int | None, keepdim: bool) -> Array:
        if (x.size if dim is None or not x.ndim else x.shape[dim]) == 0:
            raise RuntimeError(f"{self.name}: an empty tensor of shape {x.shape} has no extremum")
        if not x.ndim:
            return np.zeros((), np.int64)
        y: Array = np.asanyarray(self._function(x, axis=dim, keepdims=keepdim))
        return y.astype(np.int64, copy=False)


class _Truth(Op):
    """Whether any or all elements are not zero."""

    differentiable = False

    def __init__(self, name: str, ufunc: Any) -> None:
        self.name, self._ufunc = name, ufunc

    def forward(
        self,
        ctx: Context,
        x: Array,
        *,
        dim: Axes,
        keepdim: bool,
    ) -> Array:
        y: Array = np.asanyarray(self._ufunc.reduce(x, axis=dim, keepdims=keepdim, dtype=bool))
        return y


class ArgSort(Op):
    """The order of the elements along one dim; equal ones keep their order."""

    name, differentiable = "argsort", False

    def forward(self, ctx: Context, x: Array, *, dim: int, descending: bool) -> Array:
        if not x.ndim:
            return np.zeros((), np.int64)
        if not descending:
            return np.argsort(x, axis=dim, kind="stable")
        # the last of equal elements comes first in the reversed order, so reverse twice
        order = np.argsort(np.flip(x, dim), axis=dim, kind="stable")
        flipped: Array = np.flip(x.shape[dim] - 1 - order, dim).copy()
        return flipped


SUM = register(Sum())
MEAN = register(Mean())
AMAX = register(_Extremum("amax", "ReduceMax", np.maximum))
AMIN = register(_Extremum("amin", "ReduceMin", np.minimum))
PROD = register(Prod())
CUMSUM = register(CumSum())
ARGMAX = register(_Position("argmax", "ArgMax", np.argmax))
ARGMIN = register(_Position("argmin", "ArgMin", np.argmin))
ANY = register(_Truth("any", np.logical_or))
ALL = register(_Truth("all", np.logical_and))
ARGSORT = register(ArgSort())
