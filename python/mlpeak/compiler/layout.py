"""Where the values of a graph stand in a program: memory, and views of it as NumPy has them.

A `Home` is memory that the program knows by a number. A `Place` is how a graph's value is found in
a home: all its elements in order, or by an offset and strides. Reshapes, broadcasts, transposes and
slices that move nothing make a new place in the same home. Lengths and strides may follow the batch
size, so they are `Length`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from mlpeak.compiler.graph import Shape

__all__ = [
    "NOWHERE",
    "Home",
    "Length",
    "Place",
    "Spread",
    "Weight",
    "columns_of",
    "contiguous",
    "has_batch",
    "is_rows",
    "length_of",
    "padded_ld",
]


class Length(NamedTuple):
    """``fixed + per_sample * batch``."""

    fixed: int
    per_sample: int = 0

    def plus(self, other: Length) -> Length:
        """Return the sum."""
        return Length(self.fixed + other.fixed, self.per_sample + other.per_sample)

    def times(self, other: Length) -> Length | None:
        """Return the product, None if it has the square of the batch size."""
        if self.per_sample and other.per_sample:
            return None
        return Length(
            self.fixed * other.fixed,
            self.fixed * other.per_sample + self.per_sample * other.fixed,
        )

    def at(self, batch: int) -> int:
        """Return the number for a batch size."""
        return self.fixed + self.per_sample * batch


ZERO, ONE = Length(0), Length(1)


def length_of(n: int) -> Length:
    """Return the length that `n` stands for in a shape."""
    return Length(n) if n >= 0 else Length(0, -n)


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
        Whether its size follows the batch: one row for each sample; else it is one array.
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
    constant : bool
        Whether it is an array that never changes.
    """

    rows: bool
    columns: int
    adjacent: bool = True
    stage: int = 0
    number: int = -1
    early: bool = False
    constant: bool = False


#: The operand that is left out.
NOWHERE = Home(False, 0)


@dataclass
class Weight:
    """A parameter that linear layers use, and which packed copies of it are needed."""

    home: Home
    out: int
    into: int
    forward: bool = False
    backward: bool = False
    number: int = -1


@dataclass(frozen=True)
class Place:
    """A value in a home; without strides all its elements stand there in order."""

    home: Home
    strides: tuple[Length, ...] | None = None
    offset: Length = ZERO

    def strides_for(self, shape: Shape) -> tuple[Length, ...]:
        """Return the strides of a value of that shape."""
        return contiguous(shape) if self.strides is None else self.strides

    def simplified(self, shape: Shape) -> Place:
        """Return the place without strides if these are those of a whole home."""
        if self.strides is None or self.offset != ZERO or columns_of(shape) != self.home.columns:
            return self
        if has_batch(shape) != self.home.rows:
            return self
        for n, mine, usual in zip(shape, self.strides, contiguous(shape), strict=True):
            if mine != usual and n != 1:
                return self
        return Place(self.home)


def contiguous(shape: Shape) -> tuple[Length, ...]:
    """Return the strides of a C-contiguous array."""
    strides: list[Length] = []
    size = ONE
    for n in reversed(shape):
        strides.insert(0, size)
        product = size.times(length_of(n))
        assert product is not None, shape
        size = product
    return tuple(strides)


def has_batch(shape: Shape) -> bool:
    """Whether a shape follows the batch size."""
    return any(n < 0 for n in shape)


def is_rows(shape: Shape) -> bool:
    """Whether a shape has the batch as its first dimension."""
    return bool(shape) and shape[0] < 0


def columns_of(shape: Sequence[int]) -> int:
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
