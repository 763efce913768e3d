"""Fixtures: each tier this CPU can run, each backend, and thread counts."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import mlpeak
from mlpeak import _core

TIERS = tuple(_core.tiers())


@pytest.fixture(params=TIERS)
def tier(request: pytest.FixtureRequest) -> Iterator[str]:
    """Run the test once on each tier this CPU supports."""
    before = _core.tier()
    _core.select_tier(request.param)
    yield request.param
    _core.select_tier(before)


@pytest.fixture(params=["native", "numpy"])
def backend(request: pytest.FixtureRequest) -> Iterator[str]:
    """Run the test once on each backend."""
    before = mlpeak.get_backend()
    mlpeak.set_backend(request.param)
    yield request.param
    mlpeak.set_backend(before)


@pytest.fixture(autouse=True)
def _default_threads() -> Iterator[None]:
    """Leave the number of threads as it was."""
    yield
    mlpeak.set_num_threads(0)
