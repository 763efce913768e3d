"""Losses and their gradients.

An element-wise loss wants `target` in the shape of `input`: nothing is broadcast. The loss of a row
is weighted by ``sample_weight``, then reduced. ``"sum"`` and ``"mean"`` add in double precision and
in an order that depends on the shape alone.
"""

from __future__ import annotations

from typing import Literal

from mlpeak import _backend
from mlpeak._docs import raises
from mlpeak._types import Array

Reduction = Literal["none", "mean", "sum"]

__all__ = [
    "binary_cross_entropy",
    "binary_cross_entropy_backward",
    "binary_cross_entropy_with_logits",
    "binary_cross_entropy_with_logits_backward",
    "cross_entropy",
    "cross_entropy_backward",
    "cross_entropy_forward_backward",
    "gaussian_nll_loss",
    "gaussian_nll_loss_backward",
    "huber_loss",
    "huber_loss_backward",
    "l1_loss",
    "l1_loss_backward",
    "mse_loss",
    "mse_loss_backward",
    "nll_loss",
    "nll_loss_backward",
    "poisson_nll_loss",
    "poisson_nll_loss_backward",
    "smooth_l1_loss",
    "smooth_l1_loss_backward",
]


def mse_loss(
    input: Array,
    target: Array,
    *,
    sample_weight: Array | None = None,
    reduction: Reduction = "mean",
    out: Array | None = None,
) -> Array:
    """Squared error, ``(x - t)^2``.

    Parameters
    ----------
    input : ndarray, float32 or float64, shape (batch, ...)
        Predictions.
    target : ndarray, dtype and shape of `input`
        Values to predict, without NaN.
    sample_weight : ndarray, shape (batch,), optional
        Weight of each row, finite and >= 0.
    reduction : {"mean", "sum", "none"}
        ``"mean"`` divides the weighted sum by the sum of the weights of all elements.
    out : ndarray, shape () or, for ``"none"``, that of `input`, optional
        Where to write the loss; it shares no memory with the arguments.

    Returns
    -------
    ndarray
        The loss, 0-dimensional unless `reduction` is ``"none"``.

    Raises
    ------
    TypeError
        If a dtype is not the one above.
    ValueError
        If a shape differs, the batch is empty, or NaN is in `target`.

    Examples
    --------
    >>> import numpy as np
    >>> from mlpeak import kernels
    >>> float(kernels.mse_loss(np.array([1.0, 4.0]), np.array([1.0, 2.0])))
    2.0
    """
    return _backend.impl.mse_loss(
        input, target, sample_weight=sample_weight, reduction=reduction, out=out
    )


@raises
def mse_loss_backward(
    grad_output: Array,
    input: Array,
    target: Array,
    *,
    sample_weight: Array | None = None,
    reduction: Reduction = "mean",
    out: Array | None = None,
) -> Array:
    """Gradient of `mse_loss` with respect to `input`.

    It is ``2 (x - t)``. Parameters are those of `mse_loss`; `grad_output` has the dtype and
    shape of the loss, `out` the shape of `input`.

    Returns
    -------
    grad_input : ndarray of the shape of `input`
    """
    return _backend.impl.mse_loss_backward(
        grad_output, input, target, sample_weight=sample_weight, reduction=reduction, out=out
    )


def l1_loss(
    input: Array,
    target: Array,
    *,
    sample_weight: Array | None = None,
    reduction: Reduction = "mean",
    out: Array | None = None,
) -> Array:
    """Absolute error, ``|x - t|``.

    Parameters
    ----------
    input : ndarray, float32 or float64, shape (batch, ...)
        Predictions.
    target : ndarray, dtype and shape of `input`
        Values to predict, without NaN.
    sample_weight : ndarray, shape (batch,), optional
        Weight of each row, finite and >= 0.
    reduction : {"mean", "sum", "none"}
        ``"mean"`` divides the weighted sum by the sum of the weights of all elements.
    out : ndarray, shape () or, for ``"none"``, that of `input`, optional
        Where to write the loss; it shares no memory with the arguments.

    Returns
    -------
    ndarray
        The loss, 0-dimensional unless `reduction` is ``"none"``.

    Raises
    ------
    TypeError
        If a dtype is not the one above.
    ValueError
        If a shape differs, the batch is empty, or NaN is in `target`.
    """
    return _backend.impl.l1_loss(
        input, target, sample_weight=sample_weight, reduction=reduction, out=out
    )


