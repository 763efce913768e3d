"""Losses in plain NumPy: value and derivative per element, then weighting and reduction.

Every loss is weighted by ``sample_weight`` (one number a row), then reduced: ``"none"`` keeps the
elements, ``"sum"`` adds them, ``"mean"`` divides the sum by the sum of the weights.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np

from mlpeak._types import Array
from mlpeak.reference import _check

__all__ = [
    "binary_cross_entropy",
    "binary_cross_entropy_backward",
    "binary_cross_entropy_with_logits",
    "binary_cross_entropy_with_logits_backward",
    "cross_entropy",
    "cross_entropy_backward",
    "cross_entropy_forward_backward",
    "gaussian_nll_loss",
    "gaussian_nll_loss_backward",
    "huber_loss",
    "huber_loss_backward",
    "l1_loss",
    "l1_loss_backward",
    "mse_loss",
    "mse_loss_backward",
    "nll_loss",
    "nll_loss_backward",
    "poisson_nll_loss",
    "poisson_nll_loss_backward",
    "smooth_l1_loss",
    "smooth_l1_loss_backward",
]

Reduction = Literal["none", "mean", "sum"]
_REDUCTIONS = ("none", "mean", "sum")
_FLOAT_MAX = float(np.finfo(np.float64).max)
# Formulas meet 0 * inf, log(0) and overflow where the loss is infinite or NaN by definition.
_quiet = np.errstate


class _Call(NamedTuple):
    """A checked call: arrays in float64, and what weighting and reduction need."""

    function: str
    input: Array
    x: Array
    t: Array
    weight: Array | None  # sample_weight, shaped to broadcast against the unreduced loss
    reduction: str
    divisor: float  # of the sum: 1 unless reduction is "mean"
    unreduced: tuple[int, ...]
    reads: tuple[tuple[str, Array | None], ...]  # what `out` must stay apart from
    kept: Array | None = None  # rows whose class is not ignore_index, as a column


def _in_range(
    function: str,
    name: str,
    array: Array,
    low: float,
    high: float,
    legal: str,
    nan_legal: bool = False,
) -> None:
    """Every element is in [low, high]; else a ValueError with the first offender's position."""
    values = array.astype(np.float64)
    good = (values >= low) & (values <= high)
    if nan_legal:
        good |= np.isnan(values)
    bad = np.flatnonzero(~good)
    if bad.size:
        i = int(bad[0])
        value = float(values.ravel()[i])
        raise ValueError(
            f"{function}: {name} holds {value!r} at position {i}; expected numbers {legal}"
        )


def _weights(function: str, name: str, array: object, x: Array, count: int, layout: str) -> Array:
    """Check a vector of finite weights >= 0."""
    w = _check.read(function, name, array, like=("input", x))
    _check.shape(function, name, w, (count,), layout)
    _in_range(function, name, w, 0.0, _FLOAT_MAX, ">= 0 and finite")
    return w


def _check_reduction(function: str, reduction: object) -> None:
    if not isinstance(reduction, str):
        raise TypeError(f"{function}: reduction is {type(reduction).__name__}; expected a str")
    if reduction not in _REDUCTIONS:
        raise ValueError(
            f"{function}: reduction is {reduction!r}; expected one of {', '.join(_REDUCTIONS)}"
        )


def _not_empty(function: str, x: Array) -> None:
    if x.size == 0:
        raise ValueError(f"{function}: input has shape {x.shape}: the batch is empty")


# ---- element-wise losses


