"""The folder of real MNIST images that some tests read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

_BESIDE = Path(__file__).resolve().parents[2] / "shared" / "data" / "mnist-10k"


@pytest.fixture
def mnist_10k() -> Path:
    """Folder with t10k-images-idx3-ubyte.gz and its labels, or skip."""
    folder = Path(os.environ.get("MLPEAK_MNIST") or _BESIDE)
    if not (folder / "t10k-images-idx3-ubyte.gz").is_file():
        pytest.skip(f"no MNIST in {folder}; set MLPEAK_MNIST to a folder with the t10k files")
    return folder
