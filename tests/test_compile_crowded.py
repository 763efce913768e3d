"""Compiled steps on several threads that gain nothing from each other."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

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


ON_ONE_CORE = """
import os, sys
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
sys.path.insert(0, sys.argv[1])
from test_compile_crowded import train
runs = [train(threads, 60) for threads in (1, 2, 1, 2)]
assert len({bits for bits, _ in runs}) == 1
one, two = (min(seconds for _, seconds in runs[i::2]) for i in (0, 1))
print(one, two)
"""


def test_two_threads_on_one_core_are_no_slower_than_one() -> None:
    """As a team they would take three times as long: each barrier is a change of threads."""
    command = [sys.executable, "-c", ON_ONE_CORE, str(Path(__file__).parent)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=True)
    one, two = map(float, done.stdout.split())
    assert two < 1.5 * one, f"{two:.3f} s on two threads, {one:.3f} s on one"
