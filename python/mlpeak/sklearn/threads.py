"""How many threads a fit uses: its share, where several run at once in this process.

A worker process of joblib has its share by OMP_NUM_THREADS already. Threads of one process divide
what `mlpeak.get_num_threads` says by how many fits and predictions are running.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from mlpeak import _core

__all__ = ["Share", "share_of_threads"]

_lock = threading.Lock()
_running = 0


def _renew() -> None:
    # a fork may come while a thread that the child does not have holds the lock
    global _lock, _running
    _lock = threading.Lock()
    _running = 0


os.register_at_fork(after_in_child=_renew)


class Share:
    """The threads of one fit.

    Parameters
    ----------
    requested : int or None
        ``n_threads``: exactly so many, whatever else runs.
    """

    def __init__(self, requested: int | None) -> None:
        self.requested = requested

    def apply(self, alone: bool = False) -> None:
        """Set what the calling thread's next native call may use: if `alone`, itself by default."""
        if self.requested is not None:
            _core.set_local_threads(self.requested)
            return
        _core.set_local_threads(1 if alone else 0)
        if alone:
            return
        if _running > 1:
            _core.set_local_threads(max(1, _core.get_num_threads() // _running))


@contextmanager
def share_of_threads(requested: int | None) -> Iterator[Share]:
    """Let the calling thread's native calls use its share until the end of the block."""
    global _running
    before = _core.set_local_threads(0)
    _core.set_local_threads(before)
    with _lock:
        _running += 1
    share = Share(requested)
    try:
        share.apply()
        yield share
    finally:
        with _lock:
            _running -= 1
        _core.set_local_threads(before)
