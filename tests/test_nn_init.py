"""Initial values: bounds, moments, repetition, refusals, and PyTorch's constants."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from mlpeak import nn
from mlpeak._from_data import from_numpy
from mlpeak._random import Generator, manual_seed
from mlpeak._tensor import Tensor
from mlpeak.nn import init

N = (200, 300)


def empty(shape: tuple[int, ...] = N, dtype: Any = np.float32) -> Tensor:
    return from_numpy(np.full(shape, np.nan, dtype))


def check_moments(x: np.ndarray, mean: float, std: float) -> None:
    """Mean and deviation within five standard errors, for light-tailed distributions."""
    assert abs(x.mean(dtype=np.float64) - mean) < 5 * std / math.sqrt(x.size)
    # the deviation of a sample's variance is at most sqrt(2 / n) of it for these
    assert abs(x.std(dtype=np.float64) - std) < 5 * std / math.sqrt(2 * x.size)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_uniform_and_normal(dtype: Any) -> None:
    x = init.uniform_(empty(dtype=dtype), -2.0, 3.0).numpy()
    assert x.dtype == dtype
    assert -2.0 <= x.min() < -1.99
    assert 2.99 < x.max() < 3.0
    check_moments(x, 0.5, 5 / math.sqrt(12))
    check_moments(init.normal_(empty(dtype=dtype), 1.0, 0.5).numpy(), 1.0, 0.5)


def test_constants() -> None:
    assert (init.constant_(empty(), 0.25).numpy() == 0.25).all()
    assert (init.ones_(empty()).numpy() == 1).all()
    assert (init.zeros_(empty()).numpy() == 0).all()
    np.testing.assert_array_equal(init.eye_(empty((2, 3))).numpy(), np.eye(2, 3))


# fan_in of N is 300 (columns), fan_out 200
RANDOM = {
    "xavier_uniform": (lambda t: init.xavier_uniform_(t, 1.5), 1.5 * math.sqrt(2 / 500), True),
    "xavier_normal": (lambda t: init.xavier_normal_(t, 1.5), 1.5 * math.sqrt(2 / 500), False),
    "kaiming_uniform": (init.kaiming_uniform_, math.sqrt(2 / 300), True),
    "kaiming_uniform-slope": (
        lambda t: init.kaiming_uniform_(t, a=math.sqrt(5)),
        math.sqrt(1 / 900),
        True,
    ),
    "kaiming_normal-out": (
        lambda t: init.kaiming_normal_(t, mode="fan_out", nonlinearity="tanh"),
        5 / 3 / math.sqrt(200),
        False,
    ),
}


@pytest.mark.parametrize("name", RANDOM)
def test_variance_of(name: str) -> None:
    fill, std, uniform = RANDOM[name]
    x = fill(empty()).numpy()
    check_moments(x, 0.0, std)
    if uniform:
        assert math.sqrt(3) * std * 0.999 < np.abs(x).max() <= np.float32(math.sqrt(3) * std)


def test_receptive_field_counts_in_the_fans() -> None:
    x = init.xavier_normal_(empty((20, 30, 5, 4))).numpy()
    check_moments(x, 0.0, math.sqrt(2 / (50 * 20)))


@pytest.mark.parametrize("bounds", [(-2.0, 2.0), (-0.1, 3.0), (1.0, 1.5)])
def test_trunc_normal(bounds: tuple[float, float]) -> None:
    scipy_stats = pytest.importorskip("scipy.stats")
    a, b = bounds
    mean, std = 0.5, 0.8
    x = init.trunc_normal_(empty(dtype=np.float64), mean, std, a, b).numpy()
    assert a <= x.min() <= x.max() <= b
    exact = scipy_stats.truncnorm((a - mean) / std, (b - mean) / std, mean, std)
    # largest distance of the distribution functions: above 1.95/sqrt(n) with probability 1e-3
    distance = scipy_stats.kstest(x.ravel(), exact.cdf).statistic
    assert distance < 1.95 / math.sqrt(x.size)


def test_trunc_normal_of_one_number() -> None:
    assert abs(init.trunc_normal_(empty(())).item()) <= 2


def test_trunc_normal_far_from_its_mean_warns_and_stays_inside() -> None:
    with pytest.warns(UserWarning, match="mean is more than 2 std from"):
        x = init.trunc_normal_(empty((10,)), mean=0.0, std=1.0, a=4.0, b=5.0).numpy()
    assert 4 <= x.min() <= x.max() <= 5
    for bad in ({"a": 1.0, "b": 0.0}, {"std": 0.0}, {"std": float("nan")}):
        with pytest.raises(ValueError, match="expected a <= b and std > 0"):
            init.trunc_normal_(empty(), **bad)


@pytest.mark.parametrize("shape", [(5, 5), (7, 3), (3, 7), (4, 3, 2)])
def test_orthogonal(shape: tuple[int, ...]) -> None:
    q = init.orthogonal_(empty(shape, np.float64), gain=2.0).numpy().reshape(shape[0], -1)
    small = q @ q.T if q.shape[0] <= q.shape[1] else q.T @ q
    np.testing.assert_allclose(small, 4 * np.eye(len(small)), atol=1e-14)


def test_gains_are_torchs() -> None:
    torch = pytest.importorskip("torch")
    for name in ("linear", "sigmoid", "tanh", "relu", "leaky_relu", "selu"):
        assert init.calculate_gain(name) == torch.nn.init.calculate_gain(name)
    expected = torch.nn.init.calculate_gain("leaky_relu", 0.3)
    assert init.calculate_gain("leaky_relu", 0.3) == expected


def test_numbers_repeat_with_the_seed_and_the_generator() -> None:
    manual_seed(4)
    a, b = init.normal_(empty()).numpy(), init.normal_(empty()).numpy()
    assert (a != b).any()
    manual_seed(4)
    np.testing.assert_array_equal(init.normal_(empty()).numpy(), a)
    own = [init.uniform_(empty(), generator=Generator(9)).numpy() for _ in range(2)]
    np.testing.assert_array_equal(own[0], own[1])
    np.testing.assert_array_equal(init.normal_(empty()).numpy(), b)


def test_default_of_linear_is_torchs() -> None:
    layer = nn.Linear(300, 200)
    bound = 1 / math.sqrt(300)
    for x in (layer.weight.detach().numpy(), layer.bias.detach().numpy()):
        assert bound * 0.9 < np.abs(x).max() <= np.float32(bound)
        check_moments(x, 0.0, bound / math.sqrt(3))
    before = layer.weight.detach().numpy().copy()
    layer.reset_parameters()
    assert (layer.weight.detach().numpy() != before).any()
    manual_seed(0)
    first = nn.Linear(3, 2).weight.tolist()
    manual_seed(0)
    assert nn.Linear(3, 2).weight.tolist() == first


def test_filling_is_noticed_by_backward() -> None:
    w = nn.Parameter(from_numpy(np.ones((1, 1))))
    x = from_numpy(np.ones((1, 1))).requires_grad_()
    y = nn.functional.linear(x, w)
    init.ones_(w)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.backward()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: init.xavier_uniform_(empty((3,))), "fewer than 2 dimensions"),
        (lambda: init.kaiming_normal_(empty(()), mode="fan_in"), "fewer than 2 dimensions"),
        (lambda: init.kaiming_uniform_(empty(), mode="fan"), "Mode fan not supported"),
        (lambda: init.calculate_gain("gelu"), "Unsupported nonlinearity gelu"),
        (lambda: init.calculate_gain("leaky_relu", "x"), "negative_slope x not a valid number"),
        (lambda: init.eye_(empty((3,))), "2 dimensions are supported"),
        (lambda: init.orthogonal_(empty((3,))), "2 or more dimensions"),
    ],
)
def test_refusals(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_empty_tensors() -> None:
    with pytest.warns(UserWarning, match="zero-element tensors is a no-op"):
        init.kaiming_uniform_(empty((0, 3)))
    assert init.orthogonal_(empty((0, 3))).shape == (0, 3)
