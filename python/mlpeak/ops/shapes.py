"""The same elements in another shape or order, joined or repeated."""

# ruff: noqa: D102 - Op says what forward and backward are, each class says its formula
from __future__ import annotations

from typing import Any

import numpy as np

from mlpeak._types import Array
from mlpeak.ops._axes import sum_axes, unbroadcast
from mlpeak.ops.registry import Context, Op, register


class Reshape(Op):
    """The elements in row-major order in another shape; a view where strides can express it."""

    name, onnx, is_view = "reshape", "Reshape", True

    def forward(self, ctx: Context, x: Array, *, shape: tuple[int, ...]) -> Array:
        ctx.params["from"] = x.shape
        return x.reshape(shape)

    def backward(self, ctx: Context, grad: Array) -> tuple[Array | None, ...]:
        return (grad.reshape(ctx.params["from"]),)


class Permute(Op):
    """A view with its dims in another order."""

    name, onnx, is_view = "permute", "Transpose", True

    def forward(self, ctx: Context, x: Array, *, dims: tuple[int, ...]) -> Array:
        view: Array = x.transpose(dims)
        return view

    def backward(self, ctx: Context, grad: Array) -> tuple[Array | None, ...]:
        return (grad.transpose(np.argsort(ctx.params["dims"])),)


class Expand(Op):
    """A read-only view that repeats dims of length 1."""

    name, onnx, is_view = "expand", "Expand", True

    def forward(self, ctx: Context, x: Array, *, shape: tuple[int, ...]) -> Array:
        ctx.params["from"] = x.shape
        expanded: Array = np.broadcast_to(x, shape)
        return expanded

    def backward(self, ctx: Context, grad: Array) -> tuple[Array | None, ...]:
        return (unbroadcast(grad, ctx.params["from"]),)


class Repeat(Op):
    """The tensor laid out `repeats` times along each dim."""

    name, onnx = "repeat", "Tile"

    def forward(self, ctx: Context, x: Array, *, repeats: tuple[int, ...]) -> Array:
        ctx.params["from"] = x.shape
        return np.tile(x, repeats)

    def backward(self, ctx: Context, grad: Array) -> tuple[Array | None, ...]:
        shape, repeats = ctx.params["from"], ctx.params["repeats"]
        padded = (1,) * (len(repeats) - len(shape)) + shape
        # (repeats[0], padded[0], repeats[1], padded[1], ...): sum over the repeats
        split = tuple(n for pair in zip(repeats, padded, strict=True) for n in pair)
        total = sum_axes(grad.reshape(split), tuple(range(0, len(split), 2)))
        return (total.reshape(shape),)


class Flip(Op):
    """A copy with the order of the elements reversed along `dims`."""

    name = "flip"

    def forward(self, ctx: Context, x: Array, *, dims: tuple[int, ...]) -> Array:
        flipped: Array = np.flip(x, dims).copy()
        return flipped

    def backward(self, ctx: Context, grad: Array) -> tuple[Array | None, ...]:
        return (np.flip(grad, ctx.params["dims"]),)


class Cat(Op):
    """Tensors one after the other along an existing dim."""

    name, onnx = "cat", "Concat"

    def forward(self, ctx: Context, *arrays: Array, dim: int) -> Array:
        ctx.params["lengths"] = [x.shape[dim] for x in arrays]
        return np.concatenate(arrays, axis=dim)

    def backward(self, ctx: Context, grad: Array) -> tuple[Array | None, ...]:
        ends = np.cumsum(ctx.params["lengths"])[:-1]
        return tuple(np.split(grad, ends, axis=ctx.params["dim"]))


class Stack(Op):
    """Tensors one after the other along a new dim."""

    name = "stack"

    def forward(self, ctx: Context, *arrays: Array, dim: int) -> Array:
        return np.stack(arrays, axis=dim)

    def backward(self, ctx: Context, grad: Array) -> tuple[Array | None, ...]:
        return tuple(np.moveaxis(grad, ctx.params["dim"], 0)[i] for i in range(len(ctx.needs)))


class Triangle(Op):
    """The lower or upper triangle of matrices, zero elsewhere."""

    def __init__(self, name: str, function: Any) -> None:
        self.name, self.onnx, self._function = name, "Trilu", function

    def forward(self, ctx: Context, x: Array, *, diagonal: int) -> Array:
        return self._function(x, diagonal)  # type: ignore[no-any-return]

    def backward(self, ctx: Context, grad: Array) -> tuple[Array | None, ...]:
        return (self._function(grad, ctx.params["diagonal"]),)


RESHAPE = register(Reshape())
PERMUTE = register(Permute())
EXPAND = register(Expand())
REPEAT = register(Repeat())
FLIP = register(Flip())
CAT = register(Cat())
STACK = register(Stack())
TRIL = register(Triangle("tril", np.tril))
TRIU = register(Triangle("triu", np.triu))
