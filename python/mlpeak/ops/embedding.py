"""Rows of a table, picked by integers."""

from __future__ import annotations

from mlpeak import kernels
from mlpeak._types import Array
from mlpeak.ops.registry import Context, Op, register

__all__ = ["embedding"]


class Embedding(Op):
    """``y[..., :] = weight[indices[...], :]``; row `padding_idx` gets no gradient."""

    name = "embedding"
    onnx = "Gather"

    def forward(
        self, ctx: Context, indices: Array, weight: Array, *, padding_idx: int | None
    ) -> Array:
        """Return the rows, (*indices.shape, embedding_dim)."""
        ctx.save(indices)
        ctx.params["num_embeddings"] = weight.shape[0]
        return kernels.embedding(indices, weight)

    def backward(self, ctx: Context, grad: Array) -> tuple[Array | None, ...]:
        """Return the sum of `grad` over the places where a row was used."""
        (indices,) = ctx.saved
        count, padding = ctx.params["num_embeddings"], ctx.params["padding_idx"]
        return None, kernels.embedding_backward(grad, indices, count, padding)


embedding = register(Embedding())
