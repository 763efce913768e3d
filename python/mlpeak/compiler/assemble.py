"""Making the native program of what was lowered: memory first, then instructions by stage."""

from __future__ import annotations

from typing import Any

from mlpeak import _core
from mlpeak.compiler.layout import padded_ld
from mlpeak.compiler.lower import Lowering

__all__ = ["assemble"]


def assemble(low: Lowering) -> Any:
    """Return the native program."""
    for first, second in low.tied:
        first.adjacent = second.adjacent = first.adjacent or second.adjacent
    program = _core.Program(low.dtype.name)
    size = low.dtype.itemsize
    for home in low.homes:
        if home.rows:
            ld = home.columns if home.adjacent else padded_ld(home.columns, size)
            home.number = program.add_rows(home.columns, ld)
        elif home.early:
            home.number = program.add_early(home.columns)
        else:
            home.number = program.add_array(home.columns)
    for home in low.integers.values():
        home.number = program.add_integers(home.columns)
    program.set_least_batch(low.least_batch)
    written = {id(home) for homes in low.state_homes.values() for home in homes}
    written |= {id(low.home_of(update.tensor)) for update in low.updates}
    written |= {id(home) for home in low.updated}
    for home, array in low.arrays:
        program.set_array(home.number, array, id(home) in written)
    for weight in (*low.weights.values(), *low.spare_weights):
        weight.number = program.weight(
            weight.home.number,
            weight.out,
            weight.into,
            weight.forward,
            weight.backward,
            low.precision,
        )
    for emit in low.prelude:
        emit(program)
    for _, emit, repeat, once in sorted(low.emitted, key=lambda item: item[0]):
        program.set_repeat(repeat)
        program.set_once(once)
        emit(program)
    program.set_repeat(1)
    program.set_once(0)
    if low.first_update_stage is not None:
        program.set_update_stage(low.first_update_stage)
    if low.graph.loss is not None:
        program.set_loss(low.loss.number)
    return program
