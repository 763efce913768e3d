"""Losses over classes in plain NumPy: a row's loss is ``-sum_c a_c log p_c``."""

from __future__ import annotations

from typing import Any

import numpy as np

from mlpeak._types import Array, Reduction
from mlpeak.reference import _check, _loss

__all__ = [
    "cross_entropy",
    "cross_entropy_backward",
    "cross_entropy_forward_backward",
    "nll_loss",
    "nll_loss_backward",
]


def _classes(
    function: str,
    input: object,
    target: object,
    weight: object,
    ignore_index: int,
    label_smoothing: float,
    sample_weight: object,
    reduction: str,
    probabilities: bool,
) -> tuple[_loss.Call, Array]:
    """Check, and write the loss of a row as -sum_c a_c log p_c; return the coefficients a.

    a_c = sample weight * class weight c * q_c, with q the smoothed target distribution.
    """
    x = _check.read(function, "input", input)
    legal = "an integer in [-2**63, 2**63)"
    ignore_index = _check.integer(
        function, "ignore_index", ignore_index, -(1 << 63), (1 << 63) - 1, legal
    )
    _check.ndim(function, "input", x, 2, "(batch, classes)")
    batch, classes = x.shape
    soft = probabilities and isinstance(target, np.ndarray) and target.dtype.kind == "f"
    if soft:
        t = _check.read(function, "target", target)
        if t.ndim == 1:
            raise TypeError(
                f"{function}: target has dtype {t.dtype}; expected integers, or probabilities "
                "(batch, classes)"
            )
        t = _check.read(function, "target", target, like=("input", x))
        _check.shape(function, "target", t, x.shape, "the shape of input")
        if ignore_index >= 0:
            raise ValueError(
                f"{function}: ignore_index is {ignore_index}; expected a negative number, as"
                " probability targets cannot be ignored"
            )
        _loss.not_empty(function, x)
        _loss.in_range(function, "target", t, -np.inf, np.inf, "(no NaN)")
    else:
        _loss.not_empty(function, x)
        t = _check.indices(function, "target", target, classes, "classes", ignore_index)
        _check.shape(function, "target", t, (batch,), "(batch,)")
    class_weight = np.ones(classes)
    sample = np.ones(batch)
    reads: list[tuple[str, Array | None]] = [("input", x)]
    if isinstance(target, np.ndarray):
        reads.append(("target", target))
    if weight is not None:
        w = _loss.weights(function, "weight", weight, x, classes, "(classes,)")
        reads.append(("weight", w))
        class_weight = w.astype(np.float64)
    if sample_weight is not None:
        s = _loss.weights(function, "sample_weight", sample_weight, x, batch, "(batch,)")
        reads.append(("sample_weight", s))
        sample = s.astype(np.float64)
    _check.number(function, "label_smoothing", label_smoothing, 0.0, 1.0, "a number in [0, 1]")
    _loss.check_reduction(function, reduction)

    kept = None
    if soft:
        q = t.astype(np.float64)
        divisor = sample.sum()
    else:
        kept = (t != ignore_index)[:, np.newaxis]
        index = np.where(kept[:, 0], t, 0)
        sample = np.where(kept[:, 0], sample, 0.0)
        q = np.zeros((batch, classes))
        q[np.arange(batch), index] = 1.0
        divisor = (sample * class_weight[index]).sum()
    q = (1.0 - label_smoothing) * q + label_smoothing / classes
    call = _loss.Call(
        function,
        x,
        x.astype(np.float64),
        t,
        None,
        reduction,
        float(divisor) if reduction == "mean" else 1.0,
        (batch,),
        tuple(reads),
        kept,
    )
    return call, sample[:, np.newaxis] * class_weight * q


def _row_losses(a: Array, log_p: Array) -> Array:
    """-sum_c a_c log p_c, where a class with a_c = 0 adds nothing even if log p_c = -inf."""
    with np.errstate(all="ignore"):
        terms: Array = np.where(a == 0.0, 0.0, -a * log_p)
    total: Array = terms.sum(axis=1)
    return total


@np.errstate(all="ignore")
def _softmax_parts(x: Array) -> tuple[Array, Array]:
    """Log-softmax and softmax of each row."""
    d = x - x.max(axis=1, keepdims=True)
    e = np.exp(d)
    total = e.sum(axis=1, keepdims=True)
    return d - np.log(total), e / total


