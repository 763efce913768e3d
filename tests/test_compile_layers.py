"""Compiled steps of every supported layer and operation leave the bits of the eager step."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import mlpeak
from capture_cases import CLASS, X8, Y3, mlp
from compiled_steps import check_steps
from mlpeak import nn

DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["fp32", "fp64"])


def sgd(parameters: Any) -> Any:
    return mlpeak.optim.SGD(parameters, lr=0.05, momentum=0.9)


@DTYPES
def test_updates_of_gradients_that_are_kept(dtype: Any) -> None:
    check_steps(
        lambda: mlp(nn.ReLU()), nn.CrossEntropyLoss, [X8], [CLASS], dtype=dtype, keep_gradients=True
    )
    check_steps(
        lambda: mlp(nn.Tanh()), nn.MSELoss, [X8], [Y3], sgd, dtype=dtype, keep_gradients=True
    )
