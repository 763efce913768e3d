"""Element-wise losses in plain NumPy: value and derivative of an element each."""

from __future__ import annotations

import numpy as np

from mlpeak._types import Array, Reduction
from mlpeak.reference import _check, _loss

__all__ = [
    "binary_cross_entropy",
    "binary_cross_entropy_backward",
    "binary_cross_entropy_with_logits",
    "binary_cross_entropy_with_logits_backward",
    "gaussian_nll_loss",
    "gaussian_nll_loss_backward",
    "huber_loss",
    "huber_loss_backward",
    "l1_loss",
    "l1_loss_backward",
    "mse_loss",
    "mse_loss_backward",
    "poisson_nll_loss",
    "poisson_nll_loss_backward",
    "smooth_l1_loss",
    "smooth_l1_loss_backward",
]


def _elementwise(
    function: str,
    input: object,
    target: object,
    sample_weight: object,
    reduction: str,
    unit: tuple[str, ...] = (),
    extra: tuple[tuple[str, object], ...] = (),
) -> _loss.Call:
    """Check a call whose target has the input's shape; `unit` names the arrays bound to [0, 1]."""
    x = _check.read(function, "input", input)
    t = _check.read(function, "target", target, like=("input", x))
    _check.shape(function, "target", t, x.shape, "the shape of input")
    reads: list[tuple[str, Array | None]] = [("input", x), ("target", t)]
    for name, array in extra:
        a = _check.read(function, name, array, like=("input", x))
        _check.shape(function, name, a, x.shape, "the shape of input")
        reads.append((name, a))
    _loss.not_empty(function, x)
    batch = x.shape[0] if x.ndim else 1
    weight = None
    divisor = float(x.size)
    if sample_weight is not None:
        w = _loss.weights(function, "sample_weight", sample_weight, x, batch, "(batch,)")
        reads.append(("sample_weight", w))
        weight = w.astype(np.float64).reshape((batch,) + (1,) * (x.ndim - 1) if x.ndim else ())
        divisor = float(weight.sum()) * (x.size // batch)
    _loss.check_reduction(function, reduction)
    if "input" in unit:
        _loss.in_range(function, "input", x, 0.0, 1.0, "in [0, 1]")
    if "target" in unit:
        _loss.in_range(function, "target", t, 0.0, 1.0, "in [0, 1]")
    else:
        _loss.in_range(function, "target", t, -np.inf, np.inf, "(no NaN)")
    return _loss.Call(
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


@np.errstate(all="ignore")
def _backward(
    call: _loss.Call, grad_output: object, derivative: Array, out: object, name: str = "out"
) -> Array:
    """Return derivative * weight * grad_output / divisor, rounded once."""
    g = _loss.read_grad_output(call, grad_output)
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
    return _loss.forward(c, (c.x - c.t) ** 2, out)


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
    return _loss.forward(c, np.abs(c.x - c.t), out)


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
    _check.number(c.function, "beta", beta, 0.0, _loss.FLOAT_MAX, "a finite number >= 0")
    d = np.abs(c.x - c.t)
    quadratic = 0.5 * d * d / beta if beta > 0 else d
    return _loss.forward(c, np.where(d < beta, quadratic, d - 0.5 * beta), out)


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
    _check.number(c.function, "beta", beta, 0.0, _loss.FLOAT_MAX, "a finite number >= 0")
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
    return _loss.forward(c, np.where(d < delta, 0.5 * d * d, delta * (d - 0.5 * delta)), out)


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
    _check.number(function, name, value, smallest, _loss.FLOAT_MAX, "a finite number > 0")


@np.errstate(all="ignore")
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
    return _loss.forward(c, (c.t - 1.0) * log_1mx - c.t * log_x, out)


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
) -> tuple[_loss.Call, Array]:
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
    _loss.in_range(function, "pos_weight", p, 0.0, _loss.FLOAT_MAX, ">= 0 and finite")
    p64 = p.astype(np.float64)
    return c._replace(reads=(*c.reads, ("pos_weight", p))), p64 if p.size > 1 else p64.reshape(())


@np.errstate(all="ignore")
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
    return _loss.forward(c, (1.0 - c.t) * softplus + p * c.t * softplus_minus, out)


@np.errstate(all="ignore")
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
) -> tuple[_loss.Call, Array]:
    extra = (("var", var),)
    c = _elementwise(function, input, target, sample_weight, reduction, extra=extra)
    _check.number(function, "eps", eps, 0.0, _loss.FLOAT_MAX, "a finite number >= 0")
    v = c.reads[2][1]
    assert v is not None
    _loss.in_range(function, "var", v, 0.0, np.inf, ">= 0", nan_legal=True)
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
    return _loss.forward(c, loss + 0.5 * np.log(2.0 * np.pi) if full else loss, out)


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
    g = _loss.read_grad_output(c, grad_output)
    reads = (*c.reads, ("grad_output", g))
    dtype, shape = c.input.dtype, c.input.shape
    grad_input = _check.write(name, "out[0]", grad_input, dtype, shape, reads)
    reads = (*reads, ("out[0]", grad_input))
    grad_var = _check.write(name, "out[1]", grad_var, dtype, shape, reads)
    d = c.x - c.t
    _backward(c, g, d / v, grad_input)
    _backward(c, g, 0.5 * (1.0 - d * d / v) / v, grad_var)
    return grad_input, grad_var


@np.errstate(all="ignore")
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
    _check.number(c.function, "eps", eps, 0.0, _loss.FLOAT_MAX, "a finite number >= 0")
    loss = np.exp(c.x) - c.t * c.x if log_input else c.x - c.t * np.log(c.x + eps)
    if full:
        n = np.maximum(c.t, 1.0)
        stirling = n * np.log(n) - n + 0.5 * np.log(2.0 * np.pi * n)
        loss = loss + np.where(c.t > 1.0, stirling, 0.0)
    return _loss.forward(c, loss, out)


@np.errstate(all="ignore")
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
    _check.number(c.function, "eps", eps, 0.0, _loss.FLOAT_MAX, "a finite number >= 0")
    derivative = np.exp(c.x) - c.t if log_input else 1.0 - c.t / (c.x + eps)
    return _backward(c, grad_output, derivative, out)
