"""Whole data sets for a compiled program: never copied if large, never looked through."""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from typing import Any

import numpy as np

from mlpeak._tensor import Tensor
from mlpeak._types import Array
from mlpeak.compiler.arguments import arrays_of, check_batch
from mlpeak.compiler.checks import named

__all__ = ["Data", "data_of", "scales_of", "whole_arrays"]


def whole_arrays(function: str, name: str, value: Any) -> tuple[Array, ...]:
    """Return the arrays of an argument that may be larger than memory; see `arrays_of`.

    An array that is not C-contiguous or not in native byte order is copied once, unless it is a
    memory map.

    Raises
    ------
    TypeError
        If an array has another dtype than the engine reads.
    ValueError
        If a memory map would have to be copied.
    """
    for part in value if isinstance(value, tuple) else (value,):
        array = part._array if isinstance(part, Tensor) else part
        if not isinstance(array, np.ndarray) or not _is_mapped(array):
            continue
        if not array.flags.c_contiguous or not array.dtype.isnative:
            wrong = "C-contiguous" if not array.flags.c_contiguous else "in native byte order"
            raise ValueError(
                f"{function}: {name} is a memory map that is not {wrong}; expected one that is, "
                "for it is not copied"
            )
    return arrays_of(function, name, value)


def _is_mapped(array: Array) -> bool:
    base: Any = array
    while isinstance(base, np.ndarray):
        if isinstance(base, np.memmap):
            return True
        base = base.base
    return isinstance(base, mmap.mmap)


def scales_of(inputs: tuple[Array, ...], scale: float | None) -> list[float]:
    """Return what each input's elements are multiplied by: `scale` where they are bytes.

    Raises
    ------
    ValueError
        If there are no bytes, or `scale` is no finite number.
    """
    if scale is None:
        return [1.0] * len(inputs)
    if not np.isfinite(scale):
        raise ValueError(f"fit: scale is {scale}; expected a finite number")
    scales = [float(scale) if a.dtype.kind != "f" and a.itemsize < 4 else 1.0 for a in inputs]
    if not any(a.dtype.kind != "f" and a.itemsize < 4 for a in inputs):
        raise ValueError(
            f"fit: scale is given, but X has dtype {inputs[0].dtype}; expected None, or bytes such "
            "as uint8"
        )
    return scales


@dataclass(frozen=True)
class Data:
    """Inputs, targets and weights of the same samples.

    Attributes
    ----------
    inputs, targets, weight : tuple of ndarray
        (samples, ...); `weight` has one or none.
    scales : list of float
        One for each of `arrays`.
    samples : int
    """

    inputs: tuple[Array, ...]
    targets: tuple[Array, ...]
    weight: tuple[Array, ...]
    scales: list[float]
    samples: int

    @property
    def arrays(self) -> tuple[Array, ...]:
        """All of them, as the program takes them."""
        return self.inputs + self.targets + self.weight

    def part(self, first: int, last: int) -> tuple[Array, ...]:
        """Return views of the samples from `first` to before `last`."""
        return tuple(array[first:last] for array in self.arrays)


def data_of(names: tuple[str, str, str], x: Any, y: Any, weight: Any, scale: float | None) -> Data:
    """Return checked data; `names` are those of the arguments, for errors."""
    inputs, targets = whole_arrays("fit", names[0], x), whole_arrays("fit", names[1], y)
    weights = () if weight is None else whole_arrays("fit", names[2], weight)
    samples = check_batch(
        "fit", named(names[0], inputs) + named(names[1], targets) + named(names[2], weights)
    )
    scales = scales_of(inputs, scale) + [1.0] * (len(targets) + len(weights))
    return Data(inputs, targets, weights, scales, samples)
