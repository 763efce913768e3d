"""Plain NumPy: optimizer updates, in place.

Each update is evaluated in float64 from the rounded state of the step before, and every array it
writes is rounded once.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlpeak._types import Array
from mlpeak.reference import _check

__all__ = ["adagrad", "adam", "rmsprop", "sgd"]

MAX = sys.float_info.max
BELOW_ONE = 1.0 - sys.float_info.epsilon / 2
NON_NEGATIVE = "a finite number >= 0"


def _root(average: NDArray[np.float64], param: Array) -> NDArray[np.float64]:
    """The root of an average of squares, which counts as a normal number of the dtype at least."""
    root: NDArray[np.float64] = np.sqrt(np.maximum(average, np.finfo(param.dtype).tiny))
    return root


@np.errstate(all="ignore")  # divergence shows in the values
def sgd(
    param: Array,
    grad: Array,
    momentum_buffer: Array | None = None,
    *,
    lr: float,
    momentum: float = 0.0,
    dampening: float = 0.0,
    weight_decay: float = 0.0,
    nesterov: bool = False,
    maximize: bool = False,
    first: bool = False,
) -> None:
    """Momentum: b = momentum*b + (1 - dampening)*g; p -= lr*b, or lr*(g + momentum*b)."""
    _check.flags("sgd", nesterov=nesterov, maximize=maximize, first=first)
    _numbers("sgd", lr=lr, momentum=momentum, weight_decay=weight_decay)
    _check.number("sgd", "dampening", dampening, -MAX, MAX, "a finite number")
    if nesterov and (momentum == 0 or dampening != 0):
        raise ValueError("sgd: nesterov is True; expected momentum > 0 and dampening 0 with it")
    if momentum == 0:
        _arrays("sgd", param, grad)
        step = _gradient(param, grad, weight_decay, maximize)
    else:
        buffer = _needed("sgd", "momentum_buffer", momentum_buffer, "momentum > 0")
        _arrays("sgd", param, grad, momentum_buffer=buffer)
        g = _gradient(param, grad, weight_decay, maximize)
        b = g if first else momentum * _wide(buffer) + (1 - dampening) * g
        buffer[...] = b
        step = g + momentum * b if nesterov else b
    param[...] = _wide(param) - lr * step


@np.errstate(all="ignore")
def adam(
    param: Array,
    grad: Array,
    exp_avg: Array,
    exp_avg_sq: Array,
    max_exp_avg_sq: Array | None = None,
    *,
    step: int,
    lr: float,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    decoupled: bool = False,
    maximize: bool = False,
) -> None:
    """Averages m of g, v of g^2: p -= lr/(1 - beta1^t) * m / (sqrt(v)/sqrt(1 - beta2^t) + eps)."""
    _check.flags("adam", decoupled=decoupled, maximize=maximize)
    _numbers("adam", lr=lr, eps=eps, weight_decay=weight_decay)
    if not isinstance(betas, (tuple, list)):
        raise TypeError(f"adam: betas is {type(betas).__name__}; expected a pair of numbers")
    if len(betas) != 2:
        raise ValueError(f"adam: betas has length {len(betas)}; expected a pair of numbers")
    beta1 = _check.number("adam", "betas[0]", betas[0], 0.0, BELOW_ONE, "a number in [0, 1)")
    beta2 = _check.number("adam", "betas[1]", betas[1], 0.0, BELOW_ONE, "a number in [0, 1)")
    _first_is_one("adam", step)
    states = {"exp_avg": exp_avg, "exp_avg_sq": exp_avg_sq}
    if max_exp_avg_sq is not None:
        states["max_exp_avg_sq"] = max_exp_avg_sq
    _arrays("adam", param, grad, **states)

    p = _wide(param)
    if decoupled:
        p *= 1 - lr * weight_decay
        weight_decay = 0.0
    g = _gradient(param, grad, weight_decay, maximize)
    m = beta1 * _wide(exp_avg) + (1 - beta1) * g
    v = beta2 * _wide(exp_avg_sq) + (1 - beta2) * g * g
    exp_avg[...] = m
    exp_avg_sq[...] = v
    if max_exp_avg_sq is not None:
        v = np.maximum(_wide(max_exp_avg_sq), v)
        max_exp_avg_sq[...] = v
    denominator = _root(v, param) / np.sqrt(1 - beta2**step) + eps
    param[...] = p - lr / (1 - beta1**step) * m / denominator


@np.errstate(all="ignore")
def rmsprop(
    param: Array,
    grad: Array,
    square_avg: Array,
    momentum_buffer: Array | None = None,
    grad_avg: Array | None = None,
    *,
    lr: float,
    alpha: float = 0.99,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    momentum: float = 0.0,
    maximize: bool = False,
) -> None:
    """Average v of g^2, less that of g squared if centered: p -= lr * g / (sqrt(v) + eps)."""
    _check.flags("rmsprop", maximize=maximize)
    _numbers("rmsprop", lr=lr, eps=eps, weight_decay=weight_decay, momentum=momentum)
    _check.number("rmsprop", "alpha", alpha, 0.0, 1.0, "a number in [0, 1]")
    states = {"square_avg": square_avg}
    if momentum > 0:
        states["momentum_buffer"] = _needed(
            "rmsprop", "momentum_buffer", momentum_buffer, "momentum > 0"
        )
    if grad_avg is not None:
        states["grad_avg"] = grad_avg
    _arrays("rmsprop", param, grad, **states)

    g = _gradient(param, grad, weight_decay, maximize)
    v = alpha * _wide(square_avg) + (1 - alpha) * g * g
    square_avg[...] = v
    if grad_avg is not None:
        a = alpha * _wide(grad_avg) + (1 - alpha) * g
        grad_avg[...] = a
        v = np.maximum(v - a * a, 0.0)  # a variance, but for rounding
    step = g / (_root(v, param) + eps)
    if momentum > 0:
        buffer = states["momentum_buffer"]
        step = momentum * _wide(buffer) + step
        buffer[...] = step
    param[...] = _wide(param) - lr * step


@np.errstate(all="ignore")
def adagrad(
    param: Array,
    grad: Array,
    state_sum: Array,
    *,
    step: int,
    lr: float,
    lr_decay: float = 0.0,
    weight_decay: float = 0.0,
    eps: float = 1e-10,
    maximize: bool = False,
) -> None:
    """Sum s of g^2: p -= lr/(1 + (t - 1)*lr_decay) * g / (sqrt(s) + eps)."""
    _check.flags("adagrad", maximize=maximize)
    _numbers("adagrad", lr=lr, lr_decay=lr_decay, weight_decay=weight_decay, eps=eps)
    _first_is_one("adagrad", step)
    _arrays("adagrad", param, grad, state_sum=state_sum)

    g = _gradient(param, grad, weight_decay, maximize)
    s = _wide(state_sum) + g * g
    state_sum[...] = s
    rate = lr / (1 + (step - 1) * lr_decay)
    param[...] = _wide(param) - rate * g / (np.sqrt(s) + eps)


def _wide(array: Array) -> NDArray[np.float64]:
    return np.array(array, np.float64)


def _gradient(
    param: Array, grad: Array, weight_decay: float, maximize: bool
) -> NDArray[np.float64]:
    """The direction to descend: the gradient (its negative to maximize) plus weight_decay * p."""
    g = -_wide(grad) if maximize else _wide(grad)
    return g + weight_decay * _wide(param)


def _arrays(function: str, param: Any, grad: Any, **states: Any) -> None:
    """One shape and dtype for all; param and states are written, and share no memory."""
    p = _check.read(function, "param", param)
    g = _check.read(function, "grad", grad, like=("param", p))
    _check.shape(function, "grad", g, p.shape, "the shape of param")
    seen: list[tuple[str, Array | None]] = [("grad", g)]
    for name, array in {"param": p, **states}.items():
        a = _check.read(function, name, array, like=("param", p))
        _check.shape(function, name, a, p.shape, "the shape of param")
        _check.write(function, name, a, p.dtype, p.shape, apart_from=tuple(seen))
        seen.append((name, a))


def _needed(function: str, name: str, array: Array | None, when: str) -> Array:
    if array is None:
        raise ValueError(f"{function}: {name} is None; expected an array with {when}")
    return array


def _numbers(function: str, **values: object) -> None:
    for name, value in values.items():
        _check.number(function, name, value, 0.0, MAX, NON_NEGATIVE)


def _first_is_one(function: str, step: int) -> None:
    legal = "1 for the first update, 2, 3 ..."
    _check.integer(function, "step", step, 1, (1 << 63) - 1, legal)
