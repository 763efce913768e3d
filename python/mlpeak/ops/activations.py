"""The activations: one table, one operation class.

Adding one is adding its kernel pair and a row here. Softmax and log_softmax run over the last axis.
"""

from __future__ import annotations

from typing import Any

from mlpeak import kernels
from mlpeak._types import Array
from mlpeak.ops.registry import Context, Op, register

__all__ = ["ACTIVATIONS", "Activation"]


class Activation(Op):
    """``y = f(x)`` by the kernel pair ``name`` and ``name_backward``.

    Attributes
    ----------
    keeps : {"input", "output"}
        Which of x and y the derivative is computed from.
    defaults : dict
        The parameters of f with their default values.
    """

    def __init__(self, name: str, keeps: str, onnx: str | None, **defaults: float) -> None:
        self.name = name
        self.keeps = keeps
        self.onnx = onnx
        self.defaults = defaults

    def forward(self, ctx: Context, x: Array, **params: Any) -> Array:
        """Return f(x)."""
        y: Array = getattr(kernels, self.name)(x, **params)
        ctx.save(x if self.keeps == "input" else y)
        return y

    def backward(self, ctx: Context, grad: Array) -> tuple[Array | None, ...]:
        """Return grad * f'(x)."""
        (saved,) = ctx.saved
        return (getattr(kernels, f"{self.name}_backward")(grad, saved, **ctx.params),)


#: By name. Where f is invertible enough, the output is kept: it is needed by the next layer anyway.
ACTIVATIONS: dict[str, Activation] = {
    op.name: register(op)
    for op in (
        # name, what backward needs, ONNX operator, parameters
        Activation("relu", "output", "Relu"),
        Activation("leaky_relu", "output", "LeakyRelu", negative_slope=0.01),
        Activation("elu", "output", "Elu", alpha=1.0),
        Activation("selu", "output", "Selu"),
        Activation("gelu", "input", "Gelu"),
        Activation("gelu_tanh", "input", "Gelu"),
        Activation("silu", "input", None),
        Activation("mish", "input", "Mish"),
        Activation("sigmoid", "output", "Sigmoid"),
        Activation("log_sigmoid", "input", None),
        Activation("tanh", "output", "Tanh"),
        Activation("softplus", "input", "Softplus", beta=1.0, threshold=20.0),
        Activation("softmax", "output", "Softmax"),
        Activation("log_softmax", "output", "LogSoftmax"),
    )
}
