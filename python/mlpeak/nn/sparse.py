"""Embedding: a table of rows picked by integers."""

from __future__ import annotations

from typing import Any, TypeVar

from mlpeak._tensor import Tensor
from mlpeak.nn import functional as F
from mlpeak.nn import init
from mlpeak.nn._state import empty_parameter
from mlpeak.nn.module import Module
from mlpeak.nn.parameter import Parameter

__all__ = ["Embedding"]

Self = TypeVar("Self", bound="Embedding")


class Embedding(Module):
    """A learned vector for each of `num_embeddings` integers.

    Parameters
    ----------
    num_embeddings, embedding_dim : int
        Rows and columns of the table.
    padding_idx : int, optional
        A row that starts at zero and gets no gradient; negative counts from the end.
    max_norm, norm_type, scale_grad_by_freq, sparse
        Only PyTorch's defaults are supported.
    device : optional
        None or "cpu".
    dtype : optional
        float32 (the default) or float64.

    Attributes
    ----------
    weight : Parameter
        (num_embeddings, embedding_dim), drawn from the standard normal distribution.
    """

    weight: Tensor

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
        _weight: Tensor | None = None,
        _freeze: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        if max_norm is not None or scale_grad_by_freq or sparse:
            raise ValueError(
                "Embedding: max_norm, scale_grad_by_freq and sparse are not supported; "
                "expected None, False and False"
            )
        self.num_embeddings = num_embeddings
        self.embedding_dim = embedding_dim
        if padding_idx is not None:
            if not -num_embeddings <= padding_idx < num_embeddings:
                raise ValueError("Padding_idx must be within num_embeddings")
            padding_idx %= num_embeddings
        self.padding_idx = padding_idx
        if _weight is None:
            self.weight = empty_parameter((num_embeddings, embedding_dim), device, dtype)
            self.weight.requires_grad_(not _freeze)
            self.reset_parameters()
        else:
            if tuple(_weight.shape) != (num_embeddings, embedding_dim):
                raise ValueError(
                    "Shape of weight does not match num_embeddings and embedding_dim: "
                    f"{tuple(_weight.shape)} and {(num_embeddings, embedding_dim)}"
                )
            self.weight = Parameter(_weight, requires_grad=not _freeze)

    @classmethod
    def from_pretrained(
        cls: type[Self], embeddings: Tensor, freeze: bool = True, padding_idx: int | None = None
    ) -> Self:
        """Make a layer of the table `embeddings`, by default without gradients."""
        if embeddings.ndim != 2:
            raise ValueError("Embeddings parameter is expected to be 2-dimensional")
        rows, columns = embeddings.shape
        return cls(rows, columns, padding_idx, _weight=embeddings, _freeze=freeze)

    def reset_parameters(self) -> None:
        """Draw the table again."""
        init.normal_(self.weight)
        if self.padding_idx is not None:
            self.weight._array[self.padding_idx] = 0

    def forward(self, input: Tensor) -> Tensor:
        """Return the rows that the integers `input` name, (*input.shape, embedding_dim)."""
        return F.embedding(input, self.weight, self.padding_idx)

    def extra_repr(self) -> str:
        """Return the sizes."""
        padding = "" if self.padding_idx is None else f", padding_idx={self.padding_idx}"
        return f"{self.num_embeddings}, {self.embedding_dim}{padding}"
