"""The place where torch keeps its data tools: ``from mlpeak.utils.data import DataLoader``."""

from mlpeak.utils import data

__all__ = ["data"]
