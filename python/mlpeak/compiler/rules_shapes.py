"""How movements become views, or copies where a view cannot say them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mlpeak.compiler.along import emit_along
from mlpeak.compiler.graph import BatchScalar, Call, Shape
from mlpeak.compiler.layout import (
    ZERO,
    Home,
    Length,
    Place,
    columns_of,
    contiguous,
    has_batch,
    is_rows,
    length_of,
)
from mlpeak.compiler.lower import Lowering
from mlpeak.compiler.maps import broadcast, copy_into, map_value
from mlpeak.compiler.rules import rule
from mlpeak.compiler.rules_arithmetic import result_of

#: A view within a value that is yet to be made: the offset and strides.
Part = tuple[Length, tuple[Length, ...]]


def _source(low: Lowering, call: Call) -> tuple[Place, Shape]:
    value = call.inputs[0]
    assert value is not None
    return low.place(value, call), value.shape


def _multiple(stride: Length, n: int) -> Length:
    return Length(stride.fixed * n, stride.per_sample * n)


@rule("np.reshape")
def _reshape(low: Lowering, call: Call) -> None:
    (value,) = call.inputs
    assert value is not None
    result = result_of(call)
    if _integers_alone(low, call) and is_rows(result.shape):
        source, first, _ = low.integer_parts.get(value.id, (value, 0, 0))
        low.integer_parts[result.id] = source, first, columns_of(result.shape)
        return
    place = low.place(value, call).simplified(value.shape)
    strides = _reshaped(place, value.shape, result.shape)
    if strides is None:
        place = Place(low.standard(value, call))
    else:
        place = Place(place.home, strides, place.offset)
    if place.home.rows:
        place.home.adjacent = place.home.adjacent or value.shape != result.shape
    low.places[result.id] = place.simplified(result.shape)


def _reshaped(place: Place, shape: Shape, to: Shape) -> tuple[Length, ...] | None:
    """Return the strides of a reshaped view: where dimensions of length 1 alone come or go."""
    if place.strides is None:
        return contiguous(to)
    kept = [s for s, n in zip(place.strides, shape, strict=True) if n != 1]
    if [n for n in shape if n != 1] != [n for n in to if n != 1]:
        return (ZERO,) * len(to) if all(s == ZERO for s in kept) else None
    rest = iter(kept)
    return tuple(ZERO if n == 1 else next(rest) for n in to)


@rule("np.broadcast_to")
def _broadcast_to(low: Lowering, call: Call) -> None:
    place, shape = _source(low, call)
    result = result_of(call)
    strides = broadcast(place.strides_for(shape), shape, result.shape)
    low.places[result.id] = Place(place.home, strides, place.offset).simplified(result.shape)


@rule("np.transpose")
def _transpose(low: Lowering, call: Call) -> None:
    place, shape = _source(low, call)
    result = result_of(call)
    strides = place.strides_for(shape)
    moved = tuple(strides[axis] for axis in call.params["axes"])
    low.places[result.id] = Place(place.home, moved, place.offset).simplified(result.shape)


@rule("np.flip")
def _flip(low: Lowering, call: Call) -> None:
    place, shape = _source(low, call)
    result = result_of(call)
    strides, offset = list(place.strides_for(shape)), place.offset
    for axis in call.params["axis"]:
        last = _multiple(length_of(shape[axis]).plus(Length(-1)), 1).times(strides[axis])
        if last is None:
            raise low.error(call, "turns around a view whose strides follow the batch size")
        offset = offset.plus(last)
        strides[axis] = _multiple(strides[axis], -1)
    low.places[result.id] = Place(place.home, tuple(strides), offset).simplified(result.shape)


# Indexing.


def _at(index: Any, n: int) -> Length:
    """Return an index, which counts from the end if it is negative, as a length."""
    if isinstance(index, BatchScalar):
        return Length(0, int(index.scale))
    return Length(int(index)) if index >= 0 else length_of(n).plus(Length(int(index)))


def _start(part: slice, n: int) -> tuple[Length, int]:
    """Return where a slice of n elements begins, and its step."""
    step = 1 if part.step is None else int(part.step)
    if part.start is None:
        return (ZERO if step > 0 else length_of(n).plus(Length(-1))), step
    start = _at(part.start, n)
    if not start.per_sample and n >= 0:
        low, high = (0, n) if step > 0 else (-1, n - 1)
        start = Length(min(max(start.fixed, low), high))
    return start, step


def indexed(low: Lowering, call: Call, shape: Shape, strides: Sequence[Length]) -> Part | None:
    """Return the part of a value that a key picks, None if it picks by an array of indices."""
    offset, picked, axis = ZERO, [], 0
    for item in call.params["key"]:
        if item is None:
            picked.append(ZERO)
            continue
        if isinstance(item, np.ndarray):
            return None
        if isinstance(item, slice):
            start, step = _start(item, shape[axis])
            picked.append(_multiple(strides[axis], step))
        else:
            start = _at(item, shape[axis])
        moved = start.times(strides[axis])
        if moved is None:
            raise low.error(call, "takes a part whose offset is the square of the batch size")
        offset = offset.plus(moved)
        axis += 1
    return offset, (*picked, *strides[axis:])


def _indices(low: Lowering, call: Call, shape: Shape) -> tuple[int, list[int]]:
    """Return the axis and the indices of a key that is one array among full slices."""
    found: list[tuple[int, Any]] = []
    for axis, item in enumerate(call.params["key"]):
        if isinstance(item, np.ndarray) and item.ndim == 1 and item.dtype.kind in "iu":
            found.append((axis, item))
        elif not (isinstance(item, slice) and item == slice(None)):
            found.append((axis, None))
    if len(found) != 1 or found[0][1] is None or shape[found[0][0]] < 0:
        raise low.error(call, "takes more than one array of indices, or indices of samples")
    axis, item = found[0]
    return axis, [int(i) % shape[axis] for i in item]


#: The calls that read integers.
OF_INTEGERS = frozenset(
    f"{name}{backward}"
    for name in ("embedding", "cross_entropy", "nll_loss")
    for backward in ("", "_backward")
)


def _integers_alone(low: Lowering, call: Call) -> bool:
    """Whether a call takes a part of the caller's integers, which serves as indices alone."""
    value, result = call.inputs[0], result_of(call)
    assert value is not None
    users = {low.graph.calls[n].name for n in low.users.get(result.id, [])}
    known = value.kind in ("input", "target") or value.id in low.integer_parts
    return value.dtype.kind in "iu" and result.dtype.kind in "iu" and known and users <= OF_INTEGERS


