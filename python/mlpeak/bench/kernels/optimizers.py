"""Updates of parameters, in place."""

from __future__ import annotations

import numpy as np

from mlpeak.bench.kernels.arrays import normal, tensors
from mlpeak.bench.workloads import Call, Workload


def workloads() -> list[Workload]:
    """Return the workloads of optimizers."""
    found = []
    for size, n in (("100k", 100_000), ("10M", 10_000_000)):
        found += [sgd(size, n), adam(size, n)]
    return found


def sgd(size: str, n: int) -> Workload:
    """Gradient descent with momentum, in place."""

    def with_numpy() -> Call:
        p, g, m = normal(n), normal(n), np.zeros(n, np.float32)
        scaled = np.empty_like(p)

        def call() -> None:
            np.multiply(m, np.float32(0.9), out=m)
            np.add(m, g, out=m)
            np.multiply(m, np.float32(1e-6), out=scaled)
            np.subtract(p, scaled, out=p)

        return call

    def with_torch() -> Call:
        import torch

        p, g = tensors(normal(n), normal(n))
        p.grad = g
        optimizer = torch.optim.SGD([p], lr=1e-6, momentum=0.9, fused=True)
        return lambda: optimizer.step()

    def with_mlpeak() -> Call:
        from mlpeak import kernels

        p, g, m = normal(n), normal(n), np.zeros(n, np.float32)
        return lambda: kernels.sgd(p, g, m, lr=1e-6, momentum=0.9)

    return Workload(
        "optimizers",
        f"sgd momentum {size}",
        "float32",
        {"mlpeak": with_mlpeak, "numpy": with_numpy, "torch": with_torch},
        bytes=5 * 4 * n,
    )


def adam(size: str, n: int) -> Workload:
    """Adam, in place, at a step where its corrections are near 1."""

    def with_numpy() -> Call:
        p, g, m, v = normal(n), normal(n), np.zeros(n, np.float32), np.zeros(n, np.float32)
        one, other = np.empty_like(p), np.empty_like(p)

        def call() -> None:
            np.subtract(g, m, out=one)
            np.multiply(one, np.float32(0.1), out=one)
            np.add(m, one, out=m)
            np.multiply(g, g, out=one)
            np.multiply(one, np.float32(0.001), out=one)
            np.multiply(v, np.float32(0.999), out=v)
            np.add(v, one, out=v)
            np.sqrt(v, out=one)
            np.add(one, np.float32(1e-8), out=one)
            np.multiply(m, np.float32(1e-6), out=other)
            np.divide(other, one, out=other)
            np.subtract(p, other, out=p)

        return call

    def with_torch() -> Call:
        import torch

        p, g = tensors(normal(n), normal(n))
        p.grad = g
        optimizer = torch.optim.Adam([p], lr=1e-6, fused=True)
        return lambda: optimizer.step()

    def with_mlpeak() -> Call:
        from mlpeak import kernels

        p, g, m, v = normal(n), normal(n), np.zeros(n, np.float32), np.zeros(n, np.float32)
        return lambda: kernels.adam(p, g, m, v, step=1000, lr=1e-6)

    return Workload(
        "optimizers",
        f"adam {size}",
        "float32",
        {"mlpeak": with_mlpeak, "numpy": with_numpy, "torch": with_torch},
        bytes=7 * 4 * n,
    )
