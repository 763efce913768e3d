"""Rows: cross-entropy with its gradient, normalisations."""

from __future__ import annotations

from typing import Any

import numpy as np

from mlpeak.bench.kernels.arrays import normal, tensors
from mlpeak.bench.workloads import Call, Workload


def workloads() -> list[Workload]:
    """Return the workloads of losses and normalisations."""
    found = [cross_entropy(256, classes) for classes in (10, 1000)]
    found += [layer_norm(256, 512), layer_norm_backward(256, 512)]
    found += [rms_norm(256, 512), batch_norm(256, 512)]
    return found


def cross_entropy(rows: int, classes: int) -> Workload:
    """Softmax cross-entropy, the mean loss and its gradient."""

    def arrays() -> tuple[Any, Any]:
        return normal(rows, classes), np.random.default_rng(1).integers(0, classes, rows)

    def with_numpy() -> Call:
        x, target = arrays()
        index = np.arange(rows)

        def call() -> Any:
            grad = x - x.max(axis=1, keepdims=True)
            right = grad[index, target]
            np.exp(grad, out=grad)
            sums = grad.sum(axis=1, keepdims=True)
            loss = (np.log(sums[:, 0]) - right).mean()
            grad /= sums
            grad[index, target] -= 1
            grad /= rows
            return loss, grad

        return call

    def with_torch() -> Call:
        import torch

        x, target = tensors(*arrays())
        one, aten = torch.ones(()), torch.ops.aten

        def call() -> Any:
            log_p = aten._log_softmax(x, 1, False)
            loss, weight = aten.nll_loss_forward(log_p, target, None, 1, -100)
            grad = aten.nll_loss_backward(one, log_p, target, None, 1, -100, weight)
            return loss, aten._log_softmax_backward_data(grad, log_p, 1, torch.float32)

        return call

    def with_mlpeak() -> Call:
        from mlpeak import kernels

        x, target = arrays()
        grad = np.empty_like(x)
        return lambda: kernels.cross_entropy_forward_backward(x, target, out=grad)

    return Workload(
        "rows",
        f"cross-entropy + gradient {rows}x{classes}",
        "float32",
        {"mlpeak": with_mlpeak, "numpy": with_numpy, "torch": with_torch},
        bytes=2 * 4 * rows * classes,
    )


def layer_norm(rows: int, features: int) -> Workload:
    """Layer normalisation over the last axis, with weight and bias."""

    def with_numpy() -> Call:
        x, w, b = normal(rows, features), normal(features), normal(features)
        y, squares = np.empty_like(x), np.empty_like(x)

        def call() -> None:
            np.subtract(x, x.mean(axis=1, keepdims=True), out=y)
            np.multiply(y, y, out=squares)
            rstd = 1 / np.sqrt(squares.mean(axis=1, keepdims=True) + np.float32(1e-5))
            np.multiply(y, rstd, out=y)
            np.multiply(y, w, out=y)
            np.add(y, b, out=y)

        return call

    def with_torch() -> Call:
        import torch

        x, w, b = tensors(normal(rows, features), normal(features), normal(features))
        return lambda: torch.native_layer_norm(x, [features], w, b, 1e-5)

    def with_mlpeak() -> Call:
        from mlpeak import kernels

        x, w, b = normal(rows, features), normal(features), normal(features)
        y = np.empty_like(x)
        return lambda: kernels.layer_norm(x, w, b, out=y)

    return Workload(
        "rows",
        f"layer_norm {rows}x{features}",
        "float32",
        {"mlpeak": with_mlpeak, "numpy": with_numpy, "torch": with_torch},
        bytes=2 * 4 * rows * features,
    )


