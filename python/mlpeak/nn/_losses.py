"""The losses as functions of tensors; `mlpeak.nn.functional` is their public place."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from mlpeak._from_data import from_numpy
from mlpeak._tensor import Tensor
from mlpeak.autograd import apply
from mlpeak.functions._lift import refuse_gradient
from mlpeak.ops.losses import LOSSES


def reduction_name(size_average: bool | None, reduce: bool | None, reduction: str) -> str:
    """Return the reduction that PyTorch's two old arguments ask for; `reduction` without them."""
    if size_average is None and reduce is None:
        return reduction
    name = "sum" if size_average is False else "mean"
    if reduce is False:
        name = "none"
    warnings.warn(
        f"size_average and reduce args will be deprecated, please use reduction='{name}' instead.",
        stacklevel=3,
    )
    return name


def _loss(
    name: str, input: Tensor, target: Tensor, *arrays: Tensor | None, **params: Any
) -> Tensor:
    op = LOSSES[name]
    named = dict(zip((*op.arrays, "sample_weight"), arrays, strict=True))
    if not op.symmetric:
        named["target"] = target
    refuse_gradient(name, **{n: x for n, x in named.items() if n not in op.differentiated})
    return apply(op, input, target, *arrays, **params)


def _weighted(
    name: str,
    input: Tensor,
    target: Tensor,
    weight: Tensor,
    sample_weight: Tensor | None,
    reduction: str,
    divide_by_weight: bool,
    *arrays: Tensor | None,
    **params: Any,
) -> Tensor:
    """A loss with a weight for every element.

    The mean divides by the number of elements (or their sample weights), or by the sum of `weight`.
    """
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"{name}: reduction is {reduction!r}; expected one of none, mean, sum")
    losses = _loss(name, input, target, *arrays, sample_weight, reduction="none", **params) * weight
    if reduction == "none":
        return losses
    total = losses.sum()
    if reduction == "sum":
        return total
    if divide_by_weight:
        return total / weight.sum()
    if sample_weight is not None:
        return total / (sample_weight.sum() * (input.numel() // input.shape[0]))
    return total / input.numel()


def mse_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
    *,
    sample_weight: Tensor | None = None,
) -> Tensor:
    """Squared error ``(input - target)^2``.

    Parameters
    ----------
    input, target : Tensor
        Of one shape and dtype.
    size_average, reduce : bool, optional
        PyTorch's old form of `reduction`.
    reduction : {"mean", "sum", "none"}
        What is done with the losses of the elements.
    weight : Tensor, optional
        Of the input's shape, a factor for each element. The mean divides by its sum (by the number
        of elements in `huber_loss`), as in PyTorch.
    sample_weight : Tensor, optional
        (batch,), a factor for each sample.
    """
    reduction = reduction_name(size_average, reduce, reduction)
    return _difference("mse_loss", input, target, weight, sample_weight, reduction)


def l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
    *,
    sample_weight: Tensor | None = None,
) -> Tensor:
    """Absolute error ``|input - target|``; parameters as in `mse_loss`."""
    reduction = reduction_name(size_average, reduce, reduction)
    return _difference("l1_loss", input, target, weight, sample_weight, reduction)


def smooth_l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    beta: float = 1.0,
    *,
    sample_weight: Tensor | None = None,
) -> Tensor:
    """``d^2 / (2 beta)`` where ``|d| < beta``, else ``|d| - beta / 2``, d = input - target."""
    reduction = reduction_name(size_average, reduce, reduction)
    return _difference("smooth_l1_loss", input, target, None, sample_weight, reduction, beta=beta)


def huber_loss(
    input: Tensor,
    target: Tensor,
    reduction: str = "mean",
    delta: float = 1.0,
    weight: Tensor | None = None,
    *,
    sample_weight: Tensor | None = None,
) -> Tensor:
    """``d^2 / 2`` where ``|d| <= delta``, else ``delta (|d| - delta / 2)``, d = input - target."""
    return _difference("huber_loss", input, target, weight, sample_weight, reduction, delta=delta)


def _difference(
    name: str,
    input: Tensor,
    target: Tensor,
    weight: Tensor | None,
    sample_weight: Tensor | None,
    reduction: str,
    **params: Any,
) -> Tensor:
    if weight is None:
        return _loss(name, input, target, sample_weight, reduction=reduction, **params)
    if weight.shape != input.shape:
        raise ValueError("Weights and input must have the same size.")
    by_weight = name != "huber_loss"
    return _weighted(name, input, target, weight, sample_weight, reduction, by_weight, **params)


def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
    *,
    sample_weight: Tensor | None = None,
) -> Tensor:
    """Cross-entropy of the classes `target` under the logits `input`.

    Parameters
    ----------
    input : Tensor
        Logits, (batch, classes) or (classes,).
    target : Tensor
        Classes, integers (batch,) or (); or probabilities like `input`.
    weight : Tensor, optional
        (classes,), a factor for each class.
    size_average, reduce : bool, optional
        PyTorch's old form of `reduction`.
    ignore_index : int
        Samples of this class count nothing.
    reduction : {"mean", "sum", "none"}
        What is done with the losses of the samples; the mean divides by the sum of their weights.
    label_smoothing : float
        In [0, 1], the share of the target that is spread evenly over all classes.
    sample_weight : Tensor, optional
        (batch,), a factor for each sample.
    """
    params = {
        "ignore_index": ignore_index,
        "label_smoothing": label_smoothing,
        "reduction": reduction_name(size_average, reduce, reduction),
    }
    return _classes("cross_entropy", input, target, weight, sample_weight, params)


