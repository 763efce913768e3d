"""Plain NumPy: counter-based random numbers and dropout."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from mlpeak._types import Array
from mlpeak.reference import _check

__all__ = [
    "dropout",
    "dropout_backward",
    "permutation",
    "random_normal",
    "random_uniform",
    "random_words",
]

_MASK32 = np.uint64(0xFFFFFFFF)
_MAX_WORDS = 1 << 34  # 2^32 counters of four words


def philox4x32(counter: Sequence[Any], key: tuple[int, int]) -> list[NDArray[np.uint64]]:
    """Ten rounds of Philox4x32: four words (in uint64 arrays) for four counter words.

    Salmon, Moraes, Dror & Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC11, section 4.3.
    """
    x0, x1, x2, x3 = (np.atleast_1d(np.asarray(c, np.uint64)) for c in counter)
    for i in range(10):
        k0 = np.uint64((key[0] + i * 0x9E3779B9) & 0xFFFFFFFF)  # golden ratio
        k1 = np.uint64((key[1] + i * 0xBB67AE85) & 0xFFFFFFFF)  # sqrt(3) - 1
        p0, p1 = x0 * np.uint64(0xD2511F53), x2 * np.uint64(0xCD9E8D57)
        x0, x1, x2, x3 = (p1 >> 32) ^ x1 ^ k0, p1 & _MASK32, (p0 >> 32) ^ x3 ^ k1, p0 & _MASK32
    return [x0, x1, x2, x3]


def _words(n: int, first: int, seed: int, stream: int, step: int) -> NDArray[np.uint32]:
    """Words `first` .. `first` + n - 1 of (seed, stream, step): word i is in block i // 4."""
    begin, end = first // 4, -(-(first + n) // 4)
    block = np.arange(begin, max(begin, end), dtype=np.uint64)
    counter = (block, stream, step & 0xFFFFFFFF, step >> 32)
    words = np.stack(
        np.broadcast_arrays(*philox4x32(counter, (seed & 0xFFFFFFFF, seed >> 32))), axis=-1
    )
    return words.ravel()[first % 4 :][:n].astype(np.uint32)


def _integer(function: str, name: str, value: object, bits: int, legal: str) -> int:
    """`value` is an integer in [0, 2**bits)."""
    return _check.integer(function, name, value, 0, (1 << bits) - 1, legal)


def _key(function: str, seed: object, stream: object, step: object) -> tuple[int, int, int]:
    return (
        _integer(function, "seed", seed, 64, "an integer in [0, 2**64)"),
        _integer(function, "stream", stream, 32, "an integer in [0, 2**32)"),
        _integer(function, "step", step, 64, "an integer in [0, 2**64)"),
    )


def _shape(function: str, shape: object) -> tuple[int, ...]:
    dims = shape if isinstance(shape, (tuple, list)) else (shape,)
    legal = "an integer or a tuple of integers, each in [0, 2**63)"
    return tuple(_integer(function, "shape", d, 63, legal) for d in dims)


def _dtype(function: str, dtype: DTypeLike) -> np.dtype[Any]:
    d = np.dtype(dtype)
    if d not in (np.float32, np.float64) or not d.isnative:
        raise TypeError(f"{function}: dtype is {d}; expected float32 or float64")
    return d


def _word_limit(function: str, name: str, words: int) -> None:
    if words > _MAX_WORDS:
        raise ValueError(
            f"{function}: {name} takes {words} random words; one step has {_MAX_WORDS}"
        )


def random_words(
    n: int, *, first: int = 0, seed: int, stream: int = 0, step: int = 0
) -> NDArray[np.uint32]:
    """Word i is word i % 4 of Philox4x32-10(key=seed, counter=(i // 4, stream, step))."""
    f = "random_words"
    n = _integer(f, "n", n, 63, "an integer in [0, 2**63)")
    first = _integer(f, "first", first, 63, "an integer in [0, 2**63)")
    key = _key(f, seed, stream, step)
    _word_limit(f, "n", first + n)
    return _words(n, first, *key)


