"""A steady compiled step asks for no memory: calls of malloc and what Python keeps are counted."""

from __future__ import annotations

import gc
import os
import platform
import shutil
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest

from compiled_steps import good_step

SOURCE = Path(__file__).parent / "count_allocations.c"

#: Prints the allocations of a loop: 500 turns taken from 1000, so that what happens once cancels.
SCRIPT = """
import ctypes
import gc
import numpy as np
import mlpeak
from mlpeak import nn, optim

mlpeak.set_num_threads({threads})
counter = ctypes.CDLL(None).allocations
counter.restype = ctypes.c_ulong

def of(call):
    def turns(n):
        before = counter()
        for _ in range(n):
            call()
        return counter() - before

    for _ in range(50):
        call()
    once = turns(500)
    return turns(1000) - once

rng = np.random.default_rng(0)
x = rng.standard_normal((128, 64), np.float32)
y = rng.integers(0, 10, 128)
model = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Dropout(0.1), nn.Linear(128, 10))
step = mlpeak.compile(model, nn.CrossEntropyLoss(), optim.Adam(model.parameters()))
gc.disable()
print(of(lambda: None), of(lambda: np.empty(1 << 14)), of(lambda: step(x, y)))
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library that counts, compiled here, or skip."""
    if platform.libc_ver()[0] != "glibc":
        pytest.skip("counting needs glibc")
    compiler = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
    if compiler is None:
        pytest.skip("no C compiler (cc, gcc, clang) to build count_allocations.c")
    made = tmp_path_factory.mktemp("count") / "count.so"
    command = [compiler, "-O1", "-shared", "-fPIC", "-fno-builtin", str(SOURCE), "-o", str(made)]
    subprocess.run(command, check=True)
    return made


@pytest.mark.parametrize("threads", [1, 2])
def test_steady_step_calls_no_allocator(library: Path, threads: int) -> None:
    found = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(threads=threads)],
        env={**os.environ, "LD_PRELOAD": str(library)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert found.returncode == 0, found.stderr
    bare, array, step = map(int, found.stdout.split())
    assert array >= bare + 500, "the library does not count"
    assert step <= bare, f"{step} allocations in 500 steps, {bare} in 500 bare calls"


def test_steady_steps_allocate_nothing_that_stays() -> None:
    step, _, x, y = good_step()
    for _ in range(10):
        step(x, y)
    gc.collect()
    tracemalloc.start()
    try:
        step(x, y)
        before = tracemalloc.take_snapshot()
        for _ in range(200):
            step(x, y)
        after = tracemalloc.take_snapshot()
    finally:
        tracemalloc.stop()
    grown = sum(max(0, s.size_diff) for s in after.compare_to(before, "filename"))
    assert grown < 4096, f"{grown} bytes remain of 200 steps"
