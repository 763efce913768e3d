"""The activations as layers: a name of `mlpeak.ops.activations.ACTIVATIONS` and its parameters."""

from __future__ import annotations

from typing import ClassVar

from mlpeak._tensor import Tensor
from mlpeak.autograd import apply
from mlpeak.nn import functional as F
from mlpeak.nn.module import Module
from mlpeak.ops.activations import ACTIVATIONS

__all__ = [
    "ELU",
    "GELU",
    "LeakyReLU",
    "LogSigmoid",
    "LogSoftmax",
    "Mish",
    "ReLU",
    "SELU",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Tanh",
]


class _Activation(Module):
    """The operation `_op`, its parameters being the attributes named in `_params`."""

    _op: ClassVar[str]
    _params: ClassVar[tuple[str, ...]] = ()

    def forward(self, input: Tensor) -> Tensor:
        """Return the activation of each element."""
        params = {name: getattr(self, name) for name in self._params}
        return apply(ACTIVATIONS[self._op], input, **params)

    def extra_repr(self) -> str:
        """Return the parameters."""
        shown = [f"{name}={getattr(self, name)!r}" for name in self._params]
        if getattr(self, "inplace", False):
            shown.append("inplace=True")
        return ", ".join(shown)


class _InplaceActivation(_Activation):
    """One that PyTorch can do in place; here `inplace` is taken, and the input stays as it was."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace


class ReLU(_InplaceActivation):
    """``max(x, 0)``."""

    _op = "relu"


class SELU(_InplaceActivation):
    """The scaled ELU whose constants keep mean 0 and variance 1."""

    _op = "selu"


class SiLU(_InplaceActivation):
    """``x * sigmoid(x)``, also called swish."""

    _op = "silu"


class Mish(_InplaceActivation):
    """``x * tanh(softplus(x))``."""

    _op = "mish"


class LeakyReLU(_Activation):
    """``x`` where positive, else ``negative_slope * x``; ``negative_slope >= 0``."""

    _op = "leaky_relu"
    _params = ("negative_slope",)

    def __init__(self, negative_slope: float = 1e-2, inplace: bool = False) -> None:
        super().__init__()
        self.negative_slope = negative_slope
        self.inplace = inplace


class ELU(_Activation):
    """``x`` where positive, else ``alpha * (exp(x) - 1)``; ``alpha > 0``."""

    _op = "elu"
    _params = ("alpha",)

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        self.alpha = alpha
        self.inplace = inplace


class Softplus(_Activation):
    """``log(1 + exp(beta * x)) / beta``, and x itself where ``beta * x > threshold``."""

    _op = "softplus"
    _params = ("beta", "threshold")

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        super().__init__()
        self.beta = beta
        self.threshold = threshold


class Sigmoid(_Activation):
    """``1 / (1 + exp(-x))``."""

    _op = "sigmoid"


class LogSigmoid(_Activation):
    """``log(sigmoid(x))``."""

    _op = "log_sigmoid"


class Tanh(_Activation):
    """The hyperbolic tangent."""

    _op = "tanh"


class GELU(_Activation):
    """``x * Phi(x)``, exact (`approximate` "none") or by tanh ("tanh")."""

    _params = ("approximate",)

    def __init__(self, approximate: str = "none") -> None:
        super().__init__()
        self.approximate = approximate

    def forward(self, input: Tensor) -> Tensor:
        """Return the activation of each element."""
        return F.gelu(input, approximate=self.approximate)


class Softmax(_Activation):
    """``exp(x) / sum(exp(x))`` along the axis `dim`."""

    _params = ("dim",)

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        """Return the probabilities."""
        return F.softmax(input, self.dim, _stacklevel=5)


class LogSoftmax(_Activation):
    """``log(softmax(x))`` along the axis `dim`."""

    _params = ("dim",)

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        """Return the logarithms of the probabilities."""
        return F.log_softmax(input, self.dim, _stacklevel=5)
