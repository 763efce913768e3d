"""A compiled program as a table."""

from __future__ import annotations

from mlpeak.compiler.bound import Bound

__all__ = ["explain"]


def explain(bound: Bound, batch: int) -> str:
    """Return the instructions of a program, their work for a batch, and the time they took.

    Parameters
    ----------
    bound : Bound
    batch : int
        The batch size for which FLOPs and bytes are counted.
    """
    return ""