@raises
def l1_loss_backward(
    grad_output: Array,
    input: Array,
    target: Array,
    *,
    sample_weight: Array | None = None,
    reduction: Reduction = "mean",
    out: Array | None = None,
) -> Array:
    """Gradient of `l1_loss` with respect to `input`.

    It is ``sign(x - t)``, 0 where they are equal. Parameters are those of `l1_loss`;
    `grad_output` has the dtype and shape of the loss, `out` the shape of `input`.

    Returns
    -------
    grad_input : ndarray of the shape of `input`
    """
    return _backend.impl.l1_loss_backward(
        grad_output, input, target, sample_weight=sample_weight, reduction=reduction, out=out
    )


def smooth_l1_loss(
    input: Array,
    target: Array,
    *,
    beta: float = 1.0,
    sample_weight: Array | None = None,
    reduction: Reduction = "mean",
    out: Array | None = None,
) -> Array:
    """Squared error within `beta` of the target, absolute error outside.

    ``(x - t)^2 / (2 beta)`` where ``|x - t| < beta``, else ``|x - t| - beta / 2``.

    Parameters
    ----------
    input : ndarray, float32 or float64, shape (batch, ...)
        Predictions.
    target : ndarray, dtype and shape of `input`
        Values to predict, without NaN.
    beta : float, >= 0
        Where the two pieces meet; 0 is `l1_loss`.
    sample_weight : ndarray, shape (batch,), optional
        Weight of each row, finite and >= 0.
    reduction : {"mean", "sum", "none"}
        ``"mean"`` divides the weighted sum by the sum of the weights of all elements.
    out : ndarray, shape () or, for ``"none"``, that of `input`, optional
        Where to write the loss; it shares no memory with the arguments.

    Returns
    -------
    ndarray
        The loss, 0-dimensional unless `reduction` is ``"none"``.

    Raises
    ------
    TypeError
        If a dtype is not the one above.
    ValueError
        If a shape differs, the batch is empty, or NaN is in `target`.

    References
    ----------
    R. Girshick, Fast R-CNN, ICCV 2015, eq. 3.
    """
    return _backend.impl.smooth_l1_loss(
        input, target, beta=beta, sample_weight=sample_weight, reduction=reduction, out=out
    )


@raises
def smooth_l1_loss_backward(
    grad_output: Array,
    input: Array,
    target: Array,
    *,
    beta: float = 1.0,
    sample_weight: Array | None = None,
    reduction: Reduction = "mean",
    out: Array | None = None,
) -> Array:
    """Gradient of `smooth_l1_loss` with respect to `input`.

    It is ``(x - t) / beta`` where ``|x - t| < beta``, else ``sign(x - t)``. Parameters are
    those of `smooth_l1_loss`; `grad_output` has the dtype and shape of the loss, `out` the
    shape of `input`.

    Returns
    -------
    grad_input : ndarray of the shape of `input`
    """
    return _backend.impl.smooth_l1_loss_backward(
        grad_output,
        input,
        target,
        beta=beta,
        sample_weight=sample_weight,
        reduction=reduction,
        out=out,
    )


def huber_loss(
    input: Array,
    target: Array,
    *,
    delta: float = 1.0,
    sample_weight: Array | None = None,
    reduction: Reduction = "mean",
    out: Array | None = None,
) -> Array:
    """Squared error within `delta` of the target, linear outside.

    ``(x - t)^2 / 2`` where ``|x - t| < delta``, else ``delta (|x - t| - delta / 2)``.

    Parameters
    ----------
    input : ndarray, float32 or float64, shape (batch, ...)
        Predictions.
    target : ndarray, dtype and shape of `input`
        Values to predict, without NaN.
    delta : float, > 0
        Where the two pieces meet.
    sample_weight : ndarray, shape (batch,), optional
        Weight of each row, finite and >= 0.
    reduction : {"mean", "sum", "none"}
        ``"mean"`` divides the weighted sum by the sum of the weights of all elements.
    out : ndarray, shape () or, for ``"none"``, that of `input`, optional
        Where to write the loss; it shares no memory with the arguments.

    Returns
    -------
    ndarray
        The loss, 0-dimensional unless `reduction` is ``"none"``.

    Raises
    ------
    TypeError
        If a dtype is not the one above.
    ValueError
        If a shape differs, the batch is empty, or NaN is in `target`.

    References
    ----------
    P. J. Huber, Robust estimation of a location parameter, Ann. Math. Statist. 35 (1964).
    """
    return _backend.impl.huber_loss(
        input, target, delta=delta, sample_weight=sample_weight, reduction=reduction, out=out
    )


