"""Optimizer updates: every tier against the reference, PyTorch, and their bits."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pytest

import mlpeak
from mlpeak import _core, kernels, reference

DTYPES = [np.float32, np.float64]
SIZES = [0, 1, 7, 8, 9, 15, 16, 17, 31, 33, 63, 64, 65, 1023, 1025]

# function, state arrays, options: every code path of every update
CASES: list[tuple[str, tuple[str, ...], dict[str, Any]]] = [
    ("sgd", (), {}),
    ("sgd", (), {"weight_decay": 0.1, "maximize": True}),
    ("sgd", ("momentum_buffer",), {"momentum": 0.9}),
    ("sgd", ("momentum_buffer",), {"momentum": 0.9, "dampening": 0.5, "weight_decay": 0.1}),
    ("sgd", ("momentum_buffer",), {"momentum": 0.9, "nesterov": True, "maximize": True}),
    ("sgd", ("momentum_buffer",), {"momentum": 0.9, "dampening": 0.5, "first": True}),
    ("adam", ("exp_avg", "exp_avg_sq"), {"step": 1}),
    ("adam", ("exp_avg", "exp_avg_sq"), {"step": 3, "weight_decay": 0.1, "maximize": True}),
    ("adam", ("exp_avg", "exp_avg_sq"), {"step": 9, "weight_decay": 0.1, "decoupled": True}),
    ("adam", ("exp_avg", "exp_avg_sq"), {"step": 2, "betas": (0.0, 0.5), "eps": 0.1}),
    ("adam", ("exp_avg", "exp_avg_sq"), {"step": 2, "betas": (0.3, 0.2), "weight_decay": 0.1}),
    ("adam", ("exp_avg", "exp_avg_sq", "max_exp_avg_sq"), {"step": 4}),
    ("rmsprop", ("square_avg",), {}),
    ("rmsprop", ("square_avg",), {"alpha": 0.5, "weight_decay": 0.1, "maximize": True}),
    ("rmsprop", ("square_avg", "momentum_buffer"), {"momentum": 0.9, "eps": 0.1}),
    ("rmsprop", ("square_avg", "grad_avg"), {}),
    ("rmsprop", ("square_avg", "momentum_buffer", "grad_avg"), {"momentum": 0.9}),
    ("adagrad", ("state_sum",), {"step": 1}),
    ("adagrad", ("state_sum",), {"step": 5, "lr_decay": 0.5, "weight_decay": 0.1, "eps": 0.1}),
    ("adagrad", ("state_sum",), {"step": 2, "maximize": True}),
]
IDS = ["-".join([c[0], *c[1], *c[2]]) for c in CASES]
POSITIVE = {"exp_avg_sq", "max_exp_avg_sq", "square_avg", "state_sum"}


def make(states: tuple[str, ...], shape: Any, dtype: Any) -> dict[str, np.ndarray]:
    """Arrays of an update: normal, and in [1, 2] where they hold squares."""
    rng = np.random.default_rng(0)
    arrays = {
        name: rng.uniform(1, 2, shape) if name in POSITIVE else rng.standard_normal(shape)
        for name in ("param", "grad", *states)
    }
    if "grad_avg" in arrays:
        arrays["grad_avg"] = arrays["grad_avg"].clip(-0.7, 0.7)  # keeps the variance above 0.4
    return {name: np.array(a, dtype) for name, a in arrays.items()}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("function", "states", "options"), CASES, ids=IDS)
def test_update_matches_reference(
    tier: str, dtype: Any, function: str, states: tuple[str, ...], options: dict[str, Any]
) -> None:
    # An array is the result of at most 16 roundings, scalars included, of quantities below 8:
    # normals are below 4, lr is 0.1 and denominators are above 0.6 (but for 1 - beta2^t, below).
    bound = 16 * 8 * np.finfo(dtype).eps
    for n in SIZES:
        got, want = make(states, n, dtype), make(states, n, dtype)
        getattr(kernels, function)(**got, lr=0.1, **options)
        getattr(reference, function)(**want, lr=0.1, **options)
        for name in got:
            np.testing.assert_allclose(got[name], want[name], rtol=0, atol=bound, err_msg=name)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("function", "states", "options"), CASES, ids=IDS)
def test_bits_do_not_depend_on_tier_or_threads(
    dtype: Any, function: str, states: tuple[str, ...], options: dict[str, Any]
) -> None:
    digests = set()
    start = make(states, 200_003, dtype)  # above the serial limit even for three arrays
    for name in _core.tiers():
        _core.select_tier(name)
        for threads in (1, 2, 3, 4, 8):
            mlpeak.set_num_threads(threads)
            arrays = {key: a.copy() for key, a in start.items()}
            getattr(kernels, function)(**arrays, lr=0.1, **options)
            digest = hashlib.sha256()
            for a in arrays.values():
                digest.update(a.tobytes())
            digests.add(digest.hexdigest())
    assert len(digests) == 1


TORCH = [
    ("SGD", {}),
    ("SGD", {"momentum": 0.9}),
    ("SGD", {"momentum": 0.9, "dampening": 0.5, "weight_decay": 0.1}),
    ("SGD", {"momentum": 0.9, "nesterov": True, "maximize": True}),
    ("SGD", {"weight_decay": 0.1, "maximize": True}),
    ("Adam", {}),
    ("Adam", {"amsgrad": True, "betas": (0.5, 0.9)}),
    ("Adam", {"weight_decay": 0.1, "eps": 1e-3}),
    ("Adam", {"maximize": True, "betas": (0.0, 0.99)}),
    ("AdamW", {"weight_decay": 0.1}),
    ("AdamW", {"weight_decay": 0.1, "amsgrad": True, "maximize": True}),
    ("RMSprop", {}),
    ("RMSprop", {"alpha": 0.9, "eps": 1e-3, "weight_decay": 0.1}),
    ("RMSprop", {"momentum": 0.9}),
    ("RMSprop", {"centered": True, "maximize": True}),
    ("RMSprop", {"centered": True, "momentum": 0.9, "weight_decay": 0.1}),
    ("Adagrad", {}),
    ("Adagrad", {"lr_decay": 0.1, "weight_decay": 0.1}),
    ("Adagrad", {"initial_accumulator_value": 0.5, "eps": 1e-3, "maximize": True}),
]


def step_of(name: str, options: dict[str, Any], param: np.ndarray) -> Any:
    """A function(grad, step) that does what the optimizer of this name in torch does."""
    o = dict(options)

    def zeros() -> np.ndarray:
        return np.zeros_like(param)

    if name == "SGD":
        buffer = np.full_like(param, np.nan) if o.get("momentum") else None
        return lambda g, t: kernels.sgd(param, g, buffer, lr=0.05, first=t == 1, **o)
    if name in ("Adam", "AdamW"):
        states = [zeros() for _ in range(3 if o.pop("amsgrad", False) else 2)]
        o["decoupled"] = name == "AdamW"
        return lambda g, t: kernels.adam(param, g, *states, step=t, lr=0.05, **o)
    if name == "RMSprop":
        average = zeros() if o.pop("centered", False) else None
        buffer = zeros() if o.get("momentum") else None
        square = zeros()
        return lambda g, t: kernels.rmsprop(param, g, square, buffer, average, lr=0.05, **o)
    total = np.full_like(param, o.pop("initial_accumulator_value", 0.0))
    return lambda g, t: kernels.adagrad(param, g, total, step=t, lr=0.05, **o)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("name", "options"), TORCH)
def test_ten_steps_match_torch(
    backend: str, dtype: Any, name: str, options: dict[str, Any]
) -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(1)
    param = rng.uniform(-1, 1, (5, 13)).astype(dtype)
    theirs = torch.tensor(param.copy(), requires_grad=True)
    optimizer = getattr(torch.optim, name)([theirs], lr=0.05, **options)
    step = step_of(name, options, param)
    for t in range(1, 11):
        # 0.5 <= |g|, so that weight decay never cancels it and ratios g / sqrt(v) keep their digits
        grad = rng.choice([-1, 1], param.shape) * rng.uniform(0.5, 2, param.shape)
        theirs.grad = torch.tensor(grad.astype(dtype))
        optimizer.step()
        step(grad.astype(dtype), t)
    # 10 steps of at most 16 roundings on each side, of quantities below 8
    np.testing.assert_allclose(
        param, theirs.detach().numpy(), rtol=0, atol=10 * 2 * 16 * 8 * np.finfo(dtype).eps
    )


def test_bias_correction_of_late_steps(backend: str) -> None:
    for step in (1, 2, 1000, 10**6, 10**12):
        param, grad = np.zeros(1), np.ones(1)
        kernels.adam(param, grad, np.ones(1), np.ones(1), step=step, lr=1.0, eps=0.0)
        # both averages stay 1; exact corrections by expm1 and log1p
        m = -np.expm1(step * np.log1p(-0.1))
        v = -np.expm1(step * np.log1p(-0.001))
        np.testing.assert_allclose(param, -np.sqrt(v) / m, rtol=1e-12)


def test_momentum_needs_no_buffer_where_it_is_zero(backend: str) -> None:
    untouched = np.full(3, 7.0)
    for buffer in (None, untouched):
        param = np.ones(3)
        kernels.sgd(param, np.ones(3), buffer, lr=0.5)
        np.testing.assert_array_equal(param, 0.5)
        kernels.rmsprop(param, np.ones(3), np.zeros(3), buffer, lr=0.5)
    np.testing.assert_array_equal(untouched, 7)


@pytest.mark.parametrize("dtype", DTYPES)
def test_nan_reaches_the_parameter_and_stays(tier: str, dtype: Any) -> None:
    for function, states, options in CASES:
        arrays = make(states, 19, dtype)
        arrays["grad"][17] = np.nan
        options = {**options, "lr": 0.1}
        getattr(kernels, function)(**arrays, **options)
        arrays["grad"][17] = 1.0
        getattr(kernels, function)(
            **arrays, **{**options, "step": 9} if "step" in options else options
        )
        assert np.isnan(arrays["param"][17]), (function, states)
        assert np.isfinite(np.delete(arrays["param"], 17)).all()


def test_centered_rmsprop_survives_a_constant_gradient(tier: str) -> None:
    param, square, average = (np.zeros(1000, np.float32) for _ in range(3))
    grad = np.random.default_rng(2).standard_normal(1000).astype(np.float32)
    for _ in range(300):
        kernels.rmsprop(param, grad, square, None, average, lr=1e-3, alpha=0.9)
    assert np.isfinite(param).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_bits_do_not_depend_on_where_arrays_begin(tier: str, dtype: Any) -> None:
    # 5000 elements: long enough that registers are made to begin with cache lines of the parameter
    for function, states, options in CASES:
        want = make(states, 5000, dtype)
        shifted = {}
        for i, (name, a) in enumerate(want.items()):
            shifted[name] = np.empty(5016, dtype)[3 + i : 5003 + i]
            shifted[name][:] = a
        for arrays in (want, shifted):
            getattr(kernels, function)(**arrays, lr=0.1, **options)
        for name, a in want.items():
            np.testing.assert_array_equal(shifted[name], a, err_msg=f"{function} {name}")


@pytest.mark.parametrize("dtype", DTYPES)
def test_an_average_below_normal_numbers_counts_as_one(backend: str, dtype: Any) -> None:
    tiny = np.finfo(dtype).tiny
    m, lr = 1e-10 * np.sqrt(tiny), 0.5
    for v in (0.0, tiny / 1000, tiny):
        param, grad = np.zeros(2, dtype), np.zeros(2, dtype)
        exp_avg, exp_avg_sq = np.array([0, m], dtype), np.full(2, v, dtype)
        kernels.adam(param, grad, exp_avg, exp_avg_sq, step=10**9, lr=lr, eps=0.0)
        np.testing.assert_allclose(param, [0, -lr * 0.9e-10], rtol=1e-5, err_msg=str(v))
        kernels.rmsprop(param, grad, np.full(2, v, dtype), lr=lr, eps=0.0)
        np.testing.assert_allclose(param, [0, -lr * 0.9e-10], rtol=1e-5, err_msg=str(v))


def test_any_shape_and_a_strided_gradient(backend: str) -> None:
    scalar = np.array(1.0)
    kernels.sgd(scalar, np.array(2.0), lr=0.25)
    assert scalar == 0.5
    param = np.zeros((3, 4), np.float32)
    kernels.sgd(param, np.arange(24, dtype=np.float32).reshape(4, 6).T[::2], lr=1.0)
    np.testing.assert_array_equal(param, -np.arange(24).reshape(4, 6).T[::2])


def ones(*shape: int, dtype: Any = np.float64) -> np.ndarray:
    return np.ones(shape, dtype)


def read_only() -> np.ndarray:
    a = ones(3)
    a.flags.writeable = False
    return a


ADAM = {"exp_avg": ones(3), "exp_avg_sq": ones(3), "step": 1}
RMSPROP = {"square_avg": ones(3)}
ADAGRAD = {"state_sum": ones(3), "step": 1}
WRONG: list[tuple[str, dict[str, Any], type[Exception], str]] = [
    ("sgd", {"grad": ones(4)}, ValueError, r"grad has shape \(4,\).*\(3,\)"),
    ("sgd", {"grad": [1.0, 1.0, 1.0]}, TypeError, "grad is list; expected a numpy.ndarray"),
    ("sgd", {"grad": ones(3, dtype=np.float32)}, TypeError, "grad has dtype float32"),
    ("sgd", {"param": ones(3, dtype=np.int64)}, TypeError, "param has dtype int64"),
    ("sgd", {"param": read_only()}, ValueError, "param is read-only"),
    ("sgd", {"param": ones(6)[::2]}, ValueError, "param is not C-contiguous"),
    ("sgd", {"lr": -1.0}, ValueError, "lr is -1.0; expected a finite number >= 0"),
    ("sgd", {"lr": float("nan")}, ValueError, "lr is nan"),
    ("sgd", {"lr": float("inf")}, ValueError, "lr is inf"),
    ("sgd", {"weight_decay": -0.1}, ValueError, "weight_decay is -0.1"),
    ("sgd", {"momentum": -0.1}, ValueError, "momentum is -0.1"),
    ("sgd", {"momentum": 0.9}, ValueError, "momentum_buffer is None"),
    ("sgd", {"nesterov": True}, ValueError, "nesterov is True; expected momentum > 0"),
    (
        "sgd",
        {"momentum_buffer": ones(3), "momentum": 0.9, "dampening": 0.1, "nesterov": True},
        ValueError,
        "nesterov is True.*dampening 0",
    ),
    ("sgd", {"momentum_buffer": ones(2), "momentum": 0.9}, ValueError, "momentum_buffer has shape"),
    ("adam", {**ADAM, "exp_avg": None}, TypeError, "exp_avg is NoneType"),
    ("adam", {**ADAM, "exp_avg_sq": ones(3, 1)}, ValueError, "exp_avg_sq has shape"),
    ("adam", {**ADAM, "exp_avg_sq": read_only()}, ValueError, "exp_avg_sq is read-only"),
    ("adam", {**ADAM, "max_exp_avg_sq": ones(2)}, ValueError, "max_exp_avg_sq has shape"),
    ("adam", {**ADAM, "betas": (1.0, 0.9)}, ValueError, r"betas\[0\] is 1.0; .*\[0, 1\)"),
    ("adam", {**ADAM, "betas": (0.9, -0.5)}, ValueError, r"betas\[1\] is -0.5"),
    ("adam", {**ADAM, "eps": -1e-8}, ValueError, "eps is -1e-08"),
    ("adam", {**ADAM, "step": 0}, ValueError, "step is 0; expected 1"),
    ("rmsprop", {**RMSPROP, "alpha": 1.5}, ValueError, r"alpha is 1.5; .*\[0, 1\]"),
    ("rmsprop", {**RMSPROP, "momentum": 0.5}, ValueError, "momentum_buffer is None"),
    ("rmsprop", {**RMSPROP, "grad_avg": ones(2)}, ValueError, "grad_avg has shape"),
    ("adagrad", {**ADAGRAD, "lr_decay": -1.0}, ValueError, "lr_decay is -1.0"),
    ("adagrad", {**ADAGRAD, "step": -3}, ValueError, "step is -3"),
    ("adagrad", {**ADAGRAD, "state_sum": ones(3, dtype=np.float32)}, TypeError, "state_sum has"),
]


@pytest.mark.parametrize(("function", "kwargs", "error", "text"), WRONG)
def test_wrong_input_is_named_and_nothing_written(
    backend: str, function: str, kwargs: dict[str, Any], error: type[Exception], text: str
) -> None:
    arguments = {"param": ones(3), "grad": ones(3), "lr": 0.1, **kwargs}
    with pytest.raises(error, match=f"{function}: {text}"):
        getattr(kernels, function)(**arguments)
    for name, value in arguments.items():
        if isinstance(value, np.ndarray):
            np.testing.assert_array_equal(value, 1, err_msg=name)


@pytest.mark.parametrize(
    ("pair", "text"),
    [
        (("param", "grad"), "param shares memory with grad"),
        (("exp_avg", "grad"), "exp_avg shares memory with grad"),
        (("exp_avg", "param"), "exp_avg shares memory with param"),
        (("exp_avg_sq", "exp_avg"), "exp_avg_sq shares memory with exp_avg"),
        (("max_exp_avg_sq", "param"), "max_exp_avg_sq shares memory with param"),
    ],
)
def test_arrays_that_overlap_are_refused(backend: str, pair: tuple[str, str], text: str) -> None:
    memory = np.ones(4)
    names = ("param", "grad", "exp_avg", "exp_avg_sq", "max_exp_avg_sq")
    arrays = {name: ones(3) for name in names}
    arrays[pair[0]], arrays[pair[1]] = memory[:3], memory[1:]
    with pytest.raises(ValueError, match=text):
        kernels.adam(**arrays, step=1, lr=0.1)
    for a in arrays.values():
        np.testing.assert_array_equal(a, 1)