def cross_entropy(
    input: Array,
    target: Array,
    *,
    weight: Array | None = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    sample_weight: Array | None = None,
    reduction: Reduction = "mean",
    out: Array | None = None,
) -> Array:
    """-sum_c w_c q_c log softmax(x)_c."""
    name = "cross_entropy"
    options = (weight, ignore_index, label_smoothing, sample_weight, reduction)
    c, a = _classes(name, input, target, *options, probabilities=True)
    return _loss.forward(c, _row_losses(a, _softmax_parts(c.x)[0]), out)


def cross_entropy_backward(
    grad_output: Array,
    input: Array,
    target: Array,
    *,
    weight: Array | None = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    sample_weight: Array | None = None,
    reduction: Reduction = "mean",
    out: Array | None = None,
) -> Array:
    """softmax(x)_j sum_c w_c q_c - w_j q_j; 0 in an ignored row."""
    name = "cross_entropy_backward"
    options = (weight, ignore_index, label_smoothing, sample_weight, reduction)
    c, a = _classes(name, input, target, *options, probabilities=True)
    with np.errstate(all="ignore"):
        derivative = _softmax_parts(c.x)[1] * a.sum(axis=1, keepdims=True) - a
    return _class_backward(c, grad_output, derivative, out)


def cross_entropy_forward_backward(
    input: Array,
    target: Array,
    *,
    weight: Array | None = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    sample_weight: Array | None = None,
    reduction: Reduction = "mean",
    out: Array | None = None,
) -> tuple[Array, Array]:
    """`cross_entropy`, and `cross_entropy_backward` of ones."""
    name = "cross_entropy_forward_backward"
    options = (weight, ignore_index, label_smoothing, sample_weight, reduction)
    c, a = _classes(name, input, target, *options, probabilities=True)
    log_p, p = _softmax_parts(c.x)
    loss = _row_losses(a, log_p)
    with np.errstate(all="ignore"):
        derivative = p * a.sum(axis=1, keepdims=True) - a
    ones = np.ones(c.unreduced if reduction == "none" else (), c.input.dtype)
    grad = _class_backward(c, ones, derivative, out)
    return _loss.forward(c, loss, None), grad


def nll_loss(
    input: Array,
    target: Array,
    *,
    weight: Array | None = None,
    ignore_index: int = -100,
    sample_weight: Array | None = None,
    reduction: Reduction = "mean",
    out: Array | None = None,
) -> Array:
    """-w_t x_t, for x a row of log-probabilities."""
    options = (weight, ignore_index, 0.0, sample_weight, reduction)
    c, a = _classes("nll_loss", input, target, *options, probabilities=False)
    return _loss.forward(c, _row_losses(a, c.x), out)


def nll_loss_backward(
    grad_output: Array,
    input: Array,
    target: Array,
    *,
    weight: Array | None = None,
    ignore_index: int = -100,
    sample_weight: Array | None = None,
    reduction: Reduction = "mean",
    out: Array | None = None,
) -> Array:
    """-w_t at the target, 0 elsewhere."""
    options = (weight, ignore_index, 0.0, sample_weight, reduction)
    c, a = _classes("nll_loss_backward", input, target, *options, probabilities=False)
    return _class_backward(c, grad_output, -a, out)


def _class_backward(call: _loss.Call, grad_output: object, derivative: Array, out: object) -> Array:
    """`_backward` for a loss of one number a row: grad_output is (batch,) for reduction "none"."""
    g = _loss.read_grad_output(call, grad_output)
    reads: tuple[tuple[str, Any], ...] = (*call.reads, ("grad_output", g))
    y = _check.write(call.function, "out", out, call.input.dtype, call.input.shape, reads)
    upstream = np.broadcast_to(g, call.unreduced).astype(np.float64)[:, np.newaxis]
    with np.errstate(all="ignore"):
        scaled = derivative * (upstream / np.float64(call.divisor))
    # an ignored row has gradient 0 even where all rows are ignored and the divisor is 0
    y[...] = scaled if call.kept is None else np.where(call.kept, scaled, 0.0)
    return y
