"""Counter-based random numbers, dropout and permutations."""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import pytest
from numpy.typing import NDArray

from mlpeak import _core, kernels, reference, set_num_threads
from mlpeak.reference.random import philox4x32

Array = NDArray[Any]
DTYPES = [np.float32, np.float64]
KEY: dict[str, int] = {"seed": 0x0123456789ABCDEF, "stream": 7, "step": (5 << 32) + 3}
# around registers (1 to 16 lanes), around a tile of 256 words, and over several threads' shares
SIZES = [0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 63, 64, 65]
SIZES += [127, 128, 129, 255, 256, 257, 1023, 1024, 1025, 3001]
MANY = 100_003  # more than one thread's worth of work

# Random123 1.14, tests/kat_vectors, lines "philox4x32 10": counter, key, result. The third counter
# and key are digits of pi.
KNOWN_ANSWERS = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


@pytest.mark.parametrize(("counter", "key", "expected"), KNOWN_ANSWERS)
def test_reference_philox_gives_the_known_answers(
    counter: tuple[int, ...], key: tuple[int, int], expected: tuple[int, ...]
) -> None:
    assert tuple(int(word[0]) for word in philox4x32(counter, key)) == expected


@pytest.mark.parametrize(("counter", "key", "expected"), KNOWN_ANSWERS)
def test_words_give_the_known_answers(
    tier: str, counter: tuple[int, ...], key: tuple[int, int], expected: tuple[int, ...]
) -> None:
    words = kernels.random_words(
        4,
        first=4 * counter[0],
        seed=key[0] | key[1] << 32,
        stream=counter[1],
        step=counter[2] | counter[3] << 32,
    )
    assert tuple(words.tolist()) == expected


def test_words_match_the_reference(tier: str) -> None:
    for n, first in itertools.product(SIZES, [0, 1, 2, 3, 4, 255, 2**34 - 3001]):
        native = kernels.random_words(n, first=first, **KEY)
        assert np.array_equal(native, reference.random_words(n, first=first, **KEY)), (n, first)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("low", "high"), [(0, 1), (-2.5, 7.25), (3, 3), (-1e30, 1e30), (1, 1.001)])
def test_uniform_equals_the_reference(tier: str, dtype: type, low: float, high: float) -> None:
    # one product and one sum, each correctly rounded in both: the same bits
    for n in [*SIZES, MANY]:
        native = kernels.random_uniform(n, low, high, dtype=dtype, **KEY)
        assert native.dtype == dtype
        assert np.array_equal(native, reference.random_uniform(n, low, high, dtype=dtype, **KEY))


@pytest.mark.parametrize("dtype", DTYPES)
def test_uniform_stays_below_high(backend: str, dtype: type) -> None:
    # one representable number in the interval: every sum that rounds up to high is held back
    low, high = dtype(1), np.nextafter(dtype(1), dtype(2))
    assert np.all(kernels.random_uniform(999, low, high, dtype=dtype, **KEY) == low)


def normal_ulps(dtype: type) -> float:
    """Bound of |native - reference| for standard normals, in units of spacing(reference)."""
    # The kernel's own 6: log is within 1 ulp, 2u relative (u = eps / 2), which the root halves to
    # u; root u; cos 1.5 ulp or 3u; product u: together 6u, at most 6 ulp. The reference adds half
    # an ulp where it rounds float64 to float32; in float64 four operations of at most 2 ulp.
    return 6.5 if dtype is np.float32 else 14.0


@pytest.mark.parametrize("dtype", DTYPES)
def test_normal_matches_the_reference(tier: str, dtype: type) -> None:
    for n in [*SIZES, MANY]:
        z = kernels.random_normal(n, dtype=dtype, **KEY)
        expected = reference.random_normal(n, dtype=dtype, **KEY)
        assert z.dtype == dtype
        assert np.all(np.abs(z - expected) <= normal_ulps(dtype) * np.spacing(np.abs(expected)))

        # shifted: the error of z times std, and one rounding of a number this large
        mean, std = dtype(-3), dtype(0.25)
        shifted = kernels.random_normal(n, mean, std, dtype=dtype, **KEY)
        bound = normal_ulps(dtype) * std * np.spacing(np.abs(expected)) + np.spacing(
            np.abs(shifted)
        )
        expected = reference.random_normal(n, mean, std, dtype=dtype, **KEY)
        assert np.all(np.abs(shifted - expected) <= bound)


