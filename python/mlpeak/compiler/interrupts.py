"""Ctrl-C while training: raised where all that was done is counted, and nowhere else."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["Interrupts"]


class Interrupts:
    """In a ``with`` block, Ctrl-C raises KeyboardInterrupt in `allowed` parts alone.

    Signals reach the main thread alone, and a handler that the user has set is left alone.
    """

    def __init__(self) -> None:
        self._allowed = self._late = self._installed = False

    def __enter__(self) -> Interrupts:
        if (
            threading.current_thread() is threading.main_thread()
            and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        ):
            self._installed = True
            signal.signal(signal.SIGINT, self._handle)
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if self._installed:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        if self._late and error is None:
            raise KeyboardInterrupt

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._allowed:
            self._allowed = False  # what cleans up after the exception is not to be disturbed
            raise KeyboardInterrupt
        self._late = True

    @contextmanager
    def allowed(self) -> Iterator[None]:
        """Let Ctrl-C raise in a ``with`` block; at once, if it was pressed before."""
        if self._late:
            self._late = False
            raise KeyboardInterrupt
        self._allowed = True
        try:
            yield
        finally:
            self._allowed = False
