"""NumPy's side, by hand: float32 throughout, results preallocated, updates in place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from mlpeak._types import Array
from mlpeak.bench.training.nets import Net
from mlpeak.bench.workloads import Call

# elements of an update: four arrays of 128 KiB stay in the second-level cache from pass to pass
CHUNK = 32 << 10


def _layers(net: Net, activations: list[Array]) -> tuple[Array, list[Array], list[Array], Any]:
    """Return all parameters as one array, its parts, and the forward pass into `activations`.

    Weights lie (in, out), so that no operand of the forward product is transposed.
    """
    given = net.parameters()
    flat = np.concatenate([a for w, b in given for a in (w.T.ravel(), b)])
    parts = parts_of(flat, net)
    weights, biases = parts[::2], parts[1::2]
    last = len(weights) - 1

    def forward(x: Array) -> Array:
        h = x
        for i, (weight, bias, out) in enumerate(zip(weights, biases, activations, strict=True)):
            np.matmul(h, weight, out=out)
            np.add(out, bias, out=out)
            if i < last:
                if net.activation == "relu":
                    np.maximum(out, 0, out=out)
                else:
                    np.tanh(out, out=out)
            h = out
        return h

    return flat, weights, biases, forward


def parts_of(flat: Array, net: Net) -> list[Array]:
    """Return each layer's weight (in, out) and bias as views of one array."""
    parts, start = [], 0
    for weight, bias in net.parameters():
        n_out, n_in = weight.shape
        parts.append(flat[start : start + n_in * n_out].reshape(n_in, n_out))
        start += n_in * n_out
        parts.append(flat[start : start + bias.size])
        start += bias.size
    return parts


def _buffers(net: Net) -> list[Array]:
    return [np.empty((net.batch, n), np.float32) for n in net.sizes[1:]]


def training_step(net: Net) -> Call:
    """Return the step."""
    x, y = net.data()
    hidden, deltas = _buffers(net), _buffers(net)
    flat, weights, _, forward = _layers(net, hidden)
    grad = np.empty_like(flat)
    parts = parts_of(grad, net)
    grad_weights, grad_biases = parts[::2], parts[1::2]
    loss_of = _binary_cross_entropy if net.is_binary else _cross_entropy
    loss_and_delta: Callable[[Array], float] = loss_of(y, deltas[-1])
    update = (_adam if net.optimizer == "adam" else _sgd)(flat, grad, np.float32(net.lr))
    masks = [np.empty(h.shape, bool) for h in hidden[:-1]]

    def step() -> float:
        loss = loss_and_delta(forward(x))
        for i in range(len(weights) - 1, -1, -1):
            delta = deltas[i]
            np.matmul((hidden[i - 1] if i else x).T, delta, out=grad_weights[i])
            np.sum(delta, axis=0, out=grad_biases[i])
            if not i:
                break
            before, h = deltas[i - 1], hidden[i - 1]
            np.matmul(delta, weights[i].T, out=before)
            if net.activation == "relu":
                np.greater(h, 0, out=masks[i - 1])
                np.multiply(before, masks[i - 1], out=before)
            else:
                np.multiply(h, h, out=h)
                np.subtract(1, h, out=h)
                np.multiply(before, h, out=before)
        update()
        return loss

    return step


def forward(net: Net) -> Call:
    """Return the forward pass."""
    x, _ = net.data()
    run = _layers(net, _buffers(net))[3]
    return lambda: run(x)


def _cross_entropy(target: Array, delta: Array) -> Any:
    """Return a function of logits: mean loss, and its gradient into `delta`."""
    batch = len(target)
    rows = np.arange(batch)

    def loss_and_delta(logits: Array) -> float:
        np.subtract(logits, logits.max(axis=1, keepdims=True), out=logits)
        np.exp(logits, out=delta)
        total = delta.sum(axis=1, keepdims=True)
        loss = (np.log(total[:, 0]) - logits[rows, target]).sum() / batch
        np.divide(delta, total * np.float32(batch), out=delta)
        delta[rows, target] -= np.float32(1 / batch)
        return float(loss)

    return loss_and_delta


def _binary_cross_entropy(target: Array, delta: Array) -> Any:
    """Return a function of logits: mean loss, and its gradient into `delta`.

    ``max(z, 0) - z y + log(1 + exp(-|z|))``, the form that does not overflow.
    """
    batch = len(target)

    def loss_and_delta(z: Array) -> float:
        e = np.exp(-np.abs(z))
        loss = (np.maximum(z, 0) - z * target + np.log1p(e)).sum() / batch
        np.divide(np.where(z >= 0, np.float32(1), e), 1 + e, out=delta)
        np.subtract(delta, target, out=delta)
        np.multiply(delta, np.float32(1 / batch), out=delta)
        return float(loss)

    return loss_and_delta


def _sgd(flat: Array, grad: Array, lr: np.float32) -> Call:
    scratch = np.empty(min(CHUNK, flat.size), np.float32)
    chunks = _chunks(flat, grad)

    def update() -> None:
        for p, g in chunks:
            s = scratch[: p.size]
            np.multiply(g, lr, out=s)
            np.subtract(p, s, out=p)

    return update


def _adam(flat: Array, grad: Array, lr: np.float32) -> Call:
    scratch = np.empty(min(CHUNK, flat.size), np.float32)
    chunks = _chunks(flat, grad, np.zeros_like(flat), np.zeros_like(flat))
    beta1, beta2, eps = np.float32(0.9), np.float32(0.999), np.float32(1e-8)
    count = 0

    def update() -> None:
        nonlocal count
        count += 1
        size = np.float32(lr / (1 - 0.9**count))
        root = np.float32(1 / (1 - 0.999**count) ** 0.5)
        for p, g, m, v in chunks:
            s = scratch[: p.size]
            # m += (g - m) (1 - beta1);  v = beta2 v + (1 - beta2) g g
            np.subtract(g, m, out=s)
            np.multiply(s, 1 - beta1, out=s)
            np.add(m, s, out=m)
            np.multiply(g, g, out=g)
            np.multiply(g, 1 - beta2, out=g)
            np.multiply(v, beta2, out=v)
            np.add(v, g, out=v)
            # p -= size m / (sqrt(v) root + eps)
            np.sqrt(v, out=s)
            np.multiply(s, root, out=s)
            np.add(s, eps, out=s)
            np.divide(m, s, out=s)
            np.multiply(s, size, out=s)
            np.subtract(p, s, out=p)

    return update


def _chunks(*arrays: Array) -> list[tuple[Array, ...]]:
    starts = range(0, arrays[0].size, CHUNK)
    return [tuple(a[start : start + CHUNK] for a in arrays) for start in starts]
