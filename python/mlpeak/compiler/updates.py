"""How the native update of each optimizer is told its states and numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mlpeak._tensor import Tensor
from mlpeak.compiler.errors import EAGER, CompileError
from mlpeak.optim.adagrad import Adagrad
from mlpeak.optim.adam import Adam, AdamW
from mlpeak.optim.optimizer import Optimizer
from mlpeak.optim.rmsprop import RMSprop
from mlpeak.optim.sgd import SGD

Group = dict[str, Any]
State = dict[str, Any]

__all__ = ["check_optimizer", "options_of", "rule_of", "state_names"]


def _sgd(group: Group, state: State) -> dict[str, Any]:
    return {
        "lr": float(group["lr"]),
        "momentum": group["momentum"],
        "dampening": group["dampening"],
        "weight_decay": group["weight_decay"],
        "nesterov": group["nesterov"],
        "maximize": group["maximize"],
        "first": group["momentum"] != 0 and not state.get("started", False),
    }


def _adam(group: Group, state: State) -> dict[str, Any]:
    return {
        "step": state["step"] + 1,
        "lr": float(group["lr"]),
        "beta1": group["betas"][0],
        "beta2": group["betas"][1],
        "eps": group["eps"],
        "weight_decay": group["weight_decay"],
        "amsgrad": group["amsgrad"],
        "decoupled": group["decoupled_weight_decay"],
        "maximize": group["maximize"],
    }


def _rmsprop(group: Group, state: State) -> dict[str, Any]:
    names = ("alpha", "eps", "weight_decay", "momentum", "maximize")
    return {"lr": float(group["lr"]), **{name: group[name] for name in names}}


def _adagrad(group: Group, state: State) -> dict[str, Any]:
    names = ("lr_decay", "weight_decay", "eps", "maximize")
    options = {name: group[name] for name in names}
    return {"step": state["step"] + 1, "lr": float(group["lr"]), **options}


_RULES: dict[type[Optimizer], tuple[str, Callable[[Group, State], dict[str, Any]]]] = {
    SGD: ("sgd", _sgd),
    Adam: ("adam", _adam),
    AdamW: ("adam", _adam),
    RMSprop: ("rmsprop", _rmsprop),
    Adagrad: ("adagrad", _adagrad),
}


def check_optimizer(optimizer: Optimizer) -> None:
    """Raise CompileError for an optimizer whose update is not one of the native ones."""
    if type(optimizer) not in _RULES:
        known = ", ".join(cls.__name__ for cls in _RULES)
        raise CompileError(
            f"compile: optimizer is {type(optimizer).__name__}; expected one of {known}. {EAGER}"
        )


def rule_of(optimizer: Optimizer) -> str:
    """Return the native update's name."""
    return _RULES[type(optimizer)][0]


def options_of(optimizer: Optimizer, group: Group, state: State) -> dict[str, Any]:
    """Return the numbers of the next update."""
    return _RULES[type(optimizer)][1](group, state)


def state_names(optimizer: Optimizer, group: Group) -> tuple[str | None, ...]:
    """Return the names of the state tensors, in the native update's order; None for one unused."""
    rule = rule_of(optimizer)
    if rule == "sgd":
        return ("momentum_buffer",) if group["momentum"] != 0 else ()
    if rule == "adam":
        return ("exp_avg", "exp_avg_sq", *(("max_exp_avg_sq",) if group["amsgrad"] else ()))
    if rule == "rmsprop":
        return (
            "square_avg",
            "momentum_buffer" if group["momentum"] > 0 else None,
            "grad_avg" if group["centered"] else None,
        )
    return ("sum",)


def state_tensors(optimizer: Optimizer, param: Tensor, group: Group) -> list[Tensor | None]:
    """Return the state tensors of a parameter, made as the optimizer makes them at its first step."""
    optimizer.start_state(param, group)
    state = optimizer.state[param]
    return [None if name is None else state[name] for name in state_names(optimizer, group)]
