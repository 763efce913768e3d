"""Where the values of a graph stand in a program: rows, arrays, and views of them.

A `Home` is memory that the program knows by a number. A `Place` is how a graph's value is found in
a home: as it is, or spread over the rows by broadcasting. Reshapes and broadcasts that move nothing
make a new place in the same home.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum

from mlpeak.compiler.graph import Shape

__all__ = ["NOWHERE", "Home", "Place", "Spread", "columns_of", "is_rows", "padded_ld"]


class Spread(IntEnum):
    """How an operand covers a value of (batch, columns); the native ``Spread``."""

    ROWS = 0
    ROW = 1
    COLUMN = 2
    NUMBER = 3


@dataclass(eq=False)
class Home:
    """Memory of a value.

    Attributes
    ----------
    rows : bool
        Whether it has one row for each sample; else it is one array.
    columns : int
        Elements of a row, or of the array.
    adjacent : bool
        Whether rows must follow one another without a gap.
    stage : int
        The first stage in which it can be read.
    number : int
        What the program calls it; -1 until it is placed.
    early : bool
        Whether it is an array made of constants and the batch size alone, before steps run.
    """

    rows: bool
    columns: int
    adjacent: bool = True
    stage: int = 0
    number: int = -1
    early: bool = False


#: The operand that is left out.
NOWHERE = Home(False, 0)


@dataclass(frozen=True)
class Place:
    """A value in a home."""

    home: Home
    spread: Spread


def is_rows(shape: Shape) -> bool:
    """Whether a shape has the batch as its first dimension."""
    return bool(shape) and shape[0] < 0


def columns_of(shape: Shape) -> int:
    """Return the elements for each sample, or of the whole array."""
    return math.prod(abs(n) for n in shape)


def padded_ld(columns: int, itemsize: int) -> int:
    """Return how far apart the rows of a layer's activations stand.

    Whole cache lines, and no multiple of 1 KiB: such rows would share a few sets of the caches.
    """
    line = 64 // itemsize
    if columns < line or columns % 4:
        return columns
    ld = -(-columns // line) * line
    return ld + line if ld * itemsize % 1024 == 0 else ld