def _integer_columns(low: Lowering, call: Call) -> bool:
    """Note which columns of the caller's integers a call takes, if they are neighbours."""
    value, result = call.inputs[0], result_of(call)
    assert value is not None
    source, first, _ = low.integer_parts.get(value.id, (value, 0, 0))
    part = indexed(low, call, value.shape, contiguous(value.shape))
    if part is None or not is_rows(result.shape):
        return False
    offset, strides = part
    own = Place(Home(True, columns_of(value.shape)), strides, offset)
    usual = contiguous(result.shape)
    if offset.per_sample or strides[0] != Length(columns_of(value.shape)):
        return False
    if any(s != u for s, u, n in zip(own.strides_for(result.shape)[1:], usual[1:],
                                     result.shape[1:], strict=True) if n != 1):  # fmt: skip
        return False
    low.integer_parts[result.id] = source, first + offset.fixed, columns_of(result.shape)
    return True


@rule("np.getitem")
def _getitem(low: Lowering, call: Call) -> None:
    if _integers_alone(low, call) and _integer_columns(low, call):
        return
    place, shape = _source(low, call)
    result = result_of(call)
    part = indexed(low, call, shape, place.strides_for(shape))
    if part is None:
        axis, indices = _indices(low, call, shape)
        emit_along(low, call, "take", axis, indices=indices)
        return
    offset, strides = part
    low.places[result.id] = Place(place.home, strides, place.offset.plus(offset)).simplified(
        result.shape
    )


@rule("np.add.at")
def _add_at(low: Lowering, call: Call) -> None:
    value = call.inputs[0]
    assert value is not None
    axis, indices = _indices(low, call, value.shape)
    emit_along(low, call, "add.at", axis, second=call.inputs[1], indices=indices)