def random_uniform(
    shape: int | Sequence[int],
    low: float = 0.0,
    high: float = 1.0,
    *,
    seed: int,
    stream: int = 0,
    step: int = 0,
    dtype: DTypeLike = np.float32,
    out: Array | None = None,
) -> Array:
    """Low + (high - low) u, kept below high; u has 24 bits in float32, 53 in float64."""
    f = "random_uniform"
    dims = _shape(f, shape)
    key = _key(f, seed, stream, step)
    t = _dtype(f, dtype).type
    biggest = float(np.finfo(t).max)
    low = _check.number(f, "low", low, -biggest, biggest, f"a finite {np.dtype(t)}")
    high = _check.number(f, "high", high, -biggest, biggest, f"a finite {np.dtype(t)}")
    lo, hi = t(low), t(high)
    if not lo <= hi:
        raise ValueError(f"{f}: high is {high!r}; expected at least low = {low!r}")
    with np.errstate(over="ignore"):
        span = hi - lo
    if not math.isfinite(span):
        raise ValueError(f"{f}: high is {high!r}; expected high - low finite in {np.dtype(t)}")
    n = math.prod(dims)
    _word_limit(f, "shape", n * np.dtype(t).itemsize // 4)
    result = _check.write(f, "out", out, np.dtype(t), dims)
    if t is np.float32:
        u = (_words(n, 0, *key) >> 8).astype(t) * t(2.0**-24)
    else:
        w = _words(2 * n, 0, *key)
        u = ((w[0::2] >> 5) * 67108864.0 + (w[1::2] >> 6)) * 2.0**-53  # 27 bits, then 26
    result[...] = np.minimum(lo + u * span, np.nextafter(hi, lo)).reshape(dims)
    return result


def random_normal(
    shape: int | Sequence[int],
    mean: float = 0.0,
    std: float = 1.0,
    *,
    seed: int,
    stream: int = 0,
    step: int = 0,
    dtype: DTypeLike = np.float32,
    out: Array | None = None,
) -> Array:
    """Mean + std z; pairs z = sqrt(-2 log u) (cos, sin)(2 pi v): Box & Muller 1958."""
    f = "random_normal"
    dims = _shape(f, shape)
    key = _key(f, seed, stream, step)
    t = _dtype(f, dtype)
    biggest = float(np.finfo(t.type).max)
    mean = _check.number(f, "mean", mean, -biggest, biggest, f"a finite {t}")
    std = _check.number(f, "std", std, 0.0, biggest, f"a finite {t}, at least 0")
    n = math.prod(dims)
    _word_limit(f, "shape", n * t.itemsize // 4)
    result = _check.write(f, "out", out, t, dims)
    pairs = -(-n // 2)
    if t == np.float32:
        w = _words(2 * pairs, 0, *key)
        # (w + 1/2) / 2^32, rounded once to float32: 2^-33 at least, so |z| reaches 6.76
        high16 = (w[0::2] >> 16).astype(np.float32) * np.float32(65536)
        low16 = (w[0::2] & 0xFFFF).astype(np.float32) + np.float32(0.5)
        u = ((high16 + low16) * np.float32(2.0**-32)).astype(np.float64)
        v = (w[1::2] >> 8) * 2.0**-24
    else:
        w = _words(4 * pairs, 0, *key)
        bits = [(w[i::4] >> 5) * 67108864.0 + (w[i + 1 :: 4] >> 6) for i in (0, 2)]
        u, v = (2.0**53 - bits[0]) * 2.0**-53, bits[1] * 2.0**-53  # u in (0, 1]
    # reduced to an eighth of a turn exactly, because 2 pi v is rounded
    quarter = np.rint(4 * v)
    angle = 2 * np.pi * (v - quarter / 4)
    turn = quarter.astype(np.int64) % 4
    c, s = np.cos(angle), np.sin(angle)
    radius = np.sqrt(-2 * np.log(u))
    z = np.stack(
        [radius * np.choose(turn, [c, -s, -c, s]), radius * np.choose(turn, [s, c, -s, -c])], -1
    )
    with np.errstate(over="ignore"):
        # the kernel rounds mean and std to the dtype first
        result[...] = (float(t.type(mean)) + float(t.type(std)) * z).ravel()[:n].reshape(dims)
    return result


def _dropout(
    f: str, name: str, x: Array, p: float, seed: int, stream: int, step: int, out: Array | None
) -> Array:
    x = _check.read(f, name, x)
    p = _check.number(f, "p", p, 0.0, 1.0, "a probability in [0, 1]")
    key = _key(f, seed, stream, step)
    _word_limit(f, name, x.size)
    result = _check.write(f, "out", out, x.dtype, x.shape, may_equal=((name, x),))
    dropped = _words(x.size, 0, *key).reshape(x.shape) < np.uint64(math.floor(p * 2**32 + 0.5))
    scale = x.dtype.type(1 / (1 - p)) if p < 1 else x.dtype.type(0)
    with np.errstate(over="ignore", invalid="ignore"):
        result[...] = np.where(dropped, x.dtype.type(0), x * scale)
    return result


def dropout(
    x: Array, p: float, *, seed: int, stream: int = 0, step: int = 0, out: Array | None = None
) -> Array:
    """0 with probability p, else x / (1 - p)."""
    return _dropout("dropout", "x", x, p, seed, stream, step, out)


def dropout_backward(
    grad_output: Array,
    p: float,
    *,
    seed: int,
    stream: int = 0,
    step: int = 0,
    out: Array | None = None,
) -> Array:
    """0 where the forward dropped, else grad_output / (1 - p)."""
    return _dropout("dropout_backward", "grad_output", grad_output, p, seed, stream, step, out)


def permutation(n: int, *, seed: int, stream: int = 0, step: int = 0) -> NDArray[np.int64]:
    """Fisher-Yates from the end; j in [0, i] is the high half of (64-bit draw) x (i + 1)."""
    f = "permutation"
    n = _integer(f, "n", n, 32, "an integer in [0, 2**32)")
    key = _key(f, seed, stream, step)
    result = list(range(n))
    draws: list[int] = []
    used = 0
    for i in range(n - 1, 0, -1):
        size = i + 1
        rejected = 2**64 % size  # products whose low half is below this are one too many
        while True:
            if used == len(draws):  # the next 1024 words; a draw is two, low then high
                w = _words(1024, 2 * used, *key).astype(np.uint64)
                draws += (w[0::2] | w[1::2] << np.uint64(32)).tolist()
            product = draws[used] * size
            used += 1
            if product % 2**64 >= rejected:
                break
        j = product >> 64
        result[i], result[j] = result[j], result[i]
    return np.array(result, dtype=np.int64)
