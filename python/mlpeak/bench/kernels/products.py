"""Products: of linear layers, of square matrices, of few rows with a weight laid out before."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from mlpeak.bench.kernels.arrays import normal, tensors
from mlpeak.bench.workloads import Call, Workload


def workloads() -> list[Workload]:
    """Return the workloads of products."""
    found = []
    for batch, sizes in (
        (32, (784, 512, 512, 10)),
        (128, (784, 512, 512, 10)),
        (256, (784, 512, 512, 10)),
        (256, (784, 2048, 2048, 10)),
    ):
        for n_in, n_out in dict.fromkeys(pairwise(sizes)):
            for product in ("forward", "grad_input", "grad_weight"):
                found.append(layer_product("MLP layers", product, batch, n_in, n_out, "float32"))
    for dtype in ("float32", "float64"):
        found += [square(n, dtype) for n in (256, 512, 1024, 2048)]
    for batch in (1, 4, 16, 64):
        for width in (64, 256, 1024):
            found.append(
                layer_product(
                    "few rows, packed weight", "forward", batch, width, width, "float32", True
                )
            )
    return found


def layer_product(
    group: str,
    product: str,
    batch: int,
    n_in: int,
    n_out: int,
    dtype: str,
    packed: bool = False,
) -> Workload:
    """One product of a linear layer: X Wᵀ, dY W or dYᵀ X; W is (n_out, n_in).

    `packed` lets mlpeak's forward use a weight that was laid out before (`kernels.pack`).
    """

    def arrays() -> tuple[Any, Any, Any]:
        x, w, y = (normal(*s, dtype=dtype) for s in ((batch, n_in), (n_out, n_in), (batch, n_out)))
        # left, right, result; a transpose is a view
        return {
            "forward": (x, w.T, y),
            "grad_input": (y, w, x),
            "grad_weight": (y.T, x, w),
        }[product]

    def with_numpy() -> Call:
        a, b, out = arrays()
        return lambda: np.matmul(a, b, out=out)

    def with_torch() -> Call:
        import torch

        a, b, out = tensors(*arrays())
        return lambda: torch.mm(a, b, out=out)

    def with_mlpeak() -> Call:
        from mlpeak import kernels

        a, b, out = arrays()
        if product == "forward":
            w = kernels.pack(b.T) if packed else b.T
            return lambda: kernels.linear(a, w, out=out)
        if product == "grad_input":
            return lambda: kernels.linear_backward_input(a, b, out=out)
        y = a.T
        return lambda: kernels.linear_backward_weight(y, b, out=out)

    return Workload(
        group,
        f"{batch}x{n_in}-{n_out} {product}",
        dtype,
        {"mlpeak": with_mlpeak, "numpy": with_numpy, "torch": with_torch},
        flops=2 * batch * n_in * n_out,
    )


def square(n: int, dtype: str) -> Workload:
    """The product of two square matrices."""

    def with_numpy() -> Call:
        a, b = normal(n, n, dtype=dtype), normal(n, n, dtype=dtype)
        out = np.empty_like(a)
        return lambda: np.matmul(a, b, out=out)

    def with_torch() -> Call:
        import torch

        a, b = tensors(normal(n, n, dtype=dtype), normal(n, n, dtype=dtype))
        out = torch.empty_like(a)
        return lambda: torch.mm(a, b, out=out)

    def with_mlpeak() -> Call:
        from mlpeak import kernels

        a, b = normal(n, n, dtype=dtype), normal(n, n, dtype=dtype)
        out = np.empty_like(a)
        return lambda: kernels.matmul(a, b, out=out)

    return Workload(
        f"squares {dtype}",
        str(n),
        dtype,
        {"mlpeak": with_mlpeak, "numpy": with_numpy, "torch": with_torch},
        flops=2 * n**3,
    )