def _part_shape(low: Lowering, call: Call, shape: Shape) -> Shape:
    """Return the shape of the part that a key picks from a shape."""
    picked: list[int] = []
    axis = 0
    for item in call.params["key"]:
        if item is None:
            picked.append(1)
            continue
        n = shape[axis]
        axis += 1
        if not isinstance(item, slice):
            continue
        if n >= 0:
            picked.append(len(range(*item.indices(n))))
            continue
        if item == slice(None):
            picked.append(n)
            continue
        start, step = _start(item, n)
        stop = length_of(n) if item.stop is None else _at(item.stop, n)
        difference = stop.plus(_multiple(start, -1))
        if difference.fixed or step != 1 or difference.per_sample <= 0:
            raise low.error(call, "takes some of the samples; expected all, or whole batches")
        picked.append(-difference.per_sample)
    return (*picked, *shape[axis:])


@rule("np.setitem")
def _setitem(low: Lowering, call: Call) -> None:
    base, second = call.inputs
    assert base is not None
    assert second is not None
    result = result_of(call)
    part = indexed(low, call, base.shape, contiguous(base.shape))
    if part is None:
        raise low.error(call, "writes to an array of indices")
    offset, strides = part
    to = _part_shape(low, call, base.shape)
    sources = (low.place(base, call), base.shape), (low.place(second, call), second.shape)
    nowhere = Home(has_batch(base.shape), 0)
    parts = [
        (*sources[0], Place(nowhere, contiguous(base.shape)), base.shape),
        (*sources[1], Place(nowhere, strides, offset), to),
    ]
    if to == base.shape and offset == ZERO and strides == contiguous(base.shape):
        del parts[0]
    copy_into(low, call, result, parts, ordered=True)


# Joining and repeating.


@rule("np.concatenate", "np.stack")
def _join(low: Lowering, call: Call) -> None:
    result = result_of(call)
    strides = contiguous(result.shape)
    axis = call.params["axis"] % len(result.shape)
    offset, parts = ZERO, []
    for value in call.inputs:
        assert value is not None
        shape = value.shape
        place = low.place(value, call)
        length = Length(1) if call.name == "np.stack" else length_of(shape[axis])
        step = length.times(strides[axis])
        if step is None:
            raise low.error(call, "joins samples beside samples")
        within = strides if call.name != "np.stack" else (*strides[:axis], *strides[axis + 1 :])
        parts.append((place, shape, Place(place.home, within, offset), shape))
        offset = offset.plus(step)
    copy_into(low, call, result, parts)


@rule("np.tile")
def _tile(low: Lowering, call: Call) -> None:
    place, shape = _source(low, call)
    result = result_of(call)
    reps = call.params["reps"]
    reps = (reps,) if isinstance(reps, int) else tuple(reps)
    dims = max(len(reps), len(shape))
    reps = (1,) * (dims - len(reps)) + reps
    shape = (1,) * (dims - len(shape)) + shape
    own = place.strides_for(shape) if place.strides is None else (
        (ZERO,) * (dims - len(place.strides)) + place.strides
    )  # fmt: skip
    if any(not isinstance(r, int) for r in reps):
        raise low.error(call, "repeats as often as there are samples")
    # (repetitions, length) for each dimension, in one copy
    wide: list[int] = []
    source: list[Length] = []
    target: list[Length] = []
    for r, n, s, t in zip(reps, shape, own, contiguous(result.shape), strict=True):
        if r != 1:
            step = length_of(n).times(t)
            if step is None:
                raise low.error(call, "repeats samples beside samples")
            wide.append(r)
            source.append(ZERO)
            target.append(step)
        wide.append(n)
        source.append(s)
        target.append(t)
    spread = Place(place.home, tuple(source), place.offset)
    parts = [(spread, tuple(wide), Place(place.home, tuple(target)), tuple(wide))]
    copy_into(low, call, result, parts)


@rule("np.tril", "np.triu")
def _triangle(low: Lowering, call: Call) -> None:
    place, shape = _source(low, call)
    if has_batch(shape[-2:]):
        raise low.error(call, "takes a triangle that the batch size shapes")
    kept = getattr(np, call.name[3:])(np.ones(shape[-2:]), call.params["k"])
    mask, zero = Place(low.constant(kept)), Place(low.constant(np.zeros(1)), ())
    operands = [(mask, shape[-2:]), (place, shape), (zero, ())]
    map_value(low, call, "where", result_of(call), operands)
