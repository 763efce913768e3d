"""A program bound to what it works on: the tensors of a model, an optimizer, a kind of data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mlpeak import _core, _random
from mlpeak._tensor import Tensor
from mlpeak._types import Array
from mlpeak.compiler.assemble import assemble
from mlpeak.compiler.capture import capture_forward, capture_training
from mlpeak.compiler.fingerprint import fingerprint, same
from mlpeak.compiler.gradients import Update
from mlpeak.compiler.graph import Graph, Spec, Value
from mlpeak.compiler.layout import has_batch
from mlpeak.compiler.lower import Lowering
from mlpeak.compiler.updates import Updates, rule_of
from mlpeak.nn.module import Module
from mlpeak.optim.optimizer import Optimizer

__all__ = ["Bound", "Options", "bind_forward", "bind_training", "model_dtype"]

#: No integer is this one.
NO_INDEX = -(2**63)


class Options:
    """What `mlpeak.compile` was told beyond model, loss and optimizer.

    Attributes
    ----------
    clip_norm, accumulate, ema, precision
        As in `mlpeak.compile`.
    averages, sums : dict
        From a parameter to the arrays of its moving average and, with `accumulate`, of the sum of
        its gradients: all programs of a step share them. A tensor is hashed by identity; holding
        it here keeps its id from being given to another one.
    """

    def __init__(
        self,
        clip_norm: float | None = None,
        accumulate: int = 1,
        ema: float | None = None,
        precision: str = "fp32",
    ) -> None:
        self.clip_norm, self.accumulate, self.ema = clip_norm, accumulate, ema
        self.precision = precision
        self.averages: dict[Tensor, Array] = {}
        self.sums: dict[Tensor, Array] = {}


class Bound:
    """A native program with all that one call needs.

    Attributes
    ----------
    graph : Graph
    program : _core.Program
    step : _core.Step
        What is called.
    dtype : dtype
        Of the arithmetic.
    ignored : bool
        Whether targets may be the loss's ``ignore_index``.
    least_batch : int
        How many samples a batch has at least.
    """

    def __init__(
        self,
        low: Lowering,
        roots: Sequence[Any],
        updates: Updates | None,
        rule: str,
        accumulate: int,
    ) -> None:
        self.graph: Graph = low.graph
        written = _buffers(low.graph)
        self.program = assemble(low)
        self.dtype, self.ignored, self.least_batch = low.dtype, low.ignored, low.least_batch
        self.updates = updates
        self._low = low
        self._roots = roots
        self._print = fingerprint(roots)
        graph = low.graph
        given = (*graph.inputs, *graph.targets, *_some(graph.sample_weight))
        self.expected = [_expected(low, value) for value in given]
        self.step = _core.Step(
            self.program,
            self.expected,
            _random.default_generator,
            graph.random_draws,
            _random.DROPOUT,
            accumulate,
        )
        self.step.set_arguments(len(graph.inputs), len(graph.targets))
        for slot in () if updates is None else updates.slots:
            self.step.add_group(slot.group, rule, slot.step, slot.first)
        if updates is not None:
            written |= {id(param) for param, _, _ in updates.members}
        for tensor, _ in low.tensors.values():
            self.step.watch(tensor._version, id(tensor) in written)
        for tensor, increment in graph.counters:
            self.step.add_counter(tensor._array, increment)
            self.step.watch(tensor._version, True)
        for home, value in zip(low.results, graph.outputs, strict=False):
            assert value is not None
            rows = has_batch(value.shape[:1])
            shape = value.shape[1:] if rows else value.shape
            self.step.add_output(home.number, rows, list(shape))

    def totals(self) -> list[int]:
        """Return which outputs of a forward pass are made from all samples of a batch together."""
        made = {value.id for value in self.graph.inputs}
        for call in self.graph.calls:
            if any(value is not None and value.id in made for value in call.inputs):
                made |= {value.id for value in call.outputs if value is not None}
        return [
            i
            for i, value in enumerate(self.graph.outputs)
            if value is not None and value.id in made and not has_batch(value.shape)
        ]

    def is_current(self) -> bool:
        """Whether model, loss and optimizer are those the program was built from."""
        if self.updates is not None:
            self.updates.commit(self.step.updates)
            if not self.updates.is_current():
                return False
        return same(self._print, fingerprint(self._roots))

    def refresh(self) -> None:
        """Read the parameters again, and note that all is as it should be."""
        self.program.pack_weights()
        self.step.arm()


def _buffers(graph: Graph) -> set[int]:
    """Return the ids of the buffers that the step writes, which must let it."""
    named = {value.name: value.tensor for call in graph.calls for value in call.updates}
    for tensor, _ in graph.counters:
        named[f"a count of shape {tensor.shape}"] = tensor
    for name, buffer in named.items():
        assert buffer is not None
        if not buffer._array.flags.writeable:
            raise ValueError(f"compile: {name} is read-only; expected one to write to")
    return {id(buffer) for buffer in named.values()}


def _fits(array: Array | None, param: Tensor) -> bool:
    return array is not None and array.shape == param.shape and array.dtype == param.dtype


def _some(value: Value | None) -> tuple[Value, ...]:
    return () if value is None else (value,)


def _expected(low: Lowering, value: Value) -> dict[str, Any]:
    """Return what the native step is told of an array that the caller hands over."""
    home, integer = low.source(value)
    uppers, ignore_index = low.bounds.get(value.id, ([], None))
    return {
        "value": home.number,
        "integer": integer,
        "shape": list(value.shape[1:]),
        "uppers": uppers,
        "ignores": low.ignored and ignore_index is not None,
        "ignore_index": NO_INDEX if ignore_index is None else ignore_index,
    }


def model_dtype(model: Module) -> np.dtype[Any]:
    """Return the dtype of a model's first floating parameter; float32 without one."""
    for tensor in (*model.parameters(), *model.buffers()):
        if tensor._array.dtype.kind == "f":
            return np.dtype(tensor._array.dtype)
    return np.dtype(np.float32)


def bind_training(
    model: Module,
    loss: Any,
    optimizer: Optimizer,
    specs: tuple[Sequence[Spec], Sequence[Spec]],
    weighted: bool,
    ignored: bool,
    options: Options,
) -> Bound:
    """Return the program of one training step; `specs` are those of inputs and of targets.

    Raises
    ------
    CompileError
        If the step cannot be compiled.
    """
    graph = capture_training(model, loss, *specs, weighted)
    updates = Updates(optimizer, {id(tensor) for tensor, _ in graph.gradients})
    if options.ema is not None:
        for param, _, _ in updates.members:
            if not _fits(options.averages.get(param), param):
                options.averages[param] = param._array.copy()
    if options.accumulate > 1:
        for param, _, _ in updates.members:
            if not _fits(options.sums.get(param), param):
                options.sums[param] = np.zeros_like(param._array)
    low = Lowering(
        graph,
        model_dtype(model),
        [Update(param, slot, arrays) for param, slot, arrays in updates.members],
        options.clip_norm,
        options.accumulate,
        options.ema,
        options.precision,
        {id(param): array for param, array in options.averages.items()},
        {id(param): array for param, array in options.sums.items()},
        ignored,
    )
    low.run()
    return Bound(low, (model, loss), updates, rule_of(optimizer), options.accumulate)


def bind_forward(model: Module, inputs: Sequence[Spec], precision: str) -> Bound:
    """Return the program of one forward pass; see `bind_training`."""
    low = Lowering(capture_forward(model, inputs), model_dtype(model), precision=precision)
    low.run()
    return Bound(low, (model,), None, "", 1)
