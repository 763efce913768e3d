"""mlpeak: train multi-layer perceptrons on a CPU, with the same bits on every machine."""

from __future__ import annotations

from mlpeak import kernels, reference
from mlpeak._backend import get_backend, set_backend
from mlpeak._config import config, get_num_threads, set_num_threads, show_config
from mlpeak._core import version as __version__

__all__ = [
    "__version__",
    "config",
    "get_backend",
    "get_num_threads",
    "kernels",
    "reference",
    "set_backend",
    "set_num_threads",
    "show_config",
]
