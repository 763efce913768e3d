"""Subclasses of numpy.ndarray are taken as the arrays they are: by kernels and by tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import mlpeak
from mlpeak import kernels
from mlpeak.data import TensorDataset

X = np.random.default_rng(0).random((3, 3)) * 0.8 + 0.1
INDICES = np.array([[0, 2]])
CLASSES = np.array([0, 2, 1])


def _adam(x: Any) -> Any:
    param, m, v = x.copy(), x.copy(), x.copy()
    kernels.adam(param, x, m, v, step=1, lr=0.1)
    return param, m, v


CALLS: dict[str, Callable[[Any], Any]] = {
    "relu": kernels.relu,
    "silu_backward": lambda x: kernels.silu_backward(x, x),
    "softmax": kernels.softmax,
    "log_softmax_backward": lambda x: kernels.log_softmax_backward(x, x),
    "sum": lambda x: kernels.sum(x, axis=0),
    "mean": lambda x: kernels.mean(x, axis=1),
    "mse_loss": lambda x: kernels.mse_loss(x, x / 2),
    "gaussian_nll_loss": lambda x: kernels.gaussian_nll_loss(x, x / 2, x),
    "cross_entropy": lambda x: kernels.cross_entropy_forward_backward(x, CLASSES),
    "layer_norm": kernels.layer_norm,
    "batch_norm": kernels.batch_norm,
    "batch_norm_backward": lambda x: kernels.batch_norm_backward(
        x, x, np.ones(3), np.zeros(3), np.ones(3)
    ),
    "dropout": lambda x: kernels.dropout(x, 0.5, seed=0),
    "embedding": lambda x: kernels.embedding(INDICES, x),
    "gather_rows": lambda x: kernels.gather_rows(x, INDICES),
    "linear": lambda x: kernels.linear(x, x),
    "adam": _adam,
}


@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")
@pytest.mark.parametrize("name", CALLS)
def test_matrix_is_taken_as_an_array(backend: str, name: str) -> None:
    found, expected = CALLS[name](np.asmatrix(X)), CALLS[name](X)
    pairs = zip(found, expected, strict=True) if isinstance(found, tuple) else [(found, expected)]
    for one, other in pairs:
        if one is not None:
            np.testing.assert_array_equal(np.asarray(one), np.asarray(other))


@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")
@pytest.mark.parametrize(
    "make", [mlpeak.Tensor, mlpeak.from_numpy, mlpeak.as_tensor, mlpeak.tensor]
)
@pytest.mark.parametrize("kind", [np.asmatrix, np.ma.asarray])
def test_a_tensor_of_a_matrix_or_a_masked_array_is_a_tensor(kind: Any, make: Any) -> None:
    source = kind(X.copy())
    x = make(source)
    assert type(x.numpy()) is np.ndarray
    np.testing.assert_array_equal((x * x).numpy(), X * X)
    assert x[0].shape == (3,)
    shares = np.shares_memory(x.numpy(), np.asarray(source))
    assert shares is (make is not mlpeak.tensor)


@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")
def test_a_data_set_of_a_matrix_has_samples_of_one_dimension() -> None:
    (row,) = TensorDataset(np.asmatrix(X))[1]
    assert row.shape == (3,)


def test_written_array_is_returned_itself(backend: str, tmp_path: Any) -> None:
    out = np.memmap(tmp_path / "out", np.float64, "w+", shape=X.shape)
    assert kernels.relu(X, out) is out
