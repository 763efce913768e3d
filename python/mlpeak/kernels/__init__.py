"""The kernels on NumPy arrays: every forward with its ``_backward`` twin.

Arrays are float32 or float64, one dtype a call. Arrays that are only read may be strided (one copy
is made); ``out`` and every array that is written must be C-contiguous and writeable. Every function
has a twin of the same name and signature in `mlpeak.reference`.
"""

from mlpeak.kernels import (
    activations,
    elementary,
    embedding,
    linear,
    losses,
    norms,
    optimizers,
    random,
    reductions,
)
from mlpeak.kernels.activations import *
from mlpeak.kernels.elementary import *
from mlpeak.kernels.embedding import *
from mlpeak.kernels.linear import *
from mlpeak.kernels.losses import *
from mlpeak.kernels.norms import *
from mlpeak.kernels.optimizers import *
from mlpeak.kernels.random import *
from mlpeak.kernels.reductions import *

__all__ = [
    *activations.__all__,
    *elementary.__all__,
    *embedding.__all__,
    *linear.__all__,
    *losses.__all__,
    *norms.__all__,
    *optimizers.__all__,
    *random.__all__,
    *reductions.__all__,
]
