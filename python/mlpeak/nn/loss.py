"""The losses as modules: the functions of `mlpeak.nn.functional` with their options kept.

Each is called as ``loss(input, target)``, `GaussianNLLLoss` as ``loss(input, target, var)``, and
takes the keyword ``sample_weight``, a tensor (batch,).
"""

from __future__ import annotations

from typing import ClassVar

from mlpeak._tensor import Tensor
from mlpeak.nn import functional as F
from mlpeak.nn._losses import reduction_name
from mlpeak.nn.module import Module

__all__ = [
    "BCELoss",
    "BCEWithLogitsLoss",
    "CrossEntropyLoss",
    "GaussianNLLLoss",
    "HuberLoss",
    "L1Loss",
    "MSELoss",
    "NLLLoss",
    "PoissonNLLLoss",
    "SmoothL1Loss",
]


class _Loss(Module):
    """The function `_function`, its keywords being the attributes named in `_keywords`."""

    _function: ClassVar[str]
    _keywords: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__()
        self.reduction = reduction_name(size_average, reduce, reduction)

    def forward(
        self, input: Tensor, target: Tensor, *, sample_weight: Tensor | None = None
    ) -> Tensor:
        """Return the loss of `input` against `target`; see the class and `mlpeak.nn.functional`."""
        return self._call(input, target, sample_weight=sample_weight)

    def _call(self, *tensors: Tensor | float, sample_weight: Tensor | None) -> Tensor:
        options = {name: getattr(self, name) for name in (*self._keywords, "reduction")}
        loss: Tensor = getattr(F, self._function)(*tensors, **options, sample_weight=sample_weight)
        return loss


class MSELoss(_Loss):
    """Squared error; see `mlpeak.nn.functional.mse_loss`."""

    _function = "mse_loss"


class L1Loss(_Loss):
    """Absolute error; see `mlpeak.nn.functional.l1_loss`."""

    _function = "l1_loss"


class SmoothL1Loss(_Loss):
    """Squared near zero, absolute beyond `beta`; see `mlpeak.nn.functional.smooth_l1_loss`."""

    _function = "smooth_l1_loss"
    _keywords = ("beta",)

    def __init__(
        self,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
        beta: float = 1.0,
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.beta = beta


class HuberLoss(_Loss):
    """Squared near zero, absolute beyond `delta`; see `mlpeak.nn.functional.huber_loss`."""

    _function = "huber_loss"
    _keywords = ("delta",)

    def __init__(self, reduction: str = "mean", delta: float = 1.0) -> None:
        super().__init__(reduction=reduction)
        self.delta = delta


class CrossEntropyLoss(_Loss):
    """Cross-entropy of classes under logits; see `mlpeak.nn.functional.cross_entropy`."""

    _function = "cross_entropy"
    _keywords = ("weight", "ignore_index", "label_smoothing")

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        ignore_index: int = -100,
        reduce: bool | None = None,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.register_buffer("weight", weight)
        self.ignore_index = ignore_index
        self.label_smoothing = label_smoothing


class NLLLoss(_Loss):
    """Negative log-probability of the class; see `mlpeak.nn.functional.nll_loss`."""

    _function = "nll_loss"
    _keywords = ("weight", "ignore_index")

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        ignore_index: int = -100,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.register_buffer("weight", weight)
        self.ignore_index = ignore_index


class BCELoss(_Loss):
    """Cross-entropy of probabilities; see `mlpeak.nn.functional.binary_cross_entropy`."""

    _function = "binary_cross_entropy"
    _keywords = ("weight",)

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.register_buffer("weight", weight)


class BCEWithLogitsLoss(_Loss):
    """`BCELoss` of logits; see `mlpeak.nn.functional.binary_cross_entropy_with_logits`."""

    _function = "binary_cross_entropy_with_logits"
    _keywords = ("weight", "pos_weight")

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
        pos_weight: Tensor | None = None,
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.register_buffer("weight", weight)
        self.register_buffer("pos_weight", pos_weight)


class GaussianNLLLoss(_Loss):
    """Likelihood of a mean and a variance; see `mlpeak.nn.functional.gaussian_nll_loss`."""

    _function = "gaussian_nll_loss"
    _keywords = ("full", "eps")

    def __init__(self, *, full: bool = False, eps: float = 1e-6, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)
        self.full = full
        self.eps = eps

    def forward(  # type: ignore[override]
        self,
        input: Tensor,
        target: Tensor,
        var: Tensor | float,
        *,
        sample_weight: Tensor | None = None,
    ) -> Tensor:
        """Return the loss of the mean `input` and the variance `var` against `target`."""
        return self._call(input, target, var, sample_weight=sample_weight)


class PoissonNLLLoss(_Loss):
    """Likelihood of a Poisson rate; see `mlpeak.nn.functional.poisson_nll_loss`."""

    _function = "poisson_nll_loss"
    _keywords = ("log_input", "full", "eps")

    def __init__(
        self,
        log_input: bool = True,
        full: bool = False,
        size_average: bool | None = None,
        eps: float = 1e-8,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.log_input = log_input
        self.full = full
        self.eps = eps
