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
        rows = matrix_product(a.reshape(-1, a.shape[-1]), b)
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
        ctx.save(a, b)
        matrix_a = a if a.ndim > 1 else a[np.newaxis, :]
        matrix_b = b if b.ndim > 1 else b[:, np.newaxis]
        y = stacked_product(matrix_a, matrix_b)
        if b.ndim == 1:
            y = y[..., 0]
        return y[..., 0, :] if a.ndim == 1 and b.ndim > 1 else y[..., 0] if a.ndim == 1 else y

    def backward(self, ctx: Context, grad: Array) -> tuple[Array | None, ...]:
        a, b = ctx.saved
        matrix_a = a if a.ndim > 1 else a[np.newaxis, :]
        matrix_b = b if b.ndim > 1 else b[:, np.newaxis]
        rows, columns = matrix_a.shape[-2], matrix_b.shape[-1]
        stack = np.broadcast_shapes(matrix_a.shape[:-2], matrix_b.shape[:-2])
        grad = grad.reshape(*stack, rows, columns)
        grads: list[Any] = [None, None]
        if ctx.needs[0]:
            full = stacked_product(grad, matrix_b.swapaxes(-1, -2))
            grads[0] = unbroadcast(full, matrix_a.shape).reshape(a.shape)
        if ctx.needs[1]:
            if matrix_b.ndim == 2:  # the sum over the stack is a sum over rows
                count = math.prod(stack) * rows
                tall = matrix_a.reshape(count, matrix_a.shape[-1])
                full = matrix_product(tall.T, grad.reshape(count, columns))
            else:
                full = stacked_product(matrix_a.swapaxes(-1, -2), grad)
            grads[1] = unbroadcast(full, matrix_b.shape).reshape(b.shape)
        return tuple(grads)


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
