"""`Traced`: an array of sample data that knows which value of the graph it is.

Whatever NumPy does with it is recorded or refused: `mlpeak.compiler.numpy_calls` gives the class
its methods. The data are real, so shapes, dtypes and errors are those of an eager run.

Arrays that share memory share a `Memory`. It holds the value of the whole, which an in-place
change replaces; an array that is a view remembers the steps that lead to it and takes them again
when the whole has changed since.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mlpeak._types import Array
from mlpeak.compiler.record import RawValue, current

__all__ = ["Memory", "Traced", "plain", "refuse_owned", "value_of", "view", "wrap", "write"]

Step = tuple[str, dict[str, Any], RawValue]  # a function, and what a result of it looks like


class Memory:
    """The value of a piece of memory, and how often it was changed in place.

    ``owner`` names a parameter, a buffer or an argument, which must not be changed.
    """

    __slots__ = ("owner", "value", "version")

    def __init__(self, value: RawValue, owner: str) -> None:
        self.value = value
        self.owner = owner
        self.version = 0


class Traced(np.ndarray[Any, Any]):
    """An array with a place in the graph; made by `wrap` and `view` only."""

    _memory: Memory | None
    _steps: tuple[Step, ...]
    _value: RawValue | None
    _version: int

    #: A tensor holds it as it is; of other subclasses it takes the memory.
    stays_in_tensors = True

    def __array_finalize__(self, source: object) -> None:
        # what NumPy makes by itself has no value until `wrap` gives it one
        self._memory, self._steps, self._value, self._version = None, (), None, 0

    def __repr__(self) -> str:
        return f"Traced(shape={self.shape}, dtype={self.dtype})"

    __str__ = __repr__


_as_type: Any = np.ndarray.view  # the method itself: `Traced` refuses it


def plain(x: Any) -> Any:
    """Return the sample data of a traced array as an ordinary array; anything else as it is."""
    return _as_type(x, np.ndarray) if isinstance(x, Traced) else x


def wrap(array: Any, value: RawValue, owner: str = "") -> Traced:
    """Return `array`, in memory of its own, as the array of `value`."""
    array = np.asarray(array)
    traced: Traced = _as_type(array, Traced)
    current().own_memory(array)
    traced._memory, traced._value = Memory(value, owner), value
    return traced


def view(source: Traced, name: str, array: Any, **params: Any) -> Traced:
    """Record that `name` of `source` gave `array`, a view of it or a copy; return it traced."""
    array = np.asarray(array)
    value = current().move(name, value_of(source), array, **params)
    if not np.may_share_memory(array, plain(source)):
        return wrap(array, value)
    memory = source._memory
    assert memory is not None
    traced: Traced = _as_type(array, Traced)
    traced._memory, traced._value, traced._version = memory, value, memory.version
    traced._steps = (*source._steps, (name, params, value))
    return traced


def value_of(x: Any) -> RawValue:
    """Return the value of an array or a number as it is now.

    Raises
    ------
    CompileError
        If it came out of a traced array in a way that was not recorded.
    """
    recorder = current()
    if not isinstance(x, Traced):
        if recorder.is_traced_memory(x):
            raise recorder.error("an array was taken out of a tensor as ordinary numbers")
        return recorder.constant(x)
    memory = x._memory
    if memory is None or x._value is None:
        raise recorder.error("an array was made by a function of NumPy that cannot be compiled")
    if recorder.values[memory.value.id] is not memory.value:
        raise recorder.error("a tensor was kept from another sample run")
    if x._version != memory.version:
        value = memory.value
        for name, params, like in x._steps:
            value = recorder.move(name, value, like, **params)
        x._value, x._version = value, memory.version
    return x._value


def write(target: Traced, value: RawValue) -> None:
    """Note that `target` has become `value` in place.

    Raises
    ------
    CompileError
        If it is a parameter, a buffer or an argument, or a view that repeats elements.
    """
    memory, recorder = target._memory, current()
    refuse_owned(target)
    assert memory is not None
    befores = [memory.value]
    for name, params, like in target._steps:
        befores.append(recorder.move(name, befores[-1], like, **params))
    whole = value
    for (name, params, _), before in zip(target._steps[::-1], befores[-2::-1], strict=True):
        if name == "np.getitem":
            whole = recorder.emit_one("np.setitem", (before, whole), before, key=params["key"])
        elif name == "np.reshape":
            whole = recorder.move(name, whole, before, shape=before.shape)
        elif name == "np.transpose":
            axes = tuple(int(a) for a in np.argsort(params["axes"]))
            whole = recorder.move(name, whole, before, axes=axes)
        else:
            raise recorder.error("an in-place change of a tensor that repeats its elements")
    memory.value = whole
    memory.version += 1
    target._value, target._version = value, memory.version


def refuse_owned(target: Array) -> None:
    """Raise CompileError if `target` must not be changed in place."""
    memory = target._memory if isinstance(target, Traced) else None
    if memory is None:
        raise current().error("a tensor's values are written into an ordinary array")
    if memory.owner:
        raise current().error(f"{memory.owner} is changed in place")
