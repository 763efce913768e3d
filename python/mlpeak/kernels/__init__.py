"""The kernels on NumPy arrays: every forward with its ``_backward`` twin.

Arrays are float32 or float64, one dtype a call. Arrays that are only read may be strided (one copy
is made); ``out`` and every array that is written must be C-contiguous and writeable. Every function
has a twin of the same name and signature in `mlpeak.reference`.
"""

from mlpeak.kernels.activations import *
from mlpeak.kernels.activations import __all__ as _activations
from mlpeak.kernels.class_losses import *
from mlpeak.kernels.class_losses import __all__ as _class_losses
from mlpeak.kernels.elementary import *
from mlpeak.kernels.elementary import __all__ as _elementary
from mlpeak.kernels.embedding import *
from mlpeak.kernels.embedding import __all__ as _embedding
from mlpeak.kernels.linear import *
from mlpeak.kernels.linear import __all__ as _linear
from mlpeak.kernels.losses import *
from mlpeak.kernels.losses import __all__ as _losses
from mlpeak.kernels.norms import *
from mlpeak.kernels.norms import __all__ as _norms
from mlpeak.kernels.optimizers import *
from mlpeak.kernels.optimizers import __all__ as _optimizers
from mlpeak.kernels.random import *
from mlpeak.kernels.random import __all__ as _random
from mlpeak.kernels.reductions import *
from mlpeak.kernels.reductions import __all__ as _reductions

__all__ = [
    *_activations,
    *_class_losses,
    *_elementary,
    *_embedding,
    *_linear,
    *_losses,
    *_norms,
    *_optimizers,
    *_random,
    *_reductions,
]
