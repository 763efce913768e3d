"""Tensors: memory shared or copied, shapes, numbers, dtypes, random fills."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

import mlpeak
from mlpeak import Tensor, as_tensor, from_numpy, no_grad, tensor


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


def test_a_tensor_equals_nothing_but_numbers_and_arrays() -> None:
    x = tensor([1.0, 2.0])
    for other in (None, "a", [1.0, 2.0], object()):
        assert (x == other) is False
        assert (other == x) is False
        assert (x != other) is True
    assert None not in (x,)
    assert (x == np.array([1.0, 3.0])).tolist() == [True, False]
    assert (x != 1).tolist() == [False, True]
