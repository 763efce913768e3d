"""scikit-learn's side: ``MLPClassifier.partial_fit`` on one batch is one step."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.neural_network import MLPClassifier

from mlpeak.bench.training.nets import Net
from mlpeak.bench.workloads import Call


def training_step(net: Net) -> Call:
    """Return the step."""
    model: Any = MLPClassifier(
        net.sizes[1:-1],
        activation=net.activation,
        solver=net.optimizer,
        alpha=0,
        batch_size=net.batch,
        learning_rate_init=net.lr,
        momentum=0,
        nesterovs_momentum=False,
        random_state=0,
    )
    x, y = net.data()
    classes = np.arange(max(2, net.sizes[-1]))
    y = y.ravel().astype(np.int64)
    # there is no other way to given first parameters than to let it make its own, with the
    # optimizer's state, and put these in their place
    model.partial_fit(x, y, classes=classes)
    del model._optimizer
    for i, (weight, bias) in enumerate(net.parameters()):
        model.coefs_[i][...] = weight.T
        model.intercepts_[i][...] = bias

    def step() -> float:
        model.partial_fit(x, y)
        return float(model.loss_)

    return step
