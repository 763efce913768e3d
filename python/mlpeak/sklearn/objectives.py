"""The losses: the value that is reported, and the gradient that is descended.

Both are taken at the last layer's sum ``z``, before the output activation. They follow scikit-learn
where the two differ: probabilities are clipped in a reported log loss alone, and a reported squared
error is a mean over outputs while its gradient is that of the sum over them. The further losses of
regression do the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mlpeak import kernels
from mlpeak._types import Array

__all__ = ["Native", "Objective", "ceiling", "make_objective", "output_of"]

# below this a predicted variance counts as this, as in torch.nn.GaussianNLLLoss
LEAST_VARIANCE = 1e-6


@dataclass(frozen=True)
class Native:
    """How an objective is made of one of mlpeak's losses in a compiled program.

    Attributes
    ----------
    loss : str
        Of `mlpeak.kernels`.
    options : dict
        Its options.
    factor : float
        Of the loss and its derivative.
    averaged : bool
        Whether the reported loss is a mean over outputs rather than a sum.
    clipped : bool
        Whether reported losses are at most `ceiling`.
    constant : callable, optional
        ``constant(target)``: what each sample's reported loss has beyond that, (n,).
    """

    loss: str
    options: dict[str, float] = field(default_factory=dict)
    factor: float = 1.0
    averaged: bool = False
    clipped: bool = False
    constant: Callable[[Array], Array] | None = None


@dataclass(frozen=True)
class Objective:
    """A loss of the last layer's sums.

    Attributes
    ----------
    target : callable
        Makes of y (n, outputs), the target as the other two take it, in the network's dtype.
    values : callable
        ``values(z, target)``: the losses of each sample, (n,).
    slopes : callable
        ``slopes(z, target)``: their derivatives by z, an array of z's shape.
    widen : int
        How many units of the last layer there are for an output.
    native : Native or None
        None for what only `values` and `slopes` can do.
    """

    target: Callable[[Array, np.dtype[Any]], Array]
    values: Callable[[Array, Array], Array]
    slopes: Callable[[Array, Array], Array]
    widen: int = 1
    native: Native | None = None

    def mean(self, z: Array, target: Array, sample_weight: Array | None) -> float:
        """Return the mean loss, weighted."""
        return float(np.average(self.values(z, target), weights=sample_weight))

    def gradient(self, z: Array, target: Array, sample_weight: Array | None, total: float) -> Array:
        """Return the gradient of the weighted sum of losses divided by `total`."""
        grad: Array = self.slopes(z, target)
        if sample_weight is not None:
            grad *= sample_weight[:, None]
        grad /= total
        return grad


def output_of(name: str, z: Array) -> Array:
    """Return the output activation `name` of z, which may be written over."""
    if name == "softmax":
        return kernels.softmax(z, out=z)
    if name == "logistic":
        return kernels.sigmoid(z, out=z)
    if name == "exp":
        return kernels.exp(z, out=z)
    return z


def make_objective(
    loss: str, out_activation: str, options: dict[str, float] | None = None
) -> Objective:
    """Return the objective of a loss by its name as a parameter.

    Parameters
    ----------
    loss : str
    out_activation : str
        "softmax" for classes, "logistic" for labels, else that of a regression.
    options : dict
        ``label_smoothing``, ``focal_gamma``, ``huber_delta``, ``quantile``.
    """
    options = options or {}
    if out_activation == "softmax":
        return _of_classes(loss, options)
    if out_activation == "logistic":
        return _of_labels(loss, options)
    return _REGRESSION[loss](options)


# ---- classes ----


def ceiling(dtype: np.dtype[Any]) -> float:
    """Return the largest log loss that is reported: that of a probability of epsilon."""
    return float(-np.log(np.finfo(dtype).eps))


def _class_of(y: Array, dtype: np.dtype[Any]) -> Array:
    index: Array = y.argmax(axis=1)
    return index


def _of_classes(loss: str, options: dict[str, float]) -> Objective:
    if loss == "focal":
        return _focal_of_classes(options["focal_gamma"])
    smoothing = options.get("label_smoothing", 0.0)

    def values(z: Array, target: Array) -> Array:
        each = kernels.cross_entropy(z, target, label_smoothing=smoothing, reduction="none")
        return np.minimum(each, ceiling(z.dtype), out=each)

    def slopes(z: Array, target: Array) -> Array:
        one = np.ones(len(z), z.dtype)
        return kernels.cross_entropy_backward(
            one, z, target, label_smoothing=smoothing, reduction="none"
        )

    native = Native("cross_entropy", {"label_smoothing": smoothing}, clipped=True)
    return Objective(_class_of, values, slopes, native=native)


def _focal_of_classes(gamma: float) -> Objective:
    def values(z: Array, target: Array) -> Array:
        return _focal(kernels.log_softmax(z)[np.arange(len(z)), target], gamma)

    def slopes(z: Array, target: Array) -> Array:
        rows = np.arange(len(z))
        log_p = kernels.log_softmax(z)
        p = kernels.exp(log_p)
        slope = _focal_slope(log_p[rows, target], gamma)
        grad = -slope[:, None] * p
        grad[rows, target] += slope
        return grad

    return Objective(_class_of, values, slopes)


def _focal(log_p: Array, gamma: float) -> Array:
    """Return L = -(1 - p)^gamma log p of the true class's p, as it is reported."""
    power = kernels.pow(-kernels.expm1(log_p), gamma)
    return -power * np.maximum(log_p, -ceiling(log_p.dtype))


