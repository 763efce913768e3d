"""Compiled steps of every supported layer and operation leave the bits of the eager step."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import mlpeak
from capture_cases import CLASS, X8, Y3, mlp
from compiled_steps import check_steps
from mlpeak import nn
from test_capture import USER_LOSSES

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


#: Losses that compute in the other dtype.
MIXED = {
    np.float32: {"powers", "a copy", "float64 inside"},
    np.float64: {"accuracy as a factor", "sorted", "float64 inside", "stacked rows"},
}


@pytest.mark.parametrize("name", USER_LOSSES)
@DTYPES
def test_losses_from_tensor_operations(name: str, dtype: Any) -> None:
    if name in MIXED[dtype]:
        pytest.skip("computes in two dtypes")
    check_steps(lambda: mlp(nn.Tanh()), USER_LOSSES[name], [X8], [Y3], dtype=dtype)
