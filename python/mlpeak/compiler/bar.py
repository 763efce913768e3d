"""The progress bar of `fit`: a few drawings a second, on a terminal only."""

from __future__ import annotations

import sys
from time import perf_counter
from typing import Any

__all__ = ["Bar", "bar_of"]

#: Seconds between two drawings.
REFRESH = 0.25


class Bar:
    """A line on standard error; `rich` draws it where that is installed.

    Parameters
    ----------
    epochs, steps : int
        Wanted; steps of one epoch.
    """

    def __init__(self, epochs: int, steps: int) -> None:
        self._epochs, self._steps = epochs, steps
        self._next = 0.0
        self._rich: Any = None
        try:
            from rich.console import Console
            from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as RichProgress
        except ImportError:
            return
        self._rich = RichProgress(
            BarColumn(),
            TextColumn("{task.description}"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            auto_refresh=False,
        )
        self._task = self._rich.add_task("", total=epochs * steps)
        self._rich.start()

    def draw(self, steps: int, text: str) -> None:
        """Show that so many steps were made, unless something was shown just now."""
        if perf_counter() < self._next:
            return
        self._draw(steps, text)
        self._next = perf_counter() + REFRESH

    def _draw(self, steps: int, text: str) -> None:
        text = f"epoch {steps // self._steps}/{self._epochs} {text}"
        if self._rich is not None:
            self._rich.update(self._task, completed=steps, description=text, refresh=True)
            return
        share = steps / (self._epochs * self._steps)
        sys.stderr.write(f"\r{share:6.1%} {text}\x1b[K")
        sys.stderr.flush()

    def close(self, steps: int, text: str) -> None:
        """Show the end and leave the line."""
        self._draw(steps, text)
        if self._rich is not None:
            self._rich.stop()
        else:
            sys.stderr.write("\n")


def bar_of(progress: bool, epochs: int, steps: int) -> Bar | None:
    """Return a bar if one is wanted and standard error is a terminal."""
    return Bar(epochs, steps) if progress and sys.stderr.isatty() else None
