"""The losses with options, data, and the size of the terms that rounding errors scale with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mlpeak import kernels, reference

Array = NDArray[Any]
Arrays = tuple[Array, ...]


class Case(NamedTuple):
    """An element-wise loss, one setting of its options."""

    name: str
    options: dict[str, Any]
    data: Callable[[np.random.Generator, tuple[int, ...]], Arrays]  # input, target(, var)
    # magnitude of the terms that are added up in a value, and in each derivative
    value_terms: Callable[..., Array]
    derivative_terms: Callable[..., Arrays]

    @property
    def id(self) -> str:
        return "-".join([self.name, *(f"{k}={v}" for k, v in self.options.items())])

    def make(self, shape: tuple[int, ...], dtype: Any, seed: int = 0) -> Arrays:
        rng = np.random.default_rng([seed, *shape])
        return tuple(a.astype(dtype) for a in self.data(rng, shape))


def real(rng: np.random.Generator, shape: tuple[int, ...]) -> Arrays:
    return 2 * rng.normal(size=shape), rng.normal(size=shape)


def probabilities(rng: np.random.Generator, shape: tuple[int, ...]) -> Arrays:
    return rng.uniform(0.05, 0.95, shape), rng.uniform(0, 1, shape)


def logits(rng: np.random.Generator, shape: tuple[int, ...]) -> Arrays:
    return 5 * rng.normal(size=shape), rng.integers(0, 5, shape) / 4.0


def gaussian(rng: np.random.Generator, shape: tuple[int, ...]) -> Arrays:
    return (*real(rng, shape), rng.uniform(0.1, 3, shape))


def counts(rng: np.random.Generator, shape: tuple[int, ...]) -> Arrays:
    return rng.uniform(0.2, 4, shape), rng.poisson(2.0, shape).astype(np.float64)


def stirling_terms(t: Array) -> Array:
    n = np.maximum(t, 1.0)
    return (n + 0.5) * np.log(n) + n + 1.0


def logits_terms(x: Array, t: Array) -> Arrays:
    z = np.exp(-np.abs(x))
    sigmoid = np.where(x < 0, z, 1.0) / (1.0 + z)
    return ((1 - t) * sigmoid + t * (1 - sigmoid),)


DISTANCE = [
    Case("mse_loss", {}, real, lambda x, t: (x - t) ** 2, lambda x, t: (2 * np.abs(x - t),)),
    Case("l1_loss", {}, real, lambda x, t: np.abs(x - t), lambda x, t: (np.ones_like(x),)),
    *(
        Case(
            "smooth_l1_loss",
            {"beta": beta},
            real,
            lambda x, t: np.abs(x - t),
            lambda x, t: (np.ones_like(x),),
        )
        for beta in (0.0, 0.3, 1.0)
    ),
    *(
        Case(
            "huber_loss",
            {"delta": delta},
            real,
            lambda x, t: 3 * np.abs(x - t),
            lambda x, t: (np.abs(x - t),),
        )
        for delta in (0.3, 1.0, 2.5)
    ),
]
LIKELIHOOD = [
    Case(
        "binary_cross_entropy",
        {},
        probabilities,
        lambda x, t: -t * np.log(x) - (1 - t) * np.log1p(-x),
        lambda x, t: (np.abs(x - t) / (x * (1 - x)),),
    ),
    Case(
        "binary_cross_entropy_with_logits",
        {},
        logits,
        lambda x, t: np.logaddexp(0, x) - t * x,
        logits_terms,
    ),
    *(
        Case(
            "gaussian_nll_loss",
            {"full": full, "eps": eps},
            gaussian,
            lambda x, t, v: np.abs(np.log(v)) + (x - t) ** 2 / v + 1,
            lambda x, t, v: (np.abs(x - t) / v, (1 + (x - t) ** 2 / v) / v),
        )
        for full, eps in ((False, 1e-6), (True, 1e-3))
    ),
    *(
        Case(
            "poisson_nll_loss",
            {"log_input": True, "full": full},
            counts,
            lambda x, t: np.exp(x) + t * x + stirling_terms(t),
            lambda x, t: (np.exp(x) + t,),
        )
        for full in (False, True)
    ),
    *(
        Case(
            "poisson_nll_loss",
            {"log_input": False, "full": full},
            counts,
            lambda x, t: x + t * np.abs(np.log(x)) + t + stirling_terms(t),
            lambda x, t: (1 + t / x,),
        )
        for full in (False, True)
    ),
]
CASES = DISTANCE + LIKELIHOOD
IDS = [case.id for case in CASES]
DTYPES = (np.float32, np.float64)
REDUCTIONS = ("none", "mean", "sum")


class ClassCase(NamedTuple):
    """cross_entropy or nll_loss, one setting of its options."""

    name: str
    weighted: bool = False
    ignored: bool = False
    label_smoothing: float = 0.0
    soft: bool = False

    @property
    def id(self) -> str:
        flags = [f for f in ("weighted", "ignored", "soft") if getattr(self, f)]
        return "-".join(
            [self.name, *flags, *([f"s={self.label_smoothing}"] * (self.name[0] == "c"))]
        )

    def make(
        self, batch: int, classes: int, dtype: Any, seed: int = 0
    ) -> tuple[Array, Array, dict[str, Any]]:
        """Input, target and options."""
        rng = np.random.default_rng([seed, batch, classes])
        x = 3 * rng.normal(size=(batch, classes))
        if self.name == "nll_loss":
            x -= np.logaddexp.reduce(x, axis=1, keepdims=True)
        options: dict[str, Any] = {}
        target: Array = rng.integers(0, classes, batch)
        if self.ignored:
            options["ignore_index"] = -1
            target[1:][rng.random(batch - 1) < 0.3] = -1
        if self.soft:
            q = rng.random((batch, classes)) ** 3
            target = (q / q.sum(axis=1, keepdims=True)).astype(dtype)
        if self.weighted:
            options["weight"] = rng.uniform(0.2, 2, classes).astype(dtype)
        if self.name == "cross_entropy":
            options["label_smoothing"] = self.label_smoothing
        return x.astype(dtype), target, options


CLASS_CASES = [
    *(
        ClassCase("cross_entropy", weighted, ignored, smoothing)
        for weighted in (False, True)
        for ignored in (False, True)
        for smoothing in (0.0, 0.2)
    ),
    *(
        ClassCase("cross_entropy", weighted, False, smoothing, True)
        for weighted in (False, True)
        for smoothing in (0.0, 0.2)
    ),
    *(
        ClassCase("nll_loss", weighted, ignored)
        for weighted in (False, True)
        for ignored in (False, True)
    ),
]
CLASS_IDS = [case.id for case in CLASS_CASES]


def loss(name: str) -> Callable[..., Any]:
    """Return the function of the backend in use."""
    found: Callable[..., Any] = getattr(kernels, name)
    return found


def oracle(name: str) -> Callable[..., Any]:
    """Return the NumPy reference."""
    found: Callable[..., Any] = getattr(reference, name)
    return found


def as_tuple(arrays: Any) -> Arrays:
    return arrays if isinstance(arrays, tuple) else (arrays,)


def close(got: Array, want: Array, bound: Array | float) -> None:
    """`bound` is an absolute error, of the same shape as the arrays or one number."""
    assert got.dtype == want.dtype
    assert got.shape == want.shape
    error = np.abs(got.astype(np.float64) - want.astype(np.float64))
    excess = error - bound
    assert np.all(excess <= 0), f"error {error.ravel()[np.argmax(excess)]:.3g}, bound exceeded"
