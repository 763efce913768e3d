"""Capture: running a model and its loss on sample data, twice, to learn what they do."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mlpeak import _random
from mlpeak._tensor import Tensor
from mlpeak._types import Array
from mlpeak.autograd import Node, Variable
from mlpeak.compiler import numpy_calls as numpy_calls  # gives `Traced` its methods
from mlpeak.compiler.errors import CompileError
from mlpeak.compiler.graph import Graph, Kind, Spec, Value
from mlpeak.compiler.merge import Merger, prune
from mlpeak.compiler.record import RawValue, Recorder, Where
from mlpeak.compiler.sandbox import patched, restored, state_of
from mlpeak.compiler.traced import value_of, wrap
from mlpeak.grad_mode import enable_grad, no_grad
from mlpeak.nn.module import Module

__all__ = ["capture_forward", "capture_training"]

Loss = Callable[..., Any]

# One capture at a time: it changes what kernels and modules do.
_LOCK = threading.RLock()
_busy = False


def capture_training(
    model: Module,
    loss: Loss,
    inputs: Sequence[Spec],
    targets: Sequence[Spec],
    sample_weight: bool = False,
) -> Graph:
    """Return the calls of ``loss(model(*inputs), *targets).backward()``.

    The model runs as it is, layers in evaluation mode included; frozen parameters get no gradient.
    Nothing of it remains: parameters, gradients, buffers and random state are as before.

    Parameters
    ----------
    model : Module
        Its forward takes `inputs`; what it returns is the loss's first argument.
    loss : Module or callable
        A loss of `mlpeak.nn`, a function of `mlpeak.nn.functional`, or any function of tensors.
    inputs, targets : sequence of Spec
        What one sample looks like.
    sample_weight : bool
        Whether the loss is also given ``sample_weight=``, a tensor (batch,) of the first floating
        input's or parameter's dtype.

    Raises
    ------
    CompileError
        If something cannot be compiled: a branch on data, a loss that is not one float, a value
        that depends on the batch size in another way than as a multiple of it.
    """
    return _capture(_Setting(model, loss, tuple(inputs), tuple(targets), sample_weight))


def capture_forward(model: Module, inputs: Sequence[Spec]) -> Graph:
    """Return the calls of ``model(*inputs)`` without gradients; see `capture_training`."""
    return _capture(_Setting(model, None, tuple(inputs), ()))


@dataclass(frozen=True)
class _Setting:
    """What is captured."""

    model: Module
    loss: Loss | None
    inputs: tuple[Spec, ...]
    targets: tuple[Spec, ...]
    weighted: bool = False

    def modules(self) -> Iterator[tuple[str, Module]]:
        """All modules with their dotted names; those of the loss under "loss"."""
        yield from self.model.named_modules()
        if isinstance(self.loss, Module):
            yield from self.loss.named_modules(prefix="loss")

    def tensors(self) -> Iterator[tuple[Kind, str, Tensor]]:
        """All parameters and buffers, with their dotted names; each once."""
        seen: set[int] = set()
        roots = [("", self.model)]
        if isinstance(self.loss, Module):
            roots.append(("loss", self.loss))
        for prefix, root in roots:
            members: list[tuple[Kind, str, Tensor]] = [
                *(("parameter", *item) for item in root.named_parameters(prefix)),
                *(("buffer", *item) for item in root.named_buffers(prefix)),
            ]
            for kind, name, tensor in members:
                if id(tensor) not in seen:
                    seen.add(id(tensor))
                    yield kind, name, tensor


@dataclass
class _Run:
    """One run on sample data, and which of its values are what."""

    recorder: Recorder
    inputs: list[RawValue] = field(default_factory=list)
    targets: list[RawValue] = field(default_factory=list)
    weight: list[RawValue] = field(default_factory=list)
    outputs: list[RawValue] = field(default_factory=list)
    single: bool = True
    loss: RawValue | None = None
    gradients: list[tuple[Tensor, RawValue]] = field(default_factory=list)
    draws: int = 0
    counters: list[tuple[Tensor, int]] = field(default_factory=list)

    def returns(self, output: Any) -> None:
        """Note what the model returned."""
        self.outputs = [value_of(x._array) for x in _tensors_in(output)]
        self.single = isinstance(output, Tensor)


def _capture(setting: _Setting) -> Graph:
    global _busy
    if not isinstance(setting.model, Module):
        raise TypeError(f"compile: model is {type(setting.model).__name__}; expected a Module")
    with _LOCK:
        if _busy:
            raise CompileError("compile: a forward or a loss that is being compiled compiles again")
        _busy = True
        try:
            first, second = _batches(setting)
            a = _run(setting, first, 0, 0)
            try:
                b = _run(setting, second, 1, 1)
            except (IndexError, RuntimeError, ValueError):
                if all(s.dtype.kind == "f" for s in (*setting.inputs, *setting.targets)):
                    raise
                b = _run(setting, second, 1, 0)  # ones may be out of range: a table of one row
        finally:
            _busy = False
    return _graph(setting, (first, second), a, b)


def _batches(setting: _Setting) -> tuple[int, int]:
    """Two primes, far apart, that no array of the model has for a length."""
    taken = {n for _, _, tensor in setting.tensors() for n in tensor.shape}
    taken.update(n for spec in (*setting.inputs, *setting.targets) for n in spec.shape)

    def prime(n: int) -> int:
        while n in taken or any(n % d == 0 for d in range(2, int(n**0.5) + 1)):
            n += 1
        return n

    return prime(11), prime(67)


def _sample(rng: np.random.Generator, spec: Spec, batch: int, integer: int) -> Array:
    """Numbers that are legal wherever possible: floats in [0.1, 0.9), integers all alike."""
    shape = (batch, *spec.shape)
    if spec.dtype.kind == "f":
        return rng.uniform(0.1, 0.9, shape).astype(spec.dtype)
    return np.full(shape, integer, spec.dtype)


def _weight_dtype(setting: _Setting) -> np.dtype[Any]:
    dtypes = [spec.dtype for spec in setting.inputs]
    dtypes += [tensor.dtype for _, _, tensor in setting.tensors()]
    return next((d for d in dtypes if d.kind == "f"), np.dtype(np.float32))


def _run(setting: _Setting, batch: int, number: int, integer: int) -> _Run:
    """Run model and loss on sample data; `number` sets data and random numbers apart."""
    rng = np.random.default_rng(number)
    # nobody else has this seed, so it tells the default generator's draws from others
    run = _Run(Recorder(seed=0x6D6C7065616B0000 + number, step=1000 * number))
    recorder = run.recorder
    modules = [module for _, module in setting.modules()]
    members = list(setting.tensors())
    generator = _random.Generator().set_state((recorder.seed, recorder.step))
    with restored(modules, [t for _, _, t in members]), _random.stand_in(generator):
        before = [state_of(module)[1:] for module in modules]
        with patched(recorder, {id(module): name for name, module in setting.modules()}):
            counters = _adopt(recorder, members, number)
            arguments = _arguments(setting, run, rng, batch, integer)
            try:
                _forward_backward(setting, run, arguments, members)
            except (TypeError, ValueError) as error:
                # the sample's batch size would puzzle who reads of a shape that does not fit
                if len(error.args) == 1 and isinstance(error.args[0], str):
                    error.args = (re.sub(rf"\b{batch}\b", "batch", error.args[0]),)
                raise
        _refuse_new_members(recorder, setting, before)
        _count(run, counters)
    return run


def _arguments(
    setting: _Setting, run: _Run, rng: np.random.Generator, batch: int, integer: int
) -> list[Tensor]:
    """Sample data for all arguments: inputs, targets and, if wanted, the weights of samples."""
    arguments = []
    specs: tuple[tuple[Kind, tuple[Spec, ...], list[RawValue]], ...] = (
        ("input", setting.inputs, run.inputs),
        ("target", setting.targets, run.targets),
        ("sample_weight", _weight_specs(setting), run.weight),
    )
    for kind, some, values in specs:
        for i, spec in enumerate(some):
            array = _sample(rng, spec, batch, integer)
            value = run.recorder.new_value(array, kind, index=i)
            values.append(value)
            arguments.append(Tensor(wrap(array, value, f"the {kind} {i} of the step")))
    return arguments


def _weight_specs(setting: _Setting) -> tuple[Spec, ...]:
    return (Spec((), _weight_dtype(setting)),) if setting.weighted else ()


def _adopt(
    recorder: Recorder, members: Sequence[tuple[Kind, str, Tensor]], number: int
) -> list[tuple[Tensor, int]]:
    """Put traced arrays into parameters and buffers; return the counters and where they start.

    Buffers are copied, so that a run may update them. A counter, a 0-d integer, stays an ordinary
    number that modules may read, but starts elsewhere in each run: what depends on it differs.
    """
    counters = []
    for kind, name, tensor in members:
        array = tensor._array
        value = recorder.new_value(array, kind, array=array, tensor=tensor, name=name)
        tensor._grad = None
        if kind == "buffer" and array.ndim == 0 and array.dtype.kind in "iu":
            array = tensor._array = np.array(array + 1000 * number, array.dtype)
            recorder.know(array, value)
            counters.append((tensor, int(array)))
            continue
        data = array if kind == "parameter" and not number else _other(array, number)
        tensor._array = wrap(data, value, f"the {kind} '{name}'")
    return counters


def _other(array: Array, number: int) -> Array:
    """A copy; in the second run floats differ a little, so what they leaked into differs too."""
    other: Array = array.copy()
    if number and array.dtype.kind == "f":
        other += (np.abs(array) + 1) * array.dtype.type(2**-10)
    return other


def _forward_backward(
    setting: _Setting,
    run: _Run,
    arguments: Sequence[Tensor],
    members: Sequence[tuple[Kind, str, Tensor]],
) -> None:
    recorder, count = run.recorder, len(setting.inputs)
    if setting.loss is None:
        with no_grad():
            output = setting.model(*arguments)
        _check_output(recorder, output)
        run.returns(output)
        return
    further: Mapping[str, Tensor] = {}
    if setting.weighted:
        *arguments, weight = arguments
        further = {"sample_weight": weight}
    with enable_grad():
        output = setting.model(*arguments[:count])
        run.returns(output)
        with recorder.inside(Where("loss")):
            loss = setting.loss(output, *arguments[count:], **further)
            run.loss = _check_loss(recorder, loss)
            _refuse_foreign_leaves(recorder, loss, [tensor for _, _, tensor in members])
            loss.backward()
    for kind, _, tensor in members:
        if kind == "parameter" and tensor._grad is not None:
            run.gradients.append((tensor, value_of(tensor._grad._array)))


def _check_output(recorder: Recorder, output: Any) -> None:
    """Raise CompileError unless a forward pass returned a tensor or a tuple of tensors."""
    parts = output if isinstance(output, (tuple, list)) else (output,)
    if not all(isinstance(x, Tensor) for x in parts):
        what = type(output).__name__
        raise recorder.error(f"the model returns {what}; expected a tensor or a tuple of tensors")


def _tensors_in(output: Any) -> Iterator[Tensor]:
    """The tensors in nested tuples, lists and dictionaries, in order."""
    if isinstance(output, Tensor):
        yield output
    elif isinstance(output, (tuple, list, dict)):
        for part in output.values() if isinstance(output, dict) else output:
            yield from _tensors_in(part)


def _check_loss(recorder: Recorder, loss: Any) -> RawValue:
    if not isinstance(loss, Tensor):
        raise recorder.error(f"the loss is {type(loss).__name__}; expected a tensor of one float")
    if loss._array.size != 1 or loss._array.dtype.kind != "f":
        raise recorder.error(
            f"the loss has dtype {loss.dtype} and {_generic(loss.shape)} elements; expected one "
            "float, so reduce it by mean() or sum()"
        )
    if not loss.requires_grad:
        raise recorder.error("the loss depends on no parameter that requires a gradient")
    return value_of(loss._array)


def _generic(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "1"


def _refuse_foreign_leaves(recorder: Recorder, loss: Tensor, own: Sequence[Tensor]) -> None:
    """Raise CompileError if a gradient would go to a tensor that is no parameter."""
    known = set(map(id, own))
    todo: list[Node | Variable | None] = [loss.grad_fn]
    seen: set[int] = set()
    while todo:
        edge = todo.pop()
        if edge is None or id(edge) in seen:
            continue
        seen.add(id(edge))
        if isinstance(edge, Node):
            todo += edge.edges
        elif id(edge) not in known:
            raise recorder.error(
                f"a tensor of shape {edge._array.shape} that requires a gradient is no parameter "
                "of the model or the loss; make it an nn.Parameter of one of them",
            )


def _refuse_new_members(recorder: Recorder, setting: _Setting, before: list[Any]) -> None:
    """Raise CompileError if forward gave a module other parameters, buffers or modules."""
    for (name, module), registries in zip(setting.modules(), before, strict=True):
        for old, new in zip(registries, state_of(module)[1:], strict=True):
            for key in {*old, *new}:
                if old.get(key) is not new.get(key):
                    where = Where(name, type(module).__name__)
                    raise recorder.error(f"forward replaces '{key}' of the module", where)


def _count(run: _Run, counters: Sequence[tuple[Tensor, int]]) -> None:
    """Find what the run changed of the generator and the counters."""
    seed, step = _random.default_generator.get_state()
    if seed != run.recorder.seed:
        raise run.recorder.error("the seed of the default generator is set")
    run.draws = step - run.recorder.step
    for tensor, start in counters:
        increment = int(tensor._array) - start
        if increment:
            run.counters.append((tensor, increment))


def _graph(setting: _Setting, batches: tuple[int, int], a: _Run, b: _Run) -> Graph:
    """Lay both runs over each other and keep what is needed."""
    merger = Merger(batches, (a.recorder, b.recorder))
    merger.merge()
    pairs = (
        (a.outputs, b.outputs),
        ([v for _, v in a.gradients], [v for _, v in b.gradients]),
        ([a.loss] if a.loss else [], [b.loss] if b.loss else []),
    )
    for some, others in pairs:
        if [v.id for v in some] != [v.id for v in others]:
            raise CompileError("compile: the results depend on the batch size or on the data")
    if a.draws != b.draws or [n for _, n in a.counters] != [n for _, n in b.counters]:
        raise CompileError("compile: the random draws depend on the batch size or on the data")

    def found(values: Sequence[RawValue]) -> tuple[Value, ...]:
        return tuple(merger.value(v) for v in values)

    outputs: tuple[Value | None, ...] = found(a.outputs)
    gradients = tuple((tensor, merger.value(v)) for tensor, v in a.gradients)
    loss = None if a.loss is None else merger.value(a.loss)
    needed = outputs if loss is None else (loss, *(v for _, v in gradients))
    calls = prune(merger.calls, needed)
    made = {id(v) for call in calls for v in call.outputs}
    outputs = tuple(
        v if v is not None and (v.kind != "result" or id(v) in made) else None for v in outputs
    )
    return Graph(
        calls=calls,
        inputs=found(a.inputs),
        targets=found(a.targets),
        sample_weight=merger.value(a.weight[0]) if a.weight else None,
        outputs=outputs,
        single_output=a.single,
        loss=loss,
        gradients=gradients,
        random_draws=a.draws,
        counters=tuple(a.counters),
    )
