"""Kernels: optimizer updates, in place.

An update is one pass over the parameter, its gradient and the optimizer's state, arrays of one
shape and dtype. `param` and the state arrays are written; they must be C-contiguous and share no
memory. Formulas and the meaning of every option are PyTorch's. Results have the same bits on every
tier and any number of threads.

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

__all__ = ["adagrad", "adam", "rmsprop", "sgd"]


@raises
def sgd(
    param: Array,
    grad: Array,
    momentum_buffer: Array | None = None,
    *,
    lr: float,
    momentum: float = 0.0,
    dampening: float = 0.0,
    weight_decay: float = 0.0,
    nesterov: bool = False,
    maximize: bool = False,
    first: bool = False,
) -> None:
    """Update `param` by stochastic gradient descent, with momentum if wanted.

    Parameters
    ----------
    param, grad : ndarray
        The parameter and its gradient, of one shape.
    momentum_buffer : ndarray, optional
        The decaying sum of gradients; needed with ``momentum > 0``, not touched otherwise.
    lr : float
        Learning rate, >= 0.
    momentum, dampening : float
        ``buffer = momentum * buffer + (1 - dampening) * grad``.
    weight_decay : float
        Adds ``weight_decay * param`` to the gradient, >= 0.
    nesterov : bool
        Look ahead: step along ``grad + momentum * buffer``; needs momentum and no dampening.
    maximize : bool
        Ascend instead.
    first : bool
        The first step: the buffer becomes the gradient, whatever it held.

    References
    ----------
    Sutskever, Martens, Dahl, Hinton, "On the importance of initialization and momentum in deep
    learning", ICML 2013, in the form of `torch.optim.SGD`.

    Examples
    --------
    >>> import numpy as np
    >>> p = np.array([1.0, 2.0])
    >>> sgd(p, np.array([1.0, -1.0]), lr=0.5)
    >>> p
    array([0.5, 2.5])
    """
    _backend.impl.sgd(
        param,
        grad,
        momentum_buffer,
        lr=lr,
        momentum=momentum,
        dampening=dampening,
        weight_decay=weight_decay,
        nesterov=nesterov,
        maximize=maximize,
        first=first,
    )


@raises
def adam(
    param: Array,
    grad: Array,
    exp_avg: Array,
    exp_avg_sq: Array,
    max_exp_avg_sq: Array | None = None,
    *,
    step: int,
    lr: float,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    decoupled: bool = False,
    maximize: bool = False,
) -> None:
    """Update `param` by Adam, or by AdamW with ``decoupled=True``.

    Parameters
    ----------
    param, grad : ndarray
        The parameter and its gradient, of one shape.
    exp_avg, exp_avg_sq : ndarray
        The decaying averages of the gradient and of its square; zeros before the first step.
    max_exp_avg_sq : ndarray, optional
        The largest `exp_avg_sq` so far, which then takes its place (AMSGrad).
    step : int
        The number of this update, counted from 1.
    lr : float
        Learning rate, >= 0.
    betas : (float, float)
        Decay of the two averages, each in [0, 1).
    eps : float
        Added to the denominator, >= 0. The denominator is the root of an average, which counts as
        the dtype's smallest normal number at least.
    weight_decay : float
        Adds ``weight_decay * param`` to the gradient, >= 0; if `decoupled`, shrinks the parameter
        by ``1 - lr * weight_decay`` first instead.
    maximize : bool
        Ascend instead.

    References
    ----------
    Kingma, Ba, "Adam: a method for stochastic optimization", ICLR 2015, algorithm 1.
    Loshchilov, Hutter, "Decoupled weight decay regularization", ICLR 2019, algorithm 2.
    Reddi, Kale, Kumar, "On the convergence of Adam and beyond", ICLR 2018 (AMSGrad).

    Examples
    --------
    >>> import numpy as np
    >>> p, m, v = np.ones(1), np.zeros(1), np.zeros(1)
    >>> adam(p, np.array([3.0]), m, v, step=1, lr=0.25, eps=0)
    >>> p.round(12)
    array([0.75])
    """
    _backend.impl.adam(
        param,
        grad,
        exp_avg,
        exp_avg_sq,
        max_exp_avg_sq,
        step=step,
        lr=lr,
        betas=betas,
        eps=eps,
        weight_decay=weight_decay,
        decoupled=decoupled,
        maximize=maximize,
    )


@raises
def rmsprop(
    param: Array,
    grad: Array,
    square_avg: Array,
    momentum_buffer: Array | None = None,
    grad_avg: Array | None = None,
    *,
    lr: float,
    alpha: float = 0.99,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    momentum: float = 0.0,
    maximize: bool = False,
) -> None:
    """Update `param` by RMSprop: the gradient over the root of its decaying mean square.

    Parameters
    ----------
    param, grad : ndarray
        The parameter and its gradient, of one shape.
    square_avg : ndarray
        The decaying average of the squared gradient; zeros before the first step.
    momentum_buffer : ndarray, optional
        The decaying sum of steps; needed with ``momentum > 0``, not touched otherwise. Zeros before
        the first step.
    grad_avg : ndarray, optional
        The decaying average of the gradient, whose square is then taken off `square_avg` (the
        centered form). Zeros before the first step.
    lr : float
        Learning rate, >= 0.
    alpha : float
        Decay of the averages, in [0, 1].
    eps : float
        Added to the denominator, >= 0. The denominator is the root of an average, which counts as
        the dtype's smallest normal number at least.
    weight_decay : float
        Adds ``weight_decay * param`` to the gradient, >= 0.
    momentum : float
        Decay of `momentum_buffer`, >= 0.
    maximize : bool
        Ascend instead.

    Notes
    -----
    Rounding may bring the centered mean square below 0; it is 0 then, where torch gives NaN.

    References
    ----------
    Tieleman, Hinton, "Lecture 6.5: rmsprop", Coursera 2012.
    Graves, "Generating sequences with recurrent neural networks", 2013, eq. 38-45 (centered).

    Examples
    --------
    >>> import numpy as np
    >>> p, v = np.ones(1), np.zeros(1)
    >>> rmsprop(p, np.array([3.0]), v, lr=0.5, alpha=0.75, eps=0)
    >>> p, v
    (array([0.]), array([2.25]))
    """
    _backend.impl.rmsprop(
        param,
        grad,
        square_avg,
        momentum_buffer,
        grad_avg,
        lr=lr,
        alpha=alpha,
        eps=eps,
        weight_decay=weight_decay,
        momentum=momentum,
        maximize=maximize,
    )


@raises
def adagrad(
    param: Array,
    grad: Array,
    state_sum: Array,
    *,
    step: int,
    lr: float,
    lr_decay: float = 0.0,
    weight_decay: float = 0.0,
    eps: float = 1e-10,
    maximize: bool = False,
) -> None:
    """Update `param` by Adagrad: the gradient over the root of the sum of its squares.

    Parameters
    ----------
    param, grad : ndarray
        The parameter and its gradient, of one shape.
    state_sum : ndarray
        The sum of all squared gradients; the initial accumulator before the first step.
    step : int
        The number of this update, counted from 1.
    lr : float
        Learning rate, >= 0.
    lr_decay : float
        The rate is ``lr / (1 + (step - 1) * lr_decay)``, >= 0.
    weight_decay : float
        Adds ``weight_decay * param`` to the gradient, >= 0.
    eps : float
        Added to the denominator, >= 0.
    maximize : bool
        Ascend instead.

    References
    ----------
    Duchi, Hazan, Singer, "Adaptive subgradient methods for online learning and stochastic
    optimization", JMLR 12, 2011, figure 1 (diagonal form).

    Examples
    --------
    >>> import numpy as np
    >>> p, s = np.ones(1), np.zeros(1)
    >>> adagrad(p, np.array([3.0]), s, step=1, lr=0.5, eps=0)
    >>> p, s
    (array([0.5]), array([9.]))
    """
    _backend.impl.adagrad(
        param,
        grad,
        state_sum,
        step=step,
        lr=lr,
        lr_decay=lr_decay,
        weight_decay=weight_decay,
        eps=eps,
        maximize=maximize,
    )
