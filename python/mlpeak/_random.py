"""Generators: who draws next, and from which numbers.

A random operation is a pure function of ``(seed, stream, step)`` (`mlpeak.kernels.random_words`).
A `Generator` holds the seed and hands out the steps, one a call, so that a program that draws in
the same order gets the same numbers. The stream says what the numbers are for: a dropout mask and a
shuffle of the same step have nothing in common.
"""

from __future__ import annotations

import operator
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

__all__ = [
    "Generator",
    "default_generator",
    "get_rng_state",
    "initial_seed",
    "manual_seed",
    "seed",
    "set_rng_state",
]

# What a stream draws. A model that was saved continues with the same numbers only while these stay.
TENSOR: Final = 0  # rand, randn, randint ...
INIT: Final = 1  # initial parameters
DROPOUT: Final = 2
SHUFFLE: Final = 3  # order of the samples
SPLIT: Final = 4  # random_split, held-out sets

_MASK: Final = (1 << 64) - 1


class Generator:
    """A seed and a count of the random calls made so far.

    Parameters
    ----------
    seed : int, optional
        As in `manual_seed`.

    Examples
    --------
    >>> from mlpeak._random import Generator
    >>> generator = Generator(7)
    >>> generator.next(), generator.next()
    ((7, 0), (7, 1))
    """

    __slots__ = ("_seed", "_step")

    def __init__(self, seed: int = 0) -> None:
        self.manual_seed(seed)

    def manual_seed(self, seed: int) -> Generator:
        """Start again from `seed`, an integer in [-2**63, 2**64); returns the generator.

        A negative seed is the same as ``2**64 + seed``.

        Raises
        ------
        TypeError, ValueError
            If `seed` is not an integer, or not in this range.
        """
        try:
            number = operator.index(seed)
        except TypeError:
            raise TypeError(
                f"manual_seed: seed is {type(seed).__name__}; expected an integer"
            ) from None
        if not -(1 << 63) <= number <= _MASK:
            raise ValueError(
                f"manual_seed: seed is {number}; expected an integer in [-2**63, 2**64)"
            )
        self._seed = number & _MASK
        self._step = 0
        return self

    def seed(self) -> int:
        """Start again from a seed of the operating system, and return it."""
        self.manual_seed(int.from_bytes(os.urandom(8), "little"))
        return self.initial_seed()

    def initial_seed(self) -> int:
        """Return the seed in use."""
        return self._seed

    def next(self) -> tuple[int, int]:
        """Return ``(seed, step)`` for one random call, and count it."""
        step = self._step
        self._step = (step + 1) & _MASK
        return self._seed, step

    def get_state(self) -> tuple[int, int]:
        """Return ``(seed, step)`` for `set_state`; the next call takes this step."""
        return self._seed, self._step

    def set_state(self, state: tuple[int, int]) -> Generator:
        """Continue where `get_state` was taken; returns the generator.

        Raises
        ------
        TypeError, ValueError
            If `state` is not two integers in [0, 2**64).
        """
        try:
            seed, step = (operator.index(number) for number in state)
        except (TypeError, ValueError):
            raise TypeError(
                f"set_state: state is {state!r}; expected (seed, step) from get_state"
            ) from None
        if not (0 <= seed <= _MASK and 0 <= step <= _MASK):
            raise ValueError(f"set_state: state is {state!r}; expected two integers in [0, 2**64)")
        self._seed, self._step = seed, step
        return self

    def __repr__(self) -> str:
        return f"Generator(seed={self._seed}, step={self._step})"


_own = threading.local()  # generator: what stands in for the default one in a thread


class _Default(Generator):
    """The default generator: one for all threads, but for one that has its `stand_in`."""

    __slots__ = ()

    def manual_seed(self, seed: int) -> Generator:
        own = self._stand_in()
        super().manual_seed(seed) if own is None else own.manual_seed(seed)
        return self

    def initial_seed(self) -> int:
        own = self._stand_in()
        return super().initial_seed() if own is None else own.initial_seed()

    def next(self) -> tuple[int, int]:
        own = self._stand_in()
        return super().next() if own is None else own.next()

    def get_state(self) -> tuple[int, int]:
        own = self._stand_in()
        return super().get_state() if own is None else own.get_state()

    def set_state(self, state: tuple[int, int]) -> Generator:
        own = self._stand_in()
        super().set_state(state) if own is None else own.set_state(state)
        return self

    @staticmethod
    def _stand_in() -> Generator | None:
        return getattr(_own, "generator", None)


default_generator: Final[Generator] = _Default()


@contextmanager
def stand_in(generator: Generator) -> Iterator[None]:
    """Let `generator` be the default one of this thread in the block."""
    _own.generator = generator
    try:
        yield
    finally:
        _own.generator = None


def manual_seed(seed: int) -> Generator:
    """Start all random numbers that have no generator of their own again from `seed`.

    Parameters
    ----------
    seed : int
        In [-2**63, 2**64).

    Returns
    -------
    Generator
        The default generator.

    Raises
    ------
    TypeError, ValueError
        If `seed` is not an integer, or not in this range.
    """
    return default_generator.manual_seed(seed)


def seed() -> int:
    """Start the default generator from a seed of the operating system, and return it."""
    return default_generator.seed()


def initial_seed() -> int:
    """Return the seed of the default generator."""
    return default_generator.initial_seed()


def get_rng_state() -> tuple[int, int]:
    """Return the state of the default generator, for `set_rng_state`."""
    return default_generator.get_state()


def set_rng_state(state: tuple[int, int]) -> None:
    """Continue the default generator where `get_rng_state` was taken."""
    default_generator.set_state(state)
