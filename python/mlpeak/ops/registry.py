"""What an operation is, and the table of all of them.

An operation works on arrays and is defined once: the eager tape (`mlpeak.autograd.apply`) and a
compiled program both call the `Op` registered here.
"""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np

from mlpeak._types import Array


class Context:
    """What one forward call leaves for its backward call.

    Attributes
    ----------
    needs : tuple of bool
        For each input, whether its gradient is wanted; all False where nothing is recorded.
    params : dict
        The keyword parameters of the call. Forward may add entries (a shape, a seed), but no
        array that a caller can reach: those go through `save`, which guards them.
    saved : tuple of numpy.ndarray or None
        What `save` was given.
    """

    __slots__ = ("needs", "params", "saved")

    def __init__(self, needs: tuple[bool, ...], params: dict[str, Any]) -> None:
        self.needs = needs
        self.params = params
        self.saved: tuple[Any, ...] = ()

    def save(self, *arrays: Array | None) -> None:
        """Keep `arrays` for backward: inputs, the output, or new arrays.

        Pass an input as it was received, not a view of it: by its identity the tape knows which
        tensor must not change in place until backward has run.
        """
        if True in self.needs:
            self.saved = arrays


class Op:
    """An operation: forward and backward on arrays, with one output.

    A subclass sets `name` and writes `forward` and, if the operation has a gradient, `backward`.
    Operations hold no state; one instance serves every call.
    """

    name: str = ""
    #: The operator of ONNX with this meaning, or None where several nodes express it.
    onnx: str | None = None
    #: False for comparisons, argmax and the like: the output never requires a gradient.
    differentiable: bool = True
    #: True if the output may share memory with the first input.
    is_view: bool = False

    def forward(self, ctx: Context, *arrays: Any, **params: Any) -> Array:
        """Return the output; leave in `ctx` what `backward` will need.

        Unless ``is_view``, the output shares no memory with an input; returning an input itself
        is allowed and makes a copy.
        """
        raise NotImplementedError(f"{self.name}: forward")

    def backward(self, ctx: Context, grad: Array) -> tuple[Array | None, ...]:
        """Return the gradient of each input (its shape and dtype), None where not needed.

        `grad` is only read; returning it, or a view of it, is allowed.
        """
        raise NotImplementedError(f"{self.name}: backward")

    def __repr__(self) -> str:
        return f"<Op {self.name}>"


OPS: dict[str, Op] = {}

OpT = TypeVar("OpT", bound=Op)


def register(op: OpT) -> OpT:
    """Put `op` into `OPS` under its name and return it.

    Raises
    ------
    ValueError
        If the name is empty or taken.
    """
    if not op.name or op.name in OPS:
        raise ValueError(f"register: the name {op.name!r} is {'taken' if op.name else 'empty'}")
    OPS[op.name] = op
    return op


def is_float(array: Array) -> bool:
    """Whether the kernels take `array`: float32 or float64."""
    return bool(array.dtype == np.float32 or array.dtype == np.float64)
