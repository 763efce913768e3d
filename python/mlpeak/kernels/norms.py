"""Kernels: normalisations.

A forward returns its output and the statistics that the backward needs: the mean and ``rstd``, the
reciprocal of the standard deviation, both of the input's dtype. Means and variances are taken in
two passes, the variance of what is left after the mean is subtracted. Results have the same bits on
every tier and any number of threads.

Raises
------
TypeError
    If an array is not a NumPy array of float32 or float64, or the dtypes differ.
ValueError
    If shapes differ, a number is out of range, or an array that is written is read-only, not
    C-contiguous or shares memory with another. Nothing has been written then.
"""

from __future__ import annotations

from mlpeak import _backend
from mlpeak._docs import raises
from mlpeak._types import Array

__all__ = [
    "batch_norm",
    "batch_norm_backward",
    "layer_norm",
    "layer_norm_backward",
    "rms_norm",
    "rms_norm_backward",
]


@raises
def layer_norm(
    x: Array,
    weight: Array | None = None,
    bias: Array | None = None,
    eps: float = 1e-5,
    out: Array | None = None,
) -> tuple[Array, Array, Array]:
    """Normalise each row to mean 0 and variance 1: ``(x - mean) * rstd * weight + bias``.

    Parameters
    ----------
    x : ndarray, shape (..., features)
        At least one feature.
    weight, bias : ndarray, shape (features,), optional
        Scale and shift; 1 and 0 by default.
    eps : float
        Added to the variance, >= 0.
    out : ndarray, optional
        Receives y.

    Returns
    -------
    y : ndarray, shape of x
    mean, rstd : ndarray, shape x.shape[:-1]
        ``rstd = 1 / sqrt(var + eps)`` with the biased variance.

    References
    ----------
    Ba, Kiros, Hinton, "Layer normalization", 2016, eq. 4.

    Examples
    --------
    >>> import numpy as np
    >>> y, mean, rstd = layer_norm(np.array([[1.0, 3.0], [0.0, 8.0]]), eps=0)
    >>> y
    array([[-1.,  1.],
           [-1.,  1.]])
    """
    return _backend.impl.layer_norm(x, weight, bias, eps, out)


@raises
def layer_norm_backward(
    grad_output: Array, x: Array, weight: Array | None, mean: Array, rstd: Array
) -> tuple[Array, Array | None, Array | None]:
    """Return the gradients of x, weight and bias; the last two are None without a weight.

    Parameters
    ----------
    grad_output : ndarray, shape of x
        The gradient of y.
    x, weight : ndarray
        As they were given to `layer_norm`.
    mean, rstd : ndarray, shape x.shape[:-1]
        As `layer_norm` returned them.

    Returns
    -------
    grad_x : ndarray, shape of x
        ``rstd * (g - mean(g) - h * mean(g * h))`` with ``h = (x - mean) * rstd`` and
        ``g = grad_output * weight``.
    grad_weight, grad_bias : ndarray, shape (features,), or None
        Sums over all rows of ``grad_output * h`` and of ``grad_output``.
    """
    return _backend.impl.layer_norm_backward(grad_output, x, weight, mean, rstd)


@raises
def rms_norm(
    x: Array, weight: Array | None = None, eps: float | None = None, out: Array | None = None
) -> tuple[Array, Array]:
    """Scale each row to mean square 1: ``x * rstd * weight``.

    Parameters
    ----------
    x : ndarray, shape (..., features)
        At least one feature.
    weight : ndarray, shape (features,), optional
        Scale; 1 by default.
    eps : float, optional
        Added to the mean square, >= 0; by default the step from 1 to the next number of x's dtype.
    out : ndarray, optional
        Receives y.

    Returns
    -------
    y : ndarray, shape of x
    rstd : ndarray, shape x.shape[:-1]
        ``1 / sqrt(mean(x^2) + eps)``.

    References
    ----------
    Zhang, Sennrich, "Root mean square layer normalization", NeurIPS 2019, eq. 4.

    Examples
    --------
    >>> import numpy as np
    >>> y, rstd = rms_norm(np.array([[3.0, 3.0, -3.0, -3.0]]), eps=0)
    >>> y
    array([[ 1.,  1., -1., -1.]])
    """
    return _backend.impl.rms_norm(x, weight, eps, out)


