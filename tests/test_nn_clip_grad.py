"""Clipping gradients by norm and by value."""

from __future__ import annotations

import numpy as np
import pytest

from mlpeak import nn
from mlpeak._from_data import from_numpy, tensor


@pytest.mark.parametrize("norm_type", [1.0, 2.0, 3.0, -1.0, 0.0, float("inf"), -float("inf")])
@pytest.mark.parametrize("max_norm", [0.5, 1e3])
def test_clip_grad_norm_is_torchs(norm_type: float, max_norm: float) -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    grads = [rng.normal(size=(7, 5)), rng.normal(size=3)]
    ours = [nn.Parameter(from_numpy(np.zeros_like(g))) for g in grads]
    theirs = [torch.nn.Parameter(torch.zeros(g.shape, dtype=torch.float64)) for g in grads]
    for p, q, g in zip(ours, theirs, grads, strict=True):
        p.grad, q.grad = from_numpy(g.copy()), torch.from_numpy(g.copy())
    norm = nn.utils.clip_grad_norm_(ours, max_norm, norm_type)
    expected = torch.nn.utils.clip_grad_norm_(theirs, max_norm, norm_type)
    # sums of 38 terms
    np.testing.assert_allclose(norm.item(), expected.item(), rtol=64 * 2.0**-52)
    for p, q in zip(ours, theirs, strict=True):
        assert p.grad is not None
        np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), rtol=64 * 2.0**-52)


def test_clip_grad_norm_of_what_is_not_finite() -> None:
    p = nn.Parameter(tensor([1.0, 2.0]))
    assert nn.utils.clip_grad_norm_([p], 1.0).item() == 0.0
    p.grad = tensor([float("inf"), 1.0])
    with pytest.raises(RuntimeError, match="The total norm of order"):
        nn.utils.clip_grad_norm_(p, 1.0, error_if_nonfinite=True)
    assert p.grad.tolist() == [float("inf"), 1.0]
    assert nn.utils.clip_grad_norm_(p, 1.0).item() == float("inf")
    assert p.grad.tolist()[1] == 0.0
    assert np.isnan(p.grad.tolist()[0])


def test_clip_grad_value() -> None:
    p = nn.Parameter(tensor([1.0, 2.0, 3.0]))
    p.grad = tensor([-5.0, 0.5, 5.0])
    nn.utils.clip_grad_value_([p], 1.0)
    assert p.grad.tolist() == [-1.0, 0.5, 1.0]
