"""What one run of a model writes down: its values and calls, all with the sizes of that run.

`Recorder` numbers the values in the order in which they appear, so two runs that do the same number
them alike, and `mlpeak.compiler.merge` can lay one over the other. The few functions of NumPy that
only move elements (reshape, transpose, ...) are simplified here where they undo each other.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

import numpy as np

from mlpeak._types import Array
from mlpeak.autograd import Node, apply
from mlpeak.compiler.errors import EAGER, INSTEAD, CompileError
from mlpeak.compiler.graph import Kind, Shape

__all__ = ["RawCall", "RawValue", "Recorder", "Where", "current", "recording"]

#: The local that holds the operation (or its node) in the frames of these two functions.
_FRAMES = {apply.__code__: "op", Node.backward.__code__: "self"}
_METHODS = ("mlpeak._tensor", "mlpeak._from_data", "mlpeak.functions.", "mlpeak.nn.functional")


@dataclass(frozen=True)
class Where:
    """The module that runs: its dotted name and its type's name."""

    name: str
    type: str = ""

    def __str__(self) -> str:
        kind = f" ({self.type})" if self.type else ""
        plain = {"": "the model", "loss": "the loss"}
        return plain.get(self.name, f"module '{self.name}'") + kind


@dataclass(eq=False)
class RawValue:
    """A `Value` with the shape of this run."""

    id: int
    shape: Shape
    dtype: np.dtype[Any]
    kind: Kind
    array: Array | None = None
    tensor: Any = None
    index: int = -1
    name: str = ""
    producer: RawCall | None = None
    where: Where = field(default_factory=lambda: Where(""))

    @property
    def is_fixed(self) -> bool:
        """Whether it is a constant, or was computed from constants alone."""
        return self.array is not None and self.kind in ("constant", "result")


@dataclass(eq=False)
class RawCall:
    """A `Call` with the sizes of this run."""

    name: str
    inputs: tuple[RawValue | None, ...]
    params: dict[str, Any]
    where: Where
    outputs: tuple[RawValue | None, ...] = ()
    updates: tuple[RawValue, ...] = ()