@raises
def rms_norm_backward(
    grad_output: Array, x: Array, weight: Array | None, rstd: Array
) -> tuple[Array, Array | None]:
    """Return the gradients of x and weight; the second is None without a weight.

    Parameters
    ----------
    grad_output : ndarray, shape of x
        The gradient of y.
    x, weight : ndarray
        As they were given to `rms_norm`.
    rstd : ndarray, shape x.shape[:-1]
        As `rms_norm` returned it.

    Returns
    -------
    grad_x : ndarray, shape of x
        ``rstd * (g - h * mean(g * h))`` with ``h = x * rstd`` and ``g = grad_output * weight``.
    grad_weight : ndarray, shape (features,), or None
        The sum over all rows of ``grad_output * h``.
    """
    return _backend.impl.rms_norm_backward(grad_output, x, weight, rstd)


@raises
def batch_norm(
    x: Array,
    weight: Array | None = None,
    bias: Array | None = None,
    running_mean: Array | None = None,
    running_var: Array | None = None,
    training: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
    out: Array | None = None,
) -> tuple[Array, Array, Array]:
    """Normalise each feature over the batch: ``(x - mean) * rstd * weight + bias``.

    Parameters
    ----------
    x : ndarray, shape (batch, features)
        At least 2 rows in training.
    weight, bias : ndarray, shape (features,), optional
        Scale and shift; 1 and 0 by default.
    running_mean, running_var : ndarray, shape (features,), optional
        Both or neither. In training they are updated in place, as
        ``(1 - momentum) * running + momentum * statistic`` with the unbiased variance; otherwise
        they are the statistics, and only read.
    training : bool
        Take the statistics from the batch.
    momentum : float
        The weight of this batch in the running statistics, in [0, 1].
    eps : float
        Added to the variance, >= 0.
    out : ndarray, optional
        Receives y.

    Returns
    -------
    y : ndarray, shape of x
    mean, rstd : ndarray, shape (features,)
        The statistics used; ``rstd = 1 / sqrt(var + eps)``, of the batch with the biased variance.

    References
    ----------
    Ioffe, Szegedy, "Batch normalization", ICML 2015, algorithm 1.

    Examples
    --------
    >>> import numpy as np
    >>> y, mean, rstd = batch_norm(np.array([[1.0, 0.0], [3.0, 8.0]]), eps=0)
    >>> y
    array([[-1., -1.],
           [ 1.,  1.]])
    """
    return _backend.impl.batch_norm(
        x, weight, bias, running_mean, running_var, training, momentum, eps, out
    )


@raises
def batch_norm_backward(
    grad_output: Array,
    x: Array,
    weight: Array | None,
    mean: Array,
    rstd: Array,
    training: bool = True,
) -> tuple[Array, Array | None, Array | None]:
    """Return the gradients of x, weight and bias; the last two are None without a weight.

    Parameters
    ----------
    grad_output : ndarray, shape (batch, features)
        The gradient of y.
    x, weight : ndarray
        As they were given to `batch_norm`.
    mean, rstd : ndarray, shape (features,)
        As `batch_norm` returned them.
    training : bool
        As it was given to `batch_norm`. Otherwise the statistics are constants.

    Returns
    -------
    grad_x : ndarray, shape (batch, features)
        ``weight * rstd * (g - mean(g) - h * mean(g * h))`` with ``h = (x - mean) * rstd``,
        ``g = grad_output`` and means over the batch; ``weight * rstd * g`` if not `training`.
    grad_weight, grad_bias : ndarray, shape (features,), or None
        Sums over the batch of ``g * h`` and of ``g``.
    """
    return _backend.impl.batch_norm_backward(grad_output, x, weight, mean, rstd, training)
