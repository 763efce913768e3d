"""Layers, activations and losses as functions of tensors, with PyTorch's names and arguments.

Losses take one argument more, the keyword ``sample_weight``: a tensor (batch,). Then reduction
"mean" is the weighted mean.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from mlpeak._from_data import from_numpy
from mlpeak._tensor import Tensor
from mlpeak.autograd import apply
from mlpeak.functions import elementary
from mlpeak.functions._lift import normal_dim, refuse_gradient
from mlpeak.nn._losses import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    cross_entropy,
    gaussian_nll_loss,
    huber_loss,
    l1_loss,
    mse_loss,
    nll_loss,
    poisson_nll_loss,
    smooth_l1_loss,
)
from mlpeak.ops.activations import ACTIVATIONS
from mlpeak.ops.dropout import dropout as _dropout
from mlpeak.ops.embedding import embedding as _embedding
from mlpeak.ops.linear import linear as _linear
from mlpeak.ops.norms import batch_norm as _batch_norm
from mlpeak.ops.norms import layer_norm as _layer_norm
from mlpeak.ops.norms import rms_norm as _rms_norm

__all__ = [
    "batch_norm",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "cross_entropy",
    "dropout",
    "elu",
    "embedding",
    "gaussian_nll_loss",
    "gelu",
    "huber_loss",
    "l1_loss",
    "layer_norm",
    "leaky_relu",
    "linear",
    "log_softmax",
    "logsigmoid",
    "mish",
    "mse_loss",
    "nll_loss",
    "one_hot",
    "poisson_nll_loss",
    "relu",
    "rms_norm",
    "selu",
    "sigmoid",
    "silu",
    "smooth_l1_loss",
    "softmax",
    "softplus",
    "tanh",
]


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return ``input @ weight.T + bias``.

    Parameters
    ----------
    input : Tensor
        (..., in_features).
    weight : Tensor
        (out_features, in_features).
    bias : Tensor, optional
        (out_features,).
    """
    if weight.ndim == 2 and input.shape[-1:] != weight.shape[1:]:
        raise ValueError(
            f"linear: input has shape {input.shape}; expected (..., {weight.shape[1]}), for weight "
            f"has shape {weight.shape}"
        )
    return apply(_linear, input, weight, bias)


# Activations. `inplace` is taken for PyTorch's sake; the input always stays as it was.


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """Return ``max(x, 0)``."""
    return elementary.relu(input)


def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """Return x where positive, else ``negative_slope * x``; ``negative_slope >= 0``."""
    return apply(ACTIVATIONS["leaky_relu"], input, negative_slope=negative_slope)


def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """Return x where positive, else ``alpha * (exp(x) - 1)``; ``alpha > 0``."""
    return apply(ACTIVATIONS["elu"], input, alpha=alpha)


def selu(input: Tensor, inplace: bool = False) -> Tensor:
    """Return the scaled ELU whose constants keep mean 0 and variance 1."""
    return apply(ACTIVATIONS["selu"], input)


def gelu(input: Tensor, *, approximate: str = "none") -> Tensor:
    """Return ``x * Phi(x)`` with the normal distribution function Phi.

    Parameters
    ----------
    input : Tensor
        Of any shape.
    approximate : {"none", "tanh"}
        Exact, by erf, or the approximation by tanh.
    """
    if approximate not in ("none", "tanh"):
        raise ValueError(f"gelu: approximate is {approximate!r}; expected 'none' or 'tanh'")
    return apply(ACTIVATIONS["gelu_tanh" if approximate == "tanh" else "gelu"], input)


def silu(input: Tensor, inplace: bool = False) -> Tensor:
    """Return ``x * sigmoid(x)``."""
    return apply(ACTIVATIONS["silu"], input)


def mish(input: Tensor, inplace: bool = False) -> Tensor:
    """Return ``x * tanh(softplus(x))``."""
    return apply(ACTIVATIONS["mish"], input)


