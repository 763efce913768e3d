"""What bfloat16 gains: products and whole training steps against the same in float32.

Usage: python benchmarks/training/bf16.py [ROUNDS]

Both run in one process and by turns, on as many threads as ``OMP_NUM_THREADS`` says; medians.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Sequence
from functools import partial

import numpy as np

import mlpeak
from mlpeak import kernels
from mlpeak.bench.training.adam import NETS
from mlpeak.bench.training.nets import Net
from mlpeak.bench.training.with_mlpeak import training_step
from mlpeak.bench.workloads import Call

SECONDS = 0.03  # of a turn, about


def by_turns(calls: Sequence[Call], rounds: int) -> list[float]:
    """Return the median seconds of each call."""
    repeats = []
    for call in calls:
        call()
        start = time.perf_counter()
        call()
        repeats.append(max(1, int(SECONDS / (time.perf_counter() - start))))
    seconds: list[list[float]] = [[] for _ in calls]
    for _ in range(rounds):
        for call, times, kept in zip(calls, repeats, seconds, strict=True):
            start = time.perf_counter()
            for _ in range(times):
                call()
            kept.append((time.perf_counter() - start) / times)
    return [statistics.median(kept) for kept in seconds]


def products(size: int) -> list[Call]:
    """Return a square product in both precisions."""
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((2, size, size), dtype=np.float32)
    out = np.empty((size, size), np.float32)
    multiply = partial(kernels.matmul, x, w, transpose_b=True, out=out)
    return [multiply, partial(multiply, precision="bf16")]


def steps(net: Net) -> list[Call]:
    """Return a training step in both precisions."""
    return [training_step(net, precision) for precision in ("fp32", "bf16")]


def main() -> None:
    """Print a table."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 9
    print(f"tier {mlpeak.config()['tier']}, {mlpeak.get_num_threads()} threads, {rounds} rounds")
    print(f"{'':36} {'fp32, us':>10} {'bf16, us':>10} {'ratio':>6} {'bf16 GFLOP/s':>13}")
    rows = [(f"matmul {n} x {n} x {n}", products(n), 2 * n**3) for n in (512, 1024, 2048)]
    rows += [(f"step {net.shape}", steps(net), net.step_flops) for net in NETS]
    for name, calls, flops in rows:
        fp32, bf16 = by_turns(calls, rounds)
        rate = flops / bf16 * 1e-9
        print(f"{name:36} {fp32 * 1e6:10,.1f} {bf16 * 1e6:10,.1f} {fp32 / bf16:6.2f} {rate:13.1f}")


if __name__ == "__main__":
    main()
