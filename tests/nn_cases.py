"""Modules that the tests of `nn` share."""

from __future__ import annotations

import numpy as np

from mlpeak import nn
from mlpeak._from_data import tensor
from mlpeak._tensor import Tensor


def mlp() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.ReLU(), nn.Linear(3, 2))


def arrays(module: nn.Module) -> dict[str, np.ndarray]:
    return {name: value.numpy().copy() for name, value in module.state_dict().items()}


class Net(nn.Module):
    """Everything a module can own."""

    def __init__(self) -> None:
        super().__init__()
        self.body = mlp()
        self.scale = nn.Parameter(tensor([2.0]))
        self.register_parameter("absent", None)
        self.register_buffer("seen", tensor([0.0]))
        self.register_buffer("scratch", tensor([1.0]), persistent=False)
        self.plain = "text"

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x) * self.scale
