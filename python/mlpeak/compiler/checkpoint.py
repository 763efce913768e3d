"""Checkpoints: a compiled step on the disk, so that a training goes on with the same bits."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlpeak import _random
from mlpeak.compiler.plain import from_plain, to_plain
from mlpeak.compiler.position import Position
from mlpeak.compiler.state import State, put_back, state_of
from mlpeak.compiler.tensorfile import read_tensors, write_tensors

if TYPE_CHECKING:
    from mlpeak.compiler.step import CompiledStep

__all__ = ["PathLike", "options_in", "restore", "save"]

PathLike = str | os.PathLike[str]

_KIND = "checkpoint"
_VERSION = 1


def save(step: CompiledStep, path: PathLike) -> None:
    """Write all that `step` is to a file; see `CompiledStep.save`."""
    state, position = state_of(step), step.position
    groups = [
        {name: value for name, value in group.items() if name != "params"}
        for group in step.optimizer.param_groups
    ]
    options = step.options
    fields = {
        "version": _VERSION,
        "optimizer": type(step.optimizer).__name__,
        "groups": to_plain(groups, "a parameter group"),
        "sizes": [len(group["params"]) for group in step.optimizer.param_groups],
        "counts": to_plain(state.counts, "the optimizer's state"),
        "options": {
            "clip_norm": options.clip_norm,
            "accumulate": options.accumulate,
            "ema": options.ema,
            "precision": options.precision,
        },
        "phase": state.phase,
        "random": list(_random.get_rng_state()),
        "position": None if position is None else position.to_json(),
    }
    arrays = dict(state.arrays)
    if position is not None:
        arrays |= position.arrays()
    write_tensors(Path(path), _KIND, arrays, json.dumps(fields))


def _read(path: PathLike) -> tuple[dict[str, Any], dict[str, Any]]:
    arrays, text = read_tensors(Path(path), _KIND)
    fields: dict[str, Any] = json.loads(text)
    if fields["version"] > _VERSION:
        raise ValueError(
            f"{path} is a checkpoint of version {fields['version']}; expected at most {_VERSION}, "
            "which this version of mlpeak writes"
        )
    return fields, arrays


def options_in(path: PathLike) -> dict[str, Any]:
    """Return the options of `mlpeak.compile` that the step in a file was made with."""
    options: dict[str, Any] = _read(path)[0]["options"]
    return options


def restore(step: CompiledStep, path: PathLike, new: Position | None = None) -> None:
    """Make the step, the random state included, what it was when the file was written.

    Parameters
    ----------
    step : CompiledStep
    path : path
    new : Position, optional
        In the data that the position in the file must be in, too.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it is no checkpoint, is damaged, or is of another model, optimizer or other options.
        Nothing is changed then.
    """
    fields, arrays = _read(path)
    optimizer = step.optimizer
    _expect(path, "optimizer", type(optimizer).__name__, fields["optimizer"])
    sizes = [len(group["params"]) for group in optimizer.param_groups]
    _expect(path, "parameters in the optimizer's groups", sizes, fields["sizes"])
    if fields["phase"]:
        _expect(path, "accumulate", step.options.accumulate, fields["options"]["accumulate"])
    position = fields["position"]
    if position is not None:
        position = Position.from_json(position, arrays)
        if new is not None:
            position.check(new)
    own = {n: a for n, a in arrays.items() if not n.startswith(("fit.", "best."))}
    put_back(step, State(own, from_plain(fields["counts"]), fields["phase"]))
    for group, options in zip(optimizer.param_groups, from_plain(fields["groups"]), strict=True):
        for name in set(group) - set(options) - {"params"} - set(optimizer.defaults):
            del group[name]
        group.update(options)
    _random.set_rng_state(tuple(fields["random"]))
    step.position = position
    if position is not None and position.history.steps:
        optimizer._step_called = True  # before its schedules, though not in this process


def _expect(path: PathLike, what: str, mine: object, saved: object) -> None:
    if mine != saved:
        raise ValueError(f"{path}: {what} is {mine}; expected {saved}, as in the file")
