"""Plain gradient descent on the nets with which LIBXSMM-DNN's figures are published."""

from __future__ import annotations

from mlpeak.bench.training.nets import Net, step_workload
from mlpeak.bench.workloads import Workload

GROUP = "training step, plain SGD"
PICTURE = "share"

NETS = (
    Net("64", (64, 64, 64, 64), 64, optimizer="sgd"),
    Net("512", (256, 512, 512, 512), 256, optimizer="sgd"),
    Net("2048", (1024, 2048, 2048, 1024), 256, optimizer="sgd"),
)

QUICK = (f"{GROUP}, {NETS[0].shape}, float32",)


def workloads() -> list[Workload]:
    """Return all workloads of the family."""
    return [step_workload(GROUP, net) for net in NETS]
