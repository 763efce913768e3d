"""Fixtures: each tier this CPU can run, each backend, and thread counts."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import mlpeak
from mlpeak import _core

TIERS = tuple(_core.tiers())


@pytest.fixture(params=TIERS)
def tier(request: pytest.FixtureRequest, _restore: None) -> Iterator[str]:
    """Run the test once on each tier this CPU supports."""
    _core.select_tier(request.param)
    yield request.param


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
