"""Activations and softmax: values, gradients, same bits, refusals, agreement with PyTorch."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

import mlpeak
from mlpeak import _core, kernels, reference

Array = NDArray[Any]
Bound = Callable[[Array, Array], Array]
DTYPES = (np.float32, np.float64)
SIZES = (0, 1, 7, 8, 9, 15, 16, 17, 31, 33, 63, 64, 65, 1023, 1024, 1025)


class Case(NamedTuple):
    """One activation with parameters, and how far from the reference rounding may take it.

    `forward(x, y)` and `backward(x, y)` bound the error in units of epsilon, the latter for a
    grad_output of 1. They are the sums of the ULP limits of the functions used, half an epsilon a
    further operation and half for the rounding of the reference, times each one's effect.
    """

    name: str
    params: dict[str, float]
    saves: str
    forward: Bound
    backward: Bound


def relative(ulps: float) -> Bound:
    return lambda x, y: ulps * np.abs(y)


def of_input(ulps: float) -> Bound:
    return lambda x, y: ulps * np.abs(x)


def constant(ulps: float) -> Bound:
    return lambda x, y: np.full_like(x, ulps)


def _softplus(beta: float, ulps: float) -> Bound:
    # beta x is rounded twice, and e^(beta x) magnifies that error by |beta x|
    return lambda x, y: (ulps + np.abs(beta * x)) * np.abs(y)


CASES = (
    Case("identity", {}, "y", constant(0), constant(0)),
    Case("relu", {}, "y", constant(0), constant(0)),
    Case("leaky_relu", {}, "y", relative(2), constant(0.1)),
    Case("leaky_relu", {"negative_slope": 0.3}, "y", relative(2), constant(2)),
    Case("leaky_relu", {"negative_slope": 0.0}, "y", constant(0), constant(0)),
    Case("elu", {}, "y", relative(4), constant(2)),
    Case("elu", {"alpha": 2.5}, "y", relative(4), constant(5)),
    Case("selu", {}, "y", relative(4), constant(4)),
    # an error of erf, at most 2, counts in full against x Phi(x), however small Phi is
    Case("gelu", {}, "x", of_input(4), constant(6)),
    Case("gelu_tanh", {}, "x", of_input(4), constant(10)),
    Case("silu", {}, "x", relative(4), constant(6)),
    Case("mish", {}, "x", relative(8), constant(10)),
    Case("sigmoid", {}, "y", relative(3), constant(1)),
    Case("log_sigmoid", {}, "x", relative(5), relative(4)),
    Case("tanh", {}, "y", relative(3), constant(2)),
    Case("softplus", {}, "x", _softplus(1.0, 6), constant(4)),
    Case("softplus", {"beta": 2.5, "threshold": 4.0}, "x", _softplus(2.5, 6), constant(5)),
)
IDS = [f"{case.name}{'-'.join(map(str, ['', *case.params.values()]))}" for case in CASES]
each_case = pytest.mark.parametrize("case", CASES, ids=IDS)
each_dtype = pytest.mark.parametrize("dtype", DTYPES)
ROWS = ("softmax", "log_softmax")


def _input(dtype: type, n: int, seed: int = 0) -> Array:
    rng = np.random.default_rng(seed)
    x = rng.normal(0, 3, n)
    x[::5] *= 10
    return x.astype(dtype)


def _run(module: Any, case: Case, x: Array, grad: Array) -> tuple[Array, Array]:
    y = getattr(module, case.name)(x, **case.params)
    saved = y if case.saves == "y" else x
    backward = getattr(module, f"{case.name}_backward")
    return y, backward(grad, **{case.saves: saved}, **case.params)


# ---- values --------------------------------------------------------------------------------------


@each_dtype
@each_case
def test_matches_reference(tier: str, case: Case, dtype: type) -> None:
    limits = np.finfo(dtype)
    for n in SIZES:
        x = _input(dtype, n, seed=n)
        grad = np.random.default_rng(n + 1).normal(size=n).astype(dtype)
        y, grad_input = _run(kernels, case, x, grad)
        expected = getattr(reference, case.name)(x, **case.params)
        assert y.dtype == dtype
        wide = x.astype(np.float64)
        # results below the normal range have an absolute error, times x where x is a factor
        bottom = 4 * float(limits.smallest_subnormal) * (1 + np.abs(wide))
        bound = float(limits.eps) * case.forward(wide, expected.astype(np.float64)) + bottom
        assert (np.abs(y.astype(np.float64) - expected) <= bound).all()
        saved = y if case.saves == "y" else x
        backward = getattr(reference, f"{case.name}_backward")
        expected = backward(grad, saved, **case.params)
        bound = case.backward(wide, expected.astype(np.float64) / np.where(grad == 0, 1, grad))
        bound = float(limits.eps) * bound * np.abs(grad) + bottom
        assert (np.abs(grad_input.astype(np.float64) - expected) <= bound).all()


@each_dtype
@each_case
def test_limits_at_infinity_and_nan(tier: str, case: Case, dtype: type) -> None:
    x = np.array([np.inf, -np.inf, np.nan, 1e30, -1e30, 0.0], dtype)
    grad = np.ones_like(x)
    y, grad_input = _run(kernels, case, x, grad)
    expected_y, expected_grad = _run(reference, case, x, grad)
    # a parameter's rounding and a few operations; derivatives are of order 1
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(y, expected_y, rtol=4 * eps, atol=0)
    np.testing.assert_allclose(grad_input, expected_grad, rtol=0, atol=4 * eps)
    assert np.isnan(y[2])
    assert not np.isnan(y[[0, 3, 4, 5]]).any()


@each_case
def test_backward_is_the_derivative(backend: str, case: Case) -> None:
    # central differences: h^2/6 times the third derivative (below 20, 6 of it with beta = 2.5),
    # and 2 epsilon |f| / h of rounding; points keep clear of the kinks at 0 and at the threshold
    rng = np.random.default_rng(5)
    x = rng.normal(0, 2, 200)
    kink = case.params.get("threshold", 0.0) / case.params.get("beta", 1.0)
    x = x[(np.abs(x) > 1e-3) & (np.abs(x - kink) > 1e-3)]
    h = 6e-6
    function = getattr(kernels, case.name)
    numeric = (function(x + h, **case.params) - function(x - h, **case.params)) / (2 * h)
    grad = rng.normal(size=x.shape)
    _, got = _run(kernels, case, x, grad)
    bound = np.abs(grad) * (20 * h**2 + 8 * np.finfo(float).eps * (1 + np.abs(x)) / h)
    assert (np.abs(got - grad * numeric) <= bound).all()


def _digest(arrays: list[Array]) -> str:
    return hashlib.sha256(b"".join(a.tobytes() for a in arrays)).hexdigest()


@each_dtype
@each_case
def test_same_bits_on_every_tier_and_number_of_threads(case: Case, dtype: type) -> None:
    x = _input(dtype, 260_011)  # long enough for the cheapest of them to run on threads
    grad = np.random.default_rng(6).normal(size=x.shape).astype(dtype)
    before, digests = _core.tier(), set()
    try:
        for tier in _core.tiers():
            _core.select_tier(tier)
            for threads in (1, 3) if tier == "scalar" else (1, 2, 3, 4, 8):
                mlpeak.set_num_threads(threads)
                digests.add(_digest(list(_run(kernels, case, x, grad))))
    finally:
        _core.select_tier(before)
    assert len(digests) == 1


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["relu", "tanh"])
def test_arrays_may_begin_anywhere(tier: str, name: str, dtype: type) -> None:
    """Long arrays are done from the first whole line on: the bits stay, nothing else is written."""
    forward, backward = getattr(kernels, name), getattr(kernels, f"{name}_backward")
    n, marker = 2100, dtype(-123)
    values = np.random.default_rng(5).normal(size=n).astype(dtype)
    parts = np.array_split(values, 50)  # too short for that
    expected = [
        np.concatenate([forward(v) for v in parts]),
        np.concatenate([backward(v, v) for v in parts]),
    ]
    for begin in range(18):
        room = np.full(n + 40, marker, dtype)
        source = np.full(n + 40, marker, dtype)
        out, x = room[begin : begin + n], source[17 - begin : 17 - begin + n]
        x[:] = values
        for call, operands, want in zip((forward, backward), ((x,), (x, x)), expected, strict=True):
            call(*operands, out=out)
            assert np.array_equal(out, want), begin
            assert np.all(room[:begin] == marker), begin
            assert np.all(room[begin + n :] == marker), begin


# ---- softmax -------------------------------------------------------------------------------------

COLUMNS = (1, 2, 7, 8, 9, 10, 15, 16, 17, 31, 33, 63, 64, 65, 1000)


def _sum_error(columns: int) -> float:
    """Roundings, in epsilon, of a sum over 8 or 16 lanes combined by halving."""
    return (columns / 8 + 4) / 2


@each_dtype
@pytest.mark.parametrize("columns", COLUMNS)
def test_softmax_matches_reference(tier: str, columns: int, dtype: type) -> None:
    rng = np.random.default_rng(columns)
    x = rng.normal(0, 4, (5, columns)).astype(dtype)
    grad = rng.normal(size=x.shape).astype(dtype)
    eps = float(np.finfo(dtype).eps)
    distance = x.max(axis=1, keepdims=True) - x
    many = _sum_error(columns)

    y, expected = kernels.softmax(x), reference.softmax(x)
    # rounding of x - max, twice exp, the sum, its inverse, the product, and the reference's own
    assert (np.abs(y - expected) <= eps * (distance + many + 4) * expected).all()
    got, expected = kernels.softmax_backward(grad, y), reference.softmax_backward(grad, y)
    size = np.abs(grad) + np.abs(grad * y).sum(axis=1, keepdims=True) * (many + 1)
    assert (np.abs(got - expected) <= 2 * eps * y * size).all()

    y, expected = kernels.log_softmax(x), reference.log_softmax(x)
    assert (np.abs(y - expected) <= eps * (distance + np.abs(expected) + many + 4)).all()
    got, expected = kernels.log_softmax_backward(grad, y), reference.log_softmax_backward(grad, y)
    size = np.exp(y) * np.abs(grad).sum(axis=1, keepdims=True) * (many + 2)
    assert (np.abs(got - expected) <= eps * (np.abs(grad) + np.abs(expected) + size)).all()


@pytest.mark.parametrize("name", ROWS)
def test_softmax_backward_is_the_derivative(backend: str, name: str) -> None:
    # error of a central difference as for the activations, summed over the row
    rng = np.random.default_rng(7)
    x, grad = rng.normal(size=(2, 3, 9)), rng.normal(size=(2, 3, 9))
    function, h = getattr(kernels, name), 6e-6
    got = getattr(kernels, f"{name}_backward")(grad, function(x))
    for i in np.ndindex(x.shape):
        step = np.zeros_like(x)
        step[i] = h
        numeric = (grad * (function(x + step) - function(x - step))).sum() / (2 * h)
        assert abs(got[i] - numeric) <= 9 * (h**2 + 20 * np.finfo(float).eps / h)


@pytest.mark.parametrize("name", ROWS)
def test_softmax_of_extreme_rows(backend: str, name: str) -> None:
    x = np.array([[1e4, 0.0], [-1e4, 0.0], [-np.inf, 0.0], [np.inf, 0.0], [np.nan, 0.0]])
    y = getattr(kernels, name)(x)
    expected = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0], [np.nan] * 2, [np.nan] * 2])
    if name == "log_softmax":
        expected = np.array([[0.0, -1e4], [-1e4, 0.0], [-np.inf, 0.0], [np.nan] * 2, [np.nan] * 2])
    np.testing.assert_array_equal(y, expected)


@each_dtype
@pytest.mark.parametrize("name", ROWS)
@pytest.mark.parametrize("shape", [(20_011, 10), (67, 3000)])
def test_softmax_same_bits(name: str, shape: tuple[int, int], dtype: type) -> None:
    x = _input(dtype, shape[0] * shape[1]).reshape(shape)
    grad = np.random.default_rng(8).normal(size=shape).astype(dtype)
    before, digests = _core.tier(), set()
    try:
        for tier in _core.tiers():
            _core.select_tier(tier)
            for threads in (1, 3) if tier == "scalar" else (1, 2, 3, 4, 8):
                mlpeak.set_num_threads(threads)
                y = getattr(kernels, name)(x)
                digests.add(_digest([y, getattr(kernels, f"{name}_backward")(grad, y)]))
    finally:
        _core.select_tier(before)
    assert len(digests) == 1


@pytest.mark.parametrize("name", ROWS)
def test_softmax_works_in_place_and_on_any_shape(backend: str, name: str) -> None:
    function = getattr(kernels, name)
    backward = getattr(kernels, f"{name}_backward")
    x = np.random.default_rng(9).normal(size=(2, 3, 5)).astype(np.float32)
    expected = function(x)
    np.testing.assert_array_equal(function(np.moveaxis(x, 0, 1)), np.moveaxis(expected, 0, 1))
    grad_input = backward(x, expected)
    in_place = x.copy()
    assert function(in_place, out=in_place) is in_place
    np.testing.assert_array_equal(in_place, expected)
    for of in (0, 1):
        arrays = [x.copy(), expected.copy()]
        backward(*arrays, out=arrays[of])
        np.testing.assert_array_equal(arrays[of], grad_input)
    for shape in ((0,), (0, 4), (4, 0)):
        assert function(np.zeros(shape)).shape == shape
        assert backward(np.zeros(shape), np.zeros(shape)).shape == shape
    with pytest.raises(ValueError, match=rf"{name}: x has shape \(\); expected at least one"):
        function(np.array(1.0))
    with pytest.raises(ValueError, match=rf"{name}_backward: grad_output has shape \(\)"):
        backward(np.array(1.0), np.array(1.0))


# ---- arguments -----------------------------------------------------------------------------------


@each_case
def test_in_place_gives_the_same(backend: str, case: Case) -> None:
    x = _input(np.float32, 33)
    grad = np.random.default_rng(10).normal(size=33).astype(np.float32)
    y, grad_input = _run(kernels, case, x, grad)
    out = x.copy()
    assert getattr(kernels, case.name)(out, **case.params, out=out) is out
    np.testing.assert_array_equal(out, y)
    backward = getattr(kernels, f"{case.name}_backward")
    for of in (0, 1):
        arrays = [grad.copy(), (y if case.saves == "y" else x).copy()]
        assert backward(*arrays, **case.params, out=arrays[of]) is arrays[of]
        np.testing.assert_array_equal(arrays[of], grad_input)


ALL = [(case.name, case.saves) for case in CASES if case.params == {}]
ALL += [("softmax", "y"), ("log_softmax", "y")]


@pytest.mark.parametrize("name", [name for name, _ in ALL])
def test_forward_refuses_bad_arrays(backend: str, name: str) -> None:
    function = getattr(kernels, name)
    x = np.ones((2, 4), np.float32)
    out = np.full((2, 4), 7.0, np.float32)
    with pytest.raises(TypeError, match=f"{name}: x is list"):
        function([1.0])
    with pytest.raises(TypeError, match=f"{name}: x has dtype float16"):
        function(x.astype(np.float16))
    with pytest.raises(TypeError, match=f"{name}: out has dtype float32; expected float64"):
        function(x.astype(np.float64), out=out)
    with pytest.raises(ValueError, match=rf"{name}: out has shape \(2, 4\); expected \(4, 2\)"):
        function(x.reshape(4, 2), out=out)
    with pytest.raises(ValueError, match=f"{name}: out is not C-contiguous"):
        function(x, out=np.asfortranarray(out))
    buffer = np.ones(9, np.float32)
    with pytest.raises(ValueError, match=f"{name}: out shares memory with x"):
        function(buffer[:8], out=buffer[1:])
    out.flags.writeable = False
    with pytest.raises(ValueError, match=f"{name}: out is read-only"):
        function(x, out=out)
    assert (out == 7.0).all()
    assert (buffer == 1.0).all()


@pytest.mark.parametrize(("name", "saves"), ALL)
def test_backward_refuses_bad_arrays(backend: str, name: str, saves: str) -> None:
    name = f"{name}_backward"
    function = getattr(kernels, name)
    grad = np.ones((2, 4), np.float32)
    with pytest.raises(TypeError, match=f"{name}: grad_output is NoneType"):
        function(None, grad)
    with pytest.raises(TypeError, match=f"{name}: {saves} has dtype float64; expected float32"):
        function(grad, grad.astype(np.float64))
    with pytest.raises(
        ValueError, match=rf"{name}: {saves} has shape \(4, 2\); expected the shape"
    ):
        function(grad, grad.reshape(4, 2))
    with pytest.raises(ValueError, match=f"{name}: out has shape"):
        function(grad, grad, out=np.ones(8, np.float32))
    buffer = np.ones(9, np.float32)
    with pytest.raises(ValueError, match=f"{name}: out shares memory with grad_output"):
        function(buffer[:8], grad.ravel(), out=buffer[1:])
    with pytest.raises(ValueError, match=f"{name}: out shares memory with {saves}"):
        function(grad.ravel(), buffer[:8], out=buffer[1:])
    assert (buffer == 1.0).all()


BAD_PARAMETERS = (
    ("leaky_relu", "negative_slope", (-0.1, np.nan, np.inf), "a finite number >= 0"),
    ("elu", "alpha", (0.0, -1.0, np.nan, np.inf), "a finite number > 0"),
    ("softplus", "beta", (0.0, -1.0, np.nan, np.inf), "a finite number > 0"),
    ("softplus", "threshold", (np.nan, np.inf), "a finite number"),
)


@pytest.mark.parametrize(("name", "parameter", "values", "legal"), BAD_PARAMETERS)
def test_bad_parameters_are_refused(
    backend: str, name: str, parameter: str, values: tuple[float, ...], legal: str
) -> None:
    x = np.ones(3, np.float32)
    for value in values:
        with pytest.raises(ValueError, match=f"^{name}: {parameter} is .*; expected {legal}"):
            getattr(kernels, name)(x, **{parameter: value}, out=x)
        with pytest.raises(ValueError, match=f"^{name}_backward: {parameter} is "):
            getattr(kernels, f"{name}_backward")(x, x, **{parameter: value}, out=x)
    assert (x == 1).all()


# ---- PyTorch -------------------------------------------------------------------------------------


@each_dtype
@each_case
def test_agrees_with_pytorch(case: Case, dtype: type) -> None:
    # both within a few epsilon of the truth, absolute against the input as for gelu above; where
    # torch forms 1 - tanh^2 or e^x / (1 + e^x) its own error is up to 16 epsilon |x|
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    special: dict[str, Callable[..., Any]] = {
        "identity": lambda x: x * 1,
        "gelu_tanh": lambda x: functional.gelu(x, approximate="tanh"),
        "log_sigmoid": functional.logsigmoid,
        "sigmoid": torch.sigmoid,
        "tanh": torch.tanh,
    }
    function = special.get(case.name) or getattr(functional, case.name)
    x = _input(dtype, 1000)
    grad = np.random.default_rng(11).normal(size=x.shape).astype(dtype)
    t = torch.tensor(x, requires_grad=True)
    expected = function(t, **case.params)
    expected.backward(torch.tensor(grad))
    y, grad_input = _run(kernels, case, x, grad)
    bound = 16 * np.finfo(dtype).eps * (1 + np.abs(x))
    assert (np.abs(y - expected.detach().numpy()) <= bound).all()
    assert (np.abs(grad_input - t.grad.numpy()) <= bound * np.abs(grad)).all()


@each_dtype
@pytest.mark.parametrize("name", ROWS)
def test_softmax_agrees_with_pytorch(name: str, dtype: type) -> None:
    torch = pytest.importorskip("torch")
    x = _input(dtype, 600).reshape(6, 100)
    grad = np.random.default_rng(12).normal(size=x.shape).astype(dtype)
    t = torch.tensor(x, requires_grad=True)
    expected = getattr(torch, name)(t, dim=-1)
    expected.backward(torch.tensor(grad))
    y = getattr(kernels, name)(x)
    grad_input = getattr(kernels, f"{name}_backward")(grad, y)
    # the differences to the largest of the row reach 100 and are rounded; sums as above, twice
    bound = 2 * np.finfo(dtype).eps * (np.ptp(x) + 2 * _sum_error(100))
    assert (np.abs(y - expected.detach().numpy()) <= bound).all()
    assert (np.abs(grad_input - t.grad.numpy()) <= bound * np.abs(grad).sum(axis=1).max()).all()