def _focal_slope(log_p: Array, gamma: float) -> Array:
    """Return p dL/dp."""
    p, rest = kernels.exp(log_p), -kernels.expm1(log_p)
    power = kernels.pow(rest, gamma)
    # gamma (1 - p)^(gamma - 1) p log p: 0 where p is 1
    first = np.divide(gamma * power * p * log_p, rest, out=np.zeros_like(p), where=rest > 0)
    slope: Array = first - power
    return slope


# ---- labels, binary or several ----


def _of_labels(loss: str, options: dict[str, float]) -> Objective:
    if loss == "focal":
        return _focal_of_labels(options["focal_gamma"])
    smoothing = options.get("label_smoothing", 0.0)

    def target_of(y: Array, dtype: np.dtype[Any]) -> Array:
        target = y.astype(dtype)
        return target * (1 - smoothing) + smoothing / 2 if smoothing else target

    def values(z: Array, target: Array) -> Array:
        each = kernels.binary_cross_entropy_with_logits(z, target, reduction="none")
        total: Array = np.minimum(each, ceiling(z.dtype), out=each).sum(axis=1)
        return total

    def slopes(z: Array, target: Array) -> Array:
        return kernels.sigmoid(z) - target

    native = Native("binary_cross_entropy_with_logits", clipped=True)
    return Objective(target_of, values, slopes, native=native)


def _focal_of_labels(gamma: float) -> Objective:
    def target_of(y: Array, dtype: np.dtype[Any]) -> Array:
        return y.astype(dtype)

    def log_p_of(z: Array, target: Array) -> tuple[Array, Array]:
        sign = 2 * target - 1
        return sign, kernels.log_sigmoid(sign * z)

    def values(z: Array, target: Array) -> Array:
        _, log_p = log_p_of(z, target)
        total: Array = _focal(log_p, gamma).sum(axis=1)
        return total

    def slopes(z: Array, target: Array) -> Array:
        sign, log_p = log_p_of(z, target)
        return sign * _focal_slope(log_p, gamma) * -kernels.expm1(log_p)

    return Objective(target_of, values, slopes)


# ---- regression ----


def _number(y: Array, dtype: np.dtype[Any]) -> Array:
    return np.ascontiguousarray(y, dtype)


def _squared_error(options: dict[str, float]) -> Objective:
    return Objective(
        _number,
        lambda z, y: 0.5 * ((y - z) ** 2).mean(axis=1),
        lambda z, y: z - y,
        native=Native("mse_loss", factor=0.5, averaged=True),
    )


def _poisson(options: dict[str, float]) -> Objective:
    def constant(y: Array) -> Array:
        log_y = kernels.log(np.where(y == 0, 1, y))  # y log y is 0 at 0
        total: Array = (y * log_y - y).sum(axis=1)
        return total

    def values(z: Array, y: Array) -> Array:
        total: Array = (kernels.exp(z) - y * z).sum(axis=1) + constant(y)
        return total

    native = Native("poisson_nll_loss", constant=constant)
    return Objective(_number, values, lambda z, y: kernels.exp(z) - y, native=native)


def _absolute_error(options: dict[str, float]) -> Objective:
    return Objective(
        _number,
        lambda z, y: np.abs(z - y).mean(axis=1),
        lambda z, y: np.sign(z - y),
        native=Native("l1_loss", averaged=True),
    )


def _huber(options: dict[str, float]) -> Objective:
    delta = options["huber_delta"]

    def values(z: Array, y: Array) -> Array:
        error = np.abs(z - y)
        inner = np.minimum(error, delta)
        mean: Array = (inner * (error - 0.5 * inner)).mean(axis=1)
        return mean

    native = Native("huber_loss", {"threshold": delta}, averaged=True)
    return Objective(_number, values, lambda z, y: np.clip(z - y, -delta, delta), native=native)


def _quantile(options: dict[str, float]) -> Objective:
    q = options["quantile"]

    def values(z: Array, y: Array) -> Array:
        error = y - z
        mean: Array = np.maximum(q * error, (q - 1) * error).mean(axis=1)
        return mean

    def slopes(z: Array, y: Array) -> Array:
        return ((z > y) * (1 - q) - (z < y) * q).astype(z.dtype)

    return Objective(_number, values, slopes)


def _gaussian_nll(options: dict[str, float]) -> Objective:
    def parts(z: Array, y: Array) -> tuple[Array, Array, Array]:
        outputs = y.shape[1]
        raw = kernels.exp(z[:, outputs:])
        return z[:, :outputs] - y, np.maximum(raw, LEAST_VARIANCE), raw > LEAST_VARIANCE

    def values(z: Array, y: Array) -> Array:
        error, variance, _ = parts(z, y)
        mean: Array = (0.5 * (kernels.log(variance) + error**2 / variance)).mean(axis=1)
        return mean

    def slopes(z: Array, y: Array) -> Array:
        error, variance, free = parts(z, y)
        of_variance = np.where(free, 0.5 * (1 - error**2 / variance), 0).astype(z.dtype)
        return np.hstack([error / variance, of_variance])

    return Objective(_number, values, slopes, widen=2)


_REGRESSION: dict[str, Callable[[dict[str, float]], Objective]] = {
    "squared_error": _squared_error,
    "poisson": _poisson,
    "absolute_error": _absolute_error,
    "huber": _huber,
    "quantile": _quantile,
    "gaussian_nll": _gaussian_nll,
}
