"""PyTorch's side, compiled: forward and loss by ``torch.compile``, the update fused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from mlpeak.bench.training import with_torch
from mlpeak.bench.training.nets import Net
from mlpeak.bench.workloads import Call, Unavailable


def _compiled(function: Any) -> Any:
    torch._dynamo.reset()  # the last net's programs, which count against a limit
    return torch.compile(function)


def _made(make: Callable[..., Call], net: Net) -> Call:
    try:
        return make(net, _compiled)
    except (ImportError, RuntimeError) as error:
        what = str(error).strip().partition("\n")[0]
        raise Unavailable(f"torch.compile failed: {what}") from error


def training_step(net: Net) -> Call:
    """Return the step."""
    return _made(with_torch.training_step, net)


def forward(net: Net) -> Call:
    """Return the forward pass."""
    return _made(with_torch.forward, net)
