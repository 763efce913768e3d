"""Tensors against PyTorch: values, gradients, dtypes, creation, printing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import mlpeak
from mlpeak import tensor
from tensor_cases import CASES, Case, run


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_values_and_gradients_match_torch(case: Case, dtype: Any) -> None:
    torch = pytest.importorskip("torch")
    output, grads = run(mlpeak, case, dtype)
    expected, expected_grads = run(torch, case, dtype)
    # up to 120 terms of size <= 4, each within a few roundings of both libraries
    tolerance = 128 * np.finfo(dtype).eps
    pairs = [(output, expected), *zip(grads, expected_grads, strict=True)]
    for got, want in pairs:
        got, want = np.asarray(got), np.asarray(want)
        assert got.dtype == want.dtype
        assert got.shape == want.shape
        np.testing.assert_allclose(got, want, rtol=tolerance, atol=4 * tolerance)


INTEGER_CASES = [
    ("argmax", lambda m, x: x.argmax()),
    ("argmax 1", lambda m, x: x.argmax(1)),
    ("argmax keep", lambda m, x: x.argmax(dim=-1, keepdim=True)),
    ("argmin 0", lambda m, x: x.argmin(0)),
    ("max indices", lambda m, x: x.max(1).indices),
    ("min indices", lambda m, x: x.min(0, keepdim=True).indices),
    ("argsort", lambda m, x: x.argsort(1)),
    ("argsort descending", lambda m, x: m.argsort(x, dim=0, descending=True, stable=True)),
    ("topk indices", lambda m, x: (x * 9 + m.arange(4)).topk(3)[1]),
    ("any", lambda m, x: (x > 2).any()),
    ("any 0", lambda m, x: (x > 1).any(0)),
    ("all", lambda m, x: (x > -9).all()),
    ("all 1 keep", lambda m, x: (x > 0).all(1, keepdim=True)),
    ("comparison", lambda m, x: (x >= 1) & (x != 2) | ~(x < 3) ^ (x <= 0)),
    ("eq", lambda m, x: x == x.T.reshape(x.shape)),
    ("logical", lambda m, x: m.logical_and(x > 0, x) | m.logical_not(x)),
    ("xor", lambda m, x: m.logical_xor(x > 0, x < 2)),
    ("count", lambda m, x: m.count_nonzero(x)),
    ("sum of bool", lambda m, x: (x > 0).sum()),
    ("sum", lambda m, x: x.sum(0)),
    ("mean of float", lambda m, x: x.float().mean()),
    ("prod", lambda m, x: x.prod(1)),
    ("cumsum", lambda m, x: x.cumsum(0)),
    ("floor divide", lambda m, x: x // 2),
    ("floor divide negative", lambda m, x: x // -3),
    ("remainder", lambda m, x: x % 3),
    ("remainder negative", lambda m, x: x % -3),
    ("true divide", lambda m, x: x / 2),
    ("div trunc", lambda m, x: m.div(x, -2, rounding_mode="trunc")),
    ("div floor", lambda m, x: m.div(x.float(), -2, rounding_mode="floor")),
    ("div trunc large", lambda m, x: m.div(x + 16777217, 1, rounding_mode="trunc") - 16777216),
    ("div trunc signs", lambda m, x: m.div(x, m.tensor([2, -2, 3, -3]), rounding_mode="trunc")),
    ("div trunc int8", lambda m, x: m.div(x.to(m.int8) * 32, -1, rounding_mode="trunc")),
    ("round of int", lambda m, x: x.round() + x.floor() + x.ceil() + x.trunc()),
    ("pow_", lambda m, x: x.int().pow_(2)),
    ("clamp nan", lambda m, x: m.clamp(x.float(), m.tensor(float("nan")))),
    ("clamp of nan", lambda m, x: m.clamp((x - 2) / (x - 2), min=0.0, max=m.tensor(0.5))),
    ("empty product", lambda m, x: m.zeros(2, 0) @ m.zeros(0, 3)),
    ("empty products", lambda m, x: m.zeros(4, 2, 0) @ m.zeros(0, 3)),
    ("logsumexp of nothing", lambda m, x: m.zeros(2, 0).logsumexp(1)),
    ("logsumexp keep", lambda m, x: m.zeros(2, 0).logsumexp(1, keepdim=True)),
    ("where of 0-d", lambda m, x: m.where(m.tensor(True))[0]),
    ("flip of 0-d", lambda m, x: m.tensor(2.0).flip(0)),
    ("movedim of 0-d", lambda m, x: m.tensor(2.0).movedim(0, -1)),
    ("relu of int", lambda m, x: m.nn.functional.relu(x)),
    ("sigmoid of int", lambda m, x: m.nn.functional.sigmoid(x)),
    ("tanh of int", lambda m, x: m.nn.functional.tanh(x)),
    ("pow", lambda m, x: x**3),
    ("pow float", lambda m, x: (x * x) ** 0.5),
    ("abs", lambda m, x: x.abs()),
    ("sign", lambda m, x: x.sign()),
    ("clamp", lambda m, x: x.clamp(0, 2)),
    ("relu", lambda m, x: x.relu()),
    ("matmul", lambda m, x: x @ x.T),
    ("exp of int", lambda m, x: x.exp()),
    ("bitwise", lambda m, x: (x & 3) | (x ^ 1)),
    ("masked_fill", lambda m, x: x.masked_fill(x > 1, 0)),
    ("nonzero", lambda m, x: m.nonzero(x)),
    ("where", lambda m, x: m.where(x > 0)[1]),
    ("where numbers", lambda m, x: m.where(x > 0, 1.0, 0.0)),
    ("plus float", lambda m, x: x + 0.5),
    ("plus bool", lambda m, x: x + True),
    ("bool plus int", lambda m, x: (x > 0) + 1),
    ("bool times float", lambda m, x: (x > 0) * 0.5),
    ("plus float32", lambda m, x: x + m.ones(4)),
    ("uint8", lambda m, x: x.abs().to(m.uint8) + 1),
    ("uint8 + int32", lambda m, x: x.abs().to(m.uint8) + x.int()),
    ("double", lambda m, x: x.double() + m.ones(4)),
    ("double 0-d", lambda m, x: x.float() + m.tensor(1.0, dtype=m.float64)),
    ("int 0-d", lambda m, x: x.int() + m.tensor(1)),
    ("float 0-d", lambda m, x: x + m.tensor(1.5, dtype=m.float64)),
    ("bool", lambda m, x: x.bool()),
    ("long", lambda m, x: (x / 2).long()),
    ("round", lambda m, x: (x / 2).round() + (x / 4).floor() - (x / 4).ceil() + (x / 2).trunc()),
    ("isnan", lambda m, x: (x.float() / 0).isnan()),
    ("isinf", lambda m, x: (x.float() / 0).isinf()),
    ("isfinite", lambda m, x: m.isfinite(x / x)),
    ("isclose", lambda m, x: m.isclose(x / 3, x * 0.33333, rtol=1e-3)),
    ("cat mixed", lambda m, x: m.cat([x, x.float()])),
    ("scatter one-hot", lambda m, x: m.zeros(3, 5).scatter_(1, x[:, 1:2] % 5, 1.0)),
]


@pytest.mark.parametrize(("name", "function"), INTEGER_CASES, ids=[c[0] for c in INTEGER_CASES])
def test_integers_and_truth_values_match_torch(name: str, function: Any) -> None:
    torch = pytest.importorskip("torch")
    values = [[3, -1, 0, 2], [-4, 5, 2, 2], [1, 1, -2, 0]]
    got = function(mlpeak, mlpeak.tensor(values))
    want = function(torch, torch.tensor(values))
    assert np.asarray(got).dtype == np.asarray(want).dtype
    np.testing.assert_allclose(np.asarray(got), np.asarray(want), rtol=1e-6)


CREATION_CASES = [
    lambda m: m.zeros(2, 3),
    lambda m: m.zeros((2, 3), dtype=m.int64),
    lambda m: m.ones([4]),
    lambda m: m.ones(()),
    lambda m: m.full((2, 2), 3),
    lambda m: m.full((2,), 2.5),
    lambda m: m.full((2,), True),
    lambda m: m.eye(3),
    lambda m: m.eye(2, 3, dtype=m.float64),
    lambda m: m.arange(5),
    lambda m: m.arange(2, 9, 3),
    lambda m: m.arange(5, 0, -2),
    lambda m: m.arange(0, 1, 0.25),
    lambda m: m.arange(3.0),
    lambda m: m.arange(3, dtype=m.float32),
    lambda m: m.linspace(0, 1, 5),
    lambda m: m.zeros_like(m.ones(2, 3, dtype=m.float64)),
    lambda m: m.ones_like(m.arange(3)),
    lambda m: m.full_like(m.arange(3), 7),
    lambda m: m.full_like(m.arange(3), 1.5, dtype=m.float32),
    lambda m: m.tensor([[1, 2], [3, 4]]),
    lambda m: m.tensor([1, 2.5]),
    lambda m: m.tensor([True, False]),
    lambda m: m.tensor(3),
    lambda m: m.tensor([]),
    lambda m: m.tensor([1, 2], dtype=m.float),
    lambda m: m.tensor([1, 2], dtype=float),
    lambda m: m.tensor(np.arange(3.0)),
    lambda m: m.tensor(np.float32(2)),
    lambda m: m.tensor([m.tensor(1.0), m.tensor(2.0)]),
    lambda m: m.tensor([m.tensor(1.0, dtype=m.float64), 2.0]),
    lambda m: m.tensor([1.0, m.tensor(1.0, dtype=m.float64)]),
    lambda m: m.tensor([[m.tensor(1, dtype=m.int32)], [m.tensor(2.0)]]),
    lambda m: m.tensor([m.tensor(1, dtype=m.int32)]),
    lambda m: m.tensor([2, m.tensor(1, dtype=m.int32)]),
    lambda m: m.tensor([2, np.float64(1)]),
    lambda m: m.tensor([np.float32(1), 2]),
    lambda m: m.tensor([np.int32(1), 2]),
    lambda m: m.tensor([np.uint8(1)]),
    lambda m: m.tensor([True, 2]),
    lambda m: m.tensor([[], []]),
    lambda m: m.tensor(-1, dtype=m.uint8),
    lambda m: m.tensor([1.5, -127.5], dtype=m.int8),
    lambda m: m.tensor(2**31, dtype=m.float32),
    lambda m: m.tensor(float("inf"), dtype=m.bool),
    lambda m: m.as_tensor([1.0, 2.0]),
    lambda m: m.from_numpy(np.arange(4, dtype=np.int32)),
    lambda m: m.ones(2, dtype=m.uint8),
    lambda m: m.zeros(2, dtype=m.bool),
]


@pytest.mark.parametrize("make", CREATION_CASES)
def test_creation_matches_torch(make: Any) -> None:
    torch = pytest.importorskip("torch")
    got, want = make(mlpeak), make(torch)
    assert np.asarray(got).dtype == np.asarray(want).dtype
    np.testing.assert_array_equal(np.asarray(got), np.asarray(want))


PRINTED = [
    lambda m: m.tensor([1.0, 2.0, 3.0]),
    lambda m: m.tensor([1.5, -2.0, 30.0]),
    lambda m: m.tensor([1e-5, 1.0]),
    lambda m: m.tensor([1.0, 20000.0]),
    lambda m: m.tensor([[1, 20], [-300, 4]]),
    lambda m: m.tensor([True, False]),
    lambda m: m.tensor(3.5),
    lambda m: m.tensor(7),
    lambda m: m.tensor([]),
    lambda m: m.zeros(2, 0, 3),
    lambda m: m.tensor([float("nan"), float("inf"), 1.0]),
    lambda m: m.tensor([1.0, 2.0], requires_grad=True),
    lambda m: m.tensor([1.0, 2.0], requires_grad=True) * 2,
    lambda m: m.arange(24.0).reshape(2, 3, 4),
    lambda m: m.arange(2000),
    lambda m: m.arange(3000.0).reshape(30, 100),
    lambda m: m.linspace(0, 1, 30),
]


@pytest.mark.parametrize("make", PRINTED)
def test_printing_matches_torch(make: Any) -> None:
    torch = pytest.importorskip("torch")
    assert repr(make(mlpeak)) == repr(make(torch))


def test_printing_names_other_dtypes() -> None:
    assert repr(tensor([1, 2], dtype=mlpeak.int32)) == "tensor([1, 2], dtype=mlpeak.int32)"
    assert f"{tensor(1.25):.1f}" == "1.2"
