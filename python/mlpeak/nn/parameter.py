"""`Parameter`: a tensor that a module owns and an optimizer updates."""

from __future__ import annotations

import numpy as np

from mlpeak._tensor import Tensor

__all__ = ["Parameter"]


class Parameter(Tensor):
    """A tensor that becomes a module's parameter when it is assigned as an attribute.

    Parameters
    ----------
    data : Tensor, optional
        Its value; the memory is shared.
    requires_grad : bool
        Whether gradients are computed for it.

    Examples
    --------
    >>> import mlpeak
    >>> mlpeak.nn.Parameter(mlpeak.ones(2)).requires_grad
    True
    """

    def __init__(self, data: Tensor | None = None, requires_grad: bool = True) -> None:
        if data is not None and not isinstance(data, Tensor):
            raise TypeError(f"Parameter: data is {type(data).__name__}; expected a Tensor")
        super().__init__(np.empty(0, np.float32) if data is None else data, requires_grad)

    def __repr__(self) -> str:
        return f"Parameter containing:\n{super().__repr__()}"
