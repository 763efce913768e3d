"""What runs along an axis of an array, and products of matrices that are no layer's weight."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mlpeak.compiler.graph import Call, Shape, Value
from mlpeak.compiler.layout import ONE, Home, Length, is_rows, length_of

if TYPE_CHECKING:
    from mlpeak.compiler.lower import Lowering

__all__ = ["emit_along", "emit_product"]


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
    result = call.outputs[0]
    assert result is not None
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


def emit_product(
    low: Lowering,
    call: Call,
    a: Value,
    b: Value,
    result: Value,
    transpose_a: bool = False,
    transpose_b: bool = False,
    layer: bool = False,
) -> None:
    """Add ``result = a @ b``, either of them transposed, or the product ``a @ b.T`` of a layer."""
    if len(a.shape) != 2 or len(b.shape) != 2:
        raise low.error(call, f"multiplies shapes {a.shape} and {b.shape}; expected two matrices")
    left, right = low.standard(a, call), low.standard(b, call)
    left.adjacent = right.adjacent = True
    m, n = (tuple(length_of(length)) for length in result.shape)
    k = tuple(length_of(a.shape[0 if transpose_a else 1]))
    stage = low.stage_of(left, right)
    out = low.result(result, stage, whole=True)
    repeat, low.repeat = low.repeat, 1
    low.emit_whole(
        stage,
        (left, right),
        lambda p: p.matmul(
            stage, m, n, k, left.number, right.number, transpose_a, transpose_b, layer, out.number
        ),
    )
    low.repeat = repeat
