"""Each layer's own rules, and what layers and functions refuse."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from mlpeak import nn
from mlpeak._from_data import tensor
from mlpeak._random import manual_seed
from mlpeak.grad_mode import no_grad
from mlpeak.nn import functional as F


def test_dropout_drops_scales_and_repeats_its_mask_in_backward() -> None:
    manual_seed(3)
    x = tensor(np.ones(10_000, np.float32), requires_grad=True)
    layer = nn.Dropout(0.25)
    y = layer(x)
    kept = y.detach().numpy() != 0
    np.testing.assert_array_equal(y.detach().numpy()[kept], np.float32(1 / 0.75))
    # standard deviation of the share kept: sqrt(.25 * .75 / 10000) = 0.0043
    assert abs(kept.mean() - 0.75) < 5 * 0.0044
    y.sum().backward()
    assert x.grad is not None
    np.testing.assert_array_equal(x.grad.numpy(), y.detach().numpy())
    assert (layer(x).detach().numpy() != y.detach().numpy()).any()
    manual_seed(3)
    np.testing.assert_array_equal(layer(x).detach().numpy(), y.detach().numpy())
    assert layer.eval()(x) is x
    assert not nn.Dropout(1.0)(x).detach().numpy().any()
    for p in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="probability has to be between 0 and 1, but got"):
            nn.Dropout(p)
        with pytest.raises(ValueError, match="probability has to be between 0 and 1, but got"):
            F.dropout(x, p)


def test_batch_norm_refuses_what_has_no_variance_or_the_wrong_shape() -> None:
    layer = nn.BatchNorm1d(3)
    with pytest.raises(ValueError, match="Expected more than 1 value per channel when training"):
        layer(tensor(np.ones((1, 3), np.float32)))
    with pytest.raises(ValueError, match=r"expected 2D input \(got 1D input\)"):
        layer(tensor(np.ones(3, np.float32)))
    assert layer.eval()(tensor(np.ones((1, 3), np.float32))).shape == (1, 3)
    layer.train()
    layer(tensor(np.arange(6, dtype=np.float32).reshape(2, 3)))
    assert layer.num_batches_tracked.item() == 1
    layer.reset_running_stats()
    assert layer.num_batches_tracked.item() == 0
    assert layer.running_var.tolist() == [1.0, 1.0, 1.0]


def test_normalized_shape_must_be_the_end_of_the_inputs() -> None:
    for layer in (nn.LayerNorm((3, 2)), nn.RMSNorm((3, 2))):
        with pytest.raises(RuntimeError, match=r"Given normalized_shape=\[3, 2\]"):
            layer(tensor(np.ones((4, 2, 3), np.float32)))
    with pytest.raises(RuntimeError, match="expected weight to be of same shape"):
        F.layer_norm(tensor(np.ones((4, 2))), [2], weight=tensor(np.ones(3)))


def test_embedding_padding_and_refusals() -> None:
    layer = nn.Embedding(5, 2, padding_idx=-2)
    assert layer.padding_idx == 3
    assert layer.weight.tolist()[3] == [0.0, 0.0]
    layer(tensor([3, 1, 1])).sum().backward()
    assert layer.weight.grad is not None
    assert layer.weight.grad.tolist() == [[0, 0], [2, 2], [0, 0], [0, 0], [0, 0]]
    with pytest.raises(ValueError, match="Padding_idx must be within num_embeddings"):
        nn.Embedding(5, 2, padding_idx=5)
    with pytest.raises(ValueError, match="max_norm, scale_grad_by_freq and sparse"):
        nn.Embedding(5, 2, sparse=True)
    with pytest.raises(ValueError, match="5"):
        layer(tensor([5]))
    frozen = nn.Embedding.from_pretrained(tensor([[1.0, 2.0]]))
    assert not frozen.weight.requires_grad
    assert frozen(tensor([0])).tolist() == [[1.0, 2.0]]
    with pytest.raises(ValueError, match="2-dimensional"):
        nn.Embedding.from_pretrained(tensor([1.0]))
    with pytest.raises(ValueError, match="Shape of weight does not match"):
        nn.Embedding(3, 2, _weight=tensor([[1.0, 2.0]]))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x, t: F.mse_loss(x, t[:1]), ValueError, "target"),
        (lambda x, t: F.mse_loss(x, t.double()), TypeError, "target"),
        (lambda x, t: F.mse_loss(x, t, reduction="avg"), ValueError, "reduction is 'avg'"),
        (lambda x, t: F.cross_entropy(x, tensor([0, 9])), ValueError, "target holds 9"),
        (lambda x, t: F.cross_entropy(x, tensor([0])), ValueError, "target"),
        (lambda x, t: F.gaussian_nll_loss(x, t, t[0]), ValueError, "var is of incorrect size"),
        (lambda x, t: F.gaussian_nll_loss(x, t, -1.0), ValueError, "var holds -1.0"),
        (lambda x, t: F.gelu(x, approximate="erf"), ValueError, "approximate is 'erf'"),
        (lambda x, t: F.softmax(x, 2), IndexError, r"range of \[-2, 1\], but got 2"),
        (lambda x, t: F.leaky_relu(x, -1.0), ValueError, "negative_slope"),
        (lambda x, t: F.linear(x, t[:, :2]), ValueError, r"input has shape \(2, 3\); .*, 2\)"),
        (lambda x, t: F.one_hot(x), TypeError, "expected integers"),
        (lambda x, t: F.one_hot(tensor([3]), 2), ValueError, "classes from 3 to 3"),
        (lambda x, t: nn.Unflatten(4, (1, 1))(x), IndexError, "but got 4"),
    ],
)
def test_wrong_input_is_refused(call: Any, error: type[Exception], message: str) -> None:
    x = tensor(np.full((2, 3), 0.5, np.float32))
    t = tensor(np.full((2, 3), 0.25, np.float32))
    with pytest.raises(error, match=message):
        call(x, t)


def test_element_weights_need_a_reduction_that_exists() -> None:
    x = tensor([0.5, 0.5])
    with pytest.raises(ValueError, match="reduction is 'avg'; expected one of none, mean, sum"):
        F.binary_cross_entropy(x, x, weight=x, reduction="avg")
    with pytest.raises(ValueError, match="Weights and input must have the same size"):
        F.mse_loss(x, x, weight=tensor([1.0]))


X23, ROWS = tensor(np.full((2, 3), 0.5, np.float32)), tensor([0, 2])

WITHOUT_A_DERIVATIVE: dict[str, Callable[[Any], Any]] = {
    "target": lambda w: F.binary_cross_entropy(X23[0], w),
    "weight": lambda w: F.cross_entropy(X23, ROWS, weight=w),
    "pos_weight": lambda w: F.binary_cross_entropy_with_logits(X23, X23, pos_weight=w),
    "sample_weight": lambda w: F.mse_loss(X23.T, X23.T, sample_weight=w),
    "running_mean": lambda w: F.batch_norm(X23, w, w.detach()),
    "running_var": lambda w: F.batch_norm(X23, w.detach(), w),
}


@pytest.mark.parametrize("name", WITHOUT_A_DERIVATIVE)
def test_what_has_no_derivative_may_not_require_a_gradient(name: str) -> None:
    call = WITHOUT_A_DERIVATIVE[name]
    w = tensor([0.5, 0.25, 1.0], requires_grad=True)
    with pytest.raises(RuntimeError, match=f"with respect to argument '{name}'"):
        call(w)
    call(w.detach())
    with no_grad():
        call(w)


def test_a_variance_has_a_derivative() -> None:
    var = tensor(np.ones((2, 3), np.float32), requires_grad=True)
    F.gaussian_nll_loss(X23, X23, var, reduction="sum").backward()
    assert var.grad.tolist() == [[0.5] * 3] * 2
