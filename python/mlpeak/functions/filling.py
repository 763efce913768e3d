"""Filling a tensor with random numbers in place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlpeak import _random, kernels
from mlpeak.autograd import apply_inplace
from mlpeak.ops.arithmetic import COPY

if TYPE_CHECKING:
    from mlpeak._tensor import Tensor


def _fill(self: Tensor, kernel: Any, a: float, b: float, generator: Any) -> Tensor:
    if self.dtype.kind != "f":
        raise TypeError(f"{kernel.__name__}: dtype is {self.dtype}; expected float32 or float64")
    seed, step = (generator or _random.default_generator).next()
    stream = _random.TENSOR
    values = kernel(self.shape, a, b, seed=seed, stream=stream, step=step, dtype=self.dtype.type)
    return apply_inplace(COPY, self, self._make(values))


def uniform_(
    self: Tensor, low: float = 0, high: float = 1, *, generator: _random.Generator | None = None
) -> Tensor:
    """Fill with uniform random numbers in [low, high)."""
    return _fill(self, kernels.random_uniform, low, high, generator)


def normal_(
    self: Tensor, mean: float = 0, std: float = 1, *, generator: _random.Generator | None = None
) -> Tensor:
    """Fill with normal random numbers of the given mean and standard deviation."""
    return _fill(self, kernels.random_normal, mean, std, generator)