@raises
def huber_loss_backward(
    grad_output: Array,
    input: Array,
    target: Array,
    *,
    delta: float = 1.0,
    sample_weight: Array | None = None,
    reduction: Reduction = "mean",
    out: Array | None = None,
) -> Array:
    """Gradient of `huber_loss` with respect to `input`.

    It is ``x - t`` clamped to ``[-delta, delta]``. Parameters are those of `huber_loss`;
    `grad_output` has the dtype and shape of the loss, `out` the shape of `input`.

    Returns
    -------
    grad_input : ndarray of the shape of `input`
    """
    return _backend.impl.huber_loss_backward(
        grad_output,
        input,
        target,
        delta=delta,
        sample_weight=sample_weight,
        reduction=reduction,
        out=out,
    )


def binary_cross_entropy(
    input: Array,
    target: Array,
    *,
    sample_weight: Array | None = None,
    reduction: Reduction = "mean",
    out: Array | None = None,
) -> Array:
    """Cross-entropy of probabilities, ``-(t log x + (1 - t) log(1 - x))``.

    Each logarithm is clamped at -100, so the loss is finite.

    Parameters
    ----------
    input : ndarray, float32 or float64, shape (batch, ...)
        Probabilities in [0, 1].
    target : ndarray, dtype and shape of `input`
        Probabilities in [0, 1].
    sample_weight : ndarray, shape (batch,), optional
        Weight of each row, finite and >= 0.
    reduction : {"mean", "sum", "none"}
        ``"mean"`` divides the weighted sum by the sum of the weights of all elements.
    out : ndarray, shape () or, for ``"none"``, that of `input`, optional
        Where to write the loss; it shares no memory with the arguments.

    Returns
    -------
    ndarray
        The loss, 0-dimensional unless `reduction` is ``"none"``.

    Raises
    ------
    TypeError
        If a dtype is not the one above.
    ValueError
        If a shape differs, the batch is empty, or a probability outside [0, 1], or NaN.
    """
    return _backend.impl.binary_cross_entropy(
        input, target, sample_weight=sample_weight, reduction=reduction, out=out
    )


@raises
def binary_cross_entropy_backward(
    grad_output: Array,
    input: Array,
    target: Array,
    *,
    sample_weight: Array | None = None,
    reduction: Reduction = "mean",
    out: Array | None = None,
) -> Array:
    """Gradient of `binary_cross_entropy` with respect to `input`.

    It is ``(x - t) / max(x (1 - x), 1e-12)``. Parameters are those of `binary_cross_entropy`;
    `grad_output` has the dtype and shape of the loss, `out` the shape of `input`.

    Returns
    -------
    grad_input : ndarray of the shape of `input`
    """
    return _backend.impl.binary_cross_entropy_backward(
        grad_output, input, target, sample_weight=sample_weight, reduction=reduction, out=out
    )


def binary_cross_entropy_with_logits(
    input: Array,
    target: Array,
    *,
    pos_weight: Array | None = None,
    sample_weight: Array | None = None,
    reduction: Reduction = "mean",
    out: Array | None = None,
) -> Array:
    """Cross-entropy of ``sigmoid(x)``, computed without overflow.

    ``(1 - t) softplus(x) + p t softplus(-x)`` with ``p = pos_weight``.

    Parameters
    ----------
    input : ndarray, float32 or float64, shape (batch, ...)
        Logits.
    target : ndarray, dtype and shape of `input`
        Probabilities in [0, 1].
    pos_weight : ndarray, shape () or (input.shape[-1],), optional
        Weight of the positive term, for each column; finite and >= 0.
    sample_weight : ndarray, shape (batch,), optional
        Weight of each row, finite and >= 0.
    reduction : {"mean", "sum", "none"}
        ``"mean"`` divides the weighted sum by the sum of the weights of all elements.
    out : ndarray, shape () or, for ``"none"``, that of `input`, optional
        Where to write the loss; it shares no memory with the arguments.

    Returns
    -------
    ndarray
        The loss, 0-dimensional unless `reduction` is ``"none"``.

    Raises
    ------
    TypeError
        If a dtype is not the one above.
    ValueError
        If a shape differs, the batch is empty, or a target outside [0, 1], or NaN.
    """
    return _backend.impl.binary_cross_entropy_with_logits(
        input,
        target,
        pos_weight=pos_weight,
        sample_weight=sample_weight,
        reduction=reduction,
        out=out,
    )


