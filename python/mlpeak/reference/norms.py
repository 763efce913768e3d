"""Plain NumPy: normalisations."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlpeak._types import Array
from mlpeak.reference import _check

__all__ = [
    "batch_norm",
    "batch_norm_backward",
    "layer_norm",
    "layer_norm_backward",
    "rms_norm",
    "rms_norm_backward",
]

MAX = sys.float_info.max


@np.errstate(all="ignore")
def layer_norm(
    x: Array,
    weight: Array | None = None,
    bias: Array | None = None,
    eps: float = 1e-5,
    out: Array | None = None,
) -> tuple[Array, Array, Array]:
    """Along the last axis: y = (x - mean) * rstd * weight + bias, rstd = 1/sqrt(var + eps)."""
    f = "layer_norm"
    x = _rows(f, x)
    weight, bias = _vectors(f, x, weight=weight, bias=bias)
    _check.number(f, "eps", eps, 0.0, MAX, "a finite number >= 0")
    apart = (("x", x), ("weight", weight), ("bias", bias))
    y = _check.write(f, "out", out, x.dtype, x.shape, apart_from=apart)

    wide = x.astype(np.float64)
    mean = wide.mean(axis=-1, keepdims=True)
    rstd = 1 / np.sqrt(np.mean((wide - mean) ** 2, axis=-1, keepdims=True) + eps)
    y[...] = _affine((wide - mean) * rstd, weight, bias)
    return y, _narrow(mean, x)[..., 0], _narrow(rstd, x)[..., 0]


@np.errstate(all="ignore")
def layer_norm_backward(
    grad_output: Array, x: Array, weight: Array | None, mean: Array, rstd: Array
) -> tuple[Array, Array | None, Array | None]:
    """With h = (x - mean)*rstd, g = grad*weight: grad_x = rstd*(g - mean(g) - h*mean(g*h))."""
    f = "layer_norm_backward"
    x = _rows(f, x)
    grad = _like(f, "grad_output", grad_output, x, x.shape, "the shape of x")
    (weight,) = _vectors(f, x, weight=weight)
    mean = _like(f, "mean", mean, x, x.shape[:-1], "x.shape[:-1]")
    rstd = _like(f, "rstd", rstd, x, x.shape[:-1], "x.shape[:-1]")

    wide = grad.astype(np.float64)
    h = (x - mean.astype(np.float64)[..., None]) * rstd[..., None]
    g = _affine(wide, weight, None)
    grad_x = rstd[..., None] * (
        g - g.mean(axis=-1, keepdims=True) - h * (g * h).mean(axis=-1, keepdims=True)
    )
    if weight is None:
        return _narrow(grad_x, x), None, None
    return _narrow(grad_x, x), _column_sum(wide * h, x), _column_sum(wide, x)


@np.errstate(all="ignore")
def rms_norm(
    x: Array, weight: Array | None = None, eps: float | None = None, out: Array | None = None
) -> tuple[Array, Array]:
    """Along the last axis: y = x * rstd * weight, rstd = 1/sqrt(mean(x^2) + eps)."""
    f = "rms_norm"
    x = _rows(f, x)
    (weight,) = _vectors(f, x, weight=weight)
    if eps is None:
        eps = float(np.finfo(x.dtype).eps)
    _check.number(f, "eps", eps, 0.0, MAX, "a finite number >= 0")
    apart = (("x", x), ("weight", weight))
    y = _check.write(f, "out", out, x.dtype, x.shape, apart_from=apart)

    wide = x.astype(np.float64)
    rstd = 1 / np.sqrt(np.mean(wide**2, axis=-1, keepdims=True) + eps)
    y[...] = _affine(wide * rstd, weight, None)
    return y, _narrow(rstd, x)[..., 0]


@np.errstate(all="ignore")
def rms_norm_backward(
    grad_output: Array, x: Array, weight: Array | None, rstd: Array
) -> tuple[Array, Array | None]:
    """With h = x*rstd, g = grad*weight: grad_x = rstd*(g - h*mean(g*h))."""
    f = "rms_norm_backward"
    x = _rows(f, x)
    grad = _like(f, "grad_output", grad_output, x, x.shape, "the shape of x")
    (weight,) = _vectors(f, x, weight=weight)
    rstd = _like(f, "rstd", rstd, x, x.shape[:-1], "x.shape[:-1]")

    wide = grad.astype(np.float64)
    h = x.astype(np.float64) * rstd[..., None]
    g = _affine(wide, weight, None)
    grad_x = rstd[..., None] * (g - h * (g * h).mean(axis=-1, keepdims=True))
    return _narrow(grad_x, x), None if weight is None else _column_sum(wide * h, x)


@np.errstate(all="ignore")
def batch_norm(
    x: Array,
    weight: Array | None = None,
    bias: Array | None = None,
    running_mean: Array | None = None,
    running_var: Array | None = None,
    training: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
    out: Array | None = None,
) -> tuple[Array, Array, Array]:
    """Along the first axis: y = (x - mean) * rstd * weight + bias, rstd = 1/sqrt(var + eps)."""
    f = "batch_norm"
    _check.flags(f, training=training)
    x = _check.read(f, "x", x)
    _check.ndim(f, "x", x, 2, "(batch, features)")
    weight, bias, running_mean, running_var = _vectors(
        f, x, weight=weight, bias=bias, running_mean=running_mean, running_var=running_var
    )
    _check.number(f, "momentum", momentum, 0.0, 1.0, "a number in [0, 1]")
    _check.number(f, "eps", eps, 0.0, MAX, "a finite number >= 0")
    if (running_mean is None) != (running_var is None):
        missing = "running_mean" if running_mean is None else "running_var"
        raise ValueError(f"{f}: {missing} is None; expected both running statistics, or neither")
    if not training and running_mean is None:
        raise ValueError(f"{f}: running_mean is None; expected the statistics with training=False")
    if training and x.shape[0] < 2:
        raise ValueError(
            f"{f}: x has shape {x.shape}; expected more than 1 value per channel when training"
        )
    given = (("x", x), ("weight", weight), ("bias", bias))
    running = (("running_mean", running_mean), ("running_var", running_var))
    if training and running_mean is not None:
        _check.write(f, *running[0], x.dtype, running_mean.shape, apart_from=given)
        _check.write(f, *running[1], x.dtype, running_mean.shape, apart_from=given + running[:1])
    y = _check.write(f, "out", out, x.dtype, x.shape, apart_from=given + running)

    wide = x.astype(np.float64)
    if training:
        mean = wide.mean(axis=0)
        var = np.mean((wide - mean) ** 2, axis=0)
        if running_mean is not None and running_var is not None:
            unbiased = var * len(x) / (len(x) - 1)
            running_mean[...] = (1 - momentum) * running_mean.astype(np.float64) + momentum * mean
            running_var[...] = (1 - momentum) * running_var.astype(np.float64) + momentum * unbiased
    else:
        assert running_mean is not None
        assert running_var is not None
        mean, var = running_mean.astype(np.float64), running_var.astype(np.float64)
    rstd = 1 / np.sqrt(var + eps)
    y[...] = _affine((wide - mean) * rstd, weight, bias)
    return y, _narrow(mean, x), _narrow(rstd, x)


@np.errstate(all="ignore")
def batch_norm_backward(
    grad_output: Array,
    x: Array,
    weight: Array | None,
    mean: Array,
    rstd: Array,
    training: bool = True,
) -> tuple[Array, Array | None, Array | None]:
    """grad_x = weight*rstd*(grad - mean(grad) - h*mean(grad*h)), h = (x - mean)*rstd, by column.

    Outside training mean and rstd are constants: grad_x = weight*rstd*grad.
    """
    f = "batch_norm_backward"
    _check.flags(f, training=training)
    x = _check.read(f, "x", x)
    _check.ndim(f, "x", x, 2, "(batch, features)")
    grad = _like(f, "grad_output", grad_output, x, x.shape, "the shape of x")
    (weight,) = _vectors(f, x, weight=weight)
    mean = _like(f, "mean", mean, x, x.shape[1:], "(features,)")
    rstd = _like(f, "rstd", rstd, x, x.shape[1:], "(features,)")

    wide = grad.astype(np.float64)
    h = (x - mean.astype(np.float64)) * rstd
    grad_x = wide
    if training and len(x) > 0:
        grad_x = wide - wide.mean(axis=0) - h * (wide * h).mean(axis=0)
    grad_x = _affine(grad_x * rstd, weight, None)
    if weight is None:
        return _narrow(grad_x, x), None, None
    return _narrow(grad_x, x), _column_sum(wide * h, x), _column_sum(wide, x)


def _rows(function: str, x: Array) -> Array:
    """An array to normalise along its last axis."""
    x = _check.read(function, "x", x)
    if x.ndim == 0 or x.shape[-1] == 0:
        raise ValueError(
            f"{function}: x has shape {x.shape}; expected (..., features) with features >= 1"
        )
    return x


def _like(
    function: str, name: str, array: Any, x: Array, expected: tuple[int, ...], layout: str
) -> Array:
    a = _check.read(function, name, array, like=("x", x))
    _check.shape(function, name, a, expected, layout)
    return a


def _vectors(function: str, x: Array, **arrays: Array | None) -> tuple[Array | None, ...]:
    """One value a feature, or None."""
    return tuple(
        None if a is None else _like(function, name, a, x, x.shape[-1:], "(features,)")
        for name, a in arrays.items()
    )


def _affine(
    h: NDArray[np.float64], weight: Array | None, bias: Array | None
) -> NDArray[np.float64]:
    y = h if weight is None else h * weight
    return y if bias is None else y + bias


def _narrow(array: NDArray[np.float64], x: Array) -> Array:
    return array.astype(x.dtype)


def _column_sum(array: NDArray[np.float64], x: Array) -> Array:
    return _narrow(array.sum(axis=tuple(range(x.ndim - 1))), x)
