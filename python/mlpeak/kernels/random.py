"""Kernels: counter-based random numbers and dropout.

Every number is a pure function of ``(seed, stream, step, index)``: it does not matter who draws it,
in what order, on how many threads or on which tier. `seed` names an experiment, `stream` what the
numbers are for, `step` the call, and `index` is the position in the array. The generator is
Philox4x32-10 [1]_ with `seed` as its key and ``(index // 4, stream, step)`` as its counter.

References
----------
.. [1] J. K. Salmon, M. A. Moraes, R. O. Dror, D. E. Shaw, "Parallel random numbers: as easy as
   1, 2, 3", SC11, 2011. https://doi.org/10.1145/2063384.2063405
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import DTypeLike, NDArray

from mlpeak import _backend
from mlpeak._types import Array

__all__ = [
    "dropout",
    "dropout_backward",
    "permutation",
    "random_normal",
    "random_uniform",
    "random_words",
]


def random_words(
    n: int, *, first: int = 0, seed: int, stream: int = 0, step: int = 0
) -> NDArray[np.uint32]:
    """Return `n` raw 32-bit words of the generator, from word number `first` on.

    Parameters
    ----------
    n, first : int
        ``first + n`` is at most 2**34.
    seed, step : int
        In [0, 2**64).
    stream : int
        In [0, 2**32).

    Returns
    -------
    ndarray of uint32, shape (n,)
        Word i is word ``i % 4`` of Philox4x32-10 at the counter ``(i // 4, stream, step)``.

    Raises
    ------
    TypeError, ValueError
        If an argument is not an integer in its range.

    Examples
    --------
    >>> from mlpeak import kernels
    >>> [hex(w) for w in kernels.random_words(2, seed=0)]
    ['0x6627e8d5', '0xe169c58d']
    """
    return _backend.impl.random_words(n, first=first, seed=seed, stream=stream, step=step)


def random_uniform(
    shape: int | Sequence[int],
    low: float = 0.0,
    high: float = 1.0,
    *,
    seed: int,
    stream: int = 0,
    step: int = 0,
    dtype: DTypeLike = np.float32,
    out: Array | None = None,
) -> Array:
    """Draw numbers uniformly from [low, high).

    Parameters
    ----------
    shape : int or sequence of int
        Shape of the result.
    low, high : float
        Rounded to `dtype`; ``low <= high``, and ``high - low`` is finite. Where both are equal
        every number is that one.
    seed, stream, step : int
        What to draw; see `random_words`.
    dtype : {float32, float64}
        float32 numbers have 24 random bits, float64 numbers 53.
    out : ndarray, optional
        Array of this shape and dtype to write.

    Returns
    -------
    ndarray
        `out`, or a new array.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type, dtype or shape, or out of its range.

    Examples
    --------
    >>> from mlpeak import kernels
    >>> kernels.random_uniform((2, 3), -1, 1, seed=0).shape
    (2, 3)
    """
    return _backend.impl.random_uniform(
        shape, low, high, seed=seed, stream=stream, step=step, dtype=dtype, out=out
    )


def random_normal(
    shape: int | Sequence[int],
    mean: float = 0.0,
    std: float = 1.0,
    *,
    seed: int,
    stream: int = 0,
    step: int = 0,
    dtype: DTypeLike = np.float32,
    out: Array | None = None,
) -> Array:
    """Draw numbers from the normal distribution.

    Parameters
    ----------
    shape : int or sequence of int
        Shape of the result.
    mean, std : float
        Finite in `dtype`, and ``std >= 0``.
    seed, stream, step : int
        What to draw; see `random_words`.
    dtype : {float32, float64}
        Standard normal numbers reach 6.76 in float32 and 8.57 in float64.
    out : ndarray, optional
        Array of this shape and dtype to write.

    Returns
    -------
    ndarray
        `out`, or a new array.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type, dtype or shape, or out of its range.

    References
    ----------
    G. E. P. Box, M. E. Muller, "A note on the generation of random normal deviates", Annals of
    Mathematical Statistics 29 (1958), 610-611.

    Examples
    --------
    >>> from mlpeak import kernels
    >>> z = kernels.random_normal(10_000, seed=0)
    >>> bool(abs(z.mean()) < 0.05)
    True
    """
    return _backend.impl.random_normal(
        shape, mean, std, seed=seed, stream=stream, step=step, dtype=dtype, out=out
    )


def dropout(
    x: Array, p: float, *, seed: int, stream: int = 0, step: int = 0, out: Array | None = None
) -> Array:
    """Set each element to zero with probability `p` and scale the others by ``1 / (1 - p)``.

    Parameters
    ----------
    x : ndarray
        Of any shape.
    p : float
        Probability in [0, 1], used as the nearest multiple of 2**-32. With ``p=1`` all is zero.
    seed, stream, step : int
        What to draw; see `random_words`. Element i is decided by word i, in either dtype.
    out : ndarray, optional
        Array like `x` to write; it may be `x` itself.

    Returns
    -------
    ndarray
        `out`, or a new array. Dropped elements are +0, whatever they were (also inf and NaN).

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type, dtype or shape, or out of its range.

    References
    ----------
    N. Srivastava, G. Hinton, A. Krizhevsky, I. Sutskever, R. Salakhutdinov, "Dropout: a simple way
    to prevent neural networks from overfitting", JMLR 15 (2014), section 4 and 10 (inverted form).

    Examples
    --------
    >>> import numpy as np
    >>> from mlpeak import kernels
    >>> kernels.dropout(np.ones(6, np.float32), 0.5, seed=0)
    array([0., 2., 2., 2., 2., 0.], dtype=float32)
    """
    return _backend.impl.dropout(x, p, seed=seed, stream=stream, step=step, out=out)


def dropout_backward(
    grad_output: Array,
    p: float,
    *,
    seed: int,
    stream: int = 0,
    step: int = 0,
    out: Array | None = None,
) -> Array:
    """Gradient of `dropout`: the forward's mask is drawn again, nothing was stored.

    Parameters
    ----------
    grad_output : ndarray
        Gradient with respect to the forward's result.
    p, seed, stream, step
        As in the forward.
    out : ndarray, optional
        Array like `grad_output` to write; it may be `grad_output` itself.

    Returns
    -------
    ndarray
        Gradient with respect to the forward's `x`.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type, dtype or shape, or out of its range.
    """
    return _backend.impl.dropout_backward(
        grad_output, p, seed=seed, stream=stream, step=step, out=out
    )


def permutation(n: int, *, seed: int, stream: int = 0, step: int = 0) -> NDArray[np.int64]:
    """Return the numbers 0 .. n - 1 in random order, every order equally likely.

    Parameters
    ----------
    n : int
        In [0, 2**32).
    seed, stream, step : int
        What to draw; see `random_words`.

    Returns
    -------
    ndarray of int64, shape (n,)
        A Fisher-Yates shuffle; each draw below n is made of 64 bits, and the few that would make
        some numbers more likely than others are rejected.

    Raises
    ------
    TypeError, ValueError
        If an argument is not an integer in its range.

    References
    ----------
    D. Lemire, "Fast random integer generation in an interval", ACM Transactions on Modeling and
    Computer Simulation 29 (2019), algorithm 5. https://doi.org/10.1145/3230636

    Examples
    --------
    >>> from mlpeak import kernels
    >>> sorted(kernels.permutation(4, seed=0).tolist())
    [0, 1, 2, 3]
    """
    return _backend.impl.permutation(n, seed=seed, stream=stream, step=step)
