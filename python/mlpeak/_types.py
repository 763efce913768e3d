"""Types that several layers share."""

from __future__ import annotations

from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Reduction = Literal["none", "mean", "sum"]


class PackedWeight(Protocol):
    """A weight that `mlpeak.kernels.pack` laid out for `mlpeak.kernels.linear`."""

    @property
    def shape(self) -> tuple[int, int]:
        """(out_features, in_features)."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """float32 or float64."""
