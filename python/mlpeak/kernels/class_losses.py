"""Losses over classes, one number a row of logits or log-probabilities, and their gradients.

The loss of a row is weighted by the weight of its class and by ``sample_weight``, then reduced.
``"sum"`` and ``"mean"`` add in double precision and in an order that depends on the shape alone.
"""

from __future__ import annotations

from mlpeak import _backend
from mlpeak._docs import raises
from mlpeak._types import Array, Reduction
from mlpeak.kernels._loss_docs import gradient, loss

__all__ = [
    "cross_entropy",
    "cross_entropy_backward",
    "cross_entropy_forward_backward",
    "nll_loss",
    "nll_loss_backward",
]

_MEAN = """\
divides by the sum over rows of ``sample_weight * weight[target]`` (NaN if all
    rows are ignored)"""
_REFUSED = "a class out of range, or NaN"


@loss(f"{_MEAN}, with probabilities by the sum of ``sample_weight``.", "(batch,)", _REFUSED)
def cross_entropy(
    input: Array,
    target: Array,
    *,
    weight: Array | None = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    sample_weight: Array | None = None,
    reduction: Reduction = "mean",
    out: Array | None = None,
) -> Array:
    """Cross-entropy of ``softmax(x)``, ``-sum_c w_c q_c log softmax(x)_c``.

    `q` is the target distribution: all mass on the class, or the given probabilities; smoothing
    makes it ``(1 - label_smoothing) q + label_smoothing / classes``.

    Parameters
    ----------
    input : ndarray, float32 or float64, shape (batch, classes)
        Logits.
    target : ndarray of integers, shape (batch,), or of the dtype and shape of `input`
        Classes in [0, classes) or equal to `ignore_index`; or probabilities, without NaN.
    weight : ndarray, shape (classes,), optional
        Weight of each class, finite and >= 0.
    ignore_index : int
        Rows of this class have loss 0, gradient 0 and weight 0. Negative for probabilities.
    label_smoothing : float in [0, 1]
        Share of the target's mass that is spread evenly over all classes.

    References
    ----------
    C. Szegedy et al., Rethinking the Inception architecture, CVPR 2016, section 7 (smoothing).

    Examples
    --------
    >>> import numpy as np
    >>> from mlpeak import kernels
    >>> logits = np.log(np.array([[0.5, 0.5], [0.75, 0.25]]))
    >>> kernels.cross_entropy(logits, np.array([0, 1]), reduction="none").round(4)
    array([0.6931, 1.3863])
    """
    return _backend.impl.cross_entropy(
        input,
        target,
        weight=weight,
        ignore_index=ignore_index,
        label_smoothing=label_smoothing,
        sample_weight=sample_weight,
        reduction=reduction,
        out=out,
    )


@gradient
def cross_entropy_backward(
    grad_output: Array,
    input: Array,
    target: Array,
    *,
    weight: Array | None = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    sample_weight: Array | None = None,
    reduction: Reduction = "mean",
    out: Array | None = None,
) -> Array:
    """Gradient of `cross_entropy` with respect to `input`.

    It is ``softmax(x)_j sum_c w_c q_c - w_j q_j``, 0 in an ignored row.
    """
    return _backend.impl.cross_entropy_backward(
        grad_output,
        input,
        target,
        weight=weight,
        ignore_index=ignore_index,
        label_smoothing=label_smoothing,
        sample_weight=sample_weight,
        reduction=reduction,
        out=out,
    )


@raises
def cross_entropy_forward_backward(
    input: Array,
    target: Array,
    *,
    weight: Array | None = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    sample_weight: Array | None = None,
    reduction: Reduction = "mean",
    out: Array | None = None,
) -> tuple[Array, Array]:
    """`cross_entropy` and its gradient for a ``grad_output`` of 1, in one pass over the logits.

    Parameters are those of `cross_entropy`, but `out`, of the shape of `input`, takes the gradient.
    Both results have the bits of the two separate calls.

    Returns
    -------
    loss : ndarray, 0-dimensional unless `reduction` is ``"none"``
    grad_input : ndarray of the shape of `input`
    """
    return _backend.impl.cross_entropy_forward_backward(
        input,
        target,
        weight=weight,
        ignore_index=ignore_index,
        label_smoothing=label_smoothing,
        sample_weight=sample_weight,
        reduction=reduction,
        out=out,
    )


@loss(f"{_MEAN}.", "(batch,)", _REFUSED)
def nll_loss(
    input: Array,
    target: Array,
    *,
    weight: Array | None = None,
    ignore_index: int = -100,
    sample_weight: Array | None = None,
    reduction: Reduction = "mean",
    out: Array | None = None,
) -> Array:
    """Negative log-likelihood of classes, ``-w_t x_t``.

    Parameters
    ----------
    input : ndarray, float32 or float64, shape (batch, classes)
        Log-probabilities.
    target : ndarray of integers, shape (batch,)
        Classes in [0, classes) or equal to `ignore_index`.
    weight : ndarray, shape (classes,), optional
        Weight of each class, finite and >= 0.
    ignore_index : int
        Rows of this class have loss 0, gradient 0 and weight 0.
    """
    return _backend.impl.nll_loss(
        input,
        target,
        weight=weight,
        ignore_index=ignore_index,
        sample_weight=sample_weight,
        reduction=reduction,
        out=out,
    )


@gradient
def nll_loss_backward(
    grad_output: Array,
    input: Array,
    target: Array,
    *,
    weight: Array | None = None,
    ignore_index: int = -100,
    sample_weight: Array | None = None,
    reduction: Reduction = "mean",
    out: Array | None = None,
) -> Array:
    """Gradient of `nll_loss` with respect to `input`.

    It is ``-w_t`` at the target, 0 elsewhere.
    """
    return _backend.impl.nll_loss_backward(
        grad_output,
        input,
        target,
        weight=weight,
        ignore_index=ignore_index,
        sample_weight=sample_weight,
        reduction=reduction,
        out=out,
    )
