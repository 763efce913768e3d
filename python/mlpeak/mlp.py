"""The multi-layer perceptron that the command line trains, as a description that JSON can hold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

from mlpeak import nn

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "selu": nn.SELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "mish": nn.Mish,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "softplus": nn.Softplus,
    "identity": nn.Identity,
}


@dataclass(frozen=True)
class Architecture:
    """Linear layers with an activation, and dropout if asked for, after each but the last.

    Attributes
    ----------
    in_features, out_features : int
    hidden : tuple of int
        The width of each hidden layer; empty for a linear model.
    activation : str
        A key of `ACTIVATIONS`.
    dropout : float
        The probability with which a hidden unit is dropped in training.
    """

    in_features: int
    hidden: tuple[int, ...]
    out_features: int
    activation: str = "relu"
    dropout: float = 0.0

    def __post_init__(self) -> None:
        if self.activation not in ACTIVATIONS:
            raise ValueError(
                f"activation is {self.activation!r}; expected one of {', '.join(ACTIVATIONS)}"
            )
        if not all(width > 0 for width in self.widths):
            raise ValueError(f"layer widths are {self.widths}; expected positive numbers")
        if not 0.0 <= self.dropout < 1.0:
            raise ValueError(f"dropout is {self.dropout}; expected 0 <= dropout < 1")

    @property
    def widths(self) -> tuple[int, ...]:
        """The number of units of each layer from input to output."""
        return (self.in_features, *self.hidden, self.out_features)

    @property
    def parameters(self) -> int:
        """The number of weights and biases."""
        return sum((inputs + 1) * outputs for inputs, outputs in pairwise(self.widths))

    def build(self) -> nn.Sequential:
        """Return the network with freshly initialised parameters."""
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise(self.widths[:-1]):
            layers += [nn.Linear(inputs, outputs), ACTIVATIONS[self.activation]()]
            if self.dropout > 0.0:
                layers.append(nn.Dropout(self.dropout))
        layers.append(nn.Linear(self.widths[-2], self.out_features))
        return nn.Sequential(*layers)

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return {**asdict(self), "hidden": list(self.hidden)}

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Architecture:
        """Undo `to_json`."""
        return cls(**{**fields, "hidden": tuple(fields["hidden"])})
