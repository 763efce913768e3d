"""Training for whole epochs: as few native calls as callbacks, checkpoints and clocks allow."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from time import perf_counter
from types import NoneType
from typing import TYPE_CHECKING, Any

import numpy as np

from mlpeak import _random, kernels
from mlpeak._types import Array
from mlpeak.compiler.bar import bar_of
from mlpeak.compiler.callbacks import Callback, Progress
from mlpeak.compiler.checkpoint import PathLike, restore, save
from mlpeak.compiler.data import Data
from mlpeak.compiler.errors import NonFiniteLossError
from mlpeak.compiler.evaluation import evaluation_of
from mlpeak.compiler.history import History
from mlpeak.compiler.interrupts import Interrupts
from mlpeak.compiler.position import Position
from mlpeak.compiler.state import Snapshots, put_tensors, tensors_of

if TYPE_CHECKING:
    from mlpeak.compiler.step import CompiledStep

__all__ = ["Fit", "Settings"]

#: Steps between two copies of the state: one copy is about the memory traffic of one update.
_SNAPSHOT_STEPS = 64

#: Seconds of a native call where the clock or a bar is watched.
_PIECE_SECONDS = 0.1


@dataclass(frozen=True)
class Settings:
    """How long and how to `fit`; the attributes are its arguments."""

    epochs: int
    batch_size: int
    shuffle: bool
    patience: int | None
    restore_best: bool
    max_seconds: float | None
    resume: bool
    checkpoint: PathLike | None
    every: int | None

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "patience", "every"):
            value = getattr(self, name)
            if value is None and name in ("patience", "every"):
                continue
            try:
                number = operator.index(value)
            except TypeError:
                raise TypeError(
                    f"fit: {name} is {type(value).__name__}; expected an integer"
                ) from None
            if number < 1:
                raise ValueError(f"fit: {name} is {number}; expected at least 1")
        if not isinstance(self.max_seconds, (Real, NoneType)):
            raise TypeError(
                f"fit: max_seconds is {type(self.max_seconds).__name__}; expected a number or None"
            )
        if self.max_seconds is not None and not self.max_seconds > 0:
            raise ValueError(f"fit: max_seconds is {self.max_seconds}; expected a positive number")
        if self.every is not None and self.checkpoint is None:
            raise ValueError("fit: every is given without checkpoint; expected both")
        if self.checkpoint is not None and not Path(self.checkpoint).absolute().parent.is_dir():
            raise ValueError(f"fit: checkpoint is {self.checkpoint}; its folder does not exist")
        if self.checkpoint is not None and Path(self.checkpoint).is_dir():
            raise ValueError(f"fit: checkpoint is the folder {self.checkpoint}; expected a file")


class Fit:
    """One call of `CompiledStep.fit`.

    Parameters
    ----------
    step : CompiledStep
    data : Data
    settings : Settings
    validation : tuple
        ``validation_data``, ``metrics`` and ``scale``.
    callbacks : sequence of Callback
    progress : bool
    """

    def __init__(
        self,
        step: CompiledStep,
        data: Data,
        settings: Settings,
        validation: tuple[Any, Any, float | None],
        callbacks: Sequence[Callback],
        progress: bool,
    ) -> None:
        self._step, self._data, self._settings = step, data, settings
        self._callbacks = callbacks
        self._bound = step.prepare(
            data.inputs,
            data.targets,
            data.weight,
            function="fit",
            names=("X", "y", "sample_weight"),
        )
        size, samples = settings.batch_size, data.samples
        least = samples % size or min(size, samples)
        if least < self._bound.least_batch:
            raise ValueError(
                f"fit: X has a last batch of {least} samples; expected "
                f"{self._bound.least_batch} or more for batch norm"
            )
        self._evaluation = evaluation_of(step, *validation, self._bound)
        self._judged = self._evaluation is not None or settings.patience is not None
        self._position = self._start()
        self._progress = Progress(step, self._position.history, settings.epochs)
        self._progress.epoch = self._position.epoch
        self._progress.steps = self._position.history.steps
        self._show = progress
        self._bar: Any = None
        self._piece = 1
        self._snapshots = Snapshots(step)
        self._copied = self._saved = self._position.history.steps
        self._deadline = math.inf
        self._interrupts = Interrupts()

    def _start(self) -> Position:
        """Return where to start, having read the checkpoint if one is to be resumed."""
        s, step = self._settings, self._step
        new = Position(self._data.samples, s.batch_size, bool(s.shuffle))
        if not s.resume:
            return new
        if s.checkpoint is not None and Path(s.checkpoint).exists():
            restore(step, s.checkpoint, new)
            self._renew()
        elif step.position is not None:
            step.position.check(new)
        found = step.position
        if found is None:
            return new
        if not found.live:
            self._put_back(found.callbacks)
        found.history.stopped, found.history.unfinished = "", None
        return found

    def _put_back(self, states: list[dict[str, Any]]) -> None:
        """Give the callbacks the states that a file has."""
        if states and len(states) != len(self._callbacks):
            raise ValueError(
                f"fit: callbacks has {len(self._callbacks)} members; expected "
                f"{len(states)}, as in the training to be resumed"
            )
        for callback, state in zip(self._callbacks, states, strict=False):
            callback.load_state_dict(state)

    def run(self) -> History:
        """Train; see `CompiledStep.fit`."""
        s, position = self._settings, self._position
        history = position.history
        if s.max_seconds is not None:
            self._deadline = perf_counter() + s.max_seconds
        self._bar = bar_of(self._show, s.epochs, position.steps_per_epoch)
        try:
            with self._interrupts:
                self._step.position = position
                position.live, position.listeners = True, self._callbacks
                self._snapshots.take()
                self._snapshots.confirm()
                # what not all callbacks had heard of when the training was broken off
                if position.event == "steps":
                    self._after_steps()
                elif position.event == "epoch":
                    self._after_epoch()
                while not history.stopped:
                    if self._epoch():
                        self._end_epoch()
                    history.stopped = self._reason()
                self._finish()
        except BaseException as error:
            history.stopped = history.stopped or "interrupted"
            if isinstance(error, KeyboardInterrupt):  # even at the end: resuming then returns
                self._step.position = position
            raise
        finally:
            if self._step.position is position:
                position.end()
            if position.step:
                history.unfinished = self._mean(position.step)
            if self._bar is not None:
                self._bar.close(*self._text())
        return history

    def _reason(self) -> str:
        """Why to end now, or nothing."""
        s, position = self._settings, self._position
        if position.epoch >= s.epochs:
            return "epochs"
        if s.patience is not None and position.wait >= s.patience:
            return "patience"
        if self._progress.stopping:
            return "callback"
        return "max_seconds" if perf_counter() >= self._deadline else ""

    # an epoch

    def _epoch(self) -> bool:
        """Make the steps that the epoch still lacks; return False if it was cut short."""
        position, history = self._position, self._position.history
        if self._reason():  # a training that is resumed may have nothing left to do
            return False
        total = position.steps_per_epoch
        if position.step == 0:
            if position.shuffle and position.order is None:
                position.order = _random.default_generator.next()
            if history.steps - self._copied >= _SNAPSHOT_STEPS:
                self._snapshots.take()
                self._copied = history.steps
        order = self._order()
        while position.step < total:
            self._run(order, min(total, self._due()))
            self._after_steps()
            if position.step < total and self._reason():
                return False
        return True

    def _order(self) -> Array | None:
        """Return the order of the epoch's samples."""
        if self._position.order is None:
            return None
        seed, number = self._position.order
        return kernels.permutation(
            self._data.samples, seed=seed, stream=_random.SHUFFLE, step=number
        )

    def _due(self) -> int:
        """Return the epoch's step at which Python has something to do again."""
        position, s = self._position, self._settings
        made = position.history.steps
        start = made - position.step
        intervals = [c.every for c in self._callbacks if c.every is not None]
        if s.every is not None:
            intervals.append(s.every)
        due = [made - made % every + every - start for every in intervals]
        if self._bar is not None or self._deadline < math.inf:
            due.append(position.step + self._piece)
        return min(due, default=position.steps_per_epoch)

    def _run(self, order: Array | None, last: int) -> None:
        """Make the epoch's steps up to `last` in one native call."""
        position, data, size = self._position, self._data, self._settings.batch_size
        native, accumulate = self._bound.step, self._step.options.accumulate
        first = position.step
        begin, end = first * size, min(last * size, data.samples)
        arrays = data.arrays if order is not None else data.part(begin, end)
        part = None if order is None else order[begin:end]
        losses = position.losses[first:last]
        before = native.updates * accumulate + native.phase
        position.lr = self._progress.lr
        started = perf_counter()
        try:
            with self._interrupts.allowed():
                native.run(arrays, data.scales, end - begin, size, part, losses, True, True)
        finally:
            seconds = perf_counter() - started
            made = native.updates * accumulate + native.phase - before
            position.step += made
            position.history.steps += made
            position.elapsed += seconds
            if made:
                position.event, position.told = "steps", 0
        # the copy at the epoch's start is good if its first loss, computed from it, is
        if self._snapshots.pending and math.isfinite(losses[0]):
            self._snapshots.confirm()
        bad = np.flatnonzero(~np.isfinite(losses[:made]))
        if bad.size:
            self._fail(float(losses[bad[0]]), position.epoch, first + int(bad[0]))
        self._progress.samples_per_second = (end - begin) / max(seconds, 1e-9)
        target = min(_PIECE_SECONDS, max(self._deadline - perf_counter(), 0.002))
        fitting = int(target * made / max(seconds, 1e-9))
        self._piece = max(1, min(fitting, 8 * self._piece))

    def _after_steps(self) -> None:
        """Call what is due after these steps within an epoch."""
        position, progress = self._position, self._progress
        made = progress.steps = position.history.steps
        for callback in self._callbacks[position.told :]:
            if callback.every is None or made % callback.every:
                position.told += 1
                continue
            recent = position.losses[max(0, position.step - callback.every) : position.step]
            progress.loss = float(recent.mean())
            self._tell(callback, callback.on_step)
        position.event = ""
        every = self._settings.every
        # the state at the end of an epoch is written when all that belongs to it is done
        if every is not None and made % every == 0 and position.step < position.steps_per_epoch:
            self._save()
        if self._bar is not None:
            self._bar.draw(*self._text())

    def _end_epoch(self) -> None:
        """Evaluate, write the history, start to wait for a better epoch, tell the callbacks."""
        position, history = self._position, self._position.history
        loss = self._mean(position.steps_per_epoch)
        validation_loss: float | None = None
        metrics: dict[str, float] = {}
        if self._evaluation is not None:
            validation_loss, metrics = self._evaluation(self._interrupts)
        history.loss.append(loss)
        history.lr.append(position.lr)
        history.seconds.append(position.elapsed)
        if validation_loss is not None:
            history.validation_loss.append(validation_loss)
        for name, value in metrics.items():
            history.metrics.setdefault(name, []).append(value)
        self._judge(loss if validation_loss is None else validation_loss)
        position.epoch, position.step, position.order, position.elapsed = (
            position.epoch + 1, 0, None, 0.0,
        )  # fmt: skip
        position.event, position.told = "epoch", 0
        self._after_epoch()

    def _after_epoch(self) -> None:
        """Call what is due after an epoch, which the history has."""
        position, progress, history = self._position, self._progress, self._position.history
        progress.epoch, progress.loss = position.epoch, history.loss[-1]
        progress.validation_loss = next(iter(history.validation_loss[-1:]), None)
        progress.metrics = {name: values[-1] for name, values in history.metrics.items()}
        for callback in self._callbacks[position.told :]:
            self._tell(callback, callback.on_epoch)
        position.event = ""
        self._renew_if_changed()
        every = self._settings.every
        if self._settings.checkpoint is not None and history.steps % (every or 1) == 0:
            self._save()

    def _judge(self, loss: float) -> None:
        """Take note of an epoch's loss, and of the model if it is the best."""
        position = self._position
        if not self._judged:
            return
        if not loss < position.best:
            position.wait += 1
            return
        position.best, position.wait = loss, 0
        position.history.best_epoch = position.epoch
        if self._settings.restore_best:
            for name, tensor in tensors_of(self._step):
                known = position.best_arrays.get(name)
                if known is None or known.shape != tensor.shape:
                    position.best_arrays[name] = tensor._array.copy()
                else:
                    np.copyto(known, tensor._array)

    def _mean(self, steps: int) -> float:
        """Return the mean of the epoch's first losses, weighted by their samples or weights."""
        position, data = self._position, self._data
        size = position.batch_size
        starts = np.arange(steps) * size
        if data.weight:
            order = self._order()
            weight = data.weight[0] if order is None else data.weight[0][order]
            end = min(steps * size, data.samples)
            weights = np.add.reduceat(weight[:end], starts, dtype=np.float64)
        else:
            weights = np.minimum(data.samples - starts, size).astype(np.float64)
        total = math.fsum(weights)
        return math.fsum(weights * position.losses[:steps]) / total if total else math.nan

    # what may change the program

    def _tell(self, callback: Callback, listener: Callable[[Progress], None]) -> None:
        """Call the next callback, which sees the optimizer up to date and may change anything."""
        self._step.flush()
        with nullcontext() if callback.brief else self._interrupts.allowed():
            self._position.told += 1  # not if Ctrl-C was pressed before
            listener(self._progress)
        self._renew_if_changed()

    def _renew_if_changed(self) -> None:
        if not self._bound.step.armed:
            self._renew()

    def _renew(self) -> None:
        data = self._data
        self._bound = self._step.prepare(
            data.inputs, data.targets, data.weight, self._bound.ignored
        )

    # ends

    def _save(self) -> None:
        self._check_finite()
        assert self._settings.checkpoint is not None
        with self._interrupts.allowed():
            save(self._step, self._settings.checkpoint)
        self._saved = self._position.history.steps

    def _check_finite(self) -> None:
        """Notice an update that no loss was computed after."""
        for _, tensor in tensors_of(self._step):
            array = tensor._array
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                size = self._position.steps_per_epoch
                self._fail(math.nan, *divmod(self._position.history.steps - 1, size))

    def _fail(self, loss: float, epoch: int, step: int) -> None:
        history = self._position.history
        history.stopped = "non-finite loss"
        self._snapshots.put_back()
        self._step.position = None
        raise NonFiniteLossError(loss, epoch + 1, step + 1, history)

    def _finish(self) -> None:
        """Write the last checkpoint, then take back the best epoch's parameters."""
        position, history, s = self._position, self._position.history, self._settings
        self._check_finite()
        if s.checkpoint is not None and self._saved != history.steps:
            self._save()
        finished = history.stopped in ("epochs", "patience")
        if self._judged and s.restore_best and position.best_arrays:
            put_tensors(self._step, position.best_arrays)
            finished = True
        if finished:  # what was restored is no state to go on from
            self._step.position = None

    def _text(self) -> tuple[int, str]:
        """Return what the bar shows."""
        position, progress = self._position, self._progress
        done = position.epoch * position.steps_per_epoch + position.step
        loss = position.losses[position.step - 1] if position.step else progress.loss
        text = f"loss {loss:.4g}"
        if progress.validation_loss is not None:
            text += f", validation {progress.validation_loss:.4g}"
        for name, value in progress.metrics.items():
            text += f", {name} {value:.4f}"
        return done, f"{text}, {progress.samples_per_second:,.0f} samples/s"
