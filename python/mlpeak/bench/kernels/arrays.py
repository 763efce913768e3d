"""What the kernels work on: the same numbers in every process."""

from __future__ import annotations

from typing import Any

import numpy as np

# elements of a flat array, by the name that tables show
SIZES = {"4Ki": 4 << 10, "1Mi": 1 << 20}


def normal(*shape: int, dtype: str = "float32") -> Any:
    """Return an array of standard normal numbers, the same ones in every process."""
    return np.random.default_rng(0).standard_normal(shape).astype(dtype)


def tensors(*arrays: Any) -> Any:
    """Return arrays as PyTorch's tensors, which share their memory."""
    import torch

    return [torch.from_numpy(array) for array in arrays]
