"""JAX's side: the whole step under ``jit``, parameters and moments donated."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from mlpeak.bench.training.nets import Net
from mlpeak.bench.workloads import Call

ACTIVATIONS = {"relu": jax.nn.relu, "tanh": jnp.tanh}


def _parameters(net: Net) -> Any:
    # weights lie (in, out), so that no operand of the forward product is transposed
    return [(jnp.array(weight.T), jnp.array(bias)) for weight, bias in net.parameters()]


def _logits(net: Net, params: Any, x: Any) -> Any:
    for weight, bias in params[:-1]:
        x = ACTIVATIONS[net.activation](x @ weight + bias)
    weight, bias = params[-1]
    return x @ weight + bias


def _loss(net: Net, params: Any, x: Any, y: Any) -> Any:
    z = _logits(net, params, x)
    if net.is_binary:
        return jnp.mean(jnp.maximum(z, 0) - z * y + jnp.log1p(jnp.exp(-jnp.abs(z))))
    chosen = jnp.take_along_axis(z, y[:, None], axis=1)[:, 0]
    return jnp.mean(jax.nn.logsumexp(z, axis=1) - chosen)


def training_step(net: Net) -> Call:
    """Return the step."""
    x, y = map(jnp.array, net.data())
    params = _parameters(net)
    zeros = jax.tree.map(jnp.zeros_like, params)
    state = params, zeros, jax.tree.map(jnp.zeros_like, params), jnp.zeros((), jnp.int32)
    update = _adam if net.optimizer == "adam" else _sgd

    def train(state: Any, x: Any, y: Any) -> Any:
        loss, grads = jax.value_and_grad(lambda p: _loss(net, p, x, y))(state[0])
        return update(net.lr, state, grads), loss

    compiled = jax.jit(train, donate_argnums=0)

    def step() -> float:
        nonlocal state
        state, loss = compiled(state, x, y)
        return float(loss)

    return step


def forward(net: Net) -> Call:
    """Return the forward pass."""
    x, params = jnp.array(net.data()[0]), _parameters(net)
    compiled = jax.jit(lambda params, x: _logits(net, params, x))
    return lambda: compiled(params, x).block_until_ready()


def _sgd(lr: float, state: Any, grads: Any) -> Any:
    params, *rest = state
    return jax.tree.map(lambda p, g: p - lr * g, params, grads), *rest


def _adam(lr: float, state: Any, grads: Any) -> Any:
    params, first, second, count = state
    count = count + 1
    size = lr / (1 - jnp.float32(0.9) ** count)
    root = 1 / jnp.sqrt(1 - jnp.float32(0.999) ** count)
    first = jax.tree.map(lambda m, g: m + (g - m) * 0.1, first, grads)
    second = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, second, grads)
    params = jax.tree.map(
        lambda p, m, v: p - size * m / (jnp.sqrt(v) * root + 1e-8), params, first, second
    )
    return params, first, second, count
