"""Sums: of all elements, and of columns."""

from __future__ import annotations

import numpy as np

from mlpeak.bench.kernels.arrays import SIZES, normal, tensors
from mlpeak.bench.workloads import Call, Workload


def workloads() -> list[Workload]:
    """Return the workloads of sums."""
    return [total("1Mi"), column_sums(256, 1000)]


def total(size: str) -> Workload:
    """The sum of all elements."""
    n = SIZES[size]

    def with_numpy() -> Call:
        x = normal(n)
        return lambda: x.sum()

    def with_torch() -> Call:
        (x,) = tensors(normal(n))
        return lambda: x.sum()

    def with_mlpeak() -> Call:
        from mlpeak import kernels

        x = normal(n)
        return lambda: kernels.sum(x)

    return Workload(
        "sums",
        f"all {size}",
        "float32",
        {"mlpeak": with_mlpeak, "numpy": with_numpy, "torch": with_torch},
        bytes=4 * n,
    )


def column_sums(rows: int, columns: int) -> Workload:
    """The sums over the first axis: a bias's gradient."""

    def with_numpy() -> Call:
        x, out = normal(rows, columns), np.empty(columns, np.float32)
        return lambda: np.sum(x, axis=0, out=out)

    def with_torch() -> Call:
        import torch

        x, out = tensors(normal(rows, columns), np.empty(columns, np.float32))
        return lambda: torch.sum(x, 0, out=out)

    def with_mlpeak() -> Call:
        from mlpeak import kernels

        x, out = normal(rows, columns), np.empty(columns, np.float32)
        return lambda: kernels.sum(x, axis=0, out=out)

    return Workload(
        "sums",
        f"columns {rows}x{columns}",
        "float32",
        {"mlpeak": with_mlpeak, "numpy": with_numpy, "torch": with_torch},
        bytes=4 * rows * columns,
    )
