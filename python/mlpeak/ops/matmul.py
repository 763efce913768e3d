"""Matrix products of vectors, matrices and stacks of matrices."""

# ruff: noqa: D102 - Op says what forward and backward are, each class says its formula
from __future__ import annotations

import math
from typing import Any

import numpy as np

from mlpeak import kernels
from mlpeak._types import Array
from mlpeak.ops._axes import unbroadcast
from mlpeak.ops.registry import Context, Op, is_float, register


def _layout(x: Array) -> tuple[Array, bool]:
    """Return `x` or its transpose, whichever is row-major, and whether it is the transpose."""
    if not x.flags.c_contiguous and x.T.flags.c_contiguous:
        return x.T, True
    return x, False


def matrix_product(a: Array, b: Array) -> Array:
    """Return ``a @ b`` of two matrices; a transposed view is not copied."""
    if not is_float(a):
        product: Array = np.matmul(a, b)
        return product
    a, transpose_a = _layout(a)
    b, transpose_b = _layout(b)
    return kernels.matmul(a, b, transpose_a, transpose_b)


def stacked_product(a: Array, b: Array) -> Array:
    """Return ``a @ b`` of two stacks of matrices, whose leading dims broadcast."""
    if not is_float(a):
        product: Array = np.matmul(a, b)
        return product
    if b.ndim == 2:  # one matrix for all: the rows of all of `a` are one matrix
        rows = matrix_product(a.reshape(math.prod(a.shape[:-1]), a.shape[-1]), b)
        return rows.reshape(*a.shape[:-1], b.shape[-1])
    stack = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    a = np.broadcast_to(a, stack + a.shape[-2:])
    b = np.broadcast_to(b, stack + b.shape[-2:])
    stacked = np.empty_like(a, order="C", shape=(*stack, a.shape[-2], b.shape[-1]))
    for i in np.ndindex(*stack):
        stacked[i] = matrix_product(a[i], b[i])
    return stacked


class MatMul(Op):
    """``a @ b`` with NumPy's and torch's meaning for vectors and stacks of matrices."""

    name, onnx = "matmul", "MatMul"

    def forward(self, ctx: Context, a: Array, b: Array) -> Array:
        _check(a, b)
        ctx.params["shapes"] = a.shape, b.shape
        ctx.save(a if ctx.needs[1] else None, b if ctx.needs[0] else None)
        y = stacked_product(_rows(a), _columns(b))
        if b.ndim == 1:
            y = y[..., 0]
        return y[..., 0, :] if a.ndim == 1 and b.ndim > 1 else y[..., 0] if a.ndim == 1 else y

    def backward(self, ctx: Context, grad: Array) -> tuple[Array | None, ...]:
        a, b = ctx.saved
        a_shape, b_shape = ctx.params["shapes"]
        full_a = a_shape if len(a_shape) > 1 else (1, *a_shape)
        full_b = b_shape if len(b_shape) > 1 else (*b_shape, 1)
        rows, columns = full_a[-2], full_b[-1]
        stack = np.broadcast_shapes(full_a[:-2], full_b[:-2])
        grad = grad.reshape(*stack, rows, columns)
        grads: list[Any] = [None, None]
        if ctx.needs[0]:
            full = stacked_product(grad, _columns(b).swapaxes(-1, -2))
            grads[0] = unbroadcast(full, full_a).reshape(a_shape)
        if ctx.needs[1]:
            matrix = _rows(a)
            if len(full_b) == 2:  # the sum over the stack is a sum over rows
                count = math.prod(stack) * rows
                tall = matrix.reshape(count, full_a[-1])
                full = matrix_product(tall.T, grad.reshape(count, columns))
            else:
                full = stacked_product(matrix.swapaxes(-1, -2), grad)
            grads[1] = unbroadcast(full, full_b).reshape(b_shape)
        return tuple(grads)


def _rows(a: Array) -> Array:
    """The first factor as a matrix or a stack: a vector is one row."""
    return a if a.ndim > 1 else a[np.newaxis, :]


def _columns(b: Array) -> Array:
    """The second factor as a matrix or a stack: a vector is one column."""
    return b if b.ndim > 1 else b[:, np.newaxis]


def _check(a: Array, b: Array) -> None:
    if not a.ndim or not b.ndim:
        raise RuntimeError(
            f"both arguments to matmul need to be at least 1D, but they are {a.ndim}D and {b.ndim}D"
        )
    if a.dtype != b.dtype:
        raise RuntimeError(
            f"expected m1 and m2 to have the same dtype, but got: {a.dtype} != {b.dtype}"
        )
    if a.shape[-1] != b.shape[-2 if b.ndim > 1 else 0]:
        raise RuntimeError(f"mat1 and mat2 shapes cannot be multiplied ({a.shape} and {b.shape})")


MATMUL = register(MatMul())