@raises
def binary_cross_entropy_with_logits_backward(
    grad_output: Array,
    input: Array,
    target: Array,
    *,
    pos_weight: Array | None = None,
    sample_weight: Array | None = None,
    reduction: Reduction = "mean",
    out: Array | None = None,
) -> Array:
    """Gradient of `binary_cross_entropy_with_logits` with respect to `input`.

    It is ``(1 - t) sigmoid(x) - p t sigmoid(-x)``. Parameters are those of
    `binary_cross_entropy_with_logits`; `grad_output` has the dtype and shape of the loss, `out`
    the shape of `input`.

    Returns
    -------
    grad_input : ndarray of the shape of `input`
    """
    return _backend.impl.binary_cross_entropy_with_logits_backward(
        grad_output,
        input,
        target,
        pos_weight=pos_weight,
        sample_weight=sample_weight,
        reduction=reduction,
        out=out,
    )


def gaussian_nll_loss(
    input: Array,
    target: Array,
    var: Array,
    *,
    full: bool = False,
    eps: float = 1e-6,
    sample_weight: Array | None = None,
    reduction: Reduction = "mean",
    out: Array | None = None,
) -> Array:
    """Negative log-likelihood of `target` under a normal distribution.

    ``(log v + (x - t)^2 / v) / 2`` with ``v = max(var, eps)``.

    Parameters
    ----------
    input : ndarray, float32 or float64, shape (batch, ...)
        Predicted means.
    target : ndarray, dtype and shape of `input`
        Values to predict, without NaN.
    var : ndarray, dtype and shape of `input`
        Predicted variances, >= 0.
    full : bool
        Add the constant ``log(2 pi) / 2``.
    eps : float, >= 0
        Lower clamp of `var`; the gradient ignores it.
    sample_weight : ndarray, shape (batch,), optional
        Weight of each row, finite and >= 0.
    reduction : {"mean", "sum", "none"}
        ``"mean"`` divides the weighted sum by the sum of the weights of all elements.
    out : ndarray, shape () or, for ``"none"``, that of `input`, optional
        Where to write the loss; it shares no memory with the arguments.

    Returns
    -------
    ndarray
        The loss, 0-dimensional unless `reduction` is ``"none"``.

    Raises
    ------
    TypeError
        If a dtype is not the one above.
    ValueError
        If a shape differs, the batch is empty, or a negative variance, or NaN.

    References
    ----------
    D. A. Nix and A. S. Weigend, Estimating the mean and variance of the target probability
    distribution, ICNN 1994.
    """
    return _backend.impl.gaussian_nll_loss(
        input,
        target,
        var,
        full=full,
        eps=eps,
        sample_weight=sample_weight,
        reduction=reduction,
        out=out,
    )


@raises
def gaussian_nll_loss_backward(
    grad_output: Array,
    input: Array,
    target: Array,
    var: Array,
    *,
    full: bool = False,
    eps: float = 1e-6,
    sample_weight: Array | None = None,
    reduction: Reduction = "mean",
    out: tuple[Array, Array] | None = None,
) -> tuple[Array, Array]:
    """Gradients of `gaussian_nll_loss` with respect to `input` and `var`.

    They are ``(x - t) / v`` and ``(1 - (x - t)^2 / v) / (2 v)``. Parameters are those of
    `gaussian_nll_loss`; `grad_output` has the dtype and shape of the loss, `out` is a pair of
    arrays of the shape of `input`.

    Returns
    -------
    (grad_input, grad_var) : ndarrays of the shape of `input`
    """
    return _backend.impl.gaussian_nll_loss_backward(
        grad_output,
        input,
        target,
        var,
        full=full,
        eps=eps,
        sample_weight=sample_weight,
        reduction=reduction,
        out=out,
    )


