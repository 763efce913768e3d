"""Plain NumPy: table look-ups by row index."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlpeak._types import Array
from mlpeak.reference import _check

__all__ = ["embedding", "embedding_backward", "gather_rows"]


def embedding(indices: NDArray[Any], weight: Array, out: Array | None = None) -> Array:
    """y[..., :] = weight[indices[...], :]."""
    w = _check.read("embedding", "weight", weight)
    _check.ndim("embedding", "weight", w, 2, "(num_embeddings, embedding_dim)")
    rows = _check.indices("embedding", "indices", indices, w.shape[0], "rows of weight")
    apart = (("indices", indices), ("weight", w))
    y = _check.write("embedding", "out", out, w.dtype, rows.shape + w.shape[1:], apart_from=apart)
    y[...] = w[rows]
    return y


def embedding_backward(
    grad_output: Array,
    indices: NDArray[Any],
    num_embeddings: int,
    padding_idx: int | None = None,
    out: Array | None = None,
) -> Array:
    """grad_weight[r] = sum of grad_output[i] over all i with indices[i] = r, in order of i."""
    f = "embedding_backward"
    grad = _check.read(f, "grad_output", grad_output)
    num_embeddings = _check.integer(
        f, "num_embeddings", num_embeddings, 0, (1 << 63) - 1, "an integer >= 0"
    )
    rows = _check.indices(f, "indices", indices, num_embeddings, "rows of weight")
    if grad.ndim != rows.ndim + 1 or grad.shape[:-1] != rows.shape:
        raise ValueError(
            f"{f}: grad_output has shape {grad.shape}; expected the shape of indices = "
            f"{rows.shape} and embedding_dim"
        )
    if padding_idx is not None:
        legal = f"None or an integer in [-{num_embeddings}, {num_embeddings})"
        padding_idx = _check.integer(
            f, "padding_idx", padding_idx, -num_embeddings, num_embeddings - 1, legal
        )
        padding_idx %= num_embeddings
    expected = (num_embeddings, grad.shape[-1])
    apart = (("grad_output", grad), ("indices", indices))
    result = _check.write(f, "out", out, grad.dtype, expected, apart_from=apart)

    total = np.zeros(expected, np.float64)
    np.add.at(total, rows.ravel(), grad.reshape(rows.size, grad.shape[-1]))
    if padding_idx is not None:
        total[padding_idx] = 0
    with np.errstate(over="ignore"):
        result[...] = total
    return result


def gather_rows(x: NDArray[Any], indices: NDArray[Any], out: Array | None = None) -> NDArray[Any]:
    """y[...] = x[indices[...]], for any dtype but objects."""
    f = "gather_rows"
    for name, array in (("x", x), *((("out", out),) if out is not None else ())):
        if not isinstance(array, np.ndarray):
            raise TypeError(f"{f}: {name} is {type(array).__name__}; expected a numpy.ndarray")
    if x.dtype.hasobject:
        raise TypeError(f"{f}: x has dtype {x.dtype}; expected one without Python objects")
    if x.ndim == 0:
        raise ValueError(f"{f}: x has shape (); expected (rows, ...)")
    rows = _check.indices(f, "indices", indices, x.shape[0], "rows of x")
    expected = rows.shape + x.shape[1:]
    if out is None:
        out = np.empty(expected, x.dtype)
    if out.dtype != x.dtype:
        raise TypeError(f"{f}: out has dtype {out.dtype}; expected {x.dtype}")
    if out.shape != expected:
        raise ValueError(f"{f}: out has shape {out.shape}; expected {expected}")
    if not out.flags.writeable:
        raise ValueError(f"{f}: out is read-only; expected a writeable array")
    if not (out.flags.c_contiguous and out.flags.aligned):
        raise ValueError(
            f"{f}: out is not C-contiguous and aligned; an array that is written must be"
        )
    for name, other in (("x", x), ("indices", indices)):
        if np.may_share_memory(out, other):
            raise ValueError(f"{f}: out shares memory with {name}; expected an array of its own")
    out[...] = _check.plain(x)[rows]
    return out
