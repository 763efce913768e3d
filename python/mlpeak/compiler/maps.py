"""Element-wise maps on views: by rows where each sample needs its own rows alone, or as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from mlpeak.compiler.graph import Call, Shape, Value
from mlpeak.compiler.layout import (
    ZERO,
    Home,
    Length,
    Place,
    Spread,
    columns_of,
    contiguous,
    has_batch,
    is_rows,
    length_of,
)

if TYPE_CHECKING:
    from mlpeak.compiler.lower import Lowering

__all__ = [
    "View",
    "broadcast",
    "copy_into",
    "emit_map",
    "map_copy",
    "map_rows",
    "map_value",
    "view_of",
]

MOST_DIMS = 8

#: The operations with a loop of their own on plain rows.
PLAIN = frozenset(
    ("add", "subtract", "multiply", "divide", "maximum", "minimum", "negative", "absolute", "sign",
     "square", "sqrt", "reciprocal", "copy", "less", "less_equal", "greater", "greater_equal",
     "equal", "not_equal")
)  # fmt: skip


class View(NamedTuple):
    """Elements of a home by an offset and a stride for each dimension of a shape."""

    home: Home
    offset: Length
    strides: tuple[Length, ...]


def broadcast(strides: Sequence[Length], shape: Shape, to: Shape) -> tuple[Length, ...]:
    """Return the strides of a value that is broadcast to a shape."""
    spread = [
        ZERO if n == 1 and m != 1 else s
        for s, n, m in zip(strides, shape, to[len(to) - len(shape) :], strict=True)
    ]
    return (*[ZERO] * (len(to) - len(shape)), *spread)


def view_of(place: Place, shape: Shape, to: Shape) -> View:
    """Return a value, broadcast to a shape, as a view."""
    return View(place.home, place.offset, broadcast(place.strides_for(shape), shape, to))


def _by_sample(shape: Shape, view: View) -> View:
    """Return the view with the first dimension of several rows a sample split into two."""
    times = -shape[0]
    if times == 1:
        return view
    first = Length(*(times * part for part in view.strides[0]))
    return view._replace(strides=(first, *view.strides))


def _samples_first(shape: Shape) -> Shape:
    return shape if shape[0] == -1 else (-1, -shape[0], *shape[1:])


def _local(shape: Shape, view: View) -> bool:
    """Whether each sample reads its own row alone, or no rows."""
    home, offset, strides = view
    if any(s.per_sample for s in strides) or offset.per_sample:
        return False
    if not home.rows:
        return strides[0] == ZERO
    if strides[0].fixed != home.columns:
        return False
    spans = [(abs(n) - 1) * s.fixed for n, s in zip(shape[1:], strides[1:], strict=True)]
    low = offset.fixed + sum(s for s in spans if s < 0)
    high = offset.fixed + sum(s for s in spans if s > 0)
    return low >= 0 and high < home.columns


def map_rows(shape: Shape, views: Sequence[View]) -> bool:
    """Whether a map runs by rows."""
    if not is_rows(shape) or has_batch(shape[1:]):
        return False
    split = _samples_first(shape)
    return all(_local(split, _by_sample(shape, view)) for view in views)


def _spread(shape: Shape, view: View) -> Spread | None:
    """Return the plain form of an operand of rows, or None."""
    home, offset, strides = view
    columns = columns_of(shape[1:])
    if all(s == ZERO for s in strides[1:]) and offset == ZERO:
        if home.rows:
            return Spread.ROWS if columns == home.columns == 1 else Spread.COLUMN
        return Spread.NUMBER
    usual = contiguous(shape)[1:]
    same = all(s == u for s, u, n in zip(strides[1:], usual, shape[1:], strict=True) if n != 1)
    if not same or offset != ZERO or home.columns != columns:
        return None
    return Spread.ROWS if home.rows else Spread.ROW


def emit_map(
    low: Lowering, call: Call, name: str, shape: Shape, out: View, views: Sequence[View],
    rows: bool, stage: int,
) -> None:  # fmt: skip
    """Add ``out = name(views)`` over the indices of a shape."""
    state = low.repeat, low.once
    low.repeat, low.once = 1, 0
    _emit_map(low, call, name, shape, out, views, rows, stage)
    low.repeat, low.once = state


def _emit_map(
    low: Lowering, call: Call, name: str, shape: Shape, out: View, views: Sequence[View],
    rows: bool, stage: int,
) -> None:  # fmt: skip
    reads = tuple(view.home for view in views)
    if rows:
        out, *views = (_by_sample(shape, view) for view in (out, *views))
        shape = _samples_first(shape)
        spreads = [_spread(shape, view) for view in views]
        plain = name in PLAIN and _spread(shape, out) == Spread.ROWS
        if plain and None not in spreads:
            first, last = (reads[0], spreads[0]), (reads[-1], spreads[-1])
            low.emit_rows(
                stage,
                reads,
                lambda p: p.arithmetic(
                    stage, name, first[0].number, int(first[1] or 0), last[0].number,
                    int(last[1] or 0), out.home.number,
                ),
            )  # fmt: skip
            return
    for home in (out.home, *reads):
        home.adjacent = True
    if not shape:
        shape, out, *views = (1,), *(v._replace(strides=(ZERO,)) for v in (out, *views))
    if len(shape) > MOST_DIMS:
        raise low.error(call, f"has {len(shape)} dimensions; at most {MOST_DIMS} compile")
    lengths = [tuple(length_of(n)) for n in shape]
    emit = low.emit_rows if rows else low.emit_whole
    emit(
        stage,
        reads,
        lambda p: p.map(stage, rows, name, lengths, _native(out), [_native(v) for v in views]),
    )


def _native(view: View) -> tuple[int, tuple[int, ...], list[tuple[int, ...]]]:
    return view.home.number, tuple(view.offset), [tuple(s) for s in view.strides]


def map_value(
    low: Lowering, call: Call, name: str, value: Value, operands: Sequence[tuple[Place, Shape]]
) -> None:
    """Add ``value = name(operands)``, the operands broadcast to the value's shape."""
    views = [view_of(place, shape, value.shape) for place, shape in operands]
    rows = map_rows(value.shape, views)
    stage = low.stage_for(value, *(v.home for v in views))
    home = low.result(value, stage, whole=not rows)
    out = View(home, ZERO, contiguous(value.shape))
    emit_map(low, call, name, value.shape, out, views, rows, stage)