def exact_normals(dtype: type, pairs: int) -> list[Any]:
    """Box-Muller of the first words in 200 bits, from u as the kernel's contract states it."""
    w = [int(x) for x in reference.random_words(pairs * (2 if dtype is np.float32 else 4), **KEY)]
    result: list[Any] = []
    for k in range(pairs):
        if dtype is np.float32:
            u = mpmath.mpf(float(np.float32(w[2 * k] + 0.5))) / 2**32
            v = mpmath.mpf(w[2 * k + 1] >> 8) / 2**24
        else:
            bits = [(w[4 * k + i] >> 5 << 26) + (w[4 * k + i + 1] >> 6) for i in (0, 2)]
            u, v = 1 - mpmath.mpf(bits[0]) / 2**53, mpmath.mpf(bits[1]) / 2**53
        radius = mpmath.sqrt(-2 * mpmath.log(u))
        result += [radius * mpmath.cospi(2 * v), radius * mpmath.sinpi(2 * v)]
    return result


@pytest.mark.parametrize("dtype", DTYPES)
def test_normal_is_within_six_ulp_of_the_exact_value(tier: str, dtype: type) -> None:
    with mpmath.workprec(200):
        exact = exact_normals(dtype, 1000)
        z = kernels.random_normal(2000, dtype=dtype, **KEY)
        ulp = np.spacing(np.abs(z))
        worst = max(
            abs(mpmath.mpf(float(a)) - b) / float(s) for a, b, s in zip(z, exact, ulp, strict=True)
        )
    assert worst <= 6


@pytest.mark.parametrize("dtype", DTYPES)
def test_dropout_equals_the_reference(tier: str, dtype: type) -> None:
    rng = np.random.default_rng(1)
    for n in [*SIZES, MANY]:
        x = rng.normal(size=n).astype(dtype)
        for p in (0.0, 1e-12, 0.1, 0.5, 0.9, 1 - 1e-12, 1.0):
            y = kernels.dropout(x, p, **KEY)
            assert y.dtype == dtype
            assert np.array_equal(y, reference.dropout(x, p, **KEY)), (n, p)
            assert np.array_equal(y, kernels.dropout_backward(x, p, **KEY)), (n, p)


def drawing(dtype: type) -> dict[str, Callable[[int], Array]]:
    x = np.random.default_rng(2).normal(size=MANY).astype(dtype)
    return {
        "words": lambda n: kernels.random_words(n, **KEY),
        "uniform": lambda n: kernels.random_uniform(n, -1, 2, dtype=dtype, **KEY),
        "normal": lambda n: kernels.random_normal(n, 1, 2, dtype=dtype, **KEY),
        "dropout": lambda n: kernels.dropout(x[:n], 0.3, **KEY),
        "permutation": lambda n: kernels.permutation(n, **KEY),
    }


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", drawing(np.float32))
def test_same_bits_on_every_tier_and_number_of_threads(name: str, dtype: type) -> None:
    before = _core.tier()
    digests = set()
    try:
        for tier_name, threads in itertools.product(_core.tiers(), [1, 2, 3, 4, 8]):
            _core.select_tier(tier_name)
            set_num_threads(threads)
            digests.add(hashlib.sha256(drawing(dtype)[name](MANY).tobytes()).hexdigest())
    finally:
        _core.select_tier(before)
    assert len(digests) == 1


