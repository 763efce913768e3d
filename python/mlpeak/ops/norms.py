"""Normalisation over the features of each sample (layer, rms) or over the batch."""

from __future__ import annotations

import math

from mlpeak import kernels
from mlpeak._types import Array
from mlpeak.ops.registry import Context, Op, register

__all__ = ["batch_norm", "layer_norm", "rms_norm"]


class LayerNorm(Op):
    """``(x - mean) / sqrt(var + eps) * weight + bias`` over the trailing axes, normalized_shape.

    Inputs: x (..., *normalized_shape); weight and bias of normalized_shape, each or None.
    """

    name = "layer_norm"
    onnx = "LayerNormalization"

    def forward(
        self,
        ctx: Context,
        x: Array,
        weight: Array | None,
        bias: Array | None,
        *,
        normalized_shape: tuple[int, ...],
        eps: float,
    ) -> Array:
        """Return y like x."""
        rows = _rows(x, normalized_shape)
        y, mean, rstd = kernels.layer_norm(rows, _flat(weight), _flat(bias), eps)
        ctx.save(x, weight, mean, rstd)
        return y.reshape(x.shape)

    def backward(self, ctx: Context, grad: Array) -> tuple[Array | None, ...]:
        """Return the gradients of x, weight and bias."""
        x, weight, mean, rstd = ctx.saved
        shape = ctx.params["normalized_shape"]
        grad_rows = _rows(grad, shape)
        grad_x, grad_weight, grad_bias = kernels.layer_norm_backward(
            grad_rows, _rows(x, shape), _flat(weight), mean, rstd
        )
        if grad_bias is None and ctx.needs[2]:
            grad_bias = kernels.linear_backward_bias(grad_rows)
        return (
            grad_x.reshape(x.shape),
            grad_weight.reshape(shape) if grad_weight is not None else None,
            grad_bias.reshape(shape) if grad_bias is not None else None,
        )


class RMSNorm(Op):
    """``x / sqrt(mean(x^2) + eps) * weight`` over the trailing axes, normalized_shape.

    Inputs: x (..., *normalized_shape); weight of normalized_shape, or None.
    """

    name = "rms_norm"
    onnx = "RMSNormalization"

    def forward(
        self,
        ctx: Context,
        x: Array,
        weight: Array | None,
        *,
        normalized_shape: tuple[int, ...],
        eps: float | None,
    ) -> Array:
        """Return y like x; eps None is the smallest step from 1 in x's dtype."""
        y, rstd = kernels.rms_norm(_rows(x, normalized_shape), _flat(weight), eps)
        ctx.save(x, weight, rstd)
        return y.reshape(x.shape)

    def backward(self, ctx: Context, grad: Array) -> tuple[Array | None, ...]:
        """Return the gradients of x and weight."""
        x, weight, rstd = ctx.saved
        shape = ctx.params["normalized_shape"]
        grad_x, grad_weight = kernels.rms_norm_backward(
            _rows(grad, shape), _rows(x, shape), _flat(weight), rstd
        )
        return (
            grad_x.reshape(x.shape),
            grad_weight.reshape(shape) if grad_weight is not None else None,
        )


class BatchNorm(Op):
    """``(x - mean) / sqrt(var + eps) * weight + bias`` for each feature of x (batch, features).

    Inputs: x; weight, bias, running_mean and running_var (features,), each or None. In training the
    statistics are the batch's and the running ones are updated in place; else they are the running
    ones.
    """

    name = "batch_norm"
    onnx = "BatchNormalization"

    def forward(
        self,
        ctx: Context,
        x: Array,
        weight: Array | None,
        bias: Array | None,
        running_mean: Array | None,
        running_var: Array | None,
        *,
        training: bool,
        momentum: float,
        eps: float,
    ) -> Array:
        """Return y like x."""
        y, mean, rstd = kernels.batch_norm(
            x, weight, bias, running_mean, running_var, training, momentum, eps
        )
        ctx.save(x, weight, mean, rstd)
        return y

    def backward(self, ctx: Context, grad: Array) -> tuple[Array | None, ...]:
        """Return the gradients of x, weight and bias; the running statistics have none."""
        x, weight, mean, rstd = ctx.saved
        grad_x, grad_weight, grad_bias = kernels.batch_norm_backward(
            grad, x, weight, mean, rstd, ctx.params["training"]
        )
        if grad_bias is None and ctx.needs[2]:
            grad_bias = kernels.linear_backward_bias(grad)
        return grad_x, grad_weight, grad_bias, None, None


def _rows(x: Array, normalized_shape: tuple[int, ...]) -> Array:
    """Bring x (..., *normalized_shape) to (rows, size)."""
    lead = x.shape[: x.ndim - len(normalized_shape)]
    return x.reshape(math.prod(lead), math.prod(normalized_shape))


def _flat(weight: Array | None) -> Array | None:
    return None if weight is None else weight.reshape(-1)


batch_norm = register(BatchNorm())
layer_norm = register(LayerNorm())
rms_norm = register(RMSNorm())
