"""What the losses share: a checked call (cpp/bindings/loss_args.h), its weights and its reduction.

Every loss is weighted by ``sample_weight`` (one number a row), then reduced: ``"none"`` keeps the
elements, ``"sum"`` adds them, ``"mean"`` divides the sum by the sum of the weights. NumPy's
warnings are off where a formula meets 0 * inf, log(0) or overflow: there the loss is infinite or
NaN by definition.
"""

from __future__ import annotations

from typing import NamedTuple, get_args

import numpy as np

from mlpeak._types import Array, Reduction
from mlpeak.reference import _check

FLOAT_MAX = float(np.finfo(np.float64).max)
_REDUCTIONS = get_args(Reduction)


class Call(NamedTuple):
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


def in_range(
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


def weights(function: str, name: str, array: object, x: Array, count: int, layout: str) -> Array:
    """Check a vector of finite weights >= 0."""
    w = _check.read(function, name, array, like=("input", x))
    _check.shape(function, name, w, (count,), layout)
    in_range(function, name, w, 0.0, FLOAT_MAX, ">= 0 and finite")
    return w


def check_reduction(function: str, reduction: object) -> None:
    """`reduction` is one of the three."""
    if not isinstance(reduction, str):
        raise TypeError(f"{function}: reduction is {type(reduction).__name__}; expected a str")
    if reduction not in _REDUCTIONS:
        raise ValueError(
            f"{function}: reduction is {reduction!r}; expected one of {', '.join(_REDUCTIONS)}"
        )


def not_empty(function: str, x: Array) -> None:
    """There is something to take a mean of."""
    if x.size == 0:
        raise ValueError(f"{function}: input has shape {x.shape}: the batch is empty")


@np.errstate(all="ignore")
def forward(call: Call, loss: Array, out: object) -> Array:
    """Weight, reduce, divide, round once."""
    shape = call.unreduced if call.reduction == "none" else ()
    y = _check.write(call.function, "out", out, call.input.dtype, shape, call.reads)
    weighted = loss if call.weight is None else call.weight * loss
    if call.reduction == "none":
        y[...] = weighted
    else:
        y[...] = weighted.sum() / np.float64(call.divisor)
    return y


def read_grad_output(call: Call, grad_output: object) -> Array:
    """Check grad_output: it has the shape of the loss."""
    g = _check.read(call.function, "grad_output", grad_output, like=("input", call.input))
    if call.reduction == "none":
        _check.shape(call.function, "grad_output", g, call.unreduced, "the unreduced loss")
    else:
        _check.shape(call.function, "grad_output", g, (), "the reduced loss")
    return g
