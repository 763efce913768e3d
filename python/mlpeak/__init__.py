"""mlpeak: train multi-layer perceptrons on a CPU, with the same bits on every machine.

The names of this module are PyTorch's, so that ``import mlpeak as torch`` runs an MLP script.
`mlpeak.kernels` works on NumPy arrays, `mlpeak.nn` and `mlpeak.optim` on tensors.
"""

from __future__ import annotations

import importlib as _importlib
from typing import TYPE_CHECKING

from mlpeak import kernels
from mlpeak._backend import get_backend, set_backend
from mlpeak._config import config, get_num_threads, set_num_threads, show_config
from mlpeak._core import version as __version__
from mlpeak._device import device
from mlpeak._random import (
    Generator,
    default_generator,
    get_rng_state,
    initial_seed,
    manual_seed,
    seed,
    set_rng_state,
)
from mlpeak._tensor import *
from mlpeak._tensor import __all__ as _tensors
from mlpeak.creation import *
from mlpeak.creation import __all__ as _creation
from mlpeak.dtypes import *
from mlpeak.dtypes import __all__ as _dtypes
from mlpeak.functions import *
from mlpeak.functions import __all__ as _functions
from mlpeak.grad_mode import (
    enable_grad,
    inference_mode,
    is_grad_enabled,
    no_grad,
    set_grad_enabled,
)

if TYPE_CHECKING:
    from mlpeak import cuda, data, io, nn, optim, reference, utils
    from mlpeak.compiler import CompileError, NonFiniteLossError, compile, load_step

__all__ = [
    *_creation,
    *_dtypes,
    *_functions,
    *_tensors,
    "CompileError",
    "Generator",
    "NonFiniteLossError",
    "__version__",
    "compile",
    "config",
    "cuda",
    "data",
    "default_generator",
    "device",
    "enable_grad",
    "get_backend",
    "get_num_threads",
    "get_rng_state",
    "inference_mode",
    "initial_seed",
    "io",
    "is_grad_enabled",
    "kernels",
    "load_step",
    "manual_seed",
    "nn",
    "no_grad",
    "optim",
    "reference",
    "seed",
    "set_backend",
    "set_grad_enabled",
    "set_num_threads",
    "set_rng_state",
    "show_config",
    "utils",
]

_LAZY = frozenset({"cuda", "data", "io", "nn", "optim", "reference", "utils"})
_COMPILER = frozenset({"CompileError", "NonFiniteLossError", "compile", "load_step"})


def __getattr__(name: str) -> object:
    """Import a submodule or the compiler at its first use, which keeps ``import mlpeak`` quick."""
    if name in _LAZY:
        return _importlib.import_module(f"mlpeak.{name}")
    if name in _COMPILER:
        return getattr(_importlib.import_module("mlpeak.compiler"), name)
    raise AttributeError(f"module 'mlpeak' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
