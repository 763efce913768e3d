"""Train a network on arrays in memory: plain epochs over a DataLoader, with a test after each."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

import mlpeak
from mlpeak import nn, optim
from mlpeak.compiler.errors import NonFiniteLossError
from mlpeak.data import DataLoader, TensorDataset
from mlpeak.tables import Target, ValueTarget

LOSSES: dict[str, dict[str, Callable[[], nn.Module]]] = {
    "classification": {"cross_entropy": nn.CrossEntropyLoss},
    "regression": {
        "mse": nn.MSELoss,
        "l1": nn.L1Loss,
        "smooth_l1": nn.SmoothL1Loss,
        "huber": nn.HuberLoss,
    },
}

# the learning rate taken when none is given; higher than torch's, for the schedule lowers it
OPTIMIZERS = {"adam": 3e-3, "adamw": 3e-3, "rmsprop": 1e-3, "adagrad": 1e-2, "sgd": 5e-2}
SCHEDULES = ("cosine", "onecycle", "none")

# updates after which a small table is usually learnt, and how often it may be seen for them
ENOUGH_STEPS = 700
MIN_EPOCHS = 20
MAX_EPOCHS = 300

# rows of one forward pass outside training: enough to fill the threads, few enough for the caches
EVALUATION_ROWS = 2048


@dataclass(frozen=True)
class Settings:
    """How to train.

    Attributes
    ----------
    loss : str or None
        A key of `LOSSES` for the task; None is the task's first.
    optimizer : str
        A key of `OPTIMIZERS`; sgd has momentum 0.9.
    lr : float or None
        The learning rate; None is the optimizer's in `OPTIMIZERS`.
    schedule : {"cosine", "onecycle", "none"}
        How the learning rate moves: down a half cosine to 0, up and down in one cycle, or not.
    epochs : int or None
        Passes over the rows; None is `MIN_EPOCHS`, or more where rows are few, so that there are
        about `ENOUGH_STEPS` updates.
    batch_size : int
    weight_decay : float
    seed : int
        Decides initial weights, the order of rows and dropout.
    """

    loss: str | None = None
    optimizer: str = "adam"
    lr: float | None = None
    schedule: str = "cosine"
    epochs: int | None = None
    batch_size: int = 64
    weight_decay: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.optimizer not in OPTIMIZERS:
            raise ValueError(
                f"optimizer is {self.optimizer!r}; expected one of {', '.join(OPTIMIZERS)}"
            )
        if self.schedule not in SCHEDULES:
            raise ValueError(f"schedule is {self.schedule!r}; expected {', '.join(SCHEDULES)}")
        if self.epochs is not None and self.epochs < 1:
            raise ValueError(f"epochs is {self.epochs}; expected at least 1")
        if self.batch_size < 1:
            raise ValueError(f"batch size is {self.batch_size}; expected at least 1")
        if not 0.0 < self.rate < math.inf:
            raise ValueError(f"lr is {self.lr}; expected a positive number")
        if not 0.0 <= self.weight_decay < math.inf:
            raise ValueError(f"weight decay is {self.weight_decay}; expected at least 0")

    @property
    def rate(self) -> float:
        """The learning rate."""
        return OPTIMIZERS[self.optimizer] if self.lr is None else self.lr

    def steps(self, rows: int) -> int:
        """Return the updates of one epoch."""
        return math.ceil(rows / self.batch_size)

    def total_epochs(self, rows: int) -> int:
        """Return the number of epochs for this many rows."""
        if self.epochs is not None:
            return self.epochs
        return min(max(MIN_EPOCHS, math.ceil(ENOUGH_STEPS / self.steps(rows))), MAX_EPOCHS)

    def make_loss(self, task: str) -> nn.Module:
        """Return the loss, refusing one that is not the task's."""
        losses = LOSSES[task]
        name = next(iter(losses)) if self.loss is None else self.loss
        if name not in losses:
            raise ValueError(f"loss is {name!r}; expected for {task} {', '.join(losses)}")
        return losses[name]()

    def make_optimizer(self, model: nn.Module) -> optim.Optimizer:
        """Return the optimizer over the parameters of `model`."""
        parameters = model.parameters()
        lr, weight_decay = self.rate, self.weight_decay
        if self.optimizer == "sgd":
            return optim.SGD(parameters, lr=lr, momentum=0.9, weight_decay=weight_decay)
        if self.optimizer == "adamw":
            return optim.AdamW(parameters, lr=lr, weight_decay=weight_decay)
        if self.optimizer == "rmsprop":
            return optim.RMSprop(parameters, lr=lr, weight_decay=weight_decay)
        if self.optimizer == "adagrad":
            return optim.Adagrad(parameters, lr=lr, weight_decay=weight_decay)
        return optim.Adam(parameters, lr=lr, weight_decay=weight_decay)

    def make_schedule(self, optimizer: Any, steps: int) -> Any:
        """Return a scheduler to be stepped after each of `steps` updates, or None."""
        if self.schedule == "cosine":
            return optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=steps)
        if self.schedule == "onecycle":
            return optim.lr_scheduler.OneCycleLR(
                optimizer, max_lr=self.rate, total_steps=steps, cycle_momentum=False
            )
        return None


@dataclass(frozen=True)
class Scores:
    """Loss and metrics of a network on some rows; the first metric is the one to look at."""

    loss: float
    metrics: dict[str, float]


