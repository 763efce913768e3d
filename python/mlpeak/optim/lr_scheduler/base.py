"""`LRScheduler`: counts the steps of a schedule and writes the rates."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

from mlpeak.optim.optimizer import Optimizer

__all__ = ["LRScheduler"]


class LRScheduler:
    """Base of the schedules: counts the steps and writes the rates.

    Parameters
    ----------
    optimizer : Optimizer
        Whose groups' ``"lr"`` is set.
    last_epoch : int
        The number of the last step taken; -1 starts, another resumes and needs ``"initial_lr"`` in
        every group.

    Attributes
    ----------
    base_lrs : list of float
        The groups' rates at the start.
    last_epoch : int
        The number of the last step taken, from 0.
    """

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"{type(optimizer).__name__} is not an Optimizer")
        self.optimizer = optimizer
        for i, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", group["lr"])
            elif "initial_lr" not in group:
                raise KeyError(
                    f"param 'initial_lr' is not specified in param_groups[{i}] when resuming "
                    "scheduler with last_epoch >= 0."
                )
        self.base_lrs: list[float] = [g["initial_lr"] for g in optimizer.param_groups]
        self.last_epoch = last_epoch
        self._step_count = 0
        self._last_lr: list[float] = []
        self.step()

    def get_lr(self) -> list[float]:
        """Return the groups' rates for step `last_epoch`; each schedule defines it."""
        raise NotImplementedError

    def get_last_lr(self) -> list[float]:
        """Return the rates that the last step set."""
        return self._last_lr

    def _current(self) -> list[float]:
        return [group["lr"] for group in self.optimizer.param_groups]

    def step(self) -> None:
        """Take the next step of the schedule and set the rates."""
        if self._step_count == 1:
            _warn_if_early(self.optimizer)
        self._step_count += 1
        self.last_epoch += 1
        for group, lr in zip(self.optimizer.param_groups, self.get_lr(), strict=True):
            group["lr"] = lr
        self._last_lr = self._current()

    def state_dict(self) -> dict[str, Any]:
        """Return all attributes but the optimizer."""
        return {name: value for name, value in self.__dict__.items() if name != "optimizer"}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what `state_dict` returned."""
        self.__dict__.update(state_dict)


def _warn_if_early(optimizer: Optimizer) -> None:
    # an optimizer with a step of its own does not say whether it ran
    if type(optimizer).step is Optimizer.step and not optimizer._step_called:
        warnings.warn(
            "Detected call of `lr_scheduler.step()` before `optimizer.step()`. Call them in the "
            "opposite order: `optimizer.step()` before `lr_scheduler.step()`; else the first value "
            "of the learning rate schedule is skipped.",
            stacklevel=3,
        )


def for_groups(name: str, groups: Sequence[object], value: float | Sequence[float]) -> list[float]:
    """Return one value for each group: `value` is one for all, or a list."""
    if isinstance(value, (list, tuple)):
        if len(value) != len(groups):
            raise ValueError(
                f"{name} must have the same length as optimizer.param_groups. {name} has "
                f"{len(value)} values, param_groups has {len(groups)}."
            )
        return list(value)
    return [value] * len(groups)  # type: ignore[list-item]
