"""Normalisation layers: over the batch (`BatchNorm1d`) or within each sample."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mlpeak._from_data import from_numpy
from mlpeak._tensor import Tensor
from mlpeak.dtypes import get_default_dtype
from mlpeak.nn import functional as F
from mlpeak.nn import init
from mlpeak.nn._state import empty_parameter, overwrite
from mlpeak.nn.module import Module

__all__ = ["BatchNorm1d", "LayerNorm", "RMSNorm"]


class BatchNorm1d(Module):
    """Bring each feature to mean 0 and variance 1 over the batch; then scale and shift.

    Parameters
    ----------
    num_features : int
        Columns of the input (batch, num_features).
    eps : float
        Added to the variance.
    momentum : float or None
        Weight of the newest batch in the running statistics; None gives the mean over all batches.
    affine : bool
        Whether there are a weight and a bias.
    track_running_stats : bool
        Whether running statistics are kept for evaluation mode; else the batch's are always used.
    device : optional
        None or "cpu".
    dtype : optional
        float32 (the default) or float64.
    bias : bool
        With `affine`, whether there is a bias.

    Attributes
    ----------
    weight, bias : Parameter or None
        (num_features,), ones and zeros at first.
    running_mean, running_var, num_batches_tracked : Tensor or None
        Buffers: (num_features,), (num_features,) and a count.

    References
    ----------
    S. Ioffe, C. Szegedy, "Batch normalization", ICML 2015, algorithm 1.
    """

    weight: Tensor | None
    bias: Tensor | None
    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.num_features = num_features
        self.eps = eps
        self.momentum = momentum
        self.affine = affine
        self.track_running_stats = track_running_stats
        shape = (num_features,)
        made = {
            "weight": empty_parameter(shape, device, dtype) if affine else None,
            "bias": empty_parameter(shape, device, dtype) if affine and bias else None,
        }
        for name, param in made.items():
            self.register_parameter(name, param)
        statistics = {
            "running_mean": np.zeros(num_features, dtype or get_default_dtype()),
            "running_var": np.ones(num_features, dtype or get_default_dtype()),
            "num_batches_tracked": np.zeros((), np.int64),
        }
        for name, array in statistics.items():
            self.register_buffer(name, from_numpy(array) if track_running_stats else None)
        self.reset_parameters()

    def reset_running_stats(self) -> None:
        """Forget the batches seen."""
        for name, value in (("running_mean", 0), ("running_var", 1), ("num_batches_tracked", 0)):
            buffer = self._buffers[name]
            if buffer is not None:
                init.constant_(buffer, value)

    def reset_parameters(self) -> None:
        """Return to weight 1, bias 0 and no batches seen."""
        self.reset_running_stats()
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def forward(self, input: Tensor) -> Tensor:
        """Return the normalised input (batch, num_features)."""
        if input.ndim != 2:
            raise ValueError(f"expected 2D input (got {input.ndim}D input)")
        momentum = self.momentum
        counter = self.num_batches_tracked if self.training else None
        count = 0 if counter is None else int(counter.item()) + 1
        if momentum is None:
            momentum = 1.0 / count if count else 0.0
        tracked = not self.training or self.track_running_stats
        output = F.batch_norm(
            input,
            self.running_mean if tracked else None,
            self.running_var if tracked else None,
            self.weight,
            self.bias,
            self.training or self.running_mean is None,
            momentum,
            self.eps,
        )
        if counter is not None:
            overwrite(counter, count)
        return output

    def extra_repr(self) -> str:
        """Return the arguments."""
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, "
            f"affine={self.affine}, bias={self.bias is not None}, "
            f"track_running_stats={self.track_running_stats}"
        )


def _shape(normalized_shape: int | Sequence[int]) -> tuple[int, ...]:
    if isinstance(normalized_shape, (int, np.integer)):
        return (int(normalized_shape),)
    return tuple(normalized_shape)


class LayerNorm(Module):
    """Bring the trailing axes of each sample to mean 0 and variance 1; then scale and shift.

    Parameters
    ----------
    normalized_shape : int or sequence of int
        Shape of what is normalised together: the input is (..., *normalized_shape).
    eps : float
        Added to the variance.
    elementwise_affine : bool
        Whether there are a weight and a bias.
    bias : bool
        With `elementwise_affine`, whether there is a bias.
    device : optional
        None or "cpu".
    dtype : optional
        float32 (the default) or float64.

    References
    ----------
    J. L. Ba, J. R. Kiros, G. E. Hinton, "Layer normalization", arXiv:1607.06450, equation 4.
    """

    weight: Tensor | None
    bias: Tensor | None

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.normalized_shape = _shape(normalized_shape)
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        for name, wanted in (("weight", elementwise_affine), ("bias", elementwise_affine and bias)):
            param = empty_parameter(self.normalized_shape, device, dtype) if wanted else None
            self.register_parameter(name, param)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Return to weight 1 and bias 0."""
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def forward(self, input: Tensor) -> Tensor:
        """Return the normalised input (..., *normalized_shape)."""
        return F.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        """Return the arguments."""
        return (
            f"{self.normalized_shape}, eps={self.eps}, "
            f"elementwise_affine={self.elementwise_affine}, bias={self.bias is not None}"
        )


class RMSNorm(Module):
    """Divide the trailing axes of each sample by their root mean square; then scale.

    Parameters
    ----------
    normalized_shape : int or sequence of int
        Shape of what is normalised together: the input is (..., *normalized_shape).
    eps : float, optional
        Added to the mean square; by default the machine epsilon of the dtype.
    elementwise_affine : bool
        Whether there is a weight.
    device : optional
        None or "cpu".
    dtype : optional
        float32 (the default) or float64.

    References
    ----------
    B. Zhang, R. Sennrich, "Root mean square layer normalization", NeurIPS 2019, equation 4.
    """

    weight: Tensor | None

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float | None = None,
        elementwise_affine: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.normalized_shape = _shape(normalized_shape)
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        param = empty_parameter(self.normalized_shape, device, dtype)
        self.register_parameter("weight", param if elementwise_affine else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Return to weight 1."""
        if self.weight is not None:
            init.ones_(self.weight)

    def forward(self, input: Tensor) -> Tensor:
        """Return the normalised input (..., *normalized_shape)."""
        return F.rms_norm(input, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        """Return the arguments."""
        return (
            f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"
        )