@dataclass(frozen=True)
class Epoch:
    """What is known after an epoch: its mean training loss and the scores on the rows held out."""

    number: int
    loss: float
    test: Scores


@dataclass
class History:
    """All epochs of a training, its time, and whether it was stopped early."""

    epochs: list[Epoch] = field(default_factory=list)
    seconds: float = 0.0
    stopped: bool = False


class Watcher:
    """What a caller of `train` may hear and say; this one is silent."""

    def on_step(self, epoch: int, step: int, loss: float) -> None:
        """Take note of update number `step` of an epoch, both counted from 1."""

    def on_epoch(self, epoch: Epoch) -> None:
        """Take note of an epoch that has ended."""

    def should_stop(self) -> bool:
        """Return True to end the training before the next update."""
        return False


def train(
    model: nn.Module,
    target: Target,
    training: tuple[NDArray[np.float32], NDArray[Any]],
    test: tuple[NDArray[np.float32], NDArray[Any]],
    settings: Settings,
    watcher: Watcher | None = None,
) -> History:
    """Train `model` in place.

    Parameters
    ----------
    model : nn.Module
    target : ClassTarget or ValueTarget
        Decides the loss and the metrics.
    training, test : pair of ndarray
        Features (rows, in_features) and encoded target: int64 (rows,) or float32 (rows, 1).
    settings : Settings
    watcher : Watcher, optional

    Returns
    -------
    History

    Raises
    ------
    NonFiniteLossError
        If the loss is NaN or infinite. `model` then holds the parameters it had at the end of the
        last epoch, or at the start.
    """
    watcher = watcher or Watcher()
    x, y = training
    loss_function = settings.make_loss(target.task)
    optimizer = settings.make_optimizer(model)
    epochs = settings.total_epochs(len(x))
    schedule = settings.make_schedule(optimizer, epochs * settings.steps(len(x)))
    mlpeak.manual_seed(settings.seed)
    dataset = TensorDataset(mlpeak.from_numpy(x), mlpeak.from_numpy(y))
    batches = DataLoader(dataset, batch_size=settings.batch_size, shuffle=True)

    history = History()
    good = _copy_of(model)
    start = perf_counter()
    for number in range(1, epochs + 1):
        model.train()
        total = 0.0
        seen = 0
        for step, (features, expected) in enumerate(batches, 1):
            if watcher.should_stop():
                history.stopped = True
                break
            loss = loss_function(model(features), expected)
            value = loss.item()
            if not math.isfinite(value):
                _restore(model, good)
                raise NonFiniteLossError(value, number, step)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if schedule is not None:
                schedule.step()
            total += value * len(features)
            seen += len(features)
            watcher.on_step(number, step, value)
        if seen:
            scores = evaluate(model, target, *test, loss_function)
            if not math.isfinite(scores.loss):
                _restore(model, good)
                raise NonFiniteLossError(scores.loss, number, settings.steps(len(x)))
            good = _copy_of(model)
            history.epochs.append(Epoch(number, total / seen, scores))
            watcher.on_epoch(history.epochs[-1])
        if history.stopped:
            break
    model.eval()
    history.seconds = perf_counter() - start
    return history


def forward(model: nn.Module, x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the outputs of `model` in evaluation mode, shape (rows, out_features)."""
    model.eval()
    with mlpeak.no_grad():
        parts = [model(mlpeak.from_numpy(part)).numpy() for part in _parts(x)]
    return np.concatenate(parts)


def probabilities(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the softmax of logits (rows, classes)."""
    return np.asarray(nn.functional.softmax(mlpeak.from_numpy(logits), dim=-1).numpy())


def evaluate(
    model: nn.Module,
    target: Target,
    x: NDArray[np.float32],
    y: NDArray[Any],
    loss_function: nn.Module,
) -> Scores:
    """Return loss and metrics on rows whose target is known."""
    outputs = forward(model, x)
    with mlpeak.no_grad():
        loss = loss_function(mlpeak.from_numpy(outputs), mlpeak.from_numpy(y)).item()
    return Scores(loss, metrics(target, outputs, y))


def metrics(target: Target, outputs: NDArray[np.float32], y: NDArray[Any]) -> dict[str, float]:
    """Return accuracy, or R2 and mean absolute error in the target's own unit.

    R2 is 1 - sum of squared errors / sum of squared distances from the mean of these rows: 0 for
    a model that always says the mean.
    """
    if isinstance(target, ValueTarget):
        true = target.decode(y)
        error = target.decode(outputs) - true
        spread = math.fsum(((true - math.fsum(true) / len(true)) ** 2).tolist())
        unexplained = math.fsum((error**2).tolist())
        if spread == 0.0:
            return {"mae": math.fsum(np.abs(error).tolist()) / len(error)}
        return {
            "r2": 1.0 - unexplained / spread,
            "mae": math.fsum(np.abs(error).tolist()) / len(error),
        }
    return {"accuracy": int((outputs.argmax(axis=1) == y).sum()) / len(y)}


def _parts(x: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
    for start in range(0, len(x), EVALUATION_ROWS):
        yield x[start : start + EVALUATION_ROWS]


def _copy_of(model: nn.Module) -> list[NDArray[Any]]:
    return [parameter.detach().numpy().copy() for parameter in model.parameters()]


def _restore(model: nn.Module, arrays: list[NDArray[Any]]) -> None:
    with mlpeak.no_grad():
        for parameter, array in zip(model.parameters(), arrays, strict=True):
            parameter.copy_(mlpeak.from_numpy(array))
    model.eval()