@pytest.mark.parametrize("name", ["words", "uniform", "normal", "dropout"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_number_depends_on_its_index_alone(tier: str, name: str, dtype: type) -> None:
    draw = drawing(dtype)[name]
    whole = draw(MANY)
    for n in SIZES:
        assert np.array_equal(draw(n), whole[:n]), n


def test_known_bits() -> None:
    """A release may not change the numbers of a seed: saved experiments would not continue."""
    digest = hashlib.sha256()
    for dtype in DTYPES:
        for draw in drawing(dtype).values():
            digest.update(draw(1000).tobytes())
    assert digest.hexdigest() == "22774476d966ccf2ae639683552c55453187e9f7ba6c578b3cafa5b3dd1e6958"


# ---- distributions: bounds are five standard deviations of the statistic (chance 6e-7 each) ----

SAMPLES = 1 << 18


def chi_square_bound(cells: int) -> float:
    return cells - 1 + 5 * math.sqrt(2 * (cells - 1))


@pytest.mark.parametrize("dtype", DTYPES)
def test_uniform_is_uniform(dtype: type) -> None:
    u = kernels.random_uniform(SAMPLES, seed=11, dtype=dtype).astype(np.float64)
    assert u.min() >= 0
    assert u.max() < 1
    assert abs(u.mean() - 0.5) < 5 * math.sqrt(1 / 12 / SAMPLES)
    counts = np.bincount((u * 256).astype(np.int64), minlength=256)
    expected = SAMPLES / 256
    assert np.sum((counts - expected) ** 2 / expected) < chi_square_bound(256)
    bits = 24 if dtype is np.float32 else 53
    integers = (u * 2.0**bits).astype(np.uint64)
    assert np.array_equal(integers * 2.0**-bits, u)
    for bit in range(bits):
        ones = int(np.sum(integers >> np.uint64(bit) & np.uint64(1)))
        assert abs(ones - SAMPLES / 2) < 5 * math.sqrt(SAMPLES) / 2, bit


@pytest.mark.parametrize("dtype", DTYPES)
def test_normal_is_normal(dtype: type) -> None:
    z = kernels.random_normal(SAMPLES, seed=12, dtype=dtype).astype(np.float64)
    # variances of the first four sample moments of a standard normal, times the sample size
    for power, expected, variance in [(1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)]:
        assert abs(np.mean(z**power) - expected) < 5 * math.sqrt(variance / SAMPLES), power
    for limit in (0.1, 0.5, 1, 2, 3, 4):
        p = math.erf(limit / math.sqrt(2))
        inside = int(np.sum(np.abs(z) < limit))
        assert abs(inside - SAMPLES * p) < 5 * math.sqrt(SAMPLES * p * (1 - p)) + 1, limit
    pairs = z.reshape(-1, 2)
    assert abs(np.mean(pairs[:, 0] * pairs[:, 1])) < 5 * math.sqrt(2 / SAMPLES)


@pytest.mark.parametrize(
    "other", [{"seed": 14}, {"stream": 1}, {"step": 1}, {"step": 1 << 32}, {"seed": 13 + (1 << 32)}]
)
def test_keys_draw_independent_numbers(other: dict[str, int]) -> None:
    a = kernels.random_normal(SAMPLES, seed=13)
    b = kernels.random_normal(SAMPLES, **{"seed": 13, **other})
    assert abs(np.mean(a.astype(np.float64) * b)) < 5 / math.sqrt(SAMPLES)


@pytest.mark.parametrize("p", [0.001, 0.1, 0.5, 0.8, 0.999])
def test_dropout_drops_its_share(p: float) -> None:
    y = kernels.dropout(np.ones(SAMPLES), p, seed=15)
    dropped = int(np.sum(y == 0))
    assert abs(dropped - SAMPLES * p) < 5 * math.sqrt(SAMPLES * p * (1 - p))
    assert np.all(y[y != 0] == 1 / (1 - p))


def test_permutations_are_equally_likely() -> None:
    draws = 24_000
    counts: dict[tuple[int, ...], int] = {}
    for step in range(draws):
        order = tuple(kernels.permutation(4, seed=16, step=step).tolist())
        counts[order] = counts.get(order, 0) + 1
    assert len(counts) == 24
    statistic = sum((c - draws / 24) ** 2 / (draws / 24) for c in counts.values())
    assert statistic < chi_square_bound(24)


# ---- behaviour ----


def test_permutation_equals_the_reference() -> None:
    for n in [*SIZES, 20_000]:
        order = kernels.permutation(n, **KEY)
        assert order.dtype == np.int64
        assert np.array_equal(np.sort(order), np.arange(n))
        assert np.array_equal(order, reference.permutation(n, **KEY))


def test_dropout_mask_is_the_same_in_both_dtypes(backend: str) -> None:
    masks = [kernels.dropout(np.ones(1000, dtype), 0.4, **KEY) == 0 for dtype in DTYPES]
    assert np.array_equal(*masks)


@pytest.mark.parametrize("dtype", DTYPES)
def test_dropout_at_zero_and_one(backend: str, dtype: type) -> None:
    x = np.array([1, -2, 0, np.inf, -np.inf, np.nan, 3], dtype)
    assert np.array_equal(kernels.dropout(x, 0, **KEY), x, equal_nan=True)
    assert np.array_equal(kernels.dropout(x, 1, **KEY), np.zeros(7, dtype))


def test_dropped_elements_are_zero_whatever_they_were(backend: str) -> None:
    dropped = kernels.dropout(np.ones(1000), 0.5, **KEY) == 0
    for bad in (np.nan, np.inf, -1e308):
        y = kernels.dropout(np.full(1000, bad), 0.5, **KEY)
        assert np.all(y[dropped] == 0)
        assert not np.any(np.signbit(y[dropped]))
        assert np.all(~np.isfinite(y[~dropped]))


def test_dropout_gradient_is_the_difference_quotient(backend: str) -> None:
    rng = np.random.default_rng(3)
    x, g = rng.normal(size=(2, 5, 7))
    grad = kernels.dropout_backward(g, 0.3, **KEY)
    h = 2.0**-10  # the function is linear in x: only rounding is left, eps |g y| / h
    for i in np.ndindex(x.shape):
        d = np.zeros_like(x)
        d[i] = h
        slope = (
            np.sum(g * (kernels.dropout(x + d, 0.3, **KEY) - kernels.dropout(x - d, 0.3, **KEY)))
        ) / (2 * h)
        assert abs(slope - grad[i]) <= 16 * 2.0**-52 * np.abs(g * x / 0.7).max() / h


@pytest.mark.parametrize("dtype", DTYPES)
def test_dropout_keeps_what_torch_keeps_it_at(dtype: type) -> None:
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(4).normal(size=4096).astype(dtype)
    ours = kernels.dropout(x, 0.3, **KEY)
    torchs = torch.nn.functional.dropout(torch.from_numpy(x), 0.3).numpy()
    both = (ours != 0) & (torchs != 0)
    assert both.sum() > 1000
    assert np.all(np.abs(ours[both] - torchs[both]) <= 2 * np.spacing(np.abs(torchs[both])))


def test_shapes_and_out(backend: str) -> None:
    for draw in (kernels.random_uniform, kernels.random_normal):
        flat = draw(24, seed=1)
        assert np.array_equal(draw((2, 3, 4), seed=1), flat.reshape(2, 3, 4))
        assert np.array_equal(draw([4, 6], seed=1), flat.reshape(4, 6))
        assert np.array_equal(draw((np.int64(24),), seed=np.uint64(1)), flat)
        assert draw((), seed=1).shape == ()
        assert draw((3, 0), seed=1).shape == (3, 0)
        out = np.empty((4, 6), np.float32)
        assert draw((4, 6), seed=1, out=out) is out
        assert np.array_equal(out, flat.reshape(4, 6))


def test_dropout_reads_strided_and_writes_in_place(backend: str) -> None:
    x = np.random.default_rng(5).normal(size=(20, 30))
    for view in (x.T, x[::2, ::3], x[::-1], x[:0]):
        expected = kernels.dropout(view.copy(), 0.5, **KEY)
        assert np.array_equal(kernels.dropout(view, 0.5, **KEY), expected)
    expected = kernels.dropout(x, 0.5, **KEY)
    assert kernels.dropout(x, 0.5, **KEY, out=x) is x
    assert np.array_equal(x, expected)


# ---- refusals ----

OK = np.ones((3, 4), np.float32)
READ_ONLY = np.ones((3, 4), np.float32)
READ_ONLY.flags.writeable = False
SHARED = np.ones(20, np.float32)

BAD_CALLS: list[tuple[str, tuple[Any, ...], dict[str, Any], type[Exception], str]] = [
    ("random_words", (-1,), {}, ValueError, "n is -1"),
    ("random_words", (1.0,), {}, TypeError, "n is float"),
    ("random_words", (2**34 + 1,), {}, ValueError, "n takes 17179869185 random words"),
    ("random_words", (1,), {"first": -1}, ValueError, "first is -1"),
    ("random_words", (1,), {"seed": -1}, ValueError, r"seed is -1; expected an integer in \[0, 2"),
    ("random_words", (1,), {"seed": 2**64}, ValueError, "seed is 18446744073709551616"),
    ("random_words", (1,), {"seed": 0.5}, TypeError, "seed is float"),
    ("random_words", (1,), {"seed": None}, TypeError, "seed is NoneType"),
    ("random_words", (1,), {"stream": 2**32}, ValueError, "stream is 4294967296"),
    ("random_words", (1,), {"step": -1}, ValueError, "step is -1"),
    ("permutation", (-1,), {}, ValueError, "n is -1"),
    ("permutation", (2**32,), {}, ValueError, "n is 4294967296"),
    ("permutation", (3,), {"step": 2**64}, ValueError, "step is"),
]
for _draw in ("random_uniform", "random_normal"):
    BAD_CALLS += [
        (_draw, (-1,), {}, ValueError, "shape is -1"),
        (_draw, ((2, -3),), {}, ValueError, "shape is -3"),
        (_draw, ((2, 3.0),), {}, TypeError, "shape is float"),
        (_draw, ("ab",), {}, TypeError, "shape is str"),
        (_draw, ((2**20, 2**20),), {}, ValueError, "shape takes 1099511627776 random words"),
        (_draw, (3,), {"dtype": np.int32}, TypeError, "dtype is int32; expected float32 or"),
        (_draw, (3,), {"dtype": ">f4"}, TypeError, "dtype is >f4"),
        (_draw, (3,), {"seed": -5}, ValueError, "seed is -5"),
        (_draw, (3,), {"out": [0, 0, 0]}, TypeError, "out is list"),
        (_draw, (3,), {"out": np.empty(3)}, TypeError, "out has dtype float64; expected float32"),
        (_draw, (3,), {"out": OK}, ValueError, r"out has shape \(3, 4\); expected \(3,\)"),
        (_draw, ((3, 4),), {"out": READ_ONLY}, ValueError, "out is read-only"),
        (_draw, ((10,),), {"out": SHARED[::2]}, ValueError, "out is not C-contiguous"),
    ]
BAD_CALLS += [
    ("random_uniform", (3, 2.0, 1.0), {}, ValueError, "high is 1.0; expected at least low = 2.0"),
    ("random_uniform", (3, 0, math.nan), {}, ValueError, "high is nan"),
    ("random_uniform", (3, -math.inf, 0), {}, ValueError, "low is -inf; expected a finite float32"),
    ("random_uniform", (3, 0, 1e39), {}, ValueError, "high is 1e[+]39; expected a finite float32"),
    ("random_uniform", (3, -3e38, 3e38), {}, ValueError, "expected high - low finite in float32"),
    ("random_normal", (3, math.nan), {}, ValueError, "mean is nan"),
    ("random_normal", (3, 0, -1.0), {}, ValueError, "std is -1.0; expected a finite float32, at"),
    ("random_normal", (3, 0, math.inf), {}, ValueError, "std is inf"),
]
for _drop, _x in (("dropout", "x"), ("dropout_backward", "grad_output")):
    BAD_CALLS += [
        (_drop, ([1.0], 0.5), {}, TypeError, f"{_x} is list"),
        (_drop, (np.ones(3, np.int64), 0.5), {}, TypeError, f"{_x} has dtype int64"),
        (_drop, (OK, -0.1), {}, ValueError, r"p is -0.1; expected a probability in \[0, 1\]"),
        (_drop, (OK, 1.5), {}, ValueError, "p is 1.5"),
        (_drop, (OK, math.nan), {}, ValueError, "p is nan"),
        (_drop, (OK, 0.5), {"stream": -1}, ValueError, "stream is -1"),
        (_drop, (OK, 0.5), {"out": np.ones(12, np.float32)}, ValueError, "out has shape"),
        (_drop, (OK, 0.5), {"out": np.ones((3, 4))}, TypeError, "out has dtype float64"),
        (_drop, (OK, 0.5), {"out": READ_ONLY}, ValueError, "out is read-only"),
        (_drop, (SHARED[:10], 0.5), {"out": SHARED[5:15]}, ValueError, f"shares memory with {_x}"),
        (_drop, (SHARED[:10], 0.5), {"out": SHARED[::2]}, ValueError, "out is not C-contiguous"),
    ]


@pytest.mark.parametrize(("name", "args", "kwargs", "error", "message"), BAD_CALLS)
def test_refuses(
    backend: str,
    name: str,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    error: type[Exception],
    message: str,
) -> None:
    with pytest.raises(error, match=f"^{name}: .*{message}"):
        getattr(kernels, name)(*args, **{"seed": 0, **kwargs})
    for array in (OK, READ_ONLY, SHARED):
        assert np.all(array == 1)
