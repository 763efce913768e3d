"""What computes: epochs of a stochastic solver, the loss and gradient of all samples, predictions.

The estimators know `Engine` alone. `KernelEngine` calls `mlpeak.kernels` batch by batch.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from scipy.sparse import issparse

from mlpeak import kernels
from mlpeak._random import DROPOUT
from mlpeak._types import Array
from mlpeak.ops.activations import ACTIVATIONS
from mlpeak.sklearn.network import Network, Norm
from mlpeak.sklearn.objectives import Objective
from mlpeak.sklearn.optimizers import Optimizer

__all__ = ["Data", "Engine", "KernelEngine", "forward", "take_statistics"]

NORM_EPS = 1e-5
NORM_MOMENTUM = 0.1


class Data:
    """The samples of a fit.

    Parameters
    ----------
    x : ndarray or sparse matrix or array (n, features)
    target : ndarray
        As the objective made it, a row a sample.
    sample_weight : ndarray (n,) or None
    """

    def __init__(self, x: Any, target: Array, sample_weight: Array | None) -> None:
        self.x = x.tocsr() if issparse(x) else np.ascontiguousarray(x)
        self.target = target
        self.sample_weight = sample_weight

    def __len__(self) -> int:
        return int(self.x.shape[0])

    def rows(self, index: Any) -> Data:
        """Return some of the samples."""
        weight = None if self.sample_weight is None else self.sample_weight[index]
        return Data(self.x[index], self.target[index], weight)

    def total_weight(self) -> float:
        """Return the sum of the sample weights, or how many samples there are."""
        return float(len(self) if self.sample_weight is None else self.sample_weight.sum())


class Engine(Protocol):
    """Computes on a network and data that it was made with."""

    def train_epoch(self, order: Array | None, batch_size: int) -> float:
        """Update the network once for each batch.

        Parameters
        ----------
        order : ndarray (n,) or None
            Which sample comes when; None for one after the other.
        batch_size : int

        Returns
        -------
        float
            The mean over samples of the loss of each batch before its update, L2 penalty included.
        """
        ...

    def loss_and_gradient(self) -> tuple[float, list[Array]]:
        """Return the loss of all samples, penalty included, and the gradient of each parameter."""
        ...


class KernelEngine:
    """An engine of kernel calls.

    Parameters
    ----------
    network : Network
    data : Data
    objective : Objective
    alpha : float
        Of the penalty alpha / 2 times the weights' squares, divided by a batch's weight.
    optimizer : Optimizer, optional
        For `train_epoch`.
    seed : int
        Of dropout.
    """

    def __init__(
        self,
        network: Network,
        data: Data,
        objective: Objective,
        alpha: float,
        optimizer: Optimizer | None = None,
        seed: int = 0,
    ) -> None:
        network.check_trainable(optimizer.states if optimizer is not None else [])
        self.network = network
        self.data = data
        self.objective = objective
        self.alpha = alpha
        self.optimizer = optimizer
        self.seed = seed
        self.step = 0

    def train_epoch(self, order: Array | None, batch_size: int) -> float:
        """Update the network once for each batch."""
        assert self.optimizer is not None
        samples = len(self.data)
        params, decayed = self.network.parameters(), self.network.decayed()
        accumulated = 0.0
        for begin in range(0, samples, batch_size):
            end = min(begin + batch_size, samples)
            batch = self.data.rows(slice(begin, end) if order is None else order[begin:end])
            loss, grads = self._backprop(batch)
            accumulated += loss * (end - begin)
            decay = self.alpha / batch.total_weight()
            self.optimizer.update(params, grads, [decay if d else 0.0 for d in decayed])
        return accumulated / samples

    def loss_and_gradient(self) -> tuple[float, list[Array]]:
        """Return the loss of all samples and the gradient of each parameter."""
        loss, grads = self._backprop(self.data)
        total = self.data.total_weight()
        for grad, weight in zip(grads, self.network.weights, strict=False):
            grad += (self.alpha / total) * weight
        return loss, grads

    def _backprop(self, batch: Data) -> tuple[float, list[Array]]:
        """Return the penalised loss and the gradient of the loss without the penalty."""
        net = self.network
        total = batch.total_weight()
        layers: list[_Layer] = []
        x = batch.x
        for i in range(len(net.weights) - 1):
            layers.append(_Layer(net, i, self.seed, self.step))
            x = layers[-1].forward(x)
            self.step += layers[-1].p > 0
        z = _linear(x, net.weights[-1], net.biases[-1], net.precision)
        loss = self.objective.mean(z, batch.target, batch.sample_weight)
        squares = sum(float(kernels.sum(w * w)) for w in net.weights)
        loss += 0.5 * self.alpha * squares / total
        grad = self.objective.gradient(z, batch.target, batch.sample_weight, total)
        of_weights = [_weight_gradient(grad, x, net.precision)]
        of_biases = [kernels.linear_backward_bias(grad)]
        of_norms: list[Array] = []
        for i in range(len(layers) - 1, -1, -1):
            grad = kernels.linear_backward_input(grad, net.weights[i + 1], precision=net.precision)
            grad, further = layers[i].backward(grad)
            of_norms = further + of_norms
            of_weights.insert(0, _weight_gradient(grad, layers[i].x, net.precision))
            of_biases.insert(0, kernels.linear_backward_bias(grad))
        return loss, [*of_weights, *of_biases, *of_norms]


class _Layer:
    """A hidden layer in training: linear, norm, activation, dropout; and what backward needs."""

    def __init__(self, net: Network, number: int, seed: int, step: int) -> None:
        self.net, self.number = net, number
        self.norm = net.norms[number] if net.norms else None
        self.p = net.dropout[number] if net.dropout else 0.0
        self.draw: dict[str, Any] = {"seed": seed, "stream": DROPOUT, "step": step}

    def forward(self, x: Any) -> Array:
        """Return the layer's output."""
        self.x = x
        net, i = self.net, self.number
        z = _linear(x, net.weights[i], net.biases[i], net.precision)
        self.z = z
        if self.norm is not None:
            z, self.mean, self.rstd = _normalise(self.norm, z, training=True)
        self.before = z
        self.after = _activate(net.activations[i], z)
        if self.p > 0:
            return kernels.dropout(self.after, self.p, **self.draw)
        return self.after

    def backward(self, grad: Array) -> tuple[Array, list[Array]]:
        """Return the gradient at the linear layer's output, and those of the norm."""
        if self.p > 0:
            grad = kernels.dropout_backward(grad, self.p, **self.draw)
        name = self.net.activations[self.number]
        if name != "identity":
            saved = self.before if ACTIVATIONS[name].keeps == "input" else self.after
            grad = getattr(kernels, f"{name}_backward")(grad, saved)
        if self.norm is None:
            return grad, []
        backward = (
            kernels.layer_norm_backward
            if self.norm.kind == "layer"
            else kernels.batch_norm_backward
        )
        grad, weight, bias = backward(grad, self.z, self.norm.weight, self.mean, self.rstd)
        assert weight is not None
        assert bias is not None
        return grad, [weight, bias]


