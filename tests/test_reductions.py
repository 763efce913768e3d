"""Sums and means: every tier against exact sums, and their bits."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import mlpeak
from mlpeak import _core, kernels

DTYPES = [np.float32, np.float64]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [0, 1, 7, 8, 9, 15, 16, 17, 33, 65, 4095, 4096, 4097, 20000])
def test_sum_of_a_row(tier: str, dtype: Any, n: int) -> None:
    x = np.random.default_rng(n).standard_normal(n).astype(dtype)
    exact = math.fsum(x.tolist())
    # a lane adds at most 4096 / 8 terms of a chunk, then 4 halvings; the rest happens in double
    bound = (4096 / 8 + 5) * np.finfo(dtype).eps * float(np.abs(x).sum(dtype=np.float64))
    assert abs(float(kernels.sum(x)) - exact) <= bound


@pytest.mark.parametrize("axis", [None, 0, 1, 2, -1, (0, 1), (1, 2), (0, 2), (2, 0), ()])
@pytest.mark.parametrize("keepdims", [False, True])
def test_axes_follow_numpy(backend: str, axis: Any, keepdims: bool) -> None:
    x = np.random.default_rng(0).standard_normal((3, 1030, 5))
    want = x.sum(axis=axis, keepdims=keepdims)
    for got, scale in (
        (kernels.sum(x, axis, keepdims), 1.0),
        (kernels.mean(x, axis, keepdims), want.size / x.size),
    ):
        assert got.shape == want.shape
        np.testing.assert_allclose(got, want * scale, rtol=0, atol=x.size * 2.3e-16 * 5)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("shape", "axis"), [((300_000,), None), ((5000, 33), 0), ((64, 5000), 1), ((7, 2000, 3), 1)]
)
def test_bits_do_not_depend_on_tier_or_threads(dtype: Any, shape: Any, axis: Any) -> None:
    x = np.random.default_rng(1).standard_normal(shape).astype(dtype)
    results = set()
    for name in _core.tiers():
        _core.select_tier(name)
        for threads in (1, 2, 3, 4, 8):
            mlpeak.set_num_threads(threads)
            results.add(kernels.sum(x, axis).tobytes())
    assert len(results) == 1


def test_strided_input_and_out(backend: str) -> None:
    x = np.arange(24, dtype=np.float32).reshape(4, 6)
    out = np.empty(3, np.float32)
    assert kernels.sum(x[:, ::2], 0, out=out) is out
    np.testing.assert_array_equal(out, [36, 44, 52])
    assert kernels.sum(np.empty((0, 3), np.float32), 0).tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("kwargs", "error", "text"),
    [
        ({"axis": 2}, ValueError, "axis is 2"),
        ({"axis": (0, -2)}, ValueError, "axis names axis 0 twice"),
        ({"axis": 0, "out": np.empty(2, np.float32)}, ValueError, "out has shape"),
        ({"axis": 0, "out": np.empty(3)}, TypeError, "out has dtype"),
    ],
)
def test_wrong_input_is_named(backend: str, kwargs: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        kernels.sum(np.ones((2, 3), np.float32), **kwargs)


def test_empty_mean_and_overlapping_out_are_refused(backend: str) -> None:
    with pytest.raises(ValueError, match="no elements"):
        kernels.mean(np.empty((0, 3)), 0)
    x = np.ones((2, 3))
    with pytest.raises(ValueError, match="out shares memory with x"):
        kernels.sum(x, 0, out=x[0])
    np.testing.assert_array_equal(x, 1)