@dataclass
class Recorder:
    """The values and calls of one run, in order.

    Attributes
    ----------
    seed : int
        The seed of the default generator in this run, by which its draws are recognised.
    step : int
        Its step at the start of the run.
    """

    seed: int
    step: int
    values: list[RawValue] = field(default_factory=list)
    calls: list[RawCall] = field(default_factory=list)
    thread: int = field(default_factory=threading.get_ident)
    _known: dict[int, RawValue] = field(default_factory=dict)
    _kept: list[Any] = field(default_factory=list)
    _roots: dict[int, Any] = field(default_factory=dict)
    _where: list[Where] = field(default_factory=lambda: [Where("")])
    _nodes: dict[int, Where] = field(default_factory=dict)

    # where we are

    @contextmanager
    def inside(self, where: Where) -> Iterator[None]:
        """Let calls belong to `where` for a while."""
        self._where.append(where)
        try:
            yield
        finally:
            self._where.pop()

    @property
    def here(self) -> Where:
        """The innermost module that runs."""
        return self._where[-1]

    def remember(self, node: Node) -> None:
        """Note which module's forward made `node`."""
        self._nodes[node.sequence] = self.here

    def origin(self, node: Node) -> Where:
        """Return the module whose forward made `node`."""
        return self._nodes.get(node.sequence, self.here)

    def error(self, what: str, where: Where | None = None) -> CompileError:
        """Return the error for `what`, naming the module and the tensor operation that runs."""
        operation = _running_operation()
        inside = f", operation '{operation}'" if operation else ""
        remedy = INSTEAD.get(operation, "") + EAGER
        return CompileError(f"compile: in {where or self.here}{inside}: {what}. {remedy}")

    # values

    def new_value(self, like: Array | RawValue, kind: Kind, **fields: Any) -> RawValue:
        """Number a value that looks like `like`."""
        value = RawValue(len(self.values), like.shape, like.dtype, kind, where=self.here, **fields)
        self.values.append(value)
        return value

    def know(self, array: Array, value: RawValue) -> None:
        """Recognise the ordinary array `array` as `value` wherever it is used."""
        self._known[id(array)] = value
        self._kept.append(array)  # or its id might come again

    def known(self, array: object) -> RawValue | None:
        """Return the value that `know` was told."""
        return self._known.get(id(array))

    def constant(self, array: Any) -> RawValue:
        """Return the value of an array or a number that no traced array went into."""
        found = self.known(array)
        if found is None:
            fixed = np.asarray(array)
            found = self.new_value(fixed, "constant", array=fixed)
            self.know(array, found)
        return found

    def own_memory(self, array: Array) -> None:
        """Note that a traced array lies in the memory of `array`."""
        root = _root(array)
        self._roots[id(root)] = root

    def is_traced_memory(self, array: Any) -> bool:
        """Return whether an ordinary array lies in the memory of a traced one."""
        return id(_root(array)) in self._roots

    # calls

    def emit(
        self,
        name: str,
        inputs: Sequence[RawValue | None],
        params: Mapping[str, Any],
        results: Sequence[Array | RawValue | None],
        updates: tuple[RawValue, ...] = (),
    ) -> tuple[RawValue | None, ...]:
        """Record a call and return the values of its results.

        Each result is an array, a value that looks like it, or None. A single number computed from
        constants alone keeps its array, so that it can become a constant itself.
        """
        call = RawCall(name, tuple(inputs), dict(params), self.here, updates=updates)
        fixed = name.startswith("np.") and all(v is not None and v.is_fixed for v in inputs)
        call.outputs = tuple(
            None
            if r is None
            else self.new_value(r, "result", producer=call, array=_number(r) if fixed else None)
            for r in results
        )
        self.calls.append(call)
        return call.outputs

    def emit_one(
        self,
        name: str,
        inputs: Sequence[RawValue | None],
        result: Array | RawValue,
        **params: Any,
    ) -> RawValue:
        """Record a call with one result, which looks like `result`, and return its value."""
        (value,) = self.emit(name, inputs, params, (result,))
        assert value is not None
        return value

    def move(self, name: str, x: RawValue, result: Array | RawValue, **params: Any) -> RawValue:
        """Record a call that only moves the elements of `x`, unless it comes back to a value."""
        source = x.producer
        if name == "np.reshape":
            while source is not None and source.name == name:
                x = _only(source.inputs)
                source = x.producer
            if x.shape == result.shape:
                return x
        elif name == "np.transpose":
            axes = tuple(params["axes"])
            while source is not None and source.name == name:
                x = _only(source.inputs)
                axes = tuple(source.params["axes"][a] for a in axes)
                source = x.producer
            if axes == tuple(range(len(axes))):
                return x
            params["axes"] = axes
        elif name in ("np.broadcast_to", "np.astype") and _alike(x, result):
            return x
        return self.emit_one(name, (x,), result, **params)


def _root(array: Any) -> Any:
    """The array that owns the memory."""
    while isinstance(base := getattr(array, "base", None), np.ndarray):
        array = base
    return array


def _number(result: Array | RawValue) -> Array | None:
    """A copy of the result if it is an array of one element: the array may change later."""
    return result.copy() if isinstance(result, np.ndarray) and result.size == 1 else None


def _alike(x: RawValue, y: Array | RawValue) -> bool:
    return x.shape == y.shape and x.dtype == y.dtype


def _only(inputs: Sequence[RawValue | None]) -> RawValue:
    (x,) = inputs
    assert x is not None
    return x


def _running_operation() -> str:
    """What the user called: the operation whose forward or backward runs, or a tensor's method.

    It is found on the stack, so that a run without errors pays nothing for it.
    """
    frame: FrameType | None = sys._getframe(1)
    method = ""
    while frame is not None:
        held = frame.f_locals.get(_FRAMES.get(frame.f_code, ""))
        if held is not None:
            return str(held.op.name if isinstance(held, Node) else held.name)
        module = frame.f_globals.get("__name__", "")
        if module.startswith(_METHODS):
            method = frame.f_code.co_name.strip("_")
        elif method:
            break
        frame = frame.f_back
    return method


_current: Recorder | None = None


def current() -> Recorder:
    """Return the recorder of the run that is going on."""
    if _current is None:
        raise CompileError(
            "compile: a tensor of the sample run was kept and used later; compute it in forward "
            "from what forward is given"
        )
    if _current.thread != threading.get_ident():
        raise CompileError("compile: another thread uses the model while it is being compiled")
    return _current


@contextmanager
def recording(recorder: Recorder) -> Iterator[None]:
    """Make `recorder` the current one for a while."""
    global _current
    _current = recorder
    try:
        yield
    finally:
        _current = None
