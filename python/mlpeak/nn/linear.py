"""The fully connected layer, and the one that does nothing."""

from __future__ import annotations

import math
from typing import Any

from mlpeak._tensor import Tensor
from mlpeak.nn import functional as F
from mlpeak.nn import init
from mlpeak.nn._state import empty_parameter
from mlpeak.nn.module import Module

__all__ = ["Identity", "Linear"]


class Identity(Module):
    """Return the input; all arguments are ignored."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def forward(self, input: Tensor) -> Tensor:
        """Return `input`."""
        return input


class Linear(Module):
    """Fully connected layer, ``y = x W^T + b``.

    Parameters
    ----------
    in_features, out_features : int
        Length of the last axis of input and output.
    bias : bool
        Whether there is a b.
    device : optional
        None or "cpu".
    dtype : optional
        float32 (the default) or float64.

    Attributes
    ----------
    weight : Parameter
        (out_features, in_features), drawn from U(-k, k), k = 1 / sqrt(in_features).
    bias : Parameter or None
        (out_features,), drawn from the same.

    Examples
    --------
    >>> import mlpeak
    >>> layer = mlpeak.nn.Linear(20, 30)
    >>> tuple(layer(mlpeak.zeros(128, 20)).shape)
    (128, 30)
    """

    weight: Tensor
    bias: Tensor | None

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.in_features = in_features
        self.out_features = out_features
        self.weight = empty_parameter((out_features, in_features), device, dtype)
        if bias:
            self.bias = empty_parameter((out_features,), device, dtype)
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weight and bias again."""
        # with a = sqrt(5) the bound gain * sqrt(3 / fan_in) is 1 / sqrt(fan_in)
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            bound = 1 / math.sqrt(self.in_features) if self.in_features > 0 else 0
            init.uniform_(self.bias, -bound, bound)

    def forward(self, input: Tensor) -> Tensor:
        """Return ``input @ weight.T + bias`` for input (..., in_features)."""
        return F.linear(input, self.weight, self.bias)

    def extra_repr(self) -> str:
        """Return the sizes."""
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, "
            f"bias={self.bias is not None}"
        )
