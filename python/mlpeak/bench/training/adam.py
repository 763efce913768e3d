"""Seven nets with Adam, from a control policy of 8-64-64-4 to 784-2048-2048-10."""

from __future__ import annotations

from mlpeak.bench.training.nets import Net, step_workload
from mlpeak.bench.workloads import Workload

GROUP = "training step, Adam"
PICTURE = "share"

NETS = (
    Net("rl", (8, 64, 64, 4), 64, "tanh"),
    Net("tab", (54, 128, 128, 7), 256),
    Net("mnist-s", (784, 128, 10), 32),
    Net("mnist", (784, 512, 512, 10), 128),
    Net("wide", (784, 2048, 2048, 10), 256),
    Net("deep-narrow", (32, *(64,) * 8, 1), 128),
    # the net of Baldi, Sadowski and Whiteson, Nature Communications 5, 4308 (2014)
    Net("higgs", (28, *(300,) * 5, 1), 100, "tanh"),
)

QUICK = tuple(f"{GROUP}, {net.shape}, float32" for net in NETS if net.name in ("rl", "mnist-s"))


def workloads() -> list[Workload]:
    """Return all workloads of the family."""
    return [step_workload(GROUP, net) for net in NETS]
