"""PyTorch's side, eager: fused optimizers, gradients set to None."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn, optim

from mlpeak.bench.training.nets import Net
from mlpeak.bench.workloads import Call

ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh}


def model_of(net: Net) -> Any:
    """Return the net as a module."""
    layers: list[Any] = []
    for weight, bias in net.parameters():
        linear = nn.Linear(weight.shape[1], weight.shape[0])
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(weight))
            linear.bias.copy_(torch.from_numpy(bias))
        layers += [linear, ACTIVATIONS[net.activation]()]
    return nn.Sequential(*layers[:-1])


def training_step(net: Net, transform: Callable[[Any], Any] = lambda f: f) -> Call:
    """Return the step; `transform` is applied to the function from data to loss."""
    torch.set_grad_enabled(True)
    model = model_of(net)
    loss_of = nn.BCEWithLogitsLoss() if net.is_binary else nn.CrossEntropyLoss()
    kind = {"adam": optim.Adam, "sgd": optim.SGD}[net.optimizer]
    optimizer = kind(model.parameters(), lr=net.lr, fused=True)
    x, y = map(torch.from_numpy, net.data())
    run = transform(lambda x, y: loss_of(model(x), y))
    run(x, y).backward()  # compiles, if `transform` does; the step drops these gradients

    def step() -> float:
        optimizer.zero_grad(set_to_none=True)
        loss = run(x, y)
        loss.backward()
        optimizer.step()
        return float(loss.item())

    return step


def forward(net: Net, transform: Callable[[Any], Any] = lambda f: f) -> Call:
    """Return the forward pass."""
    model = transform(model_of(net).eval())
    x = torch.from_numpy(net.data()[0])

    def run() -> Any:
        with torch.inference_mode():
            return model(x)

    run()  # compiles, if `transform` does
    return run
