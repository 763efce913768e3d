"""Two runs of different batch sizes, laid over each other: what differs must follow the batch size.

A length that is k batches in both runs becomes ``-k``, a number that is c batches (or c over the
batch) becomes a `BatchScalar`. Anything else that differs cannot be compiled.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mlpeak.compiler.errors import EAGER, CompileError
from mlpeak.compiler.graph import BatchScalar, Call, Shape, Value
from mlpeak.compiler.record import RawCall, RawValue, Recorder, Where

__all__ = ["Merger", "prune"]


class _Differs(Exception):
    """Two things that should be equal are not; what they are."""


@dataclass
class Merger:
    """The values and calls that two runs, of `batches` samples each, have in common."""

    batches: tuple[int, int]
    runs: tuple[Recorder, Recorder]
    values: dict[int, Value] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)

    def merge(self) -> None:
        """Fill `values` and `calls`.

        Raises
        ------
        CompileError
            If the runs differ in what does not follow the batch size.
        """
        first, second = self.runs
        for a, b in zip(first.calls, second.calls, strict=False):
            if a.name != b.name or a.where.name != b.where.name or _ids(a.inputs) != _ids(b.inputs):
                raise _error(
                    a.where,
                    f"a call of {a.name!r} becomes one of {b.name!r}, or has other arguments, for "
                    "another batch size or other data",
                )
            self._call(a, b)
        if len(first.calls) != len(second.calls):
            longer = max(self.runs, key=lambda run: len(run.calls)).calls
            extra = longer[min(len(run.calls) for run in self.runs)]
            raise _error(
                extra.where,
                f"the number of calls (from {extra.name!r} on) depends on the batch size or on the "
                "data",
            )

    def value(self, a: RawValue) -> Value:
        """Return the value of both runs that was `a` in the first."""
        found = self.values.get(a.id)
        if found is None:
            found = self.values[a.id] = self._value(a, self.runs[1].values[a.id])
        return found

    def _value(self, a: RawValue, b: RawValue) -> Value:
        if (a.kind, a.dtype, a.index, a.name) != (b.kind, b.dtype, b.index, b.name):
            raise _error(a.where, f"a {a.kind} ({a.dtype}) becomes a {b.kind} ({b.dtype})")
        try:
            shape = self._shape(a.shape, b.shape)
        except _Differs as e:
            raise _error(a.where, f"a {a.kind} has a shape that {_DEPENDS}: {e}") from None
        scalar = None
        if a.kind == "constant" and not _same_array(a.array, b.array):
            filled = self._filled(a, b, shape)
            if filled is not None:
                return filled
            scalar = self._scalar(a, b)
        return Value(
            a.id,
            shape,
            a.dtype,
            a.kind,
            array=None if scalar else a.array,
            scalar=scalar,
            tensor=a.tensor,
            index=a.index,
            name=a.name,
        )

    def _filled(self, a: RawValue, b: RawValue, shape: Shape) -> Value | None:
        """A constant of one number repeated: with a length that follows the batch, a call."""
        assert a.array is not None
        assert b.array is not None
        if a.shape == b.shape or a.array.size == 0:
            return None
        fill = a.array.flat[0]
        if not (a.array == fill).all() or not (b.array == fill).all():
            return None
        value = Value(a.id, shape, a.dtype, "result")
        params = {"shape": shape, "dtype": a.dtype, "fill": fill}
        self.calls.append(Call("np.full", (), params, (value,), module=a.where.name))
        return value

    def _scalar(self, a: RawValue, b: RawValue) -> BatchScalar:
        assert a.array is not None
        assert b.array is not None
        if a.shape == b.shape == ():
            found = self._follow(a.array.item(), b.array.item(), a.dtype)
            if found is not None:
                return found
        what = f"an array of shape {a.shape}"
        if a.array.size == b.array.size == 1:
            what = f"a number ({a.array.item()} and {b.array.item()} in two sample runs)"
        raise _error(a.where, f"{what} that should be a constant {_DEPENDS}")

    def _call(self, a: RawCall, b: RawCall) -> None:
        inputs = tuple(None if v is None else self.value(v) for v in a.inputs)
        params: dict[str, Any] = {}
        for key, param in a.params.items():
            try:
                params[key] = (self._shape if key == "shape" else self._param)(param, b.params[key])
            except _Differs as e:
                what = f"the argument {key!r} of {a.name!r} {_DEPENDS}: {e}"
                raise _error(a.where, what) from None
        fixed = all(v is not None and v.kind == "constant" and v.scalar is None for v in inputs)
        if fixed and self._fold(a, b):
            return
        outputs = tuple(None if v is None else self.value(v) for v in a.outputs)
        updates = tuple(self.value(v) for v in a.updates)
        self.calls.append(Call(a.name, inputs, params, outputs, updates, a.where.name))

    def _fold(self, a: RawCall, b: RawCall) -> bool:
        """Make the single number that a call yields from constants a constant."""
        v, w = a.outputs[0], b.outputs[0]
        if v is None or w is None or v.array is None or not _same_array(v.array, w.array):
            return False
        self.values[v.id] = Value(v.id, v.shape, v.dtype, "constant", array=v.array)
        return True

    def _shape(self, a: Shape, b: Shape) -> Shape:
        if len(a) != len(b):
            raise _Differs(f"{a} and {b}")
        return tuple(self._length(n, m, (a, b)) for n, m in zip(a, b, strict=True))

    def _length(self, n: int, m: int, shapes: tuple[Shape, Shape]) -> int:
        if n == m:
            return n
        times, rest = divmod(n, self.batches[0])
        if rest or m != times * self.batches[1]:
            of = f"for batches of {self.batches[0]} and {self.batches[1]}"
            raise _Differs(f"{shapes[0]} and {shapes[1]} {of}")
        return -times

    def _param(self, a: Any, b: Any) -> Any:
        if isinstance(a, (tuple, list)) and type(a) is type(b) and len(a) == len(b):
            return type(a)(self._param(x, y) for x, y in zip(a, b, strict=True))
        if isinstance(a, slice) and isinstance(b, slice):
            ends = zip((a.start, a.stop, a.step), (b.start, b.stop, b.step), strict=True)
            return slice(*(self._param(x, y) for x, y in ends))
        if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
            if _same_array(a, b):
                return a
            raise _Differs("an index array")
        if type(a) is type(b) and (a == b or (a != a and b != b)):
            return a
        if isinstance(a, (int, float, np.number)) and isinstance(b, (int, float, np.number)):
            dtype = np.dtype(type(a)) if isinstance(a, np.number) else np.dtype(np.float64)
            if isinstance(a, int):
                dtype = np.dtype(np.int64)
            found = self._follow(float(a), float(b), dtype)
            if found is not None:
                return found
        raise _Differs(f"{a!r} and {b!r} for batches of {self.batches[0]} and {self.batches[1]}")

    def _follow(self, a: float, b: float, dtype: np.dtype[Any]) -> BatchScalar | None:
        """The multiple of the batch size, or of its inverse, that is `a` and `b` in the runs."""
        n, m = self.batches
        times, inverse = a / n, a * n
        guesses = [BatchScalar(_shortest(times, dtype)), BatchScalar(times)]
        if dtype.kind != "f":
            guesses = [BatchScalar(int(times))] if times.is_integer() else []
        elif a:
            guesses.append(BatchScalar(_shortest(inverse, dtype), -1))
            divisor = _shortest(1 / inverse, dtype)
            if isinstance(divisor, int):
                guesses.append(BatchScalar(1, -1, divisor))
        for guess in guesses:
            if dtype.type(guess.value(n)) == a and dtype.type(guess.value(m)) == b:
                return guess
        return None


_DEPENDS = (
    "depends on data, parameters, a count of steps, or the batch size in another way than as a "
    "multiple of it"
)


def _shortest(x: float, dtype: np.dtype[Any]) -> float:
    """The number that rounding made `x` of: an integer if it is one."""
    short = float(f"{x:.{6 if dtype == np.float32 else 14}g}")
    return int(short) if short.is_integer() and abs(short) < 2**53 else short


def _ids(values: Iterable[RawValue | None]) -> list[int | None]:
    return [None if v is None else v.id for v in values]


def _same_array(a: Any, b: Any) -> bool:
    return a is b or (
        a.shape == b.shape
        and a.dtype == b.dtype
        and bool(np.array_equal(a, b, equal_nan=a.dtype.kind == "f"))
    )


def _error(where: Where, what: str) -> CompileError:
    return CompileError(f"compile: in {where}: {what}. {EAGER}")


def prune(calls: Sequence[Call], needed: Iterable[Value | None]) -> tuple[Call, ...]:
    """Return the calls that `needed` depends on, and those that update a buffer."""
    wanted = {id(v) for v in needed if v is not None}
    kept = []
    for call in reversed(calls):
        if call.updates or any(id(v) in wanted for v in call.outputs if v is not None):
            wanted.update(id(v) for v in call.inputs if v is not None)
            kept.append(call)
    return tuple(reversed(kept))
