"""Tables (CSV, Parquet) as network input: reading, preprocessing and target encoding.

All that is learned from a table is learned from its training part and can be written as JSON, so
that a model treats a later file exactly as it treated the first.
"""

from __future__ import annotations

from mlpeak.tables.preprocessing import TablePreprocessing
from mlpeak.tables.reading import read_table
from mlpeak.tables.target import ClassTarget, Target, ValueTarget, fit_target, target_from_json

__all__ = [
    "ClassTarget",
    "TablePreprocessing",
    "Target",
    "ValueTarget",
    "fit_target",
    "read_table",
    "target_from_json",
]
