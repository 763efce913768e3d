"""Matrix products."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlpeak.autograd import apply
from mlpeak.functions.shapes import unsqueeze
from mlpeak.ops.matmul import MATMUL

if TYPE_CHECKING:
    from mlpeak._tensor import Tensor


def matmul(input: Tensor, other: Tensor) -> Tensor:
    """Return the matrix product ``input @ other``.

    Parameters
    ----------
    input : Tensor
        A vector (k,), a matrix (m, k) or a stack of matrices (..., m, k).
    other : Tensor
        Of the same dtype: (k,), (k, n) or (..., k, n); leading dims broadcast.

    Returns
    -------
    Tensor
        (..., m, n), without m or n where the operand is a vector.

    Raises
    ------
    RuntimeError
        If the shapes or dtypes do not fit.
    """
    return apply(MATMUL, input, other)


def rmatmul(input: Tensor, other: Tensor) -> Tensor:
    """Return ``other @ input``."""
    return apply(MATMUL, other, input)


def _of_dims(name: str, a: Tensor, a_ndim: int, b: Tensor, b_ndim: int) -> Tensor:
    if a.ndim != a_ndim or b.ndim != b_ndim:
        raise RuntimeError(
            f"{name}: expected tensors of {a_ndim} and {b_ndim} dimensions, but got {a.ndim} and "
            f"{b.ndim}"
        )
    return apply(MATMUL, a, b)


def mm(input: Tensor, mat2: Tensor) -> Tensor:
    """Return the product of two matrices."""
    return _of_dims("mm", input, 2, mat2, 2)


def mv(input: Tensor, vec: Tensor) -> Tensor:
    """Return the product of a matrix and a vector."""
    return _of_dims("mv", input, 2, vec, 1)


def dot(input: Tensor, other: Tensor) -> Tensor:
    """Return the scalar product of two vectors."""
    return _of_dims("dot", input, 1, other, 1)


def bmm(input: Tensor, mat2: Tensor) -> Tensor:
    """Return the products of two stacks of matrices of equal length."""
    if input.ndim == mat2.ndim == 3 and input.shape[0] != mat2.shape[0]:
        raise RuntimeError(f"bmm: batches have sizes {input.shape[0]} and {mat2.shape[0]}")
    return _of_dims("bmm", input, 3, mat2, 3)


def outer(input: Tensor, vec2: Tensor) -> Tensor:
    """Return the matrix of the products of each two elements of two vectors."""
    return unsqueeze(input, 1) * unsqueeze(vec2, 0)
