"""Kernels and whole training steps against the same written by hand in NumPy.

    python benchmarks/training/against_numpy.py [--rounds N] [--json FILE]

Both run in this process, pinned to one core with one thread each (with more, OpenBLAS's waiting
threads would take the cores from the other side); the rounds alternate between them, so a noisy
machine meets both alike. Printed are medians and their ratio; the spread is the quartiles' distance
over the median. NumPy's side is what a careful user writes: float32 throughout, preallocated where
NumPy lets it (``out=``), in-place updates.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
Pair = tuple[Callable[[], Any], Callable[[], Any]]


def pin() -> None:
    """Pin to one core and tell every library; must run before NumPy is imported."""
    for variable in THREAD_VARIABLES:
        os.environ[variable] = "1"
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def numpy_step(sizes: list[int], batch: int) -> Callable[[], Any]:
    """One step of an MLP (relu, softmax cross-entropy, Adam) in NumPy by hand."""
    import numpy as np

    rng = np.random.default_rng(0)
    x = rng.standard_normal((batch, sizes[0]), dtype=np.float32)
    target = rng.integers(0, sizes[-1], batch)
    rows = np.arange(batch)
    params: list[Any] = []
    for n_in, n_out in pairwise(sizes):
        params.append((rng.standard_normal((n_in, n_out)) / n_in**0.5).astype(np.float32))
        params.append(np.zeros(n_out, np.float32))
    moments = [(np.zeros_like(p), np.zeros_like(p)) for p in params]
    count = 0

    def step() -> float:
        nonlocal count
        count += 1
        hidden = [x]
        for i in range(0, len(params), 2):
            z = hidden[-1] @ params[i]
            z += params[i + 1]
            if i + 2 < len(params):
                np.maximum(z, 0, out=z)
            hidden.append(z)
        logits = hidden[-1]
        logits -= logits.max(axis=1, keepdims=True)
        grad = np.exp(logits)
        grad /= grad.sum(axis=1, keepdims=True)
        loss = -np.log(grad[rows, target]).mean()
        grad[rows, target] -= 1
        grad /= batch
        grads: list[Any] = [None] * len(params)
        for i in range(len(params) - 2, -1, -2):
            h = hidden[i // 2]
            grads[i], grads[i + 1] = h.T @ grad, grad.sum(axis=0)
            if i:
                grad = grad @ params[i].T
                grad *= h > 0
        size = 1e-3 / (1 - 0.9**count)
        root = (1 - 0.999**count) ** 0.5
        for p, g, (m, v) in zip(params, grads, moments, strict=True):
            m += (g - m) * np.float32(0.1)
            v *= np.float32(0.999)
            v += np.float32(0.001) * g * g
            p -= np.float32(size) * m / (np.sqrt(v) / np.float32(root) + np.float32(1e-8))
        return float(loss)

    return step


def kernels_step(sizes: list[int], batch: int) -> Callable[[], Any]:
    """The same step with mlpeak.kernels in the place of the NumPy calls."""
    import numpy as np

    from mlpeak import kernels

    rng = np.random.default_rng(0)
    x = rng.standard_normal((batch, sizes[0]), dtype=np.float32)
    target = rng.integers(0, sizes[-1], batch)
    params: list[Any] = []
    for n_in, n_out in pairwise(sizes):
        params.append((rng.standard_normal((n_out, n_in)) / n_in**0.5).astype(np.float32))
        params.append(np.zeros(n_out, np.float32))
    moments = [(np.zeros_like(p), np.zeros_like(p)) for p in params]
    hidden = [x] + [np.empty((batch, n), np.float32) for n in sizes[1:]]
    grads = [np.empty_like(p) for p in params]
    count = 0

    def step() -> float:
        nonlocal count
        count += 1
        last = len(params) - 2
        for i in range(0, len(params), 2):
            f = "identity" if i == last else "relu"
            kernels.linear(hidden[i // 2], params[i], params[i + 1], f, out=hidden[i // 2 + 1])
        loss, grad = kernels.cross_entropy_forward_backward(hidden[-1], target)
        for i in range(last, -1, -2):
            kernels.linear_backward_weight(grad, hidden[i // 2], out=grads[i])
            kernels.linear_backward_bias(grad, out=grads[i + 1])
            if i:
                grad = kernels.linear_backward_input(grad, params[i])
                kernels.relu_backward(grad, hidden[i // 2], out=grad)
        for p, g, (m, v) in zip(params, grads, moments, strict=True):
            kernels.adam(p, g, m, v, step=count, lr=1e-3)
        return float(loss)

    return step


def modules_step(sizes: list[int], batch: int) -> Callable[[], Any]:
    """The same step with mlpeak.nn and mlpeak.optim."""
    import numpy as np

    import mlpeak
    from mlpeak import nn, optim

    rng = np.random.default_rng(0)
    x = mlpeak.from_numpy(rng.standard_normal((batch, sizes[0]), dtype=np.float32))
    target = mlpeak.from_numpy(rng.integers(0, sizes[-1], batch))
    layers: list[nn.Module] = []
    for n_in, n_out in pairwise(sizes):
        layers += [nn.Linear(n_in, n_out), nn.ReLU()]
    model = nn.Sequential(*layers[:-1])
    loss_of = nn.CrossEntropyLoss()
    optimizer = optim.Adam(model.parameters(), lr=1e-3)

    def step() -> float:
        optimizer.zero_grad()
        loss = loss_of(model(x), target)
        loss.backward()
        optimizer.step()
        return float(loss.item())

    return step


def kernel_pairs() -> dict[str, Pair]:
    """Single kernels: (NumPy, mlpeak), writing to preallocated results where NumPy can."""
    import numpy as np

    from mlpeak import kernels

    rng = np.random.default_rng(0)

    def normal(*shape: int) -> Any:
        return rng.standard_normal(shape, dtype=np.float32)

    x, w, b, y = normal(128, 784), normal(512, 784), normal(512), normal(128, 512)
    big, result = normal(1 << 20), np.empty(1 << 20, np.float32)
    logits, target, rows = normal(256, 1000), rng.integers(0, 1000, 256), np.arange(256)
    p, g, m, v = (np.abs(normal(1_000_000)) for _ in range(4))

    def numpy_linear() -> None:
        np.matmul(x, w.T, out=y)
        np.add(y, b, out=y)
        np.maximum(y, 0, out=y)

    def numpy_sigmoid() -> None:
        np.negative(big, out=result)
        np.exp(result, out=result)
        np.add(result, 1, out=result)
        np.divide(1, result, out=result)

    def numpy_cross_entropy() -> Any:
        z = logits - logits.max(axis=1, keepdims=True)
        e = np.exp(z)
        total = e.sum(axis=1, keepdims=True)
        loss = (np.log(total[:, 0]) - z[rows, target]).mean()
        e /= total
        e[rows, target] -= 1
        e /= len(e)
        return loss, e

    def numpy_adam() -> None:
        np.add(m, (g - m) * np.float32(0.1), out=m)
        np.multiply(v, np.float32(0.999), out=v)
        np.add(v, np.float32(0.001) * g * g, out=v)
        np.subtract(p, np.float32(1e-3) * m / (np.sqrt(v) + np.float32(1e-8)), out=p)

    return {
        "linear + bias + relu, 128 x 784 -> 512": (
            numpy_linear,
            lambda: kernels.linear(x, w, b, "relu", out=y),
        ),
        "tanh, 1 Mi": (lambda: np.tanh(big, out=result), lambda: kernels.tanh(big, out=result)),
        "exp, 1 Mi": (lambda: np.exp(big, out=result), lambda: kernels.exp(big, out=result)),
        "sigmoid, 1 Mi": (numpy_sigmoid, lambda: kernels.sigmoid(big, out=result)),
        "softmax cross-entropy + gradient, 256 x 1000": (
            numpy_cross_entropy,
            lambda: kernels.cross_entropy_forward_backward(logits, target),
        ),
        "Adam, 1 M parameters": (numpy_adam, lambda: kernels.adam(p, g, m, v, step=1000, lr=1e-3)),
    }


NETS = {
    "8-64-64-4, batch 64": ([8, 64, 64, 4], 64),
    "54-128-128-7, batch 256": ([54, 128, 128, 7], 256),
    "784-128-10, batch 32": ([784, 128, 10], 32),
    "784-512-512-10, batch 128": ([784, 512, 512, 10], 128),
}


def step_pairs() -> dict[str, Pair]:
    """Whole steps through both doors."""
    pairs: dict[str, Pair] = {}
    for name, (sizes, batch) in NETS.items():
        pairs[f"step of {name}: `kernels`"] = numpy_step(sizes, batch), kernels_step(sizes, batch)
        pairs[f"step of {name}: `nn`"] = numpy_step(sizes, batch), modules_step(sizes, batch)
    return pairs


def seconds_per_call(function: Callable[[], Any], calls: int) -> float:
    start = time.perf_counter()
    for _ in range(calls):
        function()
    return (time.perf_counter() - start) / calls


def measure(pair: Pair, rounds: int) -> dict[str, float]:
    """Medians of interleaved rounds of about 10 ms each."""
    from mlpeak.bench.runner import summarize

    for function in pair:
        seconds_per_call(function, 3)
    calls = [max(1, int(0.01 / seconds_per_call(function, 3))) for function in pair]
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for k in (0, 1):
            times[k].append(seconds_per_call(pair[k], calls[k]))
    theirs, ours = map(summarize, times)
    return {
        "numpy_us": theirs.median * 1e6,
        "mlpeak_us": ours.median * 1e6,
        "ratio": theirs.median / ours.median,
        "spread": max(theirs.spread, ours.spread),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=31)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if options.rounds < 1:
        parser.error(f"--rounds: is {options.rounds}; expected at least 1")
    pin()

    import numpy as np

    import mlpeak

    config = mlpeak.config()
    print(f"{platform.machine()}, tier {config['tier']}, ", end="")
    print(f"one core, NumPy {np.__version__}, medians of {options.rounds}\n")
    print("| what | NumPy, us | mlpeak, us | times faster | spread |")
    print("|---|---:|---:|---:|---:|")
    results = {}
    for name, pair in (kernel_pairs() | step_pairs()).items():
        r = results[name] = measure(pair, options.rounds)
        print(f"| {name} | {r['numpy_us']:.0f} | {r['mlpeak_us']:.0f} | ", end="")
        print(f"{r['ratio']:.1f} | {r['spread']:.0%} |", flush=True)
    if options.json:
        options.json.write_text(json.dumps({"config": config, "results": results}, indent=2))


if __name__ == "__main__":
    main()
