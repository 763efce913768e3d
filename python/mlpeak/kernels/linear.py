"""Kernels: matrix products and the fully connected layer."""

from __future__ import annotations

from mlpeak import _backend
from mlpeak._types import Array, PackedWeight

__all__ = [
    "linear",
    "linear_backward",
    "linear_backward_bias",
    "linear_backward_input",
    "linear_backward_weight",
    "matmul",
    "pack",
]


def matmul(
    a: Array,
    b: Array,
    transpose_a: bool = False,
    transpose_b: bool = False,
    out: Array | None = None,
    precision: str | None = None,
) -> Array:
    """Multiply two matrices, either of them transposed.

    Each element is one chain of fused multiply-adds over k in order, so its bits do not depend on
    the processor or the number of threads.

    Parameters
    ----------
    a : ndarray of float32 or float64, shape (m, k), or (k, m) if `transpose_a`
        The left factor.
    b : ndarray of the same dtype, shape (k, n), or (n, k) if `transpose_b`
        The right factor.
    transpose_a, transpose_b : bool, default False
        Use the transpose, without copying it.
    out : ndarray, shape (m, n), optional
        Receives the product; must not share memory with `a` or `b`.
    precision : {"bf16"}, optional
        For float32 arrays: round both factors to the nearest bfloat16, ties to even, and sum in
        float32. A step of the chain then takes two k, ``a[2p] b[2p] + (a[2p+1] b[2p+1] + c)``, and
        subnormal numbers count as zero. These are the bits of the AVX512-BF16 instruction, which is
        twice as fast; other processors get them more slowly.

    Returns
    -------
    ndarray, shape (m, n)
        `out`, or a new array.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.

    Examples
    --------
    >>> import numpy as np
    >>> matmul(np.eye(2), np.array([[1.0, 2.0], [3.0, 4.0]]), transpose_b=True)
    array([[1., 3.],
           [2., 4.]])
    """
    return _backend.impl.matmul(a, b, transpose_a, transpose_b, out, precision)


def pack(w: Array, precision: str | None = None) -> PackedWeight:
    """Lay a weight out once for many calls of `linear`.

    A product spends part of its time rearranging the weight; for a few rows, most of it.

    Parameters
    ----------
    w : ndarray of float32 or float64, shape (out_features, in_features)
        The weight. It is copied: later changes of it are not seen.
    precision : {"bf16"}, optional
        That of the calls of `linear`.

    Returns
    -------
    PackedWeight
        What `linear` takes in the place of `w`; it has ``shape`` and ``dtype``. It is good for this
        process and the tier in use.

    Raises
    ------
    TypeError, ValueError
        If `w` is not as described.

    Examples
    --------
    >>> import numpy as np
    >>> w = pack(np.array([[1.0, 2.0], [3.0, 4.0]]))
    >>> linear(np.array([[1.0, 1.0]]), w)
    array([[3., 7.]])
    """
    return _backend.impl.pack(w, precision)


def linear(
    x: Array,
    w: Array | PackedWeight,
    b: Array | None = None,
    activation: str = "identity",
    out: Array | None = None,
    pre: Array | None = None,
    precision: str | None = None,
) -> Array:
    """Apply a fully connected layer, ``activation(x @ w.T + b)``, in one call.

    Parameters
    ----------
    x : ndarray of float32 or float64, shape (batch, in_features)
        The rows.
    w : ndarray of the same dtype, shape (out_features, in_features), or PackedWeight
        The weight, as it is or from `pack`; the result's bits are the same.
    b : ndarray of the same dtype, shape (out_features,), optional
        The bias; none is added by default.
    activation : str, default "identity"
        Name of an element-wise activation of this module, used with its default parameters.
    out : ndarray, shape (batch, out_features), optional
        Receives the result.
    pre : ndarray, shape (batch, out_features), optional
        Receives ``x @ w.T + b``, which the backward of some activations needs (`linear_backward`).
    precision : {"bf16"}, optional
        Round the factors to bfloat16 and sum in float32, as `matmul` describes.

    Returns
    -------
    ndarray, shape (batch, out_features)
        `out`, or a new array.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described, or arrays that are written share memory with others.

    Examples
    --------
    >>> import numpy as np
    >>> linear(np.array([[1.0, 2.0]]), np.array([[1.0, 1.0], [-1.0, -1.0]]), activation="relu")
    array([[3., 0.]])
    """
    return _backend.impl.linear(x, w, b, activation, out, pre, precision)


