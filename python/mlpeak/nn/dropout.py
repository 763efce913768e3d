"""Dropout as a layer."""

from __future__ import annotations

from mlpeak._tensor import Tensor
from mlpeak.nn import functional as F
from mlpeak.nn.module import Module

__all__ = ["Dropout"]


class Dropout(Module):
    """In training, zero each element with probability `p` and scale the others by ``1/(1-p)``.

    Parameters
    ----------
    p : float
        In [0, 1].
    inplace : bool
        Taken for PyTorch's sake; the input stays as it was.
    """

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        if not 0.0 <= p <= 1.0:
            raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
        self.p = p
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        """Return `input` with elements dropped; in evaluation mode, `input` itself."""
        return F.dropout(input, self.p, self.training)

    def extra_repr(self) -> str:
        """Return the probability."""
        return f"p={self.p}, inplace={self.inplace}"
