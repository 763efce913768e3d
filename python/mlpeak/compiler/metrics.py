"""Metrics by name: functions of a model's output, its target and the samples' weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from mlpeak._types import Array
from mlpeak.nn.functional import binary_cross_entropy
from mlpeak.nn.loss import BCELoss, CrossEntropyLoss, NLLLoss

__all__ = ["METRICS", "metrics_of"]

Metric = Callable[[Any, Any, Array | None], float]


def _mean(values: Array, weight: Array | None) -> float:
    values = values.reshape(len(values), -1).mean(axis=1, dtype=np.float64)
    return float(np.average(values, weights=weight))


def _aligned(output: Array, target: Array) -> tuple[Array, Array]:
    """Return both as float64, (samples, outputs)."""
    output, target = (a.reshape(len(a), -1).astype(np.float64) for a in (output, target))
    if output.shape != target.shape:
        raise ValueError(
            f"metrics: the target has {target.shape[1]} numbers a sample; expected as many as the "
            f"output, {output.shape[1]}"
        )
    return output, target


def _accuracy(
    threshold: float, ignored: int | None, output: Array, target: Array, weight: Array | None
) -> float:
    """The share of samples whose most likely class is the target's, but for `ignored` targets.

    One output a sample is that of the class 1, which is said above `threshold`.
    """
    if ignored is not None and target.ndim < output.ndim:
        counted = target != ignored
        if not counted.all():
            if not counted.any():
                return math.nan
            output, target = output[counted], target[counted]
            weight = None if weight is None else weight[counted]
    if output.ndim == 1 or output.shape[1:] == (1,):
        right = (output.reshape(-1) > threshold) == (target.reshape(-1) > 0.5)
    else:
        classes = target if target.ndim < output.ndim else target.argmax(axis=1)
        right = output.argmax(axis=1) == classes
    return _mean(right, weight)


def _mse(output: Array, target: Array, weight: Array | None) -> float:
    output, target = _aligned(output, target)
    return _mean((output - target) ** 2, weight)


def _rmse(output: Array, target: Array, weight: Array | None) -> float:
    return float(np.sqrt(_mse(output, target, weight)))


def _mae(output: Array, target: Array, weight: Array | None) -> float:
    output, target = _aligned(output, target)
    return _mean(np.abs(output - target), weight)


def _r2(output: Array, target: Array, weight: Array | None) -> float:
    """1 - squared errors / squared distances from the mean, the mean over the outputs."""
    output, target = _aligned(output, target)
    mean = np.average(target, axis=0, weights=weight)
    spread = np.average((target - mean) ** 2, axis=0, weights=weight)
    error = np.average((target - output) ** 2, axis=0, weights=weight)
    exact = np.where(error == 0, 1.0, 0.0)  # of a constant target, as scikit-learn has it
    return float(
        np.mean(np.where(spread == 0, exact, 1 - error / np.where(spread == 0, 1, spread)))
    )


#: The names that `fit` knows.
METRICS: dict[str, Metric] = {
    "accuracy": partial(_accuracy, 0.0, None),
    "mae": _mae,
    "mse": _mse,
    "r2": _r2,
    "rmse": _rmse,
}


def metrics_of(metrics: str | Sequence[Any], loss: Any) -> dict[str, Metric]:
    """Return the metrics that names and functions of (output, target) stand for, by their names.

    Raises
    ------
    TypeError, ValueError
        If one is neither a known name nor a function, or a name comes twice.
    """
    found: dict[str, Metric] = {}
    for metric in (metrics,) if isinstance(metrics, str) else metrics:
        if isinstance(metric, str):
            if metric not in METRICS:
                legal = ", ".join(METRICS)
                raise ValueError(f"fit: metrics holds {metric!r}; expected one of {legal}")
            name, function = metric, METRICS[metric]
            if metric == "accuracy":
                function = partial(_accuracy, *_meaning_of(loss))
        elif callable(metric):
            name, function = _name_of(metric), partial(_unweighted, metric)
        else:
            raise TypeError(
                f"fit: metrics holds {type(metric).__name__}; expected names or functions"
            )
        if name in found:
            raise ValueError(f"fit: metrics holds {name!r} twice; expected different names")
        found[name] = function
    return found


def _meaning_of(loss: Any) -> tuple[float, int | None]:
    """Return above what an output says class 1, and which class the loss ignores."""
    probability = isinstance(loss, BCELoss) or loss is binary_cross_entropy
    classes = isinstance(loss, (CrossEntropyLoss, NLLLoss))
    return 0.5 if probability else 0.0, loss.ignore_index if classes else None


def _name_of(function: Any) -> str:
    return str(getattr(function, "__name__", type(function).__name__))


def _unweighted(function: Any, output: Any, target: Any, weight: Array | None) -> float:
    return float(function(output, target))
