"""What the native update of each optimizer needs: its name, its state, and what fixes its form."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from mlpeak._tensor import Tensor
from mlpeak._types import Array
from mlpeak.compiler.errors import EAGER, CompileError
from mlpeak.compiler.fingerprint import same
from mlpeak.nn.module import Module
from mlpeak.optim.adagrad import Adagrad
from mlpeak.optim.adam import Adam, AdamW
from mlpeak.optim.optimizer import Optimizer
from mlpeak.optim.rmsprop import RMSprop
from mlpeak.optim.sgd import SGD

__all__ = ["Slot", "Updates", "check_optimizer", "form_of", "rule_of"]

Group = dict[str, Any]
State = dict[str, Any]

_RULES: dict[type[Optimizer], str] = {
    SGD: "sgd",
    Adam: "adam",
    AdamW: "adam",
    RMSprop: "rmsprop",
    Adagrad: "adagrad",
}


def check_optimizer(optimizer: Optimizer, *trained: Any) -> None:
    """Raise for an optimizer without a native update, or without a parameter of `trained`."""
    if not isinstance(optimizer, Optimizer):
        raise TypeError(
            f"compile: optimizer is {type(optimizer).__name__}; expected one of mlpeak.optim"
        )
    if type(optimizer) not in _RULES:
        known = ", ".join(cls.__name__ for cls in _RULES)
        raise CompileError(
            f"compile: optimizer is {type(optimizer).__name__}; expected one of {known}. {EAGER}"
        )
    modules = [module for module in trained if isinstance(module, Module)]
    own = {id(param) for module in modules for param in module.parameters()}
    if own.isdisjoint(id(p) for group in optimizer.param_groups for p in group["params"]):
        raise ValueError(
            "compile: optimizer has no parameter of the model or the loss; expected one made from "
            "model.parameters()"
        )


def rule_of(optimizer: Optimizer) -> str:
    """Return the native update's name."""
    return _RULES[type(optimizer)]


def form_of(group: Group) -> tuple[bool, ...]:
    """Return the options of a group that decide which state its update has."""
    return (
        group.get("momentum", 0) != 0,
        bool(group.get("amsgrad", False)),
        bool(group.get("centered", False)),
    )


def _state_names(rule: str, group: Group) -> tuple[str | None, ...]:
    """Return the names of the state tensors, in the native update's order; None for one unused."""
    momentum, amsgrad, centered = form_of(group)
    if rule == "sgd":
        return ("momentum_buffer",) if momentum else ()
    if rule == "adam":
        return ("exp_avg", "exp_avg_sq", *(("max_exp_avg_sq",) if amsgrad else ()))
    if rule == "rmsprop":
        return (
            "square_avg",
            "momentum_buffer" if momentum else None,
            "grad_avg" if centered else None,
        )
    return ("sum",)


@dataclass
class Slot:
    """Parameters of one group that have had equally many updates, so that they share numbers.

    Attributes
    ----------
    group : dict
        The optimizer's parameter group.
    step : int
        Updates that were made.
    first : bool
        Whether the next update is the first with momentum.
    states : list of dict
        Of the parameters.
    """

    group: Group
    step: int
    first: bool
    states: list[State] = field(default_factory=list)


def _check(rule: str, param: Tensor, state: State) -> None:
    """Raise, as the eager update does, for memory that a native one cannot write."""
    states = {k: v for k, v in state.items() if isinstance(v, Tensor)}
    for name, tensor in {"param": param, **states}.items():
        array = tensor._array
        if array.dtype != param.dtype:
            raise TypeError(
                f"{rule}: {name} has dtype {array.dtype}; expected {param.dtype} like param"
            )
        if array.shape != param.shape:
            raise ValueError(
                f"{rule}: {name} has shape {array.shape}; expected {param.shape} like param"
            )
        if not array.flags.writeable:
            raise ValueError(f"{rule}: {name} is read-only; expected an array to write to")
        if not (array.flags.c_contiguous and array.flags.aligned):
            raise ValueError(f"{rule}: {name} is not C-contiguous; expected an array in order")


class Updates:
    """The slots of an optimizer and the state arrays of its parameters, as a program wants them.

    The state of a parameter that was never updated is made here, and entered into the optimizer by
    `commit`, once an update was made.

    Parameters
    ----------
    optimizer : Optimizer
    wanted : set of int
        The ids of the parameters that get a gradient.
    """

    def __init__(self, optimizer: Optimizer, wanted: set[int]) -> None:
        self.optimizer = optimizer
        self.slots: list[Slot] = []
        #: (parameter, slot, state arrays)
        self.members: list[tuple[Tensor, int, list[Array | None]]] = []
        self._fresh: list[tuple[Tensor, State]] = []
        self._counted = 0
        self._seen = self._snapshot()
        rule = rule_of(optimizer)
        numbers: dict[tuple[int, int, bool], int] = {}
        for g, group in enumerate(optimizer.param_groups):
            for param in group["params"]:
                if id(param) not in wanted:
                    continue
                first = rule == "sgd" and (
                    optimizer._state.get(param, {}).get("momentum_buffer") is None
                )
                state = self._state(param, group)
                step = state.get("step", 0)
                number = numbers.setdefault((g, step, first), len(numbers))
                if number == len(self.slots):
                    self.slots.append(Slot(group, step, first))
                self.slots[number].states.append(state)
                arrays = [
                    None if name is None else state[name]._array
                    for name in _state_names(rule, group)
                ]
                _check(rule, param, state)
                self.members.append((param, number, arrays))

    def _state(self, param: Tensor, group: Group) -> State:
        """Return a parameter's state, complete; the optimizer does not know what is new in it."""
        states = self.optimizer._state
        known = states.get(param)
        states[param] = dict(known or {})
        try:
            self.optimizer.start_state(param, group)
            state = states[param]
        finally:
            if known is None:
                del states[param]
            else:
                states[param] = known
        if known is not None and known.keys() == state.keys():
            return known
        if state:  # plain descent has none
            self._fresh.append((param, state))
        return state

    def commit(self, updates: int) -> None:
        """Enter what `updates` updates since the program was built have changed."""
        done = updates - self._counted
        if done == 0:
            return
        for param, state in self._fresh:
            self.optimizer._state[param] = state
        self._fresh = []
        for slot in self.slots:
            slot.step += done
            for state in slot.states:
                if "step" in state:
                    state["step"] += done
        self._counted = updates
        self.optimizer._step_called = True
        self._seen = self._snapshot()

    def _snapshot(self) -> list[Any]:
        """Return what the slots depend on: groups, forms, and the states that are entered."""
        found: list[Any] = []
        for group in self.optimizer.param_groups:
            found.append(group)
            found += form_of(group)
            for param in group["params"]:
                found.append(param)
                for value in self.optimizer._state.get(param, {}).values():
                    found.append(value._array if isinstance(value, Tensor) else value)
        return found

    def is_current(self) -> bool:
        """Whether groups and states are still those that the slots were made from."""
        return same(self._seen, self._snapshot())