def sigmoid(input: Tensor) -> Tensor:
    """Return ``1 / (1 + exp(-x))``."""
    return elementary.sigmoid(input)


def logsigmoid(input: Tensor) -> Tensor:
    """Return ``log(sigmoid(x))``."""
    return apply(ACTIVATIONS["log_sigmoid"], input)


def tanh(input: Tensor) -> Tensor:
    """Return the hyperbolic tangent."""
    return elementary.tanh(input)


def softplus(input: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """Return ``log(1 + exp(beta * x)) / beta``, and x itself where ``beta * x > threshold``."""
    return apply(ACTIVATIONS["softplus"], input, beta=beta, threshold=threshold)


def softmax(
    input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None
) -> Tensor:
    """Return ``exp(x) / sum(exp(x))`` along `dim`.

    Parameters
    ----------
    input : Tensor
        Of any shape.
    dim : int
        The axis whose values sum to one. Left out, it is 0 or 1 by the number of dimensions, with
        a warning.
    dtype : optional
        Converted to this first.
    """
    return _along("softmax", input, dim, _stacklevel, dtype)


def log_softmax(
    input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None
) -> Tensor:
    """Return ``log(softmax(x))`` along `dim`; parameters as in `softmax`."""
    return _along("log_softmax", input, dim, _stacklevel, dtype)


def _along(name: str, x: Tensor, dim: int | None, stacklevel: int, dtype: Any) -> Tensor:
    if dim is None:
        warnings.warn(
            f"Implicit dimension choice for {name} has been deprecated. "
            "Change the call to include dim=X as an argument.",
            stacklevel=stacklevel,
        )
        dim = 0 if x.ndim in (0, 1, 3) else 1
    dim = normal_dim(dim, x.ndim, name)
    if dtype is not None:
        x = x.to(dtype)
    if x.ndim == 0:
        return apply(ACTIVATIONS[name], x.reshape(1)).reshape(())
    if dim == x.ndim - 1:
        return apply(ACTIVATIONS[name], x)
    return apply(ACTIVATIONS[name], x.transpose(dim, -1)).transpose(dim, -1)


# Dropout, normalisation, embedding.


def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """In training, zero each element with probability `p` and scale the others by ``1/(1-p)``."""
    if not 0.0 <= p <= 1.0:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
    return apply(_dropout, input, p=p) if training and p > 0 else input


def layer_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Bring the trailing axes, of `normalized_shape`, to mean 0 and variance 1; scale and shift.

    Parameters
    ----------
    input : Tensor
        (..., *normalized_shape).
    normalized_shape : sequence of int
        Shape of what is normalised together.
    weight, bias : Tensor, optional
        Of `normalized_shape`.
    eps : float
        Added to the variance.
    """
    shape = _trailing("layer_norm", input, normalized_shape, weight=weight, bias=bias)
    return apply(_layer_norm, input, weight, bias, normalized_shape=shape, eps=eps)


def rms_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    eps: float | None = None,
) -> Tensor:
    """Divide the trailing axes, of `normalized_shape`, by their root mean square; scale.

    Parameters
    ----------
    input : Tensor
        (..., *normalized_shape).
    normalized_shape : sequence of int
        Shape of what is normalised together.
    weight : Tensor, optional
        Of `normalized_shape`.
    eps : float, optional
        Added to the mean square; by default the machine epsilon of the dtype.
    """
    shape = _trailing("rms_norm", input, normalized_shape, weight=weight)
    return apply(_rms_norm, input, weight, normalized_shape=shape, eps=eps)


def _trailing(
    name: str, x: Tensor, normalized_shape: Sequence[int], **weights: Tensor | None
) -> tuple[int, ...]:
    """Check and return `normalized_shape`: x ends in it, and so are the weights."""
    shape = tuple(int(n) for n in normalized_shape)
    if not shape or tuple(x.shape[x.ndim - len(shape) :]) != shape or x.ndim < len(shape):
        raise RuntimeError(
            f"Given normalized_shape={list(shape)}, expected input with shape "
            f"[*, {', '.join(map(str, shape))}], but got input of size{list(x.shape)}"
        )
    for key, value in weights.items():
        if value is not None and tuple(value.shape) != shape:
            raise RuntimeError(
                f"{name}: expected {key} to be of same shape as normalized_shape, but got {key} "
                f"of shape {list(value.shape)} and normalized_shape = {list(shape)}"
            )
    return shape


def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Bring each feature to mean 0 and variance 1 over the batch; scale and shift.

    Parameters
    ----------
    input : Tensor
        (batch, features).
    running_mean, running_var : Tensor, optional
        (features,). In training they are updated in place, each to
        ``(1 - momentum) * running + momentum * batch``, the variance unbiased; else they are the
        statistics used.
    weight, bias : Tensor, optional
        (features,).
    training : bool
        Whether to use the batch's statistics.
    momentum : float
        Weight of the newest batch.
    eps : float
        Added to the variance.

    Raises
    ------
    ValueError
        In training, for a batch of one sample: it has no variance.
    RuntimeError
        If a running statistic requires a gradient, while operations are recorded.
    """
    if training and input.ndim == 2 and input.shape[0] == 1:
        raise ValueError(
            "Expected more than 1 value per channel when training, "
            f"got input size {list(input.shape)}"
        )
    refuse_gradient("batch_norm", running_mean=running_mean, running_var=running_var)
    output = apply(
        _batch_norm,
        input,
        weight,
        bias,
        running_mean,
        running_var,
        training=training,
        momentum=momentum,
        eps=eps,
    )
    if training:
        for running in (running_mean, running_var):
            if running is not None:
                running.bump_version()
    return output


def embedding(
    input: Tensor,
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    """Return the rows of `weight` that `input` names.

    Parameters
    ----------
    input : Tensor of int
        Indices in [0, num_embeddings), of any shape.
    weight : Tensor
        (num_embeddings, embedding_dim).
    padding_idx : int, optional
        A row that gets no gradient; negative counts from the end.
    max_norm, norm_type, scale_grad_by_freq, sparse
        Only PyTorch's defaults are supported.

    Returns
    -------
    Tensor
        (*input.shape, embedding_dim).
    """
    if max_norm is not None or scale_grad_by_freq or sparse:
        raise ValueError(
            "embedding: max_norm, scale_grad_by_freq and sparse are not supported; "
            "expected None, False and False"
        )
    if padding_idx is not None:
        count = weight.shape[0]
        if not -count <= padding_idx < count:
            raise ValueError(
                f"embedding: padding_idx is {padding_idx}; expected one in [{-count}, {count})"
            )
        padding_idx %= count
    return apply(_embedding, input, weight, padding_idx=padding_idx)


def one_hot(tensor: Tensor, num_classes: int = -1) -> Tensor:
    """Return int64 rows with a one at the place that `tensor` names.

    Parameters
    ----------
    tensor : Tensor of int
        Classes, of any shape.
    num_classes : int
        Length of a row; -1 stands for the largest class plus one.
    """
    classes = tensor.detach().numpy()
    if classes.dtype.kind not in "iu":
        raise TypeError(f"one_hot: tensor has dtype {classes.dtype}; expected integers")
    if num_classes == -1:
        if classes.size == 0:
            raise ValueError("one_hot: num_classes is -1 and tensor is empty; expected a number")
        num_classes = int(classes.max()) + 1
    if classes.size and not 0 <= int(classes.min()) <= int(classes.max()) < num_classes:
        raise ValueError(
            f"one_hot: tensor holds classes from {classes.min()} to {classes.max()}; "
            f"expected [0, {num_classes})"
        )
    return from_numpy((classes[..., None] == np.arange(num_classes)).astype(np.int64))
