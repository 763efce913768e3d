"""Tensors behave as PyTorch's do: values, gradients, dtypes, shapes, printing, errors."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

import mlpeak
from mlpeak import Tensor, as_tensor, from_numpy, no_grad, tensor
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


def test_numpy_shares_memory_both_ways() -> None:
    array = np.zeros(3, np.float32)
    x = from_numpy(array)
    array[0] = 1
    x[1] = 2
    assert x.tolist() == [1, 2, 0]
    assert np.shares_memory(x.numpy(), array)
    assert np.shares_memory(as_tensor(array).numpy(), array)
    assert not np.shares_memory(tensor(array).numpy(), array)


def test_numpy_refuses_a_tensor_that_requires_grad() -> None:
    x = mlpeak.ones(2, requires_grad=True)
    with pytest.raises(RuntimeError, match=r"Use tensor.detach\(\).numpy\(\)"):
        x.numpy()
    with pytest.raises(RuntimeError, match="requires grad"):
        np.asarray(x)
    assert np.shares_memory(x.detach().numpy(), x.numpy(force=True))


def test_numpy_operands_become_tensors() -> None:
    array = np.ones(3, np.float32)
    for y in (array * mlpeak.ones(3), mlpeak.ones(3) + array, np.float32(2) * mlpeak.ones(3)):
        assert isinstance(y, Tensor)
        assert y.dtype == np.float32


def test_views_share_memory_and_copies_do_not() -> None:
    x = mlpeak.zeros(3, 4)
    for y in (x[1], x.T, x.view(4, 3), x.reshape(-1), x[:, 1:3], x.unsqueeze(0), x.detach()):
        assert np.shares_memory(x.numpy(), y.numpy())
    for y in (x[[1]], x.clone(), x.T.reshape(-1), x[x == 0], x.double()):
        assert not np.shares_memory(x.numpy(), y.numpy())
    assert x.to(np.float32) is x
    assert x.float() is x
    assert x.to("cpu", copy=True) is not x


def test_shape_and_size() -> None:
    x = mlpeak.zeros(2, 3)
    assert x.shape == x.size() == (2, 3)
    assert (x.size(-1), x.ndim, x.dim(), x.numel(), len(x)) == (3, 2, 2, 6, 2)
    assert (x.stride(), x.T.stride(), x.stride(0)) == ((3, 1), (1, 3), 3)
    assert x.is_contiguous()
    assert not x.T.is_contiguous()
    assert x.T.contiguous().is_contiguous()
    assert (x.nbytes, x.element_size()) == (24, 4)
    assert [row.tolist() for row in tensor([[1, 2], [3, 4]])] == [[1, 2], [3, 4]]


def test_python_numbers_from_single_elements() -> None:
    x = tensor([2.5])
    assert (x.item(), float(x), int(x), bool(x)) == (2.5, 2.5, 2, True)
    assert [10, 20, 30][tensor(1)] == 20
    assert 2.5 in x
    with pytest.raises(RuntimeError, match="2 values is ambiguous"):
        bool(mlpeak.ones(2))
    with pytest.raises(RuntimeError, match="2 elements cannot be converted to Scalar"):
        mlpeak.ones(2).item()
    with pytest.raises(TypeError, match="len"):
        len(tensor(1.0))
    with pytest.raises(TypeError, match="0-d"):
        iter(tensor(1.0))


def test_default_dtype() -> None:
    mlpeak.set_default_dtype(mlpeak.float64)
    try:
        assert tensor([1.5]).dtype == mlpeak.zeros(1).dtype == np.float64
        assert (mlpeak.arange(3) / 2).dtype == np.float64
        assert tensor(np.ones(1, np.float32)).dtype == np.float32
    finally:
        mlpeak.set_default_dtype(mlpeak.float32)
    with pytest.raises(TypeError, match="float32 or float64"):
        mlpeak.set_default_dtype(np.int32)


def test_copy_and_pickle() -> None:
    x = mlpeak.ones(2, requires_grad=True)
    (x * 3).sum().backward()
    for y in (copy.deepcopy(x), pickle.loads(pickle.dumps(x))):
        assert y.requires_grad
        assert y.is_leaf
        assert mlpeak.equal(x, y)
        assert not np.shares_memory(x.detach().numpy(), y.detach().numpy())
    assert copy.deepcopy(x).grad.tolist() == [3, 3]  # type: ignore[union-attr]
    with pytest.raises(RuntimeError, match="graph leaves"):
        copy.deepcopy(x * 2)


def test_inplace_methods_return_the_tensor() -> None:
    x = mlpeak.ones(3)
    y = x
    y += 1
    assert y is x
    assert x.mul_(2).sub_(1).div_(2).clamp_(0, 1).neg_() is x
    assert x.tolist() == [-1, -1, -1]
    assert x.fill_(4).zero_().tolist() == [0, 0, 0]
    x[1:] = tensor([5.0, 6.0])
    x[0] = 9
    assert x.tolist() == [9, 5, 6]
    x[:-1] = x[1:]
    assert x.tolist() == [5, 6, 6]


def test_a_failed_inplace_operation_writes_nothing() -> None:
    x = mlpeak.ones(3)
    for change in (
        lambda: x.add_(mlpeak.ones(2, 3)),
        lambda: x.add_(mlpeak.ones(2)),
        lambda: x.__setitem__(slice(None), mlpeak.ones(2)),
        lambda: x.__setitem__(5, 1),
        lambda: mlpeak.arange(3).add_(1.5),
        lambda: mlpeak.arange(3).div_(2),
        lambda: mlpeak.zeros(1).expand(3).add_(1),
    ):
        with pytest.raises((RuntimeError, IndexError, ValueError)):
            change()
    assert x.tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: tensor(["a"]), TypeError, "expected numbers"),
        (lambda: tensor([1j]), TypeError, "expected numbers"),
        (lambda: tensor([1], dtype=np.complex64), TypeError, "dtype is complex64"),
        (lambda: from_numpy([1.0]), TypeError, "expected a numpy.ndarray"),
        (lambda: from_numpy(np.zeros(2, np.float16)), TypeError, "dtype is float16"),
        (lambda: mlpeak.zeros(2, device="cuda"), ValueError, "runs on 'cpu' only"),
        (lambda: mlpeak.zeros(2).to("cuda:0"), ValueError, "cuda:0"),
        (lambda: mlpeak.zeros(-1), RuntimeError, "negative"),
        (lambda: mlpeak.zeros("a"), TypeError, "expected integers"),
        (lambda: mlpeak.arange(0, 5, -1), RuntimeError, "step sign"),
        (lambda: mlpeak.arange(0, 5, 0), RuntimeError, "nonzero"),
        (lambda: tensor([1], requires_grad=True), RuntimeError, "floating point"),
        (lambda: mlpeak.ones(2) + "a", TypeError, "operand is str"),
        (lambda: mlpeak.ones(2) + mlpeak.ones(3), RuntimeError, "do not broadcast"),
        (lambda: mlpeak.ones(2, 3) @ mlpeak.ones(2, 3), RuntimeError, "cannot be multiplied"),
        (lambda: mlpeak.ones(2) @ mlpeak.ones(2).double(), RuntimeError, "same dtype"),
        (lambda: mlpeak.ones(2, 3).reshape(4), RuntimeError, "invalid for input of size 6"),
        (lambda: mlpeak.ones(2, 3).reshape(-1, -1), RuntimeError, "only one dimension"),
        (lambda: mlpeak.ones(2, 3).T.view(6), RuntimeError, "view size is not compatible"),
        (lambda: mlpeak.ones(2, 3).sum(2), IndexError, "Dimension out of range"),
        (lambda: mlpeak.ones(2, 3).sum((0, 0)), RuntimeError, "multiple times"),
        (lambda: mlpeak.ones(2, 3).permute(0, 0), RuntimeError, "permute"),
        (lambda: mlpeak.ones(2, 3).expand(3, 3), RuntimeError, "must match the existing size"),
        (lambda: mlpeak.ones(2, 3, 4).t(), RuntimeError, "<= 2 dimensions"),
        (lambda: mlpeak.arange(3).mean(), RuntimeError, "mean"),
        (lambda: mlpeak.ones(0).max(), RuntimeError, "no extremum"),
        (lambda: mlpeak.ones(0).argmax(), RuntimeError, "no extremum"),
        (lambda: mlpeak.ones(2)[2], IndexError, "out of bounds"),
        (lambda: mlpeak.ones(2)[[0, 2]], IndexError, "out of bounds"),
        (lambda: mlpeak.ones(2)[[-3]], IndexError, "out of bounds"),
        (lambda: mlpeak.ones(2)[0, 0], IndexError, "too many indices"),
        (lambda: mlpeak.ones(2)[1.0], TypeError, "valid indices"),
        (lambda: mlpeak.ones(2)[mlpeak.ones(1)], IndexError, "must be long"),
        (lambda: mlpeak.ones(2)[mlpeak.ones(3) > 0], IndexError, "shape of the mask"),
        (lambda: mlpeak.ones(2).gather(0, tensor([2])), RuntimeError, "out of bounds"),
        (lambda: mlpeak.ones(2).gather(0, tensor([[0]])), RuntimeError, "same number of dim"),
        (lambda: mlpeak.ones(2).gather(0, tensor([0.0])), RuntimeError, "int64"),
        (lambda: mlpeak.cat([]), RuntimeError, "non-empty"),
        (lambda: mlpeak.cat([mlpeak.ones(2, 3), mlpeak.ones(3, 2)]), RuntimeError, "must match"),
        (lambda: mlpeak.stack([mlpeak.ones(2), mlpeak.ones(3)]), RuntimeError, "equal size"),
        (lambda: mlpeak.ones(5).split([1, 2]), RuntimeError, "sum exactly to 5"),
        (lambda: mlpeak.ones(5).chunk(0), RuntimeError, "greater than 0"),
        (lambda: mlpeak.arange(3) // 0, RuntimeError, "ZeroDivisionError"),
        (lambda: mlpeak.arange(3) ** -1, RuntimeError, "negative integer powers"),
        (lambda: mlpeak.ones(3) & 1, TypeError, "expected integers"),
        (lambda: -(mlpeak.ones(3) > 0), RuntimeError, "logical_not"),
        (lambda: mlpeak.randint(3, 3, (2,)), RuntimeError, "less than"),
        (lambda: mlpeak.ones(3).clamp(), ValueError, "at least one bound"),
        (lambda: mlpeak.ones(3).topk(4), RuntimeError, "out of range"),
    ],
)
def test_wrong_input_is_refused_in_words(call: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        call()


def test_division_by_zero_is_silent() -> None:
    x = tensor([1.0, -1.0, 0.0], requires_grad=True)
    y = x / 0
    assert y.tolist()[:2] == [float("inf"), float("-inf")]
    (y + x.log() + x.sqrt() + x**-2).sum().backward()
    assert mlpeak.zeros(0).mean().isnan().item()


def test_random_numbers_follow_the_seed() -> None:
    def draw() -> list[Any]:
        makers = (
            lambda: mlpeak.rand(5, 3),
            lambda: mlpeak.randn(5, 3, dtype=np.float64),
            lambda: mlpeak.randint(-3, 9, (40,)),
            lambda: mlpeak.randperm(30),
            lambda: mlpeak.normal(3.0, 0.5, (7,)),
            lambda: mlpeak.rand_like(mlpeak.ones(4)),
        )
        return [make().tolist() for make in makers]

    mlpeak.manual_seed(5)
    first = draw()
    assert draw() != first
    mlpeak.manual_seed(5)
    assert draw() == first
    assert sorted(first[3]) == list(range(30))
    assert set(first[2]) <= set(range(-3, 9))
    one, two = (mlpeak.randn(4, generator=mlpeak.Generator(1)) for _ in range(2))
    assert mlpeak.equal(one, two)


def test_randint_reaches_both_ends_evenly() -> None:
    counts = np.bincount(mlpeak.randint(0, 4, (4000,)).numpy(), minlength=4)
    # each count is binomial(4000, 1/4): 6 standard deviations are 164
    assert np.abs(counts - 1000).max() < 165


def test_numpy_names_of_dims_are_accepted() -> None:
    x = mlpeak.ones(2, 3)
    assert x.sum(axis=1, keepdims=True).shape == (2, 1)
    assert mlpeak.mean(x, axis=0).shape == (3,)
    assert mlpeak.cat([x, x], axis=1).shape == (2, 6)


def test_uniform_and_normal_fill_in_place() -> None:
    x = mlpeak.zeros(1000)
    assert x.uniform_(2, 4) is x
    assert 2 <= x.min() < x.max() < 4
    # the mean of 1000 has a standard deviation of 0.5 / sqrt(1000) = 0.016
    assert abs(x.normal_(7, 0.5).mean().item() - 7) < 0.1
    with pytest.raises(TypeError, match="float32 or float64"):
        mlpeak.arange(3).normal_()


def test_the_device_is_the_cpu() -> None:
    from mlpeak import cuda
    from mlpeak._device import device

    x = mlpeak.ones(2, device=device("cpu"))
    assert x.device == device("cpu:0")
    assert str(x.device) == x.device.type == "cpu"
    assert x.to(device("cpu")) is x
    assert not cuda.is_available()
    with pytest.raises(ValueError, match="runs on 'cpu' only"):
        device("cuda")


def test_max_and_min_return_named_tuples() -> None:
    found = tensor([[1.0, 3.0], [4.0, 2.0]]).max(1)
    assert found.values.tolist() == [3, 4]
    assert found.indices.tolist() == [1, 0]
    values, indices = tensor([[1.0, 3.0], [4.0, 2.0]]).min(dim=0)
    assert (values.tolist(), indices.tolist()) == ([1, 2], [0, 1])


def test_allclose_and_equal() -> None:
    x = tensor([1.0, 2.0])
    assert mlpeak.allclose(x, x + 1e-7)
    assert not mlpeak.allclose(x, x + 1e-2)
    assert mlpeak.equal(x, x.clone())
    assert not mlpeak.equal(x, x[:1])
    nan = tensor([float("nan")])
    assert mlpeak.allclose(nan, nan, equal_nan=True)
    assert not mlpeak.allclose(nan, nan)


def test_operations_without_grad_record_nothing() -> None:
    x = mlpeak.ones(2, requires_grad=True)
    with no_grad():
        assert not (x * 2).requires_grad
    assert not (x > 0).requires_grad
    assert not x.argmax().requires_grad
    assert not (x.detach() * 2).requires_grad
    assert (x * 2).double().requires_grad
    assert not (x * 2).long().requires_grad
