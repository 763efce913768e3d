"""The same values in mlpeak and in PyTorch, and how far results may differ."""

from __future__ import annotations

from typing import Any

import numpy as np

from mlpeak._from_data import from_numpy
from mlpeak._tensor import Tensor

BATCH = 17


def both(array: np.ndarray, requires_grad: bool = False) -> tuple[Tensor, Any]:
    """The same values as a tensor of mlpeak and of torch, on memory of their own."""
    import torch

    ours, theirs = from_numpy(array.copy()), torch.from_numpy(array.copy())
    if requires_grad:
        ours.requires_grad_()
        theirs.requires_grad_()
    return ours, theirs


def assert_close(actual: Any, expected: Any, what: str) -> None:
    """Equal within the rounding of sums of at most 64 terms.

    The sums here have up to 33 terms and their terms an error of a few ulp, so a result differs by
    less than 64 epsilon of the largest magnitude on either side.
    """
    a = actual.detach().numpy()
    e = expected.detach().numpy()
    assert a.shape == e.shape, what
    assert a.dtype == e.dtype, what
    scale = float(np.max(np.abs(e), initial=0)) if np.isfinite(e).all() else 1.0
    tolerance = 64 * np.finfo(a.dtype).eps
    np.testing.assert_allclose(a, e, rtol=tolerance, atol=tolerance * scale, err_msg=what)
