"""`Position`: where a `fit` stands, which with the state of its step is all it needs to go on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from mlpeak._types import Array
from mlpeak.compiler.history import History
from mlpeak.compiler.plain import from_plain, to_plain

if TYPE_CHECKING:
    from mlpeak.compiler.callbacks import Callback

__all__ = ["Position"]


@dataclass
class Position:
    """Where a training stands.

    Attributes
    ----------
    samples, batch_size, shuffle
        What is trained on; a training goes on only with the same.
    history : History
    epoch : int
        Epochs completed.
    step : int
        Steps made in the present epoch.
    order : (int, int) or None
        Seed and step of the generator from which the present epoch's order is drawn.
    losses : ndarray of float64, (steps of an epoch,)
        Of the steps made in the present epoch.
    elapsed : float
        Seconds in them.
    lr : float
        The learning rate of the first parameter group in the last of them.
    best : float
        The lowest loss of an epoch.
    wait : int
        Epochs since.
    best_arrays : dict
        Parameters and buffers of that epoch, where they are to be restored.
    callbacks : list of dict
        The states of the callbacks when the training ended or was broken off.
    listeners : sequence of Callback or None
        The callbacks of a training that is running, whose states are those of now; no file keeps
        them.
    event : {"", "steps", "epoch"}
        What just happened that not all callbacks were told of yet.
    told : int
        How many were.
    live : bool
        Whether the callbacks themselves are as they were when the training was broken off, so that
        their states need not be put back; no file keeps it.
    """

    samples: int
    batch_size: int
    shuffle: bool
    history: History = field(default_factory=History)
    epoch: int = 0
    step: int = 0
    order: tuple[int, int] | None = None
    losses: Array = field(default_factory=lambda: np.empty(0))
    elapsed: float = 0.0
    lr: float = 0.0
    best: float = math.inf
    wait: int = 0
    best_arrays: dict[str, Array] = field(default_factory=dict)
    callbacks: list[dict[str, Any]] = field(default_factory=list)
    listeners: Sequence[Callback] | None = None
    event: str = ""
    told: int = 0
    live: bool = False

    def __post_init__(self) -> None:
        if self.losses.size == 0:
            self.losses = np.empty(self.steps_per_epoch)

    @property
    def steps_per_epoch(self) -> int:
        """How many steps an epoch has."""
        return -(-self.samples // self.batch_size)

    def check(self, other: Position) -> None:
        """Raise ValueError unless `other` is a position in the same data."""
        for name in ("samples", "batch_size", "shuffle"):
            mine, given = getattr(self, name), getattr(other, name)
            if mine != given:
                raise ValueError(
                    f"fit: {name} is {given}; expected {mine}, as in the training to be resumed"
                )

    def end(self) -> None:
        """Keep the states that the callbacks have now."""
        self.callbacks, self.listeners = self._states(), None

    def _states(self) -> list[dict[str, Any]]:
        if self.listeners is None:
            return self.callbacks
        return [callback.state_dict() for callback in self.listeners]

    def to_json(self) -> dict[str, Any]:
        """Return all but the arrays."""
        return {
            "samples": self.samples,
            "batch_size": self.batch_size,
            "shuffle": self.shuffle,
            "history": self.history.to_json(),
            "epoch": self.epoch,
            "step": self.step,
            "order": self.order,
            "elapsed": self.elapsed,
            "lr": self.lr,
            "best": self.best,
            "wait": self.wait,
            "callbacks": to_plain(self._states(), "the state of a callback"),
            "event": self.event,
            "told": self.told,
        }

    def arrays(self) -> dict[str, Array]:
        """Return the arrays by the names a file gives them."""
        best = {f"best.{name}": array for name, array in self.best_arrays.items()}
        return {"fit.losses": self.losses[: self.step], **best}

    @staticmethod
    def from_json(fields: dict[str, Any], arrays: dict[str, Array]) -> Position:
        """Return the position that `to_json` and `arrays` tell of."""
        position = Position(
            **{
                **fields,
                "history": History(**fields["history"]),
                "order": None if fields["order"] is None else tuple(fields["order"]),
                "callbacks": from_plain(fields["callbacks"]),
                "best_arrays": {
                    name.removeprefix("best."): array.copy()
                    for name, array in arrays.items()
                    if name.startswith("best.")
                },
            }
        )
        position.losses[: position.step] = arrays["fit.losses"]
        return position
