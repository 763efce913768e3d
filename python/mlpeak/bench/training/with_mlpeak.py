"""mlpeak's side: `mlpeak.compile`."""

from __future__ import annotations

import numpy as np

import mlpeak
from mlpeak import nn, optim
from mlpeak.bench.training.nets import Net
from mlpeak.bench.workloads import Call

ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh}


def model_of(net: Net) -> nn.Sequential:
    """Return the net as a module."""
    layers: list[nn.Module] = []
    for weight, bias in net.parameters():
        linear = nn.Linear(weight.shape[1], weight.shape[0])
        linear.load_state_dict({"weight": weight, "bias": bias})
        layers += [linear, ACTIVATIONS[net.activation]()]
    return nn.Sequential(*layers[:-1])


def training_step(net: Net, precision: str = "fp32") -> Call:
    """Return the step."""
    model = model_of(net)
    loss = nn.BCEWithLogitsLoss() if net.is_binary else nn.CrossEntropyLoss()
    kind = {"adam": optim.Adam, "sgd": optim.SGD}[net.optimizer]
    step = mlpeak.compile(model, loss, kind(model.parameters(), lr=net.lr), precision=precision)
    x, y = net.data()
    return lambda: step(x, y)


def forward(net: Net) -> Call:
    """Return the forward pass."""
    run = mlpeak.compile(model_of(net).eval())
    x, _ = net.data()
    out = np.empty((net.batch, net.sizes[-1]), np.float32)
    return lambda: run(x, out)
