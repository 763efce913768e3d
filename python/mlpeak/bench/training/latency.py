"""What a call costs beside its arithmetic: the smallest net's step, one row through a policy."""

from __future__ import annotations

from mlpeak.bench.training.nets import Net, forward_workload, step_workload
from mlpeak.bench.workloads import Workload

PICTURE = "time"

STEP = Net("smallest", (1, 1, 1), 1)
ROW = Net("one row", (8, 64, 64, 4), 1, "tanh")


def workloads() -> list[Workload]:
    """Return all workloads of the family."""
    # scikit-learn has no pass that ends at the logits
    libraries = ("mlpeak", "numpy", "torch", "torch-compile", "jax")
    return [
        step_workload("training step, Adam", STEP),
        forward_workload("forward", ROW, libraries),
    ]


QUICK = tuple(w.name for w in workloads())
