"""The schedules whose next rate is made from the present one, and `LambdaLR`."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from mlpeak.optim.lr_scheduler.base import LRScheduler
from mlpeak.optim.lr_scheduler.cosine import cos_pi
from mlpeak.optim.optimizer import Optimizer

__all__ = ["CosineAnnealingLR", "ExponentialLR", "LambdaLR", "MultiStepLR", "StepLR"]


class LambdaLR(LRScheduler):
    """The initial rate times a function of the step.

    Parameters
    ----------
    optimizer : Optimizer
        Whose rates are set.
    lr_lambda : callable or list of callable
        Returns the factor for a step's number; one for all groups, or one for each.
    last_epoch : int
        As in `LRScheduler`.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        lr_lambda: Callable[[int], float] | Sequence[Callable[[int], float]],
        last_epoch: int = -1,
    ) -> None:
        groups = len(optimizer.param_groups)
        self.lr_lambdas = [lr_lambda] * groups if callable(lr_lambda) else list(lr_lambda)
        if len(self.lr_lambdas) != groups:
            raise ValueError(f"Expected {groups} lr_lambdas, but got {len(self.lr_lambdas)}")
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """Return ``initial_lr * lr_lambda(step)``."""
        pairs = zip(self.base_lrs, self.lr_lambdas, strict=True)
        return [base * factor(self.last_epoch) for base, factor in pairs]

    def state_dict(self) -> dict[str, Any]:
        """Return all attributes but the optimizer; of a function None, of an object its state."""
        state = super().state_dict()
        state["lr_lambdas"] = [
            None if hasattr(f, "__code__") else dict(getattr(f, "__dict__", {}))
            for f in self.lr_lambdas
        ]
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what `state_dict` returned; functions stay as they are."""
        states = state_dict["lr_lambdas"]
        super().load_state_dict({k: v for k, v in state_dict.items() if k != "lr_lambdas"})
        for factor, state in zip(self.lr_lambdas, states, strict=True):
            if state is not None:
                factor.__dict__.update(state)


class StepLR(LRScheduler):
    """The rate times `gamma` every `step_size` steps.

    Parameters
    ----------
    optimizer : Optimizer
        Whose rates are set.
    step_size : int
        Steps between two cuts.
    gamma : float
        The factor.
    last_epoch : int
        As in `LRScheduler`.
    """

    def __init__(
        self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        self.step_size = step_size
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """Return the present rates, cut where the step is a multiple of `step_size`."""
        cut = self.last_epoch != 0 and self.last_epoch % self.step_size == 0
        return [lr * self.gamma for lr in self._current()] if cut else self._current()


class MultiStepLR(LRScheduler):
    """The rate times `gamma` at each of `milestones`.

    Parameters
    ----------
    optimizer : Optimizer
        Whose rates are set.
    milestones : iterable of int
        Steps at which to cut; one given twice cuts twice.
    gamma : float
        The factor.
    last_epoch : int
        As in `LRScheduler`.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        milestones: Iterable[int],
        gamma: float = 0.1,
        last_epoch: int = -1,
    ) -> None:
        self.milestones = Counter(milestones)
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """Return the present rates, cut where the step is a milestone."""
        factor = math.prod([self.gamma] * self.milestones[self.last_epoch], start=1.0)
        return [lr * factor for lr in self._current()]


class ExponentialLR(LRScheduler):
    """The rate times `gamma` at every step.

    Parameters
    ----------
    optimizer : Optimizer
        Whose rates are set.
    gamma : float
        The factor.
    last_epoch : int
        As in `LRScheduler`.
    """

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1) -> None:
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """Return the present rates times `gamma`; at the start, also a resumed one, as they are."""
        factor = self.gamma if self._step_count > 1 else 1.0
        return [lr * factor for lr in self._current()]


class CosineAnnealingLR(LRScheduler):
    """From the initial rate to `eta_min` along half a cosine of `T_max` steps, and back.

    Parameters
    ----------
    optimizer : Optimizer
        Whose rates are set.
    T_max : int
        Steps down.
    eta_min : float
        The lowest rate.
    last_epoch : int
        As in `LRScheduler`.

    References
    ----------
    I. Loshchilov, F. Hutter, "SGDR: stochastic gradient descent with warm restarts", ICLR 2017,
    equation 5 (without restarts).
    """

    def __init__(
        self,
        optimizer: Optimizer,
        T_max: int,
        eta_min: float = 0.0,
        last_epoch: int = -1,
    ) -> None:
        self.T_max = T_max
        self.eta_min = eta_min
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """Return the rates that follow from the present ones."""
        step, span, low = self.last_epoch, self.T_max, self.eta_min
        if step == 0:
            return self._current()
        now = 1 + cos_pi(step / span)
        if self._step_count == 1:  # resumed: the present rates are unknown
            return [low + (base - low) * now / 2 for base in self.base_lrs]
        if (step - 1 - span) % (2 * span) == 0:  # just after the lowest point, where `before` is 0
            rise = (1 - cos_pi(1 / span)) / 2
            pairs = zip(self._current(), self.base_lrs, strict=True)
            return [lr + (base - low) * rise for lr, base in pairs]
        before = 1 + cos_pi((step - 1) / span)
        return [now / before * (lr - low) + low for lr in self._current()]
