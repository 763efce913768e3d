"""Element-wise losses and their gradients.

An element-wise loss wants `target` in the shape of `input`: nothing is broadcast. The loss of a row
is weighted by ``sample_weight``, then reduced. ``"sum"`` and ``"mean"`` add in double precision and
in an order that depends on the shape alone.
"""

from __future__ import annotations

from collections.abc import Callable

from mlpeak import _backend
from mlpeak._docs import F, raises
from mlpeak._types import Array, Reduction
from mlpeak.kernels._loss_docs import gradient, loss

__all__ = [
    "binary_cross_entropy",
    "binary_cross_entropy_backward",
    "binary_cross_entropy_with_logits",
    "binary_cross_entropy_with_logits_backward",
    "gaussian_nll_loss",
    "gaussian_nll_loss_backward",
    "huber_loss",
    "huber_loss_backward",
    "l1_loss",
    "l1_loss_backward",
    "mse_loss",
    "mse_loss_backward",
    "poisson_nll_loss",
    "poisson_nll_loss_backward",
    "smooth_l1_loss",
    "smooth_l1_loss_backward",
]


def _elementwise(refused: str) -> Callable[[F], F]:
    mean = "divides the weighted sum by the sum of the weights of all elements."
    return loss(mean, "that of `input`", refused)


@_elementwise("NaN is in `target`")
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


@gradient
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

    It is ``2 (x - t)``.
    """
    return _backend.impl.mse_loss_backward(
        grad_output, input, target, sample_weight=sample_weight, reduction=reduction, out=out
    )


@_elementwise("NaN is in `target`")
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
    """
    return _backend.impl.l1_loss(
        input, target, sample_weight=sample_weight, reduction=reduction, out=out
    )


@gradient
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

    It is ``sign(x - t)``, 0 where they are equal.
    """
    return _backend.impl.l1_loss_backward(
        grad_output, input, target, sample_weight=sample_weight, reduction=reduction, out=out
    )


@_elementwise("NaN is in `target`")
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

    References
    ----------
    R. Girshick, Fast R-CNN, ICCV 2015, eq. 3.
    """
    return _backend.impl.smooth_l1_loss(
        input, target, beta=beta, sample_weight=sample_weight, reduction=reduction, out=out
    )


@gradient
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

    It is ``(x - t) / beta`` where ``|x - t| < beta``, else ``sign(x - t)``.
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


@_elementwise("NaN is in `target`")
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

    References
    ----------
    P. J. Huber, Robust estimation of a location parameter, Ann. Math. Statist. 35 (1964).
    """
    return _backend.impl.huber_loss(
        input, target, delta=delta, sample_weight=sample_weight, reduction=reduction, out=out
    )


@gradient
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

    It is ``x - t`` clamped to ``[-delta, delta]``.
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


@_elementwise("a probability outside [0, 1], or NaN")
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
    """
    return _backend.impl.binary_cross_entropy(
        input, target, sample_weight=sample_weight, reduction=reduction, out=out
    )


@gradient
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

    It is ``(x - t) / max(x (1 - x), 1e-12)``.
    """
    return _backend.impl.binary_cross_entropy_backward(
        grad_output, input, target, sample_weight=sample_weight, reduction=reduction, out=out
    )


@_elementwise("a target outside [0, 1], or NaN")
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
    """
    return _backend.impl.binary_cross_entropy_with_logits(
        input,
        target,
        pos_weight=pos_weight,
        sample_weight=sample_weight,
        reduction=reduction,
        out=out,
    )


@gradient
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

    It is ``(1 - t) sigmoid(x) - p t sigmoid(-x)``.
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


@_elementwise("a negative variance, or NaN")
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


@_elementwise("NaN is in `target`")
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


@gradient
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

    It is ``exp(x) - t``, or ``1 - t / (x + eps)``.
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
