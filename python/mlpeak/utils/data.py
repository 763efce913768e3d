"""`mlpeak.data` under the name that torch gives it."""

from mlpeak.data import (
    DataLoader,
    Dataset,
    Subset,
    TensorDataset,
    default_collate,
    random_split,
    read_idx,
    read_idx_folder,
)

__all__ = [
    "DataLoader",
    "Dataset",
    "Subset",
    "TensorDataset",
    "default_collate",
    "random_split",
    "read_idx",
    "read_idx_folder",
]
