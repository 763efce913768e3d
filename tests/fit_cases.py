"""Data, models and steps of the tests of `fit`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import mlpeak
from mlpeak import nn, optim
from mlpeak.compiler.rules import RULES

RNG = np.random.default_rng(5)
N = 203  # with batches of 32 the last has 11
X = RNG.random((N, 6), np.float32)
CLASSES = RNG.integers(0, 3, N)
Y = (X @ RNG.standard_normal((6, 2))).astype(np.float32)
BYTES = RNG.integers(0, 256, (N, 6), np.uint8)
WEIGHT = RNG.uniform(0.5, 2, N).astype(np.float32)


def classifier(norm: bool = False) -> nn.Sequential:
    mlpeak.manual_seed(1)
    middle = nn.BatchNorm1d(16) if norm else nn.Tanh()
    return nn.Sequential(nn.Linear(6, 16), middle, nn.ReLU(), nn.Dropout(0.25), nn.Linear(16, 3))


def need(*kernels: str) -> None:
    """Skip a test of layers whose kernels the engine does not have."""
    line_step()(X, Y)  # the rules are there once something was compiled
    lacking = [name for name in kernels if name not in RULES]
    if lacking:
        pytest.skip(f"{', '.join(lacking)} does not compile")


def adam(model: nn.Module, lr: float = 0.01) -> optim.Adam:
    return optim.Adam(model.parameters(), lr=lr)


def class_step(norm: bool = False, **options: Any) -> Any:
    model = classifier(norm)
    return mlpeak.compile(model, nn.CrossEntropyLoss(), adam(model), **options)


def line_step(lr: float = 0.01, **options: Any) -> Any:
    mlpeak.manual_seed(2)
    model = nn.Linear(6, 2)
    optimizer = optim.SGD(model.parameters(), lr=0.01)
    optimizer.param_groups[0]["lr"] = lr  # may be negative: then it climbs
    return mlpeak.compile(model, nn.MSELoss(), optimizer, **options)


def bits(step: Any) -> dict[str, bytes]:
    """All that training changes."""
    found = {name: t._array.tobytes() for name, t in step.model.state_dict().items()}
    for i, state in step.optimizer.state_dict()["state"].items():
        for name, value in state.items():
            found[f"{i} {name}"] = (
                value._array.tobytes() if isinstance(value, mlpeak.Tensor) else bytes([value % 251])
            )
    return found
