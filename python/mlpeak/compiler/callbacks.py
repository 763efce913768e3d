"""Callbacks: what a user hears of a `fit` and may change in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from mlpeak.compiler.history import History

if TYPE_CHECKING:
    from mlpeak.compiler.step import CompiledStep

__all__ = ["Callback", "EverySteps", "Progress", "Schedule", "callbacks_of"]


class Progress:
    """Where a training stands; what every callback is given.

    Attributes
    ----------
    epoch, epochs : int
        Epochs completed, and wanted.
    steps : int
        Steps made in all.
    loss : float
        After an epoch its mean training loss; else the mean over the steps, of this epoch, since
        the callback was last due.
    validation_loss : float or None
        Of the last completed epoch.
    metrics : dict of str to float
        Of the last completed epoch.
    samples_per_second : float
        Of the last native call.
    history : History
    model, optimizer
        Those of the step.
    """

    def __init__(self, step: CompiledStep, history: History, epochs: int) -> None:
        self.model, self.optimizer = step.model, step.optimizer
        self.history = history
        self.epoch, self.epochs, self.steps = 0, epochs, 0
        self.loss = 0.0
        self.validation_loss = history.validation_loss[-1] if history.validation_loss else None
        self.metrics = {name: values[-1] for name, values in history.metrics.items()}
        self.samples_per_second = 0.0
        self.stopping = False

    @property
    def lr(self) -> float:
        """The learning rate of the first parameter group; setting it sets those of all groups."""
        return float(self.optimizer.param_groups[0]["lr"])

    @lr.setter
    def lr(self, value: float) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = value

    def stop(self) -> None:
        """End the training after this callback."""
        self.stopping = True


class Callback:
    """Base of callbacks; a plain function of one argument is one that is called after each epoch.

    Attributes
    ----------
    every : int or None
        In how many steps `on_step` is called; None for never. Steps between two calls are one
        native call, so the fewer the slower.
    brief : bool
        Whether Ctrl-C waits until the callback returns, which then is never left half done.
    """

    every: int | None = None
    brief: bool = False

    def on_step(self, progress: Progress) -> None:
        """Take note of the steps made since the last call."""

    def on_epoch(self, progress: Progress) -> None:
        """Take note of an epoch that has ended."""

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint keeps of this callback: numbers, text, lists, dictionaries."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` returned."""


class EverySteps(Callback):
    """Call a function every so many steps.

    Parameters
    ----------
    every : int
    function : callable
        Takes a `Progress`.
    """

    def __init__(self, every: int, function: Callable[[Progress], Any]) -> None:
        self.every, self._function = every, function

    def on_step(self, progress: Progress) -> None:
        """Call the function."""
        self._function(progress)


class _EveryEpoch(Callback):
    def __init__(self, function: Callable[[Progress], Any]) -> None:
        self._function = function

    def on_epoch(self, progress: Progress) -> None:
        self._function(progress)


class Schedule(Callback):
    """Step a learning-rate scheduler; a checkpoint keeps its state.

    Parameters
    ----------
    scheduler : optim.lr_scheduler.LRScheduler
        Over the step's optimizer. A `ReduceLROnPlateau` is told the validation loss, without
        validation data the training loss.
    every : int, optional
        Steps between two steps of the schedule; by default one an epoch.
    """

    brief = True

    def __init__(self, scheduler: Any, every: int | None = None) -> None:
        self.scheduler, self.every = scheduler, every

    def on_step(self, progress: Progress) -> None:
        """Take the schedule's next step."""
        self._step(progress)

    def on_epoch(self, progress: Progress) -> None:
        """Take the schedule's next step, unless it goes by steps."""
        if self.every is None:
            self._step(progress)

    def _step(self, progress: Progress) -> None:
        # needed here alone; schedulers are not what every user of callbacks imports
        from mlpeak.optim.lr_scheduler import ReduceLROnPlateau

        if not isinstance(self.scheduler, ReduceLROnPlateau):
            self.scheduler.step()
            return
        judged = progress.loss if progress.validation_loss is None else progress.validation_loss
        self.scheduler.step(judged)

    def state_dict(self) -> dict[str, Any]:
        """Return the scheduler's state."""
        return dict(self.scheduler.state_dict())

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over the scheduler's state."""
        self.scheduler.load_state_dict(state)


def callbacks_of(callbacks: Any) -> list[Callback]:
    """Return the callbacks, functions among them wrapped.

    Raises
    ------
    TypeError, ValueError
        If one is neither, or its `every` is no positive integer.
    """
    given: Sequence[Any] = callbacks if isinstance(callbacks, (list, tuple)) else (callbacks,)
    found = []
    for callback in given:
        if not isinstance(callback, Callback):
            if not callable(callback) or isinstance(callback, type):
                raise TypeError(
                    f"fit: callbacks holds {callback!r}; expected Callback objects or functions"
                )
            callback = _EveryEpoch(callback)
        every = callback.every
        if every is not None and (not isinstance(every, int) or every < 1):
            raise ValueError(f"fit: a callback's every is {every!r}; expected an integer above 0")
        found.append(callback)
    return found
