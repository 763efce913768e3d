"""`History`: what a `fit` tells afterwards."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

__all__ = ["History"]


@dataclass
class History:
    """The course of a training: one entry an epoch in each list.

    Attributes
    ----------
    loss : list of float
        The mean of the steps' training losses, each weighted by its samples, or their weights.
    validation_loss : list of float
        Empty without validation data.
    metrics : dict of str to list of float
        On the validation data.
    lr : list of float
        The learning rate of the first parameter group in the epoch's last step.
    seconds : list of float
        Without the time of validation and callbacks.
    steps : int
        Training steps in all.
    best_epoch : int or None
        The epoch, counted from 0, with the lowest validation loss (with `patience` but without
        validation data: the lowest training loss).
    unfinished : float or None
        The mean training loss of an epoch that was cut short, which the lists leave out.
    stopped : str
        Why it ended: "epochs", "patience", "max_seconds", "callback", "interrupted" (by an
        exception, such as Ctrl-C), "non-finite loss"; "" while it runs.
    """

    loss: list[float] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)
    metrics: dict[str, list[float]] = field(default_factory=dict)
    lr: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    steps: int = 0
    best_epoch: int | None = None
    unfinished: float | None = None
    stopped: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON's types."""
        return asdict(self)
