"""The losses: one table, one operation class.

Adding one is adding its kernel pair and a row here. The inputs are those of the kernel, in its
order: input, target, further arrays (None where one is left out), sample_weight (None or (batch,)).
"""

from __future__ import annotations

from typing import Any

from mlpeak import kernels
from mlpeak._types import Array
from mlpeak.ops.registry import Context, Op, register

__all__ = ["LOSSES", "Loss"]


class Loss(Op):
    """A loss by the kernel pair ``name`` and ``name_backward``.

    Attributes
    ----------
    arrays : tuple of str
        The kernel's further array arguments, after input and target.
    differentiated : tuple of str
        Which of them have a gradient.
    symmetric : bool
        Whether the loss depends on input - target alone, so that the gradient of target is the
        negative one of input. A target of other losses has no gradient.
    """

    def __init__(
        self,
        name: str,
        onnx: str | None = None,
        arrays: tuple[str, ...] = (),
        differentiated: tuple[str, ...] = (),
        symmetric: bool = False,
    ) -> None:
        self.name = name
        self.onnx = onnx
        self.arrays = arrays
        self.differentiated = differentiated
        self.symmetric = symmetric

    def _keywords(self, arrays: tuple[Any, ...], params: dict[str, Any]) -> dict[str, Any]:
        *further, sample_weight = arrays
        named = dict(zip(self.arrays, further, strict=True))
        return {**named, **params, "sample_weight": sample_weight}

    def forward(self, ctx: Context, *arrays: Any, **params: Any) -> Array:
        """Return the loss: 0-d, or one value for each element or row for reduction "none"."""
        ctx.save(*arrays)
        input, target, *rest = arrays
        keywords = self._keywords(tuple(rest), params)
        loss: Array = getattr(kernels, self.name)(input, target, **keywords)
        return loss

    def backward(self, ctx: Context, grad: Array) -> tuple[Array | None, ...]:
        """Return the gradients of input, of target where it has one, and of var."""
        input, target, *rest = ctx.saved
        keywords = self._keywords(tuple(rest), ctx.params)
        result = getattr(kernels, f"{self.name}_backward")(grad, input, target, **keywords)
        grad_input, *further = result if isinstance(result, tuple) else (result,)
        grad_target = -grad_input if self.symmetric and ctx.needs[1] else None
        absent = (None,) * (len(ctx.needs) - 2 - len(further))
        return (grad_input, grad_target, *further, *absent)


LOSSES: dict[str, Loss] = {
    op.name: register(op)
    for op in (
        Loss("mse_loss", symmetric=True),
        Loss("l1_loss", symmetric=True),
        Loss("smooth_l1_loss", symmetric=True),
        Loss("huber_loss", symmetric=True),
        Loss("cross_entropy", "SoftmaxCrossEntropyLoss", ("weight",)),
        Loss("nll_loss", "NegativeLogLikelihoodLoss", ("weight",)),
        Loss("binary_cross_entropy"),
        Loss("binary_cross_entropy_with_logits", arrays=("pos_weight",)),
        Loss("gaussian_nll_loss", arrays=("var",), differentiated=("var",), symmetric=True),
        Loss("poisson_nll_loss"),
    )
}
