"""What a model consists of: its layers, and the arrays that are trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mlpeak._types import Array
from mlpeak.ops.activations import ACTIVATIONS

__all__ = [
    "HIDDEN_ACTIVATIONS",
    "Network",
    "Norm",
    "as_weight",
    "float_dtype",
    "native_name",
    "trainable",
]

#: scikit-learn's names, and all of mlpeak's that treat each number by itself.
HIDDEN_ACTIVATIONS = (
    "identity",
    "logistic",
    *(name for name in ACTIVATIONS if name not in ("softmax", "log_softmax")),
)


def native_name(activation: str) -> str:
    """Return what mlpeak calls an activation of scikit-learn."""
    return "sigmoid" if activation == "logistic" else activation


def as_weight(coef: Array, dtype: np.dtype[Any] | None = None) -> Array:
    """Return ``coef`` (in, out) as a weight (out, in), without a copy if its memory lies so."""
    return np.ascontiguousarray(coef.T, dtype)


def float_dtype(*dtypes: np.dtype[Any]) -> np.dtype[Any]:
    """Return which of float32 and float64 holds numbers of all these dtypes."""
    common = np.result_type(*dtypes)
    return np.dtype(np.float32 if common.kind == "f" and common.itemsize <= 4 else np.float64)


def trainable(array: Array, dtype: np.dtype[Any]) -> Array:
    """Return the array if it can be written natively, else a copy that can."""
    return np.require(array, dtype, ["C", "W", "A", "E"])


@dataclass
class Norm:
    """A batch or layer norm of a hidden layer, before its activation.

    Attributes
    ----------
    kind : {"batch", "layer"}
    weight, bias : ndarray (features,)
    mean, var : ndarray (features,) or None
        Running statistics of a batch norm.
    """

    kind: str
    weight: Array
    bias: Array
    mean: Array | None = None
    var: Array | None = None

    @classmethod
    def new(cls, kind: str, features: int, dtype: np.dtype[Any]) -> Norm:
        """Return a norm that does not scale or shift yet."""
        weight, bias = np.ones(features, dtype), np.zeros(features, dtype)
        if kind == "layer":
            return cls(kind, weight, bias)
        return cls(kind, weight, bias, np.zeros(features, dtype), np.ones(features, dtype))

    def arrays(self) -> list[Array]:
        """Return all arrays of it."""
        return [a for a in (self.weight, self.bias, self.mean, self.var) if a is not None]

    def copy(self) -> Norm:
        """Return a norm with arrays of its own."""
        return self.to(self.weight.dtype)

    def to(self, dtype: np.dtype[Any]) -> Norm:
        """Return a copy in another dtype."""
        return Norm(self.kind, *(array.astype(dtype) for array in self.arrays()))

    def trainable(self, dtype: np.dtype[Any]) -> Norm:
        """Return it with arrays that can be written natively, copied where they could not."""
        return Norm(self.kind, *(trainable(array, dtype) for array in self.arrays()))


@dataclass
class Network:
    """Layers and parameters.

    Attributes
    ----------
    weights : list of ndarray (out, in)
        The transposes of ``coefs_``, in the same memory.
    biases : list of ndarray (out,)
    activations : list of str
        Of the hidden layers, by mlpeak's names.
    norms : list of Norm
        Of the hidden layers; empty for none.
    dropout : list of float
        Of the hidden layers: the probability with which a unit is left out.
    precision : {"bf16"} or None
        In what products are computed, as the kernels take it.
    """

    weights: list[Array]
    biases: list[Array]
    activations: Sequence[str]
    norms: list[Norm] = field(default_factory=list)
    dropout: Sequence[float] = ()
    precision: str | None = None

    @property
    def dtype(self) -> np.dtype[Any]:
        """What it computes in."""
        return self.weights[0].dtype

    def parameters(self) -> list[Array]:
        """Return what is trained: weights, biases, then each norm's weight and bias."""
        norms = [array for norm in self.norms for array in (norm.weight, norm.bias)]
        return [*self.weights, *self.biases, *norms]

    def check_trainable(self, states: Sequence[Sequence[Array]] = ()) -> None:
        """Raise ValueError if an array is not as a native update writes it, or does not fit.

        Parameters
        ----------
        states : sequence of sequence of ndarray
            Of an optimizer, for each of `parameters`.
        """
        columns = self.weights[0].shape[-1]
        for i, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            rows = weight.shape[0]
            self._check(f"coefs_[{i}]", weight.T, (columns, rows), "f_contiguous")
            self._check(f"intercepts_[{i}]", bias, (rows,))
            columns = rows
        for i, (norm, weight) in enumerate(zip(self.norms, self.weights, strict=False)):
            for name in ("weight", "bias", "mean", "var"):
                array = getattr(norm, name)
                if array is not None:
                    self._check(f"_norms[{i}].{name}", array, weight.shape[:1])
        for i, (parameter, of_it) in enumerate(zip(self.parameters(), states, strict=False)):
            for k, state in enumerate(of_it):
                self._check(f"_optimizer.states[{i}][{k}]", state, parameter.shape)

    def _check(
        self, name: str, array: Array, shape: tuple[int, ...], order: str = "c_contiguous"
    ) -> None:
        if array.shape != shape:
            raise ValueError(f"{name} has shape {array.shape}; expected {shape}")
        if array.dtype != self.dtype:
            raise ValueError(f"{name} is {array.dtype}; expected {self.dtype}, as coefs_[0]")
        flags = array.flags
        if not (getattr(flags, order) and flags.writeable and flags.aligned):
            raise ValueError(
                f"{name} is read-only or has gaps; expected a writeable array that is {order}"
            )

    def check_batches(self, samples: int, batch_size: int) -> None:
        """Raise ValueError if a batch norm would meet a batch of one sample."""
        if 1 in (batch_size, samples % batch_size) and any(n.kind == "batch" for n in self.norms):
            raise ValueError(
                f"batch_norm: {samples} samples in batches of {batch_size} leave a batch of one; "
                "expected more than 1 value per channel when training"
            )

    def decayed(self) -> list[bool]:
        """Return for each parameter whether weight decay shrinks it: only weights."""
        return [i < len(self.weights) for i in range(len(self.parameters()))]