def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
    *,
    sample_weight: Tensor | None = None,
) -> Tensor:
    """Return the negative of the log-probability (`input`) of the class `target`.

    Parameters are those of `cross_entropy`, but `input` holds log-probabilities and `target`
    integers only.
    """
    params = {
        "ignore_index": ignore_index,
        "reduction": reduction_name(size_average, reduce, reduction),
    }
    return _classes("nll_loss", input, target, weight, sample_weight, params)


def _classes(
    name: str,
    input: Tensor,
    target: Tensor,
    weight: Tensor | None,
    sample_weight: Tensor | None,
    params: dict[str, Any],
) -> Tensor:
    if input.ndim != 1:
        return _loss(name, input, target, weight, sample_weight, **params)
    # one sample without a batch axis
    loss = _loss(name, input.unsqueeze(0), target.unsqueeze(0), weight, sample_weight, **params)
    return loss.squeeze(0) if loss.ndim else loss


def binary_cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    *,
    sample_weight: Tensor | None = None,
) -> Tensor:
    """Return ``-(t log p + (1 - t) log(1 - p))``, p = input in [0, 1], t = target in [0, 1].

    Parameters
    ----------
    input, target : Tensor
        Of one shape and dtype. The logarithms are cut at -100, as in PyTorch.
    weight : Tensor, optional
        A factor for each element, broadcast to the input; the mean still divides by their number.
    size_average, reduce, reduction, sample_weight
        As in `mse_loss`.
    """
    reduction = reduction_name(size_average, reduce, reduction)
    name = "binary_cross_entropy"
    if weight is None:
        return _loss(name, input, target, sample_weight, reduction=reduction)
    return _weighted(name, input, target, weight, sample_weight, reduction, False)


def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
    *,
    sample_weight: Tensor | None = None,
) -> Tensor:
    """`binary_cross_entropy` of ``sigmoid(input)``, computed without overflow.

    Parameters
    ----------
    input, target : Tensor
        Of one shape and dtype; `input` holds logits.
    weight : Tensor, optional
        A factor for each element, broadcast to the input.
    pos_weight : Tensor, optional
        (features,), a factor for the positive part of the loss.
    size_average, reduce, reduction, sample_weight
        As in `mse_loss`.
    """
    reduction = reduction_name(size_average, reduce, reduction)
    name = "binary_cross_entropy_with_logits"
    if weight is None:
        return _loss(name, input, target, pos_weight, sample_weight, reduction=reduction)
    return _weighted(name, input, target, weight, sample_weight, reduction, False, pos_weight)


def gaussian_nll_loss(
    input: Tensor,
    target: Tensor,
    var: Tensor | float,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
    *,
    sample_weight: Tensor | None = None,
) -> Tensor:
    """``(log(var) + (input - target)^2 / var) / 2``: a normal distribution's log-likelihood.

    Parameters
    ----------
    input, target : Tensor
        Mean and observation, of one shape and dtype.
    var : Tensor or float
        Variance: like `input`, without its last axis, with a last axis of 1, or one number.
    full : bool
        Whether to add the constant ``log(2 pi) / 2``.
    eps : float
        The least variance that is used; > 0.
    reduction : {"mean", "sum", "none"}
        As in `mse_loss`.
    sample_weight : Tensor, optional
        (batch,), a factor for each sample.

    Raises
    ------
    ValueError
        If `var` has another shape or a negative entry.
    """
    if not isinstance(var, Tensor):
        var = from_numpy(np.full(input.shape, var, input.dtype))
    elif var.shape != input.shape:
        lead = input.shape[:-1]
        if var.shape == lead:
            var = var.unsqueeze(-1)
        elif var.shape != (*lead, 1):
            raise ValueError(
                f"var is of incorrect size: it has shape {var.shape}; expected {input.shape}, "
                f"{lead} or {(*lead, 1)}"
            )
        var = var.expand(input.shape)
    params = {"full": full, "eps": eps, "reduction": reduction}
    return _loss("gaussian_nll_loss", input, target, var, sample_weight, **params)


def poisson_nll_loss(
    input: Tensor,
    target: Tensor,
    log_input: bool = True,
    full: bool = False,
    size_average: bool | None = None,
    eps: float = 1e-8,
    reduce: bool | None = None,
    reduction: str = "mean",
    *,
    sample_weight: Tensor | None = None,
) -> Tensor:
    """``exp(input) - target * input``: the log-likelihood of a Poisson distribution.

    Parameters
    ----------
    input, target : Tensor
        Of one shape and dtype.
    log_input : bool
        Whether `input` is the logarithm of the rate; else ``input - target * log(input + eps)``.
    full : bool
        Whether to add Stirling's approximation of ``log(target!)``.
    eps : float
        Keeps ``log(0)`` away where `log_input` is False.
    size_average, reduce, reduction, sample_weight
        As in `mse_loss`.
    """
    params = {
        "log_input": log_input,
        "full": full,
        "eps": eps,
        "reduction": reduction_name(size_average, reduce, reduction),
    }
    return _loss("poisson_nll_loss", input, target, sample_weight, **params)
