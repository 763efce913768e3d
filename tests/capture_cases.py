"""Models and arguments that the tests of capture share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import mlpeak
from mlpeak import nn
from mlpeak.compiler import Spec

INT = np.dtype(np.int64)
X8 = Spec((8,))
Y3 = Spec((3,))
CLASS = Spec((), INT)


def mlp(*activations: nn.Module) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Linear(8, 12)]
    for activation in activations:
        layers += [activation, nn.Linear(12, 12)]
    return nn.Sequential(*layers, nn.Linear(12, 3))


class Gate(nn.Module):
    def __init__(self, branch: Callable[[Any], Any]) -> None:
        super().__init__()
        self.branch = branch

    def forward(self, x: mlpeak.Tensor) -> mlpeak.Tensor:
        return self.branch(x)


def state(model: nn.Module) -> dict[str, bytes]:
    return {name: t._array.tobytes() for name, t in model.state_dict().items()}
