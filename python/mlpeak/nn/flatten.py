"""Layers that only change the shape."""

from __future__ import annotations

from collections.abc import Sequence

from mlpeak._tensor import Tensor
from mlpeak.nn.module import Module

__all__ = ["Flatten", "Unflatten"]


class Flatten(Module):
    """Join the axes from `start_dim` to `end_dim`; by default all but the batch.

    Parameters
    ----------
    start_dim, end_dim : int
        First and last axis to join.
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim = start_dim
        self.end_dim = end_dim

    def forward(self, input: Tensor) -> Tensor:
        """Return `input` flattened."""
        return input.flatten(self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        """Return the axes."""
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Unflatten(Module):
    """Split the axis `dim` into the shape `unflattened_size`.

    Parameters
    ----------
    dim : int
        Axis to split.
    unflattened_size : sequence of int
        Its new shape; one entry may be -1.
    """

    def __init__(self, dim: int, unflattened_size: Sequence[int]) -> None:
        super().__init__()
        if not isinstance(dim, int):
            raise TypeError(f"Unflatten: dim is {type(dim).__name__}; expected an int")
        self.dim = dim
        self.unflattened_size = tuple(unflattened_size)

    def forward(self, input: Tensor) -> Tensor:
        """Return `input` with the axis split."""
        shape = tuple(input.shape)
        if not -len(shape) <= self.dim < len(shape):
            raise IndexError(
                "Dimension out of range (expected to be in range of "
                f"[{-len(shape)}, {len(shape) - 1}], but got {self.dim})"
            )
        dim = self.dim % len(shape)
        return input.reshape(*shape[:dim], *self.unflattened_size, *shape[dim + 1 :])

    def extra_repr(self) -> str:
        """Return axis and sizes."""
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"
