"""Measure the largest error of the float32 functions over bit patterns, in ULP of the true value.

``python benchmarks/sweep_math.py`` visits all 2^32 patterns of every function (about half an hour
on one core); ``--stride 64`` visits each 64th, ``--jobs 2`` uses two processes. The true value is
NumPy's in float64, whose own error is below 1e-8 ULP of float32. Fails if a limit is exceeded.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mlpeak import _core, kernels

Array = NDArray[Any]
PATTERNS = 2**32
BLOCK = 2**20


def _erf(x: Array) -> Array:
    try:
        from scipy.special import erf
    except ImportError:
        erf = np.frompyfunc(math.erf, 1, 1)
    return np.asarray(erf(x), np.float64)


def _sigmoid(x: Array) -> Array:
    e = np.exp(-np.abs(x))
    return np.where(x < 0, e, 1.0) / (1.0 + e)


class Function(NamedTuple):
    """A function under test, the truth in float64, and the limit in ULP that its comment states."""

    kernel: Callable[[Array], Array]
    truth: Callable[[Array], Array]
    limit: float


FUNCTIONS = {
    "exp": Function(kernels.exp, np.exp, 1.0),
    "log": Function(kernels.log, np.log, 1.0),
    "log1p": Function(kernels.log1p, np.log1p, 2.0),
    "expm1": Function(kernels.expm1, np.expm1, 2.0),
    "tanh": Function(kernels.tanh, np.tanh, 2.0),
    "erf": Function(kernels.erf, _erf, 2.0),
    "sigmoid": Function(kernels.sigmoid, _sigmoid, 2.0),
}


def ulp_error(got: Array, true: Array) -> Array:
    """Return |got - true| in units of `got`'s format at `true`; inf where a special value is wrong.

    `true` has more digits than `got`: NaN, infinities and signed zeros must agree after rounding.
    """
    limits = np.finfo(got.dtype)
    exponent = np.frexp(true)[1] - (limits.nmant + 1)
    unit = np.ldexp(1.0, np.maximum(exponent, limits.minexp - limits.nmant))
    with np.errstate(all="ignore"):
        rounded = true.astype(got.dtype)
        error = np.abs(got.astype(true.dtype) - true) / unit
    special = ~np.isfinite(rounded) | (true == 0)
    same = (got == rounded) & (np.signbit(got) == np.signbit(rounded))
    same |= np.isnan(got) & np.isnan(rounded)
    return np.where(special, np.where(same, 0.0, np.inf), np.where(np.isfinite(got), error, np.inf))


class Worst(NamedTuple):
    """The largest error seen and the input it came from."""

    error: float
    x: float


def sweep(name: str, begin: int, end: int, stride: int) -> Worst:
    """Return the worst of the patterns begin, begin + stride, ... below end."""
    function = FUNCTIONS[name]
    worst = Worst(0.0, 0.0)
    for low in range(begin, end, BLOCK * stride):
        patterns = np.arange(low, min(low + BLOCK * stride, end), stride, dtype=np.uint64)
        x = patterns.astype(np.uint32).view(np.float32)
        with np.errstate(all="ignore"):
            true = function.truth(x.astype(np.float64))
        error = ulp_error(function.kernel(x), true)
        i = int(error.argmax())
        if error[i] > worst.error:
            worst = Worst(float(error[i]), float(x[i]))
    return worst


def _ranges(parts: int, stride: int) -> Iterator[tuple[int, int]]:
    size = -(-PATTERNS // (parts * stride)) * stride
    for begin in range(0, PATTERNS, size):
        yield begin, min(begin + size, PATTERNS)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("functions", nargs="*", default=list(FUNCTIONS), metavar="FUNCTION")
    parser.add_argument("--stride", type=int, default=1, help="visit every STRIDE-th pattern")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    options = parser.parse_args()
    failed = False
    print(f"tier {_core.tier()}, {PATTERNS // options.stride} patterns a function")
    with ProcessPoolExecutor(options.jobs) as pool:
        for name in options.functions:
            parts = list(_ranges(4 * options.jobs, options.stride))
            results = [pool.submit(sweep, name, a, b, options.stride) for a, b in parts]
            worst = max(result.result() for result in results)
            limit = FUNCTIONS[name].limit
            failed |= worst.error > limit
            print(f"{name:8} {worst.error:.4f} ULP at {worst.x!r} (limit {limit:g})", flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
