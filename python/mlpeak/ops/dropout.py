"""Dropout."""

from __future__ import annotations

from mlpeak import _random, kernels
from mlpeak._types import Array
from mlpeak.ops.registry import Context, Op, register

__all__ = ["dropout"]


class Dropout(Op):
    """``y = x / (1 - p)`` where kept, 0 with probability p.

    The mask is never stored: backward draws it again from the seed and step of the forward call.
    """

    name = "dropout"
    onnx = "Dropout"

    def forward(self, ctx: Context, x: Array, *, p: float) -> Array:
        """Return y like x, with the next step of the default generator."""
        seed, step = _random.default_generator.next()
        ctx.params["seed"], ctx.params["step"] = seed, step
        return kernels.dropout(x, p, seed=seed, stream=_random.DROPOUT, step=step)

    def backward(self, ctx: Context, grad: Array) -> tuple[Array | None, ...]:
        """Return the gradient under the same mask."""
        seed, step = ctx.params["seed"], ctx.params["step"]
        p = ctx.params["p"]
        return (kernels.dropout_backward(grad, p, seed=seed, stream=_random.DROPOUT, step=step),)


dropout = register(Dropout())