def map_copy(low: Lowering, call: Call, value: Value) -> Home:
    """Return a new home of an array with a copy of it."""
    source = view_of(low.place(value, call), value.shape, value.shape)
    stage = low.stage_of(source.home)
    home = low.new_home(False, low.columns(value), stage + 1)
    out = View(home, ZERO, contiguous(value.shape))
    emit_map(low, call, "copy", value.shape, out, [source], False, stage)
    return home


def copy_into(
    low: Lowering,
    call: Call,
    value: Value,
    parts: Sequence[tuple[Place, Shape, Place, Shape]],
    ordered: bool = False,
) -> None:
    """Make a value of parts: (source, its shape, where in the value, that part's shape).

    The places of the parts have strides; their home is replaced by the value's. Parts that overlap
    are `ordered`: later ones are written over earlier ones.
    """
    sources = [view_of(source, shape, to) for source, shape, _, to in parts]
    placeholder = Home(has_batch(value.shape), low.columns(value))
    targets = [View(placeholder, p.offset, p.strides_for(to)) for _, _, p, to in parts]
    rows = all(
        map_rows(to, [source, target])
        for source, target, (_, _, _, to) in zip(sources, targets, parts, strict=True)
    ) and is_rows(value.shape)
    stage = low.stage_for(value, *(v.home for v in sources))
    steps = len(parts) - 1 if ordered and not rows and stage >= 0 else 0
    home = low.result(value, stage + steps, whole=not rows)
    for number, (source, target, part) in enumerate(zip(sources, targets, parts, strict=True)):
        out = target._replace(home=home)
        when = stage + min(number, steps)
        emit_map(low, call, "copy", part[3], out, [source], rows, when)
