"""Gradients: into an array, or at once into the update of their parameter.

What makes a gradient may apply it if nothing else reads it; it then waits until all that reads the
parameter is emitted. Other gradients stand in arrays, and an instruction of its own updates the
parameter (`mlpeak.compiler.rules_updates` where all are updated together).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlpeak._tensor import Tensor
from mlpeak._types import Array
from mlpeak.compiler.graph import Value
from mlpeak.compiler.layout import NOWHERE, Home, Weight
from mlpeak.compiler.maps import map_copy

if TYPE_CHECKING:
    from mlpeak.compiler.lower import Lowering

__all__ = [
    "EmitGradient",
    "Update",
    "destination",
    "emit_gradient",
    "settle",
    "states_of",
    "update_array",
    "update_of",
    "updates_at_once",
    "weight_of",
]


@dataclass
class Update:
    """What the optimizer does with the gradient of one parameter.

    Attributes
    ----------
    tensor : Tensor
        The parameter.
    group : int
        Number of the native group whose numbers are used.
    states : list of ndarray or None
        The state arrays, in the native update's order.
    """

    tensor: Tensor
    group: int
    states: list[Array | None]


#: Emits what makes a gradient, in a stage: into a home, or into an update.
EmitGradient = Callable[[int, Home, Update | None], None]


def weight_of(low: Lowering, gradient: Value) -> Weight:
    """Return the weight whose gradient this is, or a form without packed copies."""
    tensor = low.tensor_of.get(gradient.id)
    for value_id, weight in low.weights.items():
        if tensor is not None and low.places[value_id].home is low.home_of(tensor):
            return weight
    out, into = gradient.shape
    low.spare_weights.append(Weight(NOWHERE, out, into))
    return low.spare_weights[-1]


def update_of(low: Lowering, gradient: Value) -> Update | None:
    """Return what the optimizer does with a gradient."""
    tensor = low.tensor_of.get(gradient.id)
    return next((u for u in low.updates if u.tensor is tensor), None)


def updates_at_once(low: Lowering, gradient: Value) -> bool:
    """Whether what makes a gradient can apply it: nobody else reads it."""
    alone = not low.users.get(gradient.id) and low.wanted.get(gradient.id) == 1
    return alone and not low.update_once and update_of(low, gradient) is not None


def emit_gradient(low: Lowering, value: Value, stage: int, emit: EmitGradient) -> None:
    """Emit what makes a gradient: later with the update in it, or now into an array."""
    if updates_at_once(low, value):
        low.pending.append((value, stage, emit, low.repeat))
        return
    emit(stage, low.result(value, stage), None)


def settle(low: Lowering) -> None:
    """Give each gradient in an array a home that no update changes before it is used.

    A gradient may be another parameter, or be shared by two; what scales it in place needs it
    for itself.
    """
    waiting = {id(value) for value, *_ in low.pending}
    taken = [home for _, home in low.tensors.values()]
    for tensor, value in low.graph.gradients:
        if id(value) in waiting or not any(u.tensor is tensor for u in low.updates):
            continue
        call = low.graph.calls[-1]
        home = low.array(value, call)
        fixed = low.update_once and (home.early or home.constant)
        if fixed or any(home is other for other in taken):
            home = map_copy(low, call, value)
        if low.update_once:
            taken.append(home)
        low.gradient_homes[id(tensor)] = home


def states_of(low: Lowering, update: Update) -> list[Home]:
    """Return the homes of a parameter's state arrays."""
    homes = low.state_homes.get(id(update.tensor))
    if homes is None:
        homes = []
        for array in update.states:
            if array is None:
                homes.append(NOWHERE)
                continue
            homes.append(low.new_home(False, array.size, 0))
            low.arrays.append((homes[-1], array))
        low.state_homes[id(update.tensor)] = homes
    return homes


def destination(low: Lowering, update: Update | None) -> tuple[int, int, list[int]]:
    """Return an update's group, parameter and states as the program numbers them."""
    if update is None:
        return -1, -1, []
    _, home = low.tensors[id(update.tensor)]
    return update.group, home.number, [h.number for h in low.state_homes[id(update.tensor)]]


def update_array(low: Lowering, gradient: Home, update: Update) -> None:
    """Emit the update of a parameter from a gradient in an array."""
    home = low.home_of(update.tensor)
    if home is None:
        return
    states = states_of(low, update)
    stage = low.update_stage(home, gradient.stage)
    size = update.tensor.numel()
    low.whole(stage, (gradient,), "update", gradient, update.group, home, states, size)
    for weight in low.weights.values():
        if weight.home is home:
            low.whole(stage + 1, (), "pack", weight)