def layer_norm_backward(rows: int, features: int) -> Workload:
    """The three gradients of layer normalisation."""

    def arrays() -> tuple[Any, ...]:
        x = normal(rows, features)
        mean = x.mean(axis=1, keepdims=True)
        rstd = 1 / np.sqrt(x.var(axis=1, keepdims=True) + np.float32(1e-5))
        return normal(rows, features), x, normal(features), normal(features), mean, rstd

    def with_numpy() -> Call:
        g, x, w, _, mean, rstd = arrays()

        def call() -> Any:
            h = (x - mean) * rstd
            gh = g * h
            grad_w, grad_b = gh.sum(axis=0), g.sum(axis=0)
            gw = g * w
            np.multiply(gw, h, out=gh)
            h *= gh.mean(axis=1, keepdims=True)
            h += gw.mean(axis=1, keepdims=True)
            gw -= h
            gw *= rstd
            return gw, grad_w, grad_b

        return call

    def with_torch() -> Call:
        import torch

        g, x, w, b, mean, rstd = tensors(*arrays())
        backward = torch.ops.aten.native_layer_norm_backward
        return lambda: backward(g, x, [features], mean, rstd, w, b, [True, True, True])

    def with_mlpeak() -> Call:
        from mlpeak import kernels

        g, x, w, _, mean, rstd = arrays()
        mean, rstd = mean[:, 0].copy(), rstd[:, 0].copy()
        return lambda: kernels.layer_norm_backward(g, x, w, mean, rstd)

    return Workload(
        "rows",
        f"layer_norm backward {rows}x{features}",
        "float32",
        {"mlpeak": with_mlpeak, "numpy": with_numpy, "torch": with_torch},
        bytes=3 * 4 * rows * features,
    )


def rms_norm(rows: int, features: int) -> Workload:
    """Root-mean-square normalisation over the last axis, with weight."""

    def with_numpy() -> Call:
        x, w = normal(rows, features), normal(features)
        y = np.empty_like(x)

        def call() -> None:
            np.multiply(x, x, out=y)
            rstd = 1 / np.sqrt(y.mean(axis=1, keepdims=True) + np.float32(1e-6))
            np.multiply(x, rstd, out=y)
            np.multiply(y, w, out=y)

        return call

    def with_torch() -> Call:
        import torch

        x, w = tensors(normal(rows, features), normal(features))
        return lambda: torch.rms_norm(x, [features], w, 1e-6)

    def with_mlpeak() -> Call:
        from mlpeak import kernels

        x, w = normal(rows, features), normal(features)
        y = np.empty_like(x)
        return lambda: kernels.rms_norm(x, w, 1e-6, out=y)

    return Workload(
        "rows",
        f"rms_norm {rows}x{features}",
        "float32",
        {"mlpeak": with_mlpeak, "numpy": with_numpy, "torch": with_torch},
        bytes=2 * 4 * rows * features,
    )


def batch_norm(rows: int, features: int) -> Workload:
    """Batch normalisation in training, without running statistics."""

    def with_numpy() -> Call:
        x, w, b = normal(rows, features), normal(features), normal(features)
        y, squares = np.empty_like(x), np.empty_like(x)

        def call() -> None:
            np.subtract(x, x.mean(axis=0), out=y)
            np.multiply(y, y, out=squares)
            np.multiply(y, w / np.sqrt(squares.mean(axis=0) + np.float32(1e-5)), out=y)
            np.add(y, b, out=y)

        return call

    def with_torch() -> Call:
        import torch

        x, w, b = tensors(normal(rows, features), normal(features), normal(features))
        return lambda: torch.native_batch_norm(x, w, b, None, None, True, 0.1, 1e-5)

    def with_mlpeak() -> Call:
        from mlpeak import kernels

        x, w, b = normal(rows, features), normal(features), normal(features)
        y = np.empty_like(x)
        return lambda: kernels.batch_norm(x, w, b, out=y)

    return Workload(
        "rows",
        f"batch_norm {rows}x{features}",
        "float32",
        {"mlpeak": with_mlpeak, "numpy": with_numpy, "torch": with_torch},
        bytes=2 * 4 * rows * features,
    )
