"""The kernels against NumPy and PyTorch: the same arithmetic on the same shapes.

Each side is what a careful user of that library writes: preallocated results (``out=``) and
in-place updates wherever it has them; on PyTorch's side its operators without autograd. Each module
has the workloads of one topic, and arrays.py what they compute on.
"""

from __future__ import annotations

from mlpeak.bench.kernels import activations, optimizers, products, rows, sums
from mlpeak.bench.workloads import Workload

PICTURE = "rate"

QUICK = (
    "MLP layers, 32x784-512 forward, float32",
    "few rows, packed weight, 4x64-64 forward, float32",
    "activations 4Ki, tanh, float32",
    "optimizers, adam 100k, float32",
)


def workloads() -> list[Workload]:
    """Return all workloads of the family."""
    topics = (products, activations, rows, optimizers, sums)
    return [workload for topic in topics for workload in topic.workloads()]
