"""Table look-ups: every tier against the reference, gradients, PyTorch, and bits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import mlpeak
from mlpeak import _core, kernels, reference

DTYPES = [np.float32, np.float64]
DIMS = [0, 1, 7, 8, 9, 15, 16, 17, 31, 33, 63, 64, 65]


def integers(seed: int, high: int, shape: Any, dtype: Any = np.int64) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, high, shape).astype(dtype)


def normal(seed: int, shape: Any, dtype: Any) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("index_dtype", [np.int64, np.int32, np.uint8])
@pytest.mark.parametrize("shape", [(), (0,), (1,), (50,), (4, 3), (2, 0, 3)])
def test_rows_are_copied(backend: str, dtype: Any, index_dtype: Any, shape: Any) -> None:
    indices = integers(0, 11, shape, index_dtype)
    for dim in DIMS:
        weight = normal(dim, (11, dim), dtype)
        y = kernels.embedding(indices, weight)
        assert y.dtype == dtype
        np.testing.assert_array_equal(y, weight[indices])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("padding_idx", [None, 0, 4, -1])
def test_backward_matches_reference(tier: str, dtype: Any, padding_idx: int | None) -> None:
    for dim in DIMS:
        for shape in [(0,), (1,), (200,), (10, 3)]:
            indices = integers(dim, 9, shape)
            grad = normal(dim, (*shape, dim), dtype)
            got = kernels.embedding_backward(grad, indices, 9, padding_idx)
            want = reference.embedding_backward(grad, indices, 9, padding_idx)
            assert got.dtype == dtype
            # a row sums at most as many terms as there are indices, one rounding each
            magnitude = reference.embedding_backward(np.abs(grad), indices, 9)
            bound = (indices.size + 1) * np.finfo(dtype).eps * magnitude
            assert np.all(np.abs(got.astype(np.float64) - want) <= bound)


@pytest.mark.parametrize("dtype", DTYPES)
def test_backward_sums_in_the_order_of_the_indices(tier: str, dtype: Any) -> None:
    indices = integers(1, 5, (300,))
    grad = normal(1, (300, 19), dtype)
    want = np.zeros((5, 19), dtype)
    for i, row in enumerate(indices):
        want[row] += grad[i]
    np.testing.assert_array_equal(kernels.embedding_backward(grad, indices, 5), want)


def test_gradient_matches_central_differences(backend: str) -> None:
    indices = np.array([2, 0, 2, 3])
    weight, grad = normal(2, (5, 3), np.float64), normal(3, (4, 3), np.float64)
    got = kernels.embedding_backward(grad, indices, 5)
    for j in np.ndindex(weight.shape):
        sides = []
        for h in (1e-3, -1e-3):  # the function is linear: only rounding, eps / h, is left
            moved = weight.copy()
            moved[j] += h
            sides.append(float(np.sum(grad * kernels.embedding(indices, moved))))
        assert abs(got[j] - (sides[0] - sides[1]) / 2e-3) < 1e-11


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("padding_idx", [None, 2, -1])
def test_matches_torch(backend: str, dtype: Any, padding_idx: int | None) -> None:
    torch = pytest.importorskip("torch")
    indices = integers(4, 12, (20, 5))
    weight, grad = normal(4, (12, 17), dtype), normal(5, (20, 5, 17), dtype)
    leaf = torch.tensor(weight, requires_grad=True)
    y = torch.nn.functional.embedding(torch.tensor(indices), leaf, padding_idx=padding_idx)
    y.backward(torch.tensor(grad))
    np.testing.assert_array_equal(kernels.embedding(indices, weight), y.detach().numpy())
    got = kernels.embedding_backward(grad, indices, 12, padding_idx)
    # at most 100 terms below 5 a row, on each side
    tolerance = 2 * 100 * 5 * np.finfo(dtype).eps
    np.testing.assert_allclose(got, leaf.grad.numpy(), rtol=0, atol=tolerance)


@pytest.mark.parametrize("dtype", DTYPES)
def test_bits_do_not_depend_on_tier_or_threads(dtype: Any) -> None:
    indices = integers(6, 1000, (5000,))
    grad = normal(6, (5000, 65), dtype)
    results = set()
    for name in _core.tiers():
        _core.select_tier(name)
        for threads in (1, 2, 3, 4, 8):
            mlpeak.set_num_threads(threads)
            results.add(kernels.embedding_backward(grad, indices, 1000, 7).tobytes())
    assert len(results) == 1


@pytest.mark.parametrize(
    "dtype", ["f4", "f8", "f2", "?", "i1", "u2", "i8", "c16", "U3", "S5", "M8[s]", "f4,i2", ">f4"]
)
def test_gather_rows_of_any_dtype(backend: str, dtype: str) -> None:
    rng = np.random.default_rng(7)
    for shape in [(9,), (9, 5), (9, 2, 3), (9, 0), (9, 1)]:
        raw = rng.integers(0, 100, shape)
        x = raw.astype("i8").astype(dtype) if dtype != "f4,i2" else np.zeros(shape, dtype)
        if dtype == "f4,i2":
            x["f0"], x["f1"] = raw, -raw
        for indices in (rng.integers(0, 9, 20), rng.integers(0, 9, (3, 4)), np.array(8)):
            y = kernels.gather_rows(x, indices)
            assert y.dtype == x.dtype
            np.testing.assert_array_equal(y, x[indices])
            out = np.zeros_like(y)
            assert kernels.gather_rows(x, indices, out=out) is out
            np.testing.assert_array_equal(out, y)


@pytest.mark.parametrize("threads", [1, 2, 3, 8])
@pytest.mark.parametrize("columns", [1, 2, 784])
def test_gather_rows_in_parallel(threads: int, columns: int) -> None:
    mlpeak.set_num_threads(threads)
    x = np.arange(3000 * columns, dtype=np.float32).reshape(3000, columns)
    indices = np.random.default_rng(8).integers(0, 3000, 20_011)
    np.testing.assert_array_equal(kernels.gather_rows(x, indices), x[indices])


def test_strided_arrays_are_read(backend: str) -> None:
    x = np.arange(24.0).reshape(4, 6)
    indices = np.array([3, 9, 0, 9, 1])[::2]
    np.testing.assert_array_equal(kernels.gather_rows(x.T, indices), x.T[indices])
    np.testing.assert_array_equal(kernels.embedding(indices, x[:, ::2]), x[indices, ::2])
    got = kernels.embedding_backward(x[:3, ::2], indices, 4)
    np.testing.assert_array_equal(got, [x[1, ::2], x[2, ::2], [0, 0, 0], x[0, ::2]])


def ones(*shape: int, dtype: Any = np.float64) -> np.ndarray:
    return np.ones(shape, dtype)


def read_only(*shape: int) -> np.ndarray:
    a = ones(*shape)
    a.flags.writeable = False
    return a


TABLE = ones(4, 2)
ROWS = np.array([1, 3])
WRONG: list[tuple[str, dict[str, Any], type[Exception], str]] = [
    (
        "embedding",
        {"indices": np.array([1, 4, -1])},
        ValueError,
        r"indices holds 4 at position 1; rows of weight are in \[0, 4\)",
    ),
    ("embedding", {"indices": np.array([[1], [-1]])}, ValueError, "indices holds -1 at position 1"),
    ("embedding", {"indices": np.array([0.0])}, TypeError, "indices has dtype float64"),
    ("embedding", {"indices": [0]}, TypeError, "indices is list"),
    ("embedding", {"weight": ones(4)}, ValueError, r"weight has shape \(4,\)"),
    ("embedding", {"weight": ones(4, 2, dtype=np.int32)}, TypeError, "weight has dtype int32"),
    ("embedding", {"weight": ones(0, 2)}, ValueError, "indices holds 1 at position 0"),
    ("embedding", {"out": ones(2, 3)}, ValueError, r"out has shape \(2, 3\); .*\(2, 2\)"),
    ("embedding", {"out": ones(2, 2, dtype=np.float32)}, TypeError, "out has dtype float32"),
    ("embedding", {"out": TABLE[1:3]}, ValueError, "out shares memory with weight"),
    ("embedding_backward", {"grad_output": ones(3, 2)}, ValueError, r"grad_output has shape \(3"),
    ("embedding_backward", {"grad_output": ones(2)}, ValueError, r"grad_output has shape \(2,\)"),
    ("embedding_backward", {"num_embeddings": 3}, ValueError, "indices holds 3 at position 1"),
    ("embedding_backward", {"num_embeddings": -1}, ValueError, "num_embeddings is -1"),
    ("embedding_backward", {"padding_idx": 4}, ValueError, r"padding_idx is 4; .*\[-4, 4\)"),
    ("embedding_backward", {"padding_idx": -5}, ValueError, "padding_idx is -5"),
    ("embedding_backward", {"out": ones(3, 2)}, ValueError, "out has shape"),
    ("embedding_backward", {"out": read_only(4, 2)}, ValueError, "out is read-only"),
    ("gather_rows", {"x": [1]}, TypeError, "x is list"),
    ("gather_rows", {"x": np.array(1)}, ValueError, r"x has shape \(\)"),
    ("gather_rows", {"x": np.array([None] * 4)}, TypeError, "x has dtype object"),
    ("gather_rows", {"x": ones(3)}, ValueError, r"indices holds 3 at position 1; rows of x .* 3\)"),
    ("gather_rows", {"out": [1]}, TypeError, "out is list"),
    (
        "gather_rows",
        {"out": ones(2, 2, dtype=np.int64)},
        TypeError,
        "out has dtype int64; .*float64",
    ),
    ("gather_rows", {"out": ones(2)}, ValueError, r"out has shape \(2,\); expected \(2, 2\)"),
    ("gather_rows", {"out": read_only(2, 2)}, ValueError, "out is read-only"),
    ("gather_rows", {"out": ones(2, 4)[:, ::2]}, ValueError, "out is not C-contiguous"),
    ("gather_rows", {"out": TABLE[1:3]}, ValueError, "out shares memory with x"),
]
DEFAULTS: dict[str, dict[str, Any]] = {
    "embedding": {"indices": ROWS, "weight": TABLE},
    "embedding_backward": {"grad_output": ones(2, 2), "indices": ROWS, "num_embeddings": 4},
    "gather_rows": {"x": TABLE, "indices": ROWS},
}


@pytest.mark.parametrize(("function", "kwargs", "error", "text"), WRONG)
def test_wrong_input_is_named_and_nothing_written(
    backend: str, function: str, kwargs: dict[str, Any], error: type[Exception], text: str
) -> None:
    arguments = {**DEFAULTS[function], **kwargs}
    with pytest.raises(error, match=f"{function}: {text}"):
        getattr(kernels, function)(**arguments)
    np.testing.assert_array_equal(TABLE, 1)
    if isinstance(kwargs.get("out"), np.ndarray):
        np.testing.assert_array_equal(kwargs["out"], 1)


def test_out_that_shares_memory_with_indices_is_refused(backend: str) -> None:
    memory = np.zeros(4)
    indices = memory[:2].view(np.int64)
    with pytest.raises(ValueError, match="out shares memory with indices"):
        kernels.embedding(indices, TABLE, out=memory.reshape(2, 2))
    with pytest.raises(ValueError, match="out shares memory with grad_output"):
        kernels.embedding_backward(memory.reshape(2, 2), ROWS[:2] // 2, 2, out=memory.reshape(2, 2))
    np.testing.assert_array_equal(memory, 0)


def test_rows_too_many_to_copy_are_a_memory_error() -> None:
    # a broadcast array is strided, and its copy of 2 EiB cannot exist
    endless = np.broadcast_to(np.float32(1), (2**30, 2**29))
    with pytest.raises(MemoryError):
        kernels.gather_rows(endless, np.zeros(0, np.int64))
    with pytest.raises(MemoryError):
        kernels.relu(endless)
    with pytest.raises(MemoryError):
        kernels.embedding(np.broadcast_to(np.int64(0), (2**58,)), TABLE)
