"""The fully connected layer."""

from __future__ import annotations

import math

from mlpeak import kernels
from mlpeak._types import Array
from mlpeak.ops.registry import Context, Op, register

__all__ = ["linear"]


class Linear(Op):
    """``y = x W^T + b`` for x (..., in_features), W (out_features, in_features), b or None."""

    name = "linear"
    onnx = "Gemm"

    def forward(self, ctx: Context, x: Array, w: Array, b: Array | None) -> Array:
        """Return y, (..., out_features)."""
        ctx.params["shape"] = x.shape
        ctx.save(x if ctx.needs[1] else None, w if ctx.needs[0] else None)
        y = kernels.linear(_matrix(x), w, b)
        return y if x.ndim == 2 else y.reshape(*x.shape[:-1], w.shape[0])

    def backward(self, ctx: Context, grad: Array) -> tuple[Array | None, ...]:
        """Return g W, g^T x and the sum of g over all axes but the last."""
        x, w = ctx.saved
        need_x, need_w, need_b = ctx.needs
        rows = _matrix(grad)
        grad_x = kernels.linear_backward_input(rows, w) if need_x else None
        shape = ctx.params["shape"]
        if grad_x is not None and len(shape) != 2:
            grad_x = grad_x.reshape(shape)
        return (
            grad_x,
            kernels.linear_backward_weight(rows, _matrix(x)) if need_w else None,
            kernels.linear_backward_bias(rows) if need_b else None,
        )


def _matrix(x: Array) -> Array:
    """(..., features) as (rows, features); what has no features axis is left for the kernel."""
    if x.ndim == 2 or x.ndim == 0:
        return x
    return x.reshape(math.prod(x.shape[:-1]), x.shape[-1])


linear = register(Linear())
