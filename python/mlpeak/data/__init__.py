"""Data in memory: datasets, batches drawn from them, and IDX files."""

from mlpeak.data.datasets import Dataset, Subset, TensorDataset, random_split
from mlpeak.data.idx import read_idx, read_idx_folder
from mlpeak.data.loader import DataLoader, default_collate

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
