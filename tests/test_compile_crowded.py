"""Compiled steps on several threads while other processes take the cores."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator

import numpy as np
import pytest

import mlpeak
from mlpeak import nn, optim


@pytest.fixture
def crowd() -> Iterator[None]:
    """More busy processes than cores."""
    busy = "import time\nend = time.monotonic() + 60\nwhile time.monotonic() < end: pass"
    cores = len(os.sched_getaffinity(0))
    processes = [subprocess.Popen([sys.executable, "-c", busy]) for _ in range(cores + 1)]
    yield
    for process in processes:
        process.kill()
        process.wait()


def train(threads: int, epochs: int) -> tuple[bytes, float]:
    mlpeak.set_num_threads(threads)
    mlpeak.manual_seed(0)
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((1500, 30), dtype=np.float32), rng.integers(0, 2, 1500)
    layers = [nn.Linear(30, 128), nn.ReLU(), nn.Dropout(0.1), nn.Linear(128, 128), nn.ReLU()]
    model = nn.Sequential(*layers, nn.Linear(128, 2))
    step = mlpeak.compile(model, nn.CrossEntropyLoss(), optim.Adam(model.parameters()))
    step(x[:200], y[:200])
    assert f", {threads} threads," in str(step.explain())
    begin = time.perf_counter()
    step.fit(x, y, epochs=epochs, batch_size=200, progress=False)
    seconds = time.perf_counter() - begin
    return b"".join(bytes(p.detach().numpy()) for p in model.parameters()), seconds


def test_a_team_without_cores_trains_alone_to_the_same_bits(crowd: None) -> None:
    """A thread that waits for its core comes milliseconds late to each barrier, 3,200 of them."""
    alone, one = train(1, 200)
    together, two = train(2, 200)
    assert together == alone
    assert two < 3 * one + 1, f"{two:.2f} s on two threads, {one:.2f} s on one"