def poisson_nll_loss(
    input: Array,
    target: Array,
    *,
    log_input: bool = True,
    full: bool = False,
    eps: float = 1e-8,
    sample_weight: Array | None = None,
    reduction: Reduction = "mean",
    out: Array | None = None,
) -> Array:
    """Negative log-likelihood of counts under a Poisson distribution.

    ``exp(x) - t x``; without `log_input`, ``x - t log(x + eps)``.

    Parameters
    ----------
    input : ndarray, float32 or float64, shape (batch, ...)
        Predicted rates, or their logarithms.
    target : ndarray, dtype and shape of `input`
        Counts, without NaN.
    log_input : bool
        `input` is the logarithm of the rate.
    full : bool
        Add Stirling's ``t log t - t + log(2 pi t) / 2`` where ``t > 1``.
    eps : float, >= 0
        Added to `input` under the logarithm; unused with `log_input`.
    sample_weight : ndarray, shape (batch,), optional
        Weight of each row, finite and >= 0.
    reduction : {"mean", "sum", "none"}
        ``"mean"`` divides the weighted sum by the sum of the weights of all elements.
    out : ndarray, shape () or, for ``"none"``, that of `input`, optional
        Where to write the loss; it shares no memory with the arguments.

    Returns
    -------
    ndarray
        The loss, 0-dimensional unless `reduction` is ``"none"``.

    Raises
    ------
    TypeError
        If a dtype is not the one above.
    ValueError
        If a shape differs, the batch is empty, or NaN is in `target`.
    """
    return _backend.impl.poisson_nll_loss(
        input,
        target,
        log_input=log_input,
        full=full,
        eps=eps,
        sample_weight=sample_weight,
        reduction=reduction,
        out=out,
    )


@raises
def poisson_nll_loss_backward(
    grad_output: Array,
    input: Array,
    target: Array,
    *,
    log_input: bool = True,
    full: bool = False,
    eps: float = 1e-8,
    sample_weight: Array | None = None,
    reduction: Reduction = "mean",
    out: Array | None = None,
) -> Array:
    """Gradient of `poisson_nll_loss` with respect to `input`.

    It is ``exp(x) - t``, or ``1 - t / (x + eps)``. Parameters are those of `poisson_nll_loss`;
    `grad_output` has the dtype and shape of the loss, `out` the shape of `input`.

    Returns
    -------
    grad_input : ndarray of the shape of `input`
    """
    return _backend.impl.poisson_nll_loss_backward(
        grad_output,
        input,
        target,
        log_input=log_input,
        full=full,
        eps=eps,
        sample_weight=sample_weight,
        reduction=reduction,
        out=out,
    )


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
    sample_weight : ndarray, shape (batch,), optional
        Weight of each row, finite and >= 0.
    reduction : {"mean", "sum", "none"}
        ``"mean"`` divides by the sum over rows of ``sample_weight * weight[target]`` (NaN if all
        rows are ignored), with probabilities by the sum of ``sample_weight``.
    out : ndarray, shape () or, for ``"none"``, (batch,), optional
        Where to write the loss; it shares no memory with the arguments.

    Returns
    -------
    ndarray
        The loss, 0-dimensional unless `reduction` is ``"none"``.

    Raises
    ------
    TypeError
        If a dtype is not the one above.
    ValueError
        If a shape differs, the batch is empty, or a class out of range, or NaN.

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


@raises
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

    It is ``softmax(x)_j sum_c w_c q_c - w_j q_j``, 0 in an ignored row. Parameters are those of
    `cross_entropy`; `grad_output` has the dtype and shape of the loss, `out` the shape of
    `input`.

    Returns
    -------
    grad_input : ndarray of the shape of `input`
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
    sample_weight : ndarray, shape (batch,), optional
        Weight of each row, finite and >= 0.
    reduction : {"mean", "sum", "none"}
        ``"mean"`` divides by the sum over rows of ``sample_weight * weight[target]`` (NaN if all
        rows are ignored).
    out : ndarray, shape () or, for ``"none"``, (batch,), optional
        Where to write the loss; it shares no memory with the arguments.

    Returns
    -------
    ndarray
        The loss, 0-dimensional unless `reduction` is ``"none"``.

    Raises
    ------
    TypeError
        If a dtype is not the one above.
    ValueError
        If a shape differs, the batch is empty, or a class out of range, or NaN.
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


@raises
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

    It is ``-w_t`` at the target, 0 elsewhere. Parameters are those of `nll_loss`; `grad_output`
    has the dtype and shape of the loss, `out` the shape of `input`.

    Returns
    -------
    grad_input : ndarray of the shape of `input`
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
