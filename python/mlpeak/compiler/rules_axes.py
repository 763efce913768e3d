"""How sums, extremes, running sums and products of matrices become instructions."""

from __future__ import annotations

from collections.abc import Sequence

from mlpeak.compiler.along import emit_along, emit_product
from mlpeak.compiler.graph import Call, Shape, Value
from mlpeak.compiler.layout import ZERO, Home, contiguous, has_batch
from mlpeak.compiler.lower import Lowering
from mlpeak.compiler.maps import View, emit_map, map_rows
from mlpeak.compiler.rules import rule
from mlpeak.compiler.rules_arithmetic import result_of

NAMES = {
    "np.maximum.reduce": "maximum",
    "np.minimum.reduce": "minimum",
    "np.add.reduce": "count",
    "np.argmax": "argmax",
    "np.argmin": "argmin",
    "np.argsort": "argsort",
    "np.add.accumulate": "add.accumulate",
    "np.multiply.accumulate": "multiply.accumulate",
}


def _axes(call: Call, dims: int) -> list[int]:
    axis = call.params["axis"]
    if axis is None or axis == () or not dims:
        return list(range(dims))
    chosen = (axis,) if isinstance(axis, int) else tuple(axis)
    return sorted(a % dims for a in chosen)


@rule("sum", "mean", *NAMES)
def _reduce(low: Lowering, call: Call) -> None:
    value = call.inputs[0]
    assert value is not None
    name = NAMES.get(call.name, call.name)
    if name == "count" and value.dtype.kind != "b":
        raise low.error(call, f"adds {value.dtype}; expected truth values or {low.dtype}")
    shape = value.shape or (1,)
    axes = _axes(call, len(shape))
    if axes == list(range(axes[0], axes[0] + len(axes))):
        emit_along(low, call, name, axes[0], axes[-1], shape=shape)
    else:
        order = [a for a in range(len(shape)) if a not in axes] + axes
        home, moved = _transposed(low, call, value, order)
        emit_along(low, call, name, len(shape) - len(axes), len(shape) - 1, home=home, shape=moved)


def _transposed(
    low: Lowering, call: Call, value: Value, order: Sequence[int]
) -> tuple[Home, Shape]:
    """Return a copy of a value with its dimensions in another order, and its shape."""
    place = low.place(value, call)
    strides = place.strides_for(value.shape)
    shape = tuple(value.shape[a] for a in order)
    source = View(place.home, place.offset, tuple(strides[a] for a in order))
    rows = map_rows(shape, [source])
    stage = low.stage_of(place.home)
    home = low.new_home(has_batch(shape), low.columns(value), stage if rows else stage + 1)
    emit_map(low, call, "copy", shape, View(home, ZERO, contiguous(shape)), [source], rows, stage)
    return home, shape


@rule("matmul")
def _matmul(low: Lowering, call: Call) -> None:
    a, b = call.inputs
    assert a is not None
    assert b is not None
    transposed = bool(call.params["transpose_a"]), bool(call.params["transpose_b"])
    emit_product(low, call, a, b, result_of(call), *transposed)
