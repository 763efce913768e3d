"""How a training shows itself: a bar in a terminal, lines elsewhere; and how Ctrl-C ends it."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter
from types import FrameType
from typing import Any

from mlpeak._extras import missing_extra
from mlpeak.training import Epoch, Watcher

# seconds between two drawings of the bar
REFRESH = 0.1

# about as many lines as fit a screen
LINES = 20

METRIC_NAMES = {"accuracy": "accuracy", "r2": "R2", "mae": "mean absolute error"}


def format_metric(name: str, value: float) -> str:
    """Return a metric as text: "accuracy 97.5 %" or "R2 0.913"."""
    if name == "accuracy":
        return f"accuracy {100 * value:.2f} %"
    return f"{METRIC_NAMES[name]} {value:.4g}"


class Interruptible(Watcher):
    """A watcher that asks to stop after Ctrl-C."""

    def __init__(self) -> None:
        self.interrupted = False

    def should_stop(self) -> bool:
        """Return whether Ctrl-C was pressed."""
        return self.interrupted

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Let the first Ctrl-C end the training between two updates, and a second one at once."""

        def handle(number: int, frame: FrameType | None) -> None:
            self.interrupted = True
            signal.signal(signal.SIGINT, signal.default_int_handler)

        # signals reach the main thread alone
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = signal.signal(signal.SIGINT, handle)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)


class Lines(Interruptible):
    """One line an epoch, or for about every twentieth part of many epochs."""

    def __init__(self, epochs: int) -> None:
        super().__init__()
        self.epochs = epochs
        self.every = max(1, round(epochs / LINES))

    def on_epoch(self, epoch: Epoch) -> None:
        """Print the epoch."""
        if epoch.number % self.every == 0 or epoch.number in (1, self.epochs):
            name, value = next(iter(epoch.test.metrics.items()))
            print(
                f"epoch {epoch.number:>{len(str(self.epochs))}}/{self.epochs}  "
                f"loss {epoch.loss:.4f}  held out: loss {epoch.test.loss:.4f}, "
                f"{format_metric(name, value)}",
                flush=True,
            )


class Bar(Interruptible):
    """A progress bar with the loss of the last update and the metric of the last epoch."""

    def __init__(self, epochs: int, steps: int) -> None:
        super().__init__()
        try:
            from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
        except ImportError as error:
            raise missing_extra("rich", "cli", "the progress bar") from error
        self.epochs = epochs
        self.steps = steps
        self.next = 0.0
        self.progress: Any = Progress(
            TextColumn("epoch {task.fields[epoch]}/{task.fields[epochs]}"),
            BarColumn(),
            TextColumn("loss {task.fields[loss]}"),
            TextColumn("{task.fields[metric]}"),
            TimeRemainingColumn(),
            auto_refresh=False,
        )
        self.task = self.progress.add_task(
            "", total=epochs * steps, epoch=0, epochs=epochs, loss="-", metric=""
        )

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Show the bar while the training runs."""
        with super().listening(), self.progress:
            yield

    def on_step(self, epoch: int, step: int, loss: float) -> None:
        """Draw the bar if it was not drawn just now."""
        if perf_counter() >= self.next:
            self._draw((epoch - 1) * self.steps + step, epoch=epoch, loss=f"{loss:.4f}")

    def on_epoch(self, epoch: Epoch) -> None:
        """Draw the epoch's loss and metric."""
        name, value = next(iter(epoch.test.metrics.items()))
        fields = {"epoch": epoch.number, "loss": f"{epoch.loss:.4f}"}
        fields["metric"] = f"held out: {format_metric(name, value)}"
        last = epoch.number == self.epochs
        if last or perf_counter() >= self.next:
            self._draw(epoch.number * self.steps, **fields)

    def _draw(self, completed: int, **fields: Any) -> None:
        self.progress.update(self.task, completed=completed, refresh=True, **fields)
        self.next = perf_counter() + REFRESH


def make_progress(epochs: int, steps: int, quiet: bool) -> Interruptible:
    """Return what suits the place standard output goes to."""
    if quiet:
        return Interruptible()
    return Bar(epochs, steps) if sys.stdout.isatty() else Lines(epochs)
