"""Where the command line's data comes from: the digits, IDX folders, NumPy archives, tables."""

from __future__ import annotations

from mlpeak.sources.dataset import Dataset, Options, Preprocessing, Rows, preprocessing_from_json
from mlpeak.sources.load import load_rows, load_training

__all__ = [
    "Dataset",
    "Options",
    "Preprocessing",
    "Rows",
    "load_rows",
    "load_training",
    "preprocessing_from_json",
]
