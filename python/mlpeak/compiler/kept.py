"""The programs that a step or a forward pass has built, to be used again."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from mlpeak.compiler.bound import Bound
from mlpeak.compiler.errors import CompileError

__all__ = ["Kept"]


class Kept:
    """The last programs: one for training and one for evaluation mode, with and without weights.

    Parameters
    ----------
    most : int
        How many are kept.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._programs: list[tuple[Any, Bound]] = []

    def __iter__(self) -> Any:
        return (bound for _, bound in self._programs)

    def find(self, key: Any, meanings: Iterable[Any], bind: Callable[[Any], Bound]) -> Bound:
        """Return the program of a kind of data: an old one if all is as it was, else a new one.

        Parameters
        ----------
        key
            Of the kind of data.
        meanings : iterable
            What the data may be taken for; the first that can be bound is.
        bind : callable
            Makes a program of a meaning.

        Raises
        ------
        CompileError, TypeError, ValueError
            That of the first meaning, if none can be bound.
        """
        for position, (other, bound) in enumerate(self._programs):
            if other == key and bound.is_current():
                self._programs.append(self._programs.pop(position))
                return bound
        error: Exception | None = None
        for meaning in meanings:
            try:
                bound = bind(meaning)
            except (CompileError, TypeError, ValueError) as found:
                error = error or found
                continue
            self._programs = [*self._programs[1 - self._most :], (key, bound)]
            return bound
        assert error is not None
        raise error