def _elementwise(
    function: str,
    input: object,
    target: object,
    sample_weight: object,
    reduction: str,
    unit: tuple[str, ...] = (),
    extra: tuple[tuple[str, object], ...] = (),
) -> _Call:
    """Check a call whose target has the input's shape; `unit` names the arrays bound to [0, 1]."""
    x = _check.read(function, "input", input)
    t = _check.read(function, "target", target, like=("input", x))
    _check.shape(function, "target", t, x.shape, "the shape of input")
    reads: list[tuple[str, Array | None]] = [("input", x), ("target", t)]
    for name, array in extra:
        a = _check.read(function, name, array, like=("input", x))
        _check.shape(function, name, a, x.shape, "the shape of input")
        reads.append((name, a))
    _not_empty(function, x)
    batch = x.shape[0] if x.ndim else 1
    weight = None
    divisor = float(x.size)
    if sample_weight is not None:
        w = _weights(function, "sample_weight", sample_weight, x, batch, "(batch,)")
        reads.append(("sample_weight", w))
        weight = w.astype(np.float64).reshape((batch,) + (1,) * (x.ndim - 1) if x.ndim else ())
        divisor = float(weight.sum()) * (x.size // batch)
    _check_reduction(function, reduction)
    if "input" in unit:
        _in_range(function, "input", x, 0.0, 1.0, "in [0, 1]")
    if "target" in unit:
        _in_range(function, "target", t, 0.0, 1.0, "in [0, 1]")
    else:
        _in_range(function, "target", t, -np.inf, np.inf, "(no NaN)")
    return _Call(
        function,
        x,
        x.astype(np.float64),
        t.astype(np.float64),
        weight,
        reduction,
        divisor if reduction == "mean" else 1.0,
        x.shape,
        tuple(reads),
    )


@_quiet(all="ignore")
def _forward(call: _Call, loss: Array, out: object) -> Array:
    """Weight, reduce, divide, round once."""
    shape = call.unreduced if call.reduction == "none" else ()
    y = _check.write(call.function, "out", out, call.input.dtype, shape, call.reads)
    weighted = loss if call.weight is None else call.weight * loss
    if call.reduction == "none":
        y[...] = weighted
    else:
        y[...] = weighted.sum() / np.float64(call.divisor)
    return y


def _check_grad(call: _Call, grad_output: object) -> Array:
    g = _check.read(call.function, "grad_output", grad_output, like=("input", call.input))
    if call.reduction == "none":
        _check.shape(call.function, "grad_output", g, call.unreduced, "the unreduced loss")
    else:
        _check.shape(call.function, "grad_output", g, (), "the reduced loss")
    return g


@_quiet(all="ignore")
def _backward(
    call: _Call, grad_output: object, derivative: Array, out: object, name: str = "out"
) -> Array:
    """Return derivative * weight * grad_output / divisor, rounded once."""
    g = _check_grad(call, grad_output)
    reads = (*call.reads, ("grad_output", g))
    y = _check.write(call.function, name, out, call.input.dtype, call.input.shape, reads)
    upstream = g.astype(np.float64) / np.float64(call.divisor)
    if call.weight is not None:
        upstream = upstream * call.weight
    y[...] = derivative * upstream
    return y


def mse_loss(
    input: Array,
    target: Array,
    *,
    sample_weight: Array | None = None,
    reduction: Reduction = "mean",
    out: Array | None = None,
) -> Array:
    """(x - t)^2."""
    c = _elementwise("mse_loss", input, target, sample_weight, reduction)
    return _forward(c, (c.x - c.t) ** 2, out)


def mse_loss_backward(
    grad_output: Array,
    input: Array,
    target: Array,
    *,
    sample_weight: Array | None = None,
    reduction: Reduction = "mean",
    out: Array | None = None,
) -> Array:
    """2 (x - t)."""
    c = _elementwise("mse_loss_backward", input, target, sample_weight, reduction)
    return _backward(c, grad_output, 2.0 * (c.x - c.t), out)


def l1_loss(
    input: Array,
    target: Array,
    *,
    sample_weight: Array | None = None,
    reduction: Reduction = "mean",
    out: Array | None = None,
) -> Array:
    """|x - t|."""
    c = _elementwise("l1_loss", input, target, sample_weight, reduction)
    return _forward(c, np.abs(c.x - c.t), out)


def l1_loss_backward(
    grad_output: Array,
    input: Array,
    target: Array,
    *,
    sample_weight: Array | None = None,
    reduction: Reduction = "mean",
    out: Array | None = None,
) -> Array:
    """sign(x - t), 0 where they are equal."""
    c = _elementwise("l1_loss_backward", input, target, sample_weight, reduction)
    return _backward(c, grad_output, np.sign(c.x - c.t), out)


def smooth_l1_loss(
    input: Array,
    target: Array,
    *,
    beta: float = 1.0,
    sample_weight: Array | None = None,
    reduction: Reduction = "mean",
    out: Array | None = None,
) -> Array:
    """(x - t)^2 / (2 beta) where |x - t| < beta, else |x - t| - beta / 2."""
    c = _elementwise("smooth_l1_loss", input, target, sample_weight, reduction)
    _check.number(c.function, "beta", beta, 0.0, _FLOAT_MAX, "a finite number >= 0")
    d = np.abs(c.x - c.t)
    quadratic = 0.5 * d * d / beta if beta > 0 else d
    return _forward(c, np.where(d < beta, quadratic, d - 0.5 * beta), out)


def smooth_l1_loss_backward(
    grad_output: Array,
    input: Array,
    target: Array,
    *,
    beta: float = 1.0,
    sample_weight: Array | None = None,
    reduction: Reduction = "mean",
    out: Array | None = None,
) -> Array:
    """(x - t) / beta where |x - t| < beta, else sign(x - t)."""
    c = _elementwise("smooth_l1_loss_backward", input, target, sample_weight, reduction)
    _check.number(c.function, "beta", beta, 0.0, _FLOAT_MAX, "a finite number >= 0")
    d = c.x - c.t
    slope = d / beta if beta > 0 else d
    return _backward(c, grad_output, np.where(np.abs(d) < beta, slope, np.sign(d)), out)


def huber_loss(
    input: Array,
    target: Array,
    *,
    delta: float = 1.0,
    sample_weight: Array | None = None,
    reduction: Reduction = "mean",
    out: Array | None = None,
) -> Array:
    """(x - t)^2 / 2 where |x - t| < delta, else delta (|x - t| - delta / 2)."""
    c = _elementwise("huber_loss", input, target, sample_weight, reduction)
    _check_positive(c.function, "delta", delta)
    d = np.abs(c.x - c.t)
    return _forward(c, np.where(d < delta, 0.5 * d * d, delta * (d - 0.5 * delta)), out)


def huber_loss_backward(
    grad_output: Array,
    input: Array,
    target: Array,
    *,
    delta: float = 1.0,
    sample_weight: Array | None = None,
    reduction: Reduction = "mean",
    out: Array | None = None,
) -> Array:
    """(x - t) clamped to [-delta, delta]."""
    c = _elementwise("huber_loss_backward", input, target, sample_weight, reduction)
    _check_positive(c.function, "delta", delta)
    return _backward(c, grad_output, np.clip(c.x - c.t, -delta, delta), out)


def _check_positive(function: str, name: str, value: object) -> None:
    smallest = float(np.finfo(np.float64).tiny)
    _check.number(function, name, value, smallest, _FLOAT_MAX, "a finite number > 0")


@_quiet(all="ignore")
def binary_cross_entropy(
    input: Array,
    target: Array,
    *,
    sample_weight: Array | None = None,
    reduction: Reduction = "mean",
    out: Array | None = None,
) -> Array:
    """-(t log x + (1 - t) log(1 - x)), each log clamped at -100."""
    name = "binary_cross_entropy"
    c = _elementwise(name, input, target, sample_weight, reduction, ("input", "target"))
    log_x = np.maximum(np.log(c.x), -100.0)
    log_1mx = np.maximum(np.log1p(-c.x), -100.0)
    return _forward(c, (c.t - 1.0) * log_1mx - c.t * log_x, out)


def binary_cross_entropy_backward(
    grad_output: Array,
    input: Array,
    target: Array,
    *,
    sample_weight: Array | None = None,
    reduction: Reduction = "mean",
    out: Array | None = None,
) -> Array:
    """(x - t) / max(x (1 - x), 1e-12)."""
    name = "binary_cross_entropy_backward"
    c = _elementwise(name, input, target, sample_weight, reduction, ("input", "target"))
    return _backward(c, grad_output, (c.x - c.t) / np.maximum(c.x * (1.0 - c.x), 1e-12), out)


def _with_logits(
    function: str,
    input: object,
    target: object,
    pos_weight: object,
    sample_weight: object,
    reduction: str,
) -> tuple[_Call, Array]:
    c = _elementwise(function, input, target, sample_weight, reduction, ("target",))
    if pos_weight is None:
        return c, np.ones(())
    p = _check.read(function, "pos_weight", pos_weight, like=("input", c.input))
    last = c.input.shape[-1] if c.input.ndim else 1
    if p.shape not in ((), (1,), (last,)):
        raise ValueError(
            f"{function}: pos_weight has shape {p.shape}; expected () or the last axis of input"
            f" = ({last},)"
        )
    _in_range(function, "pos_weight", p, 0.0, _FLOAT_MAX, ">= 0 and finite")
    p64 = p.astype(np.float64)
    return c._replace(reads=(*c.reads, ("pos_weight", p))), p64 if p.size > 1 else p64.reshape(())


@_quiet(all="ignore")
def binary_cross_entropy_with_logits(
    input: Array,
    target: Array,
    *,
    pos_weight: Array | None = None,
    sample_weight: Array | None = None,
    reduction: Reduction = "mean",
    out: Array | None = None,
) -> Array:
    """(1 - t) softplus(x) + p t softplus(-x)."""
    name = "binary_cross_entropy_with_logits"
    c, p = _with_logits(name, input, target, pos_weight, sample_weight, reduction)
    tail = np.log1p(np.exp(-np.abs(c.x)))
    softplus = np.maximum(c.x, 0.0) + tail
    softplus_minus = np.maximum(-c.x, 0.0) + tail
    return _forward(c, (1.0 - c.t) * softplus + p * c.t * softplus_minus, out)


@_quiet(all="ignore")
def binary_cross_entropy_with_logits_backward(
    grad_output: Array,
    input: Array,
    target: Array,
    *,
    pos_weight: Array | None = None,
    sample_weight: Array | None = None,
    reduction: Reduction = "mean",
    out: Array | None = None,
) -> Array:
    """(1 - t) sigmoid(x) - p t sigmoid(-x)."""
    name = "binary_cross_entropy_with_logits_backward"
    c, p = _with_logits(name, input, target, pos_weight, sample_weight, reduction)
    z = np.exp(-np.abs(c.x))
    sigmoid = np.where(c.x < 0, z, 1.0) / (1.0 + z)
    sigmoid_minus = np.where(c.x < 0, 1.0, z) / (1.0 + z)
    return _backward(c, grad_output, (1.0 - c.t) * sigmoid - p * c.t * sigmoid_minus, out)


def _gaussian(
    function: str,
    input: object,
    target: object,
    var: object,
    eps: float,
    sample_weight: object,
    reduction: str,
) -> tuple[_Call, Array]:
    extra = (("var", var),)
    c = _elementwise(function, input, target, sample_weight, reduction, extra=extra)
    _check.number(function, "eps", eps, 0.0, _FLOAT_MAX, "a finite number >= 0")
    v = c.reads[2][1]
    assert v is not None
    _in_range(function, "var", v, 0.0, np.inf, ">= 0", nan_legal=True)
    return c, np.maximum(v.astype(np.float64), eps)


def gaussian_nll_loss(
    input: Array,
    target: Array,
    var: Array,
    *,
    full: bool = False,
    eps: float = 1e-6,
    sample_weight: Array | None = None,
    reduction: Reduction = "mean",
    out: Array | None = None,
) -> Array:
    """(log v + (x - t)^2 / v) / 2 with v = max(var, eps); `full` adds log(2 pi) / 2."""
    name = "gaussian_nll_loss"
    _check.flags(name, full=full)
    c, v = _gaussian(name, input, target, var, eps, sample_weight, reduction)
    loss = 0.5 * (np.log(v) + (c.x - c.t) ** 2 / v)
    return _forward(c, loss + 0.5 * np.log(2.0 * np.pi) if full else loss, out)


def gaussian_nll_loss_backward(
    grad_output: Array,
    input: Array,
    target: Array,
    var: Array,
    *,
    full: bool = False,
    eps: float = 1e-6,
    sample_weight: Array | None = None,
    reduction: Reduction = "mean",
    out: tuple[Array, Array] | None = None,
) -> tuple[Array, Array]:
    """(x - t) / v and (1 - (x - t)^2 / v) / (2 v): the clamp of v passes its gradient on."""
    name = "gaussian_nll_loss_backward"
    _check.flags(name, full=full)
    c, v = _gaussian(name, input, target, var, eps, sample_weight, reduction)
    if out is not None and (not isinstance(out, tuple) or len(out) != 2):
        raise TypeError(f"{name}: out is {type(out).__name__}; expected (grad_input, grad_var)")
    grad_input, grad_var = (None, None) if out is None else out
    g = _check_grad(c, grad_output)
    reads = (*c.reads, ("grad_output", g))
    dtype, shape = c.input.dtype, c.input.shape
    grad_input = _check.write(name, "out[0]", grad_input, dtype, shape, reads)
    reads = (*reads, ("out[0]", grad_input))
    grad_var = _check.write(name, "out[1]", grad_var, dtype, shape, reads)
    d = c.x - c.t
    _backward(c, g, d / v, grad_input)
    _backward(c, g, 0.5 * (1.0 - d * d / v) / v, grad_var)
    return grad_input, grad_var


@_quiet(all="ignore")
def poisson_nll_loss(
    input: Array,
    target: Array,
    *,
    log_input: bool = True,
    full: bool = False,
    eps: float = 1e-8,
    sample_weight: Array | None = None,
    reduction: Reduction = "mean",
    out: Array | None = None,
) -> Array:
    """exp(x) - t x, or x - t log(x + eps); `full` adds Stirling's log t! where t > 1."""
    _check.flags("poisson_nll_loss", log_input=log_input, full=full)
    c = _elementwise("poisson_nll_loss", input, target, sample_weight, reduction)
    _check.number(c.function, "eps", eps, 0.0, _FLOAT_MAX, "a finite number >= 0")
    loss = np.exp(c.x) - c.t * c.x if log_input else c.x - c.t * np.log(c.x + eps)
    if full:
        n = np.maximum(c.t, 1.0)
        stirling = n * np.log(n) - n + 0.5 * np.log(2.0 * np.pi * n)
        loss = loss + np.where(c.t > 1.0, stirling, 0.0)
    return _forward(c, loss, out)


@_quiet(all="ignore")
def poisson_nll_loss_backward(
    grad_output: Array,
    input: Array,
    target: Array,
    *,
    log_input: bool = True,
    full: bool = False,
    eps: float = 1e-8,
    sample_weight: Array | None = None,
    reduction: Reduction = "mean",
    out: Array | None = None,
) -> Array:
    """exp(x) - t, or 1 - t / (x + eps)."""
    _check.flags("poisson_nll_loss_backward", log_input=log_input, full=full)
    c = _elementwise("poisson_nll_loss_backward", input, target, sample_weight, reduction)
    _check.number(c.function, "eps", eps, 0.0, _FLOAT_MAX, "a finite number >= 0")
    derivative = np.exp(c.x) - c.t if log_input else 1.0 - c.t / (c.x + eps)
    return _backward(c, grad_output, derivative, out)


# ---- losses over classes


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
) -> tuple[_Call, Array]:
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
        t = _check.read(function, "target", target, like=("input", x))
        _check.shape(function, "target", t, x.shape, "the shape of input")
        if ignore_index >= 0:
            raise ValueError(
                f"{function}: ignore_index is {ignore_index}; expected a negative number, as"
                " probability targets cannot be ignored"
            )
        _not_empty(function, x)
        _in_range(function, "target", t, -np.inf, np.inf, "(no NaN)")
    else:
        _not_empty(function, x)
        t = _check.indices(function, "target", target, classes, "classes", ignore_index)
        _check.shape(function, "target", t, (batch,), "(batch,)")
    class_weight = np.ones(classes)
    sample = np.ones(batch)
    reads: list[tuple[str, Array | None]] = [("input", x)]
    if isinstance(target, np.ndarray):
        reads.append(("target", target))
    if weight is not None:
        w = _weights(function, "weight", weight, x, classes, "(classes,)")
        reads.append(("weight", w))
        class_weight = w.astype(np.float64)
    if sample_weight is not None:
        s = _weights(function, "sample_weight", sample_weight, x, batch, "(batch,)")
        reads.append(("sample_weight", s))
        sample = s.astype(np.float64)
    _check.number(function, "label_smoothing", label_smoothing, 0.0, 1.0, "a number in [0, 1]")
    _check_reduction(function, reduction)

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
    call = _Call(
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


@_quiet(all="ignore")
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
    return _forward(c, _row_losses(a, _softmax_parts(c.x)[0]), out)


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
    return _forward(c, loss, None), grad


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
    return _forward(c, _row_losses(a, c.x), out)


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


def _class_backward(call: _Call, grad_output: object, derivative: Array, out: object) -> Array:
    """`_backward` for a loss of one number a row: grad_output is (batch,) for reduction "none"."""
    g = _check_grad(call, grad_output)
    reads: tuple[tuple[str, Any], ...] = (*call.reads, ("grad_output", g))
    y = _check.write(call.function, "out", out, call.input.dtype, call.input.shape, reads)
    upstream = np.broadcast_to(g, call.unreduced).astype(np.float64)[:, np.newaxis]
    with np.errstate(all="ignore"):
        scaled = derivative * (upstream / np.float64(call.divisor))
    # an ignored row has gradient 0 even where all rows are ignored and the divisor is 0
    y[...] = scaled if call.kept is None else np.where(call.kept, scaled, 0.0)
    return y
