"""Normalisations: every tier against the reference, gradients, PyTorch, and their bits."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import mlpeak
from mlpeak import _core, kernels, reference

DTYPES = [np.float32, np.float64]
FEATURES = [1, 2, 7, 8, 9, 15, 16, 17, 31, 33, 63, 64, 65, 257]
BATCHES = [2, 3, 63, 64, 65, 129, 511, 513]  # straddle a chunk of rows, 64, and one of a mean, 512


def normal(seed: int, dtype: Any, *shapes: tuple[int, ...]) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape).astype(dtype) for shape in shapes]


def largest(*arrays: np.ndarray | None) -> float:
    return max(float(np.abs(a).max(initial=0)) for a in arrays if a is not None)


def forward_bound(terms: float, x: Any, y: Any, rstd: Any) -> float:
    """|error| of y = (x - mean) * rstd * weight + bias, the sums having `terms` roundings.

    The mean is wrong by terms * eps * max|x|, which rstd (and a weight below 4) scales; rstd is
    wrong by terms * eps relatively, as the variance's terms are positive and the mean's error
    enters it squared, and y by as much.
    """
    eps = np.finfo(x.dtype).eps
    return terms * eps * (4 * largest(x) * largest(rstd) + 4 * largest(y) + 4)


def backward_bound(terms: float, g: Any, h: Any, rstd: Any) -> float:
    """|error| of rstd * (g - mean(g) - h * mean(g*h)), the means having `terms` roundings."""
    hat = largest(h)
    return terms * np.finfo(g.dtype).eps * largest(rstd) * largest(g) * (2 + 2 * hat * hat)


def column_bound(rows: int, terms: Any) -> Any:
    """|error| of a sum over rows: at most 64 additions in a chunk, then the chunks in double."""
    eps = np.finfo(terms.dtype).eps
    return (64 + rows / 64 + 8) * eps * np.abs(terms.astype(np.float64)).sum(axis=0)


def lane_terms(n: int) -> float:
    return n / 8 + 16  # a lane adds n/8 terms at most; 4 halvings; a dozen operations around it


def close(got: np.ndarray, want: np.ndarray, bound: Any) -> None:
    assert got.dtype == want.dtype
    assert got.shape == want.shape
    error = np.abs(got.astype(np.float64) - want)
    assert np.all(error <= bound), (float(error.max()), bound)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("affine", [False, True])
def test_layer_norm_matches_reference(tier: str, dtype: Any, affine: bool) -> None:
    for n in FEATURES:
        for lead in [(), (0,), (1,), (5,), (66,), (2, 3)]:
            x, dy, w, b = normal(n, dtype, (*lead, n), (*lead, n), (n,), (n,))
            weight, bias = (w, b) if affine else (None, None)
            got = kernels.layer_norm(x, weight, bias)
            want = reference.layer_norm(x, weight, bias)
            y, mean, rstd = want
            terms = lane_terms(n)
            eps = np.finfo(dtype).eps
            close(got[0], y, forward_bound(terms, x, y, rstd))
            close(got[1], mean, terms * eps * largest(x))
            close(got[2], rstd, terms * eps * largest(rstd))

            mine = kernels.layer_norm_backward(dy, x, weight, mean, rstd)
            theirs = reference.layer_norm_backward(dy, x, weight, mean, rstd)
            h = (x - mean[..., None]) * rstd[..., None]
            g = dy * (1 if weight is None else weight)
            close(mine[0], theirs[0], backward_bound(terms, g, h, rstd))
            if weight is None:
                assert mine[1:] == (None, None) == theirs[1:]
            else:
                rows = h.size // n
                close(mine[1], theirs[1], column_bound(rows, (dy * h).reshape(-1, n)))
                close(mine[2], theirs[2], column_bound(rows, dy.reshape(-1, n)))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("affine", [False, True])
def test_rms_norm_matches_reference(tier: str, dtype: Any, affine: bool) -> None:
    for n in FEATURES:
        for lead in [(), (0,), (1,), (5,), (66,), (2, 3)]:
            x, dy, w = normal(n, dtype, (*lead, n), (*lead, n), (n,))
            weight = w if affine else None
            got, want = kernels.rms_norm(x, weight), reference.rms_norm(x, weight)
            y, rstd = want
            terms = lane_terms(n)
            close(got[0], y, terms * np.finfo(dtype).eps * largest(y))
            close(got[1], rstd, terms * np.finfo(dtype).eps * largest(rstd))

            mine = kernels.rms_norm_backward(dy, x, weight, rstd)
            theirs = reference.rms_norm_backward(dy, x, weight, rstd)
            h = x * rstd[..., None]
            g = dy * (1 if weight is None else weight)
            close(mine[0], theirs[0], backward_bound(terms, g, h, rstd))
            if weight is None:
                assert mine[1] is None is theirs[1]
            else:
                close(mine[1], theirs[1], column_bound(h.size // n, (dy * h).reshape(-1, n)))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("affine", [False, True])
def test_batch_norm_matches_reference(tier: str, dtype: Any, training: bool, affine: bool) -> None:
    for i, n in enumerate([0, *FEATURES]):
        for rows in [BATCHES[i % 8], BATCHES[(i + 3) % 8], *([] if training else [0, 1])]:
            x, dy, w, b, running_mean = normal(n, dtype, (rows, n), (rows, n), (n,), (n,), (n,))
            running_var = np.linspace(0.5, 2, n).astype(dtype)
            weight, bias = (w, b) if affine else (None, None)
            mine = [running_mean.copy(), running_var.copy()]
            theirs = [running_mean.copy(), running_var.copy()]
            got = kernels.batch_norm(x, weight, bias, *mine, training=training, momentum=0.3)
            want = reference.batch_norm(x, weight, bias, *theirs, training=training, momentum=0.3)
            y, mean, rstd = want
            terms = min(rows, 512) + 16  # additions in a chunk, and a dozen operations around it
            eps = np.finfo(dtype).eps
            close(got[0], y, forward_bound(terms, x, y, rstd))
            close(got[1], mean, terms * eps * largest(x, mean))
            close(got[2], rstd, terms * eps * largest(rstd))
            close(mine[0], theirs[0], terms * eps * largest(x, mean))
            close(mine[1], theirs[1], terms * eps * largest(theirs[1]))

            ours = kernels.batch_norm_backward(dy, x, weight, mean, rstd, training)
            ref = reference.batch_norm_backward(dy, x, weight, mean, rstd, training)
            h = (x - mean) * rstd
            scale = rstd if weight is None else rstd * weight
            close(ours[0], ref[0], backward_bound(64 + rows / 64 + 16, dy, h, scale))
            if weight is None:
                assert ours[1:] == (None, None) == ref[1:]
            else:
                close(ours[1], ref[1], column_bound(rows, dy * h))
                close(ours[2], ref[2], column_bound(rows, dy))


def test_statistics_keep_their_digits_far_from_zero(tier: str) -> None:
    """Two passes: the mean of squares less the square of the mean would lose them all."""
    x = (1e4 + np.random.default_rng(0).standard_normal((300, 300))).astype(np.float32)
    _, _, rstd = kernels.layer_norm(x)
    np.testing.assert_allclose(rstd, reference.layer_norm(x)[2], rtol=1e-5)
    _, mean, rstd = kernels.batch_norm(x)
    np.testing.assert_allclose(rstd, reference.batch_norm(x)[2], rtol=1e-6)
    np.testing.assert_allclose(mean, reference.batch_norm(x)[1], rtol=2e-7)


Forward = Callable[..., np.ndarray]
BACKWARDS: dict[str, tuple[Forward, Callable[..., Any]]] = {
    "layer_norm": (
        lambda x, w, b: kernels.layer_norm(x, w, b),
        lambda g, x, w, mean, rstd: kernels.layer_norm_backward(g, x, w, mean, rstd),
    ),
    "rms_norm": (
        lambda x, w, b: kernels.rms_norm(x, w),
        lambda g, x, w, rstd: kernels.rms_norm_backward(g, x, w, rstd),
    ),
    "batch_norm": (
        lambda x, w, b: kernels.batch_norm(x, w, b),
        lambda g, x, w, mean, rstd: kernels.batch_norm_backward(g, x, w, mean, rstd),
    ),
    "batch_norm-inference": (
        lambda x, w, b: kernels.batch_norm(x, w, b, b * 0.5, w * w, training=False),
        lambda g, x, w, mean, rstd: kernels.batch_norm_backward(g, x, w, mean, rstd, False),
    ),
}


@pytest.mark.parametrize("name", BACKWARDS)
def test_gradients_match_central_differences(backend: str, name: str) -> None:
    x, w, b, g = normal(3, np.float64, (4, 6), (6,), (6,), (4, 6))
    forward, backward = BACKWARDS[name]
    _, *saved = forward(x, w, b)
    gradients = backward(g, x, w, *saved)
    arrays = [x, w, b]
    # inference takes its statistics from w and b here, so only x is free
    for i, got in enumerate(gradients[: 1 if name == "batch_norm-inference" else 3]):
        want = np.empty_like(arrays[i])
        for j in np.ndindex(want.shape):
            # the truncation error is h^2/6 f''' and the rounding error eps/h: both near 1e-10
            sides = []
            for h in (1e-5, -1e-5):
                moved = [a.copy() for a in arrays]
                moved[i][j] += h
                sides.append(float(np.sum(g * forward(*moved)[0])))
            want[j] = (sides[0] - sides[1]) / 2e-5
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-8)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("affine", [False, True])
def test_layer_and_rms_norm_match_torch(backend: str, dtype: Any, affine: bool) -> None:
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    x, g, w, b = normal(4, dtype, (33, 100), (33, 100), (100,), (100,))
    tx, tw, tb = (torch.tensor(a, requires_grad=True) for a in (x, w, b))
    weight, bias = (w, b) if affine else (None, None)

    y, mean, rstd = kernels.layer_norm(x, weight, bias, eps=1e-3)
    gradients = kernels.layer_norm_backward(g, x, weight, mean, rstd)
    ty = functional.layer_norm(tx, (100,), *((tw, tb) if affine else (None, None)), eps=1e-3)
    ty.backward(torch.tensor(g))
    tolerance = 200 * np.finfo(dtype).eps  # 100 terms a sum on each side, quantities near 4
    np.testing.assert_allclose(y, ty.detach().numpy(), rtol=0, atol=tolerance)
    for got, leaf in zip(gradients, (tx, tw, tb), strict=True):
        if got is not None:
            np.testing.assert_allclose(got, leaf.grad.numpy(), rtol=0, atol=5 * tolerance)

    tx, tw = (torch.tensor(a, requires_grad=True) for a in (x, w))
    y, rstd = kernels.rms_norm(x, weight)
    pair = kernels.rms_norm_backward(g, x, weight, rstd)
    ty = functional.rms_norm(tx, (100,), tw if affine else None)
    ty.backward(torch.tensor(g))
    np.testing.assert_allclose(y, ty.detach().numpy(), rtol=0, atol=tolerance)
    for got, leaf in zip(pair, (tx, tw), strict=True):
        if got is not None:
            np.testing.assert_allclose(got, leaf.grad.numpy(), rtol=0, atol=5 * tolerance)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("training", [False, True])
def test_batch_norm_matches_torch(backend: str, dtype: Any, training: bool) -> None:
    torch = pytest.importorskip("torch")
    x, g, w, b = normal(5, dtype, (100, 33), (100, 33), (33,), (33,))
    module = torch.nn.BatchNorm1d(33, dtype=torch.tensor(x).dtype)
    with torch.no_grad():
        module.weight.copy_(torch.tensor(w))
        module.bias.copy_(torch.tensor(b))
        module.running_mean.copy_(torch.tensor(b) / 2)
        module.running_var.copy_(torch.tensor(w) ** 2 + 0.5)
    running_mean, running_var = b / 2, w**2 + dtype(0.5)
    module.train(training)
    tx = torch.tensor(x, requires_grad=True)
    ty = module(tx)
    ty.backward(torch.tensor(g))

    y, mean, rstd = kernels.batch_norm(x, w, b, running_mean, running_var, training)
    gradients = kernels.batch_norm_backward(g, x, w, mean, rstd, training)
    tolerance = 200 * np.finfo(dtype).eps  # 100 terms a sum on each side, quantities near 4
    np.testing.assert_allclose(y, ty.detach().numpy(), rtol=0, atol=tolerance)
    for got, leaf in zip(gradients, (tx, module.weight, module.bias), strict=True):
        np.testing.assert_allclose(got, leaf.grad.numpy(), rtol=0, atol=5 * tolerance)
    np.testing.assert_allclose(running_mean, module.running_mean, rtol=0, atol=tolerance)
    np.testing.assert_allclose(running_var, module.running_var, rtol=0, atol=tolerance)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1003, 257), (60, 5000)])
@pytest.mark.parametrize("name", BACKWARDS)
def test_bits_do_not_depend_on_tier_or_threads(name: str, dtype: Any, shape: Any) -> None:
    x, g, w, b = normal(6, dtype, shape, shape, shape[1:], shape[1:])
    forward, backward = BACKWARDS[name]
    digests = set()
    for tier in _core.tiers():
        _core.select_tier(tier)
        for threads in (1, 2, 3, 4, 8):
            mlpeak.set_num_threads(threads)
            results = forward(x, w, b)
            digest = hashlib.sha256()
            for a in (*results, *backward(g, x, w, *results[1:])):
                digest.update(a.tobytes())
            digests.add(digest.hexdigest())
    assert len(digests) == 1


def test_out_and_strided_input(backend: str) -> None:
    x, w = normal(7, np.float32, (12, 10), (20,))
    out = np.empty((6, 10), np.float32)
    for f in (kernels.layer_norm, kernels.rms_norm, kernels.batch_norm):
        y = f(x[::2], w[::2], out=out)[0]
        assert y is out
        np.testing.assert_array_equal(y, f(x[::2].copy(), w[::2].copy())[0])


def test_running_statistics_are_only_read_outside_training(backend: str) -> None:
    mean, var = np.full(3, 1.0), np.full(3, 4.0)
    mean.flags.writeable = var.flags.writeable = False
    y, m, rstd = kernels.batch_norm(np.full((1, 3), 5.0), None, None, mean, var, False, eps=0.0)
    np.testing.assert_array_equal(y, 2)
    np.testing.assert_array_equal(m, 1)
    np.testing.assert_array_equal(rstd, 0.5)
    m[:] = 7
    np.testing.assert_array_equal(mean, 1)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_row_that_is_not_finite_stays_alone(tier: str, value: float) -> None:
    x = normal(8, np.float32, (3, 20))[0]
    x[1, 18] = value
    for y in (kernels.layer_norm(x)[0], kernels.rms_norm(x)[0]):
        assert np.isnan(y[1]).any()
        assert np.isfinite(y[[0, 2]]).all()


def ones(*shape: int, dtype: Any = np.float64) -> np.ndarray:
    return np.ones(shape, dtype)


def read_only(*shape: int) -> np.ndarray:
    a = ones(*shape)
    a.flags.writeable = False
    return a


X = ones(4, 3)
STATS = {"mean": ones(4), "rstd": ones(4)}
COLUMNS = {"mean": ones(3), "rstd": ones(3)}
RUNNING = {"running_mean": ones(3), "running_var": ones(3)}
WRONG: list[tuple[str, dict[str, Any], type[Exception], str]] = [
    ("layer_norm", {"x": [1.0]}, TypeError, "x is list"),
    ("layer_norm", {"x": ones(4, 3, dtype=np.int32)}, TypeError, "x has dtype int32"),
    ("layer_norm", {"x": np.array(1.0)}, ValueError, r"x has shape \(\); .*features >= 1"),
    ("layer_norm", {"x": ones(4, 0)}, ValueError, r"x has shape \(4, 0\)"),
    ("layer_norm", {"weight": ones(4)}, ValueError, r"weight has shape \(4,\); .*\(3,\)"),
    ("layer_norm", {"bias": ones(1, 3)}, ValueError, r"bias has shape \(1, 3\)"),
    ("layer_norm", {"bias": ones(3, dtype=np.float32)}, TypeError, "bias has dtype float32"),
    ("layer_norm", {"eps": -1.0}, ValueError, "eps is -1.0"),
    ("layer_norm", {"out": ones(3, 4)}, ValueError, r"out has shape \(3, 4\)"),
    ("layer_norm", {"out": read_only(4, 3)}, ValueError, "out is read-only"),
    ("layer_norm", {"out": ones(3, 4).T}, ValueError, "out is not C-contiguous"),
    ("layer_norm", {"out": X}, ValueError, "out shares memory with x"),
    (
        "layer_norm_backward",
        {"grad_output": ones(4, 2), "weight": None, **STATS},
        ValueError,
        r"grad_output has shape \(4, 2\)",
    ),
    (
        "layer_norm_backward",
        {"grad_output": X, "weight": None, **STATS, "mean": ones(3)},
        ValueError,
        r"mean has shape \(3,\).*\(4,\)",
    ),
    (
        "layer_norm_backward",
        {"grad_output": X, "weight": None, **STATS, "rstd": ones(4, dtype=np.float32)},
        TypeError,
        "rstd has dtype float32",
    ),
    ("rms_norm", {"weight": ones(2)}, ValueError, r"weight has shape \(2,\)"),
    ("rms_norm", {"eps": float("nan")}, ValueError, "eps is nan"),
    ("rms_norm", {"out": ones(4, 3, dtype=np.float32)}, TypeError, "out has dtype float32"),
    (
        "rms_norm_backward",
        {"grad_output": X, "weight": None, "rstd": ones(4, 1)},
        ValueError,
        r"rstd has shape \(4, 1\)",
    ),
    ("batch_norm", {"x": ones(4)}, ValueError, r"x has shape \(4,\); expected \(batch, features\)"),
    ("batch_norm", {"x": ones(1, 3)}, ValueError, "x has shape .*more than 1 value per channel"),
    ("batch_norm", {"x": ones(0, 3)}, ValueError, "x has shape .*more than 1 value per channel"),
    ("batch_norm", {"training": False}, ValueError, "running_mean is None"),
    ("batch_norm", {"running_mean": ones(3)}, ValueError, "running_var is None"),
    ("batch_norm", {**RUNNING, "running_mean": ones(2)}, ValueError, "running_mean has shape"),
    ("batch_norm", {**RUNNING, "running_var": read_only(3)}, ValueError, "running_var is read"),
    ("batch_norm", {**RUNNING, "running_var": ones(6)[::2]}, ValueError, "running_var is not C"),
    ("batch_norm", {**RUNNING, "running_mean": X[0]}, ValueError, "running_mean shares .* x"),
    ("batch_norm", {**RUNNING, "momentum": 1.5}, ValueError, r"momentum is 1.5; .*\[0, 1\]"),
    ("batch_norm", {**RUNNING, "eps": -1e-5}, ValueError, "eps is -1e-05"),
    (
        "batch_norm_backward",
        {"grad_output": X, "weight": ones(2), **COLUMNS},
        ValueError,
        "weight has shape",
    ),
    (
        "batch_norm_backward",
        {"grad_output": X, "weight": None, **COLUMNS, "mean": ones(4)},
        ValueError,
        "mean has shape",
    ),
]


@pytest.mark.parametrize(("function", "kwargs", "error", "text"), WRONG)
def test_wrong_input_is_named_and_nothing_written(
    backend: str, function: str, kwargs: dict[str, Any], error: type[Exception], text: str
) -> None:
    arguments = {"x": X, **kwargs}
    with pytest.raises(error, match=f"{function}: {text}"):
        getattr(kernels, function)(**arguments)
    for name, value in arguments.items():
        if isinstance(value, np.ndarray):
            np.testing.assert_array_equal(value, 1, err_msg=name)


def test_running_statistics_that_overlap_are_refused(backend: str) -> None:
    memory = np.ones(5)
    with pytest.raises(ValueError, match="running_var shares memory with running_mean"):
        kernels.batch_norm(X, None, None, memory[:3], memory[2:])
    out = np.ones((4, 3))
    with pytest.raises(ValueError, match="out shares memory with running_mean"):
        kernels.batch_norm(X, None, None, out[0], np.ones(3), out=out)
    np.testing.assert_array_equal(memory, 1)
    np.testing.assert_array_equal(out, 1)