def forward(net: Network, x: Any) -> Array:
    """Return the last layer's sums for x, without dropout and with running statistics."""
    x = x.tocsr() if issparse(x) else np.ascontiguousarray(x, net.dtype)
    last = len(net.weights) - 1
    for i in range(last):
        name = net.activations[i]
        if net.norms or issparse(x):
            x = _linear(x, net.weights[i], net.biases[i], net.precision)
            if net.norms:
                x, _, _ = _normalise(net.norms[i], x, training=False)
            x = _activate(name, x)
        else:
            x = kernels.linear(x, net.weights[i], net.biases[i], name, precision=net.precision)
    return _linear(x, net.weights[last], net.biases[last], net.precision)


def take_statistics(net: Network, x: Any) -> None:
    """Let the batch norms' running statistics be those of x, so that it is predicted as trained."""
    if not any(norm.kind == "batch" for norm in net.norms):
        return
    for i, norm in enumerate(net.norms):
        assert norm.mean is not None
        assert norm.var is not None
        norm.mean[...] = norm.var[...] = 0
        z = _linear(x, net.weights[i], net.biases[i], net.precision)
        x, _, _ = _normalise(norm, z, training=True, momentum=1.0)
        # a running variance is divided by one sample less
        norm.var *= (len(x) - 1) / len(x)
        x = _activate(net.activations[i], x)


def _normalise(
    norm: Norm, z: Array, training: bool, momentum: float = NORM_MOMENTUM
) -> tuple[Array, Array, Array]:
    if norm.kind == "layer":
        return kernels.layer_norm(z, norm.weight, norm.bias, NORM_EPS)
    return kernels.batch_norm(
        z, norm.weight, norm.bias, norm.mean, norm.var, training, momentum, NORM_EPS
    )


def _activate(name: str, z: Array) -> Array:
    return z if name == "identity" else getattr(kernels, name)(z)


def _linear(x: Any, weight: Array, bias: Array, precision: str | None) -> Array:
    if issparse(x):
        return np.ascontiguousarray(x @ weight.T, weight.dtype) + bias
    return kernels.linear(x, weight, bias, precision=precision)


def _weight_gradient(grad: Array, x: Any, precision: str | None) -> Array:
    if issparse(x):
        return np.ascontiguousarray((x.T @ grad).T, grad.dtype)
    return kernels.linear_backward_weight(grad, x, precision=precision)
