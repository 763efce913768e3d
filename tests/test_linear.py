"""Matrix products and the fully connected layer: every tier against the reference, and bits."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import mlpeak
from mlpeak import _core, kernels, reference
from mlpeak._memory import aligned_empty

DTYPES = [np.float32, np.float64]
# Sizes straddle a register (8, 16), a tile (6 rows; 64, 32 columns) and a block of k (320, 512).
ROWS = [0, 1, 5, 6, 7, 13, 65]
COLUMNS = [0, 1, 7, 8, 9, 15, 16, 17, 31, 33, 63, 64, 65, 130]
DEPTHS = [0, 1, 2, 17, 255, 256, 257, 513]


def matrices(rng: np.random.Generator, dtype: Any, *shapes: tuple[int, ...]) -> list[Any]:
    return [rng.standard_normal(shape).astype(dtype) for shape in shapes]


def chain_bound(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """|error| of k chained fused multiply-adds, an element: k eps |A||B| (Higham, 2002, 3.1)."""
    k = a.shape[1]
    magnitude = np.abs(a).astype(np.float64) @ np.abs(b).astype(np.float64)
    return (k + 1) * np.finfo(a.dtype).eps * magnitude


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("transpose_a", [False, True])
@pytest.mark.parametrize("transpose_b", [False, True])
def test_matmul_matches_reference(
    tier: str, dtype: Any, transpose_a: bool, transpose_b: bool
) -> None:
    rng = np.random.default_rng(0)
    for i, n in enumerate(COLUMNS):
        for j, k in enumerate(DEPTHS):
            m = ROWS[(i + j) % len(ROWS)]
            a, b = matrices(
                rng, dtype, (k, m) if transpose_a else (m, k), (n, k) if transpose_b else (k, n)
            )
            left, right = (a.T if transpose_a else a), (b.T if transpose_b else b)
            got = kernels.matmul(a, b, transpose_a, transpose_b)
            want = reference.matmul(a, b, transpose_a, transpose_b)
            assert got.shape == (m, n)
            error = np.abs(got.astype(np.float64) - want)
            assert np.all(error <= chain_bound(left, right)), (m, n, k)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("transpose_b", [False, True])
def test_rows_of_any_number_of_blocks_are_as_each_alone(
    tier: str, dtype: Any, transpose_b: bool
) -> None:
    """One row at a time packs nothing; many are one block of A or several, B packed meanwhile."""
    rng = np.random.default_rng(2)
    for m, n, k in [(130, 200, 19), (256, 129, 530), (257, 130, 513), (600, 70, 40), (64, 300, 16)]:
        a, b = matrices(rng, dtype, (m, k), (n, k) if transpose_b else (k, n))
        got = kernels.matmul(a, b, transpose_b=transpose_b)
        for i in range(0, m, 37):
            alone = kernels.matmul(a[i : i + 1], b, transpose_b=transpose_b)
            assert got[i].tobytes() == alone.tobytes(), (m, n, k, i)


@pytest.mark.parametrize("dtype", DTYPES)
def test_bits_do_not_depend_on_where_arrays_begin(tier: str, dtype: Any) -> None:
    # Tiles whose rows of B and C begin with cache lines go through their last steps otherwise.
    rng = np.random.default_rng(4)
    for k in (1, 3, 4, 5, 8, 130, 513):
        for m, n in ((5, 64), (12, 128), (65, 192)):
            a, b = matrices(rng, dtype, (m, k), (k, n))
            results = []
            for offset in (0, 1):
                moved = aligned_empty((k * n + 1,), dtype)[offset:][: k * n].reshape(k, n)
                out = aligned_empty((m * n + 1,), dtype)[offset:][: m * n].reshape(m, n)
                moved[:] = b
                results.append(kernels.matmul(a, moved, out=out))
                results.append(kernels.linear(a, kernels.pack(moved.T), out=out.copy()))
            for result in results[1:]:
                np.testing.assert_array_equal(result, results[0], err_msg=f"{m} x {n} x {k}")


def test_product_is_one_chain_of_fused_multiply_adds() -> None:
    """The definition itself, element by element: fp32 operands, so a double holds each product."""
    rng = np.random.default_rng(1)
    a, b = matrices(rng, np.float32, (3, 300), (300, 5))
    want = np.zeros((3, 5), np.float32)
    for k in range(300):
        # an fp32 product is exact in double; the sum is then rounded to fp32 once, up to a double
        # rounding that this data does not meet (checked against every tier below)
        want = (a[:, k : k + 1].astype(np.float64) * b[k].astype(np.float64) + want).astype(
            np.float32
        )
    for name in _core.tiers():
        _core.select_tier(name)
        np.testing.assert_array_equal(kernels.matmul(a, b), want, err_msg=name)


def test_few_outputs_are_sums_in_sixteen_lanes() -> None:
    """The definition itself: element i goes to lane i mod 16, lanes are combined by halving."""
    rng = np.random.default_rng(7)
    for n_out in range(1, 11):
        for n_in in (64, 79, 80, 144, 160, 163, 600, 1043):
            if n_in < 16 * n_out:
                continue
            x, w = matrices(rng, np.float32, (51, n_in), (n_out, n_in))
            steps = -(-n_in // 16)
            a, b = np.zeros((51, 1, steps, 16)), np.zeros((n_out, steps, 16))
            a.reshape(51, -1)[:, :n_in], b.reshape(n_out, -1)[:, :n_in] = x, w
            lanes = np.zeros((51, n_out, 16), np.float32)
            for step in range(steps):  # rounded once but for what the test above says
                lanes = (a[:, :, step] * b[:, step] + lanes).astype(np.float32)
            while lanes.shape[2] > 1:
                half = lanes.shape[2] // 2
                lanes = lanes[:, :, :half] + lanes[:, :, half:]
            for name in _core.tiers():
                _core.select_tier(name)
                for batch in (51, 1, 2, 7, 49):
                    np.testing.assert_array_equal(
                        kernels.linear(x[:batch], w),
                        lanes[:batch, :, 0],
                        err_msg=f"{name} {w.shape}",
                    )


def test_more_outputs_or_fewer_inputs_are_one_chain(tier: str) -> None:
    rng = np.random.default_rng(8)
    for n_in, n_out in [(63, 1), (159, 10), (600, 11), (31, 2)]:
        x, w = matrices(rng, np.float32, (40, n_in), (n_out, n_in))
        np.testing.assert_array_equal(
            kernels.linear(x, w), kernels.matmul(x, w, transpose_b=True), err_msg=f"{w.shape}"
        )


def test_few_outputs_keep_what_is_not_finite_to_their_own_rows(tier: str) -> None:
    x, w = np.ones((50, 70), np.float32), np.ones((3, 70), np.float32)
    x[4, 69], x[20, 3], x[49, 0], x[48, 69] = np.nan, np.inf, -np.inf, 1e38
    w[1, 69] = 1e38
    y = kernels.linear(x, w)
    assert np.isnan(y[4]).all()
    assert (y[20] == np.inf).all()
    assert (y[49] == -np.inf).all()
    assert y[48].tolist() == [np.float32(1e38), np.inf, np.float32(1e38)]
    others = np.delete(y, [4, 20, 48, 49], axis=0)
    assert (others == np.array([70, np.float32(1e38), 70], np.float32)).all()


def hash_of(arrays: Any) -> str:
    digest = hashlib.sha256()
    for array in arrays if isinstance(arrays, tuple) else (arrays,):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


LINEAR_CALLS: dict[str, Callable[..., Any]] = {
    "matmul": lambda g, x, w, b: kernels.matmul(x, w, transpose_b=True),
    "matmul_tn": lambda g, x, w, b: kernels.matmul(g, x, transpose_a=True),
    "linear_relu": lambda g, x, w, b: kernels.linear(x, w, b, "relu"),
    "linear_gelu": lambda g, x, w, b: kernels.linear(x, w, b, "gelu"),
    "linear_backward": lambda g, x, w, b: kernels.linear_backward(g, x, w, g, "tanh"),
    "linear_backward_input": lambda g, x, w, b: kernels.linear_backward_input(g, w),
    "linear_backward_weight": lambda g, x, w, b: kernels.linear_backward_weight(g, x),
    "linear_backward_bias": lambda g, x, w, b: kernels.linear_backward_bias(g),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", LINEAR_CALLS)
def test_bits_do_not_depend_on_tier_or_threads(name: str, dtype: Any) -> None:
    rng = np.random.default_rng(2)
    shapes = [(131, 257, 67), (1030, 40, 10), (130, 530, 1050), (1021, 300, 7)]
    for batch, n_in, n_out in shapes:
        args = matrices(rng, dtype, (batch, n_out), (batch, n_in), (n_out, n_in), (n_out,))
        hashes = {}
        for tier_name in _core.tiers():
            _core.select_tier(tier_name)
            for threads in (1, 2, 3, 4, 8):
                mlpeak.set_num_threads(threads)
                hashes[tier_name, threads] = hash_of(LINEAR_CALLS[name](*args))
        assert len(set(hashes.values())) == 1, hashes


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", ["identity", "relu", "tanh", "sigmoid", "gelu", "silu"])
def test_linear_is_matmul_then_bias_then_activation(tier: str, dtype: Any, activation: str) -> None:
    rng = np.random.default_rng(3)
    for batch, n_in, n_out in [(1, 3, 1), (7, 300, 65), (64, 17, 10)]:
        x, w, b = matrices(rng, dtype, (batch, n_in), (n_out, n_in), (n_out,))
        pre = np.empty((batch, n_out), dtype)
        y = kernels.linear(x, w, b, activation, pre=pre)
        np.testing.assert_array_equal(pre, kernels.matmul(x, w, transpose_b=True) + b)
        np.testing.assert_array_equal(y, getattr(kernels, activation)(pre))


@pytest.mark.parametrize("dtype", DTYPES)
def test_packed_weight_gives_the_same_bits(tier: str, dtype: Any) -> None:
    rng = np.random.default_rng(6)
    for n_out in (1, 10, 15, 16, 63, 64, 65, 128, 130, 257, 600):
        for n_in in (0, 1, 255, 256, 257, 520):
            w, b = matrices(rng, dtype, (n_out, n_in), (n_out,))
            packed = kernels.pack(w)
            assert packed.shape == (n_out, n_in)
            assert packed.dtype == dtype
            for batch in (0, 1, 2, 3, 6, 7, 40):
                (x,) = matrices(rng, dtype, (batch, n_in))
                for threads in (1, 2):
                    mlpeak.set_num_threads(threads)
                    np.testing.assert_array_equal(
                        kernels.linear(x, packed, b, "relu"), kernels.linear(x, w, b, "relu")
                    )


def test_packed_weight_is_a_copy_and_is_checked(backend: str) -> None:
    w = np.ones((3, 2), np.float32)
    packed = kernels.pack(w)
    w[:] = 7
    np.testing.assert_array_equal(kernels.linear(f32(1, 2), packed), [[2, 2, 2]])
    with pytest.raises(ValueError, match=r"w has shape \(3, 2\); expected .* = \(3, 4\)"):
        kernels.linear(f32(1, 4), packed)
    with pytest.raises(TypeError, match="w has dtype float32"):
        kernels.linear(np.ones((1, 2)), packed)
    with pytest.raises(ValueError, match="w has shape"):
        kernels.pack(f32(3))
    with pytest.raises(TypeError, match="w is list"):
        kernels.pack([[1.0]])


def test_packed_weight_belongs_to_its_tier() -> None:
    packed = kernels.pack(f32(3, 2))
    other = next((t for t in _core.tiers() if t != _core.tier()), None)
    if other is None:
        pytest.skip("this CPU has one tier")
    _core.select_tier(other)
    with pytest.raises(ValueError, match="w was packed on tier"):
        kernels.linear(f32(1, 2), packed)


@pytest.mark.parametrize("activation", ["identity", "relu", "tanh", "gelu", "softplus"])
def test_gradients_match_central_differences(backend: str, activation: str) -> None:
    rng = np.random.default_rng(4)
    x, w, b, g = matrices(rng, np.float64, (4, 5), (3, 5), (3,), (4, 3))
    pre = np.empty((4, 3))
    y = kernels.linear(x, w, b, activation, pre=pre)
    saved = pre if activation in ("gelu", "softplus") else y
    grads = kernels.linear_backward(g, x, w, saved, activation)
    h = 1e-6  # truncation h^2 ~ 1e-12, rounding eps/h ~ 2e-10: together far below 1e-7
    for array, grad in zip((x, w, b), grads, strict=True):
        for index in np.ndindex(array.shape):
            keep = array[index]
            array[index] = keep + h
            high = float((kernels.linear(x, w, b, activation) * g).sum())
            array[index] = keep - h
            low = float((kernels.linear(x, w, b, activation) * g).sum())
            array[index] = keep
            assert grad[index] == pytest.approx((high - low) / (2 * h), abs=1e-7)


def test_out_is_used_and_strided_input_is_read(backend: str) -> None:
    rng = np.random.default_rng(5)
    big = rng.standard_normal((8, 12)).astype(np.float32)
    x, w = big[::2, ::3], big[1::2, 1::3]
    out = np.empty((4, 4), np.float32)
    assert kernels.linear(x, w, out=out) is out
    np.testing.assert_array_equal(out, kernels.linear(x.copy(), w.copy()))


def f32(*shape: int) -> np.ndarray:
    return np.ones(shape, np.float32)


BAD_CALLS: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "list": (lambda: kernels.matmul([[1.0]], f32(1, 1)), TypeError, "a is list"),
    "integers": (lambda: kernels.matmul(np.ones((2, 2), int), f32(2, 2)), TypeError, "a has dtype"),
    "mixed": (lambda: kernels.matmul(f32(2, 2), np.ones((2, 2))), TypeError, "b has dtype float64"),
    "swapped": (
        lambda: kernels.matmul(f32(2, 2).astype(">f4"), f32(2, 2)), TypeError, "a has dtype",
    ),
    "inner": (lambda: kernels.matmul(f32(2, 3), f32(2, 3)), ValueError, "b has shape"),
    "vector": (lambda: kernels.matmul(f32(3), f32(3, 2)), ValueError, "a has shape"),
    "weight": (lambda: kernels.linear(f32(2, 3), f32(4, 2)), ValueError, "w has shape"),
    "bias": (lambda: kernels.linear(f32(2, 3), f32(4, 3), f32(3)), ValueError, "b has shape"),
    "activation": (
        lambda: kernels.linear(f32(2, 3), f32(4, 3), activation="reul"), ValueError, "activation",
    ),
    "grad": (
        lambda: kernels.linear_backward(f32(2, 4), f32(3, 3), f32(4, 3)), ValueError, "x has shape",
    ),
    "activation_type": (
        lambda: kernels.linear(f32(2, 3), f32(4, 3), activation=3),
        TypeError,
        "linear: activation is int; expected one of identity, relu",
    ),
    "activation_none": (
        lambda: kernels.linear_backward(f32(2, 4), f32(2, 3), f32(4, 3), activation=None),
        TypeError,
        "linear_backward: activation is NoneType; expected one of identity, relu",
    ),
    "transpose_a": (
        lambda: kernels.matmul(f32(2, 2), f32(2, 2), transpose_a="yes"),
        TypeError,
        "matmul: transpose_a is str; expected a bool",
    ),
    "transpose_b": (
        lambda: kernels.matmul(f32(2, 2), f32(2, 2), transpose_b=None),
        TypeError,
        "matmul: transpose_b is NoneType; expected a bool",
    ),
    "saved": (
        lambda: kernels.linear_backward(f32(2, 4), f32(2, 3), f32(4, 3), None, "tanh"),
        ValueError,
        "saved is None",
    ),
    "grad_bias": (lambda: kernels.linear_backward_bias(f32(3)), ValueError, "grad_output has"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_CALLS)
def test_wrong_input_is_named(backend: str, case: str) -> None:
    call, error, text = BAD_CALLS[case]
    with pytest.raises(error, match=text):
        call()


def read_only(array: np.ndarray) -> np.ndarray:
    array.flags.writeable = False
    return array


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda x: f32(3, 3), ValueError, "out has shape"),
        (lambda x: np.ones((4, 4)), TypeError, "out has dtype float64"),
        (lambda x: f32(4, 8)[:, ::2], ValueError, "out is not C-contiguous"),
        (lambda x: read_only(f32(4, 4)), ValueError, "out is read-only"),
        (lambda x: x, ValueError, "out shares memory with"),
        (lambda x: [[0.0]], TypeError, "out is list"),
    ],
)
def test_wrong_out_is_refused_before_anything_is_written(
    backend: str, make: Callable[[Any], Any], error: type[Exception], text: str
) -> None:
    x = f32(4, 4)
    out = make(x)
    before = np.array(out, copy=True)
    with pytest.raises(error, match=text):
        kernels.linear(x, x.copy(), out=out)
    np.testing.assert_array_equal(out, before)
    np.testing.assert_array_equal(x, f32(4, 4))