def linear_backward_input(
    grad_output: Array, w: Array, out: Array | None = None, precision: str | None = None
) -> Array:
    """Compute a linear layer's gradient with respect to its input, ``grad_output @ w``.

    Parameters
    ----------
    grad_output : ndarray of float32 or float64, shape (batch, out_features)
        Gradient of the loss with respect to ``x @ w.T + b``.
    w : ndarray of the same dtype, shape (out_features, in_features)
        The weight.
    out : ndarray, shape (batch, in_features), optional
        Receives the result.
    precision : {"bf16"}, optional
        Round the factors to bfloat16 and sum in float32, as `matmul` describes.

    Returns
    -------
    ndarray, shape (batch, in_features)
        `out`, or a new array.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.
    """
    return _backend.impl.linear_backward_input(grad_output, w, out, precision)


def linear_backward_weight(
    grad_output: Array, x: Array, out: Array | None = None, precision: str | None = None
) -> Array:
    """Compute a linear layer's gradient with respect to its weight, ``grad_output.T @ x``.

    Parameters
    ----------
    grad_output : ndarray of float32 or float64, shape (batch, out_features)
        Gradient of the loss with respect to ``x @ w.T + b``.
    x : ndarray of the same dtype, shape (batch, in_features)
        The layer's input.
    out : ndarray, shape (out_features, in_features), optional
        Receives the result.
    precision : {"bf16"}, optional
        Round the factors to bfloat16 and sum in float32, as `matmul` describes.

    Returns
    -------
    ndarray, shape (out_features, in_features)
        `out`, or a new array.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.
    """
    return _backend.impl.linear_backward_weight(grad_output, x, out, precision)


def linear_backward_bias(grad_output: Array, out: Array | None = None) -> Array:
    """Compute a linear layer's gradient with respect to its bias, ``grad_output.sum(0)``.

    Parameters
    ----------
    grad_output : ndarray of float32 or float64, shape (batch, out_features)
        Gradient of the loss with respect to ``x @ w.T + b``.
    out : ndarray, shape (out_features,), optional
        Receives the result.

    Returns
    -------
    ndarray, shape (out_features,)
        `out`, or a new array.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.
    """
    return _backend.impl.linear_backward_bias(grad_output, out)


def linear_backward(
    grad_output: Array,
    x: Array,
    w: Array,
    saved: Array | None = None,
    activation: str = "identity",
    precision: str | None = None,
) -> tuple[Array, Array, Array]:
    """Compute all gradients of ``activation(x @ w.T + b)``.

    Parameters
    ----------
    grad_output : ndarray of float32 or float64, shape (batch, out_features)
        Gradient of the loss with respect to the layer's output.
    x : ndarray of the same dtype, shape (batch, in_features)
        The layer's input.
    w : ndarray of the same dtype, shape (out_features, in_features)
        The weight.
    saved : ndarray, shape (batch, out_features), optional
        What the activation's backward takes: the layer's output (relu, tanh, sigmoid, ...) or its
        `pre` (gelu, silu, mish, ...). Not needed for identity.
    activation : str, default "identity"
        As in `linear`.
    precision : {"bf16"}, optional
        Round the factors to bfloat16 and sum in float32, as `matmul` describes.

    Returns
    -------
    grad_x : ndarray, shape (batch, in_features)
    grad_w : ndarray, shape (out_features, in_features)
    grad_b : ndarray, shape (out_features,)

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.
    """
    return _backend.impl.linear_backward(grad_output, x, w, saved, activation, precision)
