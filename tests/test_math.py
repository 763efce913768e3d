"""exp, log, log1p, expm1, erf, tanh, sigmoid and pow: limits in ULP, special values, same bits."""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path
from types import ModuleType
from typing import Any

import mpmath as mp
import numpy as np
import pytest
from numpy.typing import NDArray

import mlpeak
from mlpeak import _core, kernels, reference

Array = NDArray[Any]
SIZES = (0, 1, 7, 8, 9, 15, 16, 17, 31, 33, 63, 64, 65, 1023, 1025)
DTYPES = (np.float32, np.float64)
FUNCTIONS = ("exp", "log", "log1p", "expm1", "erf")
INF, NAN = np.inf, np.nan


def _load_sweep() -> ModuleType:
    path = Path(__file__).parents[1] / "benchmarks" / "sweep_math.py"
    spec = importlib.util.spec_from_file_location("sweep_math", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


sweep_math = _load_sweep()


def assert_same_bits(a: Array, b: Array) -> None:
    """Equal values and signs of zero; any NaN equals any other."""
    np.testing.assert_array_equal(a, b)
    numbers = ~np.isnan(a)
    np.testing.assert_array_equal(np.signbit(a[numbers]), np.signbit(b[numbers]))


@pytest.mark.parametrize("name", sweep_math.FUNCTIONS)
def test_float32_stays_within_its_limit_over_all_exponents(name: str) -> None:
    # 8209 is prime: the patterns meet every exponent and both signs
    worst = sweep_math.sweep(name, 0, sweep_math.PATTERNS, 8209)
    assert worst.error <= sweep_math.FUNCTIONS[name].limit, worst


def _samples64(rng: np.random.Generator) -> Array:
    """Doubles of all sizes, more of them where the functions bend."""
    return np.concatenate(
        [
            rng.uniform(-1.5, 1.5, 500),
            rng.uniform(-25, 25, 400),
            rng.uniform(-750, 720, 200),
            rng.choice([-1.0, 1.0], 200) * 2.0 ** rng.uniform(-1070, 1020, 200),
        ]
    )


TRUTH = {
    "exp": mp.exp,
    "log": mp.log,
    "log1p": mp.log1p,
    "expm1": mp.expm1,
    "tanh": mp.tanh,
    "erf": mp.erf,
    "sigmoid": lambda x: 1 / (1 + mp.exp(-x)),
}


@pytest.mark.parametrize("name", TRUTH)
def test_float64_stays_within_its_limit(name: str) -> None:
    x = _samples64(np.random.default_rng(0))
    if name == "log":
        x = np.abs(x)
    if name == "log1p":
        x = np.where(x < -1, -x, x)
    got = getattr(kernels, name)(x)
    limit = 1.0 if name in ("exp", "log") else 2.0
    with mp.workdps(40):
        for value, result in zip(x.tolist(), got.tolist(), strict=True):
            true = TRUTH[name](mp.mpf(value))
            if abs(true) >= mp.mpf(2) ** 1024:
                assert result == np.inf
                continue
            exponent = mp.frexp(true)[1] if true else -1074
            unit = mp.mpf(2) ** max(exponent - 53, -1074)
            assert abs(result - true) <= limit * unit, (name, value, result)


AT = (0.0, -0.0, 1.0, -1.0, 1e30, -1e30, INF, -INF, NAN)
E, LN2 = math.e, math.log(2)
SPECIAL = {
    "exp": (1.0, 1.0, E, 1 / E, INF, 0.0, INF, 0.0, NAN),
    "log": (-INF, -INF, 0.0, NAN, math.log(1e30), NAN, INF, NAN, NAN),
    "log1p": (0.0, -0.0, LN2, -INF, math.log(1e30), NAN, INF, NAN, NAN),
    "expm1": (0.0, -0.0, E - 1, 1 / E - 1, INF, -1.0, INF, -1.0, NAN),
    "erf": (0.0, -0.0, math.erf(1), -math.erf(1), 1.0, -1.0, 1.0, -1.0, NAN),
    "tanh": (0.0, -0.0, math.tanh(1), -math.tanh(1), 1.0, -1.0, 1.0, -1.0, NAN),
    "sigmoid": (0.5, 0.5, E / (1 + E), 1 / (1 + E), 1.0, 0.0, 1.0, 0.0, NAN),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", SPECIAL)
def test_special_values_are_those_of_c99(tier: str, name: str, dtype: type) -> None:
    x, expected = np.array(AT, dtype), np.array(SPECIAL[name], dtype)
    exact = np.isin(expected, (0.0, 0.5, 1.0, -1.0)) | ~np.isfinite(expected)
    for module in (kernels, reference):
        got = getattr(module, name)(x)
        assert_same_bits(got[exact], expected[exact])
        # 2 ULP, and the rounding of the value expected
        np.testing.assert_allclose(got, expected, rtol=3 * np.finfo(dtype).eps, atol=0)


@pytest.mark.parametrize("dtype", DTYPES)
def test_subnormals_are_not_flushed(tier: str, dtype: type) -> None:
    smallest = np.finfo(dtype).smallest_subnormal
    x = np.array([smallest, 7 * smallest, -smallest], dtype)
    for name in ("log1p", "expm1", "tanh"):
        np.testing.assert_array_equal(getattr(kernels, name)(x), x)
    assert np.isfinite(kernels.log(x[:2])).all()
    low = np.array([np.log(float(np.finfo(dtype).tiny)) - 3], dtype)
    assert 0 < kernels.exp(low)[0] < np.finfo(dtype).tiny
    assert 0 < kernels.sigmoid(low)[0] < np.finfo(dtype).tiny


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_size_agrees_with_reference(tier: str, name: str, dtype: type) -> None:
    # 2 ULP for the kernel, 2 for NumPy's own float64 and the rounding of the reference
    rng = np.random.default_rng(1)
    for n in SIZES:
        x = rng.uniform(0.01, 4.0, n).astype(dtype)
        got, expected = getattr(kernels, name)(x), getattr(reference, name)(x)
        np.testing.assert_allclose(got, expected, rtol=4 * np.finfo(dtype).eps, atol=0)
        in_place = x.copy()
        assert getattr(kernels, name)(in_place, out=in_place) is in_place
        np.testing.assert_array_equal(in_place, got)


def _wide_values(dtype: type, n: int) -> Array:
    rng = np.random.default_rng(2)
    x = rng.normal(0, 30, n)
    x[::3] = 2.0 ** rng.uniform(-120, 120, x[::3].size)
    x[:6] = (0.0, -0.0, INF, -INF, NAN, -1.0)
    return x.astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_same_bits_on_every_tier_and_number_of_threads(dtype: type) -> None:
    x = _wide_values(dtype, 100_003)
    functions = [getattr(kernels, name) for name in (*FUNCTIONS, "tanh", "sigmoid")]
    functions += [lambda x, e=e: kernels.pow(x, e) for e in (3, -2, 0.5, 2.5)]
    before = _core.tier()
    try:
        for function in functions:
            _core.select_tier("scalar")
            mlpeak.set_num_threads(1)
            expected = function(x)
            for tier in _core.tiers():
                _core.select_tier(tier)
                for threads in (1, 2, 3, 4, 8):
                    mlpeak.set_num_threads(threads)
                    assert_same_bits(function(x), expected)
    finally:
        _core.select_tier(before)


# ---- pow -----------------------------------------------------------------------------------------

EXPONENTS = (0, 1, 2, 3, -1, -2, 0.5, 1.5, -0.5, 7, 64, -64, 65, 1 / 3, 2.75, 100, 1e300, -1e300)


@pytest.mark.parametrize("exponent", EXPONENTS)
def test_pow_float32_is_rounded_once(tier: str, exponent: float) -> None:
    rng = np.random.default_rng(3)
    x = np.concatenate([rng.uniform(-3, 3, 300), 2.0 ** rng.uniform(-100, 100, 101)])
    x = x.astype(np.float32)
    with np.errstate(all="ignore"):
        true = np.power(x.astype(np.float64), exponent)
        # float64 at its own error, and half a unit of float32
        error = sweep_math.ulp_error(kernels.pow(x, exponent), true)
    assert error.max() <= 0.501


@pytest.mark.parametrize("exponent", EXPONENTS)
def test_pow_float64_stays_within_its_limit(tier: str, exponent: float) -> None:
    rng = np.random.default_rng(4)
    x = np.concatenate([rng.uniform(0.01, 3, 200), 2.0 ** rng.uniform(-30, 30, 57)])
    got = kernels.pow(x, exponent)
    product = abs(exponent) <= 64 and exponent == int(exponent)
    with mp.workdps(40):
        for value, result in zip(x.tolist(), got.tolist(), strict=True):
            logarithm = mp.mpf(exponent) * mp.log(value)
            grown = abs(float(logarithm))
            if grown > 708:  # out of the normal range, or at its edge
                assert result <= 1e-300 if logarithm < 0 else result >= 1e300
                continue
            true = mp.exp(logarithm)
            limit = max(1, 2 * abs(exponent)) if product else 1 + 3 * grown
            unit = mp.mpf(2) ** (mp.frexp(true)[1] - 53)
            assert abs(result - true) <= limit * unit, (value, exponent, result)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("exponent", [0, 1, 2, 3, -1, -3, 1.5, -1.5, 65, -65, 66, 1e18, 1e-3])
def test_pow_special_values_are_those_of_c99(tier: str, exponent: float, dtype: type) -> None:
    x = np.array([0.0, -0.0, 1.0, -1.0, INF, -INF, NAN], dtype)
    with np.errstate(all="ignore"):
        expected = np.power(x, dtype(exponent))
    assert_same_bits(kernels.pow(x, exponent), expected)
    assert_same_bits(reference.pow(x, exponent), expected)


def test_pow_of_a_half_is_the_square_root(tier: str) -> None:
    x = np.array([0.0, -0.0, 2.0, -1.0, INF], np.float32)
    with np.errstate(invalid="ignore"):
        assert_same_bits(kernels.pow(x, 0.5), np.sqrt(x))


@pytest.mark.parametrize("exponent", [INF, -INF, NAN])
def test_pow_refuses_an_exponent_that_is_not_finite(backend: str, exponent: float) -> None:
    with pytest.raises(ValueError, match=r"pow: exponent is .*; expected a finite number"):
        kernels.pow(np.ones(3), exponent)


# ---- arguments -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FUNCTIONS)
def test_bad_arguments_are_refused_and_nothing_is_written(backend: str, name: str) -> None:
    function = getattr(kernels, name)
    x = np.linspace(0.1, 1, 8).astype(np.float32)
    with pytest.raises(TypeError, match=f"{name}: x is list"):
        function([1.0])
    with pytest.raises(TypeError, match=f"{name}: x has dtype int64"):
        function(np.arange(3))
    with pytest.raises(TypeError, match=f"{name}: out has dtype float64"):
        function(x, out=np.zeros(8))
    with pytest.raises(ValueError, match=f"{name}: out has shape"):
        function(x, out=np.zeros(7, np.float32))
    strided = np.zeros(16, np.float32)
    with pytest.raises(ValueError, match=f"{name}: out is not C-contiguous"):
        function(x, out=strided[::2])
    frozen = np.zeros(8, np.float32)
    frozen.flags.writeable = False
    with pytest.raises(ValueError, match=f"{name}: out is read-only"):
        function(x, out=frozen)
    both = np.linspace(0.1, 1, 9).astype(np.float32)
    before = both.copy()
    with pytest.raises(ValueError, match=f"{name}: out shares memory with x"):
        function(both[:8], out=both[1:])
    np.testing.assert_array_equal(both, before)
    assert not strided.any()
    assert not frozen.any()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_any_shape_and_strides_are_read(backend: str, name: str) -> None:
    function = getattr(kernels, name)
    x = np.linspace(0.1, 2, 24).reshape(2, 3, 4)
    np.testing.assert_array_equal(function(x[:, ::-1, ::2]), function(x)[:, ::-1, ::2])
    assert function(np.array(0.5)).shape == ()
    assert function(np.zeros((3, 0), np.float32)).shape == (3, 0)
