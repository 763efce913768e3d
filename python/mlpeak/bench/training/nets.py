"""What is trained: nets, their data and their first parameters, the same for every library."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from itertools import groupby, pairwise
from typing import Any

import numpy as np

from mlpeak._types import Array
from mlpeak.bench.workloads import Call, Workload

# library -> the module with its `training_step(net)` and, if it can, `forward(net)`
PEERS = {
    "mlpeak": "with_mlpeak",
    "numpy": "with_numpy",
    "torch": "with_torch",
    "torch-compile": "with_torch_compile",
    "jax": "with_jax",
    "sklearn": "with_sklearn",
}


@dataclass(frozen=True)
class Net:
    """A multi-layer perceptron and how it is trained.

    Attributes
    ----------
    name : str
        What tables call it.
    sizes : tuple of int
        Features of the input, of each hidden layer, and of the output. One output is a logit of
        binary cross-entropy, several are those of softmax cross-entropy.
    batch : int
        Samples of a step.
    activation : {"relu", "tanh"}
        After each hidden layer.
    optimizer : {"adam", "sgd"}
        Adam with the usual decay rates, or plain gradient descent.
    lr : float
        Small by default: measured steps repeat on one batch, and a net that had learned it by
        heart would spend its time on denormal numbers.
    """

    name: str
    sizes: tuple[int, ...]
    batch: int
    activation: str = "relu"
    optimizer: str = "adam"
    lr: float = 1e-6

    @property
    def shape(self) -> str:
        """Name, sizes, activation and batch, as tables show them; 64x8 is eight layers of 64."""
        sizes: list[str] = []
        for size, run in groupby(self.sizes):
            count = len(list(run))
            sizes += [f"{size}x{count}"] if count > 4 else [str(size)] * count
        return f"{self.name}: {'-'.join(sizes)} {self.activation}, {self.batch}"

    @property
    def is_binary(self) -> bool:
        """Whether the loss is binary cross-entropy."""
        return self.sizes[-1] == 1

    @property
    def forward_flops(self) -> int:
        """Floating-point operations of the forward pass's matrix products."""
        return sum(2 * self.batch * n_in * n_out for n_in, n_out in pairwise(self.sizes))

    @property
    def step_flops(self) -> int:
        """Those of a step: forward, weight gradients, and input gradients but the first layer's."""
        return 3 * self.forward_flops - 2 * self.batch * self.sizes[0] * self.sizes[1]

    def data(self) -> tuple[Array, Array]:
        """Return inputs (batch, in) and targets: classes (batch,) or 0 and 1 (batch, 1)."""
        rng = np.random.default_rng(0)
        x = rng.standard_normal((self.batch, self.sizes[0]), dtype=np.float32)
        if self.is_binary:
            return x, rng.integers(0, 2, (self.batch, 1)).astype(np.float32)
        return x, rng.integers(0, self.sizes[-1], self.batch)

    def parameters(self) -> list[tuple[Array, Array]]:
        """Return each layer's weight (out, in) and bias (out,), float32."""
        rng = np.random.default_rng(1)
        found = []
        for n_in, n_out in pairwise(self.sizes):
            weight = rng.standard_normal((n_out, n_in), dtype=np.float32) / np.float32(n_in) ** 0.5
            bias = rng.standard_normal(n_out, dtype=np.float32) * np.float32(0.1)
            found.append((weight.astype(np.float32), bias))
        return found


def training_step(library: str, net: Net) -> Call:
    """Return `library`'s step of `net`: a call that trains once and returns the loss, a float."""
    return _peer(library, "training_step")(net)


def forward(library: str, net: Net) -> Call:
    """Return `library`'s forward pass of `net`: a call that returns the logits."""
    return _peer(library, "forward")(net)


def _peer(library: str, function: str) -> Callable[[Net], Call]:
    module = import_module(f"mlpeak.bench.training.{PEERS[library]}")
    found: Callable[[Net], Call] = getattr(module, function)
    return found


def step_workload(group: str, net: Net, libraries: Sequence[str] = tuple(PEERS)) -> Workload:
    """Return the workload of a training step."""
    prepare = {library: partial(training_step, library, net) for library in libraries}
    return Workload(group, net.shape, "float32", prepare, flops=net.step_flops)


def forward_workload(group: str, net: Net, libraries: Sequence[str]) -> Workload:
    """Return the workload of a forward pass."""
    prepare: dict[str, Any] = {library: partial(forward, library, net) for library in libraries}
    return Workload(group, net.shape, "float32", prepare, flops=net.forward_flops)
