"""Kernels: table look-ups by row index.

Indices are integers of any dtype and shape; one that is negative or too large is a ValueError that
names it and its position, before anything is written.
"""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from mlpeak import _backend
from mlpeak._types import Array

__all__ = ["embedding", "embedding_backward", "gather_rows"]


def embedding(indices: NDArray[Any], weight: Array, out: Array | None = None) -> Array:
    """Pick rows of a table: ``y[..., :] = weight[indices[...], :]``.

    Parameters
    ----------
    indices : ndarray of integers
        Any shape; values in [0, num_embeddings).
    weight : ndarray of float32 or float64, shape (num_embeddings, embedding_dim)
        The table.
    out : ndarray, optional
        Receives y.

    Returns
    -------
    ndarray, shape (*indices.shape, embedding_dim)

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.

    Examples
    --------
    >>> import numpy as np
    >>> embedding(np.array([2, 0]), np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]))
    array([[5., 6.],
           [1., 2.]])
    """
    return _backend.impl.embedding(indices, weight, out)


def embedding_backward(
    grad_output: Array,
    indices: NDArray[Any],
    num_embeddings: int,
    padding_idx: int | None = None,
    out: Array | None = None,
) -> Array:
    """Return the gradient of the table: each row sums `grad_output` over the places that used it.

    Parameters
    ----------
    grad_output : ndarray of float32 or float64, shape (*indices.shape, embedding_dim)
        The gradient of y.
    indices : ndarray of integers
        As they were given to `embedding`.
    num_embeddings : int
        The number of rows of the table.
    padding_idx : int, optional
        This row gets no gradient; -1 is the last row.
    out : ndarray, optional
        Receives the result.

    Returns
    -------
    ndarray, shape (num_embeddings, embedding_dim)
        Summed in the order of the indices; 0 where a row was not used.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.

    Examples
    --------
    >>> import numpy as np
    >>> embedding_backward(np.array([[1.0], [2.0], [4.0]]), np.array([1, 0, 1]), 3)
    array([[2.],
           [5.],
           [0.]])
    """
    return _backend.impl.embedding_backward(grad_output, indices, num_embeddings, padding_idx, out)


def gather_rows(
    x: NDArray[Any], indices: NDArray[Any], out: NDArray[Any] | None = None
) -> NDArray[Any]:
    """Copy entries of the first axis: ``y[...] = x[indices[...]]``, in parallel.

    Parameters
    ----------
    x : ndarray, shape (rows, ...)
        Any dtype without Python objects. An array that is not C-contiguous is copied first.
    indices : ndarray of integers
        Any shape; values in [0, rows).
    out : ndarray, optional
        Receives y; the dtype of `x`.

    Returns
    -------
    ndarray, shape (*indices.shape, *x.shape[1:])

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.

    Examples
    --------
    >>> import numpy as np
    >>> gather_rows(np.array(["a", "b", "c"]), np.array([2, 2, 0]))
    array(['c', 'c', 'a'], dtype='<U1')
    """
    return _backend.impl.gather_rows(x, indices, out)
