"""What capture produces: the calls of one training step, or of one forward pass, in order.

Every array of the step is a `Value`, made once and never changed, except buffers, which some calls
update in place (`Call.updates`). A dimension of a shape is an ordinary length, or ``-k``, which
stands for k times the batch size. Numbers that depend on the batch size are a `BatchScalar`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from mlpeak._types import Array

if TYPE_CHECKING:
    from mlpeak._tensor import Tensor

__all__ = [
    "BatchScalar",
    "Call",
    "Graph",
    "Kind",
    "RandomStep",
    "Shape",
    "Spec",
    "Value",
    "concrete_shape",
]

Shape = tuple[int, ...]
Kind = Literal["input", "target", "sample_weight", "parameter", "buffer", "constant", "result"]


@dataclass(frozen=True)
class Spec:
    """What one input or target looks like.

    Attributes
    ----------
    shape : tuple of int
        The shape of one sample: ``()`` for a number, so that a batch of them is (batch,).
    dtype : numpy.dtype
        Its dtype. The sample data of integers are zeros and ones.
    """

    shape: Shape
    dtype: np.dtype[Any] = field(default_factory=lambda: np.dtype(np.float32))

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", tuple(self.shape))
        object.__setattr__(self, "dtype", np.dtype(self.dtype))


@dataclass(frozen=True)
class BatchScalar:
    """A number that follows the batch size.

    It is ``scale * batch`` for a `power` of 1, ``scale / (divisor * batch)`` for one of -1.
    """

    scale: float
    power: int = 1
    divisor: int = 1

    def value(self, batch: int) -> float:
        """Return the number for a batch of that many samples, an int where it is a product of ints.

        It is computed in float64; the dtype it is wanted in rounds it once more.
        """
        return self.scale * batch if self.power == 1 else self.scale / (self.divisor * batch)


@dataclass(frozen=True)
class RandomStep:
    """The step of the default generator when the training step began, plus `offset`."""

    offset: int


@dataclass(frozen=True, eq=False)
class Value:
    """One array of the step. There is one object for each, so they are compared by ``is``.

    Attributes
    ----------
    id : int
        Its number in the graph.
    shape : tuple of int
        Its shape, ``-k`` standing for k times the batch size.
    dtype : numpy.dtype
        Its dtype.
    kind : str
        Where it comes from: "input", "target" and "sample_weight" from the caller of a step,
        "parameter" and "buffer" from the modules, "constant" from neither, "result" from a call.
    array : numpy.ndarray or None
        Of a parameter, a buffer or a constant: the very array, ``tensor._array``. None for others
        and for a constant that is a `scalar`.
    scalar : BatchScalar or None
        Of a constant of shape () that depends on the batch size.
    tensor : Tensor or None
        Of a parameter or a buffer: the tensor that owns `array`.
    index : int
        Of an input or a target: its position; else -1.
    name : str
        Of a parameter or a buffer: its dotted name, those of the loss under "loss."; else "".
    """

    id: int
    shape: Shape
    dtype: np.dtype[Any]
    kind: Kind
    array: Array | None = None
    scalar: BatchScalar | None = None
    tensor: Tensor | None = None
    index: int = -1
    name: str = ""


@dataclass(frozen=True, eq=False)
class Call:
    """One call of a kernel or of NumPy.

    The names are those of `mlpeak.kernels` ("linear", "relu_backward", "cross_entropy"), or:

    ========================  ==================================================================
    ``np.<ufunc>``            a ufunc on arrays that broadcast: "np.add", "np.multiply"
    ``np.<ufunc>.reduce``     with `axis` (a tuple) and `keepdims`; `dtype` or None
    ``np.<ufunc>.accumulate`` with `axis` (an int) and `dtype`
    ``np.<ufunc>.at``         the first input with the second combined at `key`, in order
    ``np.full``               no input; `shape`, `dtype`, `fill`
    ``np.reshape``            `shape`
    ``np.transpose``          `axes`
    ``np.broadcast_to``       `shape`
    ``np.astype``             `dtype`
    ``np.copy``               of a buffer, as it is at that point of the step
    ``np.getitem``            `key`: a tuple of int, slice, None, and constant index arrays
    ``np.setitem``            the first input with the second, broadcast, at `key`
    ``np.concatenate``        all inputs along `axis`
    ``np.stack``              all inputs along a new `axis`
    ``np.where``              condition, and what to take where it holds and where not
    ``np.flip``               `axis` (a tuple)
    ``np.tile``               `reps`
    ``np.tril``, ``np.triu``  `k`
    ``np.argsort``            `axis`, `kind`
    ``np.argmax``, ``argmin`` `axis` (None takes all elements) and `keepdims`
    ========================  ==================================================================

    Attributes
    ----------
    name : str
        As above.
    inputs : tuple of Value or None
        The array arguments in the kernel's order, None where an optional one is left out.
    params : mapping
        All other arguments, those left at their defaults included; `out` is none of them. A length
        in a shape may be ``-k``, any other number may be a `BatchScalar`. Of a random operation,
        `step` is a `RandomStep` and `seed` is left out: it is the default generator's. Where a
        random operation has no array argument, `shape` and `dtype` stand for what it returns.
    outputs : tuple of Value or None
        What the call returns, None where the kernel returns None.
    updates : tuple of Value
        The buffers among `inputs` that the call writes in place.
    module : str
        The dotted name of the module whose forward made the call, or whose operation's backward
        did; "" is the model itself, "loss" the loss.
    """

    name: str
    inputs: tuple[Value | None, ...]
    params: Mapping[str, Any]
    outputs: tuple[Value | None, ...]
    updates: tuple[Value, ...] = ()
    module: str = ""


@dataclass(frozen=True, eq=False)
class Graph:
    """The calls of a step and what goes in and out of it.

    Attributes
    ----------
    calls : tuple of Call
        In the order in which they ran; a call's inputs were made before it. Calls whose results
        nobody needs are left out.
    inputs, targets : tuple of Value
        The model's arguments; the loss's arguments after the model's output.
    sample_weight : Value or None
        (batch,), if it was asked for.
    outputs : tuple of Value or None
        What the model returns, the tensors of nested tuples and dictionaries one after the other.
        In training, None stands for an output that the loss does not use.
    single_output : bool
        Whether the model returns one tensor rather than several in a tuple.
    loss : Value or None
        The loss, one float; None in a forward pass.
    gradients : tuple of (Tensor, Value)
        The parameters that get a gradient, in the order of ``model.parameters()`` (the loss's own
        parameters follow), and the gradient.
    random_draws : int
        How many steps of the default generator one step takes.
    counters : tuple of (Tensor, int)
        0-d integer buffers that one step increments, such as ``num_batches_tracked``, and by how
        much.
    """

    calls: tuple[Call, ...]
    inputs: tuple[Value, ...]
    targets: tuple[Value, ...] = ()
    sample_weight: Value | None = None
    outputs: tuple[Value | None, ...] = ()
    single_output: bool = True
    loss: Value | None = None
    gradients: tuple[tuple[Tensor, Value], ...] = ()
    random_draws: int = 0
    counters: tuple[tuple[Tensor, int], ...] = ()


def concrete_shape(shape: Sequence[int], batch: int) -> Shape:
    """Return `shape` with ``-k`` replaced by ``k * batch``."""
    return tuple(n if n >= 0 else -n * batch for n in shape)
