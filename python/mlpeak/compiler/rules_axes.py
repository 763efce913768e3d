"""How sums, extremes, running sums and products of matrices become instructions."""

from __future__ import annotations

from collections.abc import Sequence

from mlpeak.compiler.graph import Call, Shape, Value
from mlpeak.compiler.layout import ONE, ZERO, Home, Length, Place, contiguous, has_batch, is_rows
from mlpeak.compiler.layout import length_of
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


def _product(shape: Shape) -> Length:
    size = ONE
    for n in shape:
        product = size.times(length_of(n))
        assert product is not None
        size = product
    return size


def emit_along(
    low: Lowering,
    call: Call,
    name: str,
    first: int,
    last: int | None = None,
    value: Value | None = None,
    home: Home | None = None,
    shape: Shape | None = None,
    second: Value | None = None,
    indices: Sequence[int] = (),
) -> None:
    """Add what runs along the axes `first` to `last` of the first input, which are neighbours.

    Another array of another `shape`, in a `home` of its own, may stand for the first input.
    """
    value = call.inputs[0] if value is None else value
    assert value is not None
    result = result_of(call)
    if shape is None:
        shape = value.shape
    if home is None:
        home = low.standard(value, call)
    last = first if last is None else last
    other = None if second is None else low.standard(second, call)
    outer, count, inner = (
        _product(part) for part in (shape[:first], shape[first : last + 1], shape[last + 1 :])
    )
    rows = is_rows(shape) and first > 0
    if rows:
        outer = Length(outer.per_sample)
    homes = (home,) if other is None else (home, other)
    for h in homes:
        h.adjacent = True
    stage = low.stage_for(result, *homes)
    if stage < 0:  # needs scratch memory, which there is in steps alone
        stage = 0
    y = low.result(result, stage, whole=not rows)
    y.adjacent = True
    emit = low.emit_rows if rows else low.emit_whole
    emit(
        stage,
        homes,
        lambda p: p.along(
            stage, rows, name, tuple(outer), tuple(count), tuple(inner), list(indices), home.number,
            -1 if other is None else other.number, y.number,
        ),
    )  # fmt: skip


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
    if len(a.shape) != 2 or len(b.shape) != 2:
        raise low.error(call, f"multiplies shapes {a.shape} and {b.shape}; expected two matrices")
    result = result_of(call)
    left, right = low.standard(a, call), low.standard(b, call)
    left.adjacent = right.adjacent = True
    transposed = bool(call.params["transpose_a"]), bool(call.params["transpose_b"])
    m, n = (tuple(length_of(length)) for length in result.shape)
    k = tuple(length_of(a.shape[0 if transposed[0] else 1]))
    stage = low.stage_of(left, right)
    out = low.result(result, stage, whole=True)
    low.emit_whole(
        stage,
        (left, right),
        lambda p: p.matmul(stage, m, n, k, left.number, right.number, *transposed, out.number),
    )

