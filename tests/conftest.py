"""Fixtures: each tier this CPU can run, each backend, random numbers, and the folder of real
MNIST images."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import mlpeak
from mlpeak import _core

TIERS = tuple(_core.tiers())


@pytest.fixture(params=TIERS)
def tier(request: pytest.FixtureRequest, _restore: None) -> str:
    """Run the test once on each tier this CPU supports."""
    _core.select_tier(request.param)
    return str(request.param)


@pytest.fixture(params=["native", "numpy"])
def backend(request: pytest.FixtureRequest) -> Iterator[str]:
    """Run the test once on each backend."""
    before = mlpeak.get_backend()
    mlpeak.set_backend(request.param)
    yield request.param
    mlpeak.set_backend(before)


@pytest.fixture(autouse=True)
def _restore() -> Iterator[None]:
    """Leave tier and number of threads as they were."""
    before = _core.tier()
    yield
    _core.select_tier(before)
    mlpeak.set_num_threads(0)


@pytest.fixture
def rng() -> np.random.Generator:
    """Random numbers, the same ones for each test."""
    return np.random.default_rng(0)


_BESIDE = Path(__file__).resolve().parents[2] / "shared" / "data" / "mnist-10k"


@pytest.fixture
def mnist_10k() -> Path:
    """Folder with t10k-images-idx3-ubyte.gz and its labels, or skip."""
    folder = Path(os.environ.get("MLPEAK_MNIST") or _BESIDE)
    if not (folder / "t10k-images-idx3-ubyte.gz").is_file():
        pytest.skip(f"no MNIST in {folder}; set MLPEAK_MNIST to a folder with the t10k files")
    return folder
