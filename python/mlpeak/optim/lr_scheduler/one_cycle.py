"""One cycle of the learning rate, with the momentum going the other way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mlpeak.optim.lr_scheduler.base import LRScheduler, for_groups
from mlpeak.optim.lr_scheduler.cosine import cos_pi
from mlpeak.optim.optimizer import Optimizer

__all__ = ["OneCycleLR"]


class OneCycleLR(LRScheduler):
    """Up from ``max_lr / div_factor`` to `max_lr`, then down far below the start, in one cycle.

    Parameters
    ----------
    optimizer : Optimizer
        Whose rates are set.
    max_lr : float or list of float
        The highest rate, for all groups or for each.
    total_steps : int, optional
        Steps in the cycle; or give `epochs` and `steps_per_epoch`.
    epochs, steps_per_epoch : int, optional
        Their product is the number of steps.
    pct_start : float
        Share of the cycle spent rising.
    anneal_strategy : {"cos", "linear"}
        The shape of the curve.
    cycle_momentum : bool
        Whether momentum (or Adam's first beta) moves the other way.
    base_momentum, max_momentum : float or list of float
        The lowest and the highest momentum.
    div_factor, final_div_factor : float
        The start is ``max_lr / div_factor``, the end ``max_lr / div_factor / final_div_factor``.
    three_phase : bool
        Whether to come down as slowly as up, and then to the end.
    last_epoch : int
        As in `LRScheduler`.

    References
    ----------
    L. N. Smith, N. Topin, "Super-convergence: very fast training of neural networks using large
    learning rates", arXiv:1708.07120, section 3.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | Sequence[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float | Sequence[float] = 0.85,
        max_momentum: float | Sequence[float] = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        self.total_steps = _total_steps(total_steps, epochs, steps_per_epoch)
        if not (isinstance(pct_start, float) and 0 <= pct_start <= 1):
            raise ValueError(f"Expected float between 0 and 1 pct_start, but got {pct_start}")
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(
                f"anneal_strategy must be one of 'cos' or 'linear', instead got {anneal_strategy}"
            )
        self._anneal_func_type = anneal_strategy
        rise, last = float(pct_start * self.total_steps), self.total_steps - 1
        #: (last step, lr from, lr to, momentum from, momentum to) of each part of the cycle
        self._phases: list[tuple[float, str, str, str, str]] = [
            (rise - 1, "initial_lr", "max_lr", "max_momentum", "base_momentum")
        ]
        if three_phase:
            fall = (2 * rise - 2, "max_lr", "initial_lr", "base_momentum", "max_momentum")
            end = (last, "initial_lr", "min_lr", "max_momentum", "max_momentum")
            self._phases += [fall, end]
        else:
            self._phases += [(last, "max_lr", "min_lr", "base_momentum", "max_momentum")]

        groups = optimizer.param_groups
        highest = for_groups("max_lr", groups, max_lr)
        if last_epoch == -1:
            for group, lr in zip(groups, highest, strict=True):
                group["initial_lr"] = lr / div_factor
                group["max_lr"] = lr
                group["min_lr"] = group["initial_lr"] / final_div_factor
        self.cycle_momentum = cycle_momentum
        self.use_beta1 = "betas" in optimizer.defaults
        if cycle_momentum:
            if "momentum" not in optimizer.defaults and not self.use_beta1:
                raise ValueError(
                    "optimizer must support momentum or beta1 with `cycle_momentum` option enabled"
                )
            upper = for_groups("max_momentum", groups, max_momentum)
            lower = for_groups("base_momentum", groups, base_momentum)
            if last_epoch == -1:
                for group, high, low in zip(groups, upper, lower, strict=True):
                    group["max_momentum"], group["base_momentum"] = high, low
                    self._set_momentum(group, high)
        super().__init__(optimizer, last_epoch)

    def _set_momentum(self, group: dict[str, Any], value: float) -> None:
        if self.use_beta1:
            group["betas"] = (value, *group["betas"][1:])
        else:
            group["momentum"] = value

    def _anneal(self, start: float, end: float, share: float) -> float:
        if self._anneal_func_type == "cos":
            return end + (start - end) / 2.0 * (1 + cos_pi(share))
        return (end - start) * share + start

    def get_lr(self) -> list[float]:
        """Return the rates of step `last_epoch`, and set the momenta."""
        step = self.last_epoch
        if step > self.total_steps:
            raise ValueError(
                f"Tried to step {step} times. The specified number of total steps is "
                f"{self.total_steps}"
            )
        done = sum(step > phase[0] for phase in self._phases[:-1])
        begin = self._phases[done - 1][0] if done else 0.0
        end, lr_from, lr_to, momentum_from, momentum_to = self._phases[done]
        share = (step - begin) / (end - begin)
        lrs = []
        for group in self.optimizer.param_groups:
            lrs.append(self._anneal(group[lr_from], group[lr_to], share))
            if self.cycle_momentum:
                self._set_momentum(
                    group, self._anneal(group[momentum_from], group[momentum_to], share)
                )
        return lrs


def _total_steps(total: int | None, epochs: int | None, steps_per_epoch: int | None) -> int:
    if total is None and (epochs is None or steps_per_epoch is None):
        raise ValueError("You must define either total_steps OR (epochs AND steps_per_epoch)")
    counts = (
        {"total_steps": total}
        if total is not None
        else {
            "epochs": epochs,
            "steps_per_epoch": steps_per_epoch,
        }
    )
    product = 1
    for name, count in counts.items():
        if not isinstance(count, int) or count <= 0:
            raise ValueError(f"Expected positive integer {name}, but got {count}")
        product *= count
    return product
