"""How a fit shows itself: scikit-learn's lines, a bar, or not at all."""

from __future__ import annotations

from typing import Any

from mlpeak._extras import missing_extra

__all__ = ["Progress", "make_progress"]


class Progress:
    """Prints what scikit-learn's ``verbose=True`` prints, or nothing.

    Attributes
    ----------
    prints : bool
        Whether lines are printed.
    """

    def __init__(self, prints: bool) -> None:
        self.prints = prints

    def epoch(self, number: int, loss: float) -> None:
        """Show an epoch's loss."""
        if self.prints:
            print(f"Iteration {number}, loss = {loss:.8f}")

    def score(self, score: float) -> None:
        """Show the score of the held-out samples."""
        if self.prints:
            print(f"Validation score: {score:f}")

    def close(self) -> None:
        """End it."""


class _Bar(Progress):
    """A bar of rich, for ``verbose="bar"``."""

    def __init__(self, epochs: int) -> None:
        super().__init__(prints=False)
        try:
            from rich import progress
        except ImportError as error:
            raise missing_extra("rich", "cli", 'verbose="bar"') from error
        columns = (
            progress.TextColumn("epoch {task.completed}/{task.total}"),
            progress.BarColumn(),
            progress.TextColumn("{task.description}"),
            progress.TimeElapsedColumn(),
        )
        self._bar = progress.Progress(*columns)
        self._task = self._bar.add_task("", total=epochs)
        self._loss = ""
        self._bar.start()

    def epoch(self, number: int, loss: float) -> None:
        self._loss = f"loss {loss:.4f}"
        self._bar.update(self._task, completed=number, description=self._loss)

    def score(self, score: float) -> None:
        self._bar.update(self._task, description=f"{self._loss}  validation {score:.4f}")

    def close(self) -> None:
        self._bar.stop()


def make_progress(verbose: Any, epochs: int) -> Progress:
    """Return what `verbose` asks for."""
    return _Bar(epochs) if verbose == "bar" else Progress(bool(verbose))
