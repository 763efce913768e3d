"""All that steps change, from parameters to averages: taken, and put back."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from mlpeak._from_data import from_numpy
from mlpeak._tensor import Tensor
from mlpeak._types import Array
from mlpeak.nn.module import Module

if TYPE_CHECKING:
    from mlpeak.compiler.step import CompiledStep

__all__ = ["Snapshots", "State", "put_back", "put_tensors", "state_of", "tensors_of"]


@dataclass
class State:
    """What steps have made of a model and its optimizer.

    Attributes
    ----------
    arrays : dict of str to ndarray
        ``model.NAME``, ``loss.NAME``: parameters and buffers; ``optimizer.I.NAME``: the state of
        parameter I, counted through the groups; ``average.I``, ``sum.I``: its moving average and
        the sum of its gradients.
    counts : list of [int, str, object]
        Of the optimizer's state what is no array, as ``[I, NAME, value]``.
    phase : int
        Steps since the last update, with ``accumulate``.
    """

    arrays: dict[str, Array] = field(default_factory=dict)
    counts: list[list[Any]] = field(default_factory=list)
    phase: int = 0


def tensors_of(step: CompiledStep) -> Iterator[tuple[str, Tensor]]:
    """Iterate over the parameters and buffers of model and loss, each once."""
    for root, module in (("model", step.model), ("loss", step.loss)):
        if isinstance(module, Module):
            for name, tensor in (*module.named_parameters(), *module.named_buffers()):
                yield f"{root}.{name}", tensor


def _numbered(step: CompiledStep) -> list[Tensor]:
    return [param for group in step.optimizer.param_groups for param in group["params"]]


def state_of(step: CompiledStep) -> State:
    """Return the present state; its arrays are the memory in use, not copies."""
    step.flush()
    state = State(phase=step.phase)
    arrays = state.arrays
    for name, tensor in tensors_of(step):
        arrays[name] = tensor._array
    for i, param in enumerate(_numbered(step)):
        for name, value in step.optimizer._state.get(param, {}).items():
            if isinstance(value, Tensor):
                arrays[f"optimizer.{i}.{name}"] = value._array
            else:
                state.counts.append([i, name, value])
        for kind, known in (("average", step.options.averages), ("sum", step.options.sums)):
            if param in known:
                arrays[f"{kind}.{i}"] = known[param]
    return state


def put_tensors(step: CompiledStep, arrays: Mapping[str, Array]) -> None:
    """Write parameters and buffers."""
    for name, tensor in tensors_of(step):
        tensor._array[...] = arrays[name]
        tensor.bump_version()


def put_back(step: CompiledStep, state: State) -> None:
    """Make `state`, whose arrays are copied, the present one.

    Raises
    ------
    ValueError
        If it is of another model or optimizer. Nothing is changed then.
    """
    params = _numbered(step)
    named = dict(tensors_of(step))
    _check(state, named, params)
    put_tensors(step, state.arrays)
    step.flush()
    states: defaultdict[Tensor, dict[str, Any]] = defaultdict(dict)
    for i, name, value in state.counts:
        states[params[i]][name] = value
    known = {"average": step.options.averages, "sum": step.options.sums}
    for key, array in state.arrays.items():
        kind, _, rest = key.partition(".")
        number, _, name = rest.partition(".")
        if kind == "optimizer":
            states[params[int(number)]][name] = from_numpy(array.copy())
        elif kind in known:
            # programs that were built have these arrays' addresses
            own = known[kind].setdefault(params[int(number)], array.copy())
            own[...] = array
    for i, param in enumerate(params):
        for kind, arrays in known.items():
            own_now = arrays.get(param)
            if own_now is not None and f"{kind}.{i}" not in state.arrays:
                own_now[...] = param._array if kind == "average" else 0
    step.optimizer.state = states
    step.phase = state.phase


def _check(state: State, named: dict[str, Tensor], params: list[Tensor]) -> None:
    own = {name: array for name, array in state.arrays.items() if name[:5] in ("model", "loss.")}
    if own.keys() != named.keys():
        name = min(own.keys() ^ named.keys())
        where = "the model and the loss have" if name in named else "the file has"
        raise ValueError(f"load: only {where} {name}; expected the model that was saved")
    for name, array in state.arrays.items():
        if name in named:
            like = named[name]._array
        else:
            number = int(name.split(".")[1])
            if number >= len(params):
                raise ValueError(
                    f"load: the optimizer has {len(params)} parameters; expected those that were "
                    "saved"
                )
            like = params[number]._array
        if array.shape != like.shape or array.dtype != like.dtype:
            raise ValueError(
                f"load: {name} has shape {array.shape} and dtype {array.dtype}; expected "
                f"{like.shape} and {like.dtype}"
            )


class Snapshots:
    """Two copies of the state in turns: the last that is known to be good, and a newer one.

    Parameters
    ----------
    step : CompiledStep
    """

    def __init__(self, step: CompiledStep) -> None:
        self._step = step
        self._good, self._new = State(), State()
        self.pending = False

    def take(self) -> None:
        """Copy the present state, yet to be proven."""
        found, copies = state_of(self._step), self._new.arrays
        for name in copies.keys() - found.arrays.keys():
            del copies[name]
        for name, array in found.arrays.items():
            known = copies.get(name)
            if known is not None and known.shape == array.shape and known.dtype == array.dtype:
                np.copyto(known, array)
            else:
                copies[name] = array.copy()
        self._new = State(copies, found.counts, found.phase)
        self.pending = True

    def confirm(self) -> None:
        """The copy that was last taken is good."""
        self._good, self._new = self._new, self._good
        self.pending = False

    def put_back(self) -> None:
        """Make the good state the present one."""
        put_back(self._step, self._good)
